/* gateway/config_values.c - readers of single values, see config_values.h. */
#include "gateway/config_values.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Reads digits off the front; false when there are none or they do not fit. */
static bool take_digits(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t value = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    }
    if (at == *text)
        return false;
    *text = at;
    *out = value;
    return true;
}

/* Digits and one of the units; scale[i] belongs to units[i], an empty unit is one too. */
static bool read_scaled(const char *text, const char *const *units, const uint64_t *scale, uint64_t *out)
{
    if (!take_digits(&text, out))
        return false;
    for (size_t i = 0; units[i]; i++) {
        if (strcmp(units[i], text) == 0)
            return !__builtin_mul_overflow(*out, scale[i], out);
    }
    return false;
}

bool value_count(const char *text, uint64_t *out)
{
    return take_digits(&text, out) && *text == '\0';
}

bool value_size(const char *text, uint64_t *out)
{
    static const char *const units[] = {"", "K", "M", "G", "T", NULL};
    static const uint64_t scale[] = {1, 1ULL << 10, 1ULL << 20, 1ULL << 30, 1ULL << 40};

    return read_scaled(text, units, scale, out);
}

bool value_time(const char *text, int64_t *out_ms)
{
    static const char *const units[] = {"ms", "s", "m", "h", "d", NULL};
    static const uint64_t scale[] = {1, 1000, 60 * 1000, 60 * 60 * 1000, 24 * 60 * 60 * 1000};
    uint64_t ms;

    if (!read_scaled(text, units, scale, &ms) || ms > INT64_MAX)
        return false;
    *out_ms = (int64_t)ms;
    return true;
}

/* An address becomes its one spelling; a name keeps its own. */
static bool take_host(const char *text, size_t len, bool bracketed, char *host, size_t room)
{
    static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    unsigned char address[16];

    if (len >= room)
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    if (inet_pton(AF_INET6, host, address) == 1)
        return inet_ntop(AF_INET6, address, host, (socklen_t)room) != NULL;
    return !bracketed && strspn(host, name_letters) == len;
}

static bool take_port(const char *text, int *port)
{
    uint64_t value;

    if (!value_count(text, &value) || value > UINT16_MAX)
        return false;
    *port = (int)value;
    return true;
}

bool value_address(const char *text, struct value_address *out)
{
    const char *end; /* of the host */
    bool bracketed = text[0] == '[';

    *out = (struct value_address){.port = -1};
    if (text[0] == '\0')
        return false;
    if (bracketed) {
        text++;
        end = strchr(text, ']');
        if (!end || !take_host(text, (size_t)(end - text), true, out->host, sizeof(out->host)))
            return false;
        end++;
    } else if (strchr(text, ':') != strrchr(text, ':')) {
        return take_host(text, strlen(text), true, out->host, sizeof(out->host)); /* a bare IPv6 address */
    } else {
        end = strchrnul(text, ':');
        if (!take_host(text, (size_t)(end - text), false, out->host, sizeof(out->host)))
            return false;
    }
    return *end == '\0' || (*end == ':' && take_port(end + 1, &out->port));
}

bool value_is_loopback(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

bool value_is_net(const char *text)
{
    const char *slash = strchrnul(text, '/');
    char address[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    uint64_t bits = 0;
    size_t len = (size_t)(slash - text);

    if (len >= sizeof(address) || (*slash && !value_count(slash + 1, &bits)))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (inet_pton(AF_INET, address, bytes) == 1)
        return bits <= 32;
    return inet_pton(AF_INET6, address, bytes) == 1 && bits <= 128;
}

char **value_list(const char *text)
{
    static const char separators[] = ", \t";
    size_t words = 0;
    char **list;

    for (const char *at = text; *(at += strspn(at, separators)); at += strcspn(at, separators))
        words++;
    list = calloc(words + 1, sizeof(*list));
    if (!list)
        return NULL;
    text += strspn(text, separators);
    for (size_t i = 0; i < words; i++) {
        size_t len = strcspn(text, separators);

        list[i] = strndup(text, len);
        if (!list[i]) {
            value_list_free(list);
            return NULL;
        }
        text += len;
        text += strspn(text, separators);
    }
    return list;
}

void value_list_free(char **list)
{
    for (char **word = list; word && *word; word++)
        free(*word);
    free(list);
}
