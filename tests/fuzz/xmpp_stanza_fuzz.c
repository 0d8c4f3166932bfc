/* A stanza from the network, handed to whoever takes stanzas: requests, rosters, presence, disco answers. Whatever
 * it is, what we send back passes the gate. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "xmpp/caps.h"
#include "xmpp/contacts.h"
#include "xmpp/disco.h"
#include "xmpp/ibb.h"
#include "xmpp/responder.h"
#include "xmpp/stanza.h"

static struct client client;
static uv_loop_t loop;

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

static void no_presence(void *user, const struct jid *who, bool available)
{
    (void)user;
    (void)who;
    (void)available;
}

static void drop(void *user, const struct jid *who)
{
    (void)user;
    disco_drop(client.disco, who);
}

/* One client for all inputs: what one leaves behind is met by the next. */
static void set_up(void)
{
    static const char self[] = "gateway@example.org/gw";
    static char everybody[] = "*", *const accept[] = {everybody, NULL};
    static const struct xmpp_settings settings = {.accept_subscriptions = accept, .iq_timeout_ms = 1000};
    struct contacts_events events = {no_news, no_presence, drop, check, no_presence, NULL};

    log_setup(LOG_ERROR, LOG_TEXT);
    xmpp_initialize();
    uv_loop_init(&loop);
    client = (struct client){.settings = &settings, .ctx = xmpp_ctx_new(NULL, NULL), .loop = &loop, .online = true};
    assert(jid_parse(&client.self, self, strlen(self), NULL));
    client.iq = iq_create(client.ctx, &loop, check, NULL);
    iq_set_self(client.iq, &client.self);
    client.contacts = contacts_create(&client, &events);
    client.disco = disco_create(&client);
    client.ibb = ibb_streams_create(&client);
    contacts_serve(client.contacts);
    responder_serve(&client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *xml = strndup((const char *)data, size), ver[CAPS_VER], text[100];
    xmpp_stanza_t *stanza;

    if (!client.ctx)
        set_up();
    stanza = xmpp_stanza_new_from_string(client.ctx, xml);
    if (stanza) {
        iq_incoming(client.iq, stanza);
        contacts_presence(client.contacts, stanza);
        if (caps_hash(stanza, "sha-1", ver))
            assert(strlen(ver) == 28);
        stanza_text(stanza, text, sizeof(text));
        assert(text_is_xml(text, strlen(text)));
        xmpp_stanza_release(stanza);
    }
    free(xml);
    return 0;
}
