#include "api/forwarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

static const char x_forwarded_for[] = "X-Forwarded-For", forwarded[] = "Forwarded";

/* ---- whose word is taken */

struct net {
    struct in6_addr at;
    unsigned bits; /* of the mapped form, 0 to 128 */
};

struct trust {
    bool local;
    size_t count;
    struct net nets[];
};

static void add_net(struct trust *t, const char *word)
{
    char address[CALLER_TEXT];
    size_t len = strcspn(word, "/");
    unsigned long bits = 128;
    struct caller c;

    if (len >= sizeof address)
        return;
    memcpy(address, word, len);
    address[len] = '\0';
    if (!caller_parse(&c, address))
        return;
    if (word[len])
        bits = strtoul(word + len + 1, NULL, 10) + (strchr(address, ':') ? 0 : 96);
    t->nets[t->count++] = (struct net){.at = c.at.sin6_addr, .bits = bits <= 128 ? (unsigned)bits : 128};
}

struct trust *trust_create(char *const *words)
{
    struct trust *t;
    size_t n = 0;

    while (words && words[n])
        n++;
    t = calloc(1, sizeof *t + n * sizeof *t->nets);
    for (size_t i = 0; t && i < n; i++) {
        if (strcmp(words[i], "unix") == 0)
            t->local = true;
        else
            add_net(t, words[i]);
    }
    return t;
}

void trust_destroy(struct trust **trust)
{
    free(*trust);
    *trust = NULL;
}

static bool net_has(const struct net *net, const struct in6_addr *a)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (memcmp(net->at.s6_addr, a->s6_addr, whole) != 0)
        return false;
    return rest == 0 || (net->at.s6_addr[whole] ^ a->s6_addr[whole]) >> (8 - rest) == 0;
}

bool trust_has(const struct trust *trust, const struct caller *c)
{
    if (c->local)
        return trust->local;
    for (size_t i = 0; i < trust->count; i++)
        if (net_has(&trust->nets[i], &c->at.sin6_addr))
            return true;
    return false;
}

/* ---- one node: an address, perhaps with a port, or what stands for one (RFC 7239 section 6) */

enum kind { ADDRESS, HIDDEN, NONSENSE };

struct hop {
    enum kind kind;
    struct caller who;
    const char *text; /* as it came, for the sentence */
    size_t len;
};

struct hops {
    struct hop hop[FORWARDED_HOPS];
    size_t count;
};

