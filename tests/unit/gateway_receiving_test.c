/* gateway/receiving: from an offer to a file in the inbox, by rules, sizes and digests; on the test's own thread. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "gateway/inbox_name.h"
#include "gateway/receiving_parts.h"
#include "gateway/webhooks.h"

#define ABC_MD5    "900150983cd24fb0d6963f7d28e17f72"
#define ABC_SHA1   "a9993e364706816aba3e25717850c26c9cd0d89d"
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_SHA3   "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"

enum { SPOOL_MAX = 8 << 20, SPOOL_MAX_FILE = 7 << 20 };

struct fixture {
    char dir[64], spool_dir[96], url[96];
    struct config config;
    struct store *store;
    struct spool *spool;
    struct gateway *gw;
    struct receiver *receiver;
    struct carrier carrier;
    struct error answer, revoked;
    bool answered;
    struct reception *re;
};

static void on_revoked(void *user, const struct error *why)
{
    struct fixture *f = user;

    f->revoked = *why;
    f->receiver->ops->end(&f->re, why);
}

static const struct reception_events events = {.revoked = on_revoked};

static void on_done(void *user, const struct error *err)
{
    struct fixture *f = user;

    f->answered = true;
    f->answer = err ? *err : (struct error){0};
}

static void open_it(struct fixture *f)
{
    const struct spool_limits limits = {.max_bytes = SPOOL_MAX, .max_file = SPOOL_MAX_FILE};
    struct error err = {0};

    f->spool = spool_open(f->spool_dir, &limits, &err);
    f->store = store_open(f->url, &err);
    f->gw = gateway_create(&f->config, f->store, f->spool, &err);
    assert_non_null(f->gw);
    f->gw->carrier = &f->carrier;
    assert_true(core_start_webhooks(f->gw, &err));
    assert_true(receiving_recover(f->gw->receiving, &err));
    f->receiver = receiving_receiver(f->gw->receiving);
}

static void settle(struct fixture *f)
{
    while (f->gw->pending > 0)
        uv_run(&f->gw->loop, UV_RUN_ONCE);
    uv_run(&f->gw->loop, UV_RUN_NOWAIT);
}

static void close_it(struct fixture *f)
{
    settle(f);
    webhooks_stop(f->gw->webhooks);
    gateway_destroy(&f->gw);
    store_close(&f->store);
    spool_close(&f->spool);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/jidpost-receiving-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->spool_dir, sizeof f->spool_dir, "%s/spool", f->dir);
    snprintf(f->url, sizeof f->url, "sqlite://%s/jidpost.db", f->dir);
    assert_true(inbox_rules_complete(&f->config.inbox.rules,
                                     &(struct inbox_rule){.max_file = 1000, .max_files = 100, .daily_bytes = 5000},
                                     "!evil@example.net *@example.net", NULL));
    f->config.inbox.retention = 60 * 60 * 1000;
    f->config.events.retention = 100;
    f->config.delivery.parallel = f->config.delivery.per_recipient_parallel = 1;
    open_it(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    close_it(f);
    inbox_rules_free(&f->config.inbox.rules);
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static struct reception *offer(struct fixture *f, const char *from, struct incoming o, struct error *err)
{
    static struct jid sender, to;

    assert_true(jid_parse(&sender, from, strlen(from), err));
    assert_true(jid_parse(&to, "files@example.org/x", strlen("files@example.org/x"), err));
    o.from = &sender;
    o.to = &to;
    o.method = o.method ? o.method : "si-s5b";
    f->answered = false;
    f->re = f->receiver->ops->offered(f->receiver, &o, &events, f, err);
    return f->re;
}

static struct inbox_item *look(struct fixture *f, const char *id)
{
    struct error err = {0};
    struct inbox_item *item;

    store_close(&f->store); /* all that is queued is written */
    f->store = store_open(f->url, &err);
    f->gw->store = f->store;
    item = store_item(f->store, id, &err);
    return item;
}

static uint64_t spooled(struct fixture *f)
{
    struct spool_usage usage;

    spool_usage(f->spool, &usage);
    return usage.bytes;
}

