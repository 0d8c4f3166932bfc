/* Records as JSON: every field there, in one form, whatever bytes a peer sent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/json.h"

/* A member by its path, "file.name" or "attempts.0.code". */
static const json_t *at(const json_t *value, const char *path)
{
    while (value && *path) {
        size_t len = strcspn(path, ".");
        char key[32] = "";

        memcpy(key, path, len);
        value = json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10)) : json_object_get(value, key);
        path += len;
        path += *path == '.';
    }
    return value;
}

static const char *text_at(const json_t *value, const char *path)
{
    const char *text = json_string_value(at(value, path));

    return text ? text : "(none)";
}

static struct record *failed_record(void)
{
    struct record *r = record_new();
    struct attempt *a;

    id_make(r->id, "tr", 1);
    r->state = TRANSFER_FAILED;
    record_text(&r->to, "ana@example.org");
    record_text(&r->name, "a.txt");
    record_text(&r->type, "text/plain");
    r->size = r->received = 7;
    r->created = 1000;
    r->round = 1;
    r->max_rounds = 5;
    a = record_attempt(r);
    a->round = 1;
    a->started = 2000;
    a->ended = 3000;
    strcpy(a->method, "si-s5b");
    a->stage = STAGE_CONNECT;
    error_set(&a->error, ERR_PROXY_UNAVAILABLE, "proxy.example.org: refused");
    a = record_attempt(r);
    strcpy(a->method, "s5b");
    a->stage = STAGE_OFFER;
    error_set(&a->error, ERR_RECIPIENT_TIMEOUT, "10 s");
    record_step(r, STEP_RECEIVED, "streamhost-used", "error", "bad \x01\xff text");
    r->error_stage = STAGE_OFFER;
    record_fail(r, &a->error);
    return r;
}

static void a_failed_transfer_tells_its_story(void **state)
{
    struct record *r = failed_record();
    json_t *t = json_of_transfer(r);

    (void)state;
    assert_non_null(t);
    assert_string_equal(text_at(t, "object"), "transfer");
    assert_string_equal(text_at(t, "state"), "failed");
    assert_true(json_is_true(at(t, "final")));
    assert_string_equal(text_at(t, "file.name"), "a.txt");
    assert_true(json_is_null(at(t, "file.sha256")));
    assert_string_equal(text_at(t, "upload.state"), "complete");
    assert_true(json_is_null(at(t, "method.name")));
    assert_string_equal(text_at(t, "method.tried.0"), "si-s5b");
    assert_string_equal(text_at(t, "method.tried.1"), "s5b");
    assert_int_equal(json_integer_value(at(t, "attempts.0.n")), 1);
    assert_string_equal(text_at(t, "attempts.0.stage"), "connect");
    assert_string_equal(text_at(t, "attempts.0.code"), "proxy_unavailable");
    assert_string_equal(text_at(t, "attempts.0.started"), "1970-01-01T00:00:02.000Z");
    assert_int_equal(json_integer_value(at(t, "attempts.1.n")), 2);
    assert_true(json_is_null(at(t, "attempts.1.ended")));
    assert_string_equal(text_at(t, "error.code"), "recipient_timeout");
    assert_string_equal(text_at(t, "error.stage"), "offer");
    assert_string_equal(text_at(t, "timeline.0.direction"), "received");
    assert_string_equal(text_at(t, "timeline.0.step"), "streamhost-used");
    assert_string_equal(text_at(t, "timeline.0.outcome"), "error");
    assert_string_equal(text_at(t, "timeline.0.detail"), "bad \xef\xbf\xbd\xef\xbf\xbd text");
    assert_true(json_is_null(at(t, "delivery_proof")));
    assert_true(json_is_null(at(t, "finished")));
    json_decref(t);
    record_free(&r);
}

