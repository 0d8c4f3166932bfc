#include "xmpp/dns.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <idna.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"

enum { SERVICES_MAX = 16, RESPONSE_MAX = 16384 };

struct dns_lookup {
    uv_work_t work;
    char service[64]; /* empty: none */
    char host[DNS_HOST];
    uint16_t port;
    struct dns_answer answer;
    dns_done_fn *done;
    void *user;
};

/* ---- reading SRV records */

static bool take_u16(struct bytes *in, uint16_t *out)
{
    const uint8_t *p;

    if (!bytes_take(in, 2, &p))
        return false;
    *out = (uint16_t)(p[0] << 8 | p[1]);
    return true;
}

static bool skip(struct bytes *in, size_t n)
{
    const uint8_t *ignored;

    return bytes_take(in, n, &ignored);
}

static bool skip_name(struct bytes *in)
{
    int len = dn_skipname(in->at, in->at + in->left);

    return len >= 0 && skip(in, (size_t)len);
}

/* One resource record; *is_service says whether *out was filled. */
static bool take_record(struct bytes *in, const uint8_t *response, struct dns_service *out, bool *is_service)
{
    const uint8_t *end = in->at + in->left, *data;
    uint16_t type, class, len;
    struct bytes rdata;

    if (!skip_name(in) || !take_u16(in, &type) || !take_u16(in, &class) || !skip(in, 4) || !take_u16(in, &len) ||
        !bytes_take(in, len, &data))
        return false;
    *is_service = type == ns_t_srv && class == ns_c_in;
    if (!*is_service)
        return true;
    rdata = (struct bytes){data, len};
    return take_u16(&rdata, &out->priority) && take_u16(&rdata, &out->weight) && take_u16(&rdata, &out->port) &&
           dn_expand(response, end, rdata.at, out->target, sizeof(out->target)) == (int)rdata.left;
}

size_t dns_read_services(const uint8_t *response, size_t len, struct dns_service *out, size_t max)
{
    struct bytes in = {response, len};
    uint16_t questions, answers;
    size_t count = 0;
    bool is_service;

    if (!skip(&in, 4) || !take_u16(&in, &questions) || !take_u16(&in, &answers) || !skip(&in, 4))
        return 0;
    while (questions-- > 0)
        if (!skip_name(&in) || !skip(&in, 4))
            return 0;
    while (answers-- > 0 && count < max) {
        if (!take_record(&in, response, &out[count], &is_service))
            break;
        count += is_service;
    }
    return count;
}

/* ---- RFC 2782 */

static int by_priority(const void *a, const void *b)
{
    const struct dns_service *x = a, *y = b;

    return (x->priority > y->priority) - (x->priority < y->priority);
}

static uint32_t random_up_to(uint32_t most)
{
    uint32_t r = 0;

    if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
        return 0; /* an order as good as any */
    return r % (most + 1);
}

/* Moves one of the n equals at the front of s to its very front, heavier ones more often. */
static void draw(struct dns_service *s, size_t n)
{
    uint32_t total = 0, at, sum = 0;
    size_t i = 0;

    for (size_t k = 0; k < n; k++)
        total += s[k].weight;
    at = random_up_to(total);
    while (i + 1 < n && (sum += s[i].weight) < at)
        i++;
    struct dns_service chosen = s[i];
    memmove(s + 1, s, i * sizeof(*s));
    s[0] = chosen;
}

void dns_order_services(struct dns_service *services, size_t count)
{
    qsort(services, count, sizeof(*services), by_priority);
    for (size_t i = 0; i < count; i++) {
        size_t equals = 1;

        while (i + equals < count && services[i + equals].priority == services[i].priority)
            equals++;
        draw(services + i, equals);
    }
}

/* ---- asking; these run in the pool */

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    if (a->sa_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;

        return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
    }
    return false;
}

