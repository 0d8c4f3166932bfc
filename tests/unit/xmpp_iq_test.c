#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "xmpp/iq.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

/* A session that keeps what was sent last. */
struct fixture {
    xmpp_ctx_t *ctx;
    uv_loop_t loop;
    struct iq_table *table;
    xmpp_stanza_t *sent; /* NULL: nothing */
    size_t sent_count;
    bool offline;
    size_t answers;
    struct iq_reply last;
};

static bool take_sent(void *user, xmpp_stanza_t *stanza)
{
    struct fixture *f = user;

    if (f->offline)
        return false;
    if (f->sent)
        xmpp_stanza_release(f->sent);
    f->sent = xmpp_stanza_clone(stanza);
    f->sent_count++;
    return true;
}

static struct jid jid(const char *text)
{
    struct jid j;

    assert_true(jid_parse(&j, text, strlen(text), NULL));
    return j;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct jid self = jid("gateway@example.org/gw");

    xmpp_initialize();
    f->ctx = xmpp_ctx_new(NULL, NULL);
    uv_loop_init(&f->loop);
    f->table = iq_create(f->ctx, &f->loop, take_sent, f);
    iq_set_self(f->table, &self);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    int rc;

    iq_destroy(&f->table);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&f->loop); /* fails while a timer of the table lives */
    if (f->sent)
        xmpp_stanza_release(f->sent);
    xmpp_ctx_free(f->ctx);
    xmpp_shutdown();
    free(f);
    return rc;
}

static void on_answer(void *user, const struct iq_reply *reply)
{
    struct fixture *f = user;

    f->answers++;
    f->last = *reply;
}

static uint64_t ask(struct fixture *f, const char *to, int64_t timeout_ms)
{
    xmpp_stanza_t *iq = stanza_iq(f->ctx, "get", stanza_new(f->ctx, "ping", NS_PING));
    struct jid j;
    uint64_t ticket;

    if (to)
        j = jid(to);
    ticket = iq_ask(f->table, iq, to ? &j : NULL, timeout_ms, on_answer, f, NULL);
    xmpp_stanza_release(iq);
    return ticket;
}

/* Feeds <iq> with these attributes and that content. */
static void feed(struct fixture *f, const char *type, const char *from, const char *id, const char *content)
{
    char text[2048];
    xmpp_stanza_t *iq;

    snprintf(text, sizeof(text), "<iq xmlns='jabber:client' type='%s' %s%s%s id='%s'>%s</iq>", type,
             from ? "from='" : "", from ? from : "", from ? "'" : "", id, content);
    iq = xmpp_stanza_new_from_string(f->ctx, text);
    assert_non_null(iq);
    iq_incoming(f->table, iq);
    xmpp_stanza_release(iq);
}

static struct iq_stats stats(struct fixture *f)
{
    struct iq_stats s;

    iq_stats(f->table, &s);
    return s;
}

static void a_question_carries_a_fresh_id_and_the_address(void **state)
{
    struct fixture *f = *state;
    char first[64];

    assert_int_not_equal(ask(f, "ana@example.org/desk", 1000), 0);
    assert_string_equal(xmpp_stanza_get_to(f->sent), "ana@example.org/desk");
    snprintf(first, sizeof(first), "%s", xmpp_stanza_get_id(f->sent));
    assert_int_equal(strlen(first), 32);
    ask(f, NULL, 1000);
    assert_null(xmpp_stanza_get_to(f->sent));
    assert_string_not_equal(xmpp_stanza_get_id(f->sent), first);
    assert_int_equal(stats(f).pending, 2);
}

