#include "tests/fake/xmpp/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "xmpp/ibb.h"
#include "xmpp/ibb_in.h"
#include "xmpp/jingle.h"
#include "xmpp/jingle_target.h"
#include "xmpp/messages.h"
#include "xmpp/ns.h"
#include "xmpp/proxies.h"
#include "xmpp/rooms.h"
#include "xmpp/services.h"
#include "xmpp/stanza.h"
#include "xmpp/target.h"
#include "xmpp/upload_service.h"

struct peer_sent {
    struct peer_sent *next;
    char *text;
};

static char *const only_upload[] = {(char[]){"upload"}, NULL};
char *const peer_proxy[] = {(char[]){"streamer.example.com"}, NULL};

/* ---- start and end */

/* The library ties its parser's memory to the first context it sees, so all tests of a process share one. */
static xmpp_ctx_t *context(void)
{
    static xmpp_ctx_t *ctx;

    if (!ctx) {
        xmpp_initialize();
        ctx = xmpp_ctx_new(NULL, NULL);
    }
    return ctx;
}

static bool catch (void *user, xmpp_stanza_t *stanza)
{
    struct peer *p = user;
    struct peer_sent **end = &p->sent;
    char *text;
    size_t len;

    if (p->deaf)
        return false;
    assert_int_equal(xmpp_stanza_to_text(stanza, &text, &len), XMPP_EOK);
    while (*end)
        end = &(*end)->next;
    *end = calloc(1, sizeof **end);
    (*end)->text = strdup(text);
    xmpp_free(p->client->ctx, text);
    return true;
}

static void count_change(void *user)
{
    ((struct peer *)user)->proxies_changed++;
}

void peer_start(struct peer *p, char *const *proxies)
{
    log_setup(LOG_ERROR, LOG_TEXT); /* what peers do wrong is logged below that, and is what these tests are full of */
    *p = (struct peer){0};
    p->settings = (struct xmpp_settings){.proxies = proxies,
                                         .direct = XMPP_DIRECT_ALWAYS,
                                         .iq_timeout_ms = 10000,
                                         .activate_timeout_ms = 20000,
                                         .ibb_max_size = 2 << 20,
                                         .ibb_window = 1,
                                         .link = only_upload};
    uv_loop_init(&p->loop);
    p->client = &p->network.client;
    p->client->settings = &p->settings;
    p->client->ctx = context();
    p->client->loop = &p->loop;
    assert_true(jid_parse(&p->client->self, INITIATOR, strlen(INITIATOR), NULL));
    p->client->online = true;
    p->client->iq = iq_create(p->client->ctx, &p->loop, catch, p);
    iq_set_self(p->client->iq, &p->client->self);
    p->client->services = services_create(p->client);
    p->client->proxies = proxies_create(p->client, count_change, p);
    p->client->ibb = ibb_streams_create(p->client);
    p->client->ibb_in = ibb_in_streams_create(p->client);
    p->client->target = target_create(p->client);
    p->client->jingle = jingle_create(p->client);
    p->client->jingle_target = jingle_target_create(p->client);
    p->client->uploads = upload_service_create(p->client);
    p->client->messages = messages_create(p->client, catch, p);
    p->client->rooms = rooms_create(p->client, catch, p);
}

void peer_stop(struct peer *p)
{
    jingle_target_destroy(&p->client->jingle_target);
    target_destroy(&p->client->target);
    while (peer_next(p))
        continue;
    upload_service_destroy(&p->client->uploads);
    messages_destroy(&p->client->messages);
    rooms_destroy(&p->client->rooms);
    ibb_streams_destroy(&p->client->ibb);
    ibb_in_streams_destroy(&p->client->ibb_in);
    jingle_destroy(&p->client->jingle);
    proxies_destroy(&p->client->proxies);
    services_destroy(&p->client->services);
    iq_destroy(&p->client->iq);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&p->loop), 0);
}

/* ---- comparing */

static const char *attribute(xmpp_stanza_t *s, const char *name)
{
    const char *value = xmpp_stanza_get_attribute(s, name);

    return value ? value : "";
}

static bool same_value(struct peer *p, const char *want, const char *got)
{
    if (strcmp(want, "*id") == 0)
        snprintf(p->id, sizeof p->id, "%s", got);
    else if (strcmp(want, "*sid") == 0)
        snprintf(p->sid, sizeof p->sid, "%s", got);
    else if (strcmp(want, "$sid") == 0)
        return strcmp(p->sid, got) == 0;
    return want[0] == '*' ? got[0] != '\0' : strcmp(want, got) == 0;
}

static bool same_attributes(struct peer *p, xmpp_stanza_t *want, xmpp_stanza_t *got)
{
    const char *list[64];
    int wanted = xmpp_stanza_get_attributes(want, list, 64), extra = 0;

    if (xmpp_stanza_get_attribute(got, "from") && !xmpp_stanza_get_attribute(want, "from"))
        extra++;
    for (int i = 0; i < wanted; i += 2) {
        const char *value = xmpp_stanza_get_attribute(got, list[i]);

        if (strcmp(list[i], "from") == 0 && !value)
            extra--;
        else if (!value || !same_value(p, list[i + 1], value))
            return false;
    }
    return xmpp_stanza_get_attribute_count(got) == xmpp_stanza_get_attribute_count(want) + extra;
}

static bool same_text(xmpp_stanza_t *want, xmpp_stanza_t *got)
{
    char a[512], b[512];

    return strcmp(stanza_text(want, a, sizeof a), stanza_text(got, b, sizeof b)) == 0;
}

