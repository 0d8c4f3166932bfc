/* base/log.c - one line per event, see log.h. */
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/text.h"

/* A line of PIPE_BUF bytes reaches a pipe in one piece, whoever else writes to it. */
enum { LINE_BYTES = 4096, VALUE_BYTES = 1024, TAIL_BYTES = 32 };

struct line {
    char text[LINE_BYTES];
    size_t len;
    bool full;
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static _Atomic enum log_level least_level = LOG_INFO;
static _Atomic enum log_format line_format = LOG_TEXT;

static struct {
    pthread_mutex_t lock;
    void (*sink)(void *user, enum log_level level, const char *line);
    void *user;
} capture = {.lock = PTHREAD_MUTEX_INITIALIZER};

void log_setup(enum log_level least, enum log_format format)
{
    least_level = least;
    line_format = format;
}

void log_capture(void (*sink)(void *user, enum log_level level, const char *line), void *user)
{
    pthread_mutex_lock(&capture.lock);
    capture.sink = sink;
    capture.user = user;
    pthread_mutex_unlock(&capture.lock);
}

static void add(struct line *l, const char *text, size_t len)
{
    if (l->full || len > sizeof(l->text) - TAIL_BYTES - l->len) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void add_text(struct line *l, const char *text)
{
    add(l, text, strlen(text));
}

/* What a terminal or a reader of lines may take for more than text: controls (C1 holds escape sequences too), line
 * separators, and what turns the reading direction. */
static bool needs_escape(uint32_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool needs_quotes(const char *value)
{
    size_t left = strlen(value);

    if (left == 0)
        return true;
    while (left > 0) {
        uint32_t c;
        size_t n = text_char(value, left, &c);

        if (n == 0 || c == ' ' || c == '=' || needs_escape(c))
            return true;
        value += n;
        left -= n;
    }
    return false;
}

static void add_escaped(struct line *l, uint32_t c)
{
    char text[8];

    switch (c) {
    case '"':
        add_text(l, "\\\"");
        return;
    case '\\':
        add_text(l, "\\\\");
        return;
    case '\n':
        add_text(l, "\\n");
        return;
    case '\r':
        add_text(l, "\\r");
        return;
    case '\t':
        add_text(l, "\\t");
        return;
    default:
        snprintf(text, sizeof(text), "\\u%04x", (unsigned)c & 0xffff);
        add_text(l, text);
    }
}

/* A JSON string; text lines use the same form. Bytes that are no UTF-8 read as U+FFFD, long values end in "…". */
static void add_quoted(struct line *l, const char *value)
{
    size_t left = strlen(value);
    size_t stop = l->len + VALUE_BYTES;

    add(l, "\"", 1);
    while (left > 0 && !l->full) {
        uint32_t c;
        size_t n = text_char(value, left, &c);

        if (l->len >= stop) {
            add_text(l, "\xe2\x80\xa6");
            break;
        }
        if (n == 0) {
            add_text(l, "\xef\xbf\xbd");
            n = 1;
        } else if (needs_escape(c)) {
            add_escaped(l, c);
        } else {
            add(l, value, n);
        }
        value += n;
        left -= n;
    }
    add(l, "\"", 1);
}

static void add_value(struct line *l, enum log_format format, const char *value)
{
    if (format == LOG_JSON || strlen(value) > VALUE_BYTES || needs_quotes(value))
        add_quoted(l, value);
    else
        add_text(l, value);
}

static void add_field(struct line *l, enum log_format format, const struct log_field *f)
{
    char number[24];

    if (format == LOG_JSON) {
        add_text(l, l->len > 1 ? ",\"" : "\"");
        add_text(l, f->key);
        add_text(l, "\":");
    } else {
        if (l->len > 0)
            add_text(l, " ");
        add_text(l, f->key);
        add_text(l, "=");
    }
    if (f->is_text) {
        add_value(l, format, f->text);
    } else {
        snprintf(number, sizeof(number), "%lld", (long long)f->number);
        add_text(l, number);
    }
}

/* The line without its end: a field that finds no room is left out whole, and the line says so. */
static void format_line(struct line *l, enum log_format format, enum log_level level, const char *event,
                        const struct log_field *fields)
{
    char now[CLOCK_TEXT];
    const struct log_field head[] = {log_str("ts", clock_text(clock_wall_ms(), now)),
                                     log_str("level", level_names[level]), log_str("event", event)};
    bool cut = false;

    l->len = 0;
    l->full = false;
    if (format == LOG_JSON)
        add_text(l, "{");
    for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++)
        add_field(l, format, &head[i]);
    for (const struct log_field *f = fields; f->key; f++) {
        size_t before = l->len;

        if (f->is_text && !f->text)
            continue;
        add_field(l, format, f);
        if (l->full) {
            l->len = before;
            l->full = false;
            cut = true;
        }
    }
    /* TAIL_BYTES were kept for these. */
    const char *tail = format == LOG_JSON ? (cut ? ",\"cut\":true}" : "}") : (cut ? " cut=true" : "");
    memcpy(l->text + l->len, tail, strlen(tail) + 1);
    l->len += strlen(tail);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line l;

    if (level < least_level)
        return;
    format_line(&l, line_format, level, event, fields);
    pthread_mutex_lock(&capture.lock);
    bool captured = capture.sink != NULL;
    if (captured)
        capture.sink(capture.user, level, l.text);
    pthread_mutex_unlock(&capture.lock);
    if (captured)
        return;
    l.text[l.len++] = '\n';
    if (write(STDERR_FILENO, l.text, l.len) != (ssize_t)l.len)
        metric_add(METRIC_LOG_DROPPED, 1); /* nowhere left to complain */
}
