#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "tests/fake/xmpp/server.h"
#include "xmpp/contacts.h"
#include "xmpp/methods.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"
#include "xmpp/stanza_limit.h"
#include "xmpp/xmpp.h"

enum { PATIENCE_MS = 60 * 1000, MANY_FDS = 1100 };

#define BOUND "gateway@example.org/gw"

/* A network towards a scripted server. What the script notes for the test is atomic. */
struct fixture {
    uv_loop_t loop;
    struct xmpp_settings settings;
    struct network *network;
    struct xmpp_server *server;
    struct network_view view;
    bool stopped;
    _Atomic int noted;
    size_t answers;
    struct iq_reply last;
    bool passed;       /* of the timer in let_pass() */
    const char *sends; /* for a script */
    unsigned times;
};

static struct jid jid(const char *text)
{
    struct jid j;

    assert_true(jid_parse(&j, text, strlen(text), NULL));
    return j;
}

static void no_log(void *user, enum log_level level, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    log_capture(no_log, NULL);
    uv_loop_init(&f->loop);
    f->settings = (struct xmpp_settings){
        .jid = jid(BOUND),
        .password = "secret",
        .server = "127.0.0.1",
        .tls = XMPP_TLS_OFF,
        .ping_interval_ms = 60 * 1000,
        .ping_timeout_ms = 10 * 1000,
        .reconnect_min_ms = 20,
        .reconnect_max_ms = 60 * 1000,
        .iq_timeout_ms = 10 * 1000,
        .activate_timeout_ms = 10 * 1000,
    };
    *state = f;
    return 0;
}

static void on_stopped(void *user)
{
    ((struct fixture *)user)->stopped = true;
}

static void stop(struct fixture *f)
{
    f->network->ops->stop(f->network, on_stopped, f);
    while (!f->stopped)
        uv_run(&f->loop, UV_RUN_ONCE);
    xmpp_destroy(&f->network);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    int rc;

    if (f->network)
        stop(f);
    rc = uv_loop_close(&f->loop); /* fails while a handle of the network lives */
    xmpp_server_destroy(&f->server);
    free(f);
    return rc;
}

static void on_changed(void *user, const struct network_view *view)
{
    ((struct fixture *)user)->view = *view;
}

static void on_presence(void *user, const struct jid *who, bool available)
{
    (void)user;
    (void)who;
    (void)available;
}

static void on_roster(void *user)
{
    (void)user;
}

static void on_subscription(void *user, const struct jid *who, bool granted)
{
    (void)user;
    (void)who;
    (void)granted;
}

static void serve(struct fixture *f, talk_script_fn *script)
{
    f->server = xmpp_server_create(script, f);
    f->settings.port = xmpp_server_port(f->server);
}

static void start(struct fixture *f)
{
    struct network_events events = {on_changed, on_presence, on_roster, on_subscription, f, NULL, NULL};
    struct error err;

    f->network = xmpp_create(&f->settings, &err);
    if (!f->network)
        fail_msg("%s", err.text);
    assert_true(f->network->ops->start(f->network, &f->loop, &events, &err));
}

static void listen_and_start(struct fixture *f, talk_script_fn *script)
{
    serve(f, script);
    xmpp_server_listen(f->server);
    start(f);
}

