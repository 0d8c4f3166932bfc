#include "api/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"

/* RECORD_HEAD: type, version, length (RFC 8446 section 5.1); 23: application data. */
enum { FILE_MAX = 256 * 1024, SERIAL_MAX = 40, KEY_ID_MAX = 64, RECORD_HEAD = 5, APPLICATION_DATA = 23 };

/* GnuTLS's own choice of groups and signatures; of versions, key exchanges and ciphers what is not broken. */
static const char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:"
                                 "-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305:+AES-256-GCM:-MAC-ALL:+AEAD";

struct tls_pair {
    gnutls_x509_crt_t *chain; /* the gateway's own first */
    unsigned count;
    gnutls_x509_privkey_t key;
};

struct tls {
    struct tls_pair *shown;          /* the HTTP thread's */
    _Atomic(struct tls_pair *) next; /* on its way there; NULL: none */
};

/* ---- reading a pair */

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "out of memory");
}

/* The name of the key in the configuration goes before each sentence. */
struct source {
    const char *key, *path;
    gnutls_datum_t text;
    bool for_all; /* everybody on this machine may read it */
};

static bool no_use(const struct source *s, const char *why, struct error *err)
{
    return error_set(err, ERR_CONFIG, "%s %s: %s", s->key, s->path, why);
}

static bool read_all(struct source *s, int fd, struct error *err)
{
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) != 0)
        return no_use(s, strerror(errno), err);
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return no_use(s, "no PEM file, or longer than any", err);
    s->for_all = st.st_mode & S_IROTH;
    s->text.data = malloc(FILE_MAX + 1);
    if (!s->text.data)
        return out_of_memory(err);
    while (s->text.size <= FILE_MAX && (n = read(fd, s->text.data + s->text.size, FILE_MAX + 1 - s->text.size)) != 0) {
        if (n < 0)
            return no_use(s, strerror(errno), err);
        s->text.size += (unsigned)n;
    }
    return s->text.size <= FILE_MAX || no_use(s, "longer than any PEM file", err);
}

/* O_NONBLOCK: a pipe of that name is not waited for. */
static bool read_source(struct source *s, struct error *err)
{
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = read_all(s, fd, err);

    fd_close(&fd);
    return ok;
}

static void forget(struct source *s)
{
    if (s->text.data)
        gnutls_memset(s->text.data, 0, s->text.size);
    free(s->text.data);
    s->text = (gnutls_datum_t){0};
}

static bool import_chain(struct tls_pair *pair, const struct source *s, struct error *err)
{
    int rc = gnutls_x509_crt_list_import2(&pair->chain, &pair->count, &s->text, GNUTLS_X509_FMT_PEM,
                                          GNUTLS_X509_CRT_LIST_SORT);

    if (rc >= 0)
        return true;
    pair->chain = NULL;
    pair->count = 0;
    if (rc == GNUTLS_E_MEMORY_ERROR)
        return out_of_memory(err);
    return no_use(s, "no PEM certificate (-----BEGIN CERTIFICATE-----) that can be read", err);
}

static bool import_key(struct tls_pair *pair, const struct source *s, struct error *err)
{
    int rc = gnutls_x509_privkey_init(&pair->key);

    if (rc < 0)
        return out_of_memory(err);
    rc = gnutls_x509_privkey_import2(pair->key, &s->text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc >= 0)
        return true;
    if (rc == GNUTLS_E_MEMORY_ERROR)
        return out_of_memory(err);
    if (rc == GNUTLS_E_DECRYPTION_FAILED)
        return no_use(s, "the key has a passphrase, which nobody can enter here; take it off: openssl pkey -in", err);
    return no_use(s, "no PEM key (-----BEGIN PRIVATE KEY-----) that can be read", err);
}

static bool belong_together(const struct tls_pair *pair, const struct source *cert, const struct source *key,
                            struct error *err)
{
    unsigned char of_cert[KEY_ID_MAX], of_key[KEY_ID_MAX];
    size_t cert_len = sizeof of_cert, key_len = sizeof of_key;

    if (gnutls_x509_crt_get_key_id(pair->chain[0], GNUTLS_KEYID_USE_SHA256, of_cert, &cert_len) == 0 &&
        gnutls_x509_privkey_get_key_id(pair->key, GNUTLS_KEYID_USE_SHA256, of_key, &key_len) == 0 &&
        cert_len == key_len && memcmp(of_cert, of_key, cert_len) == 0)
        return true;
    return error_set(err, ERR_CONFIG, "%s %s: not the key of the (first) certificate in %s", key->key, key->path,
                     cert->path);
}

static bool import(struct tls_pair *pair, struct source *cert, struct source *key, struct error *err)
{
    return read_source(cert, err) && read_source(key, err) && import_chain(pair, cert, err) &&
           import_key(pair, key, err) && belong_together(pair, cert, key, err);
}

static void tell(const struct tls_pair *pair, const struct source *cert, const struct source *key)
{
    int64_t from = (int64_t)gnutls_x509_crt_get_activation_time(pair->chain[0]) * 1000;
    int64_t until = (int64_t)gnutls_x509_crt_get_expiration_time(pair->chain[0]) * 1000;
    char expires[CLOCK_TEXT], serial[2 * SERIAL_MAX + 1] = "";
    unsigned char number[SERIAL_MAX];
    size_t len = sizeof number;

    clock_text(until, expires);
    if (gnutls_x509_crt_get_serial(pair->chain[0], number, &len) == 0)
        id_hex(number, len, serial);
    log_info("http.certificate", log_str("file", cert->path), log_str("serial", serial), log_str("expires", expires),
             log_int("chain", pair->count));
    if (until <= clock_wall_ms())
        log_warn("http.certificate_expired", log_str("file", cert->path), log_str("expires", expires),
                 log_str("advice", "callers will refuse it; renew it, then SIGHUP"));
    else if (from > clock_wall_ms())
        log_warn("http.certificate_early", log_str("file", cert->path),
                 log_str("advice", "it is not valid yet; is this machine's clock right?"));
    if (key->for_all)
        log_warn("http.key_exposed", log_str("file", key->path),
                 log_str("advice", "everybody on this machine may read the key: chmod 600"));
}

