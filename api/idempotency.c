#include "api/idempotency.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "api/routes.h"

static_assert((int)KEY_PRINT == (int)SHA256_BYTES, "a print is a SHA-256");

static bool is_bare(char c)
{
    return c > ' ' && c <= '~' && !strchr("\",;\\", c);
}

/* RFC 8941 section 4.2.5; parameters are none of a key's. */
static bool read_quoted(char out[static KEY_TEXT], const char *p)
{
    size_t n = 0;

    for (; *p != '"'; p++) {
        if (*p == '\\' && *++p != '"' && *p != '\\')
            return false;
        if (*p < ' ' || *p > '~' || n == KEY_TEXT - 1)
            return false;
        out[n++] = *p;
    }
    out[n] = '\0';
    return n > 0 && p[1 + strspn(p + 1, " \t")] == '\0';
}

bool idempotency_key_read(char out[static KEY_TEXT], const char *value)
{
    size_t n = 0;

    value += strspn(value, " \t");
    if (*value == '"')
        return read_quoted(out, value + 1);
    for (; is_bare(*value); value++) {
        if (n == KEY_TEXT - 1)
            return false;
        out[n++] = *value;
    }
    out[n] = '\0';
    return n > 0 && value[strspn(value, " \t")] == '\0';
}

struct header {
    const char *value;
    unsigned count;
};

static enum MHD_Result find_header(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct header *h = user;

    (void)kind;
    if (strcasecmp(name, "Idempotency-Key") != 0)
        return MHD_YES;
    h->value = value ? value : "";
    h->count++;
    return MHD_YES;
}

/* Every part ends where none of its own bytes can be. */
static bool make_print(const struct request *rq, unsigned char out[static KEY_PRINT])
{
    const struct digests *d = &rq->promised;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    char length[32];
    bool ok;

    snprintf(length, sizeof length, "\n%" PRId64 "\n", rq->announced);
    ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
         EVP_DigestUpdate(md, rq->route->method, strlen(rq->route->method)) == 1 &&
         EVP_DigestUpdate(md, "\n", 1) == 1 && EVP_DigestUpdate(md, rq->target.raw, strlen(rq->target.raw)) == 1 &&
         EVP_DigestUpdate(md, length, strlen(length)) == 1 && EVP_DigestUpdate(md, d, sizeof *d) == 1 &&
         EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

bool idempotency_begin(struct request *rq, struct error *err)
{
    struct header h = {0};

    MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, find_header, &h);
    if (h.count == 0)
        return true;
    if (h.count > 1)
        return error_set(err, ERR_REQUEST_MALFORMED, "%u Idempotency-Key headers", h.count);
    if (!idempotency_key_read(rq->key_used.text, h.value))
        return error_set(err, ERR_REQUEST_MALFORMED,
                         "Idempotency-Key: \"1 to 255 printable ASCII characters\", best those of a random UUID");
    snprintf(rq->key_used.caller, sizeof rq->key_used.caller, "%s", rq->token ? rq->token->id : "");
    return make_print(rq, rq->key_used.print) || error_set(err, ERR_INTERNAL, "no SHA-256 of the request");
}