/* Turns the loop until the condition holds. */
#define RUN_UNTIL(f, condition)                                                                                        \
    do {                                                                                                               \
        int64_t patience = clock_ms() + PATIENCE_MS;                                                                   \
        while (!(condition)) {                                                                                         \
            uv_run(&(f)->loop, UV_RUN_ONCE);                                                                           \
            if (clock_ms() > patience)                                                                                 \
                fail_msg("never came: " #condition " (advice: %s)", (f)->view.advice);                                 \
        }                                                                                                              \
    } while (0)

static void on_passed(uv_timer_t *timer)
{
    ((struct fixture *)timer->data)->passed = true;
}

/* For what must not happen: gives it time to. */
static void let_pass(struct fixture *f, uint64_t ms)
{
    uv_timer_t timer;

    f->passed = false;
    uv_timer_init(&f->loop, &timer);
    timer.data = f;
    uv_timer_start(&timer, on_passed, ms, 0);
    RUN_UNTIL(f, f->passed);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static struct client *client(struct fixture *f)
{
    return &((struct methods_network *)f->network)->client;
}

static void on_answer(void *user, const struct iq_reply *reply)
{
    struct fixture *f = user;

    f->answers++;
    f->last = *reply;
}

static uint64_t ask(struct fixture *f, const char *text, struct error *err)
{
    struct client *c = client(f);
    struct jid to = jid("ana@example.org/desk");
    xmpp_stanza_t *iq = stanza_iq(c->ctx, "set", stanza_add_text(c->ctx, stanza_new(c->ctx, "test", "urn:test"), text));
    uint64_t ticket = iq_ask(c->iq, iq, &to, PATIENCE_MS, on_answer, f, err);

    xmpp_stanza_release(iq);
    return ticket;
}

/* ---- connecting */

static void stay(struct talk *t)
{
    if (talk_login(t, BOUND) && talk_roster(t, ""))
        talk_drain(t);
}

static void it_logs_in_and_binds(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, stay);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    assert_string_equal(f->view.jid, BOUND);
    assert_string_equal(f->view.advice, "");
    assert_true(client(f)->online);
}

static void bind_another(struct talk *t)
{
    if (talk_login(t, "gateway@example.org/chosen-by-the-server"))
        talk_drain(t);
}

static void it_is_who_the_server_says(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, bind_another);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    assert_string_equal(client(f)->self.text, "gateway@example.org/chosen-by-the-server");
}

static void note_presence(struct talk *t)
{
    struct fixture *f = t->user;

    if (talk_login(t, BOUND) && talk_roster(t, "") && talk_expect(t, "</presence>"))
        atomic_store(&f->noted, strstr(t->last, NS_CAPS) ? 1 : 2);
    talk_drain(t);
}

static void presence_with_caps_follows_the_roster(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, note_presence);
    RUN_UNTIL(f, atomic_load(&f->noted) != 0);
    assert_int_equal(atomic_load(&f->noted), 1);
}

/* libstrophe waits with select(), which aborts the process for its socket at 1024 or more. */
static void it_connects_beside_many_open_descriptors(void **state)
{
    struct fixture *f = *state;
    int fds[MANY_FDS], highest = 0;

    for (size_t i = 0; i < MANY_FDS; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        highest = fds[i] > highest ? fds[i] : highest;
    }
    assert_true(highest >= 1024);
    listen_and_start(f, stay);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    stop(f);
    for (size_t i = 0; i < MANY_FDS; i++)
        close(fds[i]);
}

static void it_tries_again_when_refused(void **state)
{
    struct fixture *f = *state;

    serve(f, stay); /* nobody listens there yet */
    start(f);
    RUN_UNTIL(f, f->view.state == NETWORK_OFFLINE && f->view.next_connect != 0);
    assert_non_null(strstr(f->view.advice, "is the server running"));
    xmpp_server_listen(f->server);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    assert_int_equal(f->view.reconnects, 0); /* it was never connected before */
}

/* "localhost" is ::1 first on most machines; the server is only on 127.0.0.1. */
static void it_tries_every_address(void **state)
{
    struct fixture *f = *state;

    f->settings.server = "localhost";
    f->settings.reconnect_min_ms = f->settings.reconnect_max_ms; /* no second round in this test's time */
    listen_and_start(f, stay);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
}

static void a_name_without_an_address_is_told(void **state)
{
    struct fixture *f = *state;

    f->settings.server = "no-such-host.invalid";
    start(f);
    RUN_UNTIL(f, f->view.next_connect != 0);
    assert_non_null(strstr(f->view.advice, "no-such-host.invalid"));
}

/* ---- security */

static void without_tls_only_loopback_is_dialled(void **state)
{
    struct fixture *f = *state;

    f->settings.server = "192.0.2.1"; /* RFC 5737 */
    start(f);
    RUN_UNTIL(f, f->view.next_connect != 0);
    assert_non_null(strstr(f->view.advice, "tls = off is only for a server on this machine"));
}

