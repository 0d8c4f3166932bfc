#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "gateway/core.h"

/* The whole gateway with a real store and spool on its real threads, and a network that behaves as told: whatever it
 * does happens on core's loop a turn later, as with the real one. */
enum behaviour { DELIVERS, DECLINES, NEVER_ANSWERS, OFFLINE, LINKS };

struct method {
    struct auto_network *network;
    struct method_host *host;
    uint64_t moved, size;
    int fd;   /* of the stream */
    int next; /* the step to report on the next turn */
    struct method *sibling;
};

struct auto_network {
    struct network network; /* first */
    _Atomic enum behaviour behaviour;
    struct network_events events;
    struct network_view view;
    uv_loop_t *loop;
    uv_timer_t turn;
    struct {
        uint64_t ticket;
        network_recipient_fn *done;
        void *user;
        struct jid to;
    } finds[64];
    size_t find_count;
    uint64_t last_ticket;
    struct method *methods; /* that have something to report */
    _Atomic enum sight sight;
    _Atomic enum news { NO_NEWS, NEWS_PRESENCE, NEWS_GRANTED, NEWS_REFUSED, NEWS_ROSTER, NEWS_DOWN, NEWS_UP } news;
    struct jid who; /* of the news */
    atomic_size_t requests;
    atomic_size_t offers;
    char url[METHOD_URL]; /* the link made last */
};

/* As far as the file has grown. */
static bool read_on(struct method *m)
{
    char piece[4096];
    ssize_t n;

    while ((n = pread(m->fd, piece, sizeof piece, (off_t)m->moved)) > 0)
        m->moved += (uint64_t)n;
    return m->moved == m->size;
}

static void method_turn(struct method *m)
{
    struct method_report report = {.event = METHOD_PROGRESS, .proof = PROOF_PEER_CLOSED};

    switch (m->next++) {
    case 0:
        report.event = METHOD_ACCEPTED;
        break;
    case 1:
        report.event = METHOD_STREAM_OPEN;
        break;
    case 2:
        return; /* the host answers with stream() */
    default:
        if (read_on(m))
            report.event = METHOD_COMPLETE;
        else
            m->next = 3;
        report.moved = m->moved;
        break;
    }
    if (m->network->behaviour == LINKS && m->next > 3) {
        assert_true(m->host->ops->publish(m->host, m->network->url, NULL));
        report =
            (struct method_report){.event = METHOD_LINK_SENT, .link_at = "https://files.example.org", .own_link = true};
    }
    if (m->network->behaviour == DECLINES) {
        report.event = METHOD_FAILED;
        error_set(&report.error, ERR_RECIPIENT_DECLINED, "no, thank you");
        m->next = 2;
    }
    m->host->ops->report(m->host, &report);
}

static void tell(struct auto_network *n, enum news news)
{
    switch (news) {
    case NO_NEWS:
        break;
    case NEWS_PRESENCE:
        n->events.presence(n->events.user, &n->who, true);
        break;
    case NEWS_GRANTED:
    case NEWS_REFUSED:
        n->events.subscription(n->events.user, &n->who, news == NEWS_GRANTED);
        break;
    case NEWS_ROSTER:
        n->events.roster(n->events.user);
        break;
    case NEWS_DOWN:
    case NEWS_UP:
        n->view.state = news == NEWS_UP ? NETWORK_ONLINE : NETWORK_CONNECTING;
        n->events.changed(n->events.user, &n->view);
        break;
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct auto_network *n = timer->data;
    size_t count = n->find_count;
    enum news news = n->news;

    if (news != NO_NEWS) { /* else some may have come by now, and are the next turn's */
        tell(n, news);
        n->news = NO_NEWS;
    }
    n->find_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct recipient r = {.asked = n->finds[i].to, .subscribed = true};
        struct error error;

        if (n->behaviour == OFFLINE) {
            error_set(&error, ERR_RECIPIENT_OFFLINE, "nobody there");
            n->finds[i].done(n->finds[i].user, NULL, &error);
            continue;
        }
        r.count = 1;
        r.resources = calloc(1, sizeof *r.resources);
        jid_with_resource(&r.resources[0].jid, &n->finds[i].to, "desk", &error);
        r.resources[0].methods[0] = "auto";
        n->finds[i].done(n->finds[i].user, &r, NULL);
        recipient_free(&r);
    }
    for (struct method *m = n->methods; m; m = m->sibling)
        if (n->behaviour != NEVER_ANSWERS)
            method_turn(m);
}

static struct method *auto_offer(struct method_host *host, void *network, const struct offer *o, struct error *err)
{
    struct auto_network *n = network;
    struct method *m = calloc(1, sizeof *m);

    (void)err;
    *m = (struct method){.network = n, .host = host, .size = o->size, .fd = -1, .sibling = n->methods};
    n->methods = m;
    atomic_fetch_add(&n->offers, 1);
    return m;
}

static void auto_stream(struct method *m, struct shared_fd *file)
{
    m->fd = file->fd;
    m->next = 3;
}

static void auto_end(struct method **m, const struct error *why)
{
    struct method **at = &(*m)->network->methods;

    (void)why;
    while (*at != *m)
        at = &(*at)->sibling;
    *at = (*m)->sibling;
    free(*m);
    *m = NULL;
}

static enum method_can auto_can(void *network, uint64_t size, struct error *why)
{
    (void)network;
    if (size <= 100)
        return METHOD_CAN;
    error_set(why, ERR_METHOD_UNSUPPORTED, "at most 100 bytes");
    return METHOD_CANNOT;
}

static const struct method_ops auto_method = {
    .name = "auto", .offer = auto_offer, .stream = auto_stream, .end = auto_end, .can = auto_can, .follows = true};
static const struct method_ops post_method = {.name = "post", .offline = true};

static bool auto_start(struct network *network, uv_loop_t *loop, const struct network_events *events, struct error *err)
{
    struct auto_network *n = (struct auto_network *)network;

    (void)err;
    n->events = *events;
    n->loop = loop;
    uv_timer_init(loop, &n->turn);
    n->turn.data = n;
    uv_timer_start(&n->turn, on_turn, 1, 1);
    n->view.state = NETWORK_ONLINE;
    n->events.changed(n->events.user, &n->view);
    return true;
}

static uint64_t auto_find(struct network *network, const struct jid *from, const struct jid *to,
                          network_recipient_fn *done, void *user)
{
    struct auto_network *n = (struct auto_network *)network;

    (void)from;
    n->finds[n->find_count].ticket = ++n->last_ticket;
    n->finds[n->find_count].done = done;
    n->finds[n->find_count].user = user;
    jid_copy(&n->finds[n->find_count].to, to);
    n->find_count++;
    return n->last_ticket;
}

static void auto_forget(struct network *network, uint64_t ticket)
{
    struct auto_network *n = (struct auto_network *)network;

    for (size_t i = 0; i < n->find_count; i++) {
        if (n->finds[i].ticket != ticket)
            continue;
        memmove(&n->finds[i], &n->finds[i + 1], (n->find_count - i - 1) * sizeof n->finds[0]);
        n->find_count--;
        return;
    }
}

static enum sight auto_sight(struct network *network, const struct jid *to)
{
    (void)to;
    return ((struct auto_network *)network)->sight;
}

static bool auto_subscribe(struct network *network, const struct jid *who, bool *sent, struct error *err)
{
    (void)who;
    (void)err;
    *sent = atomic_fetch_add(&((struct auto_network *)network)->requests, 1) == 0;
    return true;
}

static const struct method_ops *const *auto_methods(struct network *network)
{
    static const struct method_ops *const list[] = {&auto_method, &post_method, NULL};

    (void)network;
    return list;
}

static void auto_stop(struct network *network, void (*stopped)(void *user), void *user)
{
    uv_close((uv_handle_t *)&((struct auto_network *)network)->turn, NULL);
    stopped(user);
}

static void auto_succeeded(struct network *n, const struct jid *who)
{
    (void)n;
    (void)who;
}

static bool auto_say(struct network *n, const struct jid *from, const struct jid *to, const char *text,
                     struct error *err)
{
    (void)from;
    (void)n;
    (void)to;
    (void)text;
    (void)err;
    return true;
}

static const struct network_ops auto_ops = {.say = auto_say,
                                            .start = auto_start,
                                            .find = auto_find,
                                            .forget = auto_forget,
                                            .succeeded = auto_succeeded,
                                            .sight = auto_sight,
                                            .subscribe = auto_subscribe,
                                            .methods = auto_methods,
                                            .stop = auto_stop};

static bool nothing_advertised(struct carrier *c, struct carrier_address *out)
{
    (void)c;
    (void)out;
    return false;
}

static const struct carrier_ops no_carrier = {.advertised = nothing_advertised};

static uint64_t no_streams(struct carrier *c)
{
    (void)c;
    return 0;
}

struct fixture {
    char dir[64], spool_dir[96], url[128];
    char *methods[2];
    struct config config;
    struct spool *spool;
    struct store *store;
    struct auto_network network;
    struct carrier carrier;
    struct gateway *gw;
};

static void start(struct fixture *f, enum behaviour behaviour)
{
    const struct spool_limits limits = {.max_bytes = 64 << 20, .max_file = 16 << 20};
    struct error error = {0};

    f->network = (struct auto_network){.network = {.ops = &auto_ops}};
    f->network.behaviour = behaviour;
    f->carrier.ops = &no_carrier;
    f->spool = spool_open(f->spool_dir, &limits, &error);
    f->store = f->spool ? store_open(f->url, &error) : NULL;
    f->gw = f->store ? gateway_create(&f->config, f->store, f->spool, &error) : NULL;
    if (!f->gw || !gateway_start(f->gw, &f->network.network, &f->carrier, no_streams, &error))
        fail_msg("%s", error.text);
}

static void no_nudge(void *user)
{
    (void)user;
}

static void stop(struct fixture *f)
{
    gateway_stop(f->gw, no_nudge, NULL);
    gateway_destroy(&f->gw);
    store_close(&f->store);
    spool_close(&f->spool);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/jidpost-core-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->spool_dir, sizeof f->spool_dir, "%s/spool", f->dir);
    snprintf(f->url, sizeof f->url, "sqlite://%s/jidpost.db", f->dir);
    f->methods[0] = (char *)"auto";
    f->config.delivery.methods = f->methods;
    f->config.delivery.offer_timeout = 60 * 1000;
    f->config.delivery.connect_timeout = 60 * 1000;
    f->config.delivery.ttl = 60 * 60 * 1000;
    f->config.delivery.retention = 60 * 60 * 1000;
    f->config.events.retention = 1000;
    f->config.delivery.backoff = 1;
    f->config.delivery.max_attempts = 3;
    f->config.delivery.parallel = 32;
    f->config.delivery.per_recipient_parallel = 4;
    f->config.spool.stream_window = 1 << 20;
    f->config.spool.upload_expiry = 60 * 60 * 1000;
    f->config.delivery.link_ttl = 60 * 60 * 1000;
    f->config.server.public_url = (char *)"https://files.example.org";
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* ---- a caller that blocks for its answer */

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t given;
    bool done;
    struct record *record;
    size_t listed;
    char *ids[8];
    struct gateway_ladder *ladder;
    struct error error;
};

static void answer_init(struct answer *a)
{
    *a = (struct answer){0};
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->given, NULL);
}

static void give(struct answer *a, const struct error *err)
{
    if (err)
        a->error = *err;
    a->done = true;
    pthread_cond_signal(&a->given);
}

static void on_record(void *user, struct record *r, const struct error *err)
{
    struct answer *a = user;

    pthread_mutex_lock(&a->lock);
    a->record = r;
    give(a, err);
    pthread_mutex_unlock(&a->lock);
}

static void on_list(void *user, struct record_list *list, const struct error *err)
{
    struct answer *a = user;

    pthread_mutex_lock(&a->lock);
    a->listed = list->count;
    for (size_t i = 0; i < list->count && i < 8; i++)
        a->ids[i] = strdup(list->items[i]->id);
    give(a, err);
    pthread_mutex_unlock(&a->lock);
}

