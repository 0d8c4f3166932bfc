/* cli/follow.h - what becomes of a transfer, as it happens: by server-sent events, or by asking again and again. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/talk.h"

/* Until it is final, the time of --wait is over, or Ctrl-C. Shows each change of its state, and to people how far it
 * is. The exit status: how it went. */
int follow_transfer(struct talk *t, const char *id);

/* Every transfer that changes, without an end but those. */
int follow_all(struct talk *t);

/* A transfer in words: with its last state, how long it took; its failure goes to stderr. */
void follow_tell(struct talk *t, const json_t *transfer);

#endif
