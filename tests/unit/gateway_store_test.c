/* gateway/store: what every engine promises, what SQLite adds, and the one writer above them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/store.h"
#include "tests/fake/store.h"

/* ---- a folder for every test */

static char dir[64], path[96], url[112];

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/jidpost-store-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/jidpost.db", dir);
    snprintf(url, sizeof url, "sqlite://%s", path);
    fake_store_reset();
    return 0;
}

static int tear_down(void **state)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    (void)state;
    while ((e = readdir(d)))
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return rmdir(dir);
}

/* ---- records */

static void name_id(char out[static ID_SIZE], unsigned n)
{
    snprintf(out, ID_SIZE, "tr_%026u", n);
}

static struct record *numbered(unsigned n)
{
    struct record *r = record_new();

    name_id(r->id, n);
    assert_true(record_text(&r->to, "ana@example.org"));
    assert_true(record_text(&r->name, "report.pdf"));
    assert_true(record_text(&r->token, n % 6 == 2 ? "ci-1" : NULL));
    assert_true(record_text(&r->labels, n % 3 == 1 ? "\na:1\n" : n % 3 == 2 ? "\na:1\nb:2\n" : NULL));
    assert_true(record_text(&r->batch, n > 6 ? "ba_1" : NULL));
    r->state = TRANSFER_QUEUED;
    r->created = 1000 + (int64_t)n;
    return r;
}

/* Every field set, and each to something else. */
static struct record *full(unsigned n)
{
    struct record *r = numbered(n);
    struct attempt *a;

    r->state = TRANSFER_FAILED;
    record_text(&r->to, "ana@example.org/phone");
    record_text(&r->resource, "phone");
    record_text(&r->from, "gw@example.org/jidpost");
    record_text(&r->name, "r\xc3\xa9sum\xc3\xa9 'final'; --.pdf");
    record_text(&r->type, "application/pdf");
    r->size = UINT64_C(9007199254740993); /* no double holds it */
    r->received = 11;
    r->mode = MODE_STREAM;
    r->upload = UPLOAD_ABORTED;
    record_text(&r->sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    record_text(&r->caption, "for you");
    record_text(&r->methods, "si-s5b,s5b");
    record_text(&r->labels, "\njob:backup\n");
    record_text(&r->batch, "ba_2");
    r->batch_place = 3;
    record_text(&r->request_id, "rq_1");
    record_text(&r->traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    record_text(&r->token, "ci-1");
    r->sent = 12;
    strcpy(r->method, "si-s5b");
    strcpy(r->path, "proxy");
    record_text(&r->streamhost, "proxy.example.org");
    record_text(&r->link_at, "https://files.example.org");
    record_text(&r->link_digest, "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
    r->link_expires = 14;
    r->link_fetched = 19;
    r->proof = PROOF_PEER_CLOSED;
    r->round = 2;
    r->max_rounds = 3;
    r->next_attempt_at = 13;
    r->hold_until = 14;
    r->subscribe = true;
    r->error_stage = STAGE_CONNECT;
    r->error_code = ERR_PROXY_FAILED;
    record_text(&r->error_text, "the proxy fell over");
    r->updated = 15;
    r->finished = 16;
    r->expires = 17;
    r->steps_dropped = 18;
    record_step(r, STEP_SENT, "disco", "ok", "8 features");
    record_step(r, STEP_RECEIVED, "offer", "error", "");
    for (unsigned i = 0; i < 2; i++) {
        a = record_attempt(r);
        a->round = i + 1;
        a->started = 20 + i;
        a->ended = 30 + i;
        strcpy(a->method, "si-s5b");
        strcpy(a->to, "ana@example.org/phone");
        a->stage = STAGE_OFFER;
        error_set(&a->error, ERR_OFFER_REJECTED, "not acceptable %u", i);
    }
    return r;
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a)
        assert_string_equal(a, b);
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->state, b->state);
    assert_same_text(a->to, b->to);
    assert_same_text(a->resource, b->resource);
    assert_same_text(a->from, b->from);
    assert_same_text(a->name, b->name);
    assert_same_text(a->type, b->type);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->received, b->received);
    assert_same_text(a->sha256, b->sha256);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->upload, b->upload);
    assert_same_text(a->caption, b->caption);
    assert_same_text(a->methods, b->methods);
    assert_same_text(a->labels, b->labels);
    assert_same_text(a->batch, b->batch);
    assert_int_equal(a->batch_place, b->batch_place);
    assert_same_text(a->request_id, b->request_id);
    assert_same_text(a->traceparent, b->traceparent);
    assert_same_text(a->token, b->token);
    assert_int_equal(a->sent, b->sent);
    assert_string_equal(a->method, b->method);
    assert_string_equal(a->path, b->path);
    assert_same_text(a->streamhost, b->streamhost);
    assert_same_text(a->link_at, b->link_at);
    assert_same_text(a->link_digest, b->link_digest);
    assert_int_equal(a->link_expires, b->link_expires);
    assert_int_equal(a->link_fetched, b->link_fetched);
    assert_int_equal(a->proof, b->proof);
    assert_int_equal(a->round, b->round);
    assert_int_equal(a->max_rounds, b->max_rounds);
    assert_int_equal(a->next_attempt_at, b->next_attempt_at);
    assert_int_equal(a->hold_until, b->hold_until);
    assert_int_equal(a->subscribe, b->subscribe);
    assert_int_equal(a->error_stage, b->error_stage);
    assert_int_equal(a->error_code, b->error_code);
    assert_same_text(a->error_text, b->error_text);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->updated, b->updated);
    assert_int_equal(a->finished, b->finished);
    assert_int_equal(a->expires, b->expires);
    assert_int_equal(a->steps_dropped, b->steps_dropped);
    assert_int_equal(a->step_count, b->step_count);
    for (size_t i = 0; i < a->step_count; i++) {
        assert_int_equal(a->steps[i].at, b->steps[i].at);
        assert_int_equal(a->steps[i].direction, b->steps[i].direction);
        assert_string_equal(a->steps[i].name, b->steps[i].name);
        assert_string_equal(a->steps[i].outcome, b->steps[i].outcome);
        assert_string_equal(a->steps[i].detail, b->steps[i].detail);
    }
    assert_int_equal(a->attempt_count, b->attempt_count);
    for (size_t i = 0; i < a->attempt_count; i++) {
        assert_int_equal(a->attempts[i].round, b->attempts[i].round);
        assert_int_equal(a->attempts[i].started, b->attempts[i].started);
        assert_int_equal(a->attempts[i].ended, b->attempts[i].ended);
        assert_string_equal(a->attempts[i].method, b->attempts[i].method);
        assert_string_equal(a->attempts[i].to, b->attempts[i].to);
        assert_int_equal(a->attempts[i].stage, b->attempts[i].stage);
        assert_int_equal(a->attempts[i].error.code, b->attempts[i].error.code);
        assert_string_equal(a->attempts[i].error.text, b->attempts[i].error.text);
    }
}

/* ---- every engine: the suite below sees struct store_ops alone */

static const struct store_ops *const engine = &store_sqlite;

static struct store_handle *open_handle(bool writer)
{
    struct error err = {0};
    struct store_handle *h = engine->open(url, writer, &err);

    if (!h)
        fail_msg("open: %s", err.text);
    return h;
}

static void write_record(struct store_handle *h, const struct record *r)
{
    struct error err = {0};

    if (!engine->begin(h, &err) || !engine->put(h, r, &err) || !engine->commit(h, &err))
        fail_msg("put: %s", err.text);
}

static void write_numbered(struct store_handle *h, unsigned n, const char *to, enum transfer_state in)
{
    struct record *r = numbered(n);

    record_text(&r->to, to);
    r->state = in;
    write_record(h, r);
    record_free(&r);
}

