/* gateway/spool_receive.c - files of the spool that others write into; see spool.h. */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "gateway/spool_parts.h"

bool spool_expect(struct spool_file *file, uint64_t bytes, struct error *err)
{
    assert(file->declared < 0 && !file->sealed);
    if (bytes <= file->counted)
        return true;
    if (bytes > file->spool->max_file)
        return spool_too_large(file->spool, err);
    if (!spool_make_room(file->spool, bytes - file->counted, 0))
        return spool_budget_error(file->spool, err);
    file->counted = bytes;
    return true;
}

void spool_grown(struct spool_file *file, uint64_t size)
{
    if (size > file->size)
        file->size = size;
}

bool spool_put(struct spool_file *file, const void *data, size_t len, struct error *err)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = pwrite(file->fd, at, len, (off_t)file->size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return spool_disk_error(err, "writing", n < 0 ? errno : ENOSPC);
        file->size += (uint64_t)n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}