static void await(struct answer *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->done)
        pthread_cond_wait(&a->given, &a->lock);
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->given);
}

static struct record *submit(struct fixture *f, const char *to, const char *text, struct submission s)
{
    struct answer a;
    struct error error = {0};
    struct jid jid;
    struct upload *u = gateway_upload_begin(f->gw, (int64_t)strlen(text), NULL, &error);

    assert_non_null(u);
    assert_true(jid_parse(&jid, to, strlen(to), &error));
    assert_true(gateway_upload_append(u, text, strlen(text), false, &error));
    s.to = &jid;
    s.name = "a.txt";
    answer_init(&a);
    gateway_upload_finish(&u, &s, on_record, &a);
    assert_null(u);
    await(&a);
    if (!a.record)
        fail_msg("%s", a.error.text);
    return a.record;
}

static struct record *upload_held(struct fixture *f, const char *to, const char *text, int64_t hold_ms, bool subscribe)
{
    return submit(f, to, text, (struct submission){.digest = true, .hold_ms = hold_ms, .subscribe = subscribe});
}

static struct record *upload(struct fixture *f, const char *to, const char *text)
{
    return upload_held(f, to, text, 0, false);
}

typedef void by_id(struct gateway *gw, const char *id, gateway_record_fn *done, void *user);

static struct record *one(struct fixture *f, by_id *call, const char *id, enum error_code want)
{
    struct answer a;

    answer_init(&a);
    call(f->gw, id, on_record, &a);
    await(&a);
    assert_int_equal(a.error.code, want);
    return a.record;
}

/* Two files for two recipients; tweak: one thing is not as it should be. */
enum tweak { TWEAK_NONE, TWEAK_DIGEST, TWEAK_RECIPIENT, TWEAK_NAME_TAKEN };

static size_t send_parcel(struct fixture *f, enum tweak tweak, struct answer *a)
{
    static const struct digests wrong = {.has_sha256 = true};
    struct error error = {0};
    struct jid ana, bob;
    const struct jid *to[] = {&ana, &bob};
    struct upload *uploads[2];
    struct submission what[2] = {{.name = "a.txt"}, {.name = "b.txt"}};
    char ids[4][ID_SIZE];
    struct parcel p = {.uploads = uploads, .files = 2, .what = what, .to = to, .recipients = 2, .ids = ids};

    assert_true(jid_parse(&ana, "ana@example.org", 15, &error) && jid_parse(&bob, "bob@example.org", 15, &error));
    for (size_t i = 0; i < 2; i++) {
        uploads[i] = gateway_upload_begin(f->gw, -1, NULL, &error);
        assert_non_null(uploads[i]);
        assert_true(gateway_upload_append(uploads[i], "hello", 5, false, &error));
        memcpy(ids[2 * i], gateway_upload_id(uploads[i]), ID_SIZE);
        id_make(ids[2 * i + 1], "tr", 1700000000000 + (long long)i);
    }
    if (tweak == TWEAK_DIGEST)
        what[1].promised = &wrong;
    if (tweak == TWEAK_RECIPIENT)
        assert_true(jid_parse(&bob, "example.org", 11, &error));
    if (tweak == TWEAK_NAME_TAKEN)
        memcpy(ids[3], ids[1], ID_SIZE); /* the last link cannot be made */
    answer_init(a);
    gateway_parcel_finish(f->gw, &p, on_list, a);
    assert_true(!uploads[0] && !uploads[1]);
    await(a);
    return a->listed;
}

static void free_ids(struct answer *a)
{
    for (size_t i = 0; i < 8; i++)
        free(a->ids[i]);
}

static size_t in_store(struct fixture *f)
{
    struct record_list list = {0};
    struct error error;
    size_t n;

    assert_true(store_list(f->store, &(struct record_filter){.limit = 9}, &list, &error));
    n = list.count;
    for (size_t i = 0; i < n; i++) {
        assert_non_null(list.items[i]->batch);
        assert_string_equal(list.items[i]->batch, list.items[0]->batch);
    }
    record_list_free(&list);
    return n;
}

static void wait_long(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    gateway_wait(gw, id, 60 * 1000, done, user);
}

static void wait_not(struct gateway *gw, const char *id, gateway_record_fn *done, void *user)
{
    gateway_wait(gw, id, 1, done, user);
}

static void expect_end(struct fixture *f, const char *id, enum transfer_state state, enum error_code code)
{
    struct record *r = one(f, wait_long, id, ERR_NONE);

    assert_non_null(r);
    assert_int_equal(r->state, state);
    assert_int_equal(r->error_code, code);
    record_free(&r);
}

static uint64_t spooled(struct fixture *f)
{
    struct spool_usage usage;

    spool_usage(f->spool, &usage);
    return usage.files;
}

/* ---- the rules */

static void an_upload_is_delivered_and_its_payload_goes(void **state)
{
    struct fixture *f = *state;
    struct record *r, *end;

    start(f, DELIVERS);
    r = upload(f, "ana@example.org", "hello");
    assert_int_equal(r->state, TRANSFER_QUEUED);
    assert_int_equal(r->size, 5);
    assert_string_equal(r->sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_string_equal(r->type, "text/plain");
    expect_end(f, r->id, TRANSFER_DELIVERED, ERR_NONE);
    end = one(f, gateway_get, r->id, ERR_NONE);
    assert_int_equal(end->sent, 5);
    assert_string_equal(end->resource, "desk");
    assert_true(end->step_count > 2);
    record_free(&end);
    record_free(&r);
    stop(f);
    f->spool = NULL;
    start(f, DELIVERS);
    assert_int_equal(spooled(f), 0);
    stop(f);
}

static void a_refusal_reaches_who_waits(void **state)
{
    static const struct {
        enum behaviour behaviour;
        enum error_code code;
    } rows[] = {{DECLINES, ERR_RECIPIENT_DECLINED}, {OFFLINE, ERR_RECIPIENT_OFFLINE}};
    struct fixture *f = *state;

    start(f, DELIVERS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r;

        f->network.behaviour = rows[i].behaviour;
        r = upload(f, "ana@example.org", "hello");
        expect_end(f, r->id, TRANSFER_FAILED, rows[i].code);
        record_free(&r);
    }
    stop(f);
}

static void waiting_ends_when_its_time_is_up(void **state)
{
    struct fixture *f = *state;
    struct record *r, *now;

    start(f, NEVER_ANSWERS);
    r = upload(f, "ana@example.org", "hello");
    now = one(f, wait_not, r->id, ERR_NONE);
    assert_false(transfer_state_final(now->state));
    record_free(&now);
    record_free(&r);
    stop(f);
}

static void a_cancelled_transfer_is_final_and_stays_so(void **state)
{
    struct fixture *f = *state;
    struct record *r, *end;

    start(f, NEVER_ANSWERS);
    r = upload(f, "ana@example.org", "hello");
    for (int i = 0; i < 2; i++) {
        end = one(f, gateway_cancel, r->id, ERR_NONE);
        assert_int_equal(end->state, TRANSFER_CANCELLED);
        record_free(&end);
    }
    assert_null(one(f, gateway_cancel, "tr_00000000000000000000000000", ERR_NOT_FOUND));
    assert_null(one(f, gateway_get, "../../etc/passwd", ERR_NOT_FOUND));
    record_free(&r);
    stop(f);
}

static void await_offer(struct fixture *f)
{
    while (atomic_load(&f->network.offers) == 0)
        usleep(1000);
}

static void what_a_stop_interrupted_goes_on_at_the_next_start(void **state)
{
    struct fixture *f = *state;
    struct record *r, *end;

    start(f, NEVER_ANSWERS);
    r = upload(f, "ana@example.org", "hello");
    await_offer(f);
    stop(f);
    start(f, DELIVERS);
    expect_end(f, r->id, TRANSFER_DELIVERED, ERR_NONE);
    end = one(f, gateway_get, r->id, ERR_NONE);
    assert_int_equal(end->attempt_count, 2);
    assert_int_equal(end->attempts[0].error.code, ERR_DRAINING);
    assert_int_equal(end->round, 1); /* a stop costs none */
    record_free(&end);
    record_free(&r);
    stop(f);
}

static void a_lost_payload_ends_its_transfer_with_the_reason(void **state)
{
    struct fixture *f = *state;
    struct record *r;
    char path[160];

    start(f, NEVER_ANSWERS);
    r = upload(f, "ana@example.org", "hello");
    stop(f);
    snprintf(path, sizeof path, "%s/%s", f->spool_dir, r->id);
    assert_int_equal(unlink(path), 0);
    start(f, DELIVERS);
    expect_end(f, r->id, TRANSFER_FAILED, ERR_INTERNAL);
    record_free(&r);
    stop(f);
}

/* As a crash leaves it: the row of a stream that was under way, and no file. */
static void a_stream_that_a_crash_interrupted_has_failed(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    struct record *r, *row;
    struct store *store;
    char path[160];

    start(f, NEVER_ANSWERS);
    r = upload(f, "ana@example.org", "hello");
    stop(f);
    snprintf(path, sizeof path, "%s/%s", f->spool_dir, r->id);
    assert_int_equal(unlink(path), 0);
    store = store_open(f->url, &error);
    row = store_get(store, r->id, &error);
    row->mode = MODE_STREAM;
    row->state = TRANSFER_TRANSFERRING;
    store_put(store, row, NULL, NULL);
    store_close(&store);
    start(f, DELIVERS);
    expect_end(f, r->id, TRANSFER_FAILED, ERR_STREAM_BROKEN);
    record_free(&r);
    stop(f);
}

static void a_list_tells_the_newest_first(void **state)
{
    struct fixture *f = *state;
    struct record_filter filter = {.limit = 2};
    struct record *r[3];
    struct answer a;

    start(f, NEVER_ANSWERS);
    for (size_t i = 0; i < 3; i++)
        r[i] = upload(f, i == 1 ? "bob@example.org" : "ana@example.org", "hello");
    answer_init(&a);
    gateway_list(f->gw, &filter, on_list, &a);
    await(&a);
    assert_int_equal(a.error.code, ERR_NONE);
    assert_int_equal(a.listed, 2);
    assert_string_equal(a.ids[0], r[2]->id);
    assert_string_equal(a.ids[1], r[1]->id);
    free(a.ids[0]);
    free(a.ids[1]);
    filter.to = "bob@example.org";
    answer_init(&a);
    gateway_list(f->gw, &filter, on_list, &a);
    await(&a);
    assert_int_equal(a.listed, 1);
    assert_string_equal(a.ids[0], r[1]->id);
    free(a.ids[0]);
    for (size_t i = 0; i < 3; i++)
        record_free(&r[i]);
    stop(f);
}

static void draining_answers_who_waits_and_takes_nothing_new(void **state)
{
    struct fixture *f = *state;
    struct record *r;
    struct error error = {0};
    struct answer a;

    start(f, NEVER_ANSWERS);
    r = upload(f, "ana@example.org", "hello");
    answer_init(&a);
    gateway_wait(f->gw, r->id, 3600 * 1000, on_record, &a);
    gateway_drain(f->gw);
    await(&a);
    assert_non_null(a.record);
    assert_false(transfer_state_final(a.record->state));
    record_free(&a.record);
    assert_null(gateway_upload_begin(f->gw, 1, NULL, &error));
    assert_int_equal(error.code, ERR_DRAINING);
    record_free(&r);
    stop(f);
}

static void bad_submissions_leave_nothing_behind(void **state)
{
    static const struct {
        const char *name, *methods, *caption;
        enum error_code want;
    } rows[] = {
        {"a/b", NULL, NULL, ERR_NAME_INVALID},
        {"a\x01", NULL, NULL, ERR_NAME_INVALID},
        {"a", "smoke-signals", NULL, ERR_PARAMETER_INVALID},
        {"a", "auto,", NULL, ERR_PARAMETER_INVALID},
        {"a", "", NULL, ERR_PARAMETER_INVALID},
        {"a", NULL, "\xff", ERR_PARAMETER_INVALID},
    };
    struct fixture *f = *state;
    struct error error = {0};
    struct jid to;

    start(f, DELIVERS);
    assert_true(jid_parse(&to, "ana@example.org", 15, &error));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submission s = {.to = &to, .name = rows[i].name, .methods = rows[i].methods, .caption = rows[i].caption};
        struct upload *u = gateway_upload_begin(f->gw, -1, NULL, &error);
        struct answer a;

        assert_non_null(u);
        answer_init(&a);
        gateway_upload_finish(&u, &s, on_record, &a);
        await(&a);
        assert_null(a.record);
        assert_int_equal(a.error.code, rows[i].want);
    }
    assert_false(gateway_submission_check(f->gw, &(struct submission){.to = &to, .subscribe = true}, &error));
    assert_int_equal(error.code, ERR_PARAMETER_INVALID); /* asked, but not waited for */
    assert_int_equal(spooled(f), 0);
    stop(f);
}

