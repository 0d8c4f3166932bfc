/* tests/fake/method_host.h - a transfer, as a method sees it: it remembers what was reported, and does nothing. */
#ifndef FAKE_METHOD_HOST_H
#define FAKE_METHOD_HOST_H

#include "gateway/method.h"

struct fake_step {
    enum step_direction direction;
    char name[40];
    char outcome[40];
    char detail[256];
};

struct fake_host {
    struct method_host host; /* first */
    struct method_report reports[32];
    size_t report_count;
    struct fake_step steps[64];
    size_t step_count;
    const char *public_url; /* NULL: publish() is refused; else its links are <public_url>/d/secret<n>/a.txt */
    unsigned published;
    char path[8];
    char streamhost[256];
};

void fake_host_init(struct fake_host *h, struct carrier *carrier, uv_loop_t *loop);

/* How often that was reported, and the newest such report (NULL: never). */
size_t fake_host_count(const struct fake_host *h, enum method_event event);
const struct method_report *fake_host_last(const struct fake_host *h, enum method_event event);

/* The error's code of the newest METHOD_FAILED; ERR_NONE: it did not fail. */
enum error_code fake_host_error(const struct fake_host *h);

/* The timeline as one text: "offer s5b; streamhost-used ok; …". */
const char *fake_host_timeline(const struct fake_host *h, char out[static 1024]);

#endif
