/* gateway/egress.c - the filter on addresses that others chose, see egress.h.
 *
 * Every address is looked at as 16 bytes, IPv4 as IPv4-mapped, so that one kind of prefix serves both. */
#include "gateway/egress.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { ADDRESS = 16, MAPPED_BITS = 96, NET_TEXT = INET6_ADDRSTRLEN + 4, NAME_MAX_BYTES = 253, LABEL_MAX = 63 };
enum { FIRST_FREE_PORT = 1024 };

struct net {
    uint8_t address[ADDRESS];
    unsigned bits;
};

static const char *const denied[] = {
    "0.0.0.0/8",      /* this network */
    "10.0.0.0/8",     /* private */
    "100.64.0.0/10",  /* behind a carrier's NAT */
    "127.0.0.0/8",    /* loopback */
    "168.63.129.16",  /* a cloud's, to its own machines */
    "169.254.0.0/16", /* link-local, and the clouds' metadata services */
    "172.16.0.0/12",  /* private */
    "192.0.0.0/24",   /* protocol assignments */
    "192.168.0.0/16", /* private */
    "198.18.0.0/15",  /* benchmarks */
    "224.0.0.0/3",    /* multicast, reserved, broadcast */
    "::/128",         /* unspecified */
    "::1/128",        /* loopback */
    "64:ff9b:1::/48", /* NAT64 of a local network, RFC 8215 */
    "2001::/32",      /* Teredo, which hides an IPv4 address */
    "fc00::/7",       /* unique local */
    "fe80::/10",      /* link-local */
    "fec0::/10",      /* site-local, of old */
    "ff00::/8",       /* multicast */
};
enum { DENIED = sizeof(denied) / sizeof(denied[0]) };

/* What no server of anybody's has for an address, and machines of a cloud reveal their keys at. */
static const char *const denied_to_all[] = {
    "0.0.0.0/8",         /* this network */
    "100.100.100.200",   /* a metadata service */
    "168.63.129.16",     /* another */
    "169.254.0.0/16",    /* link-local, where most are */
    "192.0.0.0/24",      /* protocol assignments, and one more */
    "224.0.0.0/3",       /* multicast, reserved, broadcast */
    "::/128",            /* unspecified */
    "fd00:ec2::254/128", /* a metadata service */
    "fd20:ce::254/128",  /* another */
    "fe80::/10",         /* link-local */
    "ff00::/8",          /* multicast */
};
enum { DENIED_TO_ALL = sizeof(denied_to_all) / sizeof(denied_to_all[0]) };

/* NFS, Docker, MySQL, Docker swarm, PostgreSQL, X11, Redis, Kubernetes, Elasticsearch, memcached, MongoDB: none of them
 * is a streamhost, and some do what they are told. Ports that streamhosts use (1080, 5000, 7777, 8080 …) are free. */
static const uint16_t denied_ports[] = {2049, 2375, 2376, 2377, 3306,  5432,  6000,
                                        6379, 6443, 9200, 9300, 10250, 11211, 27017};

/* Prefixes with an IPv4 address behind them, at that byte. */
static const struct {
    const char *net;
    size_t at;
} carriers[] = {
    {"::/96", 12},           /* IPv4-compatible, RFC 4291 section 2.5.5.1 */
    {"::ffff:0:0:0/96", 12}, /* IPv4-translated, RFC 2765 section 2.1 */
    {"64:ff9b::/96", 12},    /* NAT64, RFC 6052 */
    {"2002::/16", 2},        /* 6to4, RFC 3056 */
};
enum { CARRIERS = sizeof(carriers) / sizeof(carriers[0]) };

struct egress {
    struct net denied[DENIED];
    struct net denied_to_all[DENIED_TO_ALL];
    struct net carriers[CARRIERS];
    size_t allowed_count;
    struct net allowed[];
};

static void map_ipv4(const void *ipv4, uint8_t out[static ADDRESS])
{
    memset(out, 0, ADDRESS);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, ipv4, 4);
}

/* "address" or "address/bits" */
static bool read_net(const char *text, struct net *out)
{
    char address[NET_TEXT];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    uint8_t ipv4[4];
    unsigned most;
    unsigned long bits;
    char *end;

    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    if (inet_pton(AF_INET, address, ipv4) == 1) {
        map_ipv4(ipv4, out->address);
        most = 32;
    } else if (inet_pton(AF_INET6, address, out->address) == 1) {
        most = 128;
    } else {
        return false;
    }
    bits = most;
    if (slash) {
        bits = strtoul(slash + 1, &end, 10);
        if (!isdigit((unsigned char)slash[1]) || *end || bits > most)
            return false;
    }
    out->bits = (unsigned)bits + (most == 32 ? MAPPED_BITS : 0);
    return true;
}

static bool net_has(const struct net *net, const uint8_t address[static ADDRESS])
{
    unsigned bytes = net->bits / 8, rest = net->bits % 8;

    if (memcmp(net->address, address, bytes) != 0)
        return false;
    return rest == 0 || (net->address[bytes] ^ address[bytes]) >> (8 - rest) == 0;
}

struct egress *egress_create(char *const *allow_nets, struct error *err)
{
    size_t count = 0;
    struct egress *e;

    while (allow_nets && allow_nets[count])
        count++;
    e = calloc(1, sizeof(*e) + count * sizeof(e->allowed[0]));
    if (!e) {
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < DENIED; i++)
        read_net(denied[i], &e->denied[i]);
    for (size_t i = 0; i < DENIED_TO_ALL; i++)
        read_net(denied_to_all[i], &e->denied_to_all[i]);
    for (size_t i = 0; i < CARRIERS; i++)
        read_net(carriers[i].net, &e->carriers[i]);
    for (; e->allowed_count < count; e->allowed_count++) {
        const char *text = allow_nets[e->allowed_count];

        if (!read_net(text, &e->allowed[e->allowed_count])) {
            error_set(err, ERR_CONFIG, "[egress] allow_nets: '%s' is no network; write 10.0.0.0/8 or fd00::/8", text);
            egress_destroy(&e);
            return NULL;
        }
    }
    return e;
}

