/* xmpp/si.h - stream initiation: the file is described first (XEP-0095 with the profile XEP-0096), and a person or a
 * client says yes. The stream that follows under the offer's id is its maker's business: si_s5b.c, si_ibb.c.
 *
 * One offer names one stream method, where the XEP's example lists both. slixmpp takes in-band bytes whenever they
 * are on the list, a hundred times slower than it could have them. So bytestreams are offered alone, and nobody who can
 * stream is led in-band. The price: where both are on the list, Pidgin goes on in-band under the same id after a
 * bytestream that failed; here that takes a second offer, with in-band alone, which is the ladder's next rung.
 * Reports METHOD_ACCEPTED, every failure, and a line of the timeline for each step to the method's host.
 * Thread: core's. */
#ifndef XMPP_SI_H
#define XMPP_SI_H

#include "gateway/method.h"
#include "xmpp/client.h"
#include "xmpp/file_range.h"

/* Constant for each method that begins with an SI. */
struct si_terms {
    const char *offer;  /* for the timeline: "offer si-s5b" */
    const char *stream; /* the stream method's namespace */
    const char *lacks;  /* "takes no bytestreams for files" */
    /* Another stream id, for the offer without its optional parts: Pidgin never answers one that it has seen. */
    const char *(*renew)(void *user);
    void (*accepted)(void *user, const struct file_range *range); /* the stream may begin, with that part of the file */
};

struct si;

/* Takes what it needs of the offer. terms outlive it. NULL with *err set: the name cannot be offered
 * (ERR_NAME_INVALID), out of memory. */
struct si *si_create(struct method_host *host, struct client *client, const struct offer *o,
                     const struct si_terms *terms, void *user, struct error *err);

/* Offers, once. sid is also the stream's and valid until renew(). Never calls back from inside but with a failure to
 * report. */
void si_offer(struct si *s, const char *sid);

/* Ends it without a report: XEP-0095 has no way to take an offer back. NULL is fine; leaves *s NULL. */
void si_destroy(struct si **s);

#endif
