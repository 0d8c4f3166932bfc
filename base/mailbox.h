/* base/mailbox.h - messages from any number of posters to one uv loop.
 *
 * A message carries values and descriptors, never a pointer into the sender; posting gives it away. A wake-up handles
 * all that is there, because libuv folds many of them into one, but for no longer than its share of the turn
 * (base/meter.h): the rest comes first in the next one.
 * Threads: mailbox_post() any; everything else the loop's. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include <stdbool.h>
#include <uv.h>

/* Embed as the first member of a message. */
struct message {
    struct message *next;
    void (*handle)(void *owner, struct message *m); /* loop's thread; m is the handler's to free */
    void (*discard)(struct message *m);             /* called instead when the box closes first; NULL: free() */
};

struct mailbox;

/* NULL: out of memory or descriptors. owner is what handlers get. */
struct mailbox *mailbox_create(uv_loop_t *loop, void *owner);

/* Discards what is queued and closes the loop's handle; memory goes once the loop has run. Posters must be gone, or
 * hold on to nothing but mailbox_post(), which then returns false until the memory goes: stop posters first. */
void mailbox_destroy(struct mailbox **box);

/* true: m is no longer yours. false: the box is closed, m still is. */
bool mailbox_post(struct mailbox *box, struct message *m);

#endif
