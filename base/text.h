/* base/text.h - the one gate for text that came from outside.
 *
 * libstrophe sends control characters and broken UTF-8 as they are, and a server answers those by ending the whole
 * stream. Nothing from a caller or a peer is stored, shown or sent before it passed here. Pure functions. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Reads the character at the front of text (UTF-8 as RFC 3629 has it: shortest form, no surrogates, up to U+10FFFF)
 * into *code. Its length in bytes, or 0 when there is none. */
size_t text_char(const char *text, size_t len, uint32_t *code);

/* len, less the bytes of a character that was cut in two at the end. */
size_t text_whole(const char *text, size_t len);

/* Valid UTF-8 made of XML 1.0 Char (section 2.2) alone: no C0 but tab, LF, CR; no surrogates, U+FFFE, U+FFFF. */
bool text_is_xml(const char *text, size_t len);

/* A file name fit to offer: text_is_xml, no '/', '\\', control, line or paragraph separator, bidi override, not empty,
 * not "." or "..", at most 255 bytes. ERR_NAME_INVALID says what is wrong and where. */
bool text_name_check(const char *name, size_t len, struct error *err);

/* Makes a peer's text showable: every byte that is no XML character becomes U+FFFD, cut to at most max-1 bytes on a
 * character boundary. Always terminates out. */
void text_clean(const char *in, char *out, size_t max);

/* Percent-decodes one path segment or query value in place-free form. '+' stays '+', except with plus_is_space.
 * Fails (ERR_REQUEST_MALFORMED) on a stray '%', on %00, and when out is too small. */
bool text_percent_decode(const char *in, size_t len, bool plus_is_space, char *out, size_t max, struct error *err);

/* The nearest of n words to text by edit distance, or NULL when none is near (more than a third of it differs). */
const char *text_nearest(const char *text, const char *const *words, size_t n);

/* '*' matches any run of characters; everything else itself. */
bool text_glob(const char *pattern, const char *text);

#endif
