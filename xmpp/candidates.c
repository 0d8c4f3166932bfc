#include "xmpp/candidates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/id.h"
#include "base/text.h"
#include "xmpp/stanza.h"

enum {
    PREFER_DIRECT = 126, /* section 2.2 */
    PREFER_PROXY = 10,
    LOCAL_LEAST = 4001,
    LOCAL_STEP = 2,  /* odd ones only */
    LOCAL_SPAN = 124 /* steps that each of S5B_HOSTS may be away from the next: up to 5,985 */
};

static unsigned some_number(unsigned below)
{
    char hex[9];

    id_random_hex(hex, 4);
    return (unsigned)(strtoul(hex, NULL, 16) % below);
}

static bool has_priority(const struct candidate_list *list, uint32_t priority)
{
    for (size_t i = 0; list && i < list->count; i++)
        if (list->all[i].priority == priority)
            return true;
    return false;
}

/* The same public proxy, most often: who goes there twice by one name hinders himself. */
static bool is_offered(const struct candidate_list *theirs, const struct candidate *c)
{
    for (size_t i = 0; theirs && i < theirs->count; i++) {
        const struct candidate *t = &theirs->all[i];

        if (t->port == c->port && strcasecmp(t->host, c->host) == 0)
            return true;
        if (t->proxy && c->proxy && strcmp(t->jid, c->jid) == 0)
            return true;
    }
    return false;
}

void candidates_make(struct candidate_list *out, const struct s5b_hosts *hosts, const struct candidate_list *theirs)
{
    unsigned local = LOCAL_LEAST;

    out->count = 0;
    for (size_t i = hosts->count; i-- > 0;) { /* from the last: each is above the one before */
        const struct streamhost *h = &hosts->hosts[i];
        struct candidate *c = &out->all[i];
        char random[17];

        local += LOCAL_STEP * (1 + some_number(LOCAL_SPAN));
        id_random_hex(random, 8);
        *c = (struct candidate){.port = h->port, .proxy = !(i == 0 && hosts->direct)};
        while (has_priority(theirs, (c->proxy ? PREFER_PROXY : PREFER_DIRECT) * 65536U + local))
            local += LOCAL_STEP;
        snprintf(c->cid, sizeof c->cid, "jp%s", random);
        snprintf(c->jid, sizeof c->jid, "%.255s", h->jid);
        snprintf(c->host, sizeof c->host, "%s", h->host);
        c->priority = (c->proxy ? PREFER_PROXY : PREFER_DIRECT) * 65536U + local;
    }
    for (size_t i = 0; i < hosts->count; i++)
        if (strlen(hosts->hosts[i].jid) < sizeof out->all[i].jid && !is_offered(theirs, &out->all[i]))
            out->all[out->count++] = out->all[i];
}

xmpp_stanza_t *candidates_write(xmpp_ctx_t *ctx, xmpp_stanza_t *transport, const struct candidate_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct candidate *c = &list->all[i];
        xmpp_stanza_t *s = stanza_set(stanza_new(ctx, "candidate", NULL), "cid", c->cid);
        char port[8], priority[16];

        snprintf(port, sizeof port, "%u", c->port);
        snprintf(priority, sizeof priority, "%u", c->priority);
        s = stanza_set(stanza_set(s, "jid", c->jid), "host", c->host);
        s = stanza_set(stanza_set(s, "port", port), "priority", priority);
        transport = stanza_add(transport, stanza_set(s, "type", c->proxy ? "proxy" : "direct"));
    }
    return transport;
}

/* Decimal digits alone, from 1 to max. */
static bool read_number(const char *text, unsigned long max, unsigned long *out)
{
    if (strspn(text, "0123456789") != strlen(text) || strlen(text) > 10)
        return false;
    *out = strtoul(text, NULL, 10);
    return *out > 0 && *out <= max;
}

static bool read_type(const char *type, bool *proxy)
{
    *proxy = type && strcmp(type, "proxy") == 0;
    return !type || *proxy || strcmp(type, "direct") == 0 || strcmp(type, "assisted") == 0 ||
           strcmp(type, "tunnel") == 0;
}

static bool read_candidate(xmpp_stanza_t *s, struct candidate *out)
{
    const char *cid = stanza_attr(s, "cid"), *jid = stanza_attr(s, "jid"), *host = stanza_attr(s, "host");
    const char *port = stanza_attr(s, "port"), *priority = stanza_attr(s, "priority");
    unsigned long port_number = 0, priority_number = 0;

    *out = (struct candidate){0};
    if (!cid || !*cid || strlen(cid) >= sizeof out->cid || !host || !*host || strlen(host) >= sizeof out->host)
        return false;
    if (!read_number(port ? port : "1080", 65535, &port_number) ||
        !read_number(priority ? priority : "", INT32_MAX, &priority_number) ||
        !read_type(stanza_attr(s, "type"), &out->proxy))
        return false;
    snprintf(out->cid, sizeof out->cid, "%s", cid);
    snprintf(out->host, sizeof out->host, "%s", host);
    text_clean(jid ? jid : "", out->jid, sizeof out->jid);
    out->port = (uint16_t)port_number;
    out->priority = (uint32_t)priority_number;
    return true;
}

size_t candidates_read(struct candidate_list *list, xmpp_stanza_t *transport)
{
    size_t before = list->count, known;

    for (xmpp_stanza_t *s = stanza_child(transport, "candidate", NULL); s && list->count < CANDIDATES;
         s = stanza_next(s, "candidate", NULL)) {
        struct candidate *c = &list->all[list->count];

        if (read_candidate(s, c) && !candidates_find(list, c->cid, &known))
            list->count++;
    }
    return list->count - before;
}

bool candidates_find(const struct candidate_list *list, const char *cid, size_t *index)
{
    for (size_t i = 0; cid && i < list->count; i++) {
        if (strcmp(list->all[i].cid, cid) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

enum nominee candidates_nominate(const struct candidate *theirs, const struct candidate *ours, bool responder)
{
    if (!theirs && !ours)
        return NOMINEE_NONE;
    if (!theirs || !ours)
        return theirs ? NOMINEE_THEIRS : NOMINEE_OURS;
    if (ours->priority == theirs->priority)
        return responder ? NOMINEE_OURS : NOMINEE_THEIRS; /* the initiator's choice is the other's candidate */
    return ours->priority > theirs->priority ? NOMINEE_OURS : NOMINEE_THEIRS;
}
