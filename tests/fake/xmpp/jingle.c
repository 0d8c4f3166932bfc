#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/fake/xmpp/jingle.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "xmpp/stanza.h"

#define STREAMHOST "<streamhost jid='streamer.example.com' host='203.0.113.9' port='7625'/>"

static void start(struct jingle_bench *b, char *const *proxies)
{
    memset(b, 0, sizeof *b);
    peer_start(&b->peer, proxies);
    fake_carrier_init(&b->carrier);
    fake_host_init(&b->host, &b->carrier.carrier, &b->peer.loop);
    assert_true(jid_parse(&b->to, TARGET, strlen(TARGET), NULL));
    b->ops = &method_jingle_s5b;
    b->offer = (struct offer){
        .to = &b->to, .name = "plan.png", .type = "image/png", .size = JINGLE_SIZE, .answer_ms = 300 * 1000};
}

int jingle_setup(void **state)
{
    static struct jingle_bench b;

    *state = &b;
    start(&b, NULL);
    return 0;
}

int jingle_setup_with_proxy(void **state)
{
    struct jingle_bench *b;

    jingle_setup(state);
    b = *state;
    peer_stop(&b->peer);
    start(b, peer_proxy);
    peer_gives_proxy(&b->peer, STREAMHOST);
    return 0;
}

int jingle_teardown(void **state)
{
    struct jingle_bench *b = *state;

    if (b->method)
        b->ops->end(&b->method, NULL);
    assert_int_equal(fake_carrier_count(&b->carrier), 0);
    peer_stop(&b->peer);
    return 0;
}

void jingle_again(void **state)
{
    jingle_teardown(state);
    jingle_setup(state);
}

void jingle_begin(struct jingle_bench *b)
{
    struct error err;

    b->method = b->ops->offer(&b->host.host, &b->peer.network, &b->offer, &err);
    assert_non_null(b->method);
    peer_turn(&b->peer);
}

void jingle_look(struct jingle_bench *b)
{
    const char *text = peer_next(&b->peer);
    xmpp_stanza_t *iq = xmpp_stanza_new_from_string(b->peer.client->ctx, text ? text : "<iq/>"), *transport;
    xmpp_stanza_t *jingle = stanza_child(iq, "jingle", NS_JINGLE);

    assert_non_null(jingle);
    assert_string_equal(stanza_attr(jingle, "action"), "session-initiate");
    snprintf(b->peer.sid, sizeof b->peer.sid, "%s", stanza_attr(jingle, "sid"));
    transport = stanza_child(stanza_child(jingle, "content", NULL), "transport", NULL);
    snprintf(b->transport, sizeof b->transport, "%s", stanza_attr(transport, "sid"));
    candidates_read(&b->ours, transport);
    xmpp_stanza_release(iq);
}

void jingle_says(struct jingle_bench *b, const char *xml)
{
    peer_says(&b->peer, xml);
    peer_expects(&b->peer, ACK);
}

void jingle_accepted(struct jingle_bench *b, const char *xml)
{
    jingle_begin(b);
    jingle_look(b);
    peer_says(&b->peer, HEARD);
    jingle_says(b, xml);
    peer_turn(&b->peer);
}

void jingle_uses(struct jingle_bench *b, size_t index)
{
    struct buf xml = {0};

    buf_printf(&xml, INFO("<candidate-used cid='%s'/>"), b->ours.all[index].cid);
    jingle_says(b, xml.data);
    buf_free(&xml);
}

void jingle_hears(struct jingle_bench *b, const char *element)
{
    struct buf xml = {0};

    buf_printf(&xml, OUR_INFO("%s"), element);
    peer_expects(&b->peer, xml.data);
    buf_free(&xml);
    peer_says(&b->peer, HEARD);
}

size_t jingle_opened(const struct jingle_bench *b)
{
    return fake_host_count(&b->host, METHOD_STREAM_OPEN);
}

struct carrier_stream *jingle_to(struct jingle_bench *b, const char *host)
{
    struct carrier_stream *s = fake_carrier_find(&b->carrier, host);

    assert_non_null(s);
    return s;
}

void jingle_open_directly(struct jingle_bench *b)
{
    jingle_accepted(b, ACCEPT(""));
    fake_stream_says(jingle_to(b, NULL), CARRIER_CLAIMED, 0);
    jingle_uses(b, 0);
    jingle_hears(b, "<candidate-error/>");
    assert_int_equal(jingle_opened(b), 1);
}

void jingle_stream(struct jingle_bench *b)
{
    b->ops->stream(b->method, &(struct shared_fd){.fd = 5});
    if (!b->offer.sha256)
        b->ops->digest(b->method, NULL);
}

void jingle_streaming(struct jingle_bench *b)
{
    jingle_open_directly(b);
    jingle_stream(b);
}

void jingle_give_up(struct jingle_bench *b)
{
    assert_non_null(fake_host_last(&b->host, METHOD_FAILED));
    b->ops->end(&b->method, &fake_host_last(&b->host, METHOD_FAILED)->error);
}
