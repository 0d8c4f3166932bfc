#include "xmpp/s5b_name.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* As QString::toLatin1() does: '?' for every UTF-16 unit above U+00FF, so two beyond the BMP. in is valid UTF-8. */
static bool add_latin1(struct buf *out, const char *in)
{
    const unsigned char *p = (const unsigned char *)in;

    while (*p) {
        size_t len = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
        unsigned char latin = len == 1 ? p[0] : (unsigned char)((p[0] & 0x03) << 6 | (p[1] & 0x3f));

        if (len <= 2 && p[0] <= 0xc3)
            buf_add(out, &latin, 1);
        else
            buf_puts(out, len == 4 ? "??" : "?");
        p += len;
    }
    return !out->failed;
}

static bool hash(const struct buf *in, char out[static S5B_NAME])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (in->failed || !EVP_Digest(in->data, in->len, digest, &len, EVP_sha1(), NULL))
        return false;
    id_hex(digest, len, out);
    return true;
}

bool s5b_name(const char *sid, const char *requester, const char *target, char out[static S5B_NAME])
{
    struct buf text = {0};
    bool ok;

    buf_printf(&text, "%s%s%s", sid, requester, target);
    ok = hash(&text, out);
    buf_free(&text);
    return ok;
}

static bool latin1_name(const char *sid, const char *requester, const char *target, char out[static S5B_NAME])
{
    struct buf text = {0};
    bool ok = add_latin1(&text, sid) && add_latin1(&text, requester) && add_latin1(&text, target) && hash(&text, out);

    buf_free(&text);
    return ok;
}

size_t s5b_names(const char *sid, const char *self, const char *peer, char out[static CARRIER_NAMES][S5B_NAME])
{
    if (!s5b_name(sid, self, peer, out[0]) || !s5b_name(sid, peer, self, out[1]))
        return 0;
    if (is_ascii(sid) && is_ascii(self) && is_ascii(peer))
        return 2;
    return latin1_name(sid, self, peer, out[2]) && latin1_name(sid, peer, self, out[3]) ? 4 : 0;
}

void s5b_make_sid(char out[static S5B_SID])
{
    char random[S5B_SID - 2];

    id_random_hex(random, 16);
    snprintf(out, S5B_SID, "jp%s", random);
}
