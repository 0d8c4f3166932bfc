/* gateway/partial_note.h - what is noted beside an upload that comes in parts, as text. Pure functions. */
#ifndef GATEWAY_PARTIAL_NOTE_H
#define GATEWAY_PARTIAL_NOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/token.h"

enum { NOTE_META = 8192, NOTE_BOOT = 37 };

struct note {
    int64_t limit;        /* its bytes from there on are yet to be checked; -1: there are none such */
    uint64_t synced;      /* those before survive a loss of power */
    int64_t length;       /* -1: not known */
    int64_t expires;      /* wall clock */
    char boot[NOTE_BOOT]; /* of the system that wrote the rest of them; empty: not known */
};

/* To be freed; NULL: out of memory. Of the same token and meta it always has the same length. */
char *note_text(const struct note *n, const char *token, const char *meta);

/* false: it is none, or one that was cut short. */
bool note_read(const char *text, struct note *n, char token[static TOKEN_ID], char meta[static NOTE_META + 1]);

#endif
