/* cli/doctor.h - "jidpost doctor": tries everything that a delivery needs, one after the other, and says what to mend.
 *
 * It works by itself, with a session of its own (another resource of the same account, no change to its roster), so it
 * says the same whether the gateway runs or does not start. Each step has a deadline; all of them take less than a
 * minute. One thread: a step that waits turns the loop. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <uv.h>

#include "cli/talk.h"
#include "gateway/network.h"
#include "xmpp/dns.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor {
    struct talk talk; /* for its way of showing; nobody is called */
    const struct cli_line *line;
    struct config config;
    uv_loop_t loop;
    uv_timer_t timer;
    bool loops;              /* loop and timer are there */
    bool running;            /* a gateway has the state folder */
    bool advertises, relays; /* ways for a bytestream that work */
    struct network *network; /* while there is a session */
    struct network_view view;
    struct dns_answer addresses;
    int64_t began; /* clock_ms() */
    int status;
};

/* One line of the table. code: what kind of trouble it is, of which the first decides the exit status. fix: what to do;
 * NULL: nothing. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *check, enum error_code code, const char *fix,
                const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Turns the loop until *done or for ms; whether it was done. */
bool doctor_await(struct doctor *d, const bool *done, int64_t ms);

/* ---- the steps. Those that return false leave nothing for those that need them. */

/* doctor_local.c */
bool doctor_reads_configuration(struct doctor *d);
void doctor_looks_at_state(struct doctor *d);
void doctor_looks_at_spool(struct doctor *d);
void doctor_looks_at_clock(struct doctor *d);
void doctor_asks_gateway(struct doctor *d);

/* doctor_server.c */
bool doctor_finds_server(struct doctor *d);
bool doctor_reaches_server(struct doctor *d);

/* doctor_session.c */
bool doctor_logs_in(struct doctor *d);
void doctor_finds_recipient(struct doctor *d, const char *jid);
void doctor_leaves(struct doctor *d);

/* doctor_streams.c */
void doctor_tries_address(struct doctor *d);
void doctor_tries_proxies(struct doctor *d);

#endif
