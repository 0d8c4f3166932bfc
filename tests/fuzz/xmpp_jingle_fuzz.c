/* What a Jingle peer may say, in any order: stanzas with a NUL between them, into a session of ours that offers a file.
 * "$sid" stands for the session's id. The first byte chooses the method (bit 0) and whether it may go on in-band (bit
 * 1); a piece of one letter is something the carrier tells: Claimed, Dialed, Moved, finished (E), Failed. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "xmpp/ibb.h"
#include "xmpp/jingle.h"
#include "xmpp/methods.h"
#include "xmpp/proxies.h"
#include "xmpp/services.h"
#include "xmpp/stanza.h"

#define SELF "gateway@example.org/gw"
#define PEER "ana@example.net/desk"
#define SIZE 5000

struct carrier_stream {
    carrier_event_fn *on_event;
    void *user;
    bool open;
};

static struct methods_network network;
static uv_loop_t loop;
static struct carrier_stream streams[256];
static size_t opened;
static bool opened_for_bytes, failed_or_done;
static char sid[64];
static struct shared_fd *file;

/* ---- what the session stands between */

/* All that we send is XML; the session's id is in the first. */
static bool check(void *user, xmpp_stanza_t *stanza)
{
    const char *told = stanza_attr(stanza_child(stanza, "jingle", NULL), "sid");
    char *text;
    size_t len;

    (void)user;
    assert(xmpp_stanza_to_text(stanza, &text, &len) == XMPP_EOK);
    assert(text_is_xml(text, len));
    xmpp_free(network.client.ctx, text);
    if (told && !sid[0])
        snprintf(sid, sizeof sid, "%s", told);
    return true;
}

static void no_news(void *user)
{
    (void)user;
}

static bool advertised(struct carrier *c, struct carrier_address *out)
{
    (void)c;
    *out = (struct carrier_address){.host = "198.51.100.7", .port = 5086};
    return true;
}

static struct carrier_stream *open_stream(struct carrier *c, carrier_event_fn *on_event, void *user, struct error *err)
{
    (void)c;
    (void)err;
    assert(opened < sizeof streams / sizeof *streams);
    streams[opened] = (struct carrier_stream){on_event, user, true};
    return &streams[opened++];
}

static bool expect(struct carrier_stream *s, const char *const *names, size_t count, unsigned wait_ms,
                   struct error *err)
{
    (void)names;
    (void)wait_ms;
    (void)err;
    return s->open && count > 0;
}

static bool dial(struct carrier_stream *s, const struct carrier_address *to, bool trusted, const char *name,
                 struct error *err)
{
    (void)err;
    assert(!trusted && to->port > 0 && strlen(name) == 40);
    return s->open;
}

static bool send_file(struct carrier_stream *s, struct shared_fd *sent, struct feed *feed, uint64_t offset,
                      uint64_t length, struct error *err)
{
    (void)feed;
    (void)err;
    assert(s->open && sent == file && offset <= SIZE && length <= SIZE - offset);
    return true;
}

static void close_stream(struct carrier_stream **s)
{
    if (*s)
        (*s)->open = false;
    *s = NULL;
}

static bool receive(struct carrier_stream *s, struct shared_fd *to, uint64_t offset, uint64_t length, struct error *err)
{
    (void)s, (void)to, (void)offset, (void)length, (void)err;
    return true;
}

static const struct carrier_ops carrier_ops = {advertised, open_stream, expect, dial, send_file, receive, close_stream};
static struct carrier carrier = {&carrier_ops};

static void report(struct method_host *host, const struct method_report *r)
{
    (void)host;
    assert(!failed_or_done); /* nothing follows the end */
    opened_for_bytes = r->event == METHOD_STREAM_OPEN;
    failed_or_done = r->event == METHOD_FAILED || r->event == METHOD_COMPLETE;
    if (r->event == METHOD_COMPLETE || r->event == METHOD_PROGRESS)
        assert(r->moved <= SIZE);
}

static void step(struct method_host *host, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    (void)host;
    (void)direction;
    assert(text_is_xml(name, strlen(name)) && text_is_xml(outcome, strlen(outcome)));
    assert(text_is_xml(detail, strlen(detail)));
}

static void chose(struct method_host *host, const char *path, const char *streamhost)
{
    (void)host;
    assert(*path && (!streamhost || text_is_xml(streamhost, strlen(streamhost))));
}

