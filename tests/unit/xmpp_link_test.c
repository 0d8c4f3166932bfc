/* xmpp/link.c: a slot, the upload, and the message that says where the file is; xmpp/messages.c: whether it came back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/fake/carrier.h"
#include "tests/fake/http.h"
#include "tests/fake/method_host.h"
#include "tests/fake/xmpp/peer.h"
#include "xmpp/ns.h"

#define BARE    "target@example.org"
#define SERVICE "upload.example.com"
#define PUT_URL "https://upload.example.com/put/1"
#define GET_URL "https://upload.example.com/get/1/a.txt"

#define ASKS_ITEMS "<iq type='get' id='*id' to='example.com'><query xmlns='" NS_DISCO_ITEMS "'/></iq>"
#define ITEMS                                                                                                          \
    "<iq type='result' id='$id' from='example.com' to='" INITIATOR "'><query xmlns='" NS_DISCO_ITEMS                   \
    "'><item jid='" SERVICE "'/></query></iq>"
#define ASKS_INFO(jid) "<iq type='get' id='*id' to='" jid "'><query xmlns='" NS_DISCO_INFO "'/></iq>"
#define INFO                                                                                                           \
    "<iq type='result' id='$id' from='" SERVICE "' to='" INITIATOR "'><query xmlns='" NS_DISCO_INFO                    \
    "'><feature var='" NS_HTTP_UPLOAD "'/></query></iq>"
#define ASKS_SLOT                                                                                                      \
    "<iq type='get' id='*id' to='" SERVICE "'><request xmlns='" NS_HTTP_UPLOAD                                         \
    "' filename='a.txt' size='3' content-type='text/plain'/></iq>"
#define SLOT                                                                                                           \
    "<iq type='result' id='$id' from='" SERVICE "' to='" INITIATOR "'><slot xmlns='" NS_HTTP_UPLOAD                    \
    "'><put url='" PUT_URL "'><header name='Cookie'>a=b</header></put><get url='" GET_URL "'/></slot></iq>"
#define LINK(hash)                                                                                                     \
    "<message type='chat' to='" BARE "' id='*sid'><body>" GET_URL "</body><x xmlns='" NS_OOB "'><url>" GET_URL         \
    "</url></x><file-sharing xmlns='" NS_SFS "' disposition='attachment'><file xmlns='" NS_FILE                        \
    "'><media-type>text/plain</media-type><name>a.txt</name><size>3</size>" hash                                       \
    "</file><sources><url-data xmlns='" NS_URL_DATA "' target='" GET_URL                                               \
    "'/></sources></file-sharing><fallback xmlns='" NS_FALLBACK "' for='" NS_SFS "'><body/></fallback></message>"
#define CAPTION "<message type='chat' to='" BARE "' id='*sid'><body>look &lt;here&gt;</body></message>"
#define PING    "<iq type='get' id='*id' to='example.com'><ping xmlns='" NS_PING "'/></iq>"
#define PONG    "<iq type='result' id='$id' from='example.com' to='" INITIATOR "'/>"
#define BOUNCE                                                                                                         \
    "<message type='error' id='$sid' from='" BARE "' to='" INITIATOR                                                   \
    "'><body>x</body><error type='cancel'><service-unavailable xmlns='" NS_STANZAS "'/></error></message>"

struct bench {
    struct peer peer;
    struct fake_carrier carrier;
    struct fake_host host;
    struct fake_http http;
    struct jid to;
    struct method *method;
};

static int setup(void **state)
{
    static struct bench b;

    memset(&b, 0, sizeof b);
    peer_start(&b.peer, NULL);
    fake_carrier_init(&b.carrier);
    fake_host_init(&b.host, &b.carrier.carrier, &b.peer.loop);
    fake_http_init(&b.http);
    b.peer.client->http = &b.http.http;
    assert_true(jid_parse(&b.to, BARE, strlen(BARE), NULL));
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;

    if (b->method)
        method_link.end(&b->method, NULL);
    assert_false(b->http.under_way);
    peer_stop(&b->peer);
    return 0;
}

static void begin(struct bench *b, const char *caption, const char *sha256)
{
    const struct offer o = {
        .to = &b->to, .name = "a.txt", .type = "text/plain", .size = 3, .caption = caption, .sha256 = sha256};
    struct error err;

    b->method = method_link.offer(&b->host.host, &b->peer.network, &o, &err);
    assert_non_null(b->method);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_says(&b->peer, ITEMS);
    peer_expects(&b->peer, ASKS_INFO(SERVICE));
    peer_says(&b->peer, INFO);
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_refuses(&b->peer, "example.com", "cancel", "service-unavailable", "");
    peer_expects(&b->peer, ASKS_SLOT);
}

static void upload(struct bench *b, const char *caption, const char *sha256)
{
    begin(b, caption, sha256);
    peer_says(&b->peer, SLOT);
    assert_int_equal(fake_host_count(&b->host, METHOD_STREAM_OPEN), 1);
    method_link.stream(b->method, &(struct shared_fd){.fd = 5});
    assert_true(b->http.under_way);
}

/* The address is asked what it is. */
static void is_a_person(struct bench *b)
{
    peer_expects(&b->peer, ASKS_INFO(BARE));
    peer_refuses(&b->peer, BARE, "cancel", "service-unavailable", "");
}