/* ---- the ladder as it would be walked now */

static void on_recipient(void *user, struct recipient *r, struct gateway_ladder *ladder, const struct error *err)
{
    struct answer *a = user;

    (void)r;
    pthread_mutex_lock(&a->lock);
    a->ladder = ladder;
    give(a, err);
    pthread_mutex_unlock(&a->lock);
}

static void a_look_at_somebody_shows_the_ladder(void **state)
{
    static const struct {
        const char *says;
        enum behaviour behaviour;
        const char *methods;
        uint64_t size;
        enum error_code error;
        const char *want; /* method>to, with "!" before what is not possible */
    } rows[] = {
        {"there", DELIVERS, NULL, 0, ERR_NONE, "auto>ana@example.org/desk "},
        {"as asked", DELIVERS, "post,auto", 100, ERR_NONE, "post>ana@example.org auto>ana@example.org/desk "},
        {"too large", DELIVERS, "auto,post", 101, ERR_NONE, "!auto>ana@example.org/desk post>ana@example.org "},
        {"away", OFFLINE, "auto,post", 0, ERR_RECIPIENT_OFFLINE, "!auto> post>ana@example.org "},
    };
    struct fixture *f = *state;
    struct jid to;

    start(f, DELIVERS);
    assert_true(jid_parse(&to, "ana@example.org", 15, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;
        char got[256] = "";

        f->network.behaviour = rows[i].behaviour;
        answer_init(&a);
        gateway_find(f->gw, &to, rows[i].methods, rows[i].size, on_recipient, &a);
        await(&a);
        assert_int_equal(a.error.code, rows[i].error);
        for (size_t k = 0; k < a.ladder->count; k++) {
            const struct gateway_rung *rung = &a.ladder->rungs[k];

            assert_int_equal(rung->possible == METHOD_CAN, rung->why[0] == '\0');
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s>%s ", rung->possible == METHOD_CAN ? "" : "!",
                     rung->method, rung->to.text);
        }
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: '%s' instead of '%s'", rows[i].says, got, rows[i].want);
        free(a.ladder);
    }
    stop(f);
}

/* ---- waiting for who is offline */

static void await_state(struct fixture *f, const char *id, enum transfer_state state)
{
    for (int i = 0; i < 5000; i++) {
        struct record *r = one(f, gateway_get, id, ERR_NONE);
        enum transfer_state now = r->state;

        record_free(&r);
        if (now == state)
            return;
        usleep(1000);
    }
    fail_msg("never %s", transfer_state_name(state));
}

/* And waits until core was told. */
static void news(struct fixture *f, enum news news, const char *who)
{
    if (who)
        assert_true(jid_parse(&f->network.who, who, strlen(who), NULL));
    f->network.news = news;
    while (f->network.news != NO_NEWS)
        usleep(100);
}

static struct record *upload_until_held(struct fixture *f, const char *to, bool subscribe)
{
    struct record *r = upload_held(f, to, "hello", 3600 * 1000, subscribe);

    await_state(f, r->id, TRANSFER_HELD);
    return r;
}

static void presence_wakes_those_held_for_whom_it_is(void **state)
{
    struct fixture *f = *state;
    struct record *r[3], *end;

    start(f, OFFLINE);
    f->network.sight = SIGHT_AWAY;
    r[0] = upload_until_held(f, "ana@example.org", false);
    r[1] = upload_until_held(f, "ana@example.org/phone", false);
    r[2] = upload_until_held(f, "bob@example.org", false);
    f->network.behaviour = DELIVERS;
    f->network.sight = SIGHT_THERE;
    news(f, NEWS_PRESENCE, "ana@example.org/desk");
    expect_end(f, r[0]->id, TRANSFER_DELIVERED, ERR_NONE);
    await_state(f, r[1]->id, TRANSFER_HELD);
    await_state(f, r[2]->id, TRANSFER_HELD);
    news(f, NEWS_PRESENCE, "ana@example.org/phone");
    expect_end(f, r[1]->id, TRANSFER_DELIVERED, ERR_NONE);
    await_state(f, r[2]->id, TRANSFER_HELD);
    end = one(f, gateway_cancel, r[2]->id, ERR_NONE);
    record_free(&end);
    expect_end(f, r[2]->id, TRANSFER_CANCELLED, ERR_CANCELLED);
    for (size_t i = 0; i < 3; i++)
        record_free(&r[i]);
    stop(f);
}

static void a_held_one_keeps_nobody_from_his_turn(void **state)
{
    struct fixture *f = *state;
    struct record *held[4], *next;

    f->config.delivery.per_recipient_parallel = f->config.delivery.parallel = 2;
    start(f, OFFLINE);
    f->network.sight = SIGHT_AWAY;
    for (size_t i = 0; i < 4; i++)
        held[i] = upload_until_held(f, "ana@example.org", false);
    f->network.behaviour = DELIVERS;
    next = upload(f, "ana@example.org", "hello");
    expect_end(f, next->id, TRANSFER_DELIVERED, ERR_NONE);
    record_free(&next);
    f->network.sight = SIGHT_THERE;
    news(f, NEWS_PRESENCE, "ana@example.org/desk"); /* in turns */
    for (size_t i = 0; i < 4; i++) {
        expect_end(f, held[i]->id, TRANSFER_DELIVERED, ERR_NONE);
        record_free(&held[i]);
    }
    stop(f);
}

static void a_held_one_survives_a_stop_and_our_own_absence(void **state)
{
    struct fixture *f = *state;
    struct record *r, *now;

    start(f, OFFLINE);
    f->network.sight = SIGHT_AWAY;
    r = upload_until_held(f, "ana@example.org", false);
    stop(f);
    start(f, OFFLINE);
    f->network.sight = SIGHT_UNKNOWN;
    news(f, NEWS_DOWN, NULL);
    news(f, NEWS_UP, NULL);
    f->network.sight = SIGHT_AWAY;
    news(f, NEWS_ROSTER, NULL);
    now = one(f, wait_not, r->id, ERR_NONE);
    assert_int_equal(now->state, TRANSFER_HELD);
    assert_int_equal(now->hold_until, r->hold_until);
    assert_true(now->hold_until - now->created == 3600 * 1000);
    assert_int_equal(now->attempt_count, 1); /* nobody was looked for again */
    record_free(&now);
    f->network.behaviour = DELIVERS;
    f->network.sight = SIGHT_THERE;
    news(f, NEWS_PRESENCE, "ana@example.org/desk");
    expect_end(f, r->id, TRANSFER_DELIVERED, ERR_NONE);
    record_free(&r);
    stop(f);
}

static void a_refusal_ends_the_waiting_of_all_for_him(void **state)
{
    struct fixture *f = *state;
    struct record *r[2];

    start(f, OFFLINE);
    f->network.sight = SIGHT_HIDDEN;
    for (size_t i = 0; i < 2; i++)
        r[i] = upload_until_held(f, "ana@example.org", true);
    assert_int_equal(f->network.requests, 2);
    news(f, NEWS_REFUSED, "bob@example.org");
    await_state(f, r[0]->id, TRANSFER_HELD);
    news(f, NEWS_REFUSED, "ana@example.org");
    for (size_t i = 0; i < 2; i++) {
        expect_end(f, r[i]->id, TRANSFER_FAILED, ERR_RECIPIENT_FORBIDS);
        record_free(&r[i]);
    }
    stop(f);
}

static void a_roster_without_him_ends_the_waiting(void **state)
{
    struct fixture *f = *state;
    struct record *r;

    start(f, OFFLINE);
    f->network.sight = SIGHT_AWAY;
    r = upload_until_held(f, "ana@example.org", false);
    f->network.sight = SIGHT_HIDDEN;
    news(f, NEWS_ROSTER, NULL);
    expect_end(f, r->id, TRANSFER_FAILED, ERR_RECIPIENT_OFFLINE);
    record_free(&r);
    stop(f);
}

