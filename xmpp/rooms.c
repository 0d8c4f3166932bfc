#include "xmpp/rooms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/id.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

enum { PATIENCE_MS = 30 * 1000, NICK_TRIES = 4, ID_BYTES = 16, SUFFIX_BYTES = 3, CONDITION = 40 };

struct room {
    struct room *prev, *next;
    struct rooms *owner;
    struct jid jid;         /* bare */
    struct jid self;        /* us in it: its JID and our nickname */
    unsigned tries;         /* of nicknames */
    bool inside;            /* the room has shown us that we are */
    bool lost;              /* it is given up; who speaks again has to enter anew */
    struct saying *sayings; /* in the order they came */
    unsigned busy;          /* inside callbacks: it is not to go meanwhile */
    uv_timer_t timer;       /* for the room to say something of us */
};

/* A message for a room. */
struct saying {
    struct saying *prev, *next;
    uint64_t ticket;
    xmpp_stanza_t *message;
    char id[2 * ID_BYTES + 1];
    bool sent;
    message_done_fn *done;
    void *user;
};

struct asking {
    struct asking *prev, *next;
    struct rooms *owner;
    uint64_t ticket, question;
    struct jid jid;
    room_asked_fn *done;
    void *user;
};

struct rooms {
    struct client *client;
    iq_send_fn *send;
    void *user;
    uint64_t last_ticket;
    struct room *rooms;
    struct asking *askings;
};

/* ---- is it one */

static void drop_asking(struct rooms *r, struct asking *a)
{
    iq_forget(r->client->iq, a->question);
    DL_DELETE(r->askings, a);
    free(a);
}

static void finish_asking(struct asking *a, bool is_room, const struct error *err)
{
    room_asked_fn *done = a->done;
    void *user = a->user;

    drop_asking(a->owner, a);
    done(user, is_room, err);
}

static bool is_conference(const struct iq_reply *reply)
{
    xmpp_stanza_t *query = reply->outcome == IQ_RESULT ? stanza_child(reply->stanza, "query", NS_DISCO_INFO) : NULL;

    return stanza_with(query, "identity", "category", "conference") && stanza_with(query, "feature", "var", NS_MUC);
}

static bool ask_info(struct asking *a, const struct jid *whom, iq_done_fn *done, struct error *err)
{
    struct client *c = a->owner->client;

    a->question = iq_ask_query(c->iq, NS_DISCO_INFO, whom, c->settings->iq_timeout_ms, done, a, err);
    return a->question != 0;
}

static void on_service_info(void *user, const struct iq_reply *reply)
{
    struct asking *a = user;
    struct error err;

    a->question = 0;
    error_set(&err, ERR_LINK_FAILED, "there is no room %.100s", a->jid.text);
    finish_asking(a, false, is_conference(reply) ? &err : NULL);
}

/* Where there is nothing of that name, there may be no such room, or somebody a server hides. */
static bool ask_service(struct asking *a)
{
    struct jid service;
    size_t len;
    const char *domain = jid_domain(&a->jid, &len);

    return jid_parse(&service, domain, len, NULL) && ask_info(a, &service, on_service_info, NULL);
}

static void on_info(void *user, const struct iq_reply *reply)
{
    struct asking *a = user;
    struct error err = {0};

    a->question = 0;
    if (reply->outcome == IQ_ERROR && strcmp(reply->condition, "item-not-found") == 0 && ask_service(a))
        return;
    if (reply->outcome != IQ_RESULT)
        iq_error(reply, a->jid.text, &err);
    if (err.code == ERR_REMOTE_SERVER_UNREACHABLE || err.code == ERR_REMOTE_SERVER_TIMEOUT ||
        reply->outcome == IQ_TIMEOUT || reply->outcome == IQ_DISCONNECTED)
        finish_asking(a, false, &err);
    else
        finish_asking(a, is_conference(reply), NULL);
}

uint64_t room_ask(struct rooms *r, const struct jid *bare, room_asked_fn *done, void *user, struct error *err)
{
    struct asking *a = calloc(1, sizeof *a);

    if (!a) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return 0;
    }
    *a = (struct asking){.owner = r, .ticket = ++r->last_ticket, .done = done, .user = user};
    jid_copy(&a->jid, bare);
    DL_APPEND(r->askings, a);
    if (ask_info(a, bare, on_info, err))
        return a->ticket;
    drop_asking(r, a);
    return 0;
}

void room_ask_forget(struct rooms *r, uint64_t ticket)
{
    struct asking *a;

    DL_FOREACH(r->askings, a)
    if (a->ticket == ticket) {
        drop_asking(r, a);
        return;
    }
}

/* ---- going in and out */