static const char stream_without_tls[] =
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    "id='s1' version='1.0'><stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    "<mechanism>PLAIN</mechanism></mechanisms></stream:features>";

static void offer_no_tls(struct talk *t)
{
    struct fixture *f = t->user;

    talk_expect(t, "<stream:stream");
    talk_send(t, stream_without_tls);
    atomic_store(&f->noted, talk_expect(t, "<auth") ? 2 : 1);
}

static void a_server_whose_starttls_was_stripped_gets_no_password(void **state)
{
    struct fixture *f = *state;

    f->settings.tls = XMPP_TLS_REQUIRED;
    listen_and_start(f, offer_no_tls);
    RUN_UNTIL(f, f->view.next_connect != 0 && atomic_load(&f->noted) != 0);
    assert_int_equal(atomic_load(&f->noted), 1);
    assert_non_null(strstr(f->view.advice, "offers no TLS"));
    assert_true(f->view.next_connect - clock_wall_ms() > f->settings.reconnect_max_ms / 2);
}

/* Promises TLS, takes the first bytes of the handshake, and says nothing more: the loop is stuck inside libstrophe
 * until the watchdog, here this thread, shakes it. */
static void stall_the_handshake(struct talk *t)
{
    struct fixture *f = t->user;
    char hello[1];

    if (t->nth > 0)
        return;
    talk_expect(t, "<stream:stream");
    talk_expect(t, ">");
    talk_send(t, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                 "xmlns:stream='http://etherx.jabber.org/streams' id='s1' version='1.0'><stream:features>"
                 "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>");
    talk_expect(t, "urn:ietf:params:xml:ns:xmpp-tls\"/>");
    talk_send(t, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    if (read(t->fd, hello, 1) != 1 || hello[0] != 22 || !xmpp_handshaking(f->network))
        return;
    atomic_store(&f->noted, 1);
    xmpp_shake(f->network);
    talk_drain(t);
}

static void a_stalled_tls_handshake_is_shaken_loose(void **state)
{
    struct fixture *f = *state;

    f->settings.tls = XMPP_TLS_REQUIRED;
    listen_and_start(f, stall_the_handshake);
    RUN_UNTIL(f, f->view.state == NETWORK_OFFLINE && f->view.next_connect != 0);
    assert_int_equal(atomic_load(&f->noted), 1);
    assert_false(xmpp_handshaking(f->network));
}

static void refuse_the_password(struct talk *t)
{
    talk_expect(t, "<stream:stream");
    talk_send(t, stream_without_tls);
    talk_expect(t, "</auth>");
    talk_send(t, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
    talk_drain(t);
}

static void a_refused_login_is_told_and_tried_seldom(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, refuse_the_password);
    RUN_UNTIL(f, f->view.next_connect != 0);
    assert_non_null(strstr(f->view.advice, "check [xmpp] jid and password"));
    assert_true(f->view.next_connect - clock_wall_ms() > f->settings.reconnect_max_ms / 2);
}

/* ---- as a component (XEP-0114)
 *
 * In each of these libstrophe 0.12 would crash, were its connection not primed: at the first stanza of either side, at
 * the end of the stream, and where nobody listens. */

#define FILES "files.example.org"

static void be_component(struct fixture *f)
{
    f->settings.jid = jid("jidpost@" FILES);
    f->settings.password = NULL;
    f->settings.secret = "s3cret";
}

static void ask_an_address(struct talk *t)
{
    struct fixture *f = t->user;

    if (!talk_component(t, FILES))
        return;
    talk_send(t, "<iq type='get' id='p1' from='ana@example.org/desk' to='reports@" FILES "/x'>"
                 "<ping xmlns='urn:xmpp:ping'/></iq>");
    if (talk_expect(t, "id=\"p1\"") && talk_expect(t, ">"))
        atomic_store(&f->noted, 1);
    talk_drain(t);
}

static void a_component_answers_for_every_address_of_its_domain(void **state)
{
    struct fixture *f = *state;

    be_component(f);
    listen_and_start(f, ask_an_address);
    RUN_UNTIL(f, atomic_load(&f->noted) == 1);
    assert_int_equal(f->view.state, NETWORK_ONLINE);
    assert_int_equal(strncmp(f->view.jid, "jidpost@" FILES "/", strlen("jidpost@" FILES "/")), 0);
}

static void ask_another_domain(struct talk *t)
{
    struct fixture *f = t->user;

    if (!talk_component(t, FILES))
        return;
    talk_send(t, "<iq type='get' id='p1' from='ana@example.org/desk' to='other.example.org'>"
                 "<ping xmlns='urn:xmpp:ping'/></iq>");
    if (talk_expect(t, "service-unavailable") && talk_expect(t, ">"))
        atomic_store(&f->noted, 1);
    talk_drain(t);
}

/* ejabberd hands over what is for any domain of the listener. */
static void a_component_serves_no_other_domain(void **state)
{
    struct fixture *f = *state;

    be_component(f);
    listen_and_start(f, ask_another_domain);
    RUN_UNTIL(f, atomic_load(&f->noted) == 1);
}

static void hear_who_asks(struct talk *t)
{
    struct fixture *f = t->user;

    if (!talk_component(t, FILES) || !talk_expect(t, "urn:test"))
        return;
    atomic_store(&f->noted, strstr(t->last, "from=\"jidpost@" FILES "/") ? 1 : 2);
}

static void a_component_says_who_asks_and_comes_back_when_cut(void **state)
{
    struct fixture *f = *state;

    be_component(f);
    listen_and_start(f, hear_who_asks);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    assert_int_not_equal(ask(f, "", NULL), 0);
    RUN_UNTIL(f, f->answers == 1);
    assert_int_equal(f->last.outcome, IQ_DISCONNECTED);
    assert_int_equal(atomic_load(&f->noted), 1);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE && f->view.reconnects == 1);
}

