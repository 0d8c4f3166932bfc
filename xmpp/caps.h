/* xmpp/caps.h - the hash that stands for a disco#info answer (XEP-0115 section 5).
 *
 * Pure; thread: core's, as all that touches stanzas. */
#ifndef XMPP_CAPS_H
#define XMPP_CAPS_H

#include <stdbool.h>
#include <strophe.h>

enum { CAPS_VER = 96 }; /* base64 of the longest digest, and its end */

/* Hashes a disco#info <query/> by the named function ("sha-1", "sha-256" or "sha-512", the 'hash' attribute's names).
 * False: not known, or the answer is ill-formed by section 5.4 (doubled identities, features or forms), has more
 * than 512 parts, or a '<' in them, by which two different answers could get the same hash. Such an answer may be
 * used for the peer who gave it, and for nobody else. */
bool caps_hash(xmpp_stanza_t *query, const char *function, char ver[static CAPS_VER]);

#endif