static struct record_list list(struct store_handle *h, const struct record_filter *filter)
{
    struct record_list out = {0};
    struct error err = {0};

    if (!engine->list(h, filter, &out, &err))
        fail_msg("list: %s", err.text);
    return out;
}

/* The only record of that id. */
static struct record *get(struct store_handle *h, const char *id)
{
    const struct record_filter filter = {.id = id, .limit = 2};
    struct record_list found = list(h, &filter);
    struct record *r;

    assert_int_equal(found.count, 1);
    r = found.items[0];
    found.items[0] = NULL;
    record_list_free(&found);
    return r;
}

static void what_is_put_is_read_back_whole(void **state)
{
    struct store_handle *writer = open_handle(true), *reader = open_handle(false);
    struct record *sparse = numbered(1), *rich = full(2), *back;

    (void)state;
    write_record(writer, sparse);
    write_record(writer, rich);
    back = get(reader, sparse->id);
    assert_same(sparse, back);
    record_free(&back);
    back = get(reader, rich->id);
    assert_same(rich, back);
    record_free(&back);
    record_free(&sparse);
    record_free(&rich);
    engine->close(&reader);
    engine->close(&writer);
    assert_null(writer);
}

static void every_state_stage_proof_and_code_is_read_back(void **state)
{
    struct store_handle *h = open_handle(true);

    (void)state;
    for (unsigned i = 0; i < ERROR_CODE_COUNT; i++) {
        struct record *r = numbered(i), *back;

        r->state = (enum transfer_state)(i % TRANSFER_STATE_COUNT);
        r->error_stage = (enum stage)(i % STAGE_COUNT);
        r->proof = (enum proof)(i % (PROOF_HASH_CONFIRMED + 1));
        r->error_code = (enum error_code)i;
        record_step(r, (enum step_direction)(i % (STEP_LOCAL + 1)), "step", "", "");
        write_record(h, r);
        back = get(h, r->id);
        assert_same(r, back);
        record_free(&back);
        record_free(&r);
    }
    engine->close(&h);
}

/* A transfer's life: fields change and go, steps are added, the last attempt ends, the middle is dropped. */
static void a_later_put_replaces_the_record_with_its_steps_and_attempts(void **state)
{
    struct store_handle *h = open_handle(true);
    struct record *r = full(1), *back;

    (void)state;
    write_record(h, r);
    for (unsigned round = 0; round < 12; round++) {
        record_text(&r->streamhost, round % 2 ? "p2.example.org" : NULL);
        for (unsigned i = 0; i < 30; i++)
            record_step(r, STEP_LOCAL, "again", "", "");
        for (unsigned i = 0; i < 9; i++) {
            r->attempts[r->attempt_count - 1].ended += 1;
            record_attempt(r)->round = round;
        }
        write_record(h, r);
        back = get(h, r->id);
        assert_same(r, back);
        record_free(&back);
    }
    r->step_count = 1;
    r->attempt_count = 0;
    write_record(h, r);
    back = get(h, r->id);
    assert_same(r, back);
    record_free(&back);
    record_free(&r);
    engine->close(&h);
}

static void what_was_committed_survives_a_reopen(void **state)
{
    struct store_handle *h = open_handle(true);
    struct record *r = full(1), *back;

    (void)state;
    write_record(h, r);
    engine->close(&h);
    h = open_handle(true);
    back = get(h, r->id);
    assert_same(r, back);
    record_free(&back);
    record_free(&r);
    engine->close(&h);
}

static void what_is_rolled_back_was_never_there(void **state)
{
    struct store_handle *h = open_handle(true);
    struct record *r = full(1);
    const struct record_filter all = {.limit = 10};
    struct record_list found;
    struct error err = {0};

    (void)state;
    assert_true(engine->begin(h, &err) && engine->put(h, r, &err));
    engine->rollback(h);
    engine->rollback(h); /* nothing under way is fine */
    found = list(h, &all);
    assert_int_equal(found.count, 0);
    record_list_free(&found);
    record_free(&r);
    engine->close(&h);
}

static void a_reader_sees_only_what_is_committed(void **state)
{
    struct store_handle *writer = open_handle(true), *reader = open_handle(false);
    const struct record_filter all = {.limit = 10};
    struct record *r = full(1);
    struct record_list found;
    struct error err = {0};

    (void)state;
    assert_true(engine->begin(writer, &err) && engine->put(writer, r, &err));
    found = list(reader, &all);
    assert_int_equal(found.count, 0);
    record_list_free(&found);
    assert_true(engine->commit(writer, &err));
    found = list(reader, &all);
    assert_int_equal(found.count, 1);
    record_list_free(&found);
    record_free(&r);
    engine->close(&reader);
    engine->close(&writer);
}

static void a_reader_cannot_write(void **state)
{
    struct store_handle *writer = open_handle(true), *reader = open_handle(false);
    struct error err = {0};

    (void)state;
    assert_false(engine->probe(reader, &err));
    assert_int_equal(err.code, ERR_STORE_UNAVAILABLE);
    engine->close(&reader);
    engine->close(&writer);
}

/* ids 1 to 8, newest last; the digits of want are those listed, in order */
static void lists_are_filtered_and_sorted(void **state)
{
    static const struct {
        const char *says, *want;
        struct record_filter filter;
        bool more;
    } rows[] = {
        {"newest first", "87654321", {.limit = 8}, false},
        {"cut at the limit", "876", {.limit = 3}, true},
        {"one more than there are", "87654321", {.limit = 9}, false},
        {"behind the cursor", "4321", {.before = "tr_00000000000000000000000005", .limit = 9}, false},
        {"behind the last", "", {.before = "tr_00000000000000000000000001", .limit = 9}, false},
        {"one id", "3", {.id = "tr_00000000000000000000000003", .limit = 1}, false},
        {"an id that is not there", "", {.id = "tr_0000000000000000000000000x", .limit = 1}, false},
        {"a bare address with all its resources", "8641", {.to = "ana@example.org", .limit = 9}, false},
        {"a full address alone", "4", {.to = "ana@example.org/phone", .limit = 9}, false},
        {"no address by its beginning", "", {.to = "ana@example.or", .limit = 9}, false},
        {"a wildcard is a letter", "", {.to = "ana@%", .limit = 9}, false},
        {"one state", "62", {.by_state = true, .state = TRANSFER_DELIVERED, .limit = 9}, false},
        {"the first state, which is 0", "5", {.by_state = true, .state = TRANSFER_RECEIVING, .limit = 9}, false},
        {"since", "876", {.since = 1006, .limit = 9}, false},
        {"made with one token", "82", {.token = "ci-1", .limit = 9}, false},
        {"made with one, behind the cursor",
         "2",
         {.token = "ci-1", .before = "tr_00000000000000000000000008", .limit = 9},
         false},
        {"marked with a label", "875421", {.labels = "\na:1\n", .limit = 9}, false},
        {"marked with two", "852", {.labels = "\na:1\nb:2\n", .limit = 9}, false},
        {"a label by the beginning of its value", "", {.labels = "\nb:\n", .limit = 9}, false},
        {"of one batch", "87", {.batch = "ba_1", .limit = 9}, false},
        {"a token that made none", "", {.token = "ci-", .limit = 9}, false},
        {"several at once",
         "6",
         {.to = "ana@example.org", .since = 1002, .by_state = true, .state = TRANSFER_DELIVERED, .limit = 9},
         false},
        {"unfinished, oldest first", "13578", {.unfinished = true, .limit = 9}, false},
        {"unfinished, cut", "13", {.unfinished = true, .limit = 2}, true},
        {"unfinished, behind the cursor",
         "578",
         {.unfinished = true, .before = "tr_00000000000000000000000003", .limit = 3},
         false},
        {"unfinished, all", "13578", {.unfinished = true}, false},
    };
    struct store_handle *h = open_handle(true);

    (void)state;
    write_numbered(h, 3, "ben@example.org", TRANSFER_QUEUED);
    write_numbered(h, 1, "ana@example.org", TRANSFER_QUEUED);
    write_numbered(h, 2, "ben@example.org/home", TRANSFER_DELIVERED);
    write_numbered(h, 4, "ana@example.org/phone", TRANSFER_FAILED);
    write_numbered(h, 5, "ana@example.orga", TRANSFER_RECEIVING);
    write_numbered(h, 6, "ana@example.org/desk/2", TRANSFER_DELIVERED);
    write_numbered(h, 7, "ben@example.org", TRANSFER_TRANSFERRING);
    write_numbered(h, 8, "ana@example.org/Phone", TRANSFER_OFFERING);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record_list found = list(h, &rows[i].filter);
        char got[16] = "";

        for (size_t k = 0; k < found.count; k++)
            got[k] = found.items[k]->id[ID_LEN - 1];
        if (strcmp(got, rows[i].want) != 0 || found.more != rows[i].more)
            fail_msg("%s: %s (more: %d), not %s", rows[i].says, got, found.more, rows[i].want);
        record_list_free(&found);
    }
    engine->close(&h);
}

