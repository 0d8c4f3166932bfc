/* gateway/core_events.c - what core tells of a transfer: the one place where changes of its record become events. */
#include "gateway/core_parts.h"

#include "base/clock.h"

enum { PROGRESS_MS = 500 };

static bool has_moved(const struct live *live, const struct record *r)
{
    return (r->sent != live->told.sent || r->received != live->told.received) &&
           clock_ms() - live->told.at >= PROGRESS_MS;
}

static void tell(struct live *live, struct snapshot *s, enum event_type type)
{
    const struct record *r = snapshot_record(s);

    events_publish(live->gw->events, &(struct event){.type = type, .transfer = s});
    live->told.created = true;
    live->told.state = r->state;
    live->told.sent = r->sent;
    live->told.received = r->received;
    live->told.at = clock_ms();
}

bool core_has_news(const struct live *live)
{
    enum transfer_state state = core_record(live)->state;

    return !live->resting && state != live->told.state && !transfer_state_final(state);
}

/* Its end is told by core_tell_end(). */
void core_tell(struct live *live, struct snapshot *s)
{
    const struct record *r = snapshot_record(s);

    if (transfer_state_final(r->state))
        return;
    if (!live->told.created)
        tell(live, s, EVENT_CREATED);
    else if (r->state != live->told.state)
        tell(live, s, event_of(r));
    else if (has_moved(live, r))
        tell(live, s, EVENT_PROGRESS);
}

void core_tell_created(struct gateway *gw, struct snapshot *s)
{
    events_publish(gw->events, &(struct event){.type = EVENT_CREATED, .transfer = s});
}

void core_tell_end(struct gateway *gw, struct record *snapshot)
{
    struct snapshot *s = snapshot_take(snapshot);

    if (s)
        events_publish(gw->events, &(struct event){.type = event_of(snapshot_record(s)), .transfer = s});
    else
        events_lose(gw->events);
    snapshot_release(&s);
}

void core_tell_network(struct gateway *gw, const struct network_view *view)
{
    events_publish(gw->events, &(struct event){.type = gw->online ? EVENT_XMPP_CONNECTED : EVENT_XMPP_DISCONNECTED,
                                               .subject = (char *)view->jid,
                                               .detail = *view->advice ? (char *)view->advice : NULL});
}
