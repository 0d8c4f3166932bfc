#include "api/header.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "api/params.h"
#include "base/buf.h"
#include "base/text.h"

static bool is_token_char(char c)
{
    return c && (isalnum((unsigned char)c) || strchr("!#$%&'*+-.^_`|~", c));
}

bool header_is_token(const char *text)
{
    const char *p = text;

    while (is_token_char(*p))
        p++;
    return p > text && !*p;
}

static void skip_space(const char **p)
{
    *p += strspn(*p, " \t");
}

/* A token into out, cut off (and so never matched) when it is longer. */
static bool take_token(const char **p, char *out, size_t max)
{
    size_t n = 0;

    for (; is_token_char(**p); (*p)++) {
        if (n + 1 < max)
            out[n] = **p;
        n++;
    }
    out[n < max ? n : max - 1] = '\0';
    return n > 0;
}

/* A token or a quoted-string (RFC 9110 section 5.6.4), unquoted. false: neither, unterminated, or too long. */
static bool take_word(const char **p, char *out, size_t max)
{
    size_t n = 0;

    if (**p != '"') {
        const char *start = *p;

        return take_token(p, out, max) && (size_t)(*p - start) < max;
    }
    for ((*p)++; **p != '"'; (*p)++) {
        if (**p == '\\')
            (*p)++;
        if (!**p || n + 1 >= max)
            return false;
        out[n++] = **p;
    }
    (*p)++;
    out[n] = '\0';
    return true;
}

/* `name` or `name=word`; value is empty when there is none. */
static bool take_pair(const char **p, char *name, size_t name_max, char *value, size_t value_max)
{
    skip_space(p);
    value[0] = '\0';
    if (!take_token(p, name, name_max))
        return false;
    skip_space(p);
    if (**p != '=')
        return true;
    (*p)++;
    skip_space(p);
    return take_word(p, value, value_max);
}

/* To the next separator of the list outside a quoted-string. */
static void skip_to(const char **p, char separator)
{
    bool quoted = false;

    for (; **p && (quoted || **p != separator); (*p)++) {
        if (**p == '"')
            quoted = !quoted;
        else if (quoted && **p == '\\' && (*p)[1])
            (*p)++;
    }
}

void prefer_read(struct prefer *p, const char *value)
{
    char name[32], word[32];
    uint64_t seconds;

    while (*value) {
        if (take_pair(&value, name, sizeof name, word, sizeof word)) {
            if (strcasecmp(name, "respond-async") == 0) {
                p->async = true;
            } else if (strcasecmp(name, "wait") == 0 && !p->wait && number_parse(word, 0, 1000000000, &seconds)) {
                p->wait = true;
                p->wait_ms = (int64_t)seconds * 1000;
            }
        }
        skip_to(&value, ',');
        value += *value == ',';
    }
}

/* RFC 8187: UTF-8'language'percent-encoded. Other character sets are of the past and not read. */
static bool decode_extended(const char *value, char *out, size_t max)
{
    const char *quote;

    if (strncasecmp(value, "UTF-8'", 6) != 0)
        return false;
    quote = strchr(value + 6, '\'');
    return quote && text_percent_decode(quote + 1, strlen(quote + 1), false, out, max, NULL);
}

bool disposition_filename(const char *value, char *out, size_t max)
{
    char name[16], word[2048];
    bool found = false;

    skip_to(&value, ';');
    while (*value == ';') {
        value++;
        if (take_pair(&value, name, sizeof name, word, sizeof word)) {
            if (strcasecmp(name, "filename*") == 0 && decode_extended(word, out, max))
                return true;
            if (strcasecmp(name, "filename") == 0 && !found && strlen(word) < max) {
                memcpy(out, word, strlen(word) + 1);
                found = true;
            }
        }
        skip_to(&value, ';');
    }
    return found;
}

bool media_type_is(const char *value, const char *type)
{
    size_t len = strlen(type);

    return strncasecmp(value, type, len) == 0 && strchr("; \t", value[len]);
}

/* Many write a boundary with ':' or '=' and no quotes around it; what ends it is the next parameter. */
static bool take_boundary(const char *p, char out[static BOUNDARY_SIZE])
{
    static const char fit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'()+_,-./:=? ";
    size_t len = strcspn(p, "; \t");

    if (*p == '"') {
        if (!take_word(&p, out, BOUNDARY_SIZE))
            return false;
    } else {
        if (len >= BOUNDARY_SIZE)
            return false;
        memcpy(out, p, len);
        out[len] = '\0';
        p += len;
    }
    skip_space(&p);
    len = strlen(out);
    return (!*p || *p == ';') && len >= BOUNDARY_MIN && strspn(out, fit) == len && out[len - 1] != ' ';
}