static void greet_and_hang_up(struct talk *t)
{
    if (talk_component(t, FILES))
        talk_send(t, "<message from='ana@example.org/desk' to='jidpost@" FILES "'><body>hi</body></message>");
}

static void a_component_reconnects_a_hundred_times_in_the_same_memory(void **state)
{
    struct fixture *f = *state;
    size_t early;

    be_component(f);
    f->settings.reconnect_min_ms = f->settings.reconnect_max_ms = 1;
    serve(f, greet_and_hang_up);
    start(f);
    RUN_UNTIL(f, *f->view.advice); /* nobody listens there yet */
    xmpp_server_listen(f->server);
    RUN_UNTIL(f, f->view.reconnects >= 20);
    early = mallinfo2().uordblks; /* 0 with a sanitizer, which counts leaks itself */
    RUN_UNTIL(f, f->view.reconnects >= 120);
    assert_true(mallinfo2().uordblks <= early + 64 * 1024);
}

static void refuse_component(struct talk *t)
{
    const struct fixture *f = t->user;

    talk_component_refused(t, FILES, f->sends);
}

static void a_refused_component_is_told_what_to_mend_and_tries_seldom(void **state)
{
    static const struct {
        const char *condition, *advice;
    } rows[] = {
        {"not-authorized", "check [xmpp] jid and component_secret"},
        {"host-unknown", "the server knows no component " FILES},
        {"conflict", "another connection is the component " FILES},
    };
    struct fixture *f = *state;

    be_component(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        f->sends = rows[i].condition;
        f->view = (struct network_view){0};
        listen_and_start(f, refuse_component);
        RUN_UNTIL(f, f->view.next_connect != 0);
        assert_int_equal(f->view.state, NETWORK_OFFLINE);
        if (!strstr(f->view.advice, rows[i].advice))
            fail_msg("%s: %s", rows[i].condition, f->view.advice);
        assert_true(f->view.next_connect - clock_wall_ms() > f->settings.reconnect_max_ms / 2);
        stop(f);
        f->stopped = false;
        xmpp_server_destroy(&f->server);
    }
}

/* ---- staying connected */

