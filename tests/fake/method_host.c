#include "tests/fake/method_host.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void report(struct method_host *host, const struct method_report *r)
{
    struct fake_host *h = (struct fake_host *)host;

    assert(h->report_count < sizeof h->reports / sizeof *h->reports);
    h->reports[h->report_count++] = *r;
}

static void step(struct method_host *host, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    struct fake_host *h = (struct fake_host *)host;
    struct fake_step *s = &h->steps[h->step_count];

    assert(h->step_count < sizeof h->steps / sizeof *h->steps);
    assert(strlen(name) < sizeof s->name && strlen(outcome) < sizeof s->outcome);
    s->direction = direction;
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->outcome, sizeof s->outcome, "%s", outcome);
    snprintf(s->detail, sizeof s->detail, "%s", detail);
    h->step_count++;
}

static void chose(struct method_host *host, const char *path, const char *streamhost)
{
    struct fake_host *h = (struct fake_host *)host;

    snprintf(h->path, sizeof h->path, "%s", path);
    snprintf(h->streamhost, sizeof h->streamhost, "%s", streamhost ? streamhost : "");
}

static bool publish(struct method_host *host, char url[static METHOD_URL], struct error *err)
{
    struct fake_host *h = (struct fake_host *)host;

    if (!h->public_url)
        return error_set(err, ERR_METHOD_UNSUPPORTED, "no public_url");
    h->published++;
    snprintf(url, METHOD_URL, "%s/d/secret%u/a.txt", h->public_url, h->published);
    return true;
}

void fake_host_init(struct fake_host *h, struct carrier *carrier, uv_loop_t *loop)
{
    static const struct method_host_ops ops = {report, step, chose, publish};

    *h = (struct fake_host){.host = {.ops = &ops, .carrier = carrier, .loop = loop}};
}

size_t fake_host_count(const struct fake_host *h, enum method_event event)
{
    size_t n = 0;

    for (size_t i = 0; i < h->report_count; i++)
        n += h->reports[i].event == event;
    return n;
}

const struct method_report *fake_host_last(const struct fake_host *h, enum method_event event)
{
    for (size_t i = h->report_count; i-- > 0;)
        if (h->reports[i].event == event)
            return &h->reports[i];
    return NULL;
}

enum error_code fake_host_error(const struct fake_host *h)
{
    const struct method_report *r = fake_host_last(h, METHOD_FAILED);

    return r ? r->error.code : ERR_NONE;
}

const char *fake_host_timeline(const struct fake_host *h, char out[static 1024])
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < h->step_count && len < 1024; i++) {
        const struct fake_step *s = &h->steps[i];

        len += (size_t)snprintf(out + len, 1024 - len, "%s%s%s%s", i > 0 ? "; " : "", s->name, s->outcome[0] ? " " : "",
                                s->outcome);
    }
    return out;
}
