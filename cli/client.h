/* cli/client.h - requests to a gateway over HTTP, one at a time; libcurl behind it.
 *
 * Blocks until the answer is there, the deadline is over or the person at the terminal has enough (SIGINT). Texts
 * only: what an answer says is read elsewhere. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct client;

/* Borrowed for the client's life. */
struct client_config {
    const char *url;   /* "http://host:port", "https://…", "unix:/path"; a path behind it is put before each target */
    const char *token; /* NULL: none */
    const char *ca;    /* PEM file of authorities instead of the system's; NULL: those */
    bool local;        /* from the configuration of this machine: no proxy is asked */
};

/* The URL for people: what stands before its host may be a token, and then that and the scheme are left out. */
const char *client_shown_url(const char *url);

/* SIGINT is taken over from here on. NULL: ERR_CONFIG, the URL is none; ERR_SYSTEM. */
struct client *client_create(const struct client_config *config, struct error *err);
void client_destroy(struct client **c); /* NULL is fine; leaves *c NULL */

enum client_outcome {
    CLIENT_ANSWERED,
    CLIENT_UNREACHABLE, /* nobody there, or the connection broke */
    CLIENT_TIMED_OUT,
    CLIENT_INTERRUPTED, /* by SIGINT */
    CLIENT_STOPPED      /* on_line said so */
};

struct client_request {
    const char *method, *target; /* "/v1/transfers" */
    const char *accept;          /* NULL: JSON */
    const char *header;          /* one more, whole; NULL: none */
    FILE *body;                  /* NULL: none */
    int64_t size;                /* of it; -1: not known */
    const char *file;            /* the body is the file of a form, so called there; NULL: it is all there is */
    int64_t deadline;            /* clock_ms(); 0: none */

    /* All may be NULL. on_upload comes several times a second. on_line gets each line of an answer with status 200,
     * without its end, as it comes, instead of the body; on_data what comes with status 200 or 206; false: that was
     * enough. */
    void (*on_upload)(void *user, uint64_t sent);
    bool (*on_line)(void *user, const char *line);
    bool (*on_data)(void *user, long status, const char *data, size_t len);
    void *user;
};

struct client_answer {
    enum client_outcome outcome;
    long status;
    char type[64]; /* media type without parameters */
    char *body;    /* NUL behind it; NULL: none, or it went to one of those */
    char why[256]; /* CLIENT_UNREACHABLE: what libcurl says */
};

/* client_answer_free() on every path. */
void client_ask(struct client *c, const struct client_request *request, struct client_answer *answer);
void client_answer_free(struct client_answer *answer);

/* Waits; false: interrupted. */
bool client_pause(int64_t ms);
bool client_interrupted(void);

/* Percent-encoded for one segment of a path, or for a query; yours to free(). NULL: out of memory. */
char *client_escape(const char *text);

#endif