static void names_are_safe(void **state)
{
    static const struct {
        const char *said, *name;
    } rows[] = {
        {"a.txt", "a.txt"},
        {"../../etc/passwd", "passwd"},
        {"C:\\x\\y.exe", "y.exe"},
        {".bashrc", "bashrc"},
        {"...", "file-in_1.png"},
        {"a\nb\tc", "abc"},
        {"evil\xe2\x80\xaegpj.exe", "evilgpj.exe"},
        {"CON", "_CON"},
        {"nul.txt", "_nul.txt"},
        {"com1.log", "_com1.log"},
        {"common", "common"},
        {"", "file-in_1.png"},
        {NULL, "file-in_1.png"},
        {"x. ", "x"},
        {"\xff\xfe", "file-in_1.png"},
        {"gr\xc3\xbc\xc3\x9f"
         "e.txt",
         "gr\xc3\xbc\xc3\x9f"
         "e.txt"},
    };
    char name[INBOX_NAME];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        inbox_name(rows[i].said, "in_1", "image/png", name);
        assert_string_equal(name, rows[i].name);
    }
}

static void who_may_send_what(void **state)
{
    static const struct {
        const char *says, *from, *method;
        int64_t size;
        enum error_code code;
    } rows[] = {
        {"anybody there", "ana@example.net/a", "si-s5b", 10, ERR_NONE},
        {"a stranger", "ana@example.com/a", "si-s5b", 10, ERR_SENDER_NOT_ALLOWED},
        {"one who is denied", "evil@example.net/a", "si-s5b", 10, ERR_SENDER_NOT_ALLOWED},
        {"too large", "ben@example.net/a", "jingle-s5b", 1001, ERR_BODY_TOO_LARGE},
        {"without an offer", "ben@example.net/a", "s5b", -1, ERR_METHOD_UNSUPPORTED},
        {"no size said", "ben@example.net/a", "si-ibb", -1, ERR_NONE},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};

        offer(f, rows[i].from, (struct incoming){.method = rows[i].method, .size = rows[i].size}, &err);
        if (err.code != rows[i].code || !f->re != (rows[i].code != ERR_NONE))
            fail_msg("%s: %s", rows[i].says, err.text);
        f->receiver->ops->end(&f->re, &err);
    }
}

/* serve --demo, as a component: the rules of the configuration say nothing about it. */
static void who_may_send_to_the_recipient_of_our_own(void **state)
{
    static const struct {
        const char *from;
        enum error_code refusal;
    } rows[] = {
        {"jidpost@example.org/r", ERR_NONE},
        {"ana@example.net/desk", ERR_SENDER_NOT_ALLOWED}, /* who may send elsewhere */
        {"jidpost@sub.example.org/r", ERR_SENDER_NOT_ALLOWED},
        {"jidpost@example.org.example.net/r", ERR_SENDER_NOT_ALLOWED},
    };
    struct fixture *f = *state;
    struct jid demo;

    assert_true(jid_parse(&demo, "files@example.org", 17, NULL));
    demo_arrange(f->gw, &demo, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        bool taken = offer(f, rows[i].from, (struct incoming){.name = "a", .size = 3}, &err) != NULL;

        assert_int_equal(taken, rows[i].refusal == ERR_NONE);
        assert_int_equal(err.code, rows[i].refusal);
        if (taken)
            f->receiver->ops->end(&f->re, &(struct error){.code = ERR_CANCELLED});
    }
}

static void many_offers_of_one_are_limited_and_others_served(void **state)
{
    struct fixture *f = *state;
    struct error err;
    unsigned taken = 0;

    for (unsigned i = 0; i < 10000; i++) {
        err = (struct error){0};
        taken += offer(f, "ana@example.net/a", (struct incoming){.size = 1}, &err) != NULL;
        f->receiver->ops->end(&f->re, &err);
    }
    assert_int_equal(taken, SENDER_OFFERS);
    assert_int_equal(err.code, ERR_RATE_LIMITED);
    assert_int_equal(inbox_senders_known(f->gw->receiving->senders), 1);
    assert_non_null(offer(f, "ben@example.net/a", (struct incoming){.size = 1}, &err));
    f->receiver->ops->end(&f->re, &err);
}

static void what_the_spool_never_takes_is_not_begun(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};

    f->gw->receiving->rules.items[0].max_file = f->gw->receiving->rules.items[0].daily_bytes = UINT64_C(1) << 30;
    assert_null(offer(f, "ana@example.net/a", (struct incoming){.size = SPOOL_MAX_FILE + 1}, &err));
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = SPOOL_MAX_FILE}, &err));
    f->receiver->ops->end(&f->re, &err);
}