static void the_file_is_put_into_the_slot_and_the_bare_address_told_where(void **state)
{
    struct bench *b = *state;
    char timeline[1024];

    upload(b, NULL, NULL);
    assert_int_equal(b->host.reports[0].event, METHOD_ACCEPTED);
    assert_int_equal(b->host.reports[1].event, METHOD_STREAM_OPEN);
    assert_string_equal(b->http.put.url, PUT_URL);
    assert_string_equal(b->http.put.type, "text/plain");
    assert_int_equal(b->http.put.header_count, 1);
    assert_string_equal(b->http.put.headers[0].value, "a=b");
    assert_int_equal(b->http.put.fd, 5);
    assert_int_equal(b->http.put.length, 3);
    fake_http_moves(&b->http, 2);
    assert_int_equal(fake_host_last(&b->host, METHOD_PROGRESS)->moved, 2);
    peer_expects_nothing(&b->peer); /* nobody is told of what is not there yet */
    fake_http_ends(&b->http, ERR_NONE);
    is_a_person(b);
    peer_expects(&b->peer, LINK(""));
    peer_expects(&b->peer, PING);
    assert_int_equal(fake_host_count(&b->host, METHOD_LINK_SENT), 0);
    peer_says(&b->peer, PONG);
    assert_int_equal(fake_host_last(&b->host, METHOD_LINK_SENT)->moved, 3);
    assert_false(fake_host_last(&b->host, METHOD_LINK_SENT)->own_link);
    assert_int_equal(fake_host_count(&b->host, METHOD_COMPLETE), 0);
    assert_string_equal(fake_host_timeline(&b->host, timeline), "upload slot; upload slot ok; upload; upload ok; link");
}

static void a_known_digest_goes_with_the_link(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    fake_http_ends(&b->http, ERR_NONE);
    is_a_person(b);
    peer_expects(&b->peer, LINK("<hash xmlns='" NS_HASHES
                                "' algo='sha-256'>LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=</hash>"));
}

static void a_caption_comes_first_as_a_message_of_its_own(void **state)
{
    struct bench *b = *state;

    upload(b, "look <here>", NULL);
    fake_http_ends(&b->http, ERR_NONE);
    is_a_person(b);
    peer_expects(&b->peer, CAPTION);
    peer_expects(&b->peer, PING);
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, PONG);
    peer_expects(&b->peer, LINK(""));
    peer_expects(&b->peer, PING);
    peer_says(&b->peer, PONG);
    assert_int_equal(fake_host_count(&b->host, METHOD_LINK_SENT), 1);
}

