/* Every code has a status, a title and a hint; the statuses follow one rule. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/problem.h"
#include "base/metrics.h"

static void every_code_has_its_status(void **state)
{
    static const struct {
        unsigned status;
        enum error_code codes[28];
    } rows[] = {
        {400,
         {ERR_REQUEST_MALFORMED, ERR_JID_INVALID, ERR_LENGTH_CONFLICT, ERR_DIGEST_MISMATCH, ERR_DIGEST_UNSUPPORTED}},
        {401, {ERR_AUTH_MISSING, ERR_AUTH_INVALID, ERR_AUTH_EXPIRED}},
        {403,
         {ERR_SENDER_NOT_ALLOWED, ERR_SOURCE_REFUSED, ERR_HOST_NOT_ALLOWED, ERR_SCOPE_MISSING,
          ERR_RECIPIENT_NOT_ALLOWED, ERR_FROM_NOT_ALLOWED}},
        {404, {ERR_NOT_FOUND}},
        {405, {ERR_METHOD_NOT_ALLOWED}},
        {409,
         {ERR_STATE_CONFLICT, ERR_UPLOAD_OFFSET_CONFLICT, ERR_IDEMPOTENCY_IN_PROGRESS, ERR_RECIPIENT_OFFLINE,
          ERR_RECIPIENT_DECLINED, ERR_RECIPIENT_CANCELLED, ERR_RECIPIENT_BUSY, ERR_RECIPIENT_FORBIDS,
          ERR_RECIPIENT_REDIRECTS, ERR_RECIPIENT_TOO_SMALL, ERR_SECURITY_REFUSED, ERR_CANCELLED}},
        {408, {ERR_REQUEST_TIMEOUT}},
        {410, {ERR_TTL_EXPIRED, ERR_GONE, ERR_UPLOAD_EXPIRED}},
        {412, {ERR_TUS_VERSION}},
        {413, {ERR_BODY_TOO_LARGE}},
        {416, {ERR_RANGE_UNSATISFIABLE}},
        {415, {ERR_MEDIA_REFUSED}},
        {423, {ERR_UPLOAD_LOCKED}},
        {460, {ERR_CHECKSUM_MISMATCH}},
        {422, {ERR_IDEMPOTENCY_KEY_REUSE, ERR_NAME_INVALID, ERR_PARAMETER_INVALID, ERR_NO_COMMON_METHOD}},
        {429, {ERR_QUOTA_EXCEEDED, ERR_RATE_LIMITED}},
        {500, {ERR_INTERNAL, ERR_CONFIG, ERR_SYSTEM}},
        {502,
         {ERR_METHOD_UNSUPPORTED,
          ERR_PROFILE_UNSUPPORTED,
          ERR_OFFER_REJECTED,
          ERR_STREAMHOSTS_REFUSED,
          ERR_STREAMHOSTS_UNREACHABLE,
          ERR_TRANSPORT_FAILED,
          ERR_IBB_REFUSED,
          ERR_IBB_SEQUENCE_ERROR,
          ERR_PEER_ERROR,
          ERR_PEER_PROTOCOL_ERROR,
          ERR_EGRESS_BLOCKED,
          ERR_PROXY_REFUSED,
          ERR_PROXY_UNAVAILABLE,
          ERR_PROXY_BUSY,
          ERR_PROXY_FAILED,
          ERR_NOT_A_PROXY,
          ERR_PROXY_HASH_MISMATCH,
          ERR_PROXY_PAIR_INCOMPLETE,
          ERR_PROXY_ALREADY_ACTIVE,
          ERR_UPLOAD_SERVICE_REFUSED,
          ERR_UPLOAD_SERVICE_FAILED,
          ERR_LINK_FAILED,
          ERR_STREAM_BROKEN,
          ERR_TRUNCATED,
          ERR_SIZE_EXCEEDED,
          ERR_HASH_MISMATCH,
          ERR_REMOTE_SERVER_UNREACHABLE,
          ERR_SOURCE_FAILED}},
        {503,
         {ERR_DRAINING, ERR_STORE_UNAVAILABLE, ERR_XMPP_DISCONNECTED, ERR_XMPP_AUTH_FAILED, ERR_PEER_RATE_LIMITED,
          ERR_UPLOAD_SERVICE_QUOTA}},
        {504, {ERR_RECIPIENT_TIMEOUT, ERR_REMOTE_SERVER_TIMEOUT, ERR_ACTIVATION_TIMEOUT, ERR_STALLED}},
        {507, {ERR_SPOOL_FULL}},
    };
    unsigned seen = 1; /* ERR_NONE is no problem */

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t k = 0; k < 28 && rows[i].codes[k] != ERR_NONE; k++) {
            struct problem p = problem_of(rows[i].codes[k]);

            seen++;
            if (p.status != rows[i].status)
                fail_msg("%s: %u, not %u", error_name(rows[i].codes[k]), p.status, rows[i].status);
            assert_true(strlen(p.title) > 5 && strlen(p.hint) > 5);
        }
    }
    assert_int_equal(seen, ERROR_CODE_COUNT);
}

