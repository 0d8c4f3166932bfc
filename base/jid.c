/* base/jid.c - XMPP addresses, see jid.h.
 *
 * The profiles run in query mode (RFC 3454 section 7): code points that Unicode 3.2 did not know pass, because peers
 * use emoji as resources. Preparing takes quadratic time over combining marks, so lengths are checked first. */
#include "base/jid.h"

#include <arpa/inet.h>
#include <idna.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#include "base/text.h"

/* One part on its way from the text to the prepared address. */
struct part {
    char text[JID_PART + 1];
    size_t len;
};

static bool refuse(struct error *err, const char *what, const char *why)
{
    error_set(err, ERR_JID_INVALID, "the %s of the address %s", what, why);
    return false;
}

static bool take_part(struct part *p, const char *text, size_t len, const char *what, struct error *err)
{
    if (len == 0)
        return refuse(err, what, "is empty");
    if (len > JID_PART)
        return refuse(err, what, "has more than 1023 bytes");
    memcpy(p->text, text, len);
    p->text[len] = '\0';
    p->len = len;
    return true;
}

/* What a profile leaves as it is. Nearly all addresses have nothing else, and preparing takes 10 µs a part. */
static bool is_plain(char c, const Stringprep_profile *profile)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')
        return true;
    if (profile == stringprep_xmpp_resourceprep)
        return c >= ' ' && c <= '~';
    return profile == stringprep_xmpp_nodeprep && (c == '.' || c == '_' || c == '+');
}

/* Zero-width input prepares to nothing without an error, and some characters grow (U+FDFA: 3 bytes to 33). */
static bool prepare(struct part *p, const Stringprep_profile *profile, const char *what, struct error *err)
{
    size_t plain = 0;
    int rc;

    while (plain < p->len && is_plain(p->text[plain], profile))
        plain++;
    if (plain == p->len)
        return true;
    rc = stringprep(p->text, sizeof(p->text), 0, profile);
    if (rc == STRINGPREP_TOO_SMALL_BUFFER)
        return refuse(err, what, "has more than 1023 bytes once prepared");
    if (rc != STRINGPREP_OK)
        return refuse(err, what, "has a character that is not allowed there");
    p->len = strlen(p->text);
    if (p->len == 0)
        return refuse(err, what, "is empty once prepared");
    return true;
}

/* RFC 6122 section 2.2: an IPv4 address, or an IPv6 address in brackets. Rewrites it in its one canonical form. */
static bool prepare_literal(struct part *p)
{
    unsigned char address[16];
    char inner[INET6_ADDRSTRLEN];

    if (inet_pton(AF_INET, p->text, address) == 1)
        return true; /* inet_pton takes one spelling alone */
    if (p->text[0] != '[' || p->text[p->len - 1] != ']' || p->len - 2 >= sizeof(inner))
        return false;
    memcpy(inner, p->text + 1, p->len - 2);
    inner[p->len - 2] = '\0';
    if (inet_pton(AF_INET6, inner, address) != 1 || !inet_ntop(AF_INET6, address, inner, sizeof(inner)))
        return false;
    p->len = strlen(inner) + 2;
    p->text[0] = '[';
    memcpy(p->text + 1, inner, p->len - 2);
    memcpy(p->text + p->len - 1, "]", 2);
    return true;
}

/* Turns the ideographic dots of RFC 3490 section 3.1 into '.', drops one dot at the end, refuses empty labels. */
static bool split_labels(struct part *p, struct error *err)
{
    size_t made = 0;
    size_t label = 0;

    for (size_t at = 0; at < p->len;) {
        uint32_t c = 0;
        size_t n = text_char(p->text + at, p->len - at, &c);

        if (c == '.' || c == 0x3002 || c == 0xff0e || c == 0xff61) {
            if (made == label)
                return refuse(err, "domain", "has an empty label");
            p->text[made++] = '.';
            label = made;
        } else {
            memmove(p->text + made, p->text + at, n);
            made += n;
        }
        at += n;
    }
    if (made > 0 && made == label)
        made--;
    p->text[made] = '\0';
    p->len = made;
    return made > 0 || refuse(err, "domain", "is empty");
}

/* Labels of small letters, digits and inner hyphens (RFC 1123 section 2.1): IDNA and nameprep leave them as they are.
 */
static bool is_plain_host(const struct part *p)
{
    size_t label = 0;

    for (size_t at = 0; at <= p->len; at++) {
        size_t len = at - label;

        if (at < p->len && p->text[at] != '.') {
            if (!is_plain(p->text[at], stringprep_nameprep))
                return false;
            continue;
        }
        if (len == 0 || len > 63 || p->text[label] == '-' || p->text[at - 1] == '-')
            return false;
        label = at + 1;
    }
    return true;
}

