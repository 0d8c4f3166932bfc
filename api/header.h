/* api/header.h - the header fields whose values have a grammar of their own. Pure functions; any bytes may come in. */
#ifndef API_HEADER_H
#define API_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 7240. Preferences we do not know, and values we cannot read, are to be ignored; of two the first counts. */
struct prefer {
    bool async; /* respond-async */
    bool wait;
    int64_t wait_ms;
};

/* Adds one field line to what earlier lines said; *p starts zeroed. */
void prefer_read(struct prefer *p, const char *value);

/* The file name of a Content-Disposition (RFC 6266), filename* before filename, as sent but unquoted and decoded;
 * it has not passed any gate. false: none that fits. */
bool disposition_filename(const char *value, char *out, size_t max);

/* Whether a Content-Type is that type, parameters aside; both may be any case. */
bool media_type_is(const char *value, const char *type);

/* The boundary parameter of a multipart type (RFC 2046 section 5.1.1), unquoted. false: none, or one that cannot be
 * read; of a single character there is none, because libmicrohttpd takes no such. */
enum { BOUNDARY_MIN = 2, BOUNDARY_SIZE = 71 };
bool media_type_boundary(const char *value, char out[static BOUNDARY_SIZE]);

/* Whether it is a media type at all, "type/subtype" with optional parameters, printable ASCII, at most 127 bytes. */
bool media_type_valid(const char *value);

/* The caller reads words rather than JSON: Accept (RFC 9110 section 12.5.1) names text/plain and not application/json;
 * what has the weight 0 is not named. */
bool accept_wants_text(const char *value);

/* It is a browser: Accept names text/html. */
bool accept_wants_page(const char *value);

/* Whether Accept-Encoding (RFC 9110 section 12.5.3) names that coding with a weight other than 0; NULL, as a caller who
 * sent none, and "*" do not. */
bool accept_encoding_has(const char *value, const char *coding);

/* If-None-Match: "*", or a list in which our strong tag (with its quotes) occurs, weak or not (RFC 9110 13.1.2). */
bool etag_listed(const char *value, const char *etag);

/* Range (RFC 9110 section 14.2) of something of that size. RANGE_WHOLE: no range of bytes, one that cannot be read, or
 * several, which is one more than we serve; RANGE_PART: the bytes from *from up to *to, at least one. */
enum range { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };
enum range range_read(const char *value, uint64_t size, uint64_t *from, uint64_t *to);

/* The value that makes a browser save a file under that name and not show it (RFC 6266, with RFC 8187 for what ASCII
 * does not have); to be freed. NULL: out of memory. */
char *disposition_attachment(const char *name);

/* RFC 9110 section 5.6.7, IMF-fixdate. */
enum { HTTP_DATE = 30 };
void http_date(int64_t wall_ms, char out[static HTTP_DATE]);

/* A token of RFC 9110 section 5.6.2 and nothing else, as header names are. */
bool header_is_token(const char *text);

#endif
