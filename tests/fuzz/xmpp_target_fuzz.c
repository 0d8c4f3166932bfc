/* What somebody who sends files to us may say, in any order: stanzas with a NUL between them. A piece of one letter is
 * something else that happens: the carrier was Claimed, Dialed, Moved, finished (E), went on behind the end (X),
 * Failed; the receiver has looked at what came and finds it good (Y) or not (N), or takes it away (R); the session is
 * Lost; Time passes. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "xmpp/ibb.h"
#include "xmpp/ibb_in.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_target.h"
#include "xmpp/proxies.h"
#include "xmpp/rooms.h"
#include "xmpp/services.h"
#include "xmpp/stanza.h"
#include "xmpp/target.h"

#define SELF "gateway@example.org/gw"

enum { MOST = 5000 };

struct carrier_stream {
    carrier_event_fn *on_event;
    void *user;
    bool open, receives;
    uint64_t length;
};

struct reception {
    const struct reception_events *events;
    void *user;
    bool used, begun;
    uint64_t most, written;
    reception_done_fn *done;
    void *done_user;
};

static struct client client;
static uv_loop_t loop;
static struct carrier_stream streams[1024];
static struct reception receptions[1024];
static size_t opened, offered;
static struct shared_fd *file;

/* All that we send is XML, and says who sends it where nobody asked. */
static bool check(void *user, xmpp_stanza_t *stanza)
{
    char *text;
    size_t len;

    (void)user;
    assert(xmpp_stanza_to_text(stanza, &text, &len) == XMPP_EOK);
    assert(text_is_xml(text, len));
    xmpp_free(client.ctx, text);
    return true;
}

static void no_news(void *user)
{
    (void)user;
}

/* ---- the carrier */

static bool advertised(struct carrier *c, struct carrier_address *out)
{
    (void)c;
    *out = (struct carrier_address){.host = "192.0.2.7", .port = 5086};
    return true;
}

static struct carrier_stream *open_stream(struct carrier *c, carrier_event_fn *on_event, void *user, struct error *err)
{
    (void)c;
    if (opened == sizeof streams / sizeof *streams) {
        error_set(err, ERR_SYSTEM, "out of descriptors");
        return NULL;
    }
    streams[opened] = (struct carrier_stream){on_event, user, true, false, 0};
    return &streams[opened++];
}

static bool expect(struct carrier_stream *s, const char *const *names, size_t count, unsigned timeout_ms,
                   struct error *err)
{
    (void)err;
    assert(s->open && count > 0 && timeout_ms > 0);
    for (size_t i = 0; i < count; i++)
        assert(strlen(names[i]) == 40);
    return true;
}

/* Some hosts are refused at once, as those that are written oddly. */
static bool dial(struct carrier_stream *s, const struct carrier_address *to, bool trusted, const char *name,
                 struct error *err)
{
    assert(s->open && !trusted && to->port > 0 && strlen(to->host) > 0);
    assert(strlen(name) == 40 && strspn(name, "0123456789abcdef") == 40);
    return to->host[0] != '0' || error_set(err, ERR_EGRESS_BLOCKED, "no");
}

static bool receive(struct carrier_stream *s, struct shared_fd *to, uint64_t offset, uint64_t length, struct error *err)
{
    (void)err;
    assert(s->open && !s->receives && to == file && offset <= INT64_MAX);
    s->receives = true;
    s->length = length;
    return true;
}

static void close_stream(struct carrier_stream **s)
{
    if (*s)
        (*s)->open = false;
    *s = NULL;
}

static const struct carrier_ops carrier_ops = {.advertised = advertised,
                                               .open = open_stream,
                                               .expect = expect,
                                               .dial = dial,
                                               .receive = receive,
                                               .close = close_stream};
static struct carrier carrier = {&carrier_ops};

/* ---- the receiver */

static bool shown(const char *text)
{
    return !text || text_is_xml(text, strlen(text));
}

static struct reception *on_offered(struct receiver *r, const struct incoming *o, const struct reception_events *events,
                                    void *user, struct error *err)
{
    struct reception *re = &receptions[offered];

    (void)r;
    assert(shown(o->name) && shown(o->type) && shown(o->caption) && shown(o->method));
    assert(o->size >= -1 && o->modified >= 0 && !o->hash == !o->hash_algo);
    if (offered == sizeof receptions / sizeof *receptions || (o->name && o->name[0] == '.')) {
        error_set(err, o->size > MOST ? ERR_BODY_TOO_LARGE : ERR_SENDER_NOT_ALLOWED, "no");
        return NULL;
    }
    offered++;
    *re = (struct reception){.events = events, .user = user, .used = true, .most = MOST};
    if (o->size >= 0 && o->size < MOST)
        re->most = (uint64_t)o->size;
    return re;
}

static bool receives(const struct receiver *r, const struct jid *to)
{
    (void)r;
    (void)to;
    return true;
}

static uint64_t offset(const struct reception *re)
{
    assert(re->used);
    return re->most > 3 ? 3 : 0;
}

static void step(struct reception *re, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    (void)direction;
    assert(re->used && shown(name) && shown(outcome) && shown(detail));
}

static void chose(struct reception *re, const char *path, const char *streamhost)
{
    assert(re->used && shown(path) && shown(streamhost));
}

static struct shared_fd *begin(struct reception *re, uint64_t from, uint64_t *most, struct error *err)
{
    (void)err;
    assert(re->used && !re->begun && from <= re->most);
    re->begun = true;
    *most = re->most - from;
    re->most = *most;
    return file;
}

static void moved(struct reception *re, uint64_t bytes)
{
    assert(re->used && bytes <= re->most);
}