void egress_destroy(struct egress **egress)
{
    free(*egress);
    *egress = NULL;
}

/* ---- as text */

static bool label_valid(const char *label, size_t len)
{
    if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isascii((unsigned char)label[i]) || (!isalnum((unsigned char)label[i]) && label[i] != '-'))
            return false;
    }
    return true;
}

/* A top-level domain begins with a letter (RFC 3696 section 2); what begins with a digit here is a number to
 * inet_aton(3), hexadecimal or octal maybe, and its other parts may be left out. */
bool egress_host_valid(const char *host)
{
    uint8_t address[ADDRESS];
    size_t len = strlen(host);
    const char *label = host;

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return true;
    if (len > 0 && host[len - 1] == '.') /* the root may be written */
        len--;
    if (len == 0 || len > NAME_MAX_BYTES)
        return false;
    for (;;) {
        size_t label_len = strcspn(label, ".");
        bool last = label + label_len >= host + len;

        if (!label_valid(label, label_len))
            return false;
        if (last)
            return isalpha((unsigned char)label[0]) != 0;
        label += label_len + 1;
    }
}

/* ---- as an address */

enum judgement { BLOCKED, FREE, ALLOWED };

static bool any_has(const struct net *nets, size_t count, const uint8_t address[static ADDRESS])
{
    for (size_t i = 0; i < count; i++) {
        if (net_has(&nets[i], address))
            return true;
    }
    return false;
}

static enum judgement judge(const struct egress *e, const struct net *nets, size_t count,
                            const uint8_t address[static ADDRESS])
{
    uint8_t inner[ADDRESS];

    if (any_has(e->allowed, e->allowed_count, address))
        return ALLOWED;
    if (any_has(nets, count, address))
        return BLOCKED;
    for (size_t i = 0; i < CARRIERS; i++) {
        if (!net_has(&e->carriers[i], address))
            continue;
        if (IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)address))
            return FREE; /* ::1 carries no 0.0.0.1 */
        map_ipv4(address + carriers[i].at, inner);
        return judge(e, nets, count, inner);
    }
    return FREE;
}

static bool port_free(uint16_t port)
{
    for (size_t i = 0; i < sizeof(denied_ports) / sizeof(denied_ports[0]); i++) {
        if (port == denied_ports[i])
            return false;
    }
    return port >= FIRST_FREE_PORT;
}

static bool read_sockaddr(const struct sockaddr *from, uint8_t address[static ADDRESS], uint16_t *port)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (from->sa_family == AF_INET) {
        memcpy(&v4, from, sizeof(v4));
        map_ipv4(&v4.sin_addr, address);
        *port = ntohs(v4.sin_port);
        return true;
    }
    if (from->sa_family != AF_INET6)
        return false;
    memcpy(&v6, from, sizeof(v6));
    memcpy(address, &v6.sin6_addr, ADDRESS);
    *port = ntohs(v6.sin6_port);
    return true;
}

static bool refuse(const uint8_t address[static ADDRESS], uint16_t port, const char *reason, struct error *err)
{
    char text[INET6_ADDRSTRLEN] = "";

    inet_ntop(AF_INET6, address, text, sizeof(text));
    log_info("egress.blocked", log_str("address", text), log_int("port", port), log_str("reason", reason));
    return error_set(err, ERR_EGRESS_BLOCKED, "the address is not one that this gateway connects to");
}

bool egress_allows(const struct egress *egress, const struct sockaddr *to, struct error *err)
{
    uint8_t address[ADDRESS] = {0};
    uint16_t port = 0;
    enum judgement judgement = BLOCKED;

    if (read_sockaddr(to, address, &port))
        judgement = judge(egress, egress->denied, DENIED, address);
    if (judgement == ALLOWED || (judgement == FREE && port_free(port)))
        return true;
    return refuse(address, port, judgement == FREE ? "port" : "address", err);
}

bool egress_allows_own(const struct egress *egress, const struct sockaddr *to, struct error *err)
{
    uint8_t address[ADDRESS] = {0};
    uint16_t port = 0;

    return (read_sockaddr(to, address, &port) &&
            judge(egress, egress->denied_to_all, DENIED_TO_ALL, address) != BLOCKED) ||
           refuse(address, port, "address", err);
}

bool egress_allows_web(const struct egress *egress, const struct sockaddr *to, bool in_the_clear, struct error *err)
{
    uint8_t address[ADDRESS] = {0};
    uint16_t port = 0;
    enum judgement judgement = BLOCKED;

    if (read_sockaddr(to, address, &port))
        judgement = judge(egress, egress->denied, DENIED, address);
    if (judgement == ALLOWED || (judgement == FREE && !in_the_clear))
        return true;
    return refuse(address, port, judgement == FREE ? "in the clear" : "address", err);
}

bool egress_allows_url(const struct egress *egress, const struct sockaddr *to, struct error *err)
{
    uint8_t address[ADDRESS] = {0};
    uint16_t port = 0;
    enum judgement judgement = BLOCKED;

    if (read_sockaddr(to, address, &port))
        judgement = judge(egress, egress->denied, DENIED, address);
    if (judgement == ALLOWED || (judgement == FREE && (port == 80 || port == 443 || port_free(port))))
        return true;
    return refuse(address, port, judgement == FREE ? "port" : "address", err);
}
