#include "xmpp/candidate_dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/proxies.h"
#include "xmpp/s5b_name.h"

enum {
    TRIES = 8,        /* a peer must not make us knock at more doors than that */
    STAGGER_MS = 200, /* what each has before the next is tried beside it */
};

enum leg_state { LEG_WAITING, LEG_TRYING, LEG_WON, LEG_OVER };

struct leg {
    struct candidate_dial *home;
    enum leg_state state;
    bool swapped; /* by the second name */
    struct carrier_stream *stream;
};

struct candidate_dial {
    struct method_host *host;
    struct client *client;
    const struct candidate_list *list;
    struct candidate_dial_events events;
    char name[S5B_NAME], swapped_name[S5B_NAME];
    struct leg legs[CANDIDATES]; /* by the list's index */
    size_t known;                /* of the list */
    unsigned tried;
    struct leg *winner;
    uv_timer_t timer; /* the next turn */
};

static void on_turn(uv_timer_t *timer);

static void turn_in(struct candidate_dial *d, unsigned ms)
{
    uv_timer_start(&d->timer, on_turn, ms, 0);
}

static const struct candidate *candidate_of(const struct leg *leg)
{
    return &leg->home->list->all[leg - leg->home->legs];
}

static void end_leg(struct leg *leg)
{
    leg->state = LEG_OVER;
    leg->home->host->carrier->ops->close(&leg->stream);
}

static void on_carrier(void *user, const struct carrier_event *event);

static void try_leg(struct leg *leg)
{
    struct candidate_dial *d = leg->home;
    struct carrier *carrier = d->host->carrier;
    const struct candidate *c = candidate_of(leg);
    struct carrier_address address = {.port = c->port};

    snprintf(address.host, sizeof address.host, "%s", c->host);
    leg->state = LEG_TRYING;
    leg->stream = carrier->ops->open(carrier, on_carrier, leg, NULL);
    if (!leg->stream || !carrier->ops->dial(leg->stream, &address, proxies_know(d->client->proxies, c->host, c->port),
                                            leg->swapped ? d->swapped_name : d->name, NULL))
        end_leg(leg);
}

static void leg_failed(struct leg *leg, const struct error *why)
{
    struct candidate_dial *d = leg->home;

    end_leg(leg);
    if (!leg->swapped && !candidate_of(leg)->proxy && why->code != ERR_EGRESS_BLOCKED) {
        leg->swapped = true;
        try_leg(leg);
    }
    turn_in(d, 0);
}

static void leg_won(struct leg *leg)
{
    struct candidate_dial *d = leg->home;

    leg->state = LEG_WON;
    d->winner = leg;
    uv_timer_stop(&d->timer);
    for (size_t i = 0; i < d->known; i++)
        if (&d->legs[i] != leg)
            end_leg(&d->legs[i]);
    d->events.won(d->events.user, (size_t)(leg - d->legs));
}

static void on_carrier(void *user, const struct carrier_event *event)
{
    struct leg *leg = user;

    if (leg->state == LEG_WON)
        leg->home->events.carrier(leg->home->events.user, event);
    else if (event->kind == CARRIER_DIALED)
        leg_won(leg);
    else if (event->kind == CARRIER_FAILED)
        leg_failed(leg, &event->error);
}

/* ---- turns */

static size_t count_in(const struct candidate_dial *d, enum leg_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < d->known; i++)
        count += d->legs[i].state == state;
    return count;
}

bool candidate_dial_busy(const struct candidate_dial *d)
{
    return !d->winner && (count_in(d, LEG_WAITING) > 0 || count_in(d, LEG_TRYING) > 0);
}

static struct leg *best_waiting(struct candidate_dial *d)
{
    struct leg *best = NULL;

    for (size_t i = 0; i < d->known; i++)
        if (d->legs[i].state == LEG_WAITING &&
            (!best || candidate_of(&d->legs[i])->priority > candidate_of(best)->priority))
            best = &d->legs[i];
    return best;
}

static void on_turn(uv_timer_t *timer)
{
    struct candidate_dial *d = timer->data;
    struct leg *next = best_waiting(d);

    if (next && d->tried == TRIES) {
        for (size_t i = 0; i < d->known; i++)
            if (d->legs[i].state == LEG_WAITING)
                end_leg(&d->legs[i]);
        next = NULL;
    }
    if (next) {
        d->tried++;
        try_leg(next);
        turn_in(d, next->state == LEG_TRYING ? STAGGER_MS : 0);
    } else if (!candidate_dial_busy(d)) {
        d->events.lost(d->events.user);
    }
}

void candidate_dial_go(struct candidate_dial *d)
{
    if (d->winner || d->known == d->list->count)
        return;
    while (d->known < d->list->count)
        d->legs[d->known++] = (struct leg){.home = d, .state = LEG_WAITING};
    turn_in(d, 0);
}

void candidate_dial_drop_below(struct candidate_dial *d, uint32_t priority)
{
    for (size_t i = 0; !d->winner && i < d->known; i++) {
        struct leg *leg = &d->legs[i];

        if ((leg->state == LEG_WAITING || leg->state == LEG_TRYING) && candidate_of(leg)->priority < priority) {
            end_leg(leg);
            turn_in(d, 0);
        }
    }
}

struct carrier_stream *candidate_dial_stream(const struct candidate_dial *d)
{
    return d->winner ? d->winner->stream : NULL;
}

/* ---- from birth to death */

struct candidate_dial *candidate_dial_create(struct method_host *host, struct client *client, const char *sid,
                                             const struct jid *local, const struct jid *peer,
                                             const struct candidate_list *list,
                                             const struct candidate_dial_events *events)
{
    struct candidate_dial *d = calloc(1, sizeof *d);

    if (!d || !s5b_name(sid, peer->text, local->text, d->name) ||
        !s5b_name(sid, local->text, peer->text, d->swapped_name)) {
        free(d);
        return NULL;
    }
    d->host = host;
    d->client = client;
    d->list = list;
    d->events = *events;
    uv_timer_init(host->loop, &d->timer);
    d->timer.data = d;
    return d;
}

static void free_dial(uv_handle_t *timer)
{
    free(timer->data);
}

void candidate_dial_destroy(struct candidate_dial **d)
{
    if (!*d)
        return;
    for (size_t i = 0; i < (*d)->known; i++)
        end_leg(&(*d)->legs[i]);
    uv_close((uv_handle_t *)&(*d)->timer, free_dial);
    *d = NULL;
}