static bool is_port(const char *text, size_t len)
{
    size_t digits = 0;

    while (digits < len && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    return (digits == len && len >= 1 && len <= 5) || (len >= 2 && text[0] == '_');
}

static enum kind read_address(const char *text, size_t len, struct caller *who)
{
    char address[CALLER_TEXT];

    if (len == 0 || len >= sizeof address || memchr(text, '\0', len))
        return NONSENSE;
    memcpy(address, text, len);
    address[len] = '\0';
    return caller_parse(who, address) ? ADDRESS : NONSENSE;
}

static enum kind read_node(const char *text, size_t len, struct caller *who)
{
    const char *end = text + len, *close, *colon = memchr(text, ':', len);

    if ((len == 7 && strncasecmp(text, "unknown", 7) == 0) || (len >= 2 && text[0] == '_'))
        return HIDDEN;
    if (len > 0 && text[0] == '[') {
        close = memchr(text, ']', len);
        if (!close || (close + 1 < end && (close[1] != ':' || !is_port(close + 2, (size_t)(end - close) - 2))))
            return NONSENSE;
        return memchr(text, ':', (size_t)(close - text)) ? read_address(text + 1, (size_t)(close - text) - 1, who)
                                                         : NONSENSE;
    }
    if (!colon || memchr(colon + 1, ':', (size_t)(end - colon) - 1))
        return read_address(text, len, who);
    return is_port(colon + 1, (size_t)(end - colon) - 1) ? read_address(text, (size_t)(colon - text), who) : NONSENSE;
}

static bool add_hop(struct hops *hops, const char *text, size_t len, const char *header, struct error *err)
{
    struct hop *hop = &hops->hop[hops->count];

    if (hops->count == FORWARDED_HOPS)
        return error_set(err, ERR_REQUEST_MALFORMED, "%s names more than %d proxies", header, FORWARDED_HOPS);
    hop->kind = read_node(text, len, &hop->who);
    hop->text = text;
    hop->len = len;
    hops->count++;
    return true;
}

/* ---- X-Forwarded-For: a list, read leniently, for its left part may be anybody's */

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static bool read_list(struct hops *hops, const char *line, struct error *err)
{
    while (*line) {
        size_t len = strcspn(line, ","), last = len, first = 0;

        while (first < last && is_space(line[first]))
            first++;
        while (last > first && is_space(line[last - 1]))
            last--;
        if (last > first && !add_hop(hops, line + first, last - first, x_forwarded_for, err))
            return false;
        line += len;
        line += *line == ',';
    }
    return true;
}

/* ---- Forwarded: read strictly, for a quote left open would swallow what our proxy wrote behind it */

static bool malformed(struct error *err)
{
    return error_set(err, ERR_REQUEST_MALFORMED, "the Forwarded header is not like for=192.0.2.7;proto=https");
}

static const char *skip_space(const char *at)
{
    while (is_space(*at))
        at++;
    return at;
}

static size_t token_length(const char *at)
{
    return strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");
}

/* A token or a quoted string; what a token may not have but proxies leave unquoted, ':' and brackets, passes. No
 * address needs an escape, so one with an escape is none. NULL: neither. */
static const char *take_value(const char *at, const char **value, size_t *len)
{
    if (*at == '"') {
        *value = ++at;
        while (*at && *at != '"')
            at += *at == '\\' && at[1] ? 2 : 1;
        *len = (size_t)(at - *value);
        return *at == '"' ? at + 1 : NULL;
    }
    *value = at;
    do {
        at += token_length(at);
    } while (*at && strchr(":[]", *at) && at++);
    *len = (size_t)(at - *value);
    return *len > 0 ? at : NULL;
}

/* One element: pairs between semicolons, none of them twice as far as it concerns us. Returns its end, NULL: malformed.
 */
static const char *take_element(const char *at, const char **node, size_t *len)
{
    *node = NULL;
    for (;;) {
        size_t name = token_length(at);
        const char *value, *pair = at;
        size_t value_len;

        if (name == 0 || at[name] != '=')
            return NULL;
        at = take_value(at + name + 1, &value, &value_len);
        if (!at)
            return NULL;
        if (name == 3 && strncasecmp(pair, "for", 3) == 0) {
            if (*node)
                return NULL;
            *node = value;
            *len = value_len;
        }
        at = skip_space(at);
        if (*at != ';')
            return at;
        at = skip_space(at + 1);
    }
}

static bool read_standard(struct hops *hops, const char *line, struct error *err)
{
    for (line = skip_space(line); *line; line = skip_space(line)) {
        const char *node;
        size_t len = 0;

        if (*line == ',') {
            line++;
            continue;
        }
        line = take_element(line, &node, &len);
        if (!line || (*line && *line != ','))
            return malformed(err);
        if (!add_hop(hops, node ? node : "unknown", node ? len : 7, forwarded, err))
            return false;
    }
    return true;
}

/* ---- from the right, as far as it is believed */

static bool walk(const struct trust *trust, const struct hops *hops, const char *header, struct caller *c,
                 struct error *err)
{
    char word[64], shown[64];

    for (size_t i = hops->count; i > 0 && trust_has(trust, c); i--) {
        const struct hop *hop = &hops->hop[i - 1];

        if (hop->kind == HIDDEN)
            return true;
        if (hop->kind == NONSENSE) {
            snprintf(word, sizeof word, "%.*s", hop->len < 60 ? (int)hop->len : 60, hop->text);
            text_clean(word, shown, sizeof shown);
            return error_set(err, ERR_REQUEST_MALFORMED, "'%s' in %s is no address", shown, header);
        }
        *c = hop->who;
    }
    return true;
}

typedef bool read_fn(struct hops *hops, const char *line, struct error *err);

static bool follow(const struct trust *trust, const char *const *lines, size_t n, read_fn *read, const char *header,
                   struct caller *c, struct error *err)
{
    struct hops hops = {.count = 0};

    if (n > FORWARDED_LINES)
        return error_set(err, ERR_REQUEST_MALFORMED, "%zu %s headers", n, header);
    for (size_t i = 0; i < n; i++)
        if (!read(&hops, lines[i], err))
            return false;
    return walk(trust, &hops, header, c, err);
}

static bool same(const struct caller *a, const struct caller *b)
{
    return a->local == b->local && IN6_ARE_ADDR_EQUAL(&a->at.sin6_addr, &b->at.sin6_addr);
}

bool forwarded_caller(const struct trust *trust, const struct forwarded *said, struct caller *c, struct error *err)
{
    struct caller by_list = *c, by_standard = *c;

    if (!trust_has(trust, c))
        return true;
    if (!follow(trust, said->x_for, said->x_fors, read_list, x_forwarded_for, &by_list, err) ||
        !follow(trust, said->standard, said->standards, read_standard, forwarded, &by_standard, err))
        return false;
    if (said->x_fors > 0 && said->standards > 0 && !same(&by_list, &by_standard))
        return error_set(
            err, ERR_REQUEST_MALFORMED,
            "X-Forwarded-For and Forwarded name different callers; have the proxy drop the one it does not "
            "write");
    *c = said->x_fors > 0 ? by_list : by_standard;
    return true;
}
