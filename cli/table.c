/* cli/table.c - the one table: every command, every option, and what else the manual says. */
#include <stdint.h>

#include "cli/commands.h"

#define SHELLS "bash zsh fish"

enum { SENDER = IN_ALL | IN_CLIENT | IN_TELLS };

/* In the order in which the help shows them. */
const struct cli_option cli_options[] = {
    {OPT_TO, "to", "JID", "one recipient more; then every word is a file", .groups = IN_SEND},
    {OPT_NAME, "name", "NAME", "what the file is called there, instead of its own name", .groups = IN_SEND},
    {OPT_FROM, "from", "NAME", "the address of the gateway it comes from, where it is a component", .groups = IN_SEND},
    {OPT_CAPTION, "caption", "TEXT", "a message beside the file", .groups = IN_SEND},
    {OPT_RESOURCE, "resource", "RESOURCE", "the recipient's device", .groups = IN_SEND},
    {OPT_METHODS, "methods", "LIST", "these methods alone, in this order: jingle-s5b,si-s5b,link", .groups = IN_SEND},
    {OPT_MODE, "mode", "MODE", "when it is offered: while it is uploaded, after that, or before", "auto spool stream",
     .groups = IN_SEND},
    {OPT_TTL, "ttl", "TIME", "give up after that: 30m, 7d", .groups = IN_SEND},
    {OPT_HOLD, "hold", "TIME", "wait that long for a recipient who is offline", .groups = IN_SEND},
    {OPT_LABEL, "label", "KEY:VALUE", "a label to find it by; may be given several times", .groups = IN_SEND},
    {OPT_DIGEST, "digest", "ALGORITHM", "compute it and tell it", "sha-256", .groups = IN_SEND},
    {OPT_STATE, "state", "STATE", "those in this state alone",
     "receiving queued held offering connecting transferring delivered link_sent link_fetched failed cancelled expired",
     .groups = IN_LS},
    {OPT_TO, "to", "JID", "those to this address alone", .groups = IN_LS},
    {OPT_LABEL, "label", "KEY:VALUE", "those with this label alone; of several, with all of them", .groups = IN_LS},
    {OPT_SINCE, "since", "TIME", "those made since then: 2026-11-22T19:00:00Z, or 1h ago", .groups = IN_LS},
    {OPT_LIMIT, "limit", "N", "so many at most, 50 unless said", .groups = IN_LS},
    {OPT_NEXT, "next", NULL, "the file that comes next, instead of one with an id", .groups = IN_INBOX_GET},
    {OPT_FROM, "from", "JID", "those from this address alone", .groups = IN_INBOX_LS | IN_INBOX_GET},
    {OPT_TO, "to", "JID", "those to this address of the gateway alone", .groups = IN_INBOX_LS | IN_INBOX_GET},
    {OPT_STATE, "state", "STATE", "those in this state; received unless said", "receiving received failed",
     .groups = IN_INBOX_LS},
    {OPT_AFTER, "after", "ID", "those that came after this one alone", .groups = IN_INBOX_LS | IN_INBOX_GET},
    {OPT_SINCE, "since", "TIME", "those that began to come since then: 2026-11-22T19:00:00Z, or 1h ago",
     .groups = IN_INBOX_LS},
    {OPT_LIMIT, "limit", "N", "so many at most, 50 unless said", .groups = IN_INBOX_LS},
    {OPT_FORCE, "force", NULL, "save it though a file of that name is there", .groups = IN_INBOX_GET},
    {OPT_REMOVE, "rm", NULL, "delete it in the inbox, once it is saved here", .groups = IN_INBOX_GET},
    {OPT_WAIT, "wait", "TIME", "for the next file, or for that long (then 124): --wait, --wait=60s",
     .groups = IN_INBOX_LS | IN_INBOX_GET, .optional = true},
    {OPT_HOOK_ID, "id", "ID", "the header webhook-id", .groups = IN_VERIFY},
    {OPT_HOOK_TIMESTAMP, "timestamp", "SECONDS", "the header webhook-timestamp", .groups = IN_VERIFY},
    {OPT_HOOK_SIGNATURE, "signature", "LIST", "the header webhook-signature", .groups = IN_VERIFY},
    {OPT_HOOK_SECRET, "secret-file", "FILE", "where the secret is, whsec_ and base64", .groups = IN_VERIFY},
    {OPT_DEMO, "demo", NULL, "be a recipient too, to try it with: what the gateway sends there lies in its inbox",
     .groups = IN_SERVE},
    {OPT_READY, "ready", NULL, "ask whether it can deliver too: the XMPP session, the store", .groups = IN_HEALTH},
    {OPT_TOKEN_WRITE, "write", NULL, "keep the section itself, in tokens.d of the state folder", .groups = IN_TOKEN},
    {OPT_TOKEN_ID, "id", "ID", "what the token is called: letters, digits and '-'", .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "scopes", "LIST", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "allow-to", "LIST", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "max-size", "SIZE", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "rate", "N[/BURST]", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "active", "N", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "daily-bytes", "SIZE", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "inbox-of", "LIST", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "from", "LIST", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "expires", "DATE", NULL, .groups = IN_TOKEN},
    {OPT_TOKEN_KEY, "note", "TEXT", NULL, .groups = IN_TOKEN},
    {OPT_MAN, "man", NULL, "print the manual page itself", .groups = IN_MANUAL, .hidden = true},
    {OPT_WAIT, "wait", "TIME", "until it has ended, or for that long (then 124): --wait, --wait=60s",
     .groups = IN_WAITS, .optional = true},
    {OPT_URL, "url", "URL", "of the gateway: http://host:port, https://... or unix:/path", .groups = IN_CLIENT},
    {OPT_TOKEN_FILE, "token-file", "FILE", "whose first line is the token; - for the standard input",
     .groups = IN_CLIENT},
    {OPT_CA, "ca", "FILE", "authorities for https, in PEM, instead of the system's", .groups = IN_CLIENT},
    {OPT_JSON, "json", NULL, "JSON, one value a line, on a terminal too", .groups = IN_TELLS},
    {OPT_QUIET, "quiet", NULL, "nothing but errors", .groups = IN_TELLS, .letter = 'q'},
    {OPT_CONFIG, "config", "FILE", "instead of ./jidpost.ini or /etc/jidpost/jidpost.ini", .groups = IN_ALL},
    {OPT_SET, "set", "SECTION.KEY=VALUE", "over file and environment; --SECTION.KEY=VALUE is the same",
     .groups = IN_ALL},
    {OPT_HELP, "help", NULL, "say this and do nothing", .groups = IN_ALL, .letter = 'h'},
    {OPT_VERSION, "version", NULL, "say which version this is and do nothing", .groups = IN_ALL},
    {.name = NULL},
};