static void a_reply_counts_only_from_whom_we_asked(void **state)
{
    static const struct {
        const char *says, *to, *from;
        bool counts;
    } rows[] = {
        {"the device asked", "ana@example.org/desk", "ana@example.org/desk", true},
        {"the same, written otherwise", "ana@example.org/desk", "Ana@EXAMPLE.org/desk", true},
        {"another device", "ana@example.org/desk", "ana@example.org/phone", false},
        {"another user", "ana@example.org/desk", "eve@example.org/desk", false},
        {"a resource that looks like her", "ana@example.org/desk", "example.org/ana@example.org/desk", false},
        {"her bare address", "ana@example.org/desk", "ana@example.org", false},
        {"nobody", "ana@example.org/desk", NULL, false},
        {"our server for her", "ana@example.org/desk", "example.org", false},
        {"no address, answered by nobody", NULL, NULL, true},
        {"no address, answered by our account", NULL, "gateway@example.org", true},
        {"no address, answered by our server", NULL, "example.org", true},
        {"no address, answered by a stranger", NULL, "eve@example.net/x", false},
        {"our server", "example.org", "example.org", true},
        {"our server, answered by nobody", "example.org", NULL, true},
        {"our account, answered by our server", "gateway@example.org", "example.org", true},
        {"another server, answered by nobody", "example.net", NULL, false},
        {"another server, answered by ours", "example.net", "example.org", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t answers = f->answers;
        uint64_t mismatched = stats(f).mismatched;
        uint64_t ticket = ask(f, rows[i].to, 1000);

        feed(f, "result", rows[i].from, xmpp_stanza_get_id(f->sent), "");
        if (f->answers - answers != rows[i].counts)
            fail_msg("%s: %s", rows[i].says, rows[i].counts ? "was dropped" : "was taken");
        assert_int_equal(stats(f).mismatched - mismatched, !rows[i].counts);
        iq_forget(f->table, ticket);
    }
}

static void in_component_mode_nobody_is_never_who_we_asked(void **state)
{
    static const struct {
        const char *says, *to, *from;
        bool counts;
    } rows[] = {
        {"our own domain, as it says", "example.org", "example.org", true},
        {"our own domain, said by nobody", "example.org", NULL, false},
        {"our own address, said by our domain", "gateway@example.org", "example.org", false},
        {"somebody", "ana@example.net/desk", "ana@example.net/desk", true},
    };
    struct fixture *f = *state;
    struct iq_stats before;

    iq_be_component(f->table);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t answers = f->answers;
        uint64_t ticket = ask(f, rows[i].to, 1000);

        feed(f, "result", rows[i].from, xmpp_stanza_get_id(f->sent), "");
        if (f->answers - answers != rows[i].counts)
            fail_msg("%s: %s", rows[i].says, rows[i].counts ? "was dropped" : "was taken");
        iq_forget(f->table, ticket);
    }
    before = stats(f);
    feed(f, "get", NULL, "q1", "<x xmlns='urn:x'/>");
    assert_int_equal(stats(f).mismatched, before.mismatched + 1);
}

static void a_reply_with_a_strange_id_is_counted_and_dropped(void **state)
{
    static const char *const ids[] = {"", "x", "0", "12345678901234567890123456789012"};
    struct fixture *f = *state;
    char near[64];

    ask(f, "ana@example.org/desk", 1000);
    snprintf(near, sizeof(near), "%s", xmpp_stanza_get_id(f->sent));
    near[31] = near[31] == '0' ? '1' : '0';
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        feed(f, "result", "ana@example.org/desk", ids[i], "");
    feed(f, "result", "ana@example.org/desk", near, "");
    assert_int_equal(f->answers, 0);
    assert_int_equal(stats(f).mismatched, 5);
}

static void a_reply_counts_once(void **state)
{
    struct fixture *f = *state;

    ask(f, "ana@example.org/desk", 1000);
    feed(f, "result", "ana@example.org/desk", xmpp_stanza_get_id(f->sent), "");
    feed(f, "result", "ana@example.org/desk", xmpp_stanza_get_id(f->sent), "");
    assert_int_equal(f->answers, 1);
    assert_int_equal(stats(f).pending, 0);
}

static void an_error_is_read(void **state)
{
    struct fixture *f = *state;

    ask(f, "ana@example.org/desk", 1000);
    feed(f, "error", "ana@example.org/desk", xmpp_stanza_get_id(f->sent),
         "<ping xmlns='urn:xmpp:ping'/><error type='cancel'><text xmlns='" NS_STANZAS "'>not &lt;now&gt;</text>"
         "<not-acceptable xmlns='" NS_STANZAS "'/><mine xmlns='urn:mine'/></error>");
    assert_int_equal(f->last.outcome, IQ_ERROR);
    assert_string_equal(f->last.condition, "not-acceptable");
    assert_string_equal(f->last.type, "cancel");
    assert_string_equal(f->last.text, "not <now>");
    ask(f, "ana@example.org/desk", 1000);
    feed(f, "error", "ana@example.org/desk", xmpp_stanza_get_id(f->sent), "");
    assert_int_equal(f->last.outcome, IQ_ERROR);
    assert_string_equal(f->last.condition, "");
    assert_string_equal(f->last.text, "");
}