static void a_message_that_comes_back_is_a_failure(void **state)
{
    static const char *const captions[] = {NULL, "look <here>"};

    for (size_t i = 0; i < 2; i++) {
        struct bench *b = *state;

        upload(b, captions[i], NULL);
        fake_http_ends(&b->http, ERR_NONE);
        is_a_person(b);
        peer_expects(&b->peer, captions[i] ? CAPTION : LINK(""));
        peer_says(&b->peer, BOUNCE);
        assert_int_equal(fake_host_error(&b->host), ERR_LINK_FAILED);
        peer_expects(&b->peer, PING);
        peer_says(&b->peer, PONG);
        peer_expects_nothing(&b->peer);
        assert_int_equal(fake_host_count(&b->host, METHOD_LINK_SENT), 0);
        teardown(state);
        setup(state);
    }
}

static void other_messages_mean_nothing(void **state)
{
    static const char *const rows[] = {
        "<message type='error' id='0123' from='" BARE "'/>",
        "<message type='error' from='" BARE "'/>",
        "<message type='chat' id='$sid' from='" BARE "'><body>thanks</body></message>",
        "<message from='" BARE "'/>",
    };
    struct bench *b = *state;

    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_NONE);
    is_a_person(b);
    peer_expects(&b->peer, LINK(""));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        peer_says(&b->peer, rows[i]);
    assert_int_equal(fake_host_error(&b->host), ERR_NONE);
}

static void what_went_wrong_with_the_slot_is_reported(void **state)
{
    struct bench *b = *state;

    begin(b, NULL, NULL);
    peer_refuses(&b->peer, SERVICE, "wait", "resource-constraint",
                 "<retry xmlns='" NS_HTTP_UPLOAD "' stamp='2023-12-03T23:42:05Z'/>");
    assert_int_equal(fake_host_error(&b->host), ERR_UPLOAD_SERVICE_QUOTA);
    assert_int_equal(fake_host_last(&b->host, METHOD_FAILED)->retry_at, 1701646925000);
}

static void what_went_wrong_with_the_upload_is_reported(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_UPLOAD_SERVICE_REFUSED);
    assert_int_equal(fake_host_error(&b->host), ERR_UPLOAD_SERVICE_REFUSED);
    peer_expects_nothing(&b->peer);
}

static void an_upload_that_cannot_begin_is_reported(void **state)
{
    struct bench *b = *state;

    begin(b, NULL, NULL);
    peer_says(&b->peer, SLOT);
    b->http.refuse = true;
    method_link.stream(b->method, &(struct shared_fd){.fd = 5});
    assert_int_equal(fake_host_error(&b->host), ERR_UPLOAD_SERVICE_FAILED);
}

static void a_session_lost_behind_the_message_is_reported(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_NONE);
    is_a_person(b);
    iq_disconnected(b->peer.client->iq);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
}

#define OWN_LINK "https://files.example.org/d/secret1/a.txt"
#define OWN                                                                                                            \
    "<message type='chat' to='" BARE "' id='*sid'><body>" OWN_LINK "</body><x xmlns='" NS_OOB "'><url>" OWN_LINK       \
    "</url></x><file-sharing xmlns='" NS_SFS "' disposition='attachment'><file xmlns='" NS_FILE                        \
    "'><media-type>text/plain</media-type><name>a.txt</name><size>3</size></file><sources><url-data "                  \
    "xmlns='" NS_URL_DATA "' target='" OWN_LINK "'/></sources></file-sharing><fallback xmlns='" NS_FALLBACK            \
    "' for='" NS_SFS "'><body/></fallback></message>"

static void use_ways(struct bench *b, const char *first, const char *second)
{
    static char *ways[3];

    ways[0] = (char *)first;
    ways[1] = (char *)second;
    b->peer.settings.link = ways;
    b->host.public_url = "https://files.example.org";
}

