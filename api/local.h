/* api/local.h - the socket that is a file: [http] unix. Its mode and its folder say who may connect. */
#ifndef API_LOCAL_H
#define API_LOCAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct local {
    const char *path; /* borrowed; NULL: not open */
    dev_t device;     /* what the file was when we made it */
    ino_t file;
};

/* A listening socket at path, yours to close; a socket that nobody listens on any more is replaced. -1: ERR_CONFIG (the
 * path is something else, or somebody listens there), ERR_SYSTEM. path outlives *l. */
int local_listen(struct local *l, const char *path, mode_t mode, struct error *err);

/* Removes the file, unless another has taken its place. Not open is fine. */
void local_remove(struct local *l);

#endif
