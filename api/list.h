/* api/list.h - lists that come in pages: the parameters that all of them have, and the page around its items.
 *
 * A page is made item by item: a thousand as one tree would need many times the memory of their text. HTTP thread. */
#ifndef API_LIST_H
#define API_LIST_H

#include <jansson.h>

#include "api/request.h"
#include "base/buf.h"

/* limit, since and cursor; prefix: of the ids. ERR_PARAMETER_INVALID. */
struct list_window {
    unsigned limit;
    int64_t since;      /* wall clock; 0: whenever */
    const char *before; /* borrowed; NULL: from the newest */
};
bool list_window_read(const struct request *rq, const char prefix[static 3], struct list_window *w, struct error *err);

/* What is asked for at `path` with the parameters that this request has, from behind the item `last`. To be freed;
 * NULL: out of memory. */
char *list_next(const struct request *rq, const char *path, const char *last);

struct list_page {
    struct buf text;
    size_t items;
};
void list_add(struct list_page *page, json_t *item); /* takes the reference */

/* The answer: the page, and where the next one is. last: of those behind which there are more; NULL: that was all. */
enum MHD_Result list_reply(struct request *rq, struct list_page *page, const char *path, const char *last);

#endif
