#include "xmpp/file_range.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/stanza.h"

/* Digits alone, and not more of them than fit. NULL: absent, *out stays. */
static bool read_number(const char *text, uint64_t *out)
{
    if (!text)
        return true;
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 19)
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

bool file_range_read(xmpp_stanza_t *range, uint64_t size, const char *who, struct file_range *out, struct error *err)
{
    const char *offset = stanza_attr(range, "offset"), *length = stanza_attr(range, "length");

    *out = (struct file_range){.length = size};
    if (!read_number(offset, &out->offset) || out->offset > size)
        return error_set(err, ERR_PEER_PROTOCOL_ERROR, "%s asked for the file from byte '%.20s' of %" PRIu64, who,
                         offset, size);
    out->length = size - out->offset;
    if (!read_number(length, &out->length) || out->length > size - out->offset)
        return error_set(err, ERR_PEER_PROTOCOL_ERROR,
                         "%s asked for '%.20s' bytes from byte %" PRIu64 " of a file of %" PRIu64, who, length,
                         out->offset, size);
    return true;
}

void file_range_step(const struct file_range *r, uint64_t size, struct method_host *host)
{
    char detail[96];

    if (r->length == size)
        return;
    snprintf(detail, sizeof detail, "%" PRIu64 " bytes from byte %" PRIu64 " of %" PRIu64, r->length, r->offset, size);
    host->ops->step(host, STEP_RECEIVED, "range", "ok", detail);
}