static const struct method_host_ops host_ops = {.report = report, .step = step, .chose = chose};
static struct method_host host = {.ops = &host_ops, .carrier = &carrier, .loop = &loop};

/* One client for all inputs: what one leaves behind is met by the next. */
static void set_up(void)
{
    static const struct xmpp_settings settings = {.iq_timeout_ms = 1000,
                                                  .activate_timeout_ms = 1000,
                                                  .direct = XMPP_DIRECT_ALWAYS,
                                                  .ibb_max_size = SIZE,
                                                  .ibb_window = 3};
    char name[] = "/tmp/jidpost-fuzz-XXXXXX";
    int fd;
    struct client *c = &network.client;

    log_setup(LOG_ERROR, LOG_TEXT);
    xmpp_initialize();
    uv_loop_init(&loop);
    *c = (struct client){.settings = &settings, .ctx = xmpp_ctx_new(NULL, NULL), .loop = &loop, .online = true};
    assert(jid_parse(&c->self, SELF, strlen(SELF), NULL));
    c->iq = iq_create(c->ctx, &loop, check, NULL);
    iq_set_self(c->iq, &c->self);
    c->ibb = ibb_streams_create(c);
    c->jingle = jingle_create(c);
    c->services = services_create(c);
    c->proxies = proxies_create(c, no_news, NULL);
    fd = mkstemp(name);
    assert(fd >= 0 && ftruncate(fd, SIZE) == 0 && unlink(name) == 0);
    file = shared_fd_create(fd);
    assert(file);
}

/* ---- one input */

static void hear_stanza(const char *text)
{
    const char *at = strstr(text, "$sid");
    struct buf xml = {0};
    xmpp_stanza_t *stanza;

    if (at)
        buf_printf(&xml, "%.*s%s%s", (int)(at - text), text, sid, at + 4);
    else
        buf_puts(&xml, text);
    stanza = xmpp_stanza_new_from_string(network.client.ctx, xml.data ? xml.data : "");
    buf_free(&xml);
    if (!stanza)
        return;
    if (strcmp(xmpp_stanza_get_name(stanza), "iq") == 0)
        iq_incoming(network.client.iq, stanza);
    xmpp_stanza_release(stanza);
}

static void hear_carrier(char letter)
{
    static const char letters[] = "CDMEF";
    static const enum carrier_event_kind kinds[] = {CARRIER_CLAIMED, CARRIER_DIALED, CARRIER_PROGRESS, CARRIER_DONE,
                                                    CARRIER_FAILED};
    const char *at = strchr(letters, letter);
    struct carrier_event event = {0};

    for (size_t i = 0; at && i < opened; i++) {
        if (!streams[i].open)
            continue;
        event.kind = kinds[at - letters];
        event.moved = letter == 'E' ? SIZE : 1;
        if (letter == 'F')
            error_set(&event.error, ERR_STREAM_BROKEN, "as the input wants it");
        streams[i].on_event(streams[i].user, &event);
        return;
    }
}

static void hear(struct method *m, const struct method_ops *ops, const char *piece)
{
    if (strlen(piece) == 1)
        hear_carrier(*piece);
    else
        hear_stanza(piece);
    if (opened_for_bytes) {
        opened_for_bytes = false;
        ops->stream(m, file);
    }
    uv_run(&loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct method_ops *ops = size > 0 && data[0] & 1 ? &method_jingle_ibb : &method_jingle_s5b;
    struct offer offer = {.name = "a.bin", .size = SIZE, .answer_ms = 1000, .may_switch = size > 0 && data[0] & 2};
    struct method *m;
    struct error err;
    struct jid to;

    if (!network.client.ctx)
        set_up();
    opened = 0;
    opened_for_bytes = failed_or_done = false;
    sid[0] = '\0';
    assert(jid_parse(&to, PEER, strlen(PEER), NULL));
    offer.to = &to;
    m = ops->offer(&host, &network, &offer, &err);
    assert(m);
    while (!sid[0])
        uv_run(&loop, UV_RUN_NOWAIT);
    for (size_t at = 1, len; at < size && !failed_or_done; at += len + 1) {
        char *piece = strndup((const char *)data + at, size - at);

        len = strlen(piece);
        hear(m, ops, piece);
        free(piece);
    }
    failed_or_done = false;
    ops->end(&m, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    return 0;
}
