/* tests/fake/http.h - an HTTP client whose transfers go as the test says. */
#ifndef FAKE_HTTP_H
#define FAKE_HTTP_H

#include <stdbool.h>

#include "gateway/http_put.h"

struct fake_http {
    struct http http;    /* first */
    struct http_put put; /* the last one begun; its strings belong to who began it */
    bool under_way;
    bool refuse; /* the next cannot even begin */
};

void fake_http_init(struct fake_http *h);

void fake_http_moves(struct fake_http *h, uint64_t sent);
void fake_http_ends(struct fake_http *h, enum error_code code); /* ERR_NONE: well */

#endif