static void take_the_place(struct talk *t)
{
    if (!talk_login(t, BOUND) || !talk_roster(t, ""))
        return;
    talk_send(t, "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                 "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced</text></stream:error></stream:stream>");
    talk_drain(t);
}

/* Two gateways with one resource would throw each other out for ever. */
static void a_conflict_ends_the_session_with_advice(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, take_the_place);
    RUN_UNTIL(f, f->view.state == NETWORK_STOPPED);
    assert_non_null(strstr(f->view.advice, "another client"));
    assert_int_equal(f->view.next_connect, 0);
    let_pass(f, 10 * (uint64_t)f->settings.reconnect_min_ms);
    assert_int_equal(xmpp_server_connections(f->server), 1);
}

static void hang_up_on_the_first(struct talk *t)
{
    if (!talk_login(t, BOUND) || !talk_roster(t, ""))
        return;
    if (t->nth == 0)
        talk_expect(t, "urn:test");
    else
        talk_drain(t);
}

static void a_lost_connection_answers_what_was_asked_and_comes_back(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, hang_up_on_the_first);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    assert_int_not_equal(ask(f, "", NULL), 0);
    RUN_UNTIL(f, f->answers == 1);
    assert_int_equal(f->last.outcome, IQ_DISCONNECTED);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE && f->view.reconnects == 1);
}

static void break_the_first_stream(struct talk *t)
{
    if (!talk_login(t, BOUND) || !talk_roster(t, ""))
        return;
    if (t->nth == 0)
        talk_send(t, "<iq></presence>");
    talk_drain(t);
}

/* libstrophe tells the server that it cannot parse this, and then waits for ever. */
static void a_stream_that_cannot_be_parsed_is_found_dead_by_ping(void **state)
{
    struct fixture *f = *state;

    f->settings.ping_interval_ms = 30;
    f->settings.ping_timeout_ms = 50;
    listen_and_start(f, break_the_first_stream);
    RUN_UNTIL(f, xmpp_server_connections(f->server) == 2);
    assert_true(f->view.reconnects >= 1);
}

static void break_off_in_a_text(struct talk *t)
{
    if (!talk_login(t, BOUND) || !talk_roster(t, ""))
        return;
    if (t->nth == 0)
        talk_send(t, "<message from='example.org'><body>unfini");
    else
        talk_drain(t);
}

/* libstrophe 0.12.2 keeps the length of such a text, and puts as many bytes of anything before the next stream's first
 * one: the name of a login mechanism. */
static void a_text_that_was_cut_short_does_not_spoil_the_next_login(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, break_off_in_a_text);
    RUN_UNTIL(f, xmpp_server_connections(f->server) == 2);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE || strstr(f->view.advice, "refused"));
    assert_int_equal(f->view.state, NETWORK_ONLINE);
}

static void answer_pings(struct talk *t)
{
    struct fixture *f = t->user;

    if (!talk_login(t, BOUND) || !talk_roster(t, ""))
        return;
    while (talk_iq(t))
        if (strstr(t->last, NS_PING)) {
            talk_printf(t,
                        "<iq type='error' from='example.org' id='%s'><error type='cancel'><service-unavailable "
                        "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
                        talk_id(t));
            atomic_fetch_add(&f->noted, 1);
        }
}

static void any_answer_to_a_ping_will_do(void **state)
{
    struct fixture *f = *state;

    f->settings.ping_interval_ms = 10;
    f->settings.ping_timeout_ms = 5000;
    listen_and_start(f, answer_pings);
    RUN_UNTIL(f, atomic_load(&f->noted) == 3);
    assert_int_equal(f->view.state, NETWORK_ONLINE);
}

/* ---- sending */

static void answer_tests(struct talk *t)
{
    if (!talk_login(t, BOUND) || !talk_roster(t, ""))
        return;
    while (talk_iq(t))
        if (strstr(t->last, "urn:test"))
            talk_printf(t, "<iq type='result' from='ana@example.org/desk' id='%s'/>", talk_id(t));
}

