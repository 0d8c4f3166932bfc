/* gateway/source_path.h - files of this machine that callers may have sent, named by their path.
 *
 * Only what lies below a root of [source] path_roots, is a regular file, and can be read by the gateway's user. The
 * kernel follows the rest of the path below the root (openat2(2), RESOLVE_BENEATH) and no symbolic link at all, so that
 * nobody who writes there can lead it elsewhere, not even meanwhile. A FIFO or device is never opened. */
#ifndef GATEWAY_SOURCE_PATH_H
#define GATEWAY_SOURCE_PATH_H

#include <stdint.h>

#include "base/error.h"

/* The root that the path lies below by its text, the longest; NULL: ERR_SOURCE_REFUSED. */
const char *source_root(char *const *roots, const char *path, struct error *err);

/* The file, open for reading, and its size; -1: ERR_SOURCE_REFUSED, it leads out of its root or is no regular file;
 * ERR_SOURCE_FAILED, it is not there or not to be read. Blocks as the disk does. */
int source_open(char *const *roots, const char *path, uint64_t *size, struct error *err);

#endif