static void one_sender_has_so_many_files_under_way(void **state)
{
    struct reception *held[RECEIVING_PER_SENDER];
    struct fixture *f = *state;
    struct error err = {0};

    clock_fake(1000, 1000);
    for (size_t i = 0; i < RECEIVING_PER_SENDER; i++, clock_advance(SENDER_MINUTE_MS / SENDER_OFFERS)) {
        held[i] = offer(f, "ana@example.net/a", (struct incoming){.size = 1}, &err);
        assert_non_null(held[i]);
    }
    assert_null(offer(f, "ana@example.net/elsewhere", (struct incoming){.size = 1}, &err));
    assert_int_equal(err.code, ERR_RATE_LIMITED);
    assert_non_null(offer(f, "ben@example.net/a", (struct incoming){.size = 1}, &err));
    f->receiver->ops->end(&f->re, &err);
    f->receiver->ops->end(&held[0], &err);
    held[0] = offer(f, "ana@example.net/a", (struct incoming){.size = 1}, &err);
    assert_non_null(held[0]); /* one is over, and there is a place again */
    for (size_t i = 0; i < RECEIVING_PER_SENDER; i++)
        f->receiver->ops->end(&held[i], &err);
    clock_real();
}

/* Five minutes again and again, with so many bytes in each of them. */
static void who_sends_next_to_nothing_is_cut(void **state)
{
    static const struct {
        const char *says;
        int64_t size, each;
        unsigned minutes; /* until it is cut; 0: never */
    } rows[] = {
        {"nothing comes", 1 << 20, 0, 5},
        {"a byte now and then", 1 << 20, 25, 5},
        {"just too little", 1 << 20, RECEIVING_PACE - 1, 5},
        {"just enough", 1 << 20, RECEIVING_PACE, 0},
        {"all of a small file, and no end", 25, 25, 0},
        {"it goes on for a day", 6 << 20, RECEIVING_PACE, 24 * 60},
    };
    struct fixture *f = *state;

    f->gw->receiving->rules.items[0].max_file = 6 << 20;
    f->gw->receiving->rules.items[0].daily_bytes = UINT64_C(1) << 40;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned minutes = 0, most = rows[i].minutes ? rows[i].minutes + 5 : 60;
        struct error err = {0};
        int64_t moved = 0;
        uint64_t wanted;

        clock_fake(1000, 1000);
        f->revoked = (struct error){0};
        assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = rows[i].size}, &err));
        assert_non_null(f->receiver->ops->begin(f->re, 0, &wanted, &err));
        for (; minutes < most && f->re; minutes += 5) {
            moved += rows[i].each;
            f->receiver->ops->moved(f->re, (uint64_t)(moved < rows[i].size ? moved : rows[i].size));
            clock_advance(RECEIVING_PACE_MS);
            receiving_pace(f->gw->receiving);
        }
        if (f->re ? rows[i].minutes != 0 : minutes != rows[i].minutes)
            fail_msg("%s: after %u minutes", rows[i].says, minutes);
        if (!f->re)
            assert_int_equal(f->revoked.code, ERR_STALLED);
        f->receiver->ops->end(&f->re, &(struct error){.code = ERR_CANCELLED});
    }
    clock_real();
}