static void a_large_stanza_is_sent_whole(void **state)
{
    enum { LARGE = 3 << 20 };
    struct fixture *f = *state;
    char *text = malloc(LARGE + 1);

    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    listen_and_start(f, answer_tests);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    assert_int_not_equal(ask(f, text, NULL), 0);
    assert_int_not_equal(ask(f, "", NULL), 0);
    RUN_UNTIL(f, f->answers == 2);
    assert_int_equal(f->last.outcome, IQ_RESULT);
    free(text);
}

enum { QUESTIONS = 20 };

static void ask_the_client(struct talk *t)
{
    struct fixture *f = t->user;
    int64_t start;

    if (!talk_login(t, BOUND) || !talk_roster(t, "") || !talk_expect(t, "</presence>"))
        return;
    start = clock_ms();
    for (int i = 0; i < QUESTIONS; i++) {
        talk_printf(t, "<iq type='get' from='ana@example.org/desk' id='q%d'><ping xmlns='" NS_PING "'/></iq>", i);
        talk_expect(t, "type=\"result\"");
        talk_expect(t, ">");
    }
    atomic_store(&f->noted, (int)(clock_ms() - start) + 1);
    talk_drain(t);
}

/* libstrophe sends at the head of its turn what the tail of the last one queued: without one more turn every answer
 * would wait for the tick. */
static void an_answer_leaves_at_once(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, ask_the_client);
    RUN_UNTIL(f, atomic_load(&f->noted) != 0);
    assert_in_range(atomic_load(&f->noted), 1, QUESTIONS * 1000 / 2);
}

static void sending_has_a_cap(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    unsigned sent = 0;

    listen_and_start(f, answer_tests);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    while (sent < 1000 * 1000 && ask(f, "", &err)) /* the loop does not turn, so nothing leaves */
        sent++;
    assert_int_equal(err.code, ERR_XMPP_DISCONNECTED);
    assert_in_range(sent, 1000, 10 * 1000);
    RUN_UNTIL(f, f->answers == sent); /* and what was taken is sent */
    assert_int_equal(f->last.outcome, IQ_RESULT);
    assert_int_not_equal(ask(f, "", &err), 0);
}

static void nothing_is_sent_while_offline(void **state)
{
    struct fixture *f = *state;
    struct error err;

    serve(f, stay);
    start(f);
    assert_int_equal(ask(f, "", &err), 0);
    assert_int_equal(err.code, ERR_XMPP_DISCONNECTED);
}

/* ---- stanzas that are too much */

/* Of this thread alone, so that a busy machine changes nothing. */
static int64_t work_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / (1000 * 1000);
}

static void send_repeated(struct talk *t, const char *opening, const char *text, unsigned times, const char *closing)
{
    struct buf b = {0};

    buf_puts(&b, opening);
    for (unsigned i = 0; i < times; i++)
        buf_puts(&b, text);
    buf_puts(&b, closing);
    talk_send(t, b.data);
    buf_free(&b);
}

/* What a stranger may send through our server, then a question. */
static void flood_and_ask(struct talk *t)
{
    struct fixture *f = t->user;

    if (!talk_login(t, BOUND) || !talk_roster(t, "") || !talk_expect(t, "</presence>"))
        return;
    send_repeated(t, "<message from='eve@example.net/x'><body>", f->sends, f->times, "</body></message>");
    talk_send(t, "<iq type='get' from='ana@example.org/desk' id='after'><ping xmlns='" NS_PING "'/></iq>");
    if (talk_expect(t, "id=\"after\""))
        atomic_store(&f->noted, 1);
    talk_drain(t);
}

static void a_flood_holds_nobody_up(struct fixture *f, const char *text, unsigned times)
{
    int64_t before = work_ms();

    f->sends = text;
    f->times = times;
    listen_and_start(f, flood_and_ask);
    RUN_UNTIL(f, atomic_load(&f->noted) != 0);
    assert_in_range(work_ms() - before, 0, 1000);
}

static void a_stanza_of_60000_elements_holds_nobody_up(void **state)
{
    a_flood_holds_nobody_up(*state, "<a/>", 60000);
}

static void a_stanza_of_60000_entities_holds_nobody_up(void **state)
{
    a_flood_holds_nobody_up(*state, "&lt;", 60000);
}