struct tls_pair *tls_pair_load(const char *cert_path, const char *key_path, struct error *err)
{
    struct source cert = {.key = "[http] tls_cert", .path = cert_path};
    struct source key = {.key = "[http] tls_key", .path = key_path};
    struct tls_pair *pair = calloc(1, sizeof *pair);

    if (!pair)
        out_of_memory(err);
    else if (!import(pair, &cert, &key, err))
        tls_pair_free(&pair);
    else
        tell(pair, &cert, &key);
    forget(&cert);
    forget(&key);
    return pair;
}

void tls_pair_free(struct tls_pair **pair)
{
    struct tls_pair *p = *pair;

    *pair = NULL;
    if (!p)
        return;
    for (unsigned i = 0; i < p->count; i++)
        gnutls_x509_crt_deinit(p->chain[i]);
    gnutls_free(p->chain);
    gnutls_x509_privkey_deinit(p->key);
    free(p);
}

/* ---- showing it */

struct tls *tls_create(struct tls_pair **first)
{
    struct tls *tls = calloc(1, sizeof *tls);

    if (!tls) {
        tls_pair_free(first);
        return NULL;
    }
    tls->shown = *first;
    *first = NULL;
    atomic_init(&tls->next, NULL);
    return tls;
}

void tls_destroy(struct tls **tls)
{
    struct tls_pair *next;
    struct tls *t = *tls;

    *tls = NULL;
    if (!t)
        return;
    next = atomic_load(&t->next);
    tls_pair_free(&next);
    tls_pair_free(&t->shown);
    free(t);
}

/* One that no handshake has asked for meanwhile is dropped. */
void tls_replace(struct tls *tls, struct tls_pair **next)
{
    struct tls_pair *before = atomic_exchange(&tls->next, *next);

    *next = NULL;
    tls_pair_free(&before);
}

static void take_next(struct tls *tls)
{
    struct tls_pair *next = atomic_exchange(&tls->next, NULL);

    if (!next)
        return;
    tls_pair_free(&tls->shown);
    tls->shown = next;
}

static gnutls_pcert_st *copy_chain(const struct tls_pair *pair)
{
    gnutls_pcert_st *copy = gnutls_calloc(pair->count, sizeof *copy);

    for (unsigned i = 0; copy && i < pair->count; i++) {
        if (gnutls_pcert_import_x509(&copy[i], pair->chain[i], 0) == 0)
            continue;
        while (i > 0)
            gnutls_pcert_deinit(&copy[--i]);
        gnutls_free(copy);
        return NULL;
    }
    return copy;
}

static gnutls_privkey_t copy_key(const struct tls_pair *pair)
{
    gnutls_privkey_t copy = NULL;

    if (gnutls_privkey_init(&copy) == 0 && gnutls_privkey_import_x509(copy, pair->key, GNUTLS_PRIVKEY_IMPORT_COPY) == 0)
        return copy;
    gnutls_privkey_deinit(copy);
    return NULL;
}

/* A gnutls_certificate_retrieve_function3, from within a handshake. */
static int choose(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certs,
                  unsigned *count, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key,
                  unsigned *flags)
{
    struct tls *tls = gnutls_db_get_ptr(session);

    (void)info;
    if (!tls)
        return -1;
    take_next(tls);
    *certs = copy_chain(tls->shown);
    if (!*certs)
        return -1;
    *key = copy_key(tls->shown);
    if (!*key) {
        for (unsigned i = 0; i < tls->shown->count; i++)
            gnutls_pcert_deinit(&(*certs)[i]);
        gnutls_free(*certs);
        *certs = NULL;
        return -1;
    }
    *count = tls->shown->count;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}

struct MHD_OptionItem *tls_options(void)
{
    static struct MHD_OptionItem options[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)choose},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)priorities},
        {MHD_OPTION_END, 0, NULL},
    };

    return options;
}

static gnutls_session_t session_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info ? info->tls_session : NULL;
}

/* The session's own pointer is the library's. That of its database is free: nothing is resumed here. */
void tls_attach(struct tls *tls, struct MHD_Connection *connection)
{
    gnutls_session_t session = session_of(connection);

    if (session)
        gnutls_db_set_ptr(session, tls);
}

bool tls_send(struct MHD_Connection *connection, const void *data, size_t len)
{
    gnutls_session_t session = session_of(connection);

    if (session)
        (void)gnutls_record_send(session, data, len);
    return session;
}

/* Between two records GnuTLS has read to the end of the first and not beyond. */
int tls_has_more(struct MHD_Connection *connection)
{
    gnutls_session_t session = session_of(connection);
    unsigned char head[RECORD_HEAD];
    int fd, there = 0;

    if (!session)
        return -1;
    if (gnutls_record_check_pending(session) > 0)
        return 1;
    fd = gnutls_transport_get_int(session);
    return recv(fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT) == sizeof head && head[0] == APPLICATION_DATA &&
           ioctl(fd, FIONREAD, &there) == 0 && there >= RECORD_HEAD + (head[3] << 8 | head[4]);
}