static void a_digest_is_computed_for_who_asks_or_for_everybody(void **state)
{
    static const struct {
        enum digest_mode configured;
        bool asked, computed;
    } rows[] = {
        {DIGEST_AUTO, false, false}, {DIGEST_AUTO, true, true},    {DIGEST_ALWAYS, false, true},
        {DIGEST_NEVER, true, true},  {DIGEST_NEVER, false, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r;

        f->config.delivery.digest = rows[i].configured;
        start(f, NEVER_ANSWERS);
        r = submit(f, "ana@example.org", "hello", (struct submission){.digest = rows[i].asked});
        assert_int_equal(r->sha256 != NULL, rows[i].computed);
        if (r->sha256)
            assert_string_equal(r->sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        record_free(&r);
        stop(f);
    }
}

/* What is not said in the request is as configured. */
static void how_long_to_wait_is_asked_configured_or_not_at_all(void **state)
{
    enum { TTL = 60 * 60 * 1000 }; /* of the fixture */
    static const struct {
        int64_t configured, asked;
        bool subscribe;
        int64_t want;
    } rows[] = {
        {0, -1, false, 0},   {0, 5000, false, 5000}, {7000, -1, false, 7000}, {7000, 5000, false, 5000},
        {7000, 0, false, 0}, {7000, -1, true, 7000}, {0, -1, true, TTL},      {0, 5000, true, 5000},
    };
    struct fixture *f = *state;

    start(f, NEVER_ANSWERS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r;

        f->config.delivery.hold = rows[i].configured;
        r = upload_held(f, "ana@example.org", "hello", rows[i].asked, rows[i].subscribe);
        if ((r->hold_until ? r->hold_until - r->created : 0) != rows[i].want || r->subscribe != rows[i].subscribe)
            fail_msg("row %zu: %lld", i, (long long)r->hold_until);
        record_free(&r);
    }
    stop(f);
}

/* ---- links of our own */

struct fetched {
    pthread_mutex_t lock;
    pthread_cond_t given;
    bool done;
    char text[64], type[64];
    struct error error;
};

static void on_download(void *user, struct download *d, const struct error *err)
{
    struct fetched *f = user;

    pthread_mutex_lock(&f->lock);
    if (err) {
        f->error = *err;
    } else {
        assert_true(d->size < sizeof f->text);
        assert_int_equal(pread(d->fd, f->text, d->size, 0), d->size);
        snprintf(f->type, sizeof f->type, "%s", d->type);
    }
    f->done = true;
    pthread_cond_signal(&f->given);
    pthread_mutex_unlock(&f->lock);
}

static struct fetched fetch(struct fixture *f, const char *url, const char *name)
{
    struct fetched got = {.lock = PTHREAD_MUTEX_INITIALIZER, .given = PTHREAD_COND_INITIALIZER};
    char secret[33];

    snprintf(secret, sizeof secret, "%s", strstr(url, "/d/") + 3);
    gateway_download(f->gw, secret, name, on_download, &got);
    pthread_mutex_lock(&got.lock);
    while (!got.done)
        pthread_cond_wait(&got.given, &got.lock);
    pthread_mutex_unlock(&got.lock);
    return got;
}

static void expect_fetched(struct fixture *f, const char *url, const char *text)
{
    struct fetched got = fetch(f, url, "a.txt");

    assert_int_equal(got.error.code, ERR_NONE);
    assert_string_equal(got.text, text);
    assert_string_equal(got.type, "text/plain");
}

/* Uploads and has a link sent; the id is in *id. */
static void send_link(struct fixture *f, char id[static ID_SIZE])
{
    struct record *r = upload(f, "ana@example.org", "hello"), *end;

    memcpy(id, r->id, ID_SIZE);
    record_free(&r);
    end = one(f, wait_long, id, ERR_NONE);
    assert_int_equal(end->state, TRANSFER_LINK_SENT);
    assert_string_equal(end->link_at, "https://files.example.org");
    assert_true(end->link_expires > end->finished);
    record_free(&end);
}

static void a_link_is_kept_and_fetched_also_after_a_restart(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE], url[METHOD_URL];

    start(f, LINKS);
    send_link(f, id);
    assert_int_equal(spooled(f), 1);
    strcpy(url, f->network.url);
    expect_fetched(f, url, "hello");
    assert_int_equal(fetch(f, url, "b.txt").error.code, ERR_NOT_FOUND);
    assert_int_equal(fetch(f, "/d/00000000000000000000000000000000", "a.txt").error.code, ERR_NOT_FOUND);
    assert_int_equal(fetch(f, "/d/nonsense", "a.txt").error.code, ERR_NOT_FOUND);
    stop(f);
    start(f, LINKS);
    assert_int_equal(spooled(f), 1);
    expect_fetched(f, url, "hello");
    stop(f);
}

static void a_link_fetched_whole_is_noted_and_stays(void **state)
{
    struct fixture *f = *state;
    struct record *r;
    char id[ID_SIZE], url[METHOD_URL];

    start(f, LINKS);
    send_link(f, id);
    gateway_downloaded(f->gw, id, 0, 2);
    gateway_downloaded(f->gw, id, 3, 5);
    r = one(f, gateway_get, id, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_LINK_SENT);
    assert_int_equal(r->sent, 0);
    record_free(&r);
    gateway_downloaded(f->gw, id, 2, 5);
    strcpy(url, f->network.url);
    stop(f); /* so it is written */
    start(f, LINKS);
    r = one(f, gateway_get, id, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_LINK_FETCHED);
    assert_true(r->link_fetched > 0);
    assert_int_equal(r->sent, 5);
    assert_string_equal(r->steps[r->step_count - 1].name, "link fetched");
    record_free(&r);
    assert_int_equal(spooled(f), 1);
    expect_fetched(f, url, "hello");
    stop(f);
}

/* What lies in the folder of a gateway that has stopped. */
static size_t left_in_spool(struct fixture *f)
{
    DIR *dir = opendir(f->spool_dir);
    size_t count = 0;

    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));)
        count += d->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void what_is_fetched_after_a_restart_is_noted_too(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE];

    start(f, LINKS);
    send_link(f, id);
    stop(f);
    start(f, LINKS);
    gateway_downloaded(f->gw, id, 0, 5);
    stop(f);
    start(f, LINKS);
    expect_end(f, id, TRANSFER_LINK_FETCHED, ERR_NONE);
    stop(f);
}

static void a_link_ends_when_its_transfer_is_deleted(void **state)
{
    struct fixture *f = *state;
    struct record *r;
    char id[ID_SIZE];

    start(f, LINKS);
    send_link(f, id);
    for (int i = 0; i < 2; i++) { /* may be repeated */
        r = one(f, gateway_cancel, id, ERR_NONE);
        assert_int_equal(r->state, TRANSFER_LINK_SENT);
        assert_true(r->link_expires <= clock_wall_ms());
        record_free(&r);
    }
    assert_int_equal(fetch(f, f->network.url, "a.txt").error.code, ERR_GONE);
    assert_int_equal(fetch(f, f->network.url, "b.txt").error.code, ERR_NOT_FOUND);
    gateway_downloaded(f->gw, id, 0, 5); /* too late */
    stop(f);
    assert_int_equal(left_in_spool(f), 0);
    start(f, LINKS);
    assert_int_equal(spooled(f), 0);
    r = one(f, gateway_get, id, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_LINK_SENT);
    record_free(&r);
    stop(f);
}

static void a_link_ends_by_itself_when_its_time_is_over(void **state)
{
    struct fixture *f = *state;
    struct fetched got;
    char id[ID_SIZE];

    f->config.delivery.link_ttl = 700;
    start(f, LINKS);
    send_link(f, id);
    assert_int_equal(spooled(f), 1);
    for (int i = 0; i < 1000 && spooled(f) > 0; i++) /* nobody tells */
        usleep(5000);
    assert_int_equal(spooled(f), 0);
    got = fetch(f, f->network.url, "a.txt");
    assert_int_equal(got.error.code, ERR_GONE);
    stop(f);
}

static void a_link_that_ended_while_the_gateway_was_away_is_swept(void **state)
{
    struct fixture *f = *state;
    char id[ID_SIZE], url[METHOD_URL];

    f->config.delivery.link_ttl = 400;
    start(f, LINKS);
    send_link(f, id);
    strcpy(url, f->network.url);
    stop(f);
    usleep(500 * 1000);
    start(f, LINKS);
    assert_int_equal(spooled(f), 0);
    assert_int_equal(fetch(f, url, "a.txt").error.code, ERR_GONE);
    stop(f);
}

static void a_record_outlives_its_retention_with_its_link(void **state)
{
    struct fixture *f = *state;
    struct record *r;
    char id[ID_SIZE];

    f->config.delivery.retention = 1;
    start(f, LINKS);
    send_link(f, id);
    stop(f);
    usleep(5000);
    start(f, LINKS); /* forgets with its first heartbeat, before this upload is written */
    r = upload(f, "bob@example.org", "x");
    record_free(&r);
    r = one(f, gateway_get, id, ERR_NONE);
    assert_non_null(r);
    record_free(&r);
    stop(f);
}

static size_t files_in(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *d;
    size_t count = 0;

    assert_non_null(dir);
    while ((d = readdir(dir)))
        count += d->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* ---- transfers that begin before the end of their upload */

enum { BIG = 200000, PART = 100000 };
static const char bytes[BIG];

static struct upload *begin_upload(struct fixture *f, enum mode mode, int64_t size)
{
    struct error error = {0};
    struct jid to;
    struct submission s = {.to = &to, .name = "a.bin", .type = "a/b", .mode = mode, .digest = mode == MODE_AUTO};
    struct upload *u;

    assert_true(jid_parse(&to, "ana@example.org", 15, &error));
    assert_true(gateway_submission_check(f->gw, &s, &error));
    u = gateway_upload_begin(f->gw, size, &s, &error);
    if (!u)
        fail_msg("%s", error.text);
    return u;
}

static void append(struct upload *u, size_t len)
{
    struct error error = {0};

    if (!gateway_upload_append(u, bytes, len, false, &error))
        fail_msg("%s", error.text);
}

static struct record *finish_upload(struct upload **u, struct submission *s, enum error_code want)
{
    struct answer a;

    answer_init(&a);
    gateway_upload_finish(u, s, on_record, &a);
    await(&a);
    assert_int_equal(a.error.code, want);
    return a.record;
}

/* Looks until it is in that state, for a second or so. */
static struct record *look_for(struct fixture *f, const char *id, enum transfer_state state, uint64_t received)
{
    for (int i = 0; i < 5000; i++) {
        struct answer a;

        answer_init(&a);
        gateway_get(f->gw, id, on_record, &a);
        await(&a);
        if (a.record && a.record->state == state && a.record->received >= received)
            return a.record;
        record_free(&a.record);
        usleep(1000);
    }
    fail_msg("%s was never %s", id, transfer_state_name(state));
    return NULL;
}

static struct record *open_stream(struct fixture *f, struct upload *u, enum error_code want)
{
    struct answer a;

    (void)f;
    answer_init(&a);
    gateway_upload_open(u, on_record, &a);
    await(&a);
    assert_int_equal(a.error.code, want);
    return a.record;
}

static size_t listed(struct fixture *f, const struct record_filter *filter)
{
    struct answer a;

    answer_init(&a);
    gateway_list(f->gw, filter, on_list, &a);
    await(&a);
    for (size_t i = 0; i < a.listed && i < 8; i++)
        free(a.ids[i]);
    return a.listed;
}

static bool has_a_row(struct fixture *f, const char *id)
{
    struct error error = {0};
    struct record *r = store_get(f->store, id, &error);
    bool there = r != NULL;

    record_free(&r);
    return there;
}

static void a_transfer_begins_while_its_upload_comes(void **state)
{
    const struct record_filter all = {.limit = 8}, his = {.to = "ana@example.org", .limit = 8},
                               other = {.to = "ana@example.or", .limit = 8},
                               ended = {.by_state = true, .state = TRANSFER_FAILED, .limit = 8};
    struct fixture *f = *state;
    struct upload *u;
    struct record *r;
    char id[ID_SIZE];

    start(f, DELIVERS);
    u = begin_upload(f, MODE_AUTO, BIG);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    append(u, PART);
    r = look_for(f, id, TRANSFER_TRANSFERRING, PART);
    assert_int_equal(r->upload, UPLOAD_RECEIVING);
    assert_int_equal(r->mode, MODE_AUTO);
    assert_int_equal(r->size, BIG);
    record_free(&r);
    assert_false(has_a_row(f, id));
    assert_int_equal(listed(f, &all), 1);
    assert_int_equal(listed(f, &his), 1);
    assert_int_equal(listed(f, &other), 0);
    assert_int_equal(listed(f, &ended), 0);
    append(u, BIG - PART);
    r = finish_upload(&u, &(struct submission){0}, ERR_NONE);
    assert_int_equal(r->upload, UPLOAD_COMPLETE);
    assert_int_equal(r->received, BIG);
    assert_string_equal(r->sha256, "4cbbd9be0cba685835755f827758705db5a413c5494c34262cd25946a73e7582");
    record_free(&r);
    assert_true(has_a_row(f, id));
    expect_end(f, id, TRANSFER_DELIVERED, ERR_NONE);
    assert_int_equal(listed(f, &all), 1);
    stop(f);
    assert_int_equal(files_in(f->spool_dir), 0);
}

static void a_small_body_begins_at_its_end(void **state)
{
    static const size_t sizes[] = {0, 5, 64 * 1024};
    struct fixture *f = *state;

    start(f, DELIVERS);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct upload *u = begin_upload(f, MODE_AUTO, (int64_t)sizes[i]);
        struct record *r;

        append(u, sizes[i]);
        r = finish_upload(&u, &(struct submission){0}, ERR_NONE);
        assert_int_equal(r->upload, UPLOAD_COMPLETE);
        expect_end(f, r->id, TRANSFER_DELIVERED, ERR_NONE);
        record_free(&r);
    }
    stop(f);
    assert_int_equal(files_in(f->spool_dir), 0);
}

static void an_upload_that_breaks_off_fails_its_transfer(void **state)
{
    static const struct {
        struct error why;
        enum error_code want;
    } rows[] = {{{0}, ERR_LENGTH_CONFLICT}, {{.code = ERR_SPOOL_FULL, .text = "full"}, ERR_SPOOL_FULL}};
    struct fixture *f = *state;

    start(f, DELIVERS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct upload *u = begin_upload(f, MODE_AUTO, BIG);
        struct record *r;
        char id[ID_SIZE];

        memcpy(id, gateway_upload_id(u), ID_SIZE);
        append(u, PART);
        r = look_for(f, id, TRANSFER_TRANSFERRING, 0);
        record_free(&r);
        gateway_upload_abort(&u, &rows[i].why);
        r = one(f, wait_long, id, ERR_NONE);
        assert_int_equal(r->state, TRANSFER_FAILED);
        assert_int_equal(r->error_code, rows[i].want);
        assert_int_equal(r->error_stage, STAGE_UPLOAD);
        assert_int_equal(r->upload, UPLOAD_ABORTED);
        assert_true(has_a_row(f, id));
        record_free(&r);
    }
    assert_int_equal(spooled(f), 0);
    stop(f);
}