static void silence_ends_with_a_timeout(void **state)
{
    struct fixture *f = *state;

    ask(f, "ana@example.org/desk", 5);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->last.outcome, IQ_TIMEOUT);
    assert_int_equal(stats(f).timed_out, 1);
    feed(f, "result", "ana@example.org/desk", xmpp_stanza_get_id(f->sent), "");
    assert_int_equal(f->answers, 1);
}

static void a_forgotten_question_gets_no_answer(void **state)
{
    struct fixture *f = *state;

    iq_forget(f->table, ask(f, "ana@example.org/desk", 5));
    feed(f, "result", "ana@example.org/desk", xmpp_stanza_get_id(f->sent), "");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->answers, 0);
    iq_forget(f->table, 0); /* nothing to forget is fine */
}

static void what_cannot_be_sent_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error err;
    struct jid to = jid("ana@example.org/desk");
    xmpp_stanza_t *iq = stanza_iq(f->ctx, "get", stanza_new(f->ctx, "ping", NS_PING));

    f->offline = true;
    assert_int_equal(iq_ask(f->table, iq, &to, 1000, on_answer, f, &err), 0);
    assert_int_equal(err.code, ERR_XMPP_DISCONNECTED);
    assert_int_equal(iq_ask(f->table, NULL, &to, 1000, on_answer, f, &err), 0);
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_int_equal(stats(f).pending, 0);
    xmpp_stanza_release(iq);
}

static void ask_again(void *user, const struct iq_reply *reply)
{
    struct fixture *f = user;

    on_answer(f, reply);
    ask(f, "ana@example.org/desk", 1000);
}

static void a_lost_session_answers_everything_that_was_pending(void **state)
{
    struct fixture *f = *state;
    struct jid to = jid("bob@example.org/x");
    xmpp_stanza_t *iq = stanza_iq(f->ctx, "get", stanza_new(f->ctx, "ping", NS_PING));

    ask(f, NULL, 1000);
    ask(f, "ana@example.org/desk", 1000);
    iq_ask(f->table, iq, &to, 1000, ask_again, f, NULL);
    xmpp_stanza_release(iq);
    iq_disconnected(f->table);
    assert_int_equal(f->answers, 3);
    assert_int_equal(f->last.outcome, IQ_DISCONNECTED);
    assert_int_equal(stats(f).pending, 1); /* what was asked from inside an answer is for the next session */
}

static bool serve_later(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload)
{
    struct fixture *f = user;

    assert_string_equal(xmpp_stanza_get_name(payload), "query");
    if (strcmp(from->text, "ana@example.org/desk") != 0)
        return false;
    iq_reply_result(f->table, iq, NULL);
    return true;
}

static void requests_are_answered(void **state)
{
    static const struct {
        const char *says, *type, *from, *content, *want;
    } rows[] = {
        {"served", "get", "ana@example.org/desk", "<query xmlns='urn:served'/>", "result"},
        {"served, but not for him", "get", "eve@example.net/x", "<query xmlns='urn:served'/>", "service-unavailable"},
        {"served as get only", "set", "ana@example.org/desk", "<query xmlns='urn:served'/>", "service-unavailable"},
        {"unknown", "get", "ana@example.org/desk", "<query xmlns='urn:other'/>", "service-unavailable"},
        {"from our own server", "get", NULL, "<query xmlns='urn:other'/>", "service-unavailable"},
        {"empty", "get", "ana@example.org/desk", "", "bad-request"},
        {"a result nobody asked for", "result", "ana@example.org/desk", "<query xmlns='urn:other'/>", NULL},
        {"an error is never answered", "error", "ana@example.org/desk", "<query xmlns='urn:served'/>", NULL},
        {"no type of RFC 6120", "ask", "ana@example.org/desk", "<query xmlns='urn:served'/>", NULL},
        {"no address to answer to", "get", "@example.org", "<query xmlns='urn:served'/>", NULL},
    };
    struct fixture *f = *state;

    iq_serve(f->table, "get", "urn:served", serve_later, f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        size_t sent = f->sent_count;
        const char *want = rows[i].want;

        feed(f, rows[i].type, rows[i].from, "q1", rows[i].content);
        if (f->sent_count - sent != (want != NULL))
            fail_msg("%s: %zu stanzas sent", rows[i].says, f->sent_count - sent);
        if (!want)
            continue;
        assert_string_equal(xmpp_stanza_get_id(f->sent), "q1");
        if (strcmp(want, "result") == 0)
            assert_string_equal(xmpp_stanza_get_type(f->sent), "result");
        else if (!stanza_child(stanza_child(f->sent, "error", NULL), want, NS_STANZAS))
            fail_msg("%s: not answered by %s", rows[i].says, want);
        if (rows[i].from)
            assert_string_equal(xmpp_stanza_get_to(f->sent), rows[i].from);
        else
            assert_null(xmpp_stanza_get_to(f->sent));
    }
}

