/* gateway/inbox_item.h - everything that is kept and told about one file that was sent to us: plain values.
 *
 * What the sender said of it (name, type, caption, size) is his word; id, received size and digest are ours.
 * Owned by whoever made it; shared between threads only when nobody changes it any more. */
#ifndef GATEWAY_INBOX_ITEM_H
#define GATEWAY_INBOX_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/id.h"

enum inbox_state {
    INBOX_RECEIVING, /* accepted; its bytes are on their way */
    INBOX_RECEIVED,  /* all here, checked, and as durable as configured */
    INBOX_FAILED     /* it came to nothing: error; what did come is kept for another try if `kept` */
};
const char *inbox_state_name(enum inbox_state state);
bool inbox_state_parse(const char *name, enum inbox_state *state);

struct inbox_item {
    char id[ID_SIZE]; /* "in_…" */
    enum inbox_state state;
    char *from;    /* the sender's full JID */
    char *to;      /* the address of ours it was sent to, bare */
    char *name;    /* safe to show and to save under; never NULL */
    char *type;    /* media type: claimed, else sniffed; never NULL */
    char *caption; /* NULL: none */
    int64_t size;  /* claimed, and once received the true one; -1: not known */
    uint64_t received;
    char *sha256;        /* lower-case hex, once received; ours */
    bool hash_confirmed; /* the sender's own digest agreed */
    char method[24];     /* "jingle-s5b" … */
    char path[8];        /* "direct", "proxy", "inband", or empty */
    char *streamhost;    /* its JID; NULL: none */
    int64_t created, updated, finished, expires;
    bool kept; /* of a failed one: its first `received` bytes, for a sender who resumes */
    enum error_code error_code;
    char *error_text; /* NULL: none */
};

struct inbox_item *inbox_item_new(void);
struct inbox_item *inbox_item_copy(const struct inbox_item *item);
void inbox_item_free(struct inbox_item **item); /* NULL is fine; leaves *item NULL */

struct inbox_list {
    struct inbox_item **items; /* newest first */
    size_t count;
    bool more; /* there are older ones behind them */
};
void inbox_list_free(struct inbox_list *list); /* its parts, and leaves it empty */

/* Strings are borrowed for the call. */
struct inbox_filter {
    unsigned states;       /* a bit each, 1 << state; 0: all */
    const char *from;      /* bare: of all its resources; NULL: whoever */
    const char *to;        /* bare; NULL: whichever */
    char *const *allow_to; /* globs as of a token ("!glob" denies): what the caller may see; NULL: all */
    const char *before;    /* the id of the last one of the page before; NULL: from the newest */
    const char *after;     /* only what finished after that one, or since it was made if it is gone; NULL: all */
    int64_t since;         /* created at or after, wall clock; 0: whenever */
    unsigned limit;        /* 0: all of them */
    const char *id;        /* exactly this one; NULL: any */
    int64_t over;          /* whose time (expires) ends at or before; 0: any */
};

#endif