static void an_upload_that_is_too_short_is_none(void **state)
{
    struct fixture *f = *state;
    struct upload *u;
    char id[ID_SIZE];

    start(f, DELIVERS);
    u = begin_upload(f, MODE_AUTO, BIG);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    append(u, PART);
    assert_null(finish_upload(&u, &(struct submission){0}, ERR_LENGTH_CONFLICT));
    expect_end(f, id, TRANSFER_FAILED, ERR_LENGTH_CONFLICT);
    assert_int_equal(spooled(f), 0);
    stop(f);
}

/* What the uploader still sends is not kept, and his answer tells what became of it. */
static void a_transfer_that_ends_before_its_upload_wants_no_more(void **state)
{
    struct fixture *f = *state;
    struct upload *u;
    struct record *r;
    char id[ID_SIZE];

    start(f, DECLINES);
    u = begin_upload(f, MODE_AUTO, BIG);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    append(u, PART);
    r = look_for(f, id, TRANSFER_FAILED, 0);
    assert_int_equal(r->error_code, ERR_RECIPIENT_DECLINED);
    record_free(&r);
    append(u, BIG); /* more than belongs to it */
    r = finish_upload(&u, &(struct submission){0}, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_FAILED);
    assert_int_equal(r->upload, UPLOAD_ABORTED);
    record_free(&r);
    assert_int_equal(spooled(f), 0);
    stop(f);
}

static void a_cancelled_transfer_ends_its_upload(void **state)
{
    struct fixture *f = *state;
    struct upload *u;
    struct record *r;
    char id[ID_SIZE];

    start(f, NEVER_ANSWERS);
    u = begin_upload(f, MODE_AUTO, BIG);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    append(u, PART);
    r = look_for(f, id, TRANSFER_OFFERING, 0);
    record_free(&r);
    r = one(f, gateway_cancel, id, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_CANCELLED);
    record_free(&r);
    gateway_upload_abort(&u, NULL);
    expect_end(f, id, TRANSFER_CANCELLED, ERR_CANCELLED);
    assert_int_equal(spooled(f), 0);
    stop(f);
}

static void a_stop_with_an_upload_under_way_leaves_what_was_promised(void **state)
{
    struct fixture *f = *state;
    struct upload *broken, *whole;
    struct record *r;
    char id[ID_SIZE];

    start(f, NEVER_ANSWERS);
    broken = begin_upload(f, MODE_AUTO, BIG);
    append(broken, PART);
    whole = begin_upload(f, MODE_AUTO, BIG);
    memcpy(id, gateway_upload_id(whole), ID_SIZE);
    append(whole, BIG);
    r = finish_upload(&whole, &(struct submission){0}, ERR_NONE);
    record_free(&r);
    gateway_drain(f->gw);
    gateway_upload_abort(&broken, NULL);
    stop(f);
    assert_int_equal(files_in(f->spool_dir), 1);
    start(f, DELIVERS);
    expect_end(f, id, TRANSFER_DELIVERED, ERR_NONE);
    stop(f);
}

static void a_higher_limit_starts_who_waits(void **state)
{
    struct fixture *f = *state;
    struct record *first, *second;

    f->config.delivery.parallel = 1;
    start(f, NEVER_ANSWERS);
    first = upload(f, "ana@example.org", "hello");
    await_state(f, first->id, TRANSFER_OFFERING);
    second = upload(f, "bob@example.org", "hello");
    await_state(f, second->id, TRANSFER_QUEUED);
    gateway_limit(f->gw, 2, 2);
    await_state(f, second->id, TRANSFER_OFFERING);
    record_free(&first);
    record_free(&second);
    stop(f);
}

/* Looks until core has counted, and then until so much is left, for a few seconds. */
static void await_left(struct fixture *f, size_t streams, size_t uploads)
{
    struct gateway_left left;

    for (int i = 0; i < 5000; i++) {
        bool more = gateway_draining(f->gw, &left);

        if (left.counted && left.streams == streams && left.uploads == uploads) {
            assert_int_equal(more, streams + uploads > 0);
            return;
        }
        usleep(1000);
    }
    fail_msg("%zu streams and %zu uploads were left to the end", left.streams, left.uploads);
}

static void what_flows_goes_on_while_draining_and_is_told_to_who_waits(void **state)
{
    struct fixture *f = *state;
    struct upload *u;
    struct record *r;
    struct answer end;
    char id[ID_SIZE];

    start(f, DELIVERS);
    u = begin_upload(f, MODE_AUTO, BIG);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    append(u, PART);
    r = look_for(f, id, TRANSFER_TRANSFERRING, PART);
    record_free(&r);
    answer_init(&end);
    gateway_wait(f->gw, id, 3600 * 1000, on_record, &end);
    gateway_drain(f->gw);
    await_left(f, 1, 1);
    append(u, BIG - PART);
    r = finish_upload(&u, &(struct submission){0}, ERR_NONE);
    record_free(&r);
    await(&end);
    assert_int_equal(end.record->state, TRANSFER_DELIVERED);
    record_free(&end.record);
    await_left(f, 0, 0);
    stop(f);
}

static void what_does_not_flow_is_parked_when_draining_begins(void **state)
{
    struct fixture *f = *state;
    struct record *offered, *queued, *r;
    struct upload *u;

    start(f, NEVER_ANSWERS);
    offered = upload(f, "ana@example.org", "hello");
    await_state(f, offered->id, TRANSFER_OFFERING);
    u = begin_upload(f, MODE_SPOOL, 5);
    append(u, 5);
    gateway_drain(f->gw);
    await_left(f, 0, 1);
    queued =
        finish_upload(&u, &(struct submission){.to = &(struct jid){.text = "ana@example.org", .local = 3}}, ERR_NONE);
    assert_int_equal(queued->state, TRANSFER_QUEUED);
    await_left(f, 0, 0);
    r = one(f, gateway_get, offered->id, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_QUEUED);
    assert_int_equal(r->attempts[0].error.code, ERR_DRAINING);
    record_free(&r);
    stop(f);
    start(f, DELIVERS);
    expect_end(f, offered->id, TRANSFER_DELIVERED, ERR_NONE);
    expect_end(f, queued->id, TRANSFER_DELIVERED, ERR_NONE);
    record_free(&offered);
    record_free(&queued);
    stop(f);
}

static void a_stream_is_not_opened_while_draining(void **state)
{
    struct fixture *f = *state;
    struct upload *u;

    start(f, DELIVERS);
    u = begin_upload(f, MODE_STREAM, BIG);
    gateway_drain(f->gw);
    assert_null(open_stream(f, u, ERR_DRAINING));
    gateway_upload_abort(&u, NULL);
    await_left(f, 0, 0);
    stop(f);
}

static void a_stream_is_opened_before_its_first_byte_and_answered_with_its_end(void **state)
{
    struct fixture *f = *state;
    struct upload *u;
    struct record *r;

    start(f, DELIVERS);
    u = begin_upload(f, MODE_STREAM, BIG);
    r = open_stream(f, u, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_TRANSFERRING);
    assert_int_equal(r->received, 0);
    record_free(&r);
    append(u, BIG);
    r = finish_upload(&u, &(struct submission){0}, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_DELIVERED);
    assert_int_equal(r->mode, MODE_STREAM);
    record_free(&r);
    assert_int_equal(spooled(f), 0);
    stop(f);
}

static void a_stream_has_no_digest_where_every_file_has_one(void **state)
{
    struct fixture *f = *state;
    struct upload *u;
    struct record *r;

    start(f, DELIVERS);
    f->config.delivery.digest = DIGEST_ALWAYS;
    u = begin_upload(f, MODE_STREAM, BIG);
    r = open_stream(f, u, ERR_NONE);
    record_free(&r);
    append(u, BIG);
    r = finish_upload(&u, &(struct submission){0}, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_DELIVERED);
    assert_null(r->sha256);
    record_free(&r);
    stop(f);
}

/* A file is there once, under the names of all who get it, and goes with the last of them. */
static void a_parcel_makes_a_transfer_for_each_file_and_recipient(void **state)
{
    struct fixture *f = *state;
    struct spool_usage usage;
    struct answer a;

    start(f, NEVER_ANSWERS);
    assert_int_equal(send_parcel(f, TWEAK_NONE, &a), 4);
    assert_int_equal(a.error.code, ERR_NONE);
    assert_int_equal(in_store(f), 4);
    spool_usage(f->spool, &usage);
    assert_int_equal(usage.bytes, 10);
    assert_int_equal(usage.files, 4);
    for (size_t i = 0; i < 4; i++) {
        struct record *r = one(f, gateway_cancel, a.ids[i], ERR_NONE);

        assert_int_equal(r->state, TRANSFER_CANCELLED);
        assert_int_equal(r->batch_place, i);
        assert_string_equal(r->name, i < 2 ? "a.txt" : "b.txt");
        assert_string_equal(r->to, i % 2 ? "bob@example.org" : "ana@example.org");
        record_free(&r);
    }
    free_ids(&a);
    stop(f);
    f->spool = spool_open(f->spool_dir, &(struct spool_limits){.max_bytes = 100, .max_file = 100}, NULL);
    spool_usage(f->spool, &usage);
    assert_int_equal(usage.files, 0);
    spool_close(&f->spool);
}

static void a_parcel_is_all_there_or_not_at_all(void **state)
{
    static const struct {
        enum tweak tweak;
        enum error_code code;
    } rows[] = {
        {TWEAK_DIGEST, ERR_DIGEST_MISMATCH}, {TWEAK_RECIPIENT, ERR_JID_INVALID}, {TWEAK_NAME_TAKEN, ERR_INTERNAL}};
    struct fixture *f = *state;
    struct spool_usage usage;

    start(f, DELIVERS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;

        assert_int_equal(send_parcel(f, rows[i].tweak, &a), 0);
        assert_int_equal(a.error.code, rows[i].code);
        assert_int_equal(in_store(f), 0);
        spool_usage(f->spool, &usage);
        assert_int_equal(usage.bytes, 0);
        assert_int_equal(usage.files, 0);
    }
    stop(f);
}

static void a_stream_nobody_takes_is_refused_before_its_first_byte(void **state)
{
    struct fixture *f = *state;
    struct upload *u;
    struct record *r;

    start(f, DECLINES);
    u = begin_upload(f, MODE_STREAM, BIG);
    r = open_stream(f, u, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_FAILED);
    assert_int_equal(r->error_code, ERR_RECIPIENT_DECLINED);
    assert_true(has_a_row(f, r->id));
    record_free(&r);
    gateway_upload_abort(&u, NULL);
    assert_int_equal(spooled(f), 0);
    f->network.news = NEWS_DOWN;
    while (f->network.news != NO_NEWS)
        usleep(1000);
    u = begin_upload(f, MODE_STREAM, BIG);
    assert_null(open_stream(f, u, ERR_XMPP_DISCONNECTED));
    gateway_upload_abort(&u, NULL);
    stop(f);
}

static void on_room(void *user)
{
    atomic_fetch_add((atomic_int *)user, 1);
}

