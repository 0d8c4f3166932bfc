/* A certificate and its key: which pairs are of use, and that another takes their place between two handshakes. Callers
 * are real ones, of GnuTLS, before the library with a server that does nothing but count. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "api/tls.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { DAY_S = 24 * 60 * 60, PATIENCE_S = 20 };

/* ---- certificates */

struct made {
    gnutls_x509_crt_t cert;
    gnutls_x509_privkey_t key;
};

/* Good from so many days from now until so many; by NULL: it signs itself. */
static struct made make(unsigned char serial, const struct made *by, int from_days, int until_days)
{
    time_t now = (time_t)(clock_wall_ms() / 1000);
    const char name[] = {'c', (char)('0' + serial)};
    struct made m;

    assert_int_equal(gnutls_x509_privkey_init(&m.key), 0);
    assert_int_equal(
        gnutls_x509_privkey_generate(m.key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
    assert_int_equal(gnutls_x509_crt_init(&m.cert), 0);
    gnutls_x509_crt_set_version(m.cert, 3);
    gnutls_x509_crt_set_serial(m.cert, &serial, 1);
    gnutls_x509_crt_set_dn_by_oid(m.cert, GNUTLS_OID_X520_COMMON_NAME, 0, name, sizeof name);
    gnutls_x509_crt_set_basic_constraints(m.cert, 1, -1);
    gnutls_x509_crt_set_activation_time(m.cert, now + from_days * DAY_S);
    gnutls_x509_crt_set_expiration_time(m.cert, now + until_days * DAY_S);
    gnutls_x509_crt_set_key(m.cert, m.key);
    assert_int_equal(gnutls_x509_crt_sign2(m.cert, by ? by->cert : m.cert, by ? by->key : m.key, GNUTLS_DIG_SHA256, 0),
                     0);
    return m;
}

static void drop(struct made *m)
{
    gnutls_x509_crt_deinit(m->cert);
    gnutls_x509_privkey_deinit(m->key);
}

static void add_cert(struct buf *out, const struct made *m)
{
    gnutls_datum_t pem;

    assert_int_equal(gnutls_x509_crt_export2(m->cert, GNUTLS_X509_FMT_PEM, &pem), 0);
    buf_add(out, (const char *)pem.data, pem.size);
    gnutls_free(pem.data);
}

static void add_key(struct buf *out, const struct made *m, const char *passphrase)
{
    gnutls_datum_t pem;

    assert_int_equal(gnutls_x509_privkey_export2_pkcs8(m->key, GNUTLS_X509_FMT_PEM, passphrase,
                                                       passphrase ? GNUTLS_PKCS_PBES2_AES_256 : GNUTLS_PKCS_PLAIN,
                                                       &pem),
                     0);
    buf_add(out, (const char *)pem.data, pem.size);
    gnutls_free(pem.data);
}

/* ---- files */

struct world {
    char folder[64], cert[96], key[96];
    struct tls *tls;
    struct MHD_Daemon *daemon;
    uint16_t port;
    struct buf log;
};

static void keep_line(void *user, enum log_level level, const char *line)
{
    (void)level;
    buf_printf(user, "%s\n", line);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    snprintf(w->folder, sizeof w->folder, "/tmp/jidpost-tls-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->cert, sizeof w->cert, "%s/cert.pem", w->folder);
    snprintf(w->key, sizeof w->key, "%s/key.pem", w->folder);
    log_capture(keep_line, &w->log);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    if (w->daemon)
        MHD_stop_daemon(w->daemon);
    tls_destroy(&w->tls);
    log_capture(NULL, NULL);
    unlink(w->cert);
    unlink(w->key);
    rmdir(w->folder);
    buf_free(&w->log);
    free(w);
    return 0;
}

/* Consumes text; NULL: there is no such file. */
static void put_file(const char *path, struct buf *text, mode_t mode)
{
    FILE *file;

    unlink(path);
    if (!text)
        return;
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text->data ? text->data : "", 1, text->len, file), text->len);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    buf_free(text);
}

static void put_pair(struct world *w, const struct made *m, mode_t mode)
{
    struct buf text = {0};

    add_cert(&text, m);
    put_file(w->cert, &text, 0644);
    add_key(&text, m, NULL);
    put_file(w->key, &text, mode);
}

static struct tls_pair *load(struct world *w, struct error *err)
{
    buf_free(&w->log);
    return tls_pair_load(w->cert, w->key, err);
}

static bool logged(struct world *w, const char *text)
{
    buf_puts(&w->log, "");
    return w->log.len > 0 && memmem(w->log.data, w->log.len, text, strlen(text));
}

static struct tls_pair *pair_of(struct world *w, unsigned char serial)
{
    struct made m = make(serial, NULL, -1, 1);
    struct error err = {0};
    struct tls_pair *pair;

