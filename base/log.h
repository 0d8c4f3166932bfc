/* base/log.h - one line per event on stderr: key=value pairs, or one JSON object.
 *
 *     log_info("transfer.state", log_str("transfer", id), log_str("state", "offering"), log_int("bytes", n));
 *
 * A line starts with ts, level and event; fields follow in the order given. Text values are escaped, so that a
 * peer's bytes cannot forge a line; NULL reads as "-", and log_opt() leaves it out. Secrets never come here: callers do
 * not log what they must not. Any thread; one write(2) per line. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
    const char *key; /* NULL ends the list */
    const char *text;
    int64_t number;
    bool is_text;
};

static inline struct log_field log_str(const char *key, const char *value)
{
    return (struct log_field){.key = key, .text = value ? value : "-", .is_text = true};
}

/* Not there, where value is NULL. */
static inline struct log_field log_opt(const char *key, const char *value)
{
    return (struct log_field){.key = key, .text = value, .is_text = true};
}

static inline struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){.key = key, .number = value};
}

void log_setup(enum log_level least, enum log_format format);

/* Tests, and commands that report in their own way: every line goes to sink instead of stderr; NULL restores. */
void log_capture(void (*sink)(void *user, enum log_level level, const char *line), void *user);

void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define log_debug(event, ...) log_write(LOG_DEBUG, event, (const struct log_field[]){__VA_ARGS__, {0}})
#define log_info(event, ...)  log_write(LOG_INFO, event, (const struct log_field[]){__VA_ARGS__, {0}})
#define log_warn(event, ...)  log_write(LOG_WARN, event, (const struct log_field[]){__VA_ARGS__, {0}})
#define log_error(event, ...) log_write(LOG_ERROR, event, (const struct log_field[]){__VA_ARGS__, {0}})

#endif