static void a_full_window_waits_for_the_reader_or_the_end(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    atomic_int woken = 0;
    struct upload *u;
    struct record *r;
    char id[ID_SIZE];

    start(f, DELIVERS);
    u = begin_upload(f, MODE_STREAM, 4 << 20);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    r = open_stream(f, u, ERR_NONE);
    record_free(&r);
    while (gateway_upload_room(u, BIG))
        append(u, BIG);
    gateway_upload_await_room(u, BIG, on_room, &woken);
    assert_int_equal(woken, 0);
    r = one(f, gateway_cancel, id, ERR_NONE);
    record_free(&r);
    assert_int_equal(woken, 1);
    assert_true(gateway_upload_room(u, BIG));
    assert_false(gateway_upload_append(u, bytes, BIG, false, &error));
    assert_int_equal(error.code, ERR_CANCELLED);
    gateway_upload_abort(&u, &error);
    stop(f);
}

static void an_upload_dropped_while_it_waits_for_room_is_woken(void **state)
{
    struct fixture *f = *state;
    atomic_int woken = 0;
    struct upload *u;
    struct record *r;

    start(f, DELIVERS);
    u = begin_upload(f, MODE_STREAM, 4 << 20);
    r = open_stream(f, u, ERR_NONE);
    while (gateway_upload_room(u, BIG))
        append(u, BIG);
    gateway_upload_await_room(u, BIG, on_room, &woken);
    gateway_upload_abort(&u, NULL);
    assert_int_equal(woken, 1);
    expect_end(f, r->id, TRANSFER_FAILED, ERR_LENGTH_CONFLICT);
    record_free(&r);
    assert_int_equal(spooled(f), 0);
    stop(f);
}

static struct digests promise(bool sha256, bool sha512, bool true_one)
{
    struct digests d = {.has_sha256 = sha256, .has_sha512 = sha512};

    if (sha256)
        EVP_Digest(bytes, BIG, d.sha256, NULL, EVP_sha256(), NULL);
    if (sha512)
        EVP_Digest(bytes, BIG, d.sha512, NULL, EVP_sha512(), NULL);
    d.sha256[31] ^= sha256 && !true_one;
    d.sha512[63] ^= !sha256 && !true_one;
    return d;
}

/* In either mode, and by either algorithm; where both are promised, both have to be true. */
static void what_was_promised_is_kept_or_refused(void **state)
{
    static const struct {
        enum mode mode;
        bool sha256, sha512, kept;
    } rows[] = {
        {MODE_SPOOL, true, false, true},  {MODE_SPOOL, false, true, true},  {MODE_SPOOL, true, true, true},
        {MODE_SPOOL, true, false, false}, {MODE_SPOOL, false, true, false}, {MODE_SPOOL, true, true, false},
        {MODE_AUTO, true, false, true},   {MODE_AUTO, false, true, true},   {MODE_AUTO, true, true, true},
        {MODE_AUTO, true, false, false},  {MODE_AUTO, false, true, false},  {MODE_AUTO, true, true, false},
    };
    struct fixture *f = *state;
    struct jid to;

    start(f, DELIVERS);
    assert_true(jid_parse(&to, "ana@example.org", 15, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct digests promised = promise(rows[i].sha256, rows[i].sha512, rows[i].kept);
        struct submission s = {.to = &to, .name = "a.bin", .mode = rows[i].mode, .promised = &promised};
        struct upload *u = gateway_upload_begin(f->gw, BIG, &s, NULL);
        char id[ID_SIZE];
        struct record *r;

        assert_non_null(u);
        memcpy(id, gateway_upload_id(u), ID_SIZE);
        append(u, BIG);
        r = finish_upload(&u, &s, rows[i].kept ? ERR_NONE : ERR_DIGEST_MISMATCH);
        if (rows[i].kept) {
            assert_int_equal(r->sha256 != NULL, rows[i].sha256); /* it is known, so it is told */
            expect_end(f, id, TRANSFER_DELIVERED, ERR_NONE);
        } else if (rows[i].mode == MODE_AUTO) {
            expect_end(f, id, TRANSFER_FAILED, ERR_DIGEST_MISMATCH);
        } else {
            one(f, gateway_get, id, ERR_NOT_FOUND);
        }
        record_free(&r);
    }
    stop(f);
    assert_int_equal(files_in(f->spool_dir), 0);
}

static void a_stream_keeps_nothing_to_check_a_promise_on(void **state)
{
    struct fixture *f = *state;
    struct digests promised = promise(true, false, true);
    struct submission s = {.mode = MODE_STREAM, .promised = &promised};
    struct error error = {0};
    struct jid to;

    start(f, DELIVERS);
    assert_true(jid_parse(&to, "ana@example.org", 15, &error));
    s.to = &to;
    assert_false(gateway_submission_check(f->gw, &s, &error));
    assert_int_equal(error.code, ERR_DIGEST_UNSUPPORTED);
    stop(f);
}

/* ---- once more */

static struct record *fail_one(struct fixture *f)
{
    struct record *r;

    f->network.behaviour = DECLINES;
    r = upload(f, "ana@example.org", "hello");
    expect_end(f, r->id, TRANSFER_FAILED, ERR_RECIPIENT_DECLINED);
    f->network.behaviour = DELIVERS;
    return r;
}

static void a_failed_transfer_is_tried_again_from_what_is_kept_also_after_a_restart(void **state)
{
    struct fixture *f = *state;
    struct record *r, *again;

    f->config.spool.retention = 60 * 60 * 1000;
    for (int restart = 0; restart < 2; restart++) {
        start(f, DELIVERS);
        r = fail_one(f);
        if (restart) {
            stop(f);
            start(f, DELIVERS);
        }
        assert_int_equal(spooled(f), 1);
        again = one(f, gateway_retry, r->id, ERR_NONE);
        assert_string_equal(again->id, r->id);
        assert_int_equal(again->error_code, ERR_NONE);
        record_free(&again);
        expect_end(f, r->id, TRANSFER_DELIVERED, ERR_NONE);
        again = one(f, gateway_get, r->id, ERR_NONE);
        assert_int_equal(again->attempt_count, 2);
        assert_int_equal(again->round, 2);
        record_free(&again);
        assert_null(one(f, gateway_retry, r->id, ERR_STATE_CONFLICT));
        record_free(&r);
        stop(f);
        assert_int_equal(files_in(f->spool_dir), 0);
    }
}

static void only_what_failed_and_is_kept_is_tried_again(void **state)
{
    struct fixture *f = *state;
    struct record *r;

    start(f, DELIVERS);
    assert_null(one(f, gateway_retry, "tr_00000000000000000000000000", ERR_NOT_FOUND));
    r = fail_one(f); /* nothing is kept by this one */
    assert_null(one(f, gateway_retry, r->id, ERR_STATE_CONFLICT));
    record_free(&r);
    f->config.spool.retention = 60 * 60 * 1000;
    f->network.behaviour = NEVER_ANSWERS;
    r = upload(f, "ana@example.org", "hello");
    assert_null(one(f, gateway_retry, r->id, ERR_STATE_CONFLICT));
    record_free(&r);
    r = fail_one(f);
    record_free(&(struct record *){one(f, gateway_cancel, r->id, ERR_NONE)}); /* which drops what is kept */
    assert_null(one(f, gateway_retry, r->id, ERR_STATE_CONFLICT));
    record_free(&r);
    stop(f);
}

static void what_is_kept_goes_when_its_time_is_over_also_while_we_were_away(void **state)
{
    struct fixture *f = *state;
    struct record *r;

    f->config.spool.retention = 100;
    start(f, DELIVERS);
    r = fail_one(f);
    record_free(&r);
    while (spooled(f) > 0)
        usleep(1000);
    f->config.spool.retention = 60 * 60 * 1000;
    r = fail_one(f);
    stop(f);
    f->config.spool.retention = 1;
    start(f, DELIVERS);
    assert_int_equal(spooled(f), 0);
    assert_null(one(f, gateway_retry, r->id, ERR_STATE_CONFLICT));
    record_free(&r);
    stop(f);
}

/* ---- keys */

struct claim {
    struct answer answer; /* first */
    struct reservation *mine;
    char busy[ID_SIZE];
};

static void on_claim(void *user, struct reservation *mine, struct record *made, const char *busy,
                     const struct error *err)
{
    struct claim *c = user;

    c->mine = mine;
    snprintf(c->busy, sizeof c->busy, "%s", busy ? busy : "");
    on_record(&c->answer, made, err);
}

static void claim_begin(struct fixture *f, struct claim *c, const char *caller, const char *text, unsigned char print)
{
    struct record_key key = {.print = {print}};

    snprintf(key.caller, sizeof key.caller, "%s", caller);
    snprintf(key.text, sizeof key.text, "%s", text);
    memset(c, 0, sizeof *c);
    answer_init(&c->answer);
    gateway_reserve(f->gw, &key, on_claim, c);
}

static struct claim claim(struct fixture *f, const char *text, unsigned char print)
{
    struct claim c;

    claim_begin(f, &c, "", text, print);
    await(&c.answer);
    return c;
}

static struct upload *begin_keyed(struct fixture *f, enum mode mode, int64_t size, struct reservation *key,
                                  struct jid *to, struct submission *s)
{
    struct error error = {0};
    struct upload *u;

    assert_non_null(key);
    assert_true(jid_parse(to, "ana@example.org", 15, &error));
    *s = (struct submission){.to = to, .name = "a.bin", .type = "a/b", .mode = mode, .key = key};
    u = gateway_upload_begin(f->gw, size, s, &error);
    if (!u)
        fail_msg("%s", error.text);
    return u;
}

static void expect_made(struct fixture *f, const char *text, const char *id)
{
    struct claim c = claim(f, text, 1);

    if (!c.answer.record)
        fail_msg("%s: %s", text, c.answer.error.text);
    assert_null(c.mine);
    assert_string_equal(c.answer.record->id, id);
    record_free(&c.answer.record);
    c = claim(f, text, 2);
    assert_null(c.mine);
    assert_null(c.answer.record);
    assert_int_equal(c.answer.error.code, ERR_IDEMPOTENCY_KEY_REUSE);
}

static void expect_free(struct fixture *f, const char *text)
{
    struct claim c = claim(f, text, 2);

    assert_null(c.answer.record);
    assert_non_null(c.mine);
    gateway_release(&c.mine);
}

static void a_key_is_reserved_then_busy_then_leads_to_its_transfer_also_after_a_restart(void **state)
{
    static const enum mode modes[] = {MODE_SPOOL, MODE_AUTO};
    static const char *const texts[] = {"spool", "auto"};
    char ids[2][ID_SIZE];
    struct fixture *f = *state;

    start(f, DELIVERS);
    for (size_t i = 0; i < 2; i++) {
        struct claim c = claim(f, texts[i], 1);
        struct submission s;
        struct jid to;
        struct upload *u = begin_keyed(f, modes[i], BIG, c.mine, &to, &s);
        struct record *r;

        memcpy(ids[i], gateway_upload_id(u), ID_SIZE);
        c = claim(f, texts[i], 1);
        assert_null(c.mine);
        assert_int_equal(c.answer.error.code, ERR_IDEMPOTENCY_IN_PROGRESS);
        assert_string_equal(c.busy, ids[i]);
        c = claim(f, texts[i], 2);
        assert_null(c.mine);
        assert_int_equal(c.answer.error.code, ERR_IDEMPOTENCY_KEY_REUSE);
        append(u, BIG);
        r = finish_upload(&u, &s, ERR_NONE);
        assert_string_equal(r->id, ids[i]);
        record_free(&r);
        expect_made(f, texts[i], ids[i]);
        expect_end(f, ids[i], TRANSFER_DELIVERED, ERR_NONE);
        expect_made(f, texts[i], ids[i]);
    }
    stop(f);
    start(f, DELIVERS);
    for (size_t i = 0; i < 2; i++)
        expect_made(f, texts[i], ids[i]);
    stop(f);
}

static void of_many_at_once_one_gets_the_key(void **state)
{
    enum { MANY = 20 };
    struct fixture *f = *state;
    struct claim claims[MANY];
    struct reservation *mine = NULL;

    start(f, DELIVERS);
    for (size_t i = 0; i < MANY; i++)
        claim_begin(f, &claims[i], "", "same", 1);
    for (size_t i = 0; i < MANY; i++) {
        await(&claims[i].answer);
        if (claims[i].mine) {
            assert_null(mine);
            mine = claims[i].mine;
        } else {
            assert_int_equal(claims[i].answer.error.code, ERR_IDEMPOTENCY_IN_PROGRESS);
        }
    }
    assert_non_null(mine);
    claim_begin(f, &claims[0], "another", "same", 1); /* caller's is another key */
    await(&claims[0].answer);
    assert_non_null(claims[0].mine);
    gateway_release(&claims[0].mine);
    gateway_release(&mine);
    expect_free(f, "same");
    stop(f);
}

static void an_upload_that_fails_frees_its_key(void **state)
{
    static const struct {
        const char *says;
        enum mode mode;
        bool aborted, early;
    } rows[] = {{"given up", MODE_SPOOL, true, false},
                {"given up, begun early", MODE_AUTO, true, true},
                {"not what was promised", MODE_SPOOL, false, false},
                {"not what was promised, begun early", MODE_AUTO, false, false}};
    struct digests promised = promise(true, false, false);
    struct fixture *f = *state;

    start(f, DELIVERS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submission s;
        struct jid to;
        struct upload *u;
        struct reservation *mine = claim(f, rows[i].says, 1).mine;

        assert_true(jid_parse(&to, "ana@example.org", 15, NULL));
        s = (struct submission){.to = &to, .name = "a", .mode = rows[i].mode, .key = mine, .promised = &promised};
        u = gateway_upload_begin(f->gw, BIG, &s, NULL);
        assert_non_null(u);
        append(u, rows[i].early ? PART : BIG);
        if (rows[i].aborted)
            gateway_upload_abort(&u, NULL);
        else
            finish_upload(&u, &s, ERR_DIGEST_MISMATCH);
        expect_free(f, rows[i].says);
    }
    stop(f);
}

/* It was answered all the same, and with that. */
static void a_transfer_that_failed_before_its_upload_was_over_keeps_its_key(void **state)
{
    struct fixture *f = *state;
    struct submission s;
    struct upload *u;
    struct record *r;
    struct jid to;
    char id[ID_SIZE];

    start(f, DECLINES);
    u = begin_keyed(f, MODE_AUTO, BIG, claim(f, "a", 1).mine, &to, &s);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    append(u, PART);
    expect_end(f, id, TRANSFER_FAILED, ERR_RECIPIENT_DECLINED);
    append(u, BIG - PART);
    r = finish_upload(&u, &s, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_FAILED);
    record_free(&r);
    expect_made(f, "a", id);
    stop(f);
}

static void a_streams_key_is_kept_when_it_was_delivered(void **state)
{
    struct fixture *f = *state;
    struct submission s;
    struct upload *u;
    struct record *r;
    struct jid to;
    char id[ID_SIZE];

    start(f, DELIVERS);
    u = begin_keyed(f, MODE_STREAM, PART, claim(f, "a", 1).mine, &to, &s);
    memcpy(id, gateway_upload_id(u), ID_SIZE);
    r = open_stream(f, u, ERR_NONE);
    record_free(&r);
    append(u, PART);
    r = finish_upload(&u, &s, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_DELIVERED);
    record_free(&r);
    expect_made(f, "a", id);
    f->network.behaviour = OFFLINE;
    u = begin_keyed(f, MODE_STREAM, PART, claim(f, "b", 1).mine, &to, &s);
    r = open_stream(f, u, ERR_NONE);
    assert_int_equal(r->state, TRANSFER_FAILED);
    record_free(&r);
    gateway_upload_abort(&u, NULL);
    expect_free(f, "b");
    stop(f);
}

static void a_stop_with_reserved_keys_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct reservation *mine;
    struct claim c;

    start(f, DELIVERS);
    mine = claim(f, "a", 1).mine;
    claim_begin(f, &c, "", "b", 1);
    gateway_stop(f->gw, no_nudge, NULL);
    await(&c.answer);
    gateway_release(&c.mine);
    gateway_release(&mine);
    stop(f);
}

