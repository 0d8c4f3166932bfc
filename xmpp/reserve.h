/* xmpp/reserve.h - memory for the XMPP library when there is none.
 *
 * libstrophe does not look at what malloc() gave it in every place, and writes to NULL. So what it asks for when there
 * is none comes from a block that was set aside. Half a megabyte is many times the largest stanza; what does not fit
 * even there fails as before. Thread: core's, as the library's own. */
#ifndef XMPP_RESERVE_H
#define XMPP_RESERVE_H

#include <strophe.h>

const xmpp_mem_t *reserve_memory(void); /* for xmpp_ctx_new() */

#endif