static void add_addresses(struct dns_answer *answer, const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &list);

    if (rc != 0)
        error_set(&answer->error, ERR_REMOTE_SERVER_UNREACHABLE, "no address of %s was found: %s", host,
                  gai_strerror(rc));
    for (struct addrinfo *a = list; a && answer->count < DNS_ADDRESSES; a = a->ai_next) {
        struct dns_address *out = &answer->addresses[answer->count];

        if (getnameinfo(a->ai_addr, a->ai_addrlen, out->host, sizeof(out->host), NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        out->port = port;
        out->loopback = is_loopback(a->ai_addr);
        answer->count++;
    }
    if (list)
        freeaddrinfo(list);
}

static size_t ask_services(const char *service, const char *host, struct dns_service *out, size_t max)
{
    uint8_t response[RESPONSE_MAX];
    struct __res_state state = {0};
    char name[sizeof(((struct dns_lookup *)NULL)->service) + DNS_HOST + 1];
    size_t count = 0;
    int len;

    if (res_ninit(&state) != 0)
        return 0;
    state.retrans = 3; /* seconds; the address itself is asked for after this anyway */
    state.retry = 2;
    snprintf(name, sizeof(name), "%s.%s", service, host);
    len = res_nquery(&state, name, ns_c_in, ns_t_srv, response, sizeof(response));
    if (len > 0)
        count = dns_read_services(response, (size_t)len < sizeof(response) ? (size_t)len : sizeof(response), out, max);
    res_nclose(&state);
    dns_order_services(out, count);
    return count;
}

static bool is_address(const char *host)
{
    unsigned char address[16];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The name as DNS knows it: without the brackets of an address, and in ASCII (RFC 3490). */
static void to_dns(char *host)
{
    size_t len = strlen(host);
    char *ascii = NULL;

    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        memmove(host, host + 1, len - 2);
        host[len - 2] = '\0';
    } else if (idna_to_ascii_8z(host, &ascii, 0) == IDNA_SUCCESS && strlen(ascii) < DNS_HOST) {
        memcpy(host, ascii, strlen(ascii) + 1);
    }
    free(ascii);
}

static void look_up(uv_work_t *work)
{
    struct dns_lookup *l = work->data;
    struct dns_service services[SERVICES_MAX];
    size_t count = 0;

    to_dns(l->host);
    if (l->service[0] && !is_address(l->host))
        count = ask_services(l->service, l->host, services, SERVICES_MAX);
    if (count == 1 && services[0].target[0] == '\0') {
        error_set(&l->answer.error, ERR_REMOTE_SERVER_UNREACHABLE, "the DNS of %s says that it has no %s", l->host,
                  l->service);
        return;
    }
    for (size_t i = 0; i < count; i++)
        add_addresses(&l->answer, services[i].target, services[i].port);
    if (count == 0)
        add_addresses(&l->answer, l->host, l->port);
}

/* ---- on the loop */

static void looked_up(uv_work_t *work, int status)
{
    struct dns_lookup *l = work->data;

    if (status != 0)
        error_set(&l->answer.error, ERR_CANCELLED, "the look-up was cancelled");
    else if (l->answer.count > 0)
        l->answer.error = (struct error){0}; /* of another host of the service */
    l->done(l->user, &l->answer);
    free(l);
}

struct dns_lookup *dns_ask(uv_loop_t *loop, const struct dns_question *question, dns_done_fn *done, void *user)
{
    struct dns_lookup *l = calloc(1, sizeof(*l));

    assert(strlen(question->host) < DNS_HOST);
    if (!l)
        return NULL;
    snprintf(l->service, sizeof(l->service), "%s", question->service ? question->service : "");
    snprintf(l->host, sizeof(l->host), "%s", question->host);
    l->port = question->port;
    l->done = done;
    l->user = user;
    l->work.data = l;
    if (uv_queue_work(loop, &l->work, look_up, looked_up) != 0) {
        free(l);
        return NULL;
    }
    return l;
}

void dns_hurry(struct dns_lookup *lookup)
{
    uv_cancel((uv_req_t *)&lookup->work);
}
