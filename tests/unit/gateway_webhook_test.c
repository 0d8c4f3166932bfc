/* gateway/webhook*.c without its delivery: the section, the signature, the pauses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/events.h"
#include "gateway/record.h"
#include "gateway/webhook.h"
#include "gateway/webhook_schedule.h"
#include "gateway/webhook_sign.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define SECRET      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

/* The vector that implementations of Standard Webhooks share. */
static void a_signature_is_the_one_of_the_specification(void **state)
{
    static const char body[] = "{\"test\": 2432232314}";
    struct webhook_secret secret;
    char signature[SIGNATURE_TEXT];

    (void)state;
    assert_true(webhook_secret_parse(SECRET, &secret));
    assert_int_equal(secret.length, 24);
    assert_true(webhook_sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, strlen(body), signature));
    assert_string_equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void a_secret_is_whsec_and_enough_base64(void **state)
{
    static const struct {
        const char *says, *text;
        size_t length; /* 0: none */
    } rows[] = {
        {"24 bytes", SECRET, 24},
        {"32 bytes, with padding", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 32},
        {"31 bytes, with more of it", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", 31},
        {"64 bytes",
         "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", 64},
        {"no prefix", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0},
        {"another prefix", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0},
        {"nothing behind it", "whsec_", 0},
        {"21 bytes", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0},
        {"66 bytes", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
         0},
        {"far too long",
         "whsec_"
         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
         "AAAAAAAAAAAAAAAAAAAA",
         0},
        {"cut", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", 0},
        {"padding in the middle", "whsec_MfKQ9r8GKYqrTwjU=D8ILPZIo2LaLaSw", 0},
        {"a space", "whsec_ fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0},
        {"of the other alphabet", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct webhook_secret secret;
        bool ok = webhook_secret_parse(rows[i].text, &secret);

        if (ok != (rows[i].length > 0) || secret.length != rows[i].length)
            fail_msg("%s: %zu", rows[i].says, secret.length);
    }
}

static void pauses_are_those_of_the_schedule_and_a_tenth_at_most(void **state)
{
    static const int64_t minute = 60 * 1000, hour = 60 * 60 * 1000;
    const struct {
        unsigned tried;
        int64_t least; /* 0: there is none */
    } rows[] = {{1, 5000},      {2, 5 * minute}, {3, 30 * minute}, {4, 2 * hour}, {5, 5 * hour},
                {6, 10 * hour}, {7, 14 * hour},  {8, 0},           {9, 0},        {0, 0}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        static const uint32_t chances[] = {0, 1, 499, 500, UINT32_MAX};

        for (size_t k = 0; k < COUNT(chances); k++) {
            int64_t pause = 0;
            bool again = webhook_pause(rows[i].tried, 0, chances[k], &pause);

            assert_int_equal(again, rows[i].least > 0);
            assert_in_range(pause, rows[i].least, rows[i].least + rows[i].least / 10);
        }
    }
}

static void a_receiver_that_asks_for_time_gets_it_within_a_day(void **state)
{
    static const struct {
        const char *says;
        int64_t asked, pause;
    } rows[] = {{"less than is waited anyway", 1000, 5000},
                {"more", 60000, 60000},
                {"far more", INT64_C(400) * 24 * 3600 * 1000, 24 * 3600 * 1000},
                {"the largest", INT64_MAX, 24 * 3600 * 1000},
                {"nothing", -1, 5000}};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t pause = 0;

        assert_true(webhook_pause(1, rows[i].asked, 0, &pause));
        if (pause != rows[i].pause)
            fail_msg("%s: %lld", rows[i].says, (long long)pause);
    }
}

/* ---- the section */

static struct webhook *hook_of(struct webhook_list *list)
{
    struct error err = {0};
    struct webhook *w = webhook_list_at(list, "ci", &err);

    if (!w)
        fail_msg("%s", err.text);
    return w;
}

static void must_set(struct webhook *w, const char *key, const char *value)
{
    struct error err = {0};

    if (!webhook_set(w, key, value, &err))
        fail_msg("%s", err.text);
}

static void every_key_arrives(void **state)
{
    struct webhook_list list = {0}, copy;
    struct webhook *w = hook_of(&list);
    char *shown;

    (void)state;
    must_set(w, "url", "https://ana:secret@ci.example.org:8443/hooks/jidpost?key=abc#x");
    must_set(w, "secret", SECRET);
    must_set(w, "secret_old_file", "/etc/old");
    must_set(w, "events", "transfer.*, xmpp.disconnected");
    must_set(w, "to", "*@Example.ORG");
    must_set(w, "labels", "job:nightly, build:7");
    must_set(w, "allow_nets", "10.0.0.0/8 fd00::/8");
    must_set(w, "ca", "/etc/ca.pem");
    assert_true(webhook_set_secret(w, true, SECRET, NULL));
    assert_true(webhook_complete(w, NULL));
    assert_true(webhook_list_copy(&copy, &list));
    assert_true(webhook_equal(w, &copy.items[0]));
    w = &copy.items[0];
    assert_string_equal(w->name, "ci");
    assert_int_equal(w->old.length, 24);
    assert_true(w->types & EVENT_BIT(EVENT_XMPP_DISCONNECTED));
    assert_false(w->types & EVENT_BIT(EVENT_XMPP_CONNECTED));
    assert_string_equal(w->labels, "\nbuild:7\njob:nightly\n");
    assert_string_equal(w->allow_nets[1], "fd00::/8");
    assert_string_equal(w->ca, "/etc/ca.pem");
    shown = webhook_shown_url(w);
    assert_string_equal(shown, "https://ci.example.org:8443/hooks/jidpost");
    free(shown);
    w->old.bytes[3] ^= 1;
    assert_false(webhook_equal(w, &list.items[0]));
    webhook_list_free(&copy);
    webhook_list_free(&list);
}

static void what_is_wrong_is_named_with_what_to_write(void **state)
{
    static const struct {
        const char *says, *key, *value, *wanted;
    } rows[] = {
        {"a key", "event", "transfer.*", "[webhook ci] has no key 'event'; did you mean 'events'?"},
        {"another scheme", "url", "ftp://example.org/", "expected a URL, as https://ci.example.org"},
        {"a host that is a number", "url", "http://2130706433/", "no name, and no address in its usual spelling"},
        {"a hidden loopback", "url", "http://0x7f.1:80/", "no name, and no address in its usual spelling"},
        {"no host", "url", "https:///x", "no name, and no address in its usual spelling"},
        {"a space", "url", "https://a.example/ x", "expected a URL"},
        {"a secret", "secret", "hunter2", "whsec_ and base64 of 24 to 64 bytes"},
        {"a file of here", "secret_file", "ci.secret", "expected an absolute path"},
        {"an event", "events", "transfer.deliverd",
         "there is no event 'transfer.deliverd'; did you mean transfer.delivered"},
        {"progress", "events", "transfer.progress", "goes to no webhook"},
        {"no event", "events", "", "at least one"},
        {"a network", "allow_nets", "10.0.0.0/33", "'10.0.0.0/33' is no network"},
        {"a line break", "url", "https://a.example/\n", "control characters"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct webhook_list list = {0};
        struct error err = {0};

        if (webhook_set(hook_of(&list), rows[i].key, rows[i].value, &err) || !strstr(err.text, rows[i].wanted))
            fail_msg("%s: %s", rows[i].says, err.text);
        assert_null(strstr(err.text, "hunter2"));
        webhook_list_free(&list);
    }
}

static void a_url_and_a_secret_are_enough(void **state)
{
    static const struct {
        const char *says, *url, *secret, *nets, *wanted; /* NULL: it is */
    } rows[] = {
        {"https", "https://ci.example.org", SECRET, NULL, NULL},
        {"no url", NULL, SECRET, NULL, "has no url"},
        {"no secret", "https://ci.example.org", NULL, NULL, "has no secret; make one: echo whsec_$(openssl rand"},
        {"in the clear, to anywhere", "http://ci.example.org", SECRET, NULL, "would tell everything in the clear"},
        {"in the clear, to a network of ours", "http://[::1]:80/x", SECRET, "::1", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct webhook_list list = {0};
        struct webhook *w = hook_of(&list);
        struct error err = {0};
        bool ok;

        if (rows[i].url)
            must_set(w, "url", rows[i].url);
        if (rows[i].secret)
            must_set(w, "secret", rows[i].secret);
        if (rows[i].nets)
            must_set(w, "allow_nets", rows[i].nets);
        ok = webhook_complete(w, &err);
        if (ok != !rows[i].wanted || (!ok && !strstr(err.text, rows[i].wanted)))
            fail_msg("%s: %s", rows[i].says, err.text);
        webhook_list_free(&list);
    }
}

static void it_is_told_what_it_asks_for(void **state)
{
    static const struct {
        const char *events, *to;
        enum event_type type;
        const char *about;
        bool told;
        const char *wanted, *labels;
    } rows[] = {
        {NULL, NULL, EVENT_DELIVERED, "ana@example.org", true, NULL, NULL},
        {NULL, NULL, EVENT_FAILED, "ana@example.org", true, NULL, NULL},
        {NULL, NULL, EVENT_LINK_FETCHED, "ana@example.org", true, NULL, NULL},
        {NULL, NULL, EVENT_CREATED, "ana@example.org", false, NULL, NULL},
        {NULL, NULL, EVENT_XMPP_CONNECTED, NULL, false, NULL, NULL},
        {"transfer.*", NULL, EVENT_CREATED, "ana@example.org", true, NULL, NULL},
        {"*", NULL, EVENT_PROGRESS, "ana@example.org", false, NULL, NULL},
        {"*", NULL, EVENT_XMPP_CONNECTED, NULL, true, NULL, NULL},
        {"*", "*@example.org", EVENT_FAILED, "ana@example.org/desk", true, NULL, NULL},
        {"*", "*@example.org", EVENT_FAILED, "ana@example.net", false, NULL, NULL},
        {"*", "*@example.org", EVENT_XMPP_CONNECTED, NULL, false, NULL, NULL},
        {NULL, NULL, EVENT_DELIVERED, "ana@example.org", true, "job:x", "\nbuild:7\njob:x\n"},
        {NULL, NULL, EVENT_DELIVERED, "ana@example.org", false, "job:x, build:8", "\nbuild:7\njob:x\n"},
        {NULL, NULL, EVENT_DELIVERED, "ana@example.org", false, "job:x", NULL},
        {"*", NULL, EVENT_XMPP_CONNECTED, NULL, false, "job:x", NULL},
        {NULL, NULL, EVENT_INBOX_RECEIVED, "gw@example.org", false, NULL, NULL},
        {"inbox.*", NULL, EVENT_INBOX_RECEIVED, "gw@example.org", true, NULL, NULL},
        {"inbox.received", "gw@*", EVENT_INBOX_RECEIVED, "gw@example.org", true, NULL, NULL},
        {"inbox.received", "reports@*", EVENT_INBOX_RECEIVED, "gw@example.org", false, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct webhook_list list = {0};
        struct webhook *w = hook_of(&list);

        must_set(w, "url", "https://ci.example.org");
        must_set(w, "secret", SECRET);
        if (rows[i].events)
            must_set(w, "events", rows[i].events);
        if (rows[i].to)
            must_set(w, "to", rows[i].to);
        if (rows[i].wanted)
            must_set(w, "labels", rows[i].wanted);
        assert_true(webhook_complete(w, NULL));
        if (webhook_wants(w, EVENT_BIT(rows[i].type), rows[i].about, rows[i].labels) != rows[i].told)
            fail_msg("row %zu: %s", i, event_name(rows[i].type));
        webhook_list_free(&list);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_the_one_of_the_specification),
        cmocka_unit_test(a_secret_is_whsec_and_enough_base64),
        cmocka_unit_test(pauses_are_those_of_the_schedule_and_a_tenth_at_most),
        cmocka_unit_test(a_receiver_that_asks_for_time_gets_it_within_a_day),
        cmocka_unit_test(every_key_arrives),
        cmocka_unit_test(what_is_wrong_is_named_with_what_to_write),
        cmocka_unit_test(a_url_and_a_secret_are_enough),
        cmocka_unit_test(it_is_told_what_it_asks_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
