/* gateway/turns.h - who may start next: recipients take turns, each with a few transfers at once.
 *
 * So one recipient's thousand files do not keep the next recipient waiting, and the number at work stays bounded.
 * Items are the caller's pointers. Thread: the owner's. */
#ifndef GATEWAY_TURNS_H
#define GATEWAY_TURNS_H

#include <stdbool.h>
#include <stddef.h>

struct turns;

struct turns *turns_create(size_t parallel, size_t per_key); /* NULL: out of memory */
void turns_destroy(struct turns **turns);

/* From here on; who is at work stays so. */
void turns_limit(struct turns *turns, size_t parallel, size_t per_key);

/* Puts item at the end of key's line; false: out of memory. */
bool turns_wait(struct turns *turns, const char *key, void *item);

/* The next item that may start, now counted as at work; NULL: none, or the caps are reached. */
void *turns_next(struct turns *turns);

/* One of key's items is no longer at work. */
void turns_done(struct turns *turns, const char *key);

/* Takes item out of key's line, if it stands there. */
void turns_leave(struct turns *turns, const char *key, void *item);

size_t turns_waiting(const struct turns *turns);
size_t turns_active(const struct turns *turns);

#endif
