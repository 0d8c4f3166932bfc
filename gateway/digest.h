/* gateway/digest.h - the SHA-256 of a file, computed in the pool beside whatever else happens to it.
 *
 * A piece at a time, so that a large file does not keep a thread of the pool from everybody else.
 * Thread: the loop's. */
#ifndef GATEWAY_DIGEST_H
#define GATEWAY_DIGEST_H

#include <stdint.h>
#include <uv.h>

#include "base/fd.h"

struct digest;

/* sha256: lower-case hex; NULL: the file could not be read, which is logged. */
typedef void digest_done_fn(void *user, const char *sha256);

/* The first size bytes of file, held until they are read. done is called once, never from inside the call. NULL: out of
 * memory. */
struct digest *digest_start(uv_loop_t *loop, struct shared_fd *file, uint64_t size, digest_done_fn *done, void *user);

/* done is not called any more; what is under way ends by itself while the loop runs. NULL is fine; leaves *d NULL. */
void digest_cancel(struct digest **d);

#endif
