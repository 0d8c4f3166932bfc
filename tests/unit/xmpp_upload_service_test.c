/* xmpp/upload_service.c: where the own server takes files, and what it gives for one (XEP-0363). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/services.h"
#include "xmpp/upload_service.h"

#define SERVICE "upload.example.com"

#define ASKS_ITEMS     "<iq type='get' id='*id' to='example.com'><query xmlns='" NS_DISCO_ITEMS "'/></iq>"
#define ASKS_INFO(jid) "<iq type='get' id='*id' to='" jid "'><query xmlns='" NS_DISCO_INFO "'/></iq>"
#define ASKS_SLOT                                                                                                      \
    "<iq type='get' id='*id' to='" SERVICE "'><request xmlns='" NS_HTTP_UPLOAD                                         \
    "' filename='a.txt' size='5' content-type='text/plain'/></iq>"
#define RESULT(from, ns, content)                                                                                      \
    "<iq type='result' id='$id' from='" from "' to='" INITIATOR "'><query xmlns='" ns "'>" content "</query></iq>"
#define ITEMS(content) RESULT("example.com", NS_DISCO_ITEMS, content)
#define IS_NOT_ONE     RESULT("example.com", NS_DISCO_INFO, "")
#define IS_UPLOAD      "<feature var='" NS_HTTP_UPLOAD "'/>"
#define FORM(type, limit)                                                                                              \
    "<x xmlns='" NS_DATA_FORM "' type='result'><field var='FORM_TYPE' type='hidden'><value>" type                      \
    "</value></field><field var='max-file-size'><value>" limit "</value></field></x>"
#define SLOT(content)                                                                                                  \
    "<iq type='result' id='$id' from='" SERVICE "' to='" INITIATOR "'><slot xmlns='" NS_HTTP_UPLOAD "'>" content       \
    "</slot></iq>"
#define PUT_URL "https://upload.example.com/put/1"
#define GET_URL "https://download.example.com/1/a.txt"
#define PUT     "<put url='" PUT_URL "'/>"
#define GET     "<get url='" GET_URL "'/>"

struct bench {
    struct peer peer;
    struct upload_service *uploads;
    unsigned dones;
    struct upload_slot *slot;
    struct error error;
    int64_t retry_at;
};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    clock_fake(1000, 1700000000000);
    peer_start(&b.peer, NULL);
    b.uploads = b.peer.client->uploads;
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    free(b->slot);
    b->slot = NULL;
    peer_stop(&b->peer);
    clock_real();
    return 0;
}

static void on_slot(void *user, struct upload_slot *slot, const struct error *err, int64_t retry_at)
{
    struct bench *b = user;

    b->dones++;
    free(b->slot);
    b->slot = slot;
    b->error = err ? *err : (struct error){0};
    b->retry_at = retry_at;
}

static uint64_t ask(struct bench *b, uint64_t size)
{
    const struct upload_file file = {.name = "a.txt", .type = "text/plain", .size = size};
    unsigned before = b->dones;
    uint64_t ticket = upload_slot_ask(b->uploads, &file, on_slot, b, &b->error);

    assert_int_equal(b->dones, before); /* never from inside the call */
    return ticket;
}

/* Up to the question for the slot, through a service that told no limit. */
static void find(struct bench *b)
{
    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='" SERVICE "'/>"));
    peer_expects(&b->peer, ASKS_INFO(SERVICE));
    peer_says(&b->peer, RESULT(SERVICE, NS_DISCO_INFO, IS_UPLOAD));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, IS_NOT_ONE);
    peer_expects(&b->peer, ASKS_SLOT);
}

static const char *takes(struct bench *b, uint64_t size)
{
    struct error why;
    enum method_can can = upload_service_takes(b->uploads, size, &why);

    if (can == METHOD_CAN)
        return "yes";
    return can == METHOD_MAYBE ? "looking" : strstr(why.text, "at most 10 ") ? "too large" : "no";
}