/* Nameprep alone lets "ex ample.com" pass: whether it is a host name is for IDNA with the rules of STD 3 to say. */
static bool prepare_domain(struct part *p, struct error *err)
{
    char *ascii = NULL;
    int rc;

    if (is_plain_host(p) || prepare_literal(p))
        return true;
    if (!split_labels(p, err))
        return false;
    rc = idna_to_ascii_8z(p->text, &ascii, IDNA_USE_STD3_ASCII_RULES | IDNA_ALLOW_UNASSIGNED);
    free(ascii);
    if (rc != IDNA_SUCCESS)
        return refuse(err, "domain", "is neither a host name nor an IP address");
    return prepare(p, stringprep_nameprep, "domain", err);
}

/* local or resource NULL: absent; both and the domain prepared. */
static void join(struct jid *out, const struct part *local, const struct part *domain, const struct part *resource)
{
    size_t at = 0;

    if (local) {
        memcpy(out->text, local->text, local->len);
        at = local->len;
        out->text[at++] = '@';
    }
    out->local = local ? local->len : 0;
    memcpy(out->text + at, domain->text, domain->len);
    at += domain->len;
    out->bare = at;
    out->full = resource != NULL;
    if (resource) {
        out->text[at++] = '/';
        memcpy(out->text + at, resource->text, resource->len);
        at += resource->len;
    }
    out->text[at] = '\0';
}

bool jid_parse(struct jid *out, const char *text, size_t len, struct error *err)
{
    struct part local, domain, resource;
    const char *slash, *at;
    size_t front;

    *out = (struct jid){0};
    if (len == 0)
        return error_set(err, ERR_JID_INVALID, "the address is empty");
    if (len > JID_MAX)
        return error_set(err, ERR_JID_INVALID, "the address has %zu bytes, at most %d are allowed", len, JID_MAX);
    if (!text_is_xml(text, len))
        return error_set(err, ERR_JID_INVALID, "the address is not valid UTF-8 or has control characters");
    slash = memchr(text, '/', len);
    front = slash ? (size_t)(slash - text) : len;
    at = memchr(text, '@', front);
    if (slash && (!take_part(&resource, slash + 1, len - front - 1, "resource", err) ||
                  !prepare(&resource, stringprep_xmpp_resourceprep, "resource", err)))
        return false;
    if (at && (!take_part(&local, text, (size_t)(at - text), "local part", err) ||
               !prepare(&local, stringprep_xmpp_nodeprep, "local part", err)))
        return false;
    if (at) {
        front -= (size_t)(at + 1 - text);
        text = at + 1;
    }
    if (!take_part(&domain, text, front, "domain", err) || !prepare_domain(&domain, err))
        return false;
    join(out, at ? &local : NULL, &domain, slash ? &resource : NULL);
    return true;
}

const char *jid_domain(const struct jid *j, size_t *len)
{
    size_t start = j->local > 0 ? j->local + 1 : 0;

    *len = j->bare - start;
    return j->text + start;
}

const char *jid_parent_domain(const struct jid *j, size_t *len)
{
    const char *domain = jid_domain(j, len), *dot = memchr(domain, '.', *len);

    if (!dot)
        return domain;
    *len -= (size_t)(dot + 1 - domain);
    return dot + 1;
}

const char *jid_resource(const struct jid *j)
{
    return j->full ? j->text + j->bare + 1 : NULL;
}

/* Up to the end of the text. */
static size_t size_of(const struct jid *j)
{
    return offsetof(struct jid, text) + strlen(j->text) + 1;
}

struct jid *jid_dup(const struct jid *j)
{
    size_t size = size_of(j);
    struct jid *copy = malloc(size);

    return copy ? memcpy(copy, j, size) : NULL;
}

void jid_copy(struct jid *out, const struct jid *j)
{
    memmove(out, j, size_of(j));
}

void jid_bare(const struct jid *j, char *out)
{
    memcpy(out, j->text, j->bare);
    out[j->bare] = '\0';
}

bool jid_with_resource(struct jid *out, const struct jid *bare, const char *resource, struct error *err)
{
    struct part prepared;
    size_t len = strlen(resource);

    if (!take_part(&prepared, resource, len, "resource", err))
        return false;
    if (!text_is_xml(resource, len))
        return refuse(err, "resource", "is not valid UTF-8 or has control characters");
    if (!prepare(&prepared, stringprep_xmpp_resourceprep, "resource", err))
        return false;
    if (out != bare)
        jid_copy(out, bare);
    out->full = true;
    out->text[out->bare] = '/';
    memcpy(out->text + out->bare + 1, prepared.text, prepared.len + 1);
    return true;
}

bool jid_equal(const struct jid *a, const struct jid *b)
{
    return strcmp(a->text, b->text) == 0;
}

bool jid_same_bare(const struct jid *a, const struct jid *b)
{
    return a->bare == b->bare && memcmp(a->text, b->text, a->bare) == 0;
}