static void pages_join_without_gap_or_overlap(void **state)
{
    struct store_handle *h = open_handle(true);
    struct record_filter filter = {.limit = 7};
    char before[ID_SIZE];
    unsigned expected = 100;
    struct record_list page;

    (void)state;
    for (unsigned n = 1; n <= 100; n++)
        write_numbered(h, n, "ana@example.org", TRANSFER_QUEUED);
    do {
        page = list(h, &filter);
        assert_true(page.count > 0);
        for (size_t i = 0; i < page.count; i++)
            assert_int_equal(page.items[i]->created, 1000 + (int64_t)expected--);
        memcpy(before, page.items[page.count - 1]->id, sizeof before);
        filter.before = before;
        record_list_free(&page);
    } while (expected > 0);
    page = list(h, &filter);
    assert_int_equal(page.count, 0);
    record_list_free(&page);
    engine->close(&h);
}

static void only_what_finished_before_is_forgotten(void **state)
{
    static const int64_t finished[] = {0, 49, 50, 51};
    const struct record_filter all = {.limit = 10};
    struct store_handle *h = open_handle(true);
    struct record_list found;
    struct error err = {0};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct record *r = full(i);

        r->finished = finished[i];
        record_text(&r->batch, NULL);
        write_record(h, r);
        record_free(&r);
    }
    assert_true(engine->begin(h, &err) && engine->forget(h, 50, 0, &err) && engine->commit(h, &err));
    found = list(h, &all);
    assert_int_equal(found.count, 3);
    assert_int_equal(found.items[0]->finished, 51);
    assert_int_equal(found.items[1]->finished, 50);
    assert_int_equal(found.items[2]->finished, 0);
    record_list_free(&found);
    engine->close(&h);
}

static void a_batch_is_forgotten_as_one(void **state)
{
    static const struct {
        int64_t first, second; /* finished */
        bool gone;
    } rows[] = {{49, 51, false}, {0, 49, false}, {49, 48, true}};
    struct error err = {0};

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct store_handle *h = open_handle(true);
        struct record *one = full(2 * i), *two = full(2 * i + 1);
        struct record_list found;
        char batch[8];

        snprintf(batch, sizeof batch, "ba_%u", i);
        record_text(&one->batch, batch);
        record_text(&two->batch, batch);
        one->finished = rows[i].first;
        two->finished = rows[i].second;
        write_record(h, one);
        write_record(h, two);
        assert_true(engine->begin(h, &err) && engine->forget(h, 50, 0, &err) && engine->commit(h, &err));
        found = list(h, &(struct record_filter){.batch = batch, .limit = 10});
        assert_int_equal(found.count, rows[i].gone ? 0 : 2);
        record_list_free(&found);
        record_free(&one);
        record_free(&two);
        engine->close(&h);
    }
}

static struct record_key key_of(const char *caller, const char *text, unsigned n)
{
    struct record_key key = {.print = {1, 0, (unsigned char)n}, .used = 100 + n};

    snprintf(key.caller, sizeof key.caller, "%s", caller);
    snprintf(key.text, sizeof key.text, "%s", text);
    name_id(key.id, n);
    return key;
}

static bool put_key(struct store_handle *h, const struct record_key *key)
{
    struct error err = {0};

    assert_true(engine->begin(h, &err));
    if (engine->put_key(h, key, &err))
        return engine->commit(h, &err);
    engine->rollback(h);
    return false;
}

static bool has_key(struct store_handle *h, const char *caller, const char *text, int64_t since, unsigned n)
{
    struct record_key key = key_of(caller, text, 0), want = key_of(caller, text, n);
    struct error err = {0};

    if (!engine->get_key(h, &key, since, &err)) {
        assert_int_equal(err.code, ERR_NOT_FOUND);
        return false;
    }
    assert_string_equal(key.id, want.id);
    assert_memory_equal(key.print, want.print, KEY_PRINT);
    assert_int_equal(key.used, want.used);
    return true;
}

static void a_key_is_its_callers_own_and_leads_to_its_transfer(void **state)
{
    struct store_handle *h = open_handle(true);
    const struct record_key keys[] = {key_of("", "a \"b\"", 1), key_of("ci", "a \"b\"", 2), key_of("ci", "b", 2)};
    const struct record_key orphan = key_of("ci", "c", 9), again = key_of("ci", "b", 1);

    (void)state;
    write_numbered(h, 1, "ana@example.org", TRANSFER_QUEUED);
    write_numbered(h, 2, "ana@example.org", TRANSFER_QUEUED);
    for (size_t i = 0; i < 3; i++)
        assert_true(put_key(h, &keys[i]));
    assert_false(put_key(h, &orphan)); /* there is no such transfer */
    engine->close(&h);
    h = open_handle(true);
    assert_true(has_key(h, "", "a \"b\"", 0, 1));
    assert_true(has_key(h, "ci", "a \"b\"", 0, 2));
    assert_true(has_key(h, "ci", "b", 102, 2));
    assert_false(has_key(h, "ci", "b", 103, 2)); /* used too long ago */
    assert_false(has_key(h, "", "b", 0, 2));
    assert_false(has_key(h, "ci", "c", 0, 9));
    assert_true(put_key(h, &again));
    assert_true(has_key(h, "ci", "b", 0, 1));
    engine->close(&h);
}

static void a_key_is_forgotten_in_its_time_or_with_its_transfer(void **state)
{
    struct store_handle *h = open_handle(true);
    struct error err = {0};

    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        const struct record_key key = key_of("", i == 1 ? "a" : i == 2 ? "b" : "c", i);
        struct record *r = full(i);

        record_text(&r->batch, NULL);
        r->finished = i == 2 ? 10 : 60;
        write_record(h, r);
        record_free(&r);
        assert_true(put_key(h, &key));
    }
    assert_true(engine->begin(h, &err) && engine->forget(h, 50, 102, &err) && engine->commit(h, &err));
    assert_false(has_key(h, "", "a", 0, 1));
    assert_false(has_key(h, "", "b", 0, 2));
    assert_true(has_key(h, "", "c", 0, 3));
    engine->close(&h);
}

/* ---- SQLite alone */