static void the_service_is_found_among_the_items_and_kept_an_hour(void **state)
{
    struct bench *b = *state;

    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='" SERVICE "'/>"));
    peer_expects(&b->peer, ASKS_INFO(SERVICE));
    peer_says(&b->peer, RESULT(SERVICE, NS_DISCO_INFO, IS_UPLOAD));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_expects(&b->peer, ASKS_SLOT);
    peer_says(&b->peer, SLOT(PUT GET));
    assert_int_equal(b->dones, 1);
    assert_string_equal(b->slot->put, PUT_URL);
    assert_string_equal(b->slot->get, GET_URL);
    assert_int_equal(b->slot->header_count, 0);

    clock_advance(59 * 60 * 1000);
    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_SLOT);
    clock_advance(60 * 1000);
    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
}

static void the_server_itself_may_be_the_service(void **state)
{
    struct bench *b = *state;

    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, RESULT("example.com", NS_DISCO_INFO, IS_UPLOAD));
    peer_expects(&b->peer, "<iq type='get' id='*id' to='example.com'><request xmlns='" NS_HTTP_UPLOAD
                           "' filename='a.txt' size='5' content-type='text/plain'/></iq>");
}

static void a_server_without_one_is_not_asked_again_for_ten_minutes(void **state)
{
    struct bench *b = *state;

    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_refuses(&b->peer, "example.com", "cancel", "service-unavailable", "");
    assert_int_equal(b->dones, 1);
    assert_int_equal(b->error.code, ERR_METHOD_UNSUPPORTED);
    assert_int_equal(ask(b, 5), 0);
    assert_int_equal(b->error.code, ERR_METHOD_UNSUPPORTED);
    peer_expects_nothing(&b->peer);
    clock_advance(10 * 60 * 1000);
    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
}

static void a_server_without_one_is_asked_again_in_a_new_session(void **state)
{
    struct bench *b = *state;

    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, IS_NOT_ONE);
    assert_int_equal(b->error.code, ERR_METHOD_UNSUPPORTED);
    iq_disconnected(b->peer.client->iq);
    upload_service_offline(b->uploads);
    upload_service_online(b->uploads);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, RESULT("example.com", NS_DISCO_INFO, IS_UPLOAD));
    assert_string_equal(takes(b, 5), "yes");
}

/* Others have the services asked again, too. */
static void a_service_that_others_learn_is_none_any_more_is_forgotten(void **state)
{
    struct bench *b = *state;

    find(b);
    services_doubt(b->peer.client->services, true);
    proxies_online(b->peer.client->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='" SERVICE "'/>"));
    assert_string_equal(takes(b, 5), "yes");
    peer_expects(&b->peer, ASKS_INFO(SERVICE));
    peer_says(&b->peer, RESULT(SERVICE, NS_DISCO_INFO, ""));
    assert_string_equal(takes(b, 5), "looking");
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, IS_NOT_ONE);
    assert_string_equal(takes(b, 5), "no");
    peer_expects_nothing(&b->peer);
}

/* After a login they come first. */
static void what_others_asked_already_is_not_asked_again(void **state)
{
    struct bench *b = *state;

    proxies_online(b->peer.client->proxies);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='rooms.example.com'/>"));
    peer_expects(&b->peer, ASKS_INFO("rooms.example.com"));
    peer_says(&b->peer, RESULT("rooms.example.com", NS_DISCO_INFO, ""));
    upload_service_online(b->uploads);
    assert_string_equal(takes(b, 1), "looking");
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_says(&b->peer, RESULT("example.com", NS_DISCO_INFO, IS_UPLOAD));
    assert_string_equal(takes(b, 1), "yes");
    peer_expects_nothing(&b->peer);
}

static void who_asks_meanwhile_waits_for_the_same_answer(void **state)
{
    struct bench *b = *state;

    assert_true(ask(b, 5) > 0 && ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, ITEMS("<item jid='" SERVICE "'/>"));
    peer_expects(&b->peer, ASKS_INFO(SERVICE));
    peer_says(&b->peer, RESULT(SERVICE, NS_DISCO_INFO, IS_UPLOAD));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_expects(&b->peer, ASKS_SLOT);
    peer_expects(&b->peer, ASKS_SLOT);
}

