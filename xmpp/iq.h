/* xmpp/iq.h - questions with an answer and a deadline, and answers to other people's questions.
 *
 * libstrophe's own id handlers leak and match by id alone, so this table takes every <iq/> from one catch-all
 * handler. A reply counts only when its id is one of ours (128 random bits) and its prepared 'from' is whom we asked;
 * for questions to our own server or account also an absent 'from', our bare JID or our domain (RFC 6120 section
 * 8.1.2.1). Others are counted and dropped.
 * Thread: core's. Stanzas handed to callbacks live for the call only. */
#ifndef XMPP_IQ_H
#define XMPP_IQ_H

#include <stdbool.h>
#include <stdint.h>
#include <strophe.h>
#include <uv.h>

#include "base/error.h"
#include "base/jid.h"

struct iq_table;

/* Hands a stanza to the session; false when there is none or its send cap is reached. */
typedef bool iq_send_fn(void *user, xmpp_stanza_t *stanza);

enum iq_outcome { IQ_RESULT, IQ_ERROR, IQ_TIMEOUT, IQ_DISCONNECTED };

struct iq_reply {
    enum iq_outcome outcome;
    xmpp_stanza_t *stanza; /* IQ_RESULT and IQ_ERROR, else NULL */
    char condition[40];    /* IQ_ERROR: the RFC 6120 section 8.3.3 condition; empty when there was none */
    char type[12];         /* IQ_ERROR: "cancel", "auth" …; empty when there was none */
    char text[160];        /* IQ_ERROR: the peer's own words, cleaned; may be empty */
};

typedef void iq_done_fn(void *user, const struct iq_reply *reply);

/* Answers a get or set: true when it took care of the reply (now or later), false when it is not meant. */
typedef bool iq_serve_fn(void *user, xmpp_stanza_t *iq, const struct jid *from, xmpp_stanza_t *payload);

struct iq_table *iq_create(xmpp_ctx_t *ctx, uv_loop_t *loop, iq_send_fn *send, void *user); /* NULL: out of memory */
void iq_destroy(
    struct iq_table **table); /* pending ones are dropped without an answer; the loop must still turn once */

/* Our own bound JID, once known; for the matching rule. */
void iq_set_self(struct iq_table *table, const struct jid *bound);

/* We are a component: replies come from the address that was asked, and what has no 'from' is nobody's. */
void iq_be_component(struct iq_table *table);

/* Sends iq (type and payload set by the caller, who keeps his reference) to that address, NULL meaning our own
 * server/account, and calls done exactly once. Returns a ticket, not 0; 0 with *err set when it could not be sent. */
uint64_t iq_ask(struct iq_table *table, xmpp_stanza_t *iq, const struct jid *to, int64_t timeout_ms, iq_done_fn *done,
                void *user, struct error *err);

/* The same, asked by one of a component's addresses, which is set on iq; an account has but one, and the server knows
 * it. */
uint64_t iq_ask_as(struct iq_table *table, xmpp_stanza_t *iq, const struct jid *from, const struct jid *to,
                   int64_t timeout_ms, iq_done_fn *done, void *user, struct error *err);

/* The same with an empty get: <query xmlns=ns/>. */
uint64_t iq_ask_query(struct iq_table *table, const char *ns, const struct jid *to, int64_t timeout_ms,
                      iq_done_fn *done, void *user, struct error *err);

/* No answer is wanted any more: done will not be called. */
void iq_forget(struct iq_table *table, uint64_t ticket);

/* The session is gone: every pending one is answered IQ_DISCONNECTED. */
void iq_disconnected(struct iq_table *table);

/* Who answers <payload xmlns=ns/> of that iq type ("get" or "set"). Of several for the same the one that registered
 * last is asked first; what nobody answers gets service-unavailable. At most 32. */
void iq_serve(struct iq_table *table, const char *type, const char *ns, iq_serve_fn *serve, void *user);

/* The session's catch-all: every incoming <iq/>. */
void iq_incoming(struct iq_table *table, xmpp_stanza_t *iq);

/* Any stanza that is not for us: who asks is told that nobody serves that. */
void iq_turn_away(struct iq_table *table, xmpp_stanza_t *stanza);

/* Replies to a get or set: an empty result, a result with a payload (borrowed), or an error. */
void iq_reply_result(struct iq_table *table, xmpp_stanza_t *iq, xmpp_stanza_t *payload);
void iq_reply_error(struct iq_table *table, xmpp_stanza_t *iq, const char *type, const char *condition);
/* With a sentence for people. */
void iq_reply_error_text(struct iq_table *table, xmpp_stanza_t *iq, const char *type, const char *condition,
                         const char *text);
/* With the condition that a protocol defines beside that of RFC 6120. */
void iq_reply_error_with(struct iq_table *table, xmpp_stanza_t *iq, const char *type, const char *condition,
                         const char *special, const char *ns);

/* An error with all that it can say. */
struct iq_refusal {
    const char *type, *condition;
    unsigned code;            /* of XEP-0086, for the clients of its time; 0: none */
    const char *special, *ns; /* as above; NULL: none */
    const char *text;         /* for people; NULL: none */
};
void iq_refuse(struct iq_table *table, xmpp_stanza_t *iq, const struct iq_refusal *refusal);

/* What a failed reply means when nothing more special is known: protocol rows "disco / any IQ". who names the asked
 * in the sentence. Always returns false. */
bool iq_error(const struct iq_reply *reply, const char *who, struct error *err);

struct iq_stats {
    uint64_t pending, asked, timed_out, mismatched;
};
void iq_stats(const struct iq_table *table, struct iq_stats *out);

#endif