static void a_stream_does_not_go_with_what_needs_the_file(void **state)
{
    static const struct submission rows[] = {{.digest = true}, {.hold_ms = 1000}, {.hold_ms = -1, .subscribe = true}};
    struct fixture *f = *state;
    struct error error = {0};
    struct jid to;

    start(f, DELIVERS);
    assert_true(jid_parse(&to, "ana@example.org", 15, &error));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct submission s = rows[i];

        s.to = &to;
        assert_true(gateway_submission_check(f->gw, &s, &error));
        s.mode = MODE_STREAM;
        assert_false(gateway_submission_check(f->gw, &s, &error));
        assert_int_equal(error.code, ERR_PARAMETER_INVALID);
    }
    stop(f);
}

/* ---- what is told of it all */

static const char *told(struct fixture *f, const char *id)
{
    static char text[256];
    struct event_filter filter = {0};
    uint64_t after = 0;
    struct event *e;

    text[0] = '\0';
    memcpy(filter.id, id, strlen(id) + 1);
    while (events_next(gateway_events(f->gw), &filter, &after, &e) == EVENTS_FOUND) {
        size_t len = strlen(text);

        snprintf(text + len, sizeof text - len, "%s%s", len ? " " : "", strchr(event_name(e->type), '.') + 1);
        event_release(&e);
    }
    return text;
}

static void every_change_of_state_is_an_event_and_its_end_is_committed(void **state)
{
    static const struct {
        enum behaviour behaviour;
        enum transfer_state end;
        enum error_code code;
        const char *want; /* the progress before an end is kept no longer */
    } rows[] = {
        {DELIVERS, TRANSFER_DELIVERED, ERR_NONE, "created offered accepted delivered"},
        {OFFLINE, TRANSFER_FAILED, ERR_RECIPIENT_OFFLINE, "created offered failed"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record *r;

        start(f, rows[i].behaviour);
        r = upload(f, "ana@example.org", "hello");
        expect_end(f, r->id, rows[i].end, rows[i].code);
        assert_string_equal(told(f, r->id), rows[i].want);
        record_free(&r);
        stop(f);
    }
}

/* How many batches were told of as complete; each of them is this one. */
static size_t completed(struct fixture *f, const char *batch)
{
    const struct event_filter filter = {.types = EVENT_BIT(EVENT_BATCH_COMPLETED)};
    uint64_t after = 0;
    struct event *e;
    size_t n = 0;

    for (; events_next(gateway_events(f->gw), &filter, &after, &e) == EVENTS_FOUND; event_release(&e), n++) {
        assert_string_equal(e->subject, batch);
        assert_null(e->transfer);
    }
    return n;
}

/* One that is cancelled each time; a restart takes up what is left of it, and nothing of what is complete. */
static void a_batch_is_complete_once_when_the_last_of_it_is_over(void **state)
{
    struct fixture *f = *state;
    char batch[ID_SIZE] = "";
    struct answer a;

    start(f, NEVER_ANSWERS);
    assert_int_equal(send_parcel(f, TWEAK_NONE, &a), 4);
    for (size_t i = 0; i < 4; i++) {
        struct record *r = one(f, gateway_cancel, a.ids[i], ERR_NONE);

        assert_int_equal(r->state, TRANSFER_CANCELLED);
        memcpy(batch, r->batch, ID_SIZE);
        record_free(&r);
        assert_int_equal(completed(f, batch), i == 3);
        stop(f);
        start(f, NEVER_ANSWERS);
        assert_int_equal(completed(f, batch), 0);
    }
    free_ids(&a);
    stop(f);
}

/* ---- who waits for a change */

static struct record *wait_change(struct fixture *f, const char *id, const struct record_stamp *was, int64_t wait_ms)
{
    struct answer a;

    answer_init(&a);
    gateway_wait_change(f->gw, id, was, wait_ms, on_record, &a);
    await(&a);
    assert_int_equal(a.error.code, ERR_NONE);
    return a.record;
}

static void a_change_is_waited_for_until_it_comes_or_the_time_is_up(void **state)
{
    struct fixture *f = *state;
    struct record_stamp was;
    struct record *r, *same;
    struct answer a;
    char id[ID_SIZE];

    start(f, NEVER_ANSWERS);
    r = upload(f, "ana@example.org", "hello");
    memcpy(id, r->id, sizeof id);
    while (r->state != TRANSFER_OFFERING) { /* each time another is told */
        was = record_stamp(r);
        record_free(&r);
        r = wait_change(f, id, &was, 60 * 1000);
        assert_true(r->updated != was.updated || r->state != was.state || r->sent != was.sent);
    }
    await_offer(f);
    do { /* until it rests with its offer */
        was = record_stamp(r);
        same = wait_change(f, id, &was, 50);
        record_free(&r);
        r = same;
    } while (r->updated != was.updated);
    record_free(&r);
    answer_init(&a);
    gateway_wait_change(f->gw, id, &was, 60 * 1000, on_record, &a);
    r = one(f, gateway_cancel, id, ERR_NONE);
    record_free(&r);
    await(&a);
    assert_int_equal(a.record->state, TRANSFER_CANCELLED);
    was = record_stamp(a.record);
    record_free(&a.record);
    r = wait_change(f, id, &was, 60 * 1000); /* it is over: there is nothing to wait for */
    record_free(&r);
    stop(f);
}

/* ---- uploads in parts */

struct settling {
    struct answer answer;
    uint64_t offset;
};

static void on_settled(void *user, uint64_t offset, int64_t expires, const struct error *err)
{
    struct settling *s = user;

    (void)expires;
    pthread_mutex_lock(&s->answer.lock);
    s->offset = offset;
    give(&s->answer, err);
    pthread_mutex_unlock(&s->answer.lock);
}

/* How much of it there is, by its own word. */
static uint64_t settle(struct partial **p)
{
    struct settling s;

    answer_init(&s.answer);
    gateway_partial_settle(p, on_settled, &s);
    assert_null(*p);
    await(&s.answer);
    assert_int_equal(s.answer.error.code, ERR_NONE);
    return s.offset;
}

static struct partial *hold(struct fixture *f, const char *id)
{
    struct error error = {0};
    struct partial *p = gateway_partial_hold(f->gw, id, "ci", &error);

    assert_string_equal(error.text, "");
    return p;
}

static void add_part(struct partial *p, const char *text, bool checked)
{
    struct error error = {0};

    if (!gateway_partial_open(p, checked, &error) || !gateway_partial_append(p, text, strlen(text), true, &error))
        fail_msg("%s", error.text);
}

/* One of five bytes; of them `text` has come. */
static void begin_parts(struct fixture *f, const char *text, char id[static ID_SIZE])
{
    const struct partial_info what = {.token = "ci", .meta = "to x", .length = 5};
    struct error error = {0};
    struct partial *p = gateway_partial_begin(f->gw, &what, &error);

    if (!p)
        fail_msg("%s", error.text);
    memcpy(id, gateway_partial_info(p)->id, ID_SIZE);
    add_part(p, text, false);
    assert_int_equal(settle(&p), strlen(text));
}

static struct record *finish_parts(struct partial **p, const struct submission *how, enum error_code want)
{
    struct submission s = *how;
    struct upload *u;
    struct answer a;
    struct jid to;

    assert_true(jid_parse(&to, "ana@example.org", 15, NULL));
    s.to = &to;
    s.name = "a.txt";
    answer_init(&a);
    u = gateway_partial_upload(p, &a.error);
    assert_null(*p);
    if (!u) {
        assert_int_equal(a.error.code, want);
        return NULL;
    }
    gateway_upload_finish(&u, &s, on_record, &a);
    await(&a);
    assert_int_equal(a.error.code, want);
    return a.record;
}

/* In each state of an upload: what who wants to go on with it is told, and what becomes of finishing it. */
static void an_upload_in_parts_is_one_of_these(void **state)
{
    enum situation { GROWS, WHOLE, HELD, ENDED, EXPIRED, OTHERS, TRANSFER, NEVER };
    static const struct {
        enum situation is;
        enum error_code held, finished;
        bool under_way;
    } rows[] = {
        {GROWS, ERR_NONE, ERR_STATE_CONFLICT, true},    {WHOLE, ERR_NONE, ERR_NONE, true},
        {HELD, ERR_UPLOAD_LOCKED, ERR_NONE, true},      {ENDED, ERR_UPLOAD_EXPIRED, ERR_NONE, false},
        {EXPIRED, ERR_UPLOAD_EXPIRED, ERR_NONE, false}, {OTHERS, ERR_NOT_FOUND, ERR_NONE, true},
        {TRANSFER, ERR_NOT_FOUND, ERR_NONE, true},      {NEVER, ERR_NOT_FOUND, ERR_NONE, false},
    };
    struct fixture *f = *state;

    start(f, NEVER_ANSWERS);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *token = rows[i].is == OTHERS ? "other" : "ci";
        struct partial *first = NULL, *p;
        struct error error = {0};
        char id[ID_SIZE];

        f->config.spool.upload_expiry = rows[i].is == EXPIRED ? 1 : 60 * 60 * 1000;
        begin_parts(f, rows[i].is == GROWS ? "abc" : "abcde", id);
        if (rows[i].is == HELD || rows[i].is == ENDED || rows[i].is == TRANSFER)
            first = hold(f, id);
        if (rows[i].is == ENDED)
            gateway_partial_end(&first);
        if (rows[i].is == TRANSFER) {
            struct record *r = finish_parts(&first, &(struct submission){0}, ERR_NONE);

            assert_memory_equal(r->id + 2, id + 2, ID_SIZE - 2);
            record_free(&r);
        }
        f->config.spool.upload_expiry = 60 * 60 * 1000;
        while (rows[i].is == EXPIRED && gateway_under_way(f->gw, id)) /* core's heartbeat sees to it */
            usleep(10000);
        if (rows[i].is == NEVER)
            id[ID_LEN - 1] = id[ID_LEN - 1] == '0' ? '1' : '0';
        assert_int_equal(gateway_under_way(f->gw, id), rows[i].under_way);
        p = gateway_partial_hold(f->gw, id, token, &error);
        if (error.code != rows[i].held)
            fail_msg("%zu: %s", i, error.text);
        if (p) {
            struct record *r = finish_parts(&p, &(struct submission){0}, rows[i].finished);

            record_free(&r);
        }
        gateway_partial_release(&first);
    }
    stop(f);
}

