#include "xmpp/s5b_hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_direct(const struct client *client, struct carrier *carrier, const struct jid *to,
                       struct s5b_hosts *out)
{
    struct carrier_address address;
    struct streamhost *h = &out->hosts[0];

    out->direct = client_may_tell_address(client, to) && carrier->ops->advertised(carrier, &address);
    if (!out->direct)
        return;
    snprintf(h->jid, sizeof h->jid, "%s", client->self.text);
    snprintf(h->host, sizeof h->host, "%s", address.host);
    h->port = address.port;
    out->count = 1;
}

bool s5b_gather(const struct client *client, struct carrier *carrier, const struct jid *to, const char *avoid,
                struct s5b_hosts *out, struct error *err)
{
    size_t kept;

    out->count = 0;
    add_direct(client, carrier, to, out);
    kept = out->count;
    out->count += proxies_list(client->proxies, out->hosts + out->count, S5B_HOSTS - out->count);
    for (size_t i = kept; i < out->count; i++)
        if (strcmp(out->hosts[i].jid, avoid) != 0)
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