static bool same(struct peer *p, xmpp_stanza_t *want, xmpp_stanza_t *got)
{
    xmpp_stanza_t *a = stanza_child(want, NULL, NULL), *b = stanza_child(got, NULL, NULL);

    if (strcmp(xmpp_stanza_get_name(want), xmpp_stanza_get_name(got)) != 0 || !same_attributes(p, want, got))
        return false;
    if (!a && !same_text(want, got))
        return false;
    for (; a && b; a = stanza_next(a, NULL, NULL), b = stanza_next(b, NULL, NULL))
        if (!same(p, a, b))
            return false;
    return !a && !b;
}

static xmpp_stanza_t *parse(struct peer *p, const char *xml)
{
    xmpp_stanza_t *s = xmpp_stanza_new_from_string(p->client->ctx, xml);

    if (!s)
        fail_msg("not well-formed: %s", xml);
    return s;
}

const char *peer_next(struct peer *p)
{
    static char text[65536];
    struct peer_sent *first = p->sent;
    xmpp_stanza_t *s;

    if (!first)
        return NULL;
    p->sent = first->next;
    assert_true(strlen(first->text) < sizeof text);
    snprintf(text, sizeof text, "%s", first->text);
    free(first->text);
    free(first);
    s = parse(p, text);
    snprintf(p->id, sizeof p->id, "%s", attribute(s, "id"));
    xmpp_stanza_release(s);
    return text;
}

void peer_expects_(struct peer *p, const char *xml, const char *file, int line)
{
    const char *text = peer_next(p);
    xmpp_stanza_t *want, *got;
    bool ok;

    if (!text) {
        print_error("nothing was sent, but expected was\n  %s\n", xml);
        _fail(file, line);
    }
    want = parse(p, xml);
    got = parse(p, text);
    ok = same(p, want, got);
    xmpp_stanza_release(want);
    xmpp_stanza_release(got);
    if (!ok) {
        print_error("sent was\n  %s\nbut expected was\n  %s\n", text, xml);
        _fail(file, line);
    }
}

void peer_expects_nothing_(struct peer *p, const char *file, int line)
{
    const char *text = peer_next(p);

    if (text) {
        print_error("nothing was expected, but sent was\n  %s\n", text);
        _fail(file, line);
    }
}

/* ---- speaking */

static char *filled_in(const struct peer *p, const char *xml)
{
    struct buf out = {0};

    while (*xml) {
        if (strncmp(xml, "$id", 3) == 0) {
            buf_puts(&out, p->id);
            xml += 3;
        } else if (strncmp(xml, "$sid", 4) == 0) {
            buf_puts(&out, p->sid);
            xml += 4;
        } else {
            buf_add(&out, xml++, 1);
        }
    }
    return buf_steal(&out);
}

void peer_says(struct peer *p, const char *xml)
{
    char *text = filled_in(p, xml);
    xmpp_stanza_t *s = parse(p, text);

    free(text);
    if (strcmp(xmpp_stanza_get_name(s), "message") == 0) {
        messages_incoming(p->client->messages, s);
        rooms_message(p->client->rooms, s);
    } else if (strcmp(xmpp_stanza_get_name(s), "presence") == 0)
        p->ours = rooms_presence(p->client->rooms, s);
    else
        iq_incoming(p->client->iq, s);
    xmpp_stanza_release(s);
}

void peer_refuses(struct peer *p, const char *from, const char *type, const char *condition, const char *more)
{
    struct buf xml = {0};

    buf_printf(&xml, "<iq type='error' id='$id' from='%s' to='" INITIATOR "'><error type='%s'>", from, type);
    buf_printf(&xml, "<%s xmlns='" NS_STANZAS "'/>%s</error></iq>", condition, more);
    peer_says(p, xml.data);
    buf_free(&xml);
}

/* ---- time */

void peer_turn(struct peer *p)
{
    uv_run(&p->loop, UV_RUN_NOWAIT);
    uv_run(&p->loop, UV_RUN_NOWAIT);
}

static void find_soonest(uv_handle_t *handle, void *arg)
{
    uv_timer_t **soonest = arg, *timer = (uv_timer_t *)handle;

    if (handle->type != UV_TIMER || !uv_is_active(handle))
        return;
    if (!*soonest || uv_timer_get_due_in(timer) < uv_timer_get_due_in(*soonest))
        *soonest = timer;
}

uint64_t peer_skip(struct peer *p)
{
    uv_timer_t *soonest = NULL;
    uint64_t due;

    uv_walk(&p->loop, find_soonest, &soonest);
    if (!soonest) {
        fail_msg("nothing is waiting for time to pass");
        return 0;
    }
    due = uv_timer_get_due_in(soonest);
    uv_timer_start(soonest, soonest->timer_cb, 0, 0);
    peer_turn(p);
    return due;
}

void peer_gives_proxy(struct peer *p, const char *streamhosts)
{
    struct buf xml = {0};

    proxies_online(p->client->proxies);
    peer_expects(p, "<iq type='get' id='*id' to='example.com'><query xmlns='" NS_DISCO_ITEMS "'/></iq>");
    peer_says(p, "<iq type='result' id='$id' from='example.com'><query xmlns='" NS_DISCO_ITEMS "'/></iq>");
    peer_expects(p, "<iq type='get' id='*id' to='streamer.example.com'><query xmlns='" NS_BYTESTREAMS "'/></iq>");
    buf_printf(&xml, "<iq type='result' id='$id' from='streamer.example.com'><query xmlns='%s'>%s</query></iq>",
               NS_BYTESTREAMS, streamhosts);
    peer_says(p, xml.data);
    buf_free(&xml);
}