static void expect_own_link(struct bench *b)
{
    is_a_person(b);
    peer_expects(&b->peer, OWN);
    peer_expects(&b->peer, PING);
    peer_says(&b->peer, PONG);
    assert_int_equal(fake_host_last(&b->host, METHOD_LINK_SENT)->moved, 0);
    assert_true(fake_host_last(&b->host, METHOD_LINK_SENT)->own_link);
    assert_int_equal(fake_host_count(&b->host, METHOD_STREAM_OPEN), 1);
    assert_int_equal(b->host.published, 1);
    assert_int_equal(fake_host_error(&b->host), ERR_NONE);
}

static void a_link_of_our_own_moves_nothing(void **state)
{
    struct bench *b = *state;
    const struct offer o = {.to = &b->to, .name = "a.txt", .type = "text/plain", .size = 3};
    char timeline[1024];
    struct error err;

    use_ways(b, "own", "upload");
    b->method = method_link.offer(&b->host.host, &b->peer.network, &o, &err);
    assert_non_null(b->method);
    assert_int_equal(fake_host_count(&b->host, METHOD_STREAM_OPEN), 1);
    peer_expects_nothing(&b->peer);
    method_link.stream(b->method, &(struct shared_fd){.fd = 5});
    expect_own_link(b);
    assert_string_equal(fake_host_timeline(&b->host, timeline), "link");
    assert_string_equal(b->host.steps[0].detail, "https://files.example.org");
}

static void what_the_service_does_not_take_becomes_a_link_of_our_own(void **state)
{
    struct bench *b = *state;

    use_ways(b, "upload", "own");
    begin(b, NULL, NULL);
    peer_refuses(&b->peer, SERVICE, "modify", "not-acceptable", "<file-too-large xmlns='" NS_HTTP_UPLOAD "'/>");
    assert_int_equal(fake_host_error(&b->host), ERR_NONE);
    method_link.stream(b->method, &(struct shared_fd){.fd = 5});
    expect_own_link(b);
}

static void an_upload_that_fails_becomes_a_link_of_our_own(void **state)
{
    struct bench *b = *state;

    use_ways(b, "upload", "own");
    upload(b, NULL, NULL);
    fake_http_moves(&b->http, 2);
    fake_http_ends(&b->http, ERR_UPLOAD_SERVICE_FAILED);
    expect_own_link(b);
}

static void without_a_service_the_link_is_our_own(void **state)
{
    struct bench *b = *state;
    const struct offer o = {.to = &b->to, .name = "a.txt", .type = "text/plain", .size = 3};
    struct error err;

    use_ways(b, "upload", "own");
    b->method = method_link.offer(&b->host.host, &b->peer.network, &o, &err);
    peer_expects(&b->peer, ASKS_ITEMS);
    peer_refuses(&b->peer, "example.com", "cancel", "service-unavailable", "");
    peer_expects(&b->peer, ASKS_INFO("example.com"));
    peer_refuses(&b->peer, "example.com", "cancel", "service-unavailable", "");
    method_link.stream(b->method, &(struct shared_fd){.fd = 5});
    expect_own_link(b);
}

static void without_a_session_no_other_way_is_tried(void **state)
{
    struct bench *b = *state;

    use_ways(b, "upload", "own");
    begin(b, NULL, NULL);
    iq_disconnected(b->peer.client->iq);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
    assert_int_equal(b->host.published, 0);
}

static void where_no_way_is_left_the_refusal_is_the_reason(void **state)
{
    struct bench *b = *state;

    use_ways(b, "upload", "own");
    b->host.public_url = NULL;
    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_UPLOAD_SERVICE_REFUSED);
    assert_int_equal(fake_host_error(&b->host), ERR_UPLOAD_SERVICE_REFUSED);
    peer_expects_nothing(&b->peer);
}

