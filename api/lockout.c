#include "api/lockout.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/clock.h"
#include "base/log.h"

enum { MINUTE = 60 * 1000, MOST = 10 };
enum { SETS = 512, WAYS = 4 }; /* a network has its set, and in it any of the ways */

struct network_key {
    uint64_t prefix; /* of IPv6; or of an IPv4-mapped address, its last half */
    bool v4;
};

struct count {
    struct network_key key;
    unsigned failed; /* 0: free */
    int64_t since;
};

struct lockout {
    uint64_t salt; /* so that nobody chooses who shares his set */
    struct count counts[SETS][WAYS];
};

struct lockout *lockout_create(void)
{
    struct lockout *l = calloc(1, sizeof *l);

    if (l && RAND_bytes((unsigned char *)&l->salt, sizeof l->salt) != 1)
        lockout_destroy(&l);
    return l;
}

void lockout_destroy(struct lockout **lockout)
{
    free(*lockout);
    *lockout = NULL;
}

/* The 16 bytes of the address, IPv4 in its mapped form. false: neither. */
static bool address_of(const struct sockaddr *from, struct in6_addr *out)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (from->sa_family == AF_INET6) {
        *out = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        return true;
    }
    if (from->sa_family != AF_INET)
        return false;
    memcpy(out->s6_addr, mapped, sizeof mapped);
    memcpy(out->s6_addr + sizeof mapped, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    return true;
}

static bool key_of(const struct sockaddr *from, struct network_key *key)
{
    struct in6_addr address;

    if (!address_of(from, &address))
        return false;
    key->v4 = IN6_IS_ADDR_V4MAPPED(&address);
    memcpy(&key->prefix, address.s6_addr + (key->v4 ? 8 : 0), sizeof key->prefix);
    return true;
}

static bool is_loopback(const struct sockaddr *from)
{
    struct in6_addr address;

    if (!address_of(from, &address))
        return false;
    return IN6_IS_ADDR_LOOPBACK(&address) || (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
}

static size_t set_of(const struct lockout *l, const struct network_key *key)
{
    uint64_t mixed = (key->prefix ^ l->salt) + key->v4;

    mixed = (mixed ^ mixed >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 32) % SETS;
}

static bool is_of(const struct count *c, const struct network_key *key)
{
    return c->failed > 0 && c->key.prefix == key->prefix && c->key.v4 == key->v4 && clock_ms() - c->since < MINUTE;
}

unsigned lockout_left(const struct lockout *l, const struct sockaddr *from, bool wrong)
{
    struct network_key key;
    const struct count *set;

    if (!from || !key_of(from, &key) || (!wrong && is_loopback(from)))
        return 0;
    set = l->counts[set_of(l, &key)];
    for (size_t i = 0; i < WAYS; i++)
        if (is_of(&set[i], &key) && set[i].failed >= MOST)
            return (unsigned)((MINUTE - (clock_ms() - set[i].since)) / 1000) + 1;
    return 0;
}

static void tell(const struct sockaddr *from)
{
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN] = "";

    if (address_of(from, &address))
        inet_ntop(AF_INET6, &address, text, sizeof text);
    log_warn("http.locked_out", log_str("addr", text), log_int("wrong_tokens", MOST));
}

void lockout_failed(struct lockout *l, const struct sockaddr *from)
{
    struct count *set, *place;
    struct network_key key;

    if (!from || !key_of(from, &key))
        return;
    set = place = l->counts[set_of(l, &key)];
    for (size_t i = 0; i < WAYS; i++) {
        if (is_of(&set[i], &key)) {
            if (++set[i].failed == MOST)
                tell(from);
            return;
        }
        if (set[i].failed == 0 || (place->failed > 0 && set[i].since < place->since))
            place = &set[i];
    }
    *place = (struct count){.key = key, .failed = 1, .since = clock_ms()};
}