static void a_stanza_of_250000_empty_lines_holds_nobody_up(void **state)
{
    a_flood_holds_nobody_up(*state, "\n", 250000);
}

enum { FLOOD_STANZAS = 20, FLOOD_ELEMENTS = 4000 };

/* Each within the limits, and together more work than the loop may be kept from everything else. */
static void flood_with_many(struct talk *t)
{
    if (!talk_login(t, BOUND) || !talk_roster(t, "") || !talk_expect(t, "</presence>"))
        return;
    for (unsigned i = 0; i < FLOOD_STANZAS; i++)
        send_repeated(t, "<message from='eve@example.net/x'>", "<a/>", FLOOD_ELEMENTS, "</message>");
    talk_send(t, "<iq type='get' from='ana@example.org/desk' id='after'><ping xmlns='" NS_PING "'/></iq>");
    if (talk_expect(t, "id=\"after\""))
        atomic_store(&((struct fixture *)t->user)->noted, 1);
    talk_drain(t);
}

static void many_stanzas_leave_the_loop_time_for_others(void **state)
{
    struct fixture *f = *state;
    int64_t longest = 0, patience = clock_ms() + PATIENCE_MS;

    listen_and_start(f, flood_with_many);
    while (atomic_load(&f->noted) == 0 && clock_ms() < patience) {
        int64_t before = work_ms();

        uv_run(&f->loop, UV_RUN_ONCE);
        if (work_ms() - before > longest)
            longest = work_ms() - before;
    }
    assert_int_equal(atomic_load(&f->noted), 1);
    assert_in_range(longest, 0, 150);
}

static void ask_too_much(struct talk *t)
{
    struct fixture *f = t->user;

    if (!talk_login(t, BOUND) || !talk_roster(t, "") || !talk_expect(t, "</presence>"))
        return;
    send_repeated(t, "<iq type='get' from='eve@example.net/x' id='cut'><ping xmlns='" NS_PING "'/>", "<a/>",
                  STANZA_PARTS, "</iq>");
    talk_send(t, "<iq type='get' from='ana@example.org/desk' id='after'><ping xmlns='" NS_PING "'/></iq>");
    if (talk_expect(t, "id=\"after\""))
        atomic_store(&f->noted, strstr(t->last, "cut") ? 2 : 1);
    talk_drain(t);
}

static void a_stanza_that_was_cut_is_ignored_as_a_whole(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, ask_too_much);
    RUN_UNTIL(f, atomic_load(&f->noted) != 0);
    assert_int_equal(atomic_load(&f->noted), 1);
}

enum { CONTACTS = 3000 };

static void send_a_large_roster(struct talk *t)
{
    struct fixture *f = t->user;
    struct buf b = {0};
    char item[128];

    if (!talk_login(t, BOUND) || !talk_iq(t))
        return;
    for (unsigned i = 0; i < CONTACTS; i++) {
        snprintf(item, sizeof(item), "<item jid='c%u@example.org' subscription='both'><group>All</group></item>", i);
        buf_puts(&b, item);
    }
    talk_printf(t, "<iq type='result' id='%s' %s><query xmlns='" NS_ROSTER "'>", talk_id(t), f->sends);
    talk_send(t, b.data);
    talk_send(t, "</query></iq>");
    buf_free(&b);
    talk_drain(t);
}

static void a_large_roster_arrives_whole(struct fixture *f, const char *from)
{
    char text[64];

    f->sends = from;
    listen_and_start(f, send_a_large_roster);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE && contacts_ready(client(f)->contacts));
    for (unsigned i = 0; i < CONTACTS; i++) {
        struct jid who;

        snprintf(text, sizeof(text), "c%u@example.org", i);
        who = jid(text);
        assert_true(contacts_known(client(f)->contacts, &who));
    }
}

static void a_roster_of_3000_contacts_arrives_whole(void **state)
{
    a_large_roster_arrives_whole(*state, "");
}

static void so_it_does_when_our_account_is_named_as_sender(void **state)
{
    a_large_roster_arrives_whole(*state, "from='gateway@example.org'");
}