static void without_any_way_nothing_begins(void **state)
{
    struct bench *b = *state;
    const struct offer o = {.to = &b->to, .name = "a.txt", .type = "text/plain", .size = 3};
    struct error err;

    use_ways(b, "own", NULL);
    b->host.public_url = NULL;
    assert_null(method_link.offer(&b->host.host, &b->peer.network, &o, &err));
    assert_int_equal(err.code, ERR_METHOD_UNSUPPORTED);
}

static void others_hear_where_a_link_leads_and_not_the_link(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_NONE);
    is_a_person(b);
    assert_string_equal(b->host.steps[b->host.step_count - 1].name, "link");
    assert_string_equal(b->host.steps[b->host.step_count - 1].detail, "https://upload.example.com");
}

#define AS_A_ROOM                                                                                                      \
    "<iq type='result' id='$id' from='" BARE "' to='" INITIATOR "'><query xmlns='" NS_DISCO_INFO                       \
    "'><identity category='conference' type='text'/><feature var='" NS_MUC "'/></query></iq>"
#define SELF BARE "/initiator"

static void a_room_is_entered_told_and_left(void **state)
{
    struct bench *b = *state;

    upload(b, "look", NULL);
    fake_http_ends(&b->http, ERR_NONE);
    peer_expects(&b->peer, ASKS_INFO(BARE));
    peer_says(&b->peer, AS_A_ROOM);
    peer_expects(&b->peer, "<presence to='" SELF "'><x xmlns='" NS_MUC "'><history maxstanzas='0'/></x></presence>");
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, "<presence from='" SELF "'/>");
    peer_expects(&b->peer, "<message type='groupchat' to='" BARE "' id='*sid'><body>look</body></message>");
    peer_expects_nothing(&b->peer);
    peer_says(&b->peer, "<message type='groupchat' from='" SELF "' id='$sid'><body>look</body></message>");
    assert_non_null(strstr(peer_next(&b->peer), "<body>" GET_URL "</body>"));
    peer_expects_nothing(&b->peer);
    assert_int_equal(fake_host_count(&b->host, METHOD_LINK_SENT), 0);
    peer_says(&b->peer, "<message type='groupchat' from='" SELF "' id='$id'><body>" GET_URL "</body></message>");
    assert_int_equal(fake_host_count(&b->host, METHOD_LINK_SENT), 1);
    peer_expects(&b->peer, "<presence type='unavailable' to='" SELF "'/>");
    peer_expects_nothing(&b->peer);
}

static void a_room_that_takes_us_not_is_a_failure(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_NONE);
    peer_expects(&b->peer, ASKS_INFO(BARE));
    peer_says(&b->peer, AS_A_ROOM);
    peer_next(&b->peer);
    peer_says(&b->peer, "<presence type='error' from='" SELF
                        "'><error type='auth'><registration-required xmlns='" NS_STANZAS "'/></error></presence>");
    assert_int_equal(fake_host_error(&b->host), ERR_RECIPIENT_FORBIDS);
    peer_expects_nothing(&b->peer);
}

static void what_is_for_one_occupant_is_not_told_to_the_room(void **state)
{
    struct bench *b = *state;
    const struct offer o = {.to = &b->to, .to_one = true, .name = "a.txt", .type = "text/plain", .size = 3};
    struct error err;

    use_ways(b, "own", NULL);
    b->method = method_link.offer(&b->host.host, &b->peer.network, &o, &err);
    method_link.stream(b->method, &(struct shared_fd){.fd = 5});
    peer_expects(&b->peer, ASKS_INFO(BARE));
    peer_says(&b->peer, AS_A_ROOM);
    assert_int_equal(fake_host_error(&b->host), ERR_LINK_FAILED);
    peer_expects_nothing(&b->peer);
}

