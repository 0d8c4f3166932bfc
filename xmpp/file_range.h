/* xmpp/file_range.h - the part of a file that a recipient asks for (the ranges of XEP-0096 and XEP-0234).
 *
 * An offer with an empty <range/> says that we can begin in the middle; who has a part already then asks for the rest.
 * Pure functions. */
#ifndef XMPP_FILE_RANGE_H
#define XMPP_FILE_RANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>

#include "base/error.h"
#include "gateway/method.h"

struct file_range {
    uint64_t offset, length;
};

/* Reads a <range/>; NULL: the whole file. ERR_PEER_PROTOCOL_ERROR, naming who, when it asks for what there is not. */
bool file_range_read(xmpp_stanza_t *range, uint64_t size, const char *who, struct file_range *out, struct error *err);

/* A line of the timeline, where it is not the whole file. */
void file_range_step(const struct file_range *r, uint64_t size, struct method_host *host);

#endif