static void the_limit_stands_in_the_form_of_the_service(void **state)
{
    static const struct {
        const char *says, *form;
        uint64_t size;
        enum error_code want;
    } rows[] = {
        {"at the limit", FORM(NS_HTTP_UPLOAD, "1000"), 1000, ERR_NONE},
        {"above it", FORM(NS_HTTP_UPLOAD, "1000"), 1001, ERR_UPLOAD_SERVICE_REFUSED},
        {"a form of something else", FORM("urn:x", "1000"), 1001, ERR_NONE},
        {"no number", FORM(NS_HTTP_UPLOAD, "many"), 1001, ERR_NONE},
        {"none told", "", UINT64_C(1) << 40, ERR_NONE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        struct buf xml = {0};

        assert_true(ask(b, rows[i].size) > 0);
        peer_next(&b->peer);
        peer_says(&b->peer, ITEMS("<item jid='" SERVICE "'/>"));
        peer_expects(&b->peer, ASKS_INFO(SERVICE));
        buf_printf(&xml, RESULT(SERVICE, NS_DISCO_INFO, "%s%s"), IS_UPLOAD, rows[i].form);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
        if (b->error.code != rows[i].want)
            fail_msg("%s: %s", rows[i].says, error_name(b->error.code));
        if (rows[i].want != ERR_NONE)
            assert_non_null(strstr(b->error.text, "1000"));
        teardown(state);
        setup(state);
    }
}

/* Nobody waits for it: who looks at a recipient is told what is known by then. */
static void whether_it_takes_a_file_is_known_once_it_was_looked_for(void **state)
{
    struct bench *b = *state;

    upload_service_online(b->uploads);
    assert_string_equal(takes(b, 1), "looking");
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS("<item jid='" SERVICE "'/>"));
    peer_expects(&b->peer, ASKS_INFO(SERVICE));
    peer_says(&b->peer, RESULT(SERVICE, NS_DISCO_INFO, IS_UPLOAD FORM(NS_HTTP_UPLOAD, "10")));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    assert_string_equal(takes(b, 10), "yes"); /* whatever else may come */
    peer_says(&b->peer, IS_NOT_ONE);
    assert_string_equal(takes(b, 10), "yes");
    assert_string_equal(takes(b, 11), "too large");
    upload_service_online(b->uploads); /* known already */
    peer_expects_nothing(&b->peer);
    clock_advance(60 * 60 * 1000);
    assert_string_equal(takes(b, 1), "looking"); /* anew */
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS(""));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_refuses(&b->peer, "example.com", "cancel", "service-unavailable", "");
    assert_string_equal(takes(b, 1), "no");
}

static void of_the_headers_only_three_are_taken_each_on_one_line(void **state)
{
    struct bench *b = *state;

    find(b);
    peer_says(&b->peer, SLOT("<put url='" PUT_URL "'><header name='authorization'>Bearer a&#13;&#10;b</header>"
                             "<header name='X-Evil'>1</header><header name='Host'>evil.example</header>"
                             "<header name='Cookie'>c=d</header><header name='Expires'>never</header>"
                             "<header>nameless</header></put>" GET));
    assert_non_null(b->slot);
    assert_int_equal(b->slot->header_count, 3);
    assert_string_equal(b->slot->headers[0].name, "Authorization");
    assert_string_equal(b->slot->headers[0].value, "Bearer ab");
    assert_string_equal(b->slot->headers[1].name, "Cookie");
    assert_string_equal(b->slot->headers[1].value, "c=d");
    assert_string_equal(b->slot->headers[2].name, "Expires");
}