static void who_does_not_say_what_he_is_is_told_as_a_person(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_NONE);
    peer_expects(&b->peer, ASKS_INFO(BARE));
    peer_skip(&b->peer);
    peer_expects(&b->peer, LINK(""));
}

static void who_is_on_a_server_out_of_reach_is_told_nothing(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, NULL);
    fake_http_ends(&b->http, ERR_NONE);
    peer_expects(&b->peer, ASKS_INFO(BARE));
    peer_refuses(&b->peer, BARE, "cancel", "remote-server-not-found", "");
    assert_int_equal(fake_host_error(&b->host), ERR_REMOTE_SERVER_UNREACHABLE);
    peer_expects_nothing(&b->peer);
}

static void without_a_session_nothing_is_announced(void **state)
{
    struct bench *b = *state;

    upload(b, NULL, NULL);
    b->peer.deaf = true;
    fake_http_ends(&b->http, ERR_NONE);
    assert_int_equal(fake_host_error(&b->host), ERR_XMPP_DISCONNECTED);
}

/* Its end comes at any step, and whatever was asked has no one to tell. */
static void an_ended_link_hears_nothing(void **state)
{
    for (unsigned steps = 0; steps < 4; steps++) {
        struct bench *b = *state;
        size_t reported;

        begin(b, NULL, NULL);
        if (steps > 0) {
            peer_says(&b->peer, SLOT);
            method_link.stream(b->method, &(struct shared_fd){.fd = 5});
        }
        if (steps > 1)
            fake_http_ends(&b->http, ERR_NONE);
        if (steps > 2)
            is_a_person(b);
        reported = b->host.report_count;
        method_link.end(&b->method, &(struct error){.code = ERR_CANCELLED});
        assert_null(b->method);
        assert_false(b->http.under_way);
        if (steps == 0) {
            peer_says(&b->peer, SLOT);
        } else if (steps == 2) {
            is_a_person(b);
            peer_expects_nothing(&b->peer);
        } else if (steps == 3) {
            peer_expects(&b->peer, LINK(""));
            peer_expects(&b->peer, PING);
            peer_says(&b->peer, PONG);
        }
        assert_int_equal(b->host.report_count, reported);
        teardown(state);
        setup(state);
    }
}

static void it_asks_nothing_of_a_device(void **state)
{
    (void)state;
    assert_true(method_link.offline);
    assert_null(method_link.needs[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_file_is_put_into_the_slot_and_the_bare_address_told_where),
        TEST(a_known_digest_goes_with_the_link),
        TEST(a_caption_comes_first_as_a_message_of_its_own),
        TEST(a_message_that_comes_back_is_a_failure),
        TEST(other_messages_mean_nothing),
        TEST(what_went_wrong_with_the_slot_is_reported),
        TEST(what_went_wrong_with_the_upload_is_reported),
        TEST(an_upload_that_cannot_begin_is_reported),
        TEST(a_session_lost_behind_the_message_is_reported),
        TEST(a_link_of_our_own_moves_nothing),
        TEST(what_the_service_does_not_take_becomes_a_link_of_our_own),
        TEST(an_upload_that_fails_becomes_a_link_of_our_own),
        TEST(without_a_service_the_link_is_our_own),
        TEST(without_a_session_no_other_way_is_tried),
        TEST(where_no_way_is_left_the_refusal_is_the_reason),
        TEST(without_any_way_nothing_begins),
        TEST(others_hear_where_a_link_leads_and_not_the_link),
        TEST(a_room_is_entered_told_and_left),
        TEST(a_room_that_takes_us_not_is_a_failure),
        TEST(what_is_for_one_occupant_is_not_told_to_the_room),
        TEST(who_does_not_say_what_he_is_is_told_as_a_person),
        TEST(who_is_on_a_server_out_of_reach_is_told_nothing),
        TEST(without_a_session_nothing_is_announced),
        TEST(an_ended_link_hears_nothing),
        TEST(it_asks_nothing_of_a_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