static bool write_bytes(struct reception *re, const void *data, size_t len, struct error *err)
{
    (void)data;
    assert(re->used && re->begun && !re->done && len > 0);
    re->written += len;
    assert(re->written <= re->most);
    return re->written % 7 != 6 || error_set(err, ERR_SPOOL_FULL, "no");
}

static void complete(struct reception *re, uint64_t bytes, const char *algo, const char *hash, bool extra,
                     reception_done_fn *done, void *user)
{
    assert(re->used && re->begun && !re->done && bytes <= re->most && (!extra || bytes == re->most) && !algo == !hash);
    re->done = done;
    re->done_user = user;
}

static void end(struct reception **re, const struct error *why)
{
    assert((*re)->used && (why || (*re)->done));
    (*re)->used = false;
    *re = NULL;
}

static const struct receiver_ops receiver_ops = {on_offered, receives, offset,      step,     chose,
                                                 begin,      moved,    write_bytes, complete, end};
static struct receiver receiver = {&receiver_ops, &carrier};

/* One client for all inputs; a target for each. */
static void set_up(void)
{
    static const struct xmpp_settings settings = {.iq_timeout_ms = 1000, .direct = XMPP_DIRECT_ALWAYS};

    log_setup(LOG_ERROR, LOG_TEXT);
    xmpp_initialize();
    uv_loop_init(&loop);
    client = (struct client){.settings = &settings, .ctx = xmpp_ctx_new(NULL, NULL), .loop = &loop, .online = true};
    assert(jid_parse(&client.self, SELF, strlen(SELF), NULL));
    client.receiver = &receiver;
    client.iq = iq_create(client.ctx, &loop, check, NULL);
    iq_set_self(client.iq, &client.self);
    client.ibb = ibb_streams_create(&client);
    client.ibb_in = ibb_in_streams_create(&client);
    client.services = services_create(&client);
    client.proxies = proxies_create(&client, no_news, NULL);
    client.rooms = rooms_create(&client, check, NULL);
    client.target = target_create(&client);
    client.jingle = jingle_create(&client);
    client.jingle_target = jingle_target_create(&client);
    file = shared_fd_create(open("/dev/null", O_WRONLY | O_CLOEXEC));
    assert(file);
}

/* ---- one input */

static void hear_stanza(const char *text)
{
    xmpp_stanza_t *stanza = xmpp_stanza_new_from_string(client.ctx, text);

    if (!stanza)
        return;
    if (strcmp(xmpp_stanza_get_name(stanza), "iq") == 0)
        iq_incoming(client.iq, stanza);
    xmpp_stanza_release(stanza);
}

static void hear_carrier(char letter)
{
    for (size_t i = 0; i < opened; i++) {
        struct carrier_stream *s = &streams[i];
        struct carrier_event event = {.moved = letter == 'X' ? s->length : s->length / 2, .extra = letter == 'X'};

        if (!s->open || s->receives == (letter == 'D' || letter == 'C'))
            continue;
        event.kind = letter == 'D'   ? CARRIER_DIALED
                     : letter == 'C' ? CARRIER_CLAIMED
                     : letter == 'M' ? CARRIER_PROGRESS
                                     : CARRIER_DONE;
        if (letter == 'F') {
            event.kind = CARRIER_FAILED;
            error_set(&event.error, ERR_STREAM_BROKEN, "as the input wants it");
        } else if (event.kind == CARRIER_DONE) {
            s->receives = false; /* that was its last event */
            s->open = false;
        }
        s->on_event(s->user, &event);
        return;
    }
}

static void hear_receiver(char letter)
{
    struct error why;

    error_set(&why, letter == 'R' ? ERR_CANCELLED : ERR_TRUNCATED, "as the input wants it");
    for (size_t i = 0; i < offered; i++) {
        struct reception *re = &receptions[i];

        if (!re->used || (letter != 'R' && !re->done))
            continue;
        if (letter == 'R')
            re->events->revoked(re->user, &why);
        else
            re->done(re->done_user, letter == 'Y' ? NULL : &why);
        assert(!re->used);
        return;
    }
}

static void find_soonest(uv_handle_t *handle, void *arg)
{
    uv_timer_t **soonest = arg, *timer = (uv_timer_t *)handle;

    if (handle->type != UV_TIMER || !uv_is_active(handle))
        return;
    if (!*soonest || uv_timer_get_due_in(timer) < uv_timer_get_due_in(*soonest))
        *soonest = timer;
}

static void pass_time(void)
{
    uv_timer_t *soonest = NULL;

    uv_walk(&loop, find_soonest, &soonest);
    if (soonest)
        uv_timer_start(soonest, soonest->timer_cb, 0, 0);
}

static void lose_session(void)
{
    iq_disconnected(client.iq);
    jingle_offline(client.jingle);
    target_offline(client.target);
    iq_set_self(client.iq, &client.self);
}

static void hear(const char *piece)
{
    if (strlen(piece) != 1)
        hear_stanza(piece);
    else if (strchr("CDMEXF", *piece))
        hear_carrier(*piece);
    else if (strchr("YNR", *piece))
        hear_receiver(*piece);
    else if (*piece == 'L')
        lose_session();
    else if (*piece == 'T')
        pass_time();
    uv_run(&loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!client.ctx)
        set_up();
    for (size_t at = 0, len; at < size; at += len + 1) {
        char *piece = strndup((const char *)data + at, size - at);

        len = strlen(piece);
        hear(piece);
        free(piece);
    }
    for (size_t i = 0; i < offered; i++)
        if (receptions[i].used)
            hear_receiver('R');
    for (size_t i = 0; i < offered; i++)
        assert(!receptions[i].used);
    for (size_t i = 0; i < opened; i++)
        assert(!streams[i].open);
    opened = offered = 0;
    uv_run(&loop, UV_RUN_NOWAIT);
    return 0;
}
