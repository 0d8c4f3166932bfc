/* base/metrics_page.c - the page that a scraper reads; see metrics.h. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/metrics_parts.h"

struct metrics_page {
    struct buf *out;
    enum metrics_format format;
    enum metric at;
};

/* ---- which format */

static const char openmetrics[] = "application/openmetrics-text";

/* "0.75" in thousandths (RFC 9110 section 12.4.2). */
static int read_weight(const char *text)
{
    int weight = *text == '1' ? 1000 : 0, worth = 100;

    if (text[0] && text[1] == '.')
        for (text += 2; *text >= '0' && *text <= '9'; text++, worth /= 10)
            weight += (*text - '0') * worth;
    return weight;
}

/* The weight of a range by its parameters, up to the next comma; 0 also for a version that is none of ours. */
static int weight_of(const char *params)
{
    bool ours = true;
    int weight = 1000;

    while (*params == ';') {
        params++;
        params += strspn(params, " \t");
        if (strncasecmp(params, "q=", 2) == 0)
            weight = read_weight(params + 2);
        if (strncasecmp(params, "version=", 8) == 0)
            ours = strncmp(params + 8, "1.", 2) == 0 || strncmp(params + 8, "0.0.4", 5) == 0;
        params += strcspn(params, ";,");
    }
    return ours ? weight : 0;
}

static bool is_range(const char *range, size_t len, const char *type)
{
    return len == strlen(type) && strncasecmp(range, type, len) == 0;
}

enum metrics_format metrics_format_of(const char *accept)
{
    int open = 0, text = 0;

    while (accept && *accept) {
        size_t len;
        int weight;

        accept += strspn(accept, " \t,");
        len = strcspn(accept, ";, \t");
        weight = weight_of(accept + strcspn(accept, ";,"));
        if (is_range(accept, len, openmetrics) && weight > open)
            open = weight;
        if (is_range(accept, len, "text/plain") && weight > text)
            text = weight;
        accept += strcspn(accept, ",");
    }
    return open > text ? METRICS_OPENMETRICS : METRICS_TEXT;
}

const char *metrics_content_type(enum metrics_format format)
{
    return format == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                         : "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- lines */

/* A backslash, a quote and a line feed are all that a label's value cannot hold as they are. */
static void put_value(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            buf_add(out, "\\", 1);
        if (*text == '\n')
            buf_puts(out, "\\n");
        else
            buf_add(out, text, 1);
    }
}

/* In units, exactly: at most six digits behind the point. */
static void put_number(struct buf *out, int64_t value, int64_t unit)
{
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value, rest = size % (uint64_t)unit;
    char digits[8];
    int len = 0;

    if (value < 0)
        buf_puts(out, "-");
    buf_printf(out, "%" PRIu64, size / (uint64_t)unit);
    while (rest > 0 && len < 7) {
        rest *= 10;
        digits[len++] = (char)('0' + rest / (uint64_t)unit);
        rest %= (uint64_t)unit;
    }
    if (len > 0) {
        buf_puts(out, ".");
        buf_add(out, digits, (size_t)len);
    }
}

/* OpenMetrics wants bounds as floats, "1.0"; the text takes them too. */
static void put_bound(struct buf *out, int64_t bound, int64_t unit)
{
    put_number(out, bound, unit);
    if (bound % unit == 0)
        buf_puts(out, ".0");
}

