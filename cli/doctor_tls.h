/* cli/doctor_tls.h - TLS with an XMPP server, as libstrophe would do it (OpenSSL, the system's authorities), looked at.
 */
#ifndef CLI_DOCTOR_TLS_H
#define CLI_DOCTOR_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct tls_look {
    char version[16]; /* "TLSv1.3" */
    bool trusted;
    char why_not[120];
    int days; /* until the certificate is over; negative: it is */
};

/* fd: a connected, blocking socket with deadlines. name: whom the certificate has to be for. ca: a file of authorities
 * beside the system's, or NULL. false: no TLS came about; *err says why. */
bool tls_look(int fd, const char *name, const char *ca, struct tls_look *out, struct error *err);

#endif