/* Runs sql over a connection of our own; the first column of its first row, or 0. */
static int64_t sql(const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    const char *tail = text;
    int64_t value = 0;
    int rc = SQLITE_OK;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    while (rc == SQLITE_OK && *tail) {
        rc = sqlite3_prepare_v2(db, tail, -1, &stmt, &tail);
        if (stmt && sqlite3_step(stmt) == SQLITE_ROW)
            value = sqlite3_column_int64(stmt, 0);
        if (stmt)
            rc = sqlite3_finalize(stmt);
    }
    if (rc != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
    return value;
}

static void nothing_below_a_forgotten_record_stays(void **state)
{
    struct store_handle *h = open_handle(true);
    struct record *r = full(1);
    struct error err = {0};

    (void)state;
    write_record(h, r);
    assert_int_equal(sql("SELECT (SELECT count(*) FROM step) + (SELECT count(*) FROM attempt)"), 4);
    assert_true(engine->begin(h, &err) && engine->forget(h, 1000, 0, &err) && engine->commit(h, &err));
    assert_int_equal(sql("SELECT (SELECT count(*) FROM step) + (SELECT count(*) FROM attempt)"), 0);
    record_free(&r);
    engine->close(&h);
}

static void rows_that_did_not_change_are_not_written_again(void **state)
{
    struct store_handle *h = open_handle(true);
    struct record *r = full(1);

    (void)state;
    write_record(h, r);
    sql("CREATE TABLE touched (what TEXT);"
        "CREATE TRIGGER a AFTER UPDATE ON step BEGIN INSERT INTO touched VALUES ('step'); END;"
        "CREATE TRIGGER b AFTER INSERT ON step BEGIN INSERT INTO touched VALUES ('step'); END;"
        "CREATE TRIGGER c AFTER UPDATE ON attempt BEGIN INSERT INTO touched VALUES ('attempt'); END;"
        "CREATE TRIGGER d AFTER DELETE ON step BEGIN INSERT INTO touched VALUES ('step'); END;");
    record_step(r, STEP_LOCAL, "one more", "", "");
    r->attempts[1].ended = 99;
    write_record(h, r);
    assert_int_equal(sql("SELECT count(*) FROM touched WHERE what = 'step'"), 1);
    assert_int_equal(sql("SELECT count(*) FROM touched WHERE what = 'attempt'"), 1);
    record_free(&r);
    engine->close(&h);
}

/* ---- deliveries */

static struct delivery *delivery(unsigned n, const char *endpoint, unsigned transfer, int64_t due)
{
    struct delivery *d = calloc(1, sizeof *d);

    snprintf(d->id, sizeof d->id, "wd_%026u", n);
    snprintf(d->endpoint, sizeof d->endpoint, "%s", endpoint);
    strcpy(d->type, "transfer.delivered");
    if (transfer)
        name_id(d->transfer, transfer);
    d->created = 1000 + (int64_t)n;
    d->due = due;
    d->body = strdup("{}");
    return d;
}

static void write_delivery(struct store_handle *h, struct delivery *d)
{
    struct error err = {0};

    if (!engine->begin(h, &err) || !engine->put_delivery(h, d, &err) || !engine->commit(h, &err))
        fail_msg("%s", err.text);
    delivery_free(&d);
}

/* "1 4": the numbers of those that are due. */
static void assert_due(struct store_handle *h, const char *endpoint, int64_t now, const char *wanted, int64_t next)
{
    struct delivery_due due;
    struct error err = {0};
    char text[200] = "";

    if (!engine->due(h, endpoint, now, 10, &due, &err))
        fail_msg("%s", err.text);
    for (struct delivery *d = due.first; d; d = d->next) {
        assert_string_equal(d->body, "{}");
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lu", *text ? " " : "",
                 strtoul(d->id + 3, NULL, 10));
    }
    assert_string_equal(text, wanted);
    assert_int_equal(due.next, next);
    delivery_free_all(&due.first);
}

static void of_a_transfer_only_the_oldest_delivery_is_due(void **state)
{
    struct store_handle *h = open_handle(true);
    struct delivery *first;

    (void)state;
    write_delivery(h, delivery(1, "ci", 1, 100));
    write_delivery(h, delivery(2, "ci", 1, 100));
    write_delivery(h, delivery(3, "ci", 2, 90));
    write_delivery(h, delivery(4, "mail", 1, 100));
    write_delivery(h, delivery(5, "ci", 0, 80));
    write_delivery(h, delivery(6, "ci", 0, 80));
    write_delivery(h, delivery(7, "ci", 3, 200));
    assert_due(h, "ci", 100, "5 6 3 1", 200);
    assert_due(h, "mail", 100, "4", 0);
    assert_due(h, "nobody", 100, "", 0);

    first = delivery(1, "ci", 1, 500); /* it failed: those of its transfer wait with it, also new ones */
    first->tried = 1;
    write_delivery(h, first);
    write_delivery(h, delivery(8, "ci", 1, 101));
    assert_due(h, "ci", 150, "5 6 3", 200);
    assert_due(h, "ci", 300, "5 6 3 7", 500);
    first = delivery(1, "ci", 1, 500);
    first->state = DELIVERY_DEAD;
    first->finished = 600;
    write_delivery(h, first);
    assert_due(h, "ci", 600, "5 6 3 7 2", 0);
    engine->close(&h);
}

static void a_delivery_is_read_back_whole_and_listed_newest_first(void **state)
{
    const struct delivery_filter page = {.endpoint = "ci", .limit = 2},
                                 one = {.id = "wd_00000000000000000000000002", .limit = 1},
                                 dead = {.by_state = true, .state = DELIVERY_DEAD, .limit = 10};
    struct store_handle *h = open_handle(true);
    struct delivery_filter rest = page;
    struct delivery_list list;
    struct delivery *d;
    uint64_t backlog;

    (void)state;
    for (unsigned n = 1; n <= 3; n++)
        write_delivery(h, delivery(n, "ci", n, 100));
    write_delivery(h, delivery(4, "mail", 1, 100));
    d = delivery(2, "ci", 2, 100);
    d->state = DELIVERY_DEAD;
    d->tried = 8;
    d->status = 500;
    strcpy(d->reason, "answered 500");
    d->finished = 7;
    write_delivery(h, d);
    assert_true(engine->list_deliveries(h, &page, &list, NULL));
    assert_int_equal(list.count, 2);
    assert_true(list.more);
    assert_string_equal(list.first->id, "wd_00000000000000000000000003");
    assert_null(list.first->body);
    rest.before = "wd_00000000000000000000000002";
    delivery_free_all(&list.first);
    assert_true(engine->list_deliveries(h, &rest, &list, NULL));
    assert_int_equal(list.count, 1);
    assert_false(list.more);
    assert_string_equal(list.first->id, "wd_00000000000000000000000001");
    delivery_free_all(&list.first);
    assert_true(engine->list_deliveries(h, &one, &list, NULL));
    assert_int_equal(list.count, 1);
    d = list.first;
    assert_string_equal(d->endpoint, "ci");
    assert_string_equal(d->type, "transfer.delivered");
    assert_string_equal(d->transfer, "tr_00000000000000000000000002");
    assert_int_equal(d->state, DELIVERY_DEAD);
    assert_int_equal(d->tried, 8);
    assert_int_equal(d->status, 500);
    assert_string_equal(d->reason, "answered 500");
    assert_int_equal(d->created, 1002);
    assert_int_equal(d->due, 100);
    assert_int_equal(d->finished, 7);
    assert_string_equal(d->body, "{}");
    delivery_free_all(&list.first);
    assert_true(engine->list_deliveries(h, &dead, &list, NULL));
    assert_int_equal(list.count, 1);
    delivery_free_all(&list.first);
    assert_true(engine->backlog(h, "ci", &backlog, NULL));
    assert_int_equal(backlog, 2);
    engine->close(&h);
}