/* In OpenMetrics a counter's family is named without what its samples have at their end. */
static void put_family(struct metrics_page *page, const struct metrics_row *row)
{
    static const char *const kinds[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
    int len = (int)strlen(row->name);

    if (page->format == METRICS_OPENMETRICS && row->kind == COUNTER)
        len -= (int)strlen("_total");
    buf_printf(page->out, "# HELP %.*s %s.\n# TYPE %.*s %s\n", len, row->name, row->help, len, row->name,
               kinds[row->kind]);
}

/* The labels of a place in the row's cells; `more` follows them. */
static void put_labels(struct buf *out, const struct metrics_row *row, const char *const *values, const char *more)
{
    size_t count = 0;

    for (; count < METRIC_LABELS && row->labels[count] != LABEL_NONE; count++) {
        buf_printf(out, "%s%s=\"", count ? "," : "{", metrics_labels[row->labels[count]].name);
        put_value(out, values[count]);
        buf_puts(out, "\"");
    }
    if (more)
        buf_printf(out, "%s%s", count ? "," : "{", more);
    if (more || count > 0)
        buf_puts(out, "}");
}

static void values_of(const struct metrics_row *row, size_t place, const char *values[static METRIC_LABELS])
{
    for (size_t i = METRIC_LABELS; i-- > 0;) {
        const struct metrics_label *label = &metrics_labels[row->labels[i]];

        values[i] = label->values ? label->values[place % label->count] : "";
        place /= label->count;
    }
}

/* ---- families */

static uint64_t read_cell(const struct metrics_row *row, size_t at)
{
    return atomic_load_explicit(&row->cells[at], memory_order_relaxed);
}

/* So that rates begin at 0, a metric with few series shows them all from the start; of the others, those that were
 * counted. */
static bool shows_zeros(const struct metrics_row *row, size_t places)
{
    return places <= METRICS_FEW && (row->kind != HISTOGRAM || places == 1);
}

static bool is_other(const struct metrics_row *row, const char *const *values)
{
    for (size_t i = 0; i < METRIC_LABELS && row->labels[i] != LABEL_NONE; i++)
        if (strcmp(values[i], "other") == 0)
            return true;
    return false;
}

static void put_simple(struct metrics_page *page, const struct metrics_row *row)
{
    size_t places = metrics_places(row);
    bool zeros = shows_zeros(row, places);

    for (size_t i = 0; i < places; i++) {
        uint64_t value = read_cell(row, i);
        const char *values[METRIC_LABELS];

        if (value == 0 && !zeros)
            continue;
        values_of(row, i, values);
        if (value == 0 && is_other(row, values))
            continue;
        buf_puts(page->out, row->name);
        put_labels(page->out, row, values, NULL);
        buf_puts(page->out, " ");
        put_number(page->out, (int64_t)value, row->unit);
        buf_puts(page->out, "\n");
    }
}

static void put_bucket(struct metrics_page *page, const struct metrics_row *row, const char *const *values,
                       const char *bound, uint64_t count)
{
    buf_printf(page->out, "%s_bucket", row->name);
    put_labels(page->out, row, values, bound);
    buf_printf(page->out, " %" PRIu64 "\n", count);
}

/* Counted is what the buckets add up to, so that a scrape in the midst of an observation is still one whole. */
static void put_series(struct metrics_page *page, const struct metrics_row *row, size_t place)
{
    size_t buckets = metrics_buckets(row), first = place * (buckets + 1);
    const char *values[METRIC_LABELS];
    uint64_t count = 0;

    values_of(row, place, values);
    for (size_t i = 0; i < buckets; i++) {
        struct buf bound = {0};

        count += read_cell(row, first + i);
        buf_puts(&bound, "le=\"");
        if (i + 1 < buckets)
            put_bound(&bound, row->bounds[i], row->unit);
        else
            buf_puts(&bound, "+Inf");
        buf_puts(&bound, "\"");
        put_bucket(page, row, values, bound.data ? bound.data : "", count);
        page->out->failed |= bound.failed;
        buf_free(&bound);
    }
    buf_printf(page->out, "%s_sum", row->name);
    put_labels(page->out, row, values, NULL);
    buf_puts(page->out, " ");
    put_number(page->out, (int64_t)read_cell(row, first + buckets), row->unit);
    buf_printf(page->out, "\n%s_count", row->name);
    put_labels(page->out, row, values, NULL);
    buf_printf(page->out, " %" PRIu64 "\n", count);
}

static bool was_observed(const struct metrics_row *row, size_t place)
{
    size_t buckets = metrics_buckets(row);

    for (size_t i = 0; i < buckets; i++)
        if (read_cell(row, place * (buckets + 1) + i) > 0)
            return true;
    return false;
}

static void put_histogram(struct metrics_page *page, const struct metrics_row *row)
{
    size_t places = metrics_places(row);
    bool zeros = shows_zeros(row, places);

    for (size_t i = 0; i < places; i++)
        if (zeros || was_observed(row, i))
            put_series(page, row, i);
}

void metrics_tell(struct metrics_page *page, int64_t value, const char *const values[static METRIC_LABELS + 1])
{
    const struct metrics_row *row = &metrics_table[page->at];

    buf_puts(page->out, row->name);
    put_labels(page->out, row, values, NULL);
    buf_puts(page->out, " ");
    put_number(page->out, value, row->unit);
    buf_puts(page->out, "\n");
}

void metrics_render(struct buf *out, enum metrics_format format, metrics_look_fn *look, void *user)
{
    struct metrics_page page = {.out = out, .format = format};

    for (size_t m = 0; m < METRIC_COUNT; m++) {
        const struct metrics_row *row = &metrics_table[m];

        page.at = (enum metric)m;
        put_family(&page, row);
        if (!row->cells)
            look(user, &page, page.at);
        else if (row->kind == HISTOGRAM)
            put_histogram(&page, row);
        else
            put_simple(&page, row);
    }
    if (format == METRICS_OPENMETRICS)
        buf_puts(out, "# EOF\n");
}
