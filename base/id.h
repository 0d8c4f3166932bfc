/* base/id.h - identifiers that sort by time and cannot be guessed: a prefix and a ULID, "tr_01KAXQ…".
 *
 * 48 bits of wall-clock milliseconds, 80 bits from the system's random source, Crockford base32. Any thread. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

enum { ID_LEN = 29, ID_SIZE = ID_LEN + 1 }; /* two letters, '_', 26 digits */

void id_make(char out[static ID_SIZE], const char prefix[static 3], long long wall_ms);

/* When a valid id was made, wall clock. */
long long id_time(const char *id);

/* Whether text has the shape of an id with that prefix; nothing else may become part of a file name. */
bool id_valid(const char *text, const char prefix[static 3]);

/* bytes*2 lower-case hex digits from the system's random source; out holds 2*bytes+1. Aborts if there is none. */
void id_random_hex(char *out, size_t bytes);

/* Bytes as lower-case hex digits; out holds 2*len+1. */
void id_hex(const void *bytes, size_t len, char *out);

#endif
