/* xmpp/stamp.h - a point in time as XMPP writes it (XEP-0082). Pure. */
#ifndef XMPP_STAMP_H
#define XMPP_STAMP_H

#include <stdint.h>

/* Wall clock ms of "2017-12-03T23:42:05Z", as far as people write it: a fraction, an offset, no seconds (as XEP-0096
 * itself has it), no zone (UTC then). 0: NULL, or not a time. */
int64_t stamp_read(const char *text);

#endif
