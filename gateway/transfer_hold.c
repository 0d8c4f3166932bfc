/* gateway/transfer_hold.c - who is offline, and will be seen to come online, is waited for before the ladder goes on
 * without him; and what is heard of his coming, his going, and his letting us see it. */
#include "gateway/transfer_parts.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"

static enum sight sight(const struct transfer *t)
{
    struct network *network = t->env->network;

    return network->ops->sight(network, t->to);
}

bool transfer_may_hold(const struct transfer *t, const struct error *error)
{
    const struct record *r = t->record;

    if (error->code != ERR_RECIPIENT_OFFLINE || transfer_on_offline_rung(t) || r->hold_until <= clock_wall_ms())
        return false;
    return (r->sent == 0 || r->round < r->max_rounds) && (r->subscribe || sight(t) != SIGHT_HIDDEN);
}

/* false: he said no already. What cannot be sent now is sent when the session is back. */
static bool ask_to_see(struct transfer *t)
{
    struct network *network = t->env->network;
    struct error error;
    bool sent;

    t->asked = network->ops->subscribe(network, t->bare, &sent, &error);
    if (t->asked) {
        transfer_step(t, sent ? STEP_SENT : STEP_LOCAL, "subscription", sent ? "asked" : "asked before", t->bare->text);
        return true;
    }
    transfer_step(t, STEP_LOCAL, "subscription", error_name(error.code), error.text);
    if (error.code != ERR_RECIPIENT_FORBIDS)
        return true;
    error_keep(&t->refusal, &error);
    return false;
}

static void forgo_hold(struct transfer *t, const char *outcome, const char *detail)
{
    t->record->hold_until = 0;
    transfer_step(t, STEP_LOCAL, "not held", outcome, detail);
}

static const char *why_not_held(const struct transfer *t)
{
    if (t->record->hold_until <= clock_wall_ms())
        return "the time to wait for the recipient is over";
    if (sight(t) == SIGHT_HIDDEN)
        return "hold needs the recipient as a contact; ?subscribe=ask asks for it";
    return "no attempt is left";
}

/* The round costs nothing: nobody was there to fail. */
bool transfer_hold(struct transfer *t, const struct error *error)
{
    bool hidden = sight(t) == SIGHT_HIDDEN;

    if (error->code == ERR_RECIPIENT_OFFLINE && t->refusal)
        transfer_remember_why(t, t->refusal, true);
    if (!transfer_may_hold(t, error)) {
        if (error->code == ERR_RECIPIENT_OFFLINE && t->record->hold_until > 0)
            forgo_hold(t, "", why_not_held(t));
        return false;
    }
    if ((hidden || (t->record->subscribe && sight(t) == SIGHT_ASKED)) && !ask_to_see(t)) {
        transfer_remember_why(t, t->refusal, true);
        forgo_hold(t, error_name(error_kept(t->refusal)), "the recipient would not be seen to come online");
        return false;
    }
    if (t->record->sent == 0)
        t->record->round--;
    transfer_post(t, EV_HOLD, error, PROOF_NONE);
    return true;
}

void transfer_begin_hold(struct transfer *t, const struct pending *p)
{
    char until[CLOCK_TEXT], detail[120];

    transfer_end_round(t);
    snprintf(detail, sizeof detail, "until the recipient is online, or %s", clock_text(t->record->hold_until, until));
    transfer_step(t, STEP_LOCAL, "held", error_name(p->error.code), detail);
    if (t->came) /* while the round that found nobody was still on its way */
        transfer_post(t, EV_CAME, NULL, PROOF_NONE);
}

void transfer_end_hold(struct transfer *t, const struct pending *p)
{
    struct error unseen;

    if (p->event == EV_CAME) {
        transfer_step(t, STEP_RECEIVED, "presence", "available", p->error.text);
        return;
    }
    if (p->event == EV_UNSEEN && t->asked) {
        error_set(&unseen, ERR_RECIPIENT_FORBIDS, "%s does not let us see when somebody is there", t->bare->text);
        error_keep(&t->refusal, &unseen);
    }
    t->record->hold_until = 0;
    transfer_step(t, STEP_LOCAL, "hold over", "", p->error.text);
}

void transfer_post_end_of_hold(struct transfer *t, enum event event, const char *why)
{
    struct error text = {0};

    text_clean(why, text.text, sizeof text.text);
    transfer_post(t, event, &text, PROOF_NONE);
}

/* ---- news of the recipient */

/* Servers drop a question whose addressee goes: without this it would be waited for to the last. */
static void device_went(struct transfer *t, const struct jid *who)
{
    struct error error;

    if (t->record->state != TRANSFER_OFFERING || !t->method || t->ops->offline || !jid_equal(t->device, who))
        return;
    error_set(&error, ERR_RECIPIENT_OFFLINE, "%s went offline before it answered", who->text);
    transfer_step(t, STEP_RECEIVED, "presence", "unavailable", who->text);
    transfer_post(t, EV_METHOD_FAILED, &error, PROOF_NONE);
}

void transfer_presence(struct transfer *t, const struct jid *who, bool available)
{
    if (!available) {
        device_went(t, who);
        return;
    }
    transfer_hurry(t);
    if ((t->to->full && !jid_equal(t->to, who)) || sight(t) != SIGHT_THERE)
        return;
    t->came = true;
    if (t->record->state == TRANSFER_HELD)
        transfer_post_end_of_hold(t, EV_CAME, who->text);
}

void transfer_subscription(struct transfer *t, bool granted)
{
    if (t->record->state != TRANSFER_HELD)
        return;
    transfer_step(t, STEP_RECEIVED, "subscription", granted ? "granted" : "refused", t->bare->text);
    if (granted)
        t->asked = false; /* and answered: what comes later is no refusal */
    else
        transfer_post_end_of_hold(t, EV_UNSEEN, "the recipient would not be seen to come online");
}

void transfer_roster(struct transfer *t)
{
    if (t->record->state != TRANSFER_HELD || sight(t) != SIGHT_HIDDEN)
        return;
    if (!t->record->subscribe || t->asked || !ask_to_see(t))
        transfer_post_end_of_hold(t, EV_UNSEEN, "the recipient would not be seen to come online");
}
