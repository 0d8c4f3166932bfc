#include "xmpp/s5b_hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where we are the proxy, everybody may be told: then as the proxy, and still he connects to the listener that waits
 * for him, so that nobody has to join anything. */
static void add_direct(const struct client *client, struct carrier *carrier, const struct jid *from,
                       const struct jid *to, struct s5b_hosts *out)
{
    bool told = client_may_tell_address(client, to);
    struct carrier_address address;
    struct streamhost *h = &out->hosts[0];
    const char *domain;
    size_t len;

    out->direct = (told || client->relay) && carrier->ops->advertised(carrier, &address);
    if (!out->direct)
        return;
    domain = jid_domain(&client->self, &len);
    snprintf(h->jid, sizeof h->jid, "%.*s", told ? (int)sizeof h->jid : (int)len, told ? from->text : domain);
    snprintf(h->host, sizeof h->host, "%s", address.host);
    h->port = address.port;
    out->count = 1;
}

/* The same address once more, as our own relay's beside the direct one, would only be tried in vain twice. */
static bool is_wanted(const struct s5b_hosts *out, const struct streamhost *h, const char *avoid)
{
    return strcmp(h->jid, avoid) != 0 &&
           !(out->direct && h->port == out->hosts[0].port && strcmp(h->host, out->hosts[0].host) == 0);
}

bool s5b_gather(const struct client *client, struct carrier *carrier, const struct jid *from, const struct jid *to,
                const char *avoid, struct s5b_hosts *out, struct error *err)
{
    size_t kept;

    out->count = 0;
    add_direct(client, carrier, from, to, out);
    kept = out->count;
    out->count += proxies_list(client->proxies, out->hosts + out->count, S5B_HOSTS - out->count);
    for (size_t i = kept; i < out->count; i++)
        if (is_wanted(out, &out->hosts[i], avoid))
            out->hosts[kept++] = out->hosts[i];
    out->count = kept;
    if (out->count > 0)
        return true;
    return error_set(err, ERR_STREAMHOSTS_UNREACHABLE,
                     "there is no streamhost to offer: set [socks5] advertise to an address recipients can reach "
                     "(told to contacts only, see [socks5] direct), or name a proxy in [xmpp] proxies");
}

static char *put(char **to, const char *text)
{
    char *at = *to;

    *to = stpcpy(at, text) + 1;
    return at;
}

struct offered_host *s5b_hosts_keep(const struct s5b_hosts *hosts)
{
    size_t size = hosts->count * sizeof(struct offered_host);
    struct offered_host *kept;
    char *texts;

    for (size_t i = 0; i < hosts->count; i++)
        size += strlen(hosts->hosts[i].jid) + strlen(hosts->hosts[i].host) + 2;
    kept = malloc(size);
    if (!kept)
        return NULL;
    texts = (char *)(kept + hosts->count);
    for (size_t i = 0; i < hosts->count; i++) {
        const struct streamhost *h = &hosts->hosts[i];

        kept[i] = (struct offered_host){.jid = put(&texts, h->jid), .port = h->port};
        kept[i].host = put(&texts, h->host);
    }
    return kept;
}