static void deliveries_are_forgotten_when_they_are_over_or_nobody_s(void **state)
{
    const struct delivery_filter all = {.limit = 10};
    struct store_handle *h = open_handle(true);
    const int64_t week = INT64_C(7) * 24 * 3600 * 1000;
    struct delivery_list list;
    struct delivery *d;

    (void)state;
    for (unsigned n = 1; n <= 3; n++) {
        d = delivery(n, "ci", n, 100);
        d->created = n == 3 ? week : 1; /* the second is pending still, and no endpoint's */
        d->state = n == 1 ? DELIVERY_DELIVERED : DELIVERY_PENDING;
        d->finished = n == 1 ? 50 : 0;
        write_delivery(h, d);
    }
    assert_true(engine->begin(h, NULL) && engine->forget(h, 51, 0, NULL) && engine->commit(h, NULL));
    assert_true(engine->list_deliveries(h, &all, &list, NULL));
    assert_int_equal(list.count, 2);
    delivery_free_all(&list.first);
    assert_true(engine->begin(h, NULL) && engine->forget(h, week + 51, 0, NULL) && engine->commit(h, NULL));
    assert_true(engine->list_deliveries(h, &all, &list, NULL));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.first->id, "wd_00000000000000000000000003");
    delivery_free_all(&list.first);
    engine->close(&h);
}

static void a_newer_store_is_refused_and_left_alone(void **state)
{
    struct store_handle *h = open_handle(true);
    struct error err = {0};

    (void)state;
    engine->close(&h);
    assert_int_equal(sql("PRAGMA user_version"), 10);
    sql("PRAGMA user_version = 99");
    assert_null(engine->open(url, true, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_non_null(strstr(err.text, "version 99"));
    assert_non_null(strstr(err.text, "up to version 10"));
    assert_non_null(strstr(err.text, "newer jidpost"));
    assert_int_equal(sql("PRAGMA user_version"), 99);
}

extern const char embedded_schema_001[];

static void a_store_of_the_first_version_is_brought_up_to_date(void **state)
{
    static const struct record_filter all = {.limit = 10};
    struct record_list found;
    struct store_handle *h;

    (void)state;
    sql(embedded_schema_001);
    sql("PRAGMA user_version = 1;"
        "INSERT INTO transfer VALUES (1, 'tr_00000000000000000000000001', 'queued', 'ana@example.org', "
        "'ana@example.org', NULL, NULL, 'a', NULL, 1, 1, '', NULL, NULL, NULL, 0, '', '', NULL, NULL, 0, 3, 0, "
        "'request', 'none', '', 1, 1, 0, 2, 0)");
    h = open_handle(true);
    found = list(h, &all);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.items[0]->name, "a");
    assert_int_equal(found.items[0]->hold_until, 0);
    assert_false(found.items[0]->subscribe);
    found.items[0]->hold_until = 5;
    found.items[0]->subscribe = true;
    found.items[0]->state = TRANSFER_HELD;
    write_record(h, found.items[0]);
    record_list_free(&found);
    engine->close(&h);
    h = open_handle(false);
    found = list(h, &(struct record_filter){.unfinished = true}); /* so that a restart takes it up */
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0]->state, TRANSFER_HELD);
    assert_int_equal(found.items[0]->hold_until, 5);
    assert_true(found.items[0]->subscribe);
    record_list_free(&found);
    engine->close(&h);
}

static void write_file(const char *name, long offset, const char *bytes, size_t len)
{
    int fd = open(name, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, offset), len);
    close(fd);
}

static void what_is_no_store_or_damaged_is_refused(void **state)
{
    struct store_handle *h;
    struct error err = {0};
    char garbage[4096];

    (void)state;
    memset(garbage, 'x', sizeof garbage);
    write_file(path, 0, garbage, sizeof garbage);
    assert_null(engine->open(url, true, &err));
    assert_int_equal(err.code, ERR_STORE_UNAVAILABLE);
    unlink(path);

    h = open_handle(true);
    write_numbered(h, 1, "ana@example.org", TRANSFER_QUEUED);
    engine->close(&h);
    write_file(path, 4096, garbage, sizeof garbage); /* the page behind the first */
    assert_null(engine->open(url, true, &err));
    assert_int_equal(err.code, ERR_STORE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "damaged"));
}

static void a_place_that_cannot_be_opened_is_named(void **state)
{
    struct error err = {0};

    (void)state;
    assert_null(engine->open("sqlite:///nonexistent/jidpost.db", true, &err));
    assert_int_equal(err.code, ERR_STORE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "/nonexistent/jidpost.db"));
    assert_null(engine->open("sqlite://", true, &err));
    assert_int_equal(err.code, ERR_CONFIG);
}

static void the_file_is_its_owners_alone(void **state)
{
    struct store_handle *h;
    mode_t before = umask(0);
    struct stat st;
    char wal[112];

    (void)state;
    h = open_handle(true);
    umask(before);
    write_numbered(h, 1, "ana@example.org", TRANSFER_QUEUED);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    snprintf(wal, sizeof wal, "%s-wal", path);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    engine->close(&h);
}

static void a_quiet_moment_empties_the_log(void **state)
{
    struct store_handle *h = open_handle(true);
    struct stat st;
    char wal[112];

    (void)state;
    snprintf(wal, sizeof wal, "%s-wal", path);
    write_numbered(h, 1, "ana@example.org", TRANSFER_QUEUED);
    assert_int_equal(stat(wal, &st), 0);
    assert_true(st.st_size > 0);
    engine->idle(h);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_size, 0);
    engine->close(&h);
}

static int64_t log_size(void)
{
    char name[128];
    struct stat st;

    snprintf(name, sizeof name, "%s-wal", path);
    return stat(name, &st) == 0 ? st.st_size : 0;
}

/* About a mebibyte each. */
static void write_much(struct store_handle *h, unsigned from, unsigned to)
{
    char *text = malloc(1 << 20);

    memset(text, 'x', (1 << 20) - 1);
    text[(1 << 20) - 1] = '\0';
    for (unsigned i = from; i < to; i++) {
        struct record *r = numbered(i);

        record_text(&r->caption, text);
        write_record(h, r);
        record_free(&r);
    }
    free(text);
}

static void without_readers_the_log_stays_small_under_load(void **state)
{
    struct store_handle *h = open_handle(true);

    (void)state;
    for (unsigned i = 0; i < 40; i += 8) {
        write_much(h, i, i + 8);
        assert_in_range(log_size(), 1, 8 << 20);
    }
    engine->close(&h);
}

