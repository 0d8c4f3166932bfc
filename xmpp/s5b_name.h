/* xmpp/s5b_name.h - what a bytestream is called at a SOCKS5 server. Pure functions. */
#ifndef XMPP_S5B_NAME_H
#define XMPP_S5B_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/carrier.h"

enum { S5B_NAME = 41, S5B_SID = 35 }; /* both with their terminator */

/* A stream id nobody can guess, "jp" and 32 hex digits: an NMTOKEN, as XEP-0047 wants those of ids shared with it. */
void s5b_make_sid(char out[static S5B_SID]);

/* The name a bytestream has at a SOCKS5 server, section 5.3.2: SHA-1 in hex of the id and both prepared JIDs. */
bool s5b_name(const char *sid, const char *requester, const char *target, char out[static S5B_NAME]);

/* Every name a client may ask our listener for, ours first: both orders of the JIDs, because clients disagree, and
 * when something is not ASCII also what QXmpp makes of it (Latin-1, '?' for what that cannot say). 0: no digest. */
size_t s5b_names(const char *sid, const char *self, const char *peer, char out[static CARRIER_NAMES][S5B_NAME]);

#endif
