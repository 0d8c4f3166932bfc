#include "cli/doctor_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static void judge(SSL *ssl, struct tls_look *out)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    long verdict = SSL_get_verify_result(ssl);
    int days = 0, seconds = 0;

    snprintf(out->version, sizeof out->version, "%s", SSL_get_version(ssl));
    out->trusted = certificate && verdict == X509_V_OK;
    snprintf(out->why_not, sizeof out->why_not, "%s", X509_verify_cert_error_string(verdict));
    if (certificate && ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)))
        out->days = seconds < 0 ? days - 1 : days;
}

bool tls_look(int fd, const char *name, const char *ca, struct tls_look *out, struct error *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context ? SSL_new(context) : NULL;
    bool ok = false;

    *out = (struct tls_look){0};
    if (!ssl) {
        error_set(err, ERR_SYSTEM, "out of memory");
        goto out;
    }
    SSL_CTX_set_default_verify_paths(context);
    if (ca && SSL_CTX_load_verify_locations(context, ca, NULL) != 1) {
        error_set(err, ERR_CONFIG, "[xmpp] ca: no certificate is in %s", ca);
        goto out;
    }
    SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL); /* the verdict is looked at, and is none for the handshake */
    SSL_set1_host(ssl, name);
    SSL_set_tlsext_host_name(ssl, name);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1) {
        error_set(err, ERR_XMPP_DISCONNECTED, "the TLS handshake failed: %s",
                  ERR_peek_error() ? ERR_reason_error_string(ERR_peek_error()) : "no answer in time");
        goto out;
    }
    judge(ssl, out);
    SSL_shutdown(ssl);
    ok = true;
out:
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(context);
    return ok;
}