/* What was said of three bytes "abc", what came, and what is made of it. */
static void sizes_and_digests_decide(void **state)
{
    static const struct {
        const char *says;
        int64_t size;
        const char *algo, *hash, *bytes;
        enum error_code code;
        bool extra, confirmed;
    } rows[] = {
        {"all of it", 3, NULL, NULL, "abc", ERR_NONE, false, false},
        {"no size", -1, NULL, NULL, "abc", ERR_NONE, false, false},
        {"empty", 0, NULL, NULL, "", ERR_NONE, false, false},
        {"md5", 3, "md5", ABC_MD5, "abc", ERR_NONE, false, true},
        {"sha-1", 3, "sha-1", ABC_SHA1, "abc", ERR_NONE, false, true},
        {"sha-256", 3, "sha-256", ABC_SHA256, "abc", ERR_NONE, false, true},
        {"sha3-256", 3, "sha3-256", ABC_SHA3, "abc", ERR_NONE, false, true},
        {"unknown", 3, "tiger", "00", "abc", ERR_NONE, false, false},
        {"another file", 3, "md5", ABC_MD5, "abd", ERR_HASH_MISMATCH, false, false},
        {"less", 3, NULL, NULL, "ab", ERR_TRUNCATED, false, false},
        {"more", 3, NULL, NULL, "abc", ERR_SIZE_EXCEEDED, true, false},
        {"more, and the first are right", 3, "md5", ABC_MD5, "abc", ERR_NONE, true, true},
        {"more, and wrong", 3, "md5", ABC_MD5, "abd", ERR_SIZE_EXCEEDED, true, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct receiver_ops *ops = f->receiver->ops;
        uint64_t most = 0, before = spooled(f);
        size_t len = strlen(rows[i].bytes);
        struct inbox_item *item;
        struct error err = {0};
        struct shared_fd *file;
        char id[ID_SIZE], from[40];

        snprintf(from, sizeof from, "p%zu@example.net/a", i);
        assert_non_null(offer(f, from, (struct incoming){.name = "a.txt", .size = rows[i].size}, &err));
        memcpy(id, f->re->item->id, ID_SIZE);
        file = ops->begin(f->re, 0, &most, &err);
        assert_non_null(file);
        assert_int_equal(most, rows[i].size >= 0 ? rows[i].size : 1000);
        assert_int_equal(pwrite(file->fd, rows[i].bytes, len, 0), len); /* as the carrier does */
        ops->moved(f->re, len / 2);
        ops->complete(f->re, len, rows[i].algo, rows[i].hash, rows[i].extra, on_done, f);
        assert_false(f->answered);
        settle(f);
        assert_true(f->answered);
        if (f->answer.code != rows[i].code)
            fail_msg("%s: %s", rows[i].says, f->answer.text);
        ops->end(&f->re, f->answer.code ? &f->answer : NULL);
        item = look(f, id);
        assert_int_equal(item->state, rows[i].code ? INBOX_FAILED : INBOX_RECEIVED);
        assert_int_equal(item->error_code, rows[i].code);
        assert_int_equal(item->hash_confirmed, rows[i].confirmed);
        assert_int_equal(spooled(f) - before, rows[i].code ? 0 : len);
        assert_true(receiving_claims(f->gw->receiving, id) == (rows[i].code == ERR_NONE));
        if (!rows[i].code && len)
            assert_string_equal(item->sha256, ABC_SHA256);
        inbox_item_free(&item);
    }
}

static void in_band_bytes_are_taken_up_to_what_was_said(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    uint64_t most;

    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = 3, .method = "si-ibb"}, &err));
    assert_non_null(f->receiver->ops->begin(f->re, 0, &most, &err));
    assert_true(f->receiver->ops->write(f->re, "ab", 2, &err));
    assert_false(f->receiver->ops->write(f->re, "cd", 2, &err));
    assert_int_equal(err.code, ERR_SIZE_EXCEEDED);
    assert_true(f->receiver->ops->write(f->re, "c", 1, &err));
    f->receiver->ops->complete(f->re, 3, NULL, NULL, false, on_done, f);
    settle(f);
    assert_int_equal(f->answer.code, ERR_NONE);
    f->receiver->ops->end(&f->re, NULL);
    assert_int_equal(spooled(f), 3);
}

static void what_broke_off_goes_on_where_it_was(void **state)
{
    const struct incoming o = {.name = "a", .size = 3, .modified = 5, .ranges = true};
    struct fixture *f = *state;
    struct error err = {0}, broken;
    char id[ID_SIZE];
    uint64_t most;

    error_set(&broken, ERR_STREAM_BROKEN, "gone");
    assert_non_null(offer(f, "ana@example.net/a", o, &err));
    memcpy(id, f->re->item->id, ID_SIZE);
    f->receiver->ops->begin(f->re, 0, &most, &err);
    f->receiver->ops->write(f->re, "ab", 2, &err);
    f->receiver->ops->end(&f->re, &broken);
    assert_int_equal(spooled(f), 2);
    assert_non_null(offer(f, "ben@example.net/a", o, &err)); /* not of somebody else */
    assert_int_equal(f->receiver->ops->offset(f->re), 0);
    f->receiver->ops->end(&f->re, &broken);
    assert_non_null(offer(f, "ana@example.net/elsewhere", o, &err));
    assert_int_equal(f->receiver->ops->offset(f->re), 2);
    assert_string_equal(f->re->item->id, id);
    assert_non_null(f->receiver->ops->begin(f->re, 2, &most, &err));
    assert_int_equal(most, 1);
    f->receiver->ops->write(f->re, "c", 1, &err);
    f->receiver->ops->complete(f->re, 1, "md5", ABC_MD5, false, on_done, f);
    settle(f);
    assert_int_equal(f->answer.code, ERR_NONE);
    f->receiver->ops->end(&f->re, NULL);
    assert_int_equal(spooled(f), 3);
}