    put_pair(w, &m, 0600);
    drop(&m);
    pair = load(w, &err);
    if (!pair)
        fail_msg("%s", err.text);
    return pair;
}

/* ---- which pairs are of use */

enum content { NOTHING, EMPTY, RUBBISH, MINE, OTHERS, LOCKED, UNRELATED, HUGE_FILE };

static bool content_of(enum content what, bool key, const struct made made[2], struct buf *out)
{
    void (*add)(struct buf * out, const struct made *m) = add_cert;

    switch (what) {
    case NOTHING:
        return false;
    case EMPTY:
        break;
    case RUBBISH:
        buf_puts(out, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        break;
    case LOCKED:
        add_key(out, &made[0], "a passphrase");
        break;
    case UNRELATED:
        add_cert(out, &made[0]);
        add_cert(out, &made[1]);
        break;
    case HUGE_FILE:
        for (int i = 0; i < 300; i++)
            buf_printf(out, "%1024s", "");
        break;
    case MINE:
    case OTHERS:
        if (key)
            add_key(out, &made[what == OTHERS], NULL);
        else
            add(out, &made[what == OTHERS]);
        break;
    }
    return true;
}

static void a_pair_is_of_use_or_a_sentence_says_why_not(void **state)
{
    static const struct {
        enum content cert, key;
        const char *names, *why;
    } rows[] = {
        {MINE, MINE, NULL, NULL},
        {NOTHING, MINE, "tls_cert", "No such file"},
        {MINE, NOTHING, "tls_key", "No such file"},
        {EMPTY, MINE, "tls_cert", "no PEM certificate"},
        {RUBBISH, MINE, "tls_cert", "no PEM certificate"},
        {UNRELATED, MINE, NULL, NULL}, /* what belongs to no chain is left out */
        {HUGE_FILE, MINE, "tls_cert", "longer than any"},
        {MINE, EMPTY, "tls_key", "no PEM key"},
        {MINE, RUBBISH, "tls_key", "no PEM key"},
        {MINE, LOCKED, "tls_key", "passphrase"},
        {MINE, OTHERS, "tls_key", "not the key of the (first) certificate"},
        {OTHERS, MINE, "tls_key", "not the key of the (first) certificate"},
    };
    struct made made[2] = {make(1, NULL, -1, 1), make(2, NULL, -1, 1)};
    struct world *w = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf cert = {0}, key = {0};
        struct error err = {0};
        struct tls_pair *pair;

        put_file(w->cert, content_of(rows[i].cert, false, made, &cert) ? &cert : NULL, 0644);
        put_file(w->key, content_of(rows[i].key, true, made, &key) ? &key : NULL, 0600);
        pair = load(w, &err);
        if (!rows[i].why && !pair)
            fail_msg("row %zu: %s", i, err.text);
        if (rows[i].why &&
            (pair || err.code != ERR_CONFIG || !strstr(err.text, rows[i].why) || !strstr(err.text, rows[i].names)))
            fail_msg("row %zu, %s: %s", i, rows[i].why, pair ? "taken" : err.text);
        tls_pair_free(&pair);
    }
    drop(&made[0]);
    drop(&made[1]);
}

static void what_is_no_file_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct error err = {0};

    assert_int_equal(mkfifo(w->cert, 0600), 0);
    assert_null(load(w, &err));
    assert_int_equal(err.code, ERR_CONFIG);
}

static void what_is_doubtful_is_taken_and_told(void **state)
{
    static const struct {
        int from, until;
        mode_t mode;
        const char *event;
    } rows[] = {
        {-2, 1, 0600, NULL},
        {-2, 1, 0640, NULL},
        {-2, -1, 0600, "http.certificate_expired"},
        {1, 2, 0600, "http.certificate_early"},
        {-2, 1, 0644, "http.key_exposed"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct made m = make(7, NULL, rows[i].from, rows[i].until);
        struct error err = {0};
        struct tls_pair *pair;

        put_pair(w, &m, rows[i].mode);
        drop(&m);
        pair = load(w, &err);
        if (!pair)
            fail_msg("row %zu: %s", i, err.text);
        tls_pair_free(&pair);
        assert_true(logged(w, "serial=07"));
        assert_false(logged(w, "PRIVATE"));
        if (rows[i].event ? !logged(w, rows[i].event) : logged(w, "warn"))
            fail_msg("row %zu: %.*s", i, (int)w->log.len, w->log.data);
    }
}

/* ---- the server: counts what bodies have */

static enum MHD_Result count_body(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *len, void **counted)
{
    struct MHD_Response *response;
    char text[32];
    enum MHD_Result rc;

    (void)user;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    if (!*counted) {
        *counted = calloc(1, sizeof(size_t));
        return MHD_YES;
    }
    if (*len > 0) {
        *(size_t *)*counted += *len;
        *len = 0;
        return MHD_YES;
    }
    snprintf(text, sizeof text, "%zu bytes", *(size_t *)*counted);
    response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_COPY);
    rc = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return rc;
}