static bool send_and_release(struct rooms *r, xmpp_stanza_t *s)
{
    bool sent = s && r->send(r->user, s);

    if (s)
        xmpp_stanza_release(s);
    return sent;
}

/* Section 7.2; of what was said before, nothing. */
static bool enter(struct room *room)
{
    xmpp_ctx_t *ctx = room->owner->client->ctx;
    xmpp_stanza_t *x = stanza_new(ctx, "x", NS_MUC);

    x = stanza_add(x, stanza_set(stanza_new(ctx, "history", NULL), "maxstanzas", "0"));
    return send_and_release(room->owner,
                            stanza_add(stanza_set(stanza_new(ctx, "presence", NULL), "to", room->self.text), x));
}

static void leave(struct room *room)
{
    xmpp_ctx_t *ctx = room->owner->client->ctx;
    xmpp_stanza_t *s = stanza_set(stanza_new(ctx, "presence", NULL), "type", "unavailable");

    send_and_release(room->owner, stanza_set(s, "to", room->self.text));
}

/* The configured nickname or the account's name, and from the second try on with something behind it. */
static bool choose_nick(struct room *room, struct error *err)
{
    const struct client *c = room->owner->client;
    char nick[JID_PART + 1], suffix[2 * SUFFIX_BYTES + 1];
    int max = JID_PART - (int)sizeof suffix - 1;

    if (c->settings->nick)
        snprintf(nick, sizeof nick, "%.*s", max, c->settings->nick);
    else
        snprintf(nick, sizeof nick, "%.*s", (int)c->self.local < max ? (int)c->self.local : max, c->self.text);
    if (room->tries++ > 0) {
        id_random_hex(suffix, SUFFIX_BYTES);
        snprintf(nick + strlen(nick), sizeof suffix + 1, "-%s", suffix);
    }
    return jid_with_resource(&room->self, &room->jid, nick, err);
}

static void free_room(uv_handle_t *timer)
{
    free(timer->data);
}

static void drop_room(struct room *room)
{
    DL_DELETE(room->owner->rooms, room);
    uv_close((uv_handle_t *)&room->timer, free_room);
}

/* With nothing left to say, goodbye. */
static void settle(struct room *room)
{
    if (room->sayings || room->busy > 0)
        return;
    leave(room);
    drop_room(room);
}

/* ---- saying */

static void drop_saying(struct room *room, struct saying *s)
{
    DL_DELETE(room->sayings, s);
    xmpp_stanza_release(s->message);
    free(s);
}

static void finish(struct room *room, struct saying *s, const struct error *err)
{
    message_done_fn *done = s->done;
    void *user = s->user;

    drop_saying(room, s);
    room->busy++;
    done(user, err);
    room->busy--;
    settle(room);
}

/* Everybody hears why. */
static void give_up(struct room *room, const struct error *err)
{
    room->lost = true;
    room->busy++;
    while (room->sayings)
        finish(room, room->sayings, err);
    drop_room(room);
}

static void on_silence(uv_timer_t *timer)
{
    struct room *room = timer->data;
    struct error err;

    error_set(&err, ERR_REMOTE_SERVER_TIMEOUT, "the room %.100s %s", room->jid.text,
              room->inside ? "has not shown the message" : "did not say whether we may come in");
    leave(room);
    give_up(room, &err);
}

static bool say(struct room *room, struct saying *s)
{
    struct rooms *r = room->owner;

    s->sent = r->send(r->user, s->message);
    uv_update_time(r->client->loop);
    uv_timer_start(&room->timer, on_silence, PATIENCE_MS, 0);
    return s->sent;
}

static struct room *find_room(struct rooms *r, const struct jid *jid)
{
    struct room *room;

    DL_FOREACH(r->rooms, room)
    if (!room->lost && jid_same_bare(&room->jid, jid))
        return room;
    return NULL;
}

bool rooms_occupant(struct rooms *r, const struct jid *who)
{
    const struct room *room = find_room(r, who);

    return room && room->inside && who->full;
}

static struct room *make_room(struct rooms *r, const struct jid *jid, struct error *err)
{
    struct room *room = calloc(1, sizeof *room);

    if (!room) {
        error_set(err, ERR_INTERNAL, "out of memory");
        return NULL;
    }
    room->owner = r;
    jid_copy(&room->jid, jid);
    uv_timer_init(r->client->loop, &room->timer);
    room->timer.data = room;
    DL_APPEND(r->rooms, room);
    if (!choose_nick(room, err) || !(enter(room) || error_set(err, ERR_XMPP_DISCONNECTED, "nothing can be sent now"))) {
        drop_room(room);
        return NULL;
    }
    uv_update_time(r->client->loop);
    uv_timer_start(&room->timer, on_silence, PATIENCE_MS, 0);
    return room;
}

