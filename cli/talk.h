/* cli/talk.h - a conversation with a gateway: where it is, the token, what is asked, and how answers are shown.
 *
 * For people at a terminal: sentences, and one line that is rewritten while something goes on. For programs, on a pipe
 * or with --json: one line of JSON for each thing told. With -q nothing but errors, which go to stderr. */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/progress.h"
#include "gateway/config.h"

struct talk {
    const struct cli_line *line;
    struct client *client;
    struct config config; /* of a gateway on this machine, where no URL was given */
    char *url, *token;
    bool waits;      /* --wait was given */
    int64_t wait_ms; /* how long; 0: without an end */
    int64_t until;   /* clock_ms(), once it has begun */
    bool people, quiet, colour;
    unsigned columns;
    bool drawn; /* there is a line to be rewritten */
};

/* Reads the options, the environment and, where these name no gateway, the configuration. talk_close() on every path.
 */
bool talk_open(struct talk *t, const struct cli_line *line, struct error *err);
void talk_close(struct talk *t);

/* Only how it shows things: for a command that calls nobody. */
void talk_alone(struct talk *t, const struct cli_line *line);

/* The time of --wait counts from here on. */
void talk_begin_wait(struct talk *t);

/* Asks, and reads what is answered: EXIT_OK with *out (yours, may be NULL for json null), or tells the error and
 * returns the exit status. */
int talk_ask(struct talk *t, const struct client_request *request, json_t **out);

/* The same for an answer that is there. */
int talk_read(struct talk *t, const struct client_answer *answer, json_t **out);

/* Only where it is for programs: the value as one line. */
void talk_json(struct talk *t, const json_t *value);

/* Only for people: a line that stays, and one that is rewritten. */
enum tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD };
void talk_say(struct talk *t, enum tone tone, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void talk_draw(struct talk *t, const struct progress *p);
void talk_wipe(struct talk *t);

/* A line on stderr, whoever reads it. */
void talk_complain(struct talk *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Texts come from others: nothing of them may steer the terminal. */
void talk_print(FILE *out, const char *text);

const char *talk_tone(const struct talk *t, enum tone tone); /* "" without colours; TONE_PLAIN ends it */

/* ---- reading JSON */

/* The string at "file.name"; NULL: there is none. */
const char *json_text_at(const json_t *object, const char *path);
uint64_t json_count_at(const json_t *object, const char *path);
bool json_true_at(const json_t *object, const char *path);

/* How a transfer's end ends the program. */
int exit_of_transfer(const json_t *transfer);

/* A time as --wait and --since take it, "90" (seconds), "60s", "5m", "1h", "7d", in ms. */
bool read_time(const char *text, int64_t *out_ms);

#endif