/* A reader keeps the log from being written anew. Once he is gone, it is made small again by the load itself. */
static void a_log_that_a_reader_let_grow_is_emptied_while_writing_goes_on(void **state)
{
    struct store_handle *h = open_handle(true);
    sqlite3_stmt *reading = NULL;
    sqlite3 *reader = NULL;

    (void)state;
    write_much(h, 0, 2);
    assert_int_equal(sqlite3_open(path, &reader), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(reader, "SELECT id FROM transfer", -1, &reading, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(reading), SQLITE_ROW);
    write_much(h, 2, 40);
    assert_true(log_size() > 32 << 20);
    sqlite3_finalize(reading);
    sqlite3_close(reader);
    write_much(h, 40, 44);
    assert_in_range(log_size(), 0, 8 << 20);
    engine->close(&h);
}

struct steady {
    atomic_bool over;
    pthread_t thread[2];
};

static void *read_steadily(void *user)
{
    const struct record_filter all = {.limit = 100};
    struct store_handle *h = open_handle(false);
    struct steady *s = user;

    while (!atomic_load(&s->over)) {
        struct record_list found = list(h, &all);

        record_list_free(&found);
    }
    engine->close(&h);
    return NULL;
}

static void somebody_always_reads_and_the_log_has_its_bounds(void **state)
{
    struct store_handle *h = open_handle(true);
    struct steady s = {0};
    int64_t most = 0;

    (void)state;
    write_much(h, 0, 1);
    for (size_t i = 0; i < 2; i++)
        pthread_create(&s.thread[i], NULL, read_steadily, &s);
    for (unsigned i = 0; i < 60; i++) {
        write_much(h, i % 10, i % 10 + 1);
        most = log_size() > most ? log_size() : most;
    }
    atomic_store(&s.over, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(s.thread[i], NULL);
    assert_in_range(most, 1, 40 << 20);
    engine->close(&h);
}

static void a_value_nobody_wrote_is_an_error_and_not_a_crash(void **state)
{
    static const char *const damage[] = {
        "UPDATE transfer SET state = 'levitating'", "UPDATE transfer SET error_code = 'gremlins'",
        "UPDATE transfer SET proof = 'trust me'",   "UPDATE transfer SET method = printf('%100c', 'x')",
        "UPDATE step SET direction = 'up'",         "UPDATE attempt SET stage = 'left'",
    };

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        const struct record_filter all = {.limit = 10};
        struct store_handle *h = open_handle(true);
        struct record *r = full(1);
        struct record_list found = {0};
        struct error err = {0};

        write_record(h, r);
        sql(damage[i]);
        assert_false(engine->list(h, &all, &found, &err));
        assert_int_equal(err.code, ERR_STORE_UNAVAILABLE);
        assert_null(found.items);
        write_record(h, r); /* and nothing was left open that would be in the way */
        record_free(&r);
        engine->close(&h);
    }
}

/* The whole process may write no further than so many bytes into any file: a disk that is full, as SQLite sees it. */
static struct rlimit unlimited;

static void fill_disk(rlim_t bytes)
{
    struct rlimit small;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    small = unlimited;
    small.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
}

static void clear_disk(void)
{
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
}

static void a_full_disk_fails_the_write_and_the_probe_until_there_is_room(void **state)
{
    struct store_handle *h = open_handle(true);
    struct record *r = full(1), *back;
    struct error err = {0};
    bool written, probed;

    (void)state;
    engine->idle(h);
    fill_disk(1024);
    written = engine->begin(h, &err) && engine->put(h, r, &err) && engine->commit(h, &err);
    engine->rollback(h);
    probed = engine->probe(h, &err);
    clear_disk();
    assert_false(written);
    assert_false(probed);
    assert_int_equal(err.code, ERR_STORE_UNAVAILABLE);
    assert_true(engine->probe(h, &err));
    write_record(h, r);
    back = get(h, r->id);
    assert_same(r, back);
    record_free(&back);
    record_free(&r);
    engine->close(&h);
}

/* ---- the writer, over an engine that fails and waits when told */

static struct store *open_store(void)
{
    struct error err = {0};
    struct store *store = store_open_with(&store_fake, url, &err);

    if (!store)
        fail_msg("open: %s", err.text);
    return store;
}

/* Answers, as they arrive on the writer's thread. */
struct answers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    size_t count, failed;
    bool inside_transaction; /* one came before its commit */
    bool outcomes[16];       /* of the first few, in order */
};