static struct saying *make_saying(struct room *room, xmpp_stanza_t *message)
{
    struct saying *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    id_random_hex(s->id, ID_BYTES);
    if (xmpp_stanza_set_id(message, s->id) != XMPP_EOK || xmpp_stanza_set_to(message, room->jid.text) != XMPP_EOK ||
        xmpp_stanza_set_type(message, "groupchat") != XMPP_EOK) {
        free(s);
        return NULL;
    }
    s->ticket = ++room->owner->last_ticket;
    s->message = xmpp_stanza_clone(message);
    DL_APPEND(room->sayings, s);
    return s;
}

uint64_t room_send(struct rooms *r, xmpp_stanza_t *message, const struct jid *jid, message_done_fn *done, void *user,
                   struct error *err)
{
    struct room *room = find_room(r, jid);
    struct saying *s;

    if (!room && !(room = make_room(r, jid, err)))
        return 0;
    s = message ? make_saying(room, message) : NULL;
    if (!s) {
        error_set(err, ERR_INTERNAL, "out of memory");
        settle(room);
        return 0;
    }
    s->done = done;
    s->user = user;
    if (!room->inside || say(room, s))
        return s->ticket;
    drop_saying(room, s);
    settle(room);
    error_set(err, ERR_XMPP_DISCONNECTED, "the message cannot be sent now");
    return 0;
}

static struct saying *find_saying(struct room *room, uint64_t ticket)
{
    struct saying *s;

    DL_FOREACH(room->sayings, s)
    if (s->ticket == ticket)
        return s;
    return NULL;
}

void room_send_forget(struct rooms *r, uint64_t ticket)
{
    struct room *room;
    struct saying *s;

    DL_FOREACH(r->rooms, room)
    if ((s = find_saying(room, ticket))) {
        drop_saying(room, s);
        settle(room);
        return;
    }
}

/* ---- what the room says */

/* What a refusal to let us in means (section 7.2 and the table in section 15.6.2), and what would help. */
static const struct refusal {
    const char *condition;
    enum error_code code;
    const char *text;
} refusals[] = {
    {"registration-required", ERR_RECIPIENT_FORBIDS, "is for members only: let its owner make us a member"},
    {"forbidden", ERR_RECIPIENT_FORBIDS, "has banned us: ask its owner"},
    {"not-authorized", ERR_RECIPIENT_FORBIDS, "asks for a password, and we have none: let its owner make it public"},
    {"item-not-found", ERR_LINK_FAILED, "does not exist, or is not open yet"},
    {"not-allowed", ERR_LINK_FAILED, "does not exist, or does not take us"},
    {"gone", ERR_LINK_FAILED, "does not exist any more"},
    {"conflict", ERR_LINK_FAILED, "has others under each nickname we tried: set [xmpp] nick"},
    {"not-acceptable", ERR_LINK_FAILED, "takes us under our registered nickname alone: set [xmpp] nick to it"},
    {"service-unavailable", ERR_RECIPIENT_BUSY, "is full"},
    {"resource-constraint", ERR_RECIPIENT_BUSY, "takes nobody at the moment"},
    {"remote-server-not-found", ERR_REMOTE_SERVER_UNREACHABLE, "is on a server that cannot be reached"},
    {"remote-server-timeout", ERR_REMOTE_SERVER_TIMEOUT, "is on a server that does not answer"},
};

static const char *condition_of(xmpp_stanza_t *stanza, char out[static CONDITION])
{
    xmpp_stanza_t *error = stanza_child(stanza, "error", NULL), *condition = stanza_child(error, NULL, NS_STANZAS);

    snprintf(out, CONDITION, "%s", condition ? xmpp_stanza_get_name(condition) : "");
    return out;
}

static void on_refused(struct room *room, const char *condition)
{
    struct error err;

    if (strcmp(condition, "conflict") == 0 && room->tries < NICK_TRIES && choose_nick(room, &err) && enter(room))
        return;
    error_set(&err, ERR_LINK_FAILED, "the room %.100s does not let us in: %s", room->jid.text,
              *condition ? condition : "no reason given");
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(condition, refusals[i].condition) == 0)
            error_set(&err, refusals[i].code, "the room %.100s %s", room->jid.text, refusals[i].text);
    give_up(room, &err);
}

static bool has_status(xmpp_stanza_t *presence, const char *code)
{
    return stanza_with(stanza_child(presence, "x", NS_MUC_USER), "status", "code", code) != NULL;
}

