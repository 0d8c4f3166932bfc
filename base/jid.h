/* base/jid.h - XMPP addresses (RFC 7622, prepared by the RFC 6122 profiles that servers in use apply).
 *
 * The bytestream name hashes prepared addresses (XEP-0065 section 5.3.2), and replies are matched by them, so every
 * address is prepared here once and compared as bytes ever after. Parsing cuts at the first '/' and then at the
 * first '@' of the front: "victim.org/a@evil.org" is a resource of victim.org. Pure functions; any thread. */
#ifndef BASE_JID_H
#define BASE_JID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { JID_PART = 1023, JID_MAX = 3 * JID_PART + 2 }; /* bytes, without the terminator */

struct jid {
    size_t bare;            /* length of the bare JID at the front of text */
    size_t local;           /* length of the local part; 0: none */
    bool full;              /* has a resource */
    char text[JID_MAX + 1]; /* local@domain/resource, prepared; last: see jid_dup() */
};

/* Reads and prepares len bytes. Refuses (ERR_JID_INVALID): bad UTF-8, empty or over-long parts, what the profiles
 * forbid, domains that are neither host names nor IP literals. */
bool jid_parse(struct jid *out, const char *text, size_t len, struct error *err);

/* The parts, as views into j. */
const char *jid_domain(const struct jid *j, size_t *len);
const char *jid_resource(const struct jid *j); /* NULL: none */

/* The domain without its first label, where most servers have the accounts that belong to a component; the whole
 * domain if it has but one. A view into j. */
const char *jid_parent_domain(const struct jid *j, size_t *len);

/* What lives long holds a copy that is no longer than its text, and not the 3 KiB an address may have; free() it.
 * Everything takes one, but it is never copied by "=": that is what jid_copy() is for. NULL: out of memory. */
struct jid *jid_dup(const struct jid *j);
void jid_copy(struct jid *out, const struct jid *j);

/* Copies the bare JID; out holds JID_MAX + 1 bytes. */
void jid_bare(const struct jid *j, char *out);

/* Prepares a resource and puts it behind a bare JID. */
bool jid_with_resource(struct jid *out, const struct jid *bare, const char *resource, struct error *err);

bool jid_equal(const struct jid *a, const struct jid *b);
bool jid_same_bare(const struct jid *a, const struct jid *b);

#endif