static void a_failure_has_a_code(void **state)
{
    static const struct {
        const char *condition;
        enum error_code want;
    } rows[] = {
        {"service-unavailable", ERR_RECIPIENT_OFFLINE},
        {"recipient-unavailable", ERR_RECIPIENT_OFFLINE},
        {"item-not-found", ERR_RECIPIENT_OFFLINE},
        {"remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE},
        {"remote-server-timeout", ERR_REMOTE_SERVER_TIMEOUT},
        {"feature-not-implemented", ERR_METHOD_UNSUPPORTED},
        {"subscription-required", ERR_RECIPIENT_FORBIDS},
        {"registration-required", ERR_RECIPIENT_FORBIDS},
        {"policy-violation", ERR_PEER_RATE_LIMITED},
        {"undefined-condition", ERR_PEER_ERROR},
        {"", ERR_PEER_ERROR},
    };
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct iq_reply reply = {.outcome = IQ_ERROR, .text = "own words"};

        strcpy(reply.condition, rows[i].condition);
        assert_false(iq_error(&reply, "ana@example.org/desk", &err));
        if (err.code != rows[i].want)
            fail_msg("%s is %s", rows[i].condition, error_name(err.code));
        assert_non_null(strstr(err.text, "ana@example.org/desk"));
    }
    iq_error(&(struct iq_reply){.outcome = IQ_TIMEOUT}, "ana", &err);
    assert_int_equal(err.code, ERR_RECIPIENT_TIMEOUT);
    iq_error(&(struct iq_reply){.outcome = IQ_DISCONNECTED}, "ana", &err);
    assert_int_equal(err.code, ERR_XMPP_DISCONNECTED);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* libstrophe's own id handlers fall from 67,000 a second to 2,000 over 80,000 questions. */
static void the_hundred_thousandth_question_costs_what_the_first_cost(void **state)
{
    enum { TENTH = 10000 };
    struct fixture *f = *state;
    double first = 0, last = 0;

    for (int tenth = 0; tenth < 10; tenth++) {
        double start = seconds();

        for (int i = 0; i < TENTH; i++) {
            ask(f, "ana@example.org/desk", 1000);
            feed(f, "result", "ana@example.org/desk", xmpp_stanza_get_id(f->sent), "");
            if (i % 100 == 0)
                uv_run(&f->loop, UV_RUN_NOWAIT);
        }
        last = seconds() - start;
        if (tenth == 0)
            first = last;
    }
    assert_int_equal(f->answers, 10 * TENTH);
    if (last > 3 * first)
        fail_msg("10,000 questions took %.3f s at first and %.3f s at last", first, last);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_question_carries_a_fresh_id_and_the_address),
        TEST(a_reply_counts_only_from_whom_we_asked),
        TEST(in_component_mode_nobody_is_never_who_we_asked),
        TEST(a_reply_with_a_strange_id_is_counted_and_dropped),
        TEST(a_reply_counts_once),
        TEST(an_error_is_read),
        TEST(silence_ends_with_a_timeout),
        TEST(a_forgotten_question_gets_no_answer),
        TEST(what_cannot_be_sent_is_refused),
        TEST(a_lost_session_answers_everything_that_was_pending),
        TEST(requests_are_answered),
        TEST(a_failure_has_a_code),
        TEST(the_hundred_thousandth_question_costs_what_the_first_cost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