static void on_entered(struct room *room, xmpp_stanza_t *presence, const struct jid *as)
{
    struct saying *s;
    struct error err;

    room->self = *as; /* the room may have changed the nickname (section 7.2.3, status 210) */
    if (has_status(presence, "201")) {
        error_set(&err, ERR_LINK_FAILED, "the room %.100s did not exist", room->jid.text);
        leave(room); /* with that it is gone again */
        give_up(room, &err);
        return;
    }
    room->inside = true;
    DL_FOREACH(room->sayings, s)
    if (!say(room, s)) /* then the session has ended, and its end will be told */
        break;
}

static void on_left(struct room *room, xmpp_stanza_t *presence)
{
    struct error err;

    error_set(&err, ERR_RECIPIENT_FORBIDS, "the room %.100s has put us out%s", room->jid.text,
              has_status(presence, "301") ? " and banned us" : "");
    give_up(room, &err);
}

bool rooms_presence(struct rooms *r, xmpp_stanza_t *presence)
{
    const char *type = stanza_attr(presence, "type");
    char condition[CONDITION];
    struct room *room;
    struct jid from;
    bool self;

    if (!r->rooms || !stanza_from(presence, &from) || !(room = find_room(r, &from)))
        return false;
    self = jid_equal(&from, &room->self) || has_status(presence, "110");
    if (type && strcmp(type, "error") == 0) {
        if (!room->inside)
            on_refused(room, condition_of(presence, condition));
    } else if (type && strcmp(type, "unavailable") == 0) {
        if (self && room->inside) /* outside, it is the end of an earlier stay */
            on_left(room, presence);
    } else if (!type && self && !room->inside) {
        on_entered(room, presence, &from);
    }
    return true;
}

/* Most rooms keep the id, and a message of ours is of ours by the nickname; else its text tells which. */
static bool is_reflected(const struct saying *s, xmpp_stanza_t *message)
{
    const char *id = stanza_attr(message, "id");
    char said[4096], shown[4096];

    if (id && strcmp(id, s->id) == 0)
        return true;
    stanza_text(stanza_child(s->message, "body", NULL), said, sizeof said);
    stanza_text(stanza_child(message, "body", NULL), shown, sizeof shown);
    return strcmp(said, shown) == 0;
}

static void on_groupchat(struct room *room, xmpp_stanza_t *message, const struct jid *from)
{
    struct saying *s;

    if (!jid_equal(from, &room->self) || stanza_child(message, "delay", NS_DELAY))
        return;
    DL_FOREACH(room->sayings, s)
    if (s->sent && is_reflected(s, message)) {
        finish(room, s, NULL);
        return;
    }
}

static void on_error(struct room *room, xmpp_stanza_t *message)
{
    const char *id = stanza_attr(message, "id");
    char condition[CONDITION];
    struct saying *s;
    struct error err;

    condition_of(message, condition);
    if (strcmp(condition, "forbidden") == 0)
        error_set(&err, ERR_RECIPIENT_FORBIDS, "the room %.100s lets us not speak: let a moderator give us a voice",
                  room->jid.text);
    else
        error_set(&err, ERR_LINK_FAILED, "the message to the room came back: %s",
                  *condition ? condition : "no reason given");
    DL_FOREACH(room->sayings, s)
    if (id && strcmp(id, s->id) == 0) {
        finish(room, s, &err);
        return;
    }
}

void rooms_message(struct rooms *r, xmpp_stanza_t *message)
{
    const char *type = stanza_attr(message, "type");
    struct room *room;
    struct jid from;

    if (!r->rooms || !type || !stanza_from(message, &from) || !(room = find_room(r, &from)))
        return;
    if (strcmp(type, "groupchat") == 0)
        on_groupchat(room, message, &from);
    else if (strcmp(type, "error") == 0)
        on_error(room, message);
}

/* ---- life */

struct rooms *rooms_create(struct client *c, iq_send_fn *send, void *user)
{
    struct rooms *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->client = c;
    r->send = send;
    r->user = user;
    return r;
}

static struct room *first_room(struct rooms *r)
{
    struct room *room;

    DL_FOREACH(r->rooms, room)
    if (!room->lost)
        return room;
    return NULL;
}

void rooms_offline(struct rooms *r)
{
    struct room *room;
    struct error err;

    error_set(&err, ERR_XMPP_DISCONNECTED, "the connection was lost before the room had the message");
    while ((room = first_room(r)))
        give_up(room, &err);
}

void rooms_destroy(struct rooms **rooms)
{
    struct rooms *r = *rooms;

    if (!r)
        return;
    while (r->askings)
        drop_asking(r, r->askings);
    while (r->rooms) {
        struct room *room = r->rooms;

        while (room->sayings)
            drop_saying(room, room->sayings);
        drop_room(room);
    }
    free(r);
    *rooms = NULL;
}