static void a_url_is_https_or_leads_to_this_machine(void **state)
{
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        {"https://upload.example.com/a", true},
        {"HTTPS://upload.example.com:5281/a?b#c", true},
        {"https://[2001:db8::1]/a", true},
        {"http://127.0.0.1:5280/a", true},
        {"http://127.9.9.9/a", true},
        {"http://localhost:5280/a", true},
        {"http://[::1]:5280/a", true},
        {"http://upload.example.com/a", false},
        {"http://127.0.0.1.example.com/a", false},
        {"http://localhost.example.com/a", false},
        {"http://[2001:db8::1]/a", false},
        {"http://127.0.0.1@upload.example.com/a", false},
        {"https://user:secret@upload.example.com/a", false},
        {"https://upload.example.com/a b", false},
        {"https://upload.example.com/\xc3\xa4", false},
        {"https://upload.example.com/a\\b", false},
        {"https://", false},
        {"https:///a", false},
        {"https://[::1/a", false},
        {"ftp://127.0.0.1/a", false},
        {"file:///etc/passwd", false},
        {"", false},
    };

    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;
        const char *url = rows[i / 2].url;
        struct buf xml = {0};

        find(b);
        buf_printf(&xml, SLOT("<put url='%s'/><get url='%s'/>"), i % 2 ? url : PUT_URL, i % 2 ? GET_URL : url);
        peer_says(&b->peer, xml.data);
        buf_free(&xml);
        if ((b->slot != NULL) != rows[i / 2].good)
            fail_msg("%s: %s", url, b->error.text);
        assert_int_equal(b->error.code, rows[i / 2].good ? ERR_NONE : ERR_UPLOAD_SERVICE_FAILED);
        teardown(state);
        setup(state);
    }
}

static void a_slot_that_lacks_something_is_a_failure(void **state)
{
    static const char *const rows[] = {SLOT(PUT), SLOT(GET), SLOT("<put/>" GET),
                                       "<iq type='result' id='$id' from='" SERVICE "' to='" INITIATOR "'/>"};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        find(b);
        peer_says(&b->peer, rows[i]);
        assert_null(b->slot);
        assert_int_equal(b->error.code, ERR_UPLOAD_SERVICE_FAILED);
        teardown(state);
        setup(state);
    }
}

static void values_that_do_not_fit_are_not_cut(void **state)
{
    struct bench *b = *state;
    struct buf xml = {0};

    find(b);
    buf_printf(&xml, "<iq type='result' id='$id' from='" SERVICE "' to='" INITIATOR "'><slot xmlns='" NS_HTTP_UPLOAD
                     "'><put url='" PUT_URL "'><header name='Authorization'>");
    for (size_t i = 0; i < UPLOAD_VALUE; i++)
        buf_puts(&xml, "x");
    buf_puts(&xml, "</header></put>" GET "</slot></iq>");
    peer_says(&b->peer, xml.data);
    buf_free(&xml);
    assert_null(b->slot);
    assert_int_equal(b->error.code, ERR_UPLOAD_SERVICE_FAILED);
}