static struct answers fresh_answers(void)
{
    return (struct answers){.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
}

static void on_answer(void *user, const struct error *err)
{
    struct fake_store_counts counts = fake_store_counts();
    struct answers *a = user;

    pthread_mutex_lock(&a->lock);
    if (a->count < sizeof a->outcomes / sizeof *a->outcomes)
        a->outcomes[a->count] = err == NULL;
    a->count++;
    a->failed += err != NULL;
    if (!err && counts.commits == 0)
        a->inside_transaction = true;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
}

static void wait_for(struct answers *a, size_t count)
{
    pthread_mutex_lock(&a->lock);
    while (a->count < count)
        pthread_cond_wait(&a->more, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

struct poster {
    struct store *store;
    struct answers *answers;
    unsigned from;
};

enum { EACH = 250, POSTERS = 4 };

static void *post_many(void *user)
{
    struct poster *p = user;

    for (unsigned i = 0; i < EACH; i++)
        store_put(p->store, numbered(p->from + i), on_answer, p->answers);
    return NULL;
}

/* Group commit: one transaction and one sync for hundreds of records, and no answer before it. */
static void a_thousand_puts_of_four_threads_share_a_few_commits(void **state)
{
    const struct record_filter all = {.limit = 1000};
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    struct record_list found = {0};
    struct error err = {0};

    (void)state;
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.store = store, .answers = &answers, .from = 1 + i * EACH};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(answers.count, 0);
    fake_store_let_go();
    wait_for(&answers, 1 + POSTERS * EACH);
    assert_int_equal(answers.failed, 0);
    assert_false(answers.inside_transaction);
    assert_int_equal(fake_store_counts().commits, 3); /* the one held, then 512 and 488 */
    assert_true(store_list(store, &all, &found, &err));
    assert_int_equal(found.count, 1000);
    assert_true(found.more);
    record_list_free(&found);
    store_close(&store);
}

static void of_one_record_in_a_batch_the_last_is_written_and_all_are_answered(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    struct error err = {0};
    struct record *r;

    (void)state;
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    for (unsigned i = 1; i <= 5; i++) {
        r = numbered(7);
        r->sent = i;
        store_put(store, r, on_answer, &answers);
        store_put(store, numbered(7 + i), on_answer, &answers);
    }
    fake_store_let_go();
    wait_for(&answers, 11);
    assert_int_equal(answers.failed, 0);
    assert_int_equal(fake_store_counts().puts, 1 + 1 + 5);
    r = store_get(store, "tr_00000000000000000000000007", &err);
    assert_int_equal(r->sent, 5);
    record_free(&r);
    store_close(&store);
}

/* Both or neither; also where another put of the same record is the one that is written. */
static void a_key_goes_with_its_record(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    struct record_key key = key_of("", "a", 7), found = key_of("", "a", 0), lost = key_of("", "b", 8);
    struct error err = {0};

    (void)state;
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    fake_store_refuse("tr_00000000000000000000000008");
    store_put_keyed(store, numbered(7), &key, on_answer, &answers);
    store_put(store, numbered(7), on_answer, &answers);
    store_put_keyed(store, numbered(8), &lost, on_answer, &answers);
    fake_store_let_go();
    wait_for(&answers, 4);
    assert_int_equal(answers.failed, 1);
    assert_true(store_key(store, &found, 0, &err));
    assert_string_equal(found.id, key.id);
    found = lost;
    assert_false(store_key(store, &found, 0, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    key = key_of("", "later", 7);
    store_put_keyed(store, NULL, &key, on_answer, &answers);
    wait_for(&answers, 5);
    assert_int_equal(answers.failed, 1);
    assert_true(store_key(store, &key, 0, &err));
    store_close(&store);
}

/* With its key; and what else is written in the same transaction is not drawn in. */
static void a_group_is_written_whole_or_not_at_all(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    struct record_key key = key_of("", "good", 1), lost = key_of("", "bad", 3), found;
    struct record *good[] = {numbered(1), numbered(2)}, *bad[] = {numbered(3), numbered(4), numbered(5)};
    struct record_list all = {0};
    struct error err = {0};

    (void)state;
    fake_store_refuse("tr_00000000000000000000000004");
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    store_put_group(store, good, 2, &key, on_answer, &answers);
    store_put_group(store, bad, 3, &lost, on_answer, &answers);
    store_put(store, numbered(6), on_answer, &answers);
    fake_store_let_go();
    wait_for(&answers, 4);
    assert_true(answers.outcomes[1] && !answers.outcomes[2] && answers.outcomes[3]);
    assert_true(store_list(store, &(struct record_filter){.limit = 9}, &all, &err));
    assert_int_equal(all.count, 4); /* 0, 1, 2 and 6 */
    record_list_free(&all);
    found = key;
    assert_true(store_key(store, &found, 0, &err));
    found = lost;
    assert_false(store_key(store, &found, 0, &err));
    store_close(&store);
}

static void one_bad_record_fails_alone_and_in_order(void **state)
{
    static const bool want[] = {true, true, false, false, true};
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    struct error err = {0};
    struct record *r;

    (void)state;
    fake_store_refuse("tr_00000000000000000000000002");
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    store_put(store, numbered(1), on_answer, &answers);
    store_put(store, numbered(2), on_answer, &answers);
    store_put(store, numbered(2), on_answer, &answers); /* replaces it, and shares its fate */
    store_put(store, numbered(3), on_answer, &answers);
    fake_store_let_go();
    wait_for(&answers, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(answers.outcomes[i], want[i]);
    assert_true(store_writable(store));
    assert_null(store_get(store, "tr_00000000000000000000000002", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    r = store_get(store, "tr_00000000000000000000000003", &err);
    assert_non_null(r);
    record_free(&r);
    store_close(&store);
}

/* Neither is there without the other; and a record that a later one replaces leaves it what it has to tell. */
static void deliveries_go_with_their_record(void **state)
{
    const struct delivery_filter all = {.limit = 10};
    struct answers answers = fresh_answers();
    struct delivery_list list;
    struct store *store = open_store();

    (void)state;
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    fake_store_refuse("tr_00000000000000000000000008");
    store_put_told(store, numbered(7), NULL, delivery(1, "ci", 7, 1), on_answer, &answers);
    store_put_told(store, numbered(7), NULL, delivery(2, "ci", 7, 1), on_answer, &answers);
    store_put_told(store, numbered(8), NULL, delivery(3, "ci", 8, 1), on_answer, &answers);
    store_put_told(store, NULL, NULL, delivery(4, "ci", 0, 1), on_answer, &answers);
    fake_store_let_go();
    wait_for(&answers, 5);
    assert_int_equal(answers.failed, 1);
    assert_true(store_deliveries(store, &all, &list, NULL));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.first->id, "wd_00000000000000000000000004");
    assert_string_equal(list.first->next->id, "wd_00000000000000000000000002");
    assert_string_equal(list.first->next->next->id, "wd_00000000000000000000000001");
    delivery_free_all(&list.first);
    store_close(&store);
}

static void a_store_that_takes_nothing_answers_each_and_is_not_writable(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();

    (void)state;
    assert_true(store_writable(store));
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    for (unsigned i = 1; i <= 10; i++)
        store_put(store, numbered(i), on_answer, &answers);
    fake_store_fail_commit(true);
    fake_store_let_go();
    wait_for(&answers, 11);
    assert_int_equal(answers.failed, 11);
    assert_false(store_writable(store));
    assert_int_equal(fake_store_counts().rollbacks, 2 + 11); /* two batches, then each by itself */

    fake_store_fail_commit(false);
    store_put(store, numbered(0), on_answer, &answers);
    wait_for(&answers, 12);
    assert_int_equal(answers.failed, 11);
    assert_true(store_writable(store));
    store_close(&store);
}

/* Beginning waits for seconds when somebody else has the database: not once for each of five hundred records. */
static void a_store_that_is_locked_is_waited_for_once_more_and_not_for_each(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();

    (void)state;
    fake_store_hold();
    store_put(store, numbered(0), on_answer, &answers);
    fake_store_wait_until_held();
    fake_store_let_go();
    wait_for(&answers, 1);
    fake_store_hold();
    store_put(store, numbered(1), on_answer, &answers);
    fake_store_wait_until_held();
    fake_store_fail_begin(true);
    for (unsigned i = 2; i <= 50; i++)
        store_put(store, numbered(i), on_answer, &answers);
    fake_store_let_go();
    wait_for(&answers, 51);
    assert_int_equal(answers.failed, 50);
    assert_int_equal(fake_store_counts().begins, 1 + 2 + 2);
    store_close(&store);
}

struct told {
    pthread_mutex_t lock;
    pthread_cond_t more;
    const char *event;
    bool seen;
    char line[400];
};

static void on_line(void *user, enum log_level level, const char *line)
{
    struct told *t = user;

    (void)level;
    pthread_mutex_lock(&t->lock);
    if (!t->seen && strstr(line, t->event)) {
        t->seen = true;
        snprintf(t->line, sizeof t->line, "%s", line);
        pthread_cond_signal(&t->more);
    }
    pthread_mutex_unlock(&t->lock);
}

static void wait_for_line(struct told *t)
{
    pthread_mutex_lock(&t->lock);
    while (!t->seen)
        pthread_cond_wait(&t->more, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

/* Uploads are refused while the store is not writable, so nobody would bring the write that shows it is well. */
static void a_broken_store_is_probed_until_it_is_well(void **state)
{
    struct told recovered = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "store.recovered", false, ""};
    struct answers answers = fresh_answers();
    struct store *store;

    (void)state;
    log_capture(on_line, &recovered);
    store = open_store();
    fake_store_fail_commit(true);
    store_put(store, numbered(1), on_answer, &answers);
    wait_for(&answers, 1);
    fake_store_wait_for_probes(1);
    assert_false(store_writable(store));
    fake_store_fail_commit(false);
    wait_for_line(&recovered);
    assert_true(store_writable(store));
    store_close(&store);
    log_capture(NULL, NULL);
}

static void a_failure_nobody_waits_for_is_logged(void **state)
{
    struct told told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "store.write_failed", false, ""};
    struct store *store;

    (void)state;
    log_capture(on_line, &told);
    store = open_store();
    fake_store_refuse("tr_00000000000000000000000002");
    store_put(store, numbered(2), NULL, NULL);
    wait_for_line(&told);
    store_close(&store);
    log_capture(NULL, NULL);
    assert_non_null(strstr(told.line, "tr_00000000000000000000000002"));
    assert_non_null(strstr(told.line, "refused"));
}

static void after_work_comes_housekeeping(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();

    (void)state;
    store_put(store, numbered(1), on_answer, &answers);
    wait_for(&answers, 1);
    fake_store_wait_for_idles(1);
    store_close(&store);
}

static void closing_writes_what_is_queued(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    struct error err = {0};
    struct record *r;

    (void)state;
    for (unsigned i = 0; i < 2000; i++)
        store_put(store, numbered(i), on_answer, &answers);
    store_close(&store);
    assert_null(store);
    store_close(&store);
    assert_int_equal(answers.count, 2000);
    assert_int_equal(answers.failed, 0);

    store = store_open(url, &err);
    r = store_get(store, "tr_00000000000000000000001999", &err);
    assert_non_null(r);
    record_free(&r);
    store_close(&store);
}

static void forgetting_goes_through_the_queue(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    struct error err = {0};

    (void)state;
    store_put(store, full(1), NULL, NULL);
    store_forget(store, 1000, 0);
    store_put(store, numbered(2), on_answer, &answers);
    wait_for(&answers, 1);
    assert_null(store_get(store, "tr_00000000000000000000000001", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    store_close(&store);
}

static void *read_on(void *user)
{
    const struct record_filter all = {.limit = 50};
    struct store *store = user;

    for (int i = 0; i < 50; i++) {
        struct record_list found = {0};
        struct error err;

        if (!store_list(store, &all, &found, &err))
            return "failed";
        for (size_t k = 0; k < found.count; k++) {
            if (found.items[k]->step_count != found.items[k]->sent)
                return "torn";
        }
        record_list_free(&found);
    }
    return NULL;
}

/* More readers than handles are kept; each sees a record and its steps as one commit left them. */
static void many_read_while_one_writes(void **state)
{
    struct store *store = open_store();
    struct answers answers = fresh_answers();
    pthread_t readers[6];

    (void)state;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, store), 0);
    for (unsigned round = 1; round <= 100; round++) {
        struct record *r = numbered(round % 10);

        for (r->sent = 0; r->sent < round % 7; r->sent++)
            record_step(r, STEP_LOCAL, "moved", "", "");
        store_put(store, r, on_answer, &answers);
        wait_for(&answers, round);
    }
    for (size_t i = 0; i < 6; i++) {
        void *result;

        pthread_join(readers[i], &result);
        if (result)
            fail_msg("%s", (const char *)result);
    }
    assert_int_equal(answers.failed, 0);
    store_close(&store);
}

static void a_url_of_no_known_kind_is_refused_without_repeating_it(void **state)
{
    static const char *const urls[] = {"", "jidpost.db", "mysql://me:secret@db/x", "sqlit:///x", "sqlite3:///x"};

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct error err = {0};

        assert_null(store_open(urls[i], &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_null(strstr(err.text, "secret"));
        assert_non_null(strstr(err.text, "sqlite:///"));
    }
}

/* ---- the inbox */

static struct store *inbox_store;

static struct inbox_item *make_item(const char *id, const char *from, enum inbox_state state)
{
    struct inbox_item *i = inbox_item_new();

    snprintf(i->id, sizeof i->id, "%s", id);
    i->state = state;
    i->from = strdup(from);
    i->to = strdup("files@example.org");
    i->name = strdup("a.txt");
    i->type = strdup("text/plain");
    i->received = 5;
    i->created = 100;
    i->finished = state == INBOX_RECEIVING ? 0 : state == INBOX_RECEIVED ? 300 : 200;
    i->expires = state == INBOX_RECEIVING ? 0 : 1000;
    return i;
}

static size_t count_items(const struct inbox_filter *filter)
{
    struct inbox_list list = {0};
    struct error err = {0};
    size_t count;

    assert_true(store_items(inbox_store, filter, &list, &err));
    count = list.count;
    inbox_list_free(&list);
    return count;
}

static void files_that_were_sent_to_us_are_kept_listed_and_dropped(void **state)
{
    static const char *const ids[] = {"in_00000000000000000000000001", "in_00000000000000000000000002",
                                      "in_00000000000000000000000003"};
    static char elsewhere[] = "*@example.net";
    static char *const globs[] = {elsewhere, NULL};
    const struct {
        const char *says;
        struct inbox_filter filter;
        size_t count;
    } rows[] = {
        {"all", {0}, 3},
        {"one", {.id = ids[1]}, 1},
        {"a page", {.limit = 2}, 2},
        {"behind", {.before = ids[1]}, 1},
        {"after one that began last and was there first", {.after = ids[2]}, 1},
        {"after the one that was there last", {.after = ids[0]}, 0},
        {"after one that is gone", {.after = "in_01KAXQ5V7M3N8Q9R2S4T6W8X0Z"}, 0},
        {"of somebody with all resources", {.from = "ana@example.net"}, 2},
        {"to", {.to = "files@example.org"}, 3},
        {"to nobody", {.to = "else@example.org"}, 0},
        {"not to be seen", {.allow_to = globs}, 0},
        {"by states", {.states = 1u << INBOX_RECEIVED | 1u << INBOX_FAILED}, 2},
        {"over", {.over = 1000}, 2},
        {"not over", {.over = 999}, 0},
        {"later", {.since = 101}, 0},
    };
    struct inbox_item *got;
    struct error err = {0};

    (void)state;
    inbox_store = open_store();
    store_put_item(inbox_store, make_item(ids[0], "ana@example.net/a", INBOX_RECEIVED), NULL, NULL, NULL);
    store_put_item(inbox_store, make_item(ids[1], "ana@example.net/b", INBOX_RECEIVING), NULL, NULL, NULL);
    store_put_item(inbox_store, make_item(ids[2], "ben@example.net/c", INBOX_FAILED), NULL, NULL, NULL);
    store_close(&inbox_store);
    inbox_store = open_store();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (count_items(&rows[i].filter) != rows[i].count)
            fail_msg("%s: %zu", rows[i].says, count_items(&rows[i].filter));
    got = store_item(inbox_store, ids[0], &err);
    assert_non_null(got);
    assert_string_equal(got->from, "ana@example.net/a");
    assert_int_equal(got->size, -1);
    assert_null(got->sha256);
    inbox_item_free(&got);
    store_drop_item(inbox_store, ids[0], NULL, NULL);
    store_close(&inbox_store);
    inbox_store = open_store();
    assert_null(store_item(inbox_store, ids[0], &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    store_close(&inbox_store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest engines[] = {
        TEST(what_is_put_is_read_back_whole),
        TEST(every_state_stage_proof_and_code_is_read_back),
        TEST(a_later_put_replaces_the_record_with_its_steps_and_attempts),
        TEST(what_was_committed_survives_a_reopen),
        TEST(what_is_rolled_back_was_never_there),
        TEST(a_reader_sees_only_what_is_committed),
        TEST(a_reader_cannot_write),
        TEST(lists_are_filtered_and_sorted),
        TEST(pages_join_without_gap_or_overlap),
        TEST(only_what_finished_before_is_forgotten),
        TEST(a_batch_is_forgotten_as_one),
        TEST(a_key_is_its_callers_own_and_leads_to_its_transfer),
        TEST(a_key_is_forgotten_in_its_time_or_with_its_transfer),
        TEST(of_a_transfer_only_the_oldest_delivery_is_due),
        TEST(a_delivery_is_read_back_whole_and_listed_newest_first),
        TEST(deliveries_are_forgotten_when_they_are_over_or_nobody_s),
    };
    const struct CMUnitTest sqlite[] = {
        TEST(nothing_below_a_forgotten_record_stays),
        TEST(rows_that_did_not_change_are_not_written_again),
        TEST(a_newer_store_is_refused_and_left_alone),
        TEST(a_store_of_the_first_version_is_brought_up_to_date),
        TEST(what_is_no_store_or_damaged_is_refused),
        TEST(a_place_that_cannot_be_opened_is_named),
        TEST(the_file_is_its_owners_alone),
        TEST(a_quiet_moment_empties_the_log),
        TEST(without_readers_the_log_stays_small_under_load),
        TEST(a_log_that_a_reader_let_grow_is_emptied_while_writing_goes_on),
        TEST(somebody_always_reads_and_the_log_has_its_bounds),
        TEST(a_value_nobody_wrote_is_an_error_and_not_a_crash),
        TEST(a_full_disk_fails_the_write_and_the_probe_until_there_is_room),
    };
    const struct CMUnitTest writer[] = {
        TEST(a_thousand_puts_of_four_threads_share_a_few_commits),
        TEST(of_one_record_in_a_batch_the_last_is_written_and_all_are_answered),
        TEST(a_group_is_written_whole_or_not_at_all),
        TEST(one_bad_record_fails_alone_and_in_order),
        TEST(a_key_goes_with_its_record),
        TEST(deliveries_go_with_their_record),
        TEST(a_store_that_takes_nothing_answers_each_and_is_not_writable),
        TEST(a_store_that_is_locked_is_waited_for_once_more_and_not_for_each),
        TEST(a_broken_store_is_probed_until_it_is_well),
        TEST(a_failure_nobody_waits_for_is_logged),
        TEST(after_work_comes_housekeeping),
        TEST(closing_writes_what_is_queued),
        TEST(forgetting_goes_through_the_queue),
        TEST(many_read_while_one_writes),
        TEST(files_that_were_sent_to_us_are_kept_listed_and_dropped),
        TEST(a_url_of_no_known_kind_is_refused_without_repeating_it),
    };
    int failed = cmocka_run_group_tests(engines, NULL, NULL);

    failed += cmocka_run_group_tests(sqlite, NULL, NULL);
    failed += cmocka_run_group_tests(writer, NULL, NULL);
    return failed;
}