const struct cli_command cli_commands[] = {
    {"serve", "", 0, 0, "run the gateway in the foreground",
     "SIGTERM ends it once what flows is through, a second one at once; SIGHUP reads the configuration anew.", NULL,
     IN_ALL | IN_SERVE, NULL},
    {"send", "FILE... JID", 1, SIZE_MAX, "send files to somebody's XMPP client",
     "Each file goes to each recipient, and is uploaded once; one recipient who is refused refuses it. FILE - is the "
     "standard input. A resource may stand behind the address "
     "(ana@example.org/desk). Without --wait the command is done when the gateway has the file.",
     NULL, SENDER | IN_WAITS | IN_SEND, command_send},
    {"status", "ID", 1, 1, "one transfer, and what was tried", NULL, NULL, SENDER, command_status},
    {"ls", "", 0, 0, "the transfers, newest first", NULL, NULL, SENDER | IN_LS, command_ls},
    {"watch", "[ID]", 0, 1, "one transfer, or all, as it happens",
     "The exit status is that of the transfer. Ctrl-C ends the watching, not the transfer.", NULL, SENDER | IN_WAITS,
     command_watch},
    {"cancel", "ID", 1, 1, "end a transfer and drop its file", NULL, NULL, SENDER, command_cancel},
    {"retry", "ID", 1, 1, "a failed transfer once more, from the file that was kept", NULL, NULL, SENDER | IN_WAITS,
     command_retry},
    {"inbox ls", "", 0, 0, "the files that were sent to the gateway, newest first",
     "With --wait and nothing there, the next.", NULL, SENDER | IN_INBOX_LS, command_inbox_ls},
    {"inbox get", "ID [FILE]", 0, 2, "save one of them here",
     "Under its own name, or as FILE, or into the folder FILE; - is the standard output. A download that broke off "
     "goes "
     "on where it ended, and what was saved has the SHA-256 that the inbox says. With --next and no ID the file that "
     "comes next, after those that are there or after the one that --after names.",
     NULL, SENDER | IN_INBOX_GET, command_inbox_get},
    {"inbox rm", "ID...", 1, SIZE_MAX, "delete some of them", NULL, NULL, SENDER, command_inbox_rm},
    {"webhook test", "NAME", 1, 1, "have a test event sent to that webhook", NULL, NULL, SENDER, command_webhook_test},
    {"webhook verify", "", 0, 0, "check the signature of a message, whose body is the standard input",
     "By Standard Webhooks, version v1. Exit status 3: the signature is wrong, or the message is old.", NULL,
     IN_ALL | IN_VERIFY | IN_TELLS, command_webhook_verify},
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
    {"doctor", "[JID]", 0, 1, "try everything that a delivery needs, and say what to mend",
     "Configuration, state folder, spool, clock, DNS, connection, TLS, login, the advertised address, each proxy with "
     "a "
     "stream through it; with a JID that recipient's devices and the ladder. It needs no running gateway and disturbs "
     "none. The exit status is that of the first line that says FAIL.",
     NULL, IN_ALL | IN_TELLS, command_doctor},
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

static const struct cli_fact environment[] = {
    {"JIDPOST_URL",
     "Where the gateway is, where --url does not say. Without both it is the one that the configuration on "
     "this machine describes: its unix socket, or its address."},
    {"JIDPOST_TOKEN",
     "The token, where --token-file does not say; JIDPOST_TOKEN_FILE names a file with it. Never write a "
     "token into a command line: every user of the machine can read it there. With the configuration of "
     "this machine [http] token is taken."},
    {"NO_COLOR", "With any value: no colours."},
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
    {"jidpost send report.pdf ana@example.org", "Hand a file to the gateway."},
    {"jidpost send --wait=10m a.pdf b.pdf --to ana@example.org --to bob@example.org",
     "Two files to two people; the exit status says whether all of them arrived."},
    {"pg_dump db | zstd | jidpost send - --name db.sql.zst ops@example.org", "What comes from a pipe."},
    {"jidpost doctor ana@example.org", "Why does nothing arrive?"},
    {"jidpost ls --state failed --since 1d", "What went wrong since yesterday."},
    {"jidpost inbox get --next --wait=1h ~/inbox", "Save the next file that somebody sends to the gateway."},
    {"jidpost config keys >jidpost.ini", "A configuration to start from."},
    {NULL, NULL},
};
const struct cli_fact *const cli_examples = examples;
