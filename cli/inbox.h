/* cli/inbox.h - what the commands about the inbox share. */
#ifndef CLI_INBOX_H
#define CLI_INBOX_H

#include "base/buf.h"
#include "cli/talk.h"

enum { INBOX_TARGET = 400 };

/* With a conversation open. */
int inbox_with_talk(const struct cli_line *line, int (*act)(struct talk *t));

/* Where that file is, or what of it. */
void inbox_target(const char *id, const char *what, char out[static INBOX_TARGET]);

/* One parameter more, if there is a value. */
void inbox_add_filter(struct buf *target, const char *name, const char *value);

/* Asks for that list (its target has a parameter already) until there is something in it: EXIT_OK with *page; else the
 * error is told, and the exit status returned. Waits as long as --wait says. */
int inbox_await(struct talk *t, const char *target, json_t **page);

/* Deletes one: as talk_ask(). */
int inbox_remove(struct talk *t, const char *id, json_t **item);

#endif