static void on_completed(void *user, struct MHD_Connection *connection, void **counted,
                         enum MHD_RequestTerminationCode why)
{
    (void)user;
    (void)connection;
    (void)why;
    free(*counted);
    *counted = NULL;
}

static void on_connection(void *user, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    struct world *w = user;

    (void)slot;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        tls_attach(w->tls, connection);
}

static void serve(struct world *w, unsigned char serial)
{
    struct tls_pair *pair = pair_of(w, serial);
    const union MHD_DaemonInfo *info;

    w->tls = tls_create(&pair);
    assert_non_null(w->tls);
    w->daemon = MHD_start_daemon(TLS_DAEMON | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, count_body, w, MHD_OPTION_ARRAY,
                                 tls_options(), MHD_OPTION_NOTIFY_CONNECTION, on_connection, w,
                                 MHD_OPTION_NOTIFY_COMPLETED, on_completed, w, MHD_OPTION_END);
    assert_non_null(w->daemon);
    info = MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_BIND_PORT);
    w->port = info->port;
}

/* ---- a caller */

struct caller {
    gnutls_certificate_credentials_t trust;
    gnutls_session_t session;
    int fd;
};

static void dial(struct world *w, struct caller *c, const char *priorities)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(w->port)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&c->trust), 0);
    assert_int_equal(gnutls_init(&c->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_priority_set_direct(c->session, priorities ? priorities : "NORMAL", NULL), 0);
    gnutls_credentials_set(c->session, GNUTLS_CRD_CERTIFICATE, c->trust);
    gnutls_transport_set_int(c->session, c->fd);
}

static void hang_up(struct caller *c)
{
    gnutls_deinit(c->session);
    gnutls_certificate_free_credentials(c->trust);
    fd_close(&c->fd);
}

/* The serial number of the certificate shown. */
static int shown(const struct caller *c)
{
    unsigned count;
    const gnutls_datum_t *der = gnutls_certificate_get_peers(c->session, &count);
    unsigned char serial[32] = {0};
    size_t len = sizeof serial;
    gnutls_x509_crt_t cert;

    assert_non_null(der);
    gnutls_x509_crt_init(&cert);
    assert_int_equal(gnutls_x509_crt_import(cert, der, GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_x509_crt_get_serial(cert, serial, &len), 0);
    gnutls_x509_crt_deinit(cert);
    return serial[0];
}

static int handshake(struct world *w)
{
    struct caller c;
    int serial;

    dial(w, &c, NULL);
    assert_int_equal(gnutls_handshake(c.session), 0);
    serial = shown(&c);
    hang_up(&c);
    return serial;
}

static void say(struct caller *c, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = gnutls_record_send(c->session, data, len);

        assert_true(n > 0);
        data += n;
        len -= (size_t)n;
    }
}