bool media_type_boundary(const char *value, char out[static BOUNDARY_SIZE])
{
    char name[16];

    skip_to(&value, ';');
    while (*value == ';') {
        value++;
        skip_space(&value);
        if (take_token(&value, name, sizeof name) && *value == '=' && strcasecmp(name, "boundary") == 0)
            return take_boundary(value + 1, out);
        skip_to(&value, ';');
    }
    return false;
}

bool media_type_valid(const char *value)
{
    const char *p = value;
    char part[128];

    if (strlen(value) >= sizeof part)
        return false;
    if (!take_token(&p, part, sizeof part) || *p++ != '/' || !take_token(&p, part, sizeof part))
        return false;
    skip_space(&p);
    if (*p && *p != ';')
        return false;
    for (; *p; p++)
        if (*p < ' ' || *p > '~')
            return false;
    return true;
}

/* A weight of zero, "0" or "0.000" (RFC 9110 section 12.4.2), among a media range's parameters up to the next range. */
static bool is_refused(const char **p)
{
    char name[16], word[16];
    bool refused = false;

    while (**p == ';') {
        (*p)++;
        if (take_pair(p, name, sizeof name, word, sizeof word) && strcasecmp(name, "q") == 0)
            refused = *word && strspn(word, "0.") == strlen(word);
        *p += strcspn(*p, ";,");
    }
    return refused;
}

/* Whether a list of words with parameters has that word, with a weight other than 0. */
static bool is_wanted(const char *value, const char *word)
{
    bool found = false;

    while (*value) {
        const char *at;
        size_t len;
        bool refused;

        skip_space(&value);
        at = value;
        len = strcspn(value, ",; \t");
        value += strcspn(value, ",;");
        refused = is_refused(&value);
        found |= !refused && len == strlen(word) && strncasecmp(at, word, len) == 0;
        value += *value == ',';
    }
    return found;
}

bool accept_wants_text(const char *value)
{
    return is_wanted(value, "text/plain") && !is_wanted(value, "application/json");
}

bool accept_wants_page(const char *value)
{
    return is_wanted(value, "text/html");
}

bool accept_encoding_has(const char *value, const char *coding)
{
    return value && is_wanted(value, coding);
}

/* Digits; more than fit are as good as the largest number. false: none are there. */
static bool take_number(const char **p, uint64_t *out)
{
    const char *start = *p;

    for (*out = 0; isdigit((unsigned char)**p); (*p)++) {
        uint64_t digit = (uint64_t)(**p - '0');

        *out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
    }
    return *p > start;
}

enum range range_read(const char *value, uint64_t size, uint64_t *from, uint64_t *to)
{
    uint64_t first = 0, last = UINT64_MAX;
    bool has_first, has_last;

    if (strncasecmp(value, "bytes=", 6) != 0)
        return RANGE_WHOLE;
    value += 6;
    skip_space(&value);
    has_first = take_number(&value, &first);
    if (*value++ != '-')
        return RANGE_WHOLE;
    has_last = take_number(&value, &last);
    skip_space(&value);
    if (*value || (!has_first && !has_last) || (has_first && has_last && last < first))
        return RANGE_WHOLE;
    if (!has_first && last > 0 && size == 0)
        return RANGE_WHOLE; /* satisfiable, but no Content-Range can say so */
    if (has_first ? first >= size : last == 0)
        return RANGE_UNSATISFIABLE;
    *from = has_first ? first : last < size ? size - last : 0;
    *to = has_first && has_last && last < size ? last + 1 : size;
    return RANGE_PART;
}

static void add_extended(struct buf *out, const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        buf_printf(out, (*p < 0x80 && isalnum(*p)) || strchr("!#$&+-.^_`|~", *p) ? "%c" : "%%%02X", *p);
}

char *disposition_attachment(const char *name)
{
    struct buf out = {0};

    buf_puts(&out, "attachment; filename=\"");
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        if (*p >= ' ' && *p < 0x7f && !strchr("\"\\%", *p)) /* some readers decode a percent sign here */
            buf_add(&out, p, 1);
        else if ((*p & 0xc0) != 0x80) /* one for each character */
            buf_puts(&out, "_");
    }
    buf_puts(&out, "\"; filename*=UTF-8''");
    add_extended(&out, name);
    return buf_steal(&out);
}

bool etag_listed(const char *value, const char *etag)
{
    size_t len = strlen(etag);

    skip_space(&value);
    if (*value == '*')
        return true;
    for (const char *p = strstr(value, etag); p; p = strstr(p + 1, etag))
        if (strchr(", \t", p[len]) && (p == value || strchr(", \t/", p[-1])))
            return true;
    return false;
}

/* Not by strftime(), which knows other languages. */
void http_date(int64_t wall_ms, char out[static HTTP_DATE])
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;

    gmtime_r(&seconds, &t);
    snprintf(out, HTTP_DATE, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[t.tm_wday % 7], (unsigned)t.tm_mday % 100,
             months[t.tm_mon % 12], (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
             (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
}
