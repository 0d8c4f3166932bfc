#include "tests/fake/http.h"

#include <assert.h>

static uint64_t put(struct http *h, const struct http_put *p, struct error *err)
{
    struct fake_http *f = (struct fake_http *)h;

    assert(!f->under_way);
    if (f->refuse) {
        error_set(err, ERR_UPLOAD_SERVICE_FAILED, "as the test wants it");
        return 0;
    }
    f->put = *p;
    f->under_way = true;
    return 1;
}

static void forget(struct http *h, uint64_t ticket)
{
    (void)ticket; /* only the assertion looks at it */
    assert(ticket == 1);
    ((struct fake_http *)h)->under_way = false;
}

void fake_http_init(struct fake_http *h)
{
    static const struct http_ops ops = {.put = put, .forget = forget};

    *h = (struct fake_http){.http = {.ops = &ops}};
}

void fake_http_moves(struct fake_http *h, uint64_t sent)
{
    h->put.progress(h->put.user, sent);
}

void fake_http_ends(struct fake_http *h, enum error_code code)
{
    struct error error;

    assert(h->under_way);
    h->under_way = false;
    if (code != ERR_NONE)
        error_set(&error, code, "as the test wants it");
    h->put.done(h->put.user, code == ERR_NONE ? NULL : &error);
}