static void break_off(struct fixture *f, const char *from, int64_t modified)
{
    const struct incoming o = {.name = "a", .size = 3, .modified = modified, .ranges = true};
    struct error err = {0}, broken;
    uint64_t most;

    error_set(&broken, ERR_STREAM_BROKEN, "gone");
    assert_non_null(offer(f, from, o, &err));
    assert_non_null(f->receiver->ops->begin(f->re, 0, &most, &err));
    assert_true(f->receiver->ops->write(f->re, "ab", 2, &err));
    f->receiver->ops->end(&f->re, &broken);
}

static uint64_t kept_of(struct fixture *f, const char *from, int64_t modified)
{
    const struct incoming o = {.name = "a", .size = 3, .modified = modified, .ranges = true};
    struct error err = {0};
    uint64_t here;

    clock_advance(SENDER_MINUTE_MS);
    assert_non_null(offer(f, from, o, &err));
    here = f->receiver->ops->offset(f->re);
    f->receiver->ops->end(&f->re, &(struct error){.code = ERR_HASH_MISMATCH}); /* and is not kept again */
    return here;
}

static void who_breaks_off_all_the_time_pushes_out_himself(void **state)
{
    struct fixture *f = *state;

    clock_fake(1000, 1000);
    f->gw->receiving->rules.items[0].max_files = 2 * KEPT_MAX;
    break_off(f, "ana@example.net/a", 1);
    break_off(f, "an@example.net/a", 1);
    for (int64_t i = 1; i <= KEPT_MAX + 10; i++, clock_advance(SENDER_MINUTE_MS / SENDER_OFFERS))
        break_off(f, "ben@example.net/a", i);
    assert_int_equal(f->gw->receiving->kept_count, KEPT_MAX);
    assert_int_equal(spooled(f), 2 * KEPT_MAX);
    assert_int_equal(kept_of(f, "ben@example.net/a", 12), 0); /* his oldest */
    assert_int_equal(kept_of(f, "ben@example.net/a", KEPT_MAX), 2);
    assert_int_equal(kept_of(f, "ana@example.net/a", 1), 2);
    assert_int_equal(kept_of(f, "an@example.net/a", 1), 2);
    clock_real();
}

static bool keep(void *user, const char *id)
{
    return receiving_claims(user, id);
}

static void after_a_restart_what_was_coming_has_failed_and_nothing_is_left_uncounted(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct inbox_item *item;
    char id[ID_SIZE];
    uint64_t most;

    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = 3}, &err));
    memcpy(id, f->re->item->id, ID_SIZE);
    f->receiver->ops->begin(f->re, 0, &most, &err);
    f->receiver->ops->write(f->re, "ab", 2, &err);
    spool_pause(&f->re->file); /* as a crash leaves it */
    close_it(f);
    open_it(f);
    spool_sweep(f->spool, keep, f->gw->receiving);
    item = look(f, id);
    assert_int_equal(item->state, INBOX_FAILED);
    assert_int_equal(item->error_code, ERR_STREAM_BROKEN);
    inbox_item_free(&item);
    assert_int_equal(spooled(f), 0);
}

static void what_is_over_goes_with_its_file(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    char id[ID_SIZE];
    uint64_t most;

    f->gw->receiving->retention = -1;
    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = 3}, &err));
    memcpy(id, f->re->item->id, ID_SIZE);
    f->receiver->ops->begin(f->re, 0, &most, &err);
    f->receiver->ops->write(f->re, "abc", 3, &err);
    f->receiver->ops->complete(f->re, 3, NULL, NULL, false, on_done, f);
    settle(f);
    f->receiver->ops->end(&f->re, NULL);
    receiving_expire(f->gw->receiving);
    settle(f);
    assert_null(look(f, id));
    assert_int_equal(spooled(f), 0);
}

/* Else it would be there again once it has been looked at. */
static void what_is_deleted_while_it_is_checked_is_gone(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    char id[ID_SIZE];
    uint64_t most;

    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = 3}, &err));
    memcpy(id, f->re->item->id, ID_SIZE);
    assert_non_null(f->receiver->ops->begin(f->re, 0, &most, &err));
    assert_true(f->receiver->ops->write(f->re, "abc", 3, &err));
    f->receiver->ops->complete(f->re, 3, NULL, NULL, false, on_done, f);
    assert_true(receiving_revoke(f->gw->receiving, id));
    settle(f);
    assert_true(f->answered);
    assert_int_equal(f->answer.code, ERR_CANCELLED);
    f->receiver->ops->end(&f->re, &f->answer);
    assert_null(look(f, id));
    assert_int_equal(spooled(f), 0);
}