static void what_is_retried_by_itself_is_retryable(void **state)
{
    (void)state;
    for (int code = ERR_NONE + 1; code < ERROR_CODE_COUNT; code++)
        if (error_retry((enum error_code)code) == RETRY_LATER && code != ERR_XMPP_AUTH_FAILED &&
            !problem_of((enum error_code)code).retryable)
            fail_msg("%s", error_name((enum error_code)code));
}

static const char *member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void a_problem_tells_what_where_and_what_to_do(void **state)
{
    struct error err = {0};
    json_t *p;

    (void)state;
    error_set(&err, ERR_RECIPIENT_OFFLINE, "nobody at %s\xff", "ana@example.org");
    p = problem_json(&err, STAGE_RESOLVE, "rq_1", NULL);
    assert_string_equal(member(p, "type"), "/problems/recipient_offline");
    assert_string_equal(member(p, "code"), "recipient_offline");
    assert_string_equal(member(p, "detail"), "nobody at ana@example.org\xef\xbf\xbd");
    assert_string_equal(member(p, "stage"), "resolve");
    assert_string_equal(member(p, "request_id"), "rq_1");
    assert_non_null(strstr(member(p, "hint"), "contact"));
    assert_int_equal(json_integer_value(json_object_get(p, "status")), 409);
    assert_true(json_is_true(json_object_get(p, "retryable")));
    assert_null(json_object_get(p, "instance"));
    json_decref(p);
}

static void a_failed_transfer_is_the_instance_and_is_embedded(void **state)
{
    struct record *r = record_new();
    struct error err = {0};
    json_t *p;

    (void)state;
    id_make(r->id, "tr", 1);
    record_text(&r->name, "a.txt");
    error_set(&err, ERR_STALLED, "no byte for 30 s");
    p = problem_json(&err, STAGE_TRANSFER, "rq_1", r);
    assert_string_equal(member(json_object_get(p, "transfer"), "id"), r->id);
    assert_non_null(strstr(member(p, "instance"), r->id));
    json_decref(p);
    record_free(&r);
}

/* What an answer says is a value of the label, not "other". */
static void every_status_can_be_counted(void **state)
{
    char status[12];

    (void)state;
    for (unsigned c = ERR_NONE + 1; c < ERROR_CODE_COUNT; c++) {
        snprintf(status, sizeof status, "%u", problem_of((enum error_code)c).status);
        if (!metric_knows(METRIC_HTTP_REQUESTS, 2, status))
            fail_msg("%s", status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_status),
        cmocka_unit_test(what_is_retried_by_itself_is_retryable),
        cmocka_unit_test(every_status_can_be_counted),
        cmocka_unit_test(a_problem_tells_what_where_and_what_to_do),
        cmocka_unit_test(a_failed_transfer_is_the_instance_and_is_embedded),
    };

    return cmocka_run_group_tests_name("api/problem", tests, NULL, NULL);
}
