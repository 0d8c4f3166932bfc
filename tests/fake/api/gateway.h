/* tests/fake/api/gateway.h - a gateway without a network: it keeps what it is given, answers as told, and answers from
 * another thread, as the real one does.
 *
 * It defines the functions of gateway/gateway.h itself; linked as an object, it keeps the real ones out. */
#ifndef FAKE_API_GATEWAY_H
#define FAKE_API_GATEWAY_H

#include "gateway/gateway.h"

/* What it does; set before the request that should meet it. ERR_NONE everywhere: all goes well. */
struct fake_gateway_script {
    enum error_code check, begin, append, commit, find, reserve; /* refuse with this */
    size_t append_after;                                         /* bytes taken before `append` strikes */
    enum transfer_state ends;  /* what waiting ends in; TRANSFER_QUEUED: it runs out */
    enum error_code end_error; /* of the transfer, when it ends badly */
    enum error_code open;      /* refuses a stream, with `end_error` in its record */
    size_t room;               /* bytes of a stream taken before there is none; 0: all */
    bool silent;               /* does not answer before fake_gateway_speak() */
    bool not_ready;
    bool relays;           /* one stream of romeo's, of 15 bytes; and two who were refused */
    const char *file;      /* what is to be fetched at /d/<32 digits of "a">/a.txt; NULL: nothing, not_found */
    enum error_code fetch; /* refuses that */
    enum error_code inbox; /* refuses every question about the inbox */
};

/* What it saw. Texts are empty for NULL. */
struct fake_gateway_seen {
    unsigned begun, aborted, finished, cancelled, checked, waits, reserved, released;
    struct record_key key;    /* the last that was asked for */
    int64_t declared;         /* of the last upload */
    size_t bytes;             /* of the last upload */
    size_t files, recipients; /* of the last parcel */
    char body[256];           /* its beginning */
    char to[256], name[300], type[128], caption[256], methods[64], request_id[80], traceparent[80];
    int64_t ttl_ms, hold_ms, wait_ms;
    unsigned fetches;              /* counted ones */
    uint64_t fetch_from, fetch_to; /* of the last */
    bool digest, subscribe;
    enum mode mode;
    unsigned full;               /* times that room was waited for */
    struct record_filter filter; /* its strings are gone */
    char path[64], labels[64];   /* likewise */
    char filter_to[256], filter_before[64], filter_token[64];
    unsigned inbox_asked;      /* for the list */
    struct inbox_filter inbox; /* its strings are gone */
    char inbox_from[256], inbox_to[256];
    char find_methods[64];
    uint64_t find_size;
};

struct gateway *fake_gateway_create(const struct config *config);
void fake_gateway_destroy(struct gateway **gw); /* answers what is still open */

void fake_gateway_script(struct gateway *gw, const struct fake_gateway_script *script);
void fake_gateway_seen(struct gateway *gw, struct fake_gateway_seen *out);

/* What core would do: the transfer is in that state, and an event says so. steps: how many more it has to show. */
void fake_gateway_becomes(struct gateway *gw, const char *id, enum transfer_state state, unsigned steps);

/* A file is there, in the state that item says, with that content; an event says so if it is INBOX_RECEIVED. Its id is
 * left in item->id. */
void fake_gateway_receive(struct gateway *gw, struct inbox_item *item, const char *content);

/* Waits for that fetch to be counted. */
bool fake_gateway_await_fetches(struct gateway *gw, unsigned n);

/* Waits until so many uploads were begun or aborted, or questions are open; false after five seconds. */
bool fake_gateway_await_begun(struct gateway *gw, unsigned n);
bool fake_gateway_await_aborted(struct gateway *gw, unsigned n);
bool fake_gateway_await_questions(struct gateway *gw, unsigned n);
bool fake_gateway_await_inbox_asked(struct gateway *gw, unsigned n);

bool fake_gateway_await_full(struct gateway *gw, unsigned n);

/* There is room for so many more bytes; wakes who waits for it. */
void fake_gateway_make_room(struct gateway *gw, size_t bytes);

/* A silent one answers everything that is open, and from now on. */
void fake_gateway_speak(struct gateway *gw);

#endif