static void a_delivered_transfer_tells_how(void **state)
{
    struct record *r = failed_record();
    json_t *t;

    (void)state;
    r->state = TRANSFER_DELIVERED;
    record_fail(r, &(struct error){0});
    strcpy(r->method, "s5b");
    strcpy(r->path, "proxy");
    record_text(&r->streamhost, "proxy.example.org");
    r->proof = PROOF_PROXY_ACCEPTED;
    r->sent = 7;
    t = json_of_transfer(r);
    assert_string_equal(text_at(t, "method.name"), "s5b");
    assert_string_equal(text_at(t, "method.path"), "proxy");
    assert_string_equal(text_at(t, "method.streamhost"), "proxy.example.org");
    assert_string_equal(text_at(t, "delivery_proof"), "proxy_accepted");
    assert_int_equal(json_integer_value(at(t, "progress.sent")), 7);
    assert_true(json_is_null(at(t, "error")));
    json_decref(t);
    record_free(&r);
}

static void an_upload_has_a_state_of_its_own(void **state)
{
    static const struct {
        enum transfer_state state;
        enum upload_state upload;
        enum mode mode;
        const char *want, *want_mode;
    } rows[] = {
        {TRANSFER_TRANSFERRING, UPLOAD_RECEIVING, MODE_AUTO, "receiving", "auto"},
        {TRANSFER_QUEUED, UPLOAD_COMPLETE, MODE_SPOOL, "complete", "spool"},
        {TRANSFER_FAILED, UPLOAD_ABORTED, MODE_STREAM, "aborted", "stream"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r = failed_record();
        json_t *t;

        r->state = rows[i].state;
        r->upload = rows[i].upload;
        r->mode = rows[i].mode;
        t = json_of_transfer(r);
        assert_string_equal(text_at(t, "upload.state"), rows[i].want);
        assert_string_equal(text_at(t, "mode"), rows[i].want_mode);
        json_decref(t);
        record_free(&r);
    }
}

static void a_line_is_one_line(void **state)
{
    char *line = json_line(json_of_text("a\nb"));

    (void)state;
    assert_string_equal(line, "\"a\\nb\"\n");
    free(line);
    assert_null(json_line(NULL));
}

static void a_recipient_who_can_nothing_is_not_reachable(void **state)
{
    struct candidate_resource resource = {0};
    struct recipient who = {.resources = &resource, .count = 1, .subscribed = true};
    struct gateway_view view = {0};
    json_t *r;

    (void)state;
    assert_true(jid_parse(&who.asked, "ana@example.org", 15, NULL));
    assert_true(jid_parse(&resource.jid, "ana@example.org/desk", 20, NULL));
    r = json_of_recipient(&who, NULL, &view);
    assert_true(json_is_false(at(r, "reachable")));
    assert_string_equal(json_string_value(json_object_get(at(r, "error"), "code")), "no_common_method");
    assert_int_equal(json_array_size(at(r, "methods")), 0);
    json_decref(r);
    resource.methods[0] = "si-s5b";
    r = json_of_recipient(&who, NULL, &view);
    assert_true(json_is_true(at(r, "reachable")));
    assert_string_equal(text_at(r, "methods.0"), "si-s5b");
    assert_string_equal(text_at(r, "resources.0.jid"), "ana@example.org/desk");
    json_decref(r);
}

static void a_ladder_says_what_is_possible_and_why_not(void **state)
{
    static struct gateway_ladder ladder = {.rungs = {{.method = "si-s5b", .possible = METHOD_CAN},
                                                     {.method = "ibb", .why = "left out beside other streams"},
                                                     {.method = "link", .possible = METHOD_CAN}},
                                           .count = 3};
    struct recipient who = {.direct = true};
    struct gateway_view view = {.direct = {.host = "192.0.2.1"}, .network = {.proxy_count = 3}};
    struct error why = {.code = ERR_RECIPIENT_OFFLINE, .text = "nobody"};
    json_t *r;

    (void)state;
    assert_true(jid_parse(&ladder.rungs[0].to, "ana@example.org/desk", 20, NULL));
    assert_true(jid_parse(&ladder.rungs[2].to, "ana@example.org", 15, NULL));
    ladder.rungs[3] = (struct gateway_rung){.method = "later", .possible = METHOD_MAYBE};
    ladder.count = 4;
    strcpy(view.network.proxies[0].jid, "good.example.org");
    strcpy(view.network.proxies[0].result, "ok");
    strcpy(view.network.proxies[1].jid, "bad.example.org");
    strcpy(view.network.proxies[1].result, "proxy_refused");
    strcpy(view.network.proxies[2].jid, "new.example.org");
    r = json_of_recipient(&who, &ladder, &view);
    assert_int_equal(json_array_size(at(r, "ladder")), 4);
    assert_string_equal(text_at(r, "ladder.0.method"), "si-s5b");
    assert_string_equal(text_at(r, "ladder.0.to"), "ana@example.org/desk");
    assert_true(json_is_true(at(r, "ladder.0.possible")));
    assert_true(json_is_null(at(r, "ladder.0.why")));
    assert_true(json_is_false(at(r, "ladder.1.possible")));
    assert_true(json_is_null(at(r, "ladder.1.to")));
    assert_string_equal(text_at(r, "ladder.1.why"), "left out beside other streams");
    assert_string_equal(text_at(r, "ladder.2.to"), "ana@example.org");
    assert_true(json_is_true(at(r, "ladder.2.possible")));
    assert_true(json_is_null(at(r, "ladder.3.possible")));
    assert_true(json_is_true(at(r, "paths.direct")));
    assert_int_equal(json_array_size(at(r, "paths.proxies")), 2);
    assert_string_equal(text_at(r, "paths.proxies.0"), "good.example.org");
    assert_string_equal(text_at(r, "paths.proxies.1"), "new.example.org");
    json_decref(r);
    view.direct.host[0] = '\0'; /* nothing to tell */
    r = json_of_recipient(&who, &ladder, &view);
    assert_true(json_is_false(at(r, "paths.direct")));
    json_decref(r);
    r = json_of_unreachable(&ladder.rungs[2].to, &ladder, &why);
    assert_int_equal(json_array_size(at(r, "ladder")), 4);
    assert_true(json_is_null(at(r, "paths")));
    json_decref(r);
}

static unsigned until_none; /* reallocations; 0: there is memory */

void *__real_realloc(void *p, size_t size); /* NOLINT: the linker's names; see tests/CMakeLists.txt */
void *__wrap_realloc(void *p, size_t size);

void *__wrap_realloc(void *p, size_t size)
{
    return until_none > 0 && --until_none == 0 ? NULL : __real_realloc(p, size);
}

static void a_line_is_whole_or_there_is_none(void **state)
{
    unsigned failed = 0;
    char *line = NULL;

    (void)state;
    for (unsigned n = 1; !line; n++) {
        json_t *value = json_object();

        for (char key[] = "key a"; key[4] <= 'z'; key[4]++)
            json_object_set_new(value, key, json_string("and what it is worth"));
        until_none = n;
        line = json_line(value);
        failed += !line;
    }
    until_none = 0;
    assert_true(failed > 2);
    assert_int_equal(strlen(line), 26 * strlen("\"key a\":\"and what it is worth\",") + strlen("{}\n") - 1);
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_transfer_tells_its_story),
        cmocka_unit_test(a_delivered_transfer_tells_how),
        cmocka_unit_test(an_upload_has_a_state_of_its_own),
        cmocka_unit_test(a_line_is_one_line),
        cmocka_unit_test(a_line_is_whole_or_there_is_none),
        cmocka_unit_test(a_recipient_who_can_nothing_is_not_reachable),
        cmocka_unit_test(a_ladder_says_what_is_possible_and_why_not),
    };

    return cmocka_run_group_tests_name("api/json", tests, NULL, NULL);
}