/* GnuTLS says "again" when new keys came instead of data, and when time is up. */
static void expect(struct caller *c, const char *text)
{
    char answer[1024];
    int again = 0;
    size_t len = 0;
    ssize_t n = 1;

    while ((n > 0 || (n == GNUTLS_E_AGAIN && again++ < 3)) && !memmem(answer, len, text, strlen(text)) &&
           len < sizeof answer) {
        n = gnutls_record_recv(c->session, answer + len, sizeof answer - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (!memmem(answer, len, text, strlen(text)))
        fail_msg("no '%s', %s, after: %.*s", text, n < 0 ? gnutls_strerror((int)n) : "closed", (int)len, answer);
}

#define ASK "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void each_handshake_shows_the_pair_in_force(void **state)
{
    struct world *w = *state;
    struct tls_pair *pair;
    struct caller old, half;

    serve(w, 1);
    dial(w, &old, NULL);
    dial(w, &half, NULL); /* connected, and no more yet */
    assert_int_equal(gnutls_handshake(old.session), 0);
    assert_int_equal(shown(&old), 1);
    for (unsigned char serial = 2; serial < 5; serial++) {
        pair = pair_of(w, serial);
        tls_replace(w->tls, &pair);
        assert_null(pair);
        assert_int_equal(handshake(w), serial);
    }
    say(&old, ASK, strlen(ASK));
    expect(&old, "0 bytes");
    assert_int_equal(gnutls_handshake(half.session), 0);
    assert_int_equal(shown(&half), 4);
    hang_up(&old);
    hang_up(&half);
}

static void of_two_that_nobody_saw_the_later_counts(void **state)
{
    struct world *w = *state;

    serve(w, 1);
    for (unsigned char serial = 2; serial < 4; serial++) {
        struct tls_pair *pair = pair_of(w, serial);

        tls_replace(w->tls, &pair);
    }
    assert_int_equal(handshake(w), 3);
}

static void a_chain_is_shown_in_order_and_without_strangers(void **state)
{
    struct made root = make(1, NULL, -1, 1), middle = make(2, &root, -1, 1), leaf = make(3, &middle, -1, 1);
    struct made stranger = make(4, NULL, -1, 1);
    const struct made *const orders[][4] = {
        {&leaf, &middle, &root}, {&leaf, &root, &middle}, {&leaf, &stranger, &middle, &root}};
    struct world *w = *state;

    serve(w, 9);
    for (size_t i = 0; i < COUNT(orders); i++) {
        struct error err = {0};
        struct buf text = {0};
        struct tls_pair *pair;
        struct caller c;
        unsigned count;

        for (size_t j = 0; j < 4 && orders[i][j]; j++)
            add_cert(&text, orders[i][j]);
        put_file(w->cert, &text, 0644);
        add_key(&text, &leaf, NULL);
        put_file(w->key, &text, 0600);
        pair = load(w, &err);
        if (!pair)
            fail_msg("order %zu: %s", i, err.text);
        tls_replace(w->tls, &pair);
        dial(w, &c, NULL);
        assert_int_equal(gnutls_handshake(c.session), 0);
        assert_int_equal(shown(&c), 3);
        gnutls_certificate_get_peers(c.session, &count);
        assert_int_equal(count, 3);
        hang_up(&c);
    }
    drop(&root);
    drop(&middle);
    drop(&leaf);
    drop(&stranger);
}

static void what_is_broken_is_not_spoken(void **state)
{
    static const struct {
        const char *priorities;
        bool spoken;
    } rows[] = {
        {"NORMAL:-VERS-ALL:+VERS-TLS1.3", true},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2", true},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.1:%UNSAFE_RENEGOTIATION", false},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.0", false},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA", false},           /* no forward secrecy */
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-MAC-ALL:+SHA1:+SHA256", false}, /* nor authenticated */
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305", true},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-GCM", true},
    };
    struct world *w = *state;

    serve(w, 1);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct caller c;

        dial(w, &c, rows[i].priorities);
        if ((gnutls_handshake(c.session) == 0) != rows[i].spoken)
            fail_msg("%s", rows[i].priorities);
        hang_up(&c);
    }
}

/* Corked, so that all of it is there when the library looks, and nothing comes after. */
static void new_keys_in_the_middle_of_a_body_lose_nothing(void **state)
{
    static const char head[] = "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n";
    struct world *w = *state;
    int on = 1, off = 0;
    struct caller c;

    serve(w, 1);
    dial(w, &c, "NORMAL:-VERS-ALL:+VERS-TLS1.3");
    assert_int_equal(gnutls_handshake(c.session), 0);
    say(&c, ASK, strlen(ASK));
    expect(&c, "0 bytes");
    setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
    say(&c, head, strlen(head));
    say(&c, "1234", 4);
    assert_int_equal(gnutls_session_key_update(c.session, 0), 0);
    say(&c, "56", 2);
    assert_int_equal(gnutls_session_key_update(c.session, GNUTLS_KU_PEER), 0);
    say(&c, "78", 2);
    setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
    expect(&c, "8 bytes");
    hang_up(&c);
}

/* For ThreadSanitizer: pairs come from another thread than the one that shows them. */
struct reloader {
    struct world *w;
    struct tls_pair *pairs[20];
};

static void *reload(void *user)
{
    struct reloader *r = user;

    for (size_t i = 0; i < COUNT(r->pairs); i++) {
        const struct timespec moment = {.tv_nsec = 2000000};

        tls_replace(r->w->tls, &r->pairs[i]);
        nanosleep(&moment, NULL);
    }
    return NULL;
}

static void handshakes_and_reloads_do_not_mind_each_other(void **state)
{
    struct world *w = *state;
    struct reloader r = {.w = w};
    pthread_t thread;

    serve(w, 1);
    for (size_t i = 0; i < COUNT(r.pairs); i++)
        r.pairs[i] = pair_of(w, (unsigned char)(i + 2));
    assert_int_equal(pthread_create(&thread, NULL, reload, &r), 0);
    for (int i = 0; i < 20; i++)
        assert_in_range(handshake(w), 1, COUNT(r.pairs) + 1);
    pthread_join(thread, NULL);
    assert_int_equal(handshake(w), COUNT(r.pairs) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pair_is_of_use_or_a_sentence_says_why_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_not_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_doubtful_is_taken_and_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_handshake_shows_the_pair_in_force, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_two_that_nobody_saw_the_later_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chain_is_shown_in_order_and_without_strangers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_broken_is_not_spoken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(new_keys_in_the_middle_of_a_body_lose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(handshakes_and_reloads_do_not_mind_each_other, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