static void a_stop_takes_everything_away(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};

    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = 3}, &err));
    receiving_stop(f->gw->receiving);
    assert_int_equal(f->revoked.code, ERR_DRAINING);
    assert_null(f->re);
}

static void other_rules_are_for_what_is_offered_then(void **state)
{
    const struct inbox_rule other = {.max_file = 5, .max_files = 100, .daily_bytes = 5000};
    struct inbox_rule_list rules = {0};
    struct fixture *f = *state;
    struct reception *before;
    struct error err = {0};
    uint64_t most;

    before = offer(f, "ana@example.net/a", (struct incoming){.size = -1}, &err);
    assert_non_null(before);
    assert_true(inbox_rules_complete(&rules, &other, "ben@example.net", &err));
    gateway_take_inbox(f->gw, &rules, 1000);
    inbox_rules_free(&rules);
    uv_run(&f->gw->loop, UV_RUN_ONCE);
    assert_non_null(f->receiver->ops->begin(before, 0, &most, &err));
    assert_int_equal(most, 1000); /* as when it was taken */
    f->receiver->ops->end(&before, NULL);
    assert_null(offer(f, "ana@example.net/a", (struct incoming){.size = 1}, &err));
    assert_int_equal(err.code, ERR_SENDER_NOT_ALLOWED);
    assert_null(offer(f, "ben@example.net/a", (struct incoming){.size = 6}, &err));
    assert_int_equal(err.code, ERR_BODY_TOO_LARGE);
    assert_non_null(offer(f, "ben@example.net/a", (struct incoming){.size = 5}, &err));
    f->receiver->ops->end(&f->re, NULL);
}

static void a_drain_waits_for_what_is_being_received(void **state)
{
    struct fixture *f = *state;
    struct gateway_left left;
    struct error err = {0};
    uint64_t most;

    gateway_draining(f->gw, &left);
    assert_int_equal(left.streams, 0);
    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = 3}, &err));
    f->receiver->ops->begin(f->re, 0, &most, &err);
    gateway_drain(f->gw);
    assert_true(gateway_draining(f->gw, &left));
    assert_int_equal(left.streams, 1);
    assert_true(f->receiver->ops->write(f->re, "abc", 3, &err));
    f->receiver->ops->complete(f->re, 3, NULL, NULL, false, on_done, f);
    gateway_draining(f->gw, &left);
    assert_int_equal(left.streams, 1);
    settle(f);
    assert_int_equal(f->answer.code, ERR_NONE);
    f->receiver->ops->end(&f->re, NULL);
    gateway_draining(f->gw, &left);
    assert_int_equal(left.streams, 0);
}

static void a_day_s_bytes_are_counted_as_they_come(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    char bytes[600] = {0};
    uint64_t most;

    f->gw->receiving->rules.items[0].daily_bytes = 500;
    assert_null(offer(f, "ana@example.net/a", (struct incoming){.size = 501}, &err));
    assert_int_equal(err.code, ERR_QUOTA_EXCEEDED);
    assert_non_null(offer(f, "ana@example.net/a", (struct incoming){.size = -1}, &err));
    f->receiver->ops->begin(f->re, 0, &most, &err);
    assert_false(f->receiver->ops->write(f->re, bytes, sizeof bytes, &err));
    assert_int_equal(err.code, ERR_QUOTA_EXCEEDED);
    f->receiver->ops->moved(f->re, 700);
    settle(f);
    uv_run(&f->gw->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->revoked.code, ERR_QUOTA_EXCEEDED);
    assert_int_equal(spooled(f), 0);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_safe),
        test(who_may_send_what),
        test(who_may_send_to_the_recipient_of_our_own),
        test(many_offers_of_one_are_limited_and_others_served),
        test(what_the_spool_never_takes_is_not_begun),
        test(one_sender_has_so_many_files_under_way),
        test(who_sends_next_to_nothing_is_cut),
        test(sizes_and_digests_decide),
        test(in_band_bytes_are_taken_up_to_what_was_said),
        test(what_broke_off_goes_on_where_it_was),
        test(who_breaks_off_all_the_time_pushes_out_himself),
        test(after_a_restart_what_was_coming_has_failed_and_nothing_is_left_uncounted),
        test(what_is_over_goes_with_its_file),
        test(what_is_deleted_while_it_is_checked_is_gone),
        test(a_stop_takes_everything_away),
        test(other_rules_are_for_what_is_offered_then),
        test(a_drain_waits_for_what_is_being_received),
        test(a_day_s_bytes_are_counted_as_they_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
