/* cli/table.c - the one table: every command, every option, and what else the manual says. */
#include <stdint.h>

#include "cli/commands.h"

#define SHELLS "bash zsh fish"

/* In the order in which the help shows them. */
static const struct cli_option options[] = {
    {OPT_READY, "ready", NULL, "ask whether it can deliver too: the XMPP session, the store", .groups = IN_HEALTH},
    {OPT_TOKEN_WRITE, "write", NULL, "keep the section itself, in tokens.d of the state folder", .groups = IN_TOKEN},
    {OPT_TOKEN_ID, "id", "ID", "what the token is called: letters, digits and '-'", .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "scopes", "LIST", "what it is for: send, read, read:all, cancel, recipients, admin",
     .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "allow-to", "LIST", "globs on recipients, *@example.org; !glob denies", .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "max-size", "SIZE", "of one file", .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "rate", "N[/BURST]", "requests a minute, and how many of them at once", .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "active", "N", "transfers under way at once", .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "daily-bytes", "SIZE", "of uploads, a day of UTC", .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "expires", "DATE", "2027-01-31, or with a time behind it: 2027-01-31T12:00:00Z",
     .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "note", "TEXT", "for people", .groups = IN_TOKEN},
    {OPT_MAN, "man", NULL, "print the manual page itself", .groups = IN_MANUAL, .hidden = true},
    {OPT_CONFIG, "config", "FILE", "instead of ./jidpost.ini or /etc/jidpost/jidpost.ini", .groups = IN_ALL},
    {OPT_SET, "set", "SECTION.KEY=VALUE", "over file and environment; --SECTION.KEY=VALUE is the same",
     .groups = IN_ALL},
    {OPT_HELP, "help", NULL, "say this and do nothing", .groups = IN_ALL, .letter = 'h'},
    {OPT_VERSION, "version", NULL, "say which version this is and do nothing", .groups = IN_ALL},
    {.name = NULL},
};
const struct cli_option *const cli_options = options;

static const struct cli_command commands[] = {
    {"serve", "", 0, 0, "run the gateway in the foreground",
     "SIGTERM ends it once what flows is through, a second one at once; SIGHUP reads the configuration anew.", NULL,
     IN_ALL, NULL},
    {"config check", "", 0, 0, "read the configuration and say whether it holds", NULL, NULL, IN_ALL,
     command_config_check},
    {"config show", "", 0, 0, "every key in force and where it came from", "Secrets are shown as (set).", NULL, IN_ALL,
     command_config_show},
    {"config keys", "", 0, 0, "every key with its default: a jidpost.ini to start from", NULL, NULL, IN_ALL,
     command_config_keys},
    {"token create", "", 0, 0, "make a token for a caller",
     "Prints the token, this once, and the section of jidpost.ini that goes with it; that holds its SHA-256 alone.",
     NULL, IN_ALL | IN_TOKEN, command_token_create},
    {"token list", "", 0, 0, "those in tokens.d of the state folder", NULL, NULL, IN_ALL, command_token_list},
    {"token revoke", "ID", 1, 1, "take one of these away", "A gateway that runs knows it after a reload (SIGHUP).",
     NULL, IN_ALL, command_token_revoke},
    {"healthcheck", "", 0, 0, "ask the gateway on this machine how it is; exit status 0 or 8", NULL, NULL,
     IN_ALL | IN_HEALTH, command_healthcheck},
    {"openapi", "", 0, 0, "print the description of the HTTP API",
     "OpenAPI 3.1, in YAML; /v1/openapi.yaml is the same.", NULL, IN_ALL, command_openapi},
    {"completion", "SHELL", 1, 1, "print what completes command lines, for bash, zsh or fish",
     "Packages install it; by hand, for bash: eval \"$(jidpost completion bash)\".", SHELLS, IN_ALL,
     command_completion},
    {"version", "", 0, 0, "say which version this is", NULL, NULL, IN_ALL, command_version},
    {"help", "[COMMAND]...", 0, 2, "say what there is, or what one command does", NULL, NULL, IN_ALL | IN_MANUAL,
     command_help},
    {.name = NULL},
};
const struct cli_command *const cli_commands = commands;

static const struct cli_fact environment[] = {
    {"JIDPOST_SECTION_KEY", "Each key of the configuration: [http] listen is JIDPOST_HTTP_LISTEN. The least that is "
                            "needed to serve: JIDPOST_XMPP_JID and JIDPOST_XMPP_PASSWORD, or a file with it named by "
                            "JIDPOST_XMPP_PASSWORD_FILE."},
    {NULL, NULL},
};
const struct cli_fact *const cli_environment = environment;

static const struct cli_fact files[] = {
    {"/etc/jidpost/jidpost.ini", "The configuration, where ./jidpost.ini is not there; jidpost config keys prints one "
                                 "to start from."},
    {"/var/lib/jidpost", "The state folder: the database, the spool, and tokens.d."},
    {NULL, NULL},
};
const struct cli_fact *const cli_files = files;

static const struct cli_fact examples[] = {
    {"jidpost config keys >jidpost.ini", "A configuration to start from."},
    {NULL, NULL},
};
const struct cli_fact *const cli_examples = examples;