static void a_refusal_means_what_its_condition_says(void **state)
{
    static const struct {
        const char *type, *condition, *more;
        enum error_code want;
        int64_t retry_at;
        const char *text;
    } rows[] = {
        {"modify", "not-acceptable",
         "<file-too-large xmlns='" NS_HTTP_UPLOAD "'><max-file-size>20000</max-file-size></file-too-large>",
         ERR_UPLOAD_SERVICE_REFUSED, 0, "20000"},
        {"wait", "resource-constraint", "<retry xmlns='" NS_HTTP_UPLOAD "' stamp='2023-12-03T23:42:05Z'/>",
         ERR_UPLOAD_SERVICE_QUOTA, 1701646925000, "2023-12-03T23:42:05"},
        {"wait", "resource-constraint", "<retry xmlns='" NS_HTTP_UPLOAD "' stamp='2023-12-04T01:42:05.5+02:00'/>",
         ERR_UPLOAD_SERVICE_QUOTA, 1701646925000, "2023-12-03T23:42:05"},
        {"wait", "resource-constraint", "<retry xmlns='" NS_HTTP_UPLOAD "' stamp='2023-12-03T22:12:05-01:30'/>",
         ERR_UPLOAD_SERVICE_QUOTA, 1701646925000, "2023-12-03T23:42:05"},
        {"wait", "resource-constraint", "<retry xmlns='" NS_HTTP_UPLOAD "' stamp='soon'/>", ERR_UPLOAD_SERVICE_QUOTA, 0,
         "for now"},
        {"wait", "resource-constraint", "", ERR_UPLOAD_SERVICE_QUOTA, 0, "for now"},
        {"cancel", "not-allowed", "", ERR_UPLOAD_SERVICE_REFUSED, 0, "not-allowed"},
        {"auth", "forbidden", "<text xmlns='" NS_STANZAS "'>members only</text>", ERR_UPLOAD_SERVICE_REFUSED, 0,
         "members only"},
        {"cancel", "internal-server-error", "", ERR_UPLOAD_SERVICE_FAILED, 0, "internal-server-error"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench *b = *state;

        find(b);
        peer_refuses(&b->peer, SERVICE, rows[i].type, rows[i].condition, rows[i].more);
        if (b->error.code != rows[i].want || b->retry_at != rows[i].retry_at || !strstr(b->error.text, rows[i].text))
            fail_msg("%s: %s at %lld: %s", rows[i].condition, error_name(b->error.code), (long long)b->retry_at,
                     b->error.text);
        teardown(state);
        setup(state);
    }
}

static void a_silent_service_is_a_failure_and_looked_for_anew(void **state)
{
    struct bench *b = *state;

    find(b);
    peer_skip(&b->peer);
    assert_int_equal(b->dones, 1);
    assert_int_equal(b->error.code, ERR_UPLOAD_SERVICE_FAILED);
    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_expects_nothing(&b->peer);
}

static void the_end_of_the_session_is_told_to_all_who_wait(void **state)
{
    struct bench *b = *state;

    find(b);
    iq_disconnected(b->peer.client->iq);
    upload_service_offline(b->uploads);
    assert_int_equal(b->dones, 1);
    assert_int_equal(b->error.code, ERR_XMPP_DISCONNECTED);
    clock_advance(60 * 60 * 1000);
    assert_true(ask(b, 5) > 0);
    peer_expects(&b->peer, ASKS_ITEMS);
    iq_disconnected(b->peer.client->iq);
    upload_service_offline(b->uploads);
    assert_int_equal(b->dones, 2);
    assert_int_equal(b->error.code, ERR_XMPP_DISCONNECTED);
    b->peer.deaf = true;
    assert_int_equal(ask(b, 5), 0);
    assert_int_equal(b->error.code, ERR_XMPP_DISCONNECTED);
}

static void who_forgets_is_not_told(void **state)
{
    struct bench *b = *state;
    uint64_t ticket = ask(b, 5);

    peer_expects(&b->peer, ASKS_ITEMS);
    upload_slot_forget(b->uploads, ticket);
    peer_says(&b->peer, ITEMS("<item jid='" SERVICE "'/>"));
    peer_expects(&b->peer, ASKS_INFO(SERVICE));
    peer_says(&b->peer, RESULT(SERVICE, NS_DISCO_INFO, IS_UPLOAD));
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_expects_nothing(&b->peer);
    ticket = ask(b, 5);
    peer_expects(&b->peer, ASKS_SLOT);
    upload_slot_forget(b->uploads, ticket);
    peer_says(&b->peer, SLOT(PUT GET));
    assert_int_equal(b->dones, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_service_is_found_among_the_items_and_kept_an_hour),
        TEST(the_server_itself_may_be_the_service),
        TEST(a_server_without_one_is_not_asked_again_for_ten_minutes),
        TEST(a_server_without_one_is_asked_again_in_a_new_session),
        TEST(a_service_that_others_learn_is_none_any_more_is_forgotten),
        TEST(what_others_asked_already_is_not_asked_again),
        TEST(who_asks_meanwhile_waits_for_the_same_answer),
        TEST(the_limit_stands_in_the_form_of_the_service),
        TEST(whether_it_takes_a_file_is_known_once_it_was_looked_for),
        TEST(of_the_headers_only_three_are_taken_each_on_one_line),
        TEST(a_url_is_https_or_leads_to_this_machine),
        TEST(a_slot_that_lacks_something_is_a_failure),
        TEST(values_that_do_not_fit_are_not_cut),
        TEST(a_refusal_means_what_its_condition_says),
        TEST(a_silent_service_is_a_failure_and_looked_for_anew),
        TEST(the_end_of_the_session_is_told_to_all_who_wait),
        TEST(who_forgets_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