/* ---- stopping */

static void note_farewell(struct talk *t)
{
    struct fixture *f = t->user;

    if (!talk_login(t, BOUND) || !talk_roster(t, ""))
        return;
    atomic_store(&f->noted, talk_expect(t, "type=\"unavailable\"") && talk_expect(t, "</stream:stream>") ? 1 : 2);
    talk_send(t, "</stream:stream>");
}

static void it_says_goodbye(void **state)
{
    struct fixture *f = *state;

    listen_and_start(f, note_farewell);
    RUN_UNTIL(f, f->view.state == NETWORK_ONLINE);
    stop(f);
    xmpp_server_destroy(&f->server); /* joins the script */
    assert_int_equal(atomic_load(&f->noted), 1);
}

static void say_nothing(struct talk *t)
{
    talk_drain(t);
}

static void it_stops_at_any_stage(void **state)
{
    struct fixture *f = *state;

    serve(f, say_nothing);
    start(f); /* before the first turn */
    stop(f);
    f->stopped = false;
    start(f); /* while waiting to try again */
    RUN_UNTIL(f, f->view.next_connect != 0);
    stop(f);
    f->stopped = false;
    xmpp_server_listen(f->server);
    start(f); /* while a login goes on that will never be answered */
    RUN_UNTIL(f, xmpp_server_connections(f->server) == 1);
}

static void settings_that_cannot_work_are_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct xmpp_settings s = f->settings;

    s.password = "";
    assert_null(xmpp_create(&s, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    s = f->settings;
    s.jid = jid("example.org"); /* would be an anonymous login */
    assert_null(xmpp_create(&s, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    s = f->settings;
    s.ca = "/nowhere/ca.pem";
    assert_null(xmpp_create(&s, &err));
    assert_int_equal(err.code, ERR_CONFIG);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_logs_in_and_binds),
        TEST(it_is_who_the_server_says),
        TEST(presence_with_caps_follows_the_roster),
        TEST(it_connects_beside_many_open_descriptors),
        TEST(it_tries_again_when_refused),
        TEST(it_tries_every_address),
        TEST(a_name_without_an_address_is_told),
        TEST(without_tls_only_loopback_is_dialled),
        TEST(a_server_whose_starttls_was_stripped_gets_no_password),
        TEST(a_stalled_tls_handshake_is_shaken_loose),
        TEST(a_refused_login_is_told_and_tried_seldom),
        TEST(a_component_answers_for_every_address_of_its_domain),
        TEST(a_component_serves_no_other_domain),
        TEST(a_component_says_who_asks_and_comes_back_when_cut),
        TEST(a_component_reconnects_a_hundred_times_in_the_same_memory),
        TEST(a_refused_component_is_told_what_to_mend_and_tries_seldom),
        TEST(a_conflict_ends_the_session_with_advice),
        TEST(a_lost_connection_answers_what_was_asked_and_comes_back),
        TEST(a_stream_that_cannot_be_parsed_is_found_dead_by_ping),
        TEST(a_text_that_was_cut_short_does_not_spoil_the_next_login),
        TEST(any_answer_to_a_ping_will_do),
        TEST(a_large_stanza_is_sent_whole),
        TEST(an_answer_leaves_at_once),
        TEST(sending_has_a_cap),
        TEST(nothing_is_sent_while_offline),
        TEST(a_stanza_of_60000_elements_holds_nobody_up),
        TEST(a_stanza_of_60000_entities_holds_nobody_up),
        TEST(a_stanza_of_250000_empty_lines_holds_nobody_up),
        TEST(many_stanzas_leave_the_loop_time_for_others),
        TEST(a_stanza_that_was_cut_is_ignored_as_a_whole),
        TEST(a_roster_of_3000_contacts_arrives_whole),
        TEST(so_it_does_when_our_account_is_named_as_sender),
        TEST(it_says_goodbye),
        TEST(it_stops_at_any_stage),
        TEST(settings_that_cannot_work_are_refused),
    };

    fd_raise_limit();
    if (!fd_reserve_low(8))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