static void what_came_unchecked_counts_and_what_was_to_be_checked_does_not(void **state)
{
    struct fixture *f = *state;
    struct partial *p;
    char id[ID_SIZE];

    start(f, DELIVERS);
    begin_parts(f, "a", id);
    p = hold(f, id);
    add_part(p, "b", false);
    gateway_partial_release(&p);
    p = hold(f, id);
    assert_int_equal(gateway_partial_info(p)->offset, 2);
    add_part(p, "x", true);
    gateway_partial_release(&p);
    p = hold(f, id);
    assert_int_equal(gateway_partial_info(p)->offset, 2);
    add_part(p, "c", true);
    assert_int_equal(settle(&p), 3);
    stop(f);
    f->spool = NULL;
    start(f, DELIVERS);
    p = hold(f, id);
    assert_int_equal(gateway_partial_info(p)->offset, 3);
    assert_int_equal(gateway_partial_info(p)->length, 5);
    assert_string_equal(gateway_partial_info(p)->meta, "to x");
    add_part(p, "de", false);
    {
        struct record *r = finish_parts(&p, &(struct submission){.digest = true}, ERR_NONE);

        assert_string_equal(r->sha256, "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c");
        expect_end(f, r->id, TRANSFER_DELIVERED, ERR_NONE);
        record_free(&r);
    }
    stop(f);
    assert_int_equal(files_in(f->spool_dir), 0);
}

/* What could not become a transfer can be tried again, unless it is not what was promised. */
static void parts_stay_when_no_transfer_came_of_them(void **state)
{
    struct digests other = {.has_sha256 = true};
    struct fixture *f = *state;
    struct error error = {0};
    struct partial *p;
    struct record *r;
    char id[ID_SIZE], transfer[ID_SIZE], whole[160];

    start(f, DELIVERS);
    begin_parts(f, "abcde", id);
    p = hold(f, id);
    assert_null(finish_parts(&p, &(struct submission){.caption = "\1"}, ERR_PARAMETER_INVALID));
    assert_true(gateway_partial_transfer(id, transfer));
    snprintf(whole, sizeof whole, "%s/%s", f->spool_dir, transfer);
    assert_int_equal(mkdir(whole, 0700), 0); /* so that no file can be it */
    p = hold(f, id);
    assert_null(finish_parts(&p, &(struct submission){0}, ERR_INTERNAL));
    assert_int_equal(rmdir(whole), 0);
    p = hold(f, id);
    assert_null(finish_parts(&p, &(struct submission){.promised = &other}, ERR_DIGEST_MISMATCH));
    assert_null(gateway_partial_hold(f->gw, id, "ci", &error));
    assert_int_equal(error.code, ERR_UPLOAD_EXPIRED);
    assert_int_equal(spooled(f), 0);
    begin_parts(f, "abcde", id);
    p = hold(f, id);
    r = finish_parts(&p, &(struct submission){0}, ERR_NONE);
    expect_end(f, r->id, TRANSFER_DELIVERED, ERR_NONE);
    record_free(&r);
    stop(f);
    assert_int_equal(files_in(f->spool_dir), 0);
}

/* A crash between the file's completion and its row; and one between the row and the end of what was noted. */
static void a_crash_at_the_end_of_parts_leaves_one_of_both(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    char id[ID_SIZE], transfer[ID_SIZE], part[160], whole[160], note[160], kept[160];
    struct partial *p;
    struct record *r;

    start(f, NEVER_ANSWERS);
    begin_parts(f, "abcde", id);
    assert_true(gateway_partial_transfer(id, transfer));
    snprintf(part, sizeof part, "%s/%s.part", f->spool_dir, transfer);
    snprintf(whole, sizeof whole, "%s/%s", f->spool_dir, transfer);
    snprintf(note, sizeof note, "%s/%s.note", f->spool_dir, transfer);
    snprintf(kept, sizeof kept, "%s/kept", f->dir);
    stop(f);
    assert_int_equal(rename(part, whole), 0);
    start(f, NEVER_ANSWERS);
    p = hold(f, id);
    assert_int_equal(gateway_partial_info(p)->offset, 5);
    assert_int_equal(link(note, kept), 0);
    r = finish_parts(&p, &(struct submission){0}, ERR_NONE);
    record_free(&r);
    stop(f);
    assert_int_equal(rename(kept, note), 0);
    start(f, DELIVERS);
    assert_null(gateway_partial_hold(f->gw, id, "ci", &error));
    assert_int_equal(error.code, ERR_NOT_FOUND);
    expect_end(f, transfer, TRANSFER_DELIVERED, ERR_NONE);
    stop(f);
    assert_int_equal(files_in(f->spool_dir), 0);
}

static void parts_that_were_asked_for_in_vain_stay(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    struct upload *u;
    struct partial *p;
    char id[ID_SIZE];

    start(f, DELIVERS);
    begin_parts(f, "abcde", id);
    for (int i = 0; i < 2; i++) {
        p = hold(f, id);
        u = gateway_partial_upload(&p, &error);
        assert_memory_equal(gateway_upload_id(u) + 2, id + 2, ID_SIZE - 2);
        assert_null(gateway_partial_hold(f->gw, id, "ci", &error));
        assert_int_equal(error.code, ERR_UPLOAD_LOCKED);
        gateway_upload_abort(&u, NULL);
    }
    p = hold(f, id);
    assert_int_equal(gateway_partial_info(p)->offset, 5);
    gateway_partial_release(&p);
    stop(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_look_at_somebody_shows_the_ladder),
        T(presence_wakes_those_held_for_whom_it_is),
        T(a_held_one_keeps_nobody_from_his_turn),
        T(a_held_one_survives_a_stop_and_our_own_absence),
        T(a_refusal_ends_the_waiting_of_all_for_him),
        T(a_roster_without_him_ends_the_waiting),
        T(a_digest_is_computed_for_who_asks_or_for_everybody),
        T(how_long_to_wait_is_asked_configured_or_not_at_all),
        T(an_upload_is_delivered_and_its_payload_goes),
        T(a_change_is_waited_for_until_it_comes_or_the_time_is_up),
        T(every_change_of_state_is_an_event_and_its_end_is_committed),
        T(a_refusal_reaches_who_waits),
        T(waiting_ends_when_its_time_is_up),
        T(a_cancelled_transfer_is_final_and_stays_so),
        T(what_a_stop_interrupted_goes_on_at_the_next_start),
        T(a_lost_payload_ends_its_transfer_with_the_reason),
        T(a_stream_that_a_crash_interrupted_has_failed),
        T(a_list_tells_the_newest_first),
        T(draining_answers_who_waits_and_takes_nothing_new),
        T(a_higher_limit_starts_who_waits),
        T(what_flows_goes_on_while_draining_and_is_told_to_who_waits),
        T(what_does_not_flow_is_parked_when_draining_begins),
        T(a_stream_is_not_opened_while_draining),
        T(bad_submissions_leave_nothing_behind),
        T(a_link_is_kept_and_fetched_also_after_a_restart),
        T(a_link_fetched_whole_is_noted_and_stays),
        T(what_is_fetched_after_a_restart_is_noted_too),
        T(a_link_ends_when_its_transfer_is_deleted),
        T(a_link_ends_by_itself_when_its_time_is_over),
        T(a_link_that_ended_while_the_gateway_was_away_is_swept),
        T(a_record_outlives_its_retention_with_its_link),
        T(a_transfer_begins_while_its_upload_comes),
        T(a_small_body_begins_at_its_end),
        T(an_upload_that_breaks_off_fails_its_transfer),
        T(an_upload_that_is_too_short_is_none),
        T(a_transfer_that_ends_before_its_upload_wants_no_more),
        T(a_cancelled_transfer_ends_its_upload),
        T(a_stop_with_an_upload_under_way_leaves_what_was_promised),
        T(a_stream_is_opened_before_its_first_byte_and_answered_with_its_end),
        T(a_stream_has_no_digest_where_every_file_has_one),
        T(a_parcel_makes_a_transfer_for_each_file_and_recipient),
        T(a_parcel_is_all_there_or_not_at_all),
        T(a_batch_is_complete_once_when_the_last_of_it_is_over),
        T(a_stream_nobody_takes_is_refused_before_its_first_byte),
        T(a_full_window_waits_for_the_reader_or_the_end),
        T(an_upload_dropped_while_it_waits_for_room_is_woken),
        T(what_was_promised_is_kept_or_refused),
        T(a_failed_transfer_is_tried_again_from_what_is_kept_also_after_a_restart),
        T(only_what_failed_and_is_kept_is_tried_again),
        T(what_is_kept_goes_when_its_time_is_over_also_while_we_were_away),
        T(a_stream_keeps_nothing_to_check_a_promise_on),
        T(a_stream_does_not_go_with_what_needs_the_file),
        T(a_key_is_reserved_then_busy_then_leads_to_its_transfer_also_after_a_restart),
        T(of_many_at_once_one_gets_the_key),
        T(an_upload_that_fails_frees_its_key),
        T(a_transfer_that_failed_before_its_upload_was_over_keeps_its_key),
        T(a_streams_key_is_kept_when_it_was_delivered),
        T(a_stop_with_reserved_keys_leaves_nothing),
        T(an_upload_in_parts_is_one_of_these),
        T(what_came_unchecked_counts_and_what_was_to_be_checked_does_not),
        T(parts_stay_when_no_transfer_came_of_them),
        T(a_crash_at_the_end_of_parts_leaves_one_of_both),
        T(parts_that_were_asked_for_in_vain_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
