#include "api/list.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/reply.h"
#include "base/id.h"
#include "base/labels.h"

enum { LIST_DEFAULT = 50, LIST_MOST = 1000 };

bool list_window_read(const struct request *rq, const char prefix[static 3], struct list_window *w, struct error *err)
{
    char *const *value = rq->params.value;
    uint64_t limit = LIST_DEFAULT;

    *w = (struct list_window){.before = value[PARAM_CURSOR]};
    if (value[PARAM_SINCE] && !time_parse(value[PARAM_SINCE], &w->since))
        return error_set(err, ERR_PARAMETER_INVALID, "since: a time like 2026-11-22T19:00:00Z");
    if (value[PARAM_LIMIT] && !number_parse(value[PARAM_LIMIT], 1, LIST_MOST, &limit))
        return error_set(err, ERR_PARAMETER_INVALID, "limit: a number from 1 to %d", LIST_MOST);
    if (w->before && !id_valid(w->before, prefix))
        return error_set(err, ERR_PARAMETER_INVALID, "cursor: take it from 'next' of the page before");
    w->limit = (unsigned)limit;
    return true;
}

static void add_encoded(struct buf *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        buf_printf(out, (*p < 0x80 && isalnum(*p)) || strchr("-._~@:", *p) ? "%c" : "%%%02X", *p);
}

static void add_labels(struct buf *url, const char *labels)
{
    struct label l;

    while (labels_next(&labels, &l)) {
        char text[LABEL_NAME_MOST + LABEL_VALUE_MOST + 2];

        snprintf(text, sizeof text, "%.*s", (int)(l.value + l.value_len - l.name), l.name);
        buf_puts(url, "label=");
        add_encoded(url, text);
        buf_puts(url, "&");
    }
}

/* Whoever goes on to the next page waits for nothing. */
char *list_next(const struct request *rq, const char *path, const char *last)
{
    struct buf url = {0};

    buf_printf(&url, "%s?", path);
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        if (!rq->params.value[i] || i == PARAM_CURSOR || i == PARAM_LABEL || i == PARAM_WAIT)
            continue;
        buf_printf(&url, "%s=", param_name((enum param)i));
        add_encoded(&url, rq->params.value[i]);
        buf_puts(&url, "&");
    }
    add_labels(&url, rq->params.value[PARAM_LABEL]);
    buf_printf(&url, "cursor=%s", last);
    return buf_steal(&url);
}

static void add_line(struct buf *out, json_t *value)
{
    char *line = json_line(value);

    if (line)
        buf_add(out, line, strlen(line) - 1); /* but its line feed */
    else
        out->failed = true;
    free(line);
}

void list_add(struct list_page *page, json_t *item)
{
    buf_puts(&page->text, page->items++ > 0 ? "," : "{\"items\":[");
    add_line(&page->text, item);
}

enum MHD_Result list_reply(struct request *rq, struct list_page *page, const char *path, const char *last)
{
    char *next = last ? list_next(rq, path, last) : NULL, *text;

    if (next)
        reply_header(rq, "Link", "<%s>; rel=\"next\"", next);
    buf_puts(&page->text, page->items > 0 ? "],\"next\":" : "{\"items\":[],\"next\":");
    add_line(&page->text, json_of_text(next));
    buf_puts(&page->text, "}\n");
    free(next);
    text = buf_steal(&page->text);
    return text ? reply_text(rq, 200, "application/json", text) : reply_json(rq, 500, NULL);
}
