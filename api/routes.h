/* api/routes.h - which path and method leads to which handler: one table. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/request.h"

/* A handler is up to three functions, called in this order on the HTTP thread:
 *   begin  the headers are there, the body is not: everything that can be refused is refused here, because then a
 *          client that waits for "100 Continue" sends nothing. NULL: nothing to refuse.
 *   body   a piece of the body; on failure the rest is swallowed and the error answered. NULL: takes no body.
 *   end    the body is over: answer, or ask the gateway and wait. */
enum {
    ROUTE_SLASH = 1,  /* the path with a '/' behind it is the same */
    ROUTE_OPEN = 2,   /* without a token */
    ROUTE_PUBLIC = 4, /* open, and for every web page to lead to */
    ROUTE_OPS = 8,    /* there without a token on the ops listener, which has nothing else; if not open, there alone */
    ROUTE_PAGE = 16,  /* a page of ours: a link may lead to it from anywhere, but nothing else may load it */
    ROUTE_TUS = 32    /* speaks tus 1.0, and says so */
};

struct route {
    const char *method;
    const char *path; /* "{}" stands for any one segment */
    unsigned flags;
    unsigned scope;  /* token_scope that the caller's token needs; 0: any token will do */
    unsigned params; /* PARAM_BITs of its query */
    bool (*begin)(struct request *rq, struct error *err);
    bool (*body)(struct request *rq, const char *data, size_t len, struct error *err);
    step_fn *end;
};

enum { ROUTE_ALLOW = 64 };

/* HEAD finds GET's route where it has none of its own. NULL: the path is unknown (allow is empty), or it is known and
 * allow lists its methods. */
const struct route *route_find(const struct target *t, const char *method, char allow[static ROUTE_ALLOW]);

/* Each path of the table; one that several methods have comes several times. */
void routes_name(void (*each)(const char *path));

/* Whether it is the path of one with that flag, whatever the method. */
bool route_has(const struct target *t, unsigned flag);

#endif
