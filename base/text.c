/* base/text.c - the one gate for text that came from outside, see text.h. */
#include "base/text.h"

#include <string.h>

size_t text_char(const char *text, size_t len, uint32_t *code)
{
    /* RFC 3629 section 4: by first byte, the length and the range of the second byte that keeps the form shortest,
     * the surrogates out and the end at U+10FFFF. */
    static const struct {
        unsigned char first, last, length, low, high;
    } leads[] = {
        {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
        {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
        {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
    };
    static const unsigned char payload[] = {0, 0, 0x1f, 0x0f, 0x07};
    const unsigned char *at = (const unsigned char *)text;

    if (len > 0 && at[0] < 0x80) {
        *code = at[0];
        return 1;
    }
    for (size_t i = 0; len > 0 && i < sizeof(leads) / sizeof(leads[0]); i++) {
        size_t n = leads[i].length;
        uint32_t c;

        if (at[0] < leads[i].first || at[0] > leads[i].last)
            continue;
        if (len < n || at[1] < leads[i].low || at[1] > leads[i].high)
            return 0;
        c = at[0] & payload[n];
        for (size_t k = 1; k < n; k++) {
            if ((at[k] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (at[k] & 0x3f);
        }
        *code = c;
        return n;
    }
    return 0;
}

size_t text_whole(const char *text, size_t len)
{
    size_t start = len;
    size_t want = 1;
    unsigned char lead;

    while (start > 0 && len - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return len; /* nothing but continuation bytes: no character of ours to save */
    lead = (unsigned char)text[--start];
    if (lead >= 0xf0)
        want = 4;
    else if (lead >= 0xe0)
        want = 3;
    else if (lead >= 0xc0)
        want = 2;
    return len - start < want ? start : len;
}

/* XML 1.0 section 2.2, production [2] Char; text_char() has kept the surrogates out. */
static bool is_xml_char(uint32_t c)
{
    if (c < 0x20)
        return c == '\t' || c == '\n' || c == '\r';
    return c != 0xfffe && c != 0xffff;
}

bool text_is_xml(const char *text, size_t len)
{
    while (len > 0) {
        uint32_t c;
        size_t n = text_char(text, len, &c);

        if (n == 0 || !is_xml_char(c))
            return false;
        text += n;
        len -= n;
    }
    return true;
}

/* What a character does wrong in a file name; NULL: nothing. */
static const char *name_fault(uint32_t c)
{
    if (c == '/' || c == '\\')
        return "a path separator";
    if (c < 0x20 || (c >= 0x7f && c < 0xa0))
        return "a control character";
    if (c == 0x2028 || c == 0x2029)
        return "a line separator";
    if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
        return "a character that turns the reading direction";
    if (!is_xml_char(c))
        return "a character that XML does not allow";
    return NULL;
}

bool text_name_check(const char *name, size_t len, struct error *err)
{
    enum { NAME_BYTES = 255 }; /* NAME_MAX of every file system a recipient may keep it on */

    if (len == 0)
        return error_set(err, ERR_NAME_INVALID, "the file name is empty");
    if (len > NAME_BYTES)
        return error_set(err, ERR_NAME_INVALID, "the file name has %zu bytes, at most %d are allowed", len, NAME_BYTES);
    if ((len == 1 && name[0] == '.') || (len == 2 && memcmp(name, "..", 2) == 0))
        return error_set(err, ERR_NAME_INVALID, "'%.*s' names a folder, not a file", (int)len, name);
    for (size_t at = 0; at < len;) {
        uint32_t c;
        size_t n = text_char(name + at, len - at, &c);
        const char *fault;

        if (n == 0)
            return error_set(err, ERR_NAME_INVALID, "the file name is not valid UTF-8 at byte %zu", at + 1);
        fault = name_fault(c);
        if (fault)
            return error_set(err, ERR_NAME_INVALID, "the file name has %s (U+%04X) at byte %zu", fault, (unsigned)c,
                             at + 1);
        at += n;
    }
    return true;
}

void text_clean(const char *in, char *out, size_t max)
{
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
    size_t left = strlen(in);
    size_t made = 0;

    if (max == 0)
        return;
    while (left > 0) {
        uint32_t c;
        size_t took = text_char(in, left, &c);
        const char *from = in;
        size_t n = took;

        if (took == 0 || !is_xml_char(c)) {
            from = replacement;
            n = sizeof(replacement) - 1;
        }
        if (made + n >= max)
            break;
        memcpy(out + made, from, n);
        made += n;
        took += took == 0;
        in += took;
        left -= took;
    }
    out[made] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_percent_decode(const char *in, size_t len, bool plus_is_space, char *out, size_t max, struct error *err)
{
    size_t made = 0;

    for (size_t at = 0; at < len; at++) {
        char c = in[at];

        if (c == '%') {
            int high = len - at > 2 ? hex_value(in[at + 1]) : -1;
            int low = len - at > 2 ? hex_value(in[at + 2]) : -1;

            if (high < 0 || low < 0)
                return error_set(err, ERR_REQUEST_MALFORMED, "a '%%' without two hex digits behind it");
            c = (char)(high << 4 | low);
            at += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return error_set(err, ERR_REQUEST_MALFORMED, "a NUL byte has no place here");
        if (made + 1 >= max)
            return error_set(err, ERR_REQUEST_MALFORMED, "more than %zu bytes", max ? max - 1 : 0);
        out[made++] = c;
    }
    if (max == 0)
        return error_set(err, ERR_REQUEST_MALFORMED, "no room");
    out[made] = '\0';
    return true;
}

enum { WORD_MAX = 64 }; /* longer words are nobody's typing mistake */

/* Levenshtein's distance: insertions, deletions and replacements; both at most WORD_MAX long. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[WORD_MAX + 1];

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *text_nearest(const char *text, const char *const *words, size_t n)
{
    size_t len = strlen(text);
    const char *nearest = NULL;
    size_t least = WORD_MAX;

    if (len > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t word_len = strlen(words[i]);
        size_t longer = word_len > len ? word_len : len;
        size_t distance;

        if (word_len > WORD_MAX)
            continue;
        distance = edit_distance(text, len, words[i], word_len);
        if (distance * 3 <= longer && distance < least) {
            nearest = words[i];
            least = distance;
        }
    }
    return nearest;
}

bool text_glob(const char *pattern, const char *text)
{
    const char *star = NULL; /* the last '*' seen, and where its run ends so far */
    const char *resume = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
