/* cli/cli.h - the command line: one table of commands and options.
 *
 * From it come the parser (getopt_long), --help, the man page and the completions of three shells, so that none of them
 * can lack what another has. A new command is a row in table.c and a function that runs it.
 *
 * Everything here runs on the program's first thread, before there is any other. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

/* Where an option is at home; a command takes those that share a bit with it. */
enum cli_group {
    IN_ALL = 1 << 0,    /* of every command */
    IN_CLIENT = 1 << 1, /* of those that call a gateway over HTTP */
    IN_TELLS = 1 << 2,  /* of those that print in two ways, for people and for programs */
    IN_WAITS = 1 << 3,
    IN_SEND = 1 << 4,
    IN_LS = 1 << 5,
    IN_TOKEN = 1 << 6, /* token create */
    IN_VERIFY = 1 << 7,
    IN_HEALTH = 1 << 8,
    IN_MANUAL = 1 << 9,
    IN_INBOX_LS = 1 << 10,
    IN_INBOX_GET = 1 << 11,
    IN_SERVE = 1 << 12
};

enum cli_opt {
    OPT_HELP,
    OPT_VERSION,
    OPT_CONFIG,
    OPT_SET,
    OPT_URL,
    OPT_TOKEN_FILE,
    OPT_CA,
    OPT_JSON,
    OPT_QUIET,
    OPT_WAIT,
    OPT_TO,
    OPT_NAME,
    OPT_CAPTION,
    OPT_RESOURCE,
    OPT_METHODS,
    OPT_MODE,
    OPT_TTL,
    OPT_HOLD,
    OPT_LABEL,
    OPT_DIGEST,
    OPT_STATE,
    OPT_SINCE,
    OPT_LIMIT,
    OPT_FROM,
    OPT_AFTER,
    OPT_NEXT,
    OPT_FORCE,
    OPT_REMOVE,
    OPT_READY,
    OPT_DEMO,
    OPT_TOKEN_WRITE,
    OPT_TOKEN_ID,
    OPT_TOKEN_KEY, /* one for each key of a token's section; see cli_option_key() */
    OPT_HOOK_ID,
    OPT_HOOK_TIMESTAMP,
    OPT_HOOK_SIGNATURE,
    OPT_HOOK_SECRET,
    OPT_MAN
};

struct cli_option {
    enum cli_opt id;
    const char *name;
    const char *argument; /* what it is called in the help: "FILE"; NULL: none is taken */
    const char *help;     /* NULL: see cli_option_help() */
    const char *words;    /* what it may be, blanks between; NULL: anything */
    unsigned groups;      /* of enum cli_group */
    char letter;          /* 0: none */
    bool optional;        /* the argument is, and comes behind '=' */
    bool hidden;          /* from people; not from the parser */
};

struct cli_line;

struct cli_command {
    const char *name;      /* "send", "token create" */
    const char *arguments; /* "FILE... JID"; "" */
    size_t least, most;    /* how many words these are */
    const char *summary;   /* half a sentence, for the list */
    const char *details;   /* sentences, for its own page; NULL: none */
    const char *words;     /* what its argument may be, as an option's */
    unsigned groups;
    int (*run)(const struct cli_line *line); /* the program's exit status; NULL: main.c's own, serve */
};

extern const struct cli_option cli_options[];   /* name NULL at the end */
extern const struct cli_command cli_commands[]; /* likewise */

/* Facts that the help and the man page share; name NULL at the end. */
struct cli_fact {
    const char *name, *text;
};
extern const struct cli_fact *const cli_environment;
extern const struct cli_fact *const cli_files;
extern const struct cli_fact *const cli_examples;

/* ---- one command line, read */

struct cli_given {
    struct cli_option option;
    const char *value; /* "" where none was given */
};

struct cli_line {
    const struct cli_command *command; /* NULL: only --help or --version was given */
    char *const *words;
    size_t word_count;
    struct cli_given *given; /* in their order */
    size_t given_count;
    const char **overrides; /* "section.key=value"; NULL at the end */
    size_t override_count;
    char *const *environment;
};

/* Reorders argv, which has to live as long as the line. ERR_CONFIG: the sentence says what to write instead.
 * cli_line_free() on every path. */
bool cli_read(struct cli_line *line, int argc, char **argv, char *const *environment, struct error *err);
void cli_line_free(struct cli_line *line);

/* The last one given, or NULL; "" for an option without a value. */
const char *cli_value(const struct cli_line *line, enum cli_opt id);
/* Each one given: *at begins as 0. NULL: no more. */
const char *cli_next(const struct cli_line *line, enum cli_opt id, size_t *at);

bool cli_takes(const struct cli_command *command, const struct cli_option *option);

/* What it is for; of one that is a token's key, what gateway/token.h says of that. */
const char *cli_option_help(const struct cli_option *option);

/* "allow-to" is the key allow_to. */
enum { CLI_KEY = 40 };
const char *cli_option_key(const struct cli_option *option, char out[static CLI_KEY]);

/* ---- what is made of the table */

void cli_help(FILE *out);                                       /* all commands */
void cli_help_on(const struct cli_command *command, FILE *out); /* one of them */
void cli_man(FILE *out);                                        /* jidpost.1, in man(7)'s macros */
bool cli_completion(const char *shell, FILE *out);              /* false: no such shell */

/* Reads and runs; serve is what main.c does. The exit status. */
int cli_main(int argc, char **argv, char *const *environment, int (*serve)(const struct cli_line *line));

/* "jidpost: ..." on stderr; the exit status that goes with the code. */
int cli_fail(const struct error *err);

#endif
