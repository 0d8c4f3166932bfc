/* api/tls.h - the certificate that callers are shown, and how another takes its place while the server runs.
 *
 * A pair (a chain and its key, as PEM files) is read and checked whole before anybody sees it, on any thread. Then it
 * is the HTTP thread's: tls_replace() leaves a new one in a slot, and the next handshake takes it from there. Each
 * handshake gets copies of its own, which GnuTLS frees, so one that is half done does not mind; connections that are
 * open go on.
 *
 * TLS 1.2 (RFC 5246) and 1.3 (RFC 8446), with forward secrecy and authenticated encryption alone. */
#ifndef API_TLS_H
#define API_TLS_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct tls;
struct tls_pair;

/* cert: the gateway's own certificate first, and those that lead to a root; what leads nowhere is left out. NULL:
 * ERR_CONFIG (unreadable, no PEM, another key's) or ERR_SYSTEM; the sentence names key and file. Logs which certificate
 * it is, and what is doubtful about it: expired, not valid yet, a key that everybody on the machine may read. */
struct tls_pair *tls_pair_load(const char *cert, const char *key, struct error *err);
void tls_pair_free(struct tls_pair **pair); /* NULL is fine; leaves *pair NULL */

/* Takes *first, also when it fails. NULL: out of memory. */
struct tls *tls_create(struct tls_pair **first);
void tls_destroy(struct tls **tls); /* after the daemon; NULL is fine; leaves *tls NULL */

/* For the handshakes that begin from now on. Takes *next. Any thread. */
void tls_replace(struct tls *tls, struct tls_pair **next);

/* ---- the HTTP thread's alone */

/* How the library's daemon has to wait: GnuTLS may say "again" though more lies on the socket, in a handshake and when
 * a caller changes its keys (RFC 8446 section 4.6.3). By epoll(7) the library tries the first without a pause and
 * forgets the second; poll(2) tells what is there each time it is asked. */
enum { TLS_DAEMON = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_TLS };

/* What MHD_OPTION_ARRAY takes then. */
struct MHD_OptionItem *tls_options(void);

/* When the connection starts: its handshake, if it is a TLS connection, will ask this one. */
void tls_attach(struct tls *tls, struct MHD_Connection *connection);

/* Past the library, as send(2) without waiting. false: it is no TLS connection, and nothing was sent. */
bool tls_send(struct MHD_Connection *connection, const void *data, size_t len);

/* Whether a piece more can be read now, for a whole record of it is there. -1: it is no TLS connection. */
int tls_has_more(struct MHD_Connection *connection);

#endif
