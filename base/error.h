/* base/error.h - a failure as a value: a stable code for programs, a sentence for people.
 *
 * The list below is the whole vocabulary; a name never changes once released, because clients match on it in
 * "code" and in attempts[].code. api/problem.c alone turns a code into an HTTP status.
 *
 * The caller owns the value; it travels by copy, also across threads. A function either returns its error or logs
 * it, never both. Our own bugs are assert(), everybody else's are values. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

/* What helps after this failure, by itself:
 *   NEVER  nothing: a person or the caller has to change something;
 *   METHOD the next method of the ladder (delivery only);
 *   LATER  the next method, and when none is left the same again after a pause. */
enum error_retry { RETRY_NEVER, RETRY_METHOD, RETRY_LATER };

/* clang-format off */
#define ERROR_CODES(X)                                                   \
    X(ERR_NONE,                     "none",                     NEVER)   \
    /* the request itself */                                             \
    X(ERR_REQUEST_MALFORMED,        "request_malformed",        NEVER)   \
    X(ERR_JID_INVALID,              "jid_invalid",              NEVER)   \
    X(ERR_LENGTH_CONFLICT,          "length_conflict",          NEVER)   \
    X(ERR_DIGEST_MISMATCH,          "digest_mismatch",          NEVER)   \
    X(ERR_DIGEST_UNSUPPORTED,       "digest_unsupported",       NEVER)   \
    X(ERR_AUTH_MISSING,             "auth_missing",             NEVER)   \
    X(ERR_AUTH_INVALID,             "auth_invalid",             NEVER)   \
    X(ERR_AUTH_EXPIRED,             "auth_expired",             NEVER)   \
    X(ERR_SCOPE_MISSING,            "scope_missing",            NEVER)   \
    X(ERR_RECIPIENT_NOT_ALLOWED,    "recipient_not_allowed",    NEVER)   \
    X(ERR_FROM_NOT_ALLOWED,         "from_not_allowed",         NEVER)   \
    X(ERR_RATE_LIMITED,             "rate_limited",             NEVER)   \
    X(ERR_HOST_NOT_ALLOWED,         "host_not_allowed",         NEVER)   \
    X(ERR_NOT_FOUND,                "not_found",                NEVER)   \
    X(ERR_GONE,                     "gone",                     NEVER)   \
    X(ERR_METHOD_NOT_ALLOWED,       "method_not_allowed",       NEVER)   \
    X(ERR_STATE_CONFLICT,           "state_conflict",           NEVER)   \
    X(ERR_UPLOAD_OFFSET_CONFLICT,   "upload_offset_conflict",   NEVER)   \
    X(ERR_UPLOAD_LOCKED,            "upload_locked",            LATER)   \
    X(ERR_UPLOAD_EXPIRED,           "upload_expired",           NEVER)   \
    X(ERR_CHECKSUM_MISMATCH,        "checksum_mismatch",        NEVER)   \
    X(ERR_TUS_VERSION,              "tus_version",              NEVER)   \
    X(ERR_IDEMPOTENCY_IN_PROGRESS,  "idempotency_in_progress",  LATER)   \
    X(ERR_IDEMPOTENCY_KEY_REUSE,    "idempotency_key_reuse",    NEVER)   \
    X(ERR_BODY_TOO_LARGE,           "body_too_large",           NEVER)   \
    X(ERR_MEDIA_REFUSED,            "media_refused",            NEVER)   \
    X(ERR_REQUEST_TIMEOUT,          "request_timeout",          LATER)   \
    X(ERR_RANGE_UNSATISFIABLE,      "range_unsatisfiable",      NEVER)   \
    X(ERR_NAME_INVALID,             "name_invalid",             NEVER)   \
    X(ERR_PARAMETER_INVALID,        "parameter_invalid",        NEVER)   \
    X(ERR_SOURCE_REFUSED,           "source_refused",           NEVER)   \
    X(ERR_SOURCE_FAILED,            "source_failed",            NEVER)   \
    X(ERR_QUOTA_EXCEEDED,           "quota_exceeded",           LATER)   \
    X(ERR_INTERNAL,                 "internal",                 NEVER)   \
    X(ERR_DRAINING,                 "draining",                 LATER)   \
    X(ERR_STORE_UNAVAILABLE,        "store_unavailable",        LATER)   \
    X(ERR_SPOOL_FULL,               "spool_full",               LATER)   \
    /* the delivery: what the recipient is or did */                     \
    X(ERR_RECIPIENT_OFFLINE,        "recipient_offline",        NEVER)   \
    X(ERR_RECIPIENT_DECLINED,       "recipient_declined",       NEVER)   \
    X(ERR_RECIPIENT_CANCELLED,      "recipient_cancelled",      NEVER)   \
    X(ERR_RECIPIENT_BUSY,           "recipient_busy",           LATER)   \
    X(ERR_RECIPIENT_FORBIDS,        "recipient_forbids",        NEVER)   \
    X(ERR_RECIPIENT_REDIRECTS,      "recipient_redirects",      NEVER)   \
    X(ERR_RECIPIENT_TOO_SMALL,      "recipient_too_small",      METHOD)  \
    X(ERR_RECIPIENT_TIMEOUT,        "recipient_timeout",        METHOD)  \
    X(ERR_NO_COMMON_METHOD,         "no_common_method",         METHOD)   \
    /* the delivery: one rung of the ladder */                           \
    X(ERR_METHOD_UNSUPPORTED,       "method_unsupported",       METHOD)  \
    X(ERR_PROFILE_UNSUPPORTED,      "profile_unsupported",      METHOD)  \
    X(ERR_OFFER_REJECTED,           "offer_rejected",           METHOD)  \
    X(ERR_IBB_REFUSED,              "ibb_refused",              METHOD)  \
    X(ERR_STREAMHOSTS_REFUSED,      "streamhosts_refused",      METHOD)  \
    X(ERR_STREAMHOSTS_UNREACHABLE,  "streamhosts_unreachable",  METHOD)  \
    X(ERR_TRANSPORT_FAILED,         "transport_failed",         METHOD)  \
    X(ERR_PEER_ERROR,               "peer_error",               METHOD)  \
    X(ERR_PEER_PROTOCOL_ERROR,      "peer_protocol_error",      METHOD)  \
    X(ERR_IBB_SEQUENCE_ERROR,       "ibb_sequence_error",       METHOD)  \
    X(ERR_EGRESS_BLOCKED,           "egress_blocked",           NEVER)  \
    /* the delivery: proxies (XEP-0065 section 6) */                     \
    X(ERR_PROXY_REFUSED,            "proxy_refused",            METHOD)  \
    X(ERR_PROXY_UNAVAILABLE,        "proxy_unavailable",        METHOD)  \
    X(ERR_PROXY_BUSY,               "proxy_busy",               METHOD)  \
    X(ERR_PROXY_FAILED,             "proxy_failed",             METHOD)  \
    X(ERR_NOT_A_PROXY,              "not_a_proxy",              METHOD)  \
    X(ERR_PROXY_HASH_MISMATCH,      "proxy_hash_mismatch",      METHOD)  \
    X(ERR_PROXY_PAIR_INCOMPLETE,    "proxy_pair_incomplete",    METHOD)  \
    X(ERR_PROXY_ALREADY_ACTIVE,     "proxy_already_active",     METHOD)  \
    X(ERR_ACTIVATION_TIMEOUT,       "activation_timeout",       LATER)  \
    /* the delivery: a link */                                           \
    X(ERR_UPLOAD_SERVICE_REFUSED,   "upload_service_refused",   METHOD)  \
    X(ERR_UPLOAD_SERVICE_QUOTA,     "upload_service_quota",     LATER)   \
    X(ERR_UPLOAD_SERVICE_FAILED,    "upload_service_failed",    LATER)   \
    X(ERR_LINK_FAILED,              "link_failed",              METHOD)  \
    /* the delivery: the stream and the way there */                     \
    X(ERR_STREAM_BROKEN,            "stream_broken",            LATER)   \
    X(ERR_TRUNCATED,                "truncated",                LATER)   \
    X(ERR_SIZE_EXCEEDED,            "size_exceeded",            LATER)   \
    X(ERR_SENDER_NOT_ALLOWED,       "sender_not_allowed",       NEVER)   \
    X(ERR_HASH_MISMATCH,            "hash_mismatch",            LATER)   \
    X(ERR_STALLED,                  "stalled",                  LATER)   \
    X(ERR_SECURITY_REFUSED,         "security_refused",         NEVER)   \
    X(ERR_REMOTE_SERVER_UNREACHABLE,"remote_server_unreachable",LATER)   \
    X(ERR_REMOTE_SERVER_TIMEOUT,    "remote_server_timeout",    LATER)   \
    X(ERR_PEER_RATE_LIMITED,        "peer_rate_limited",        LATER)   \
    X(ERR_XMPP_DISCONNECTED,        "xmpp_disconnected",        LATER)   \
    X(ERR_XMPP_AUTH_FAILED,         "xmpp_auth_failed",         LATER)   \
    X(ERR_TTL_EXPIRED,              "ttl_expired",              NEVER)   \
    X(ERR_CANCELLED,                "cancelled",                NEVER)   \
    /* start-up; these reach a terminal, not a client */                 \
    X(ERR_CONFIG,                   "config",                   NEVER)   \
    X(ERR_SYSTEM,                   "system",                   NEVER)

enum error_code {
#define X(code, name, retry) code,
    ERROR_CODES(X)
#undef X
    ERROR_CODE_COUNT
};
/* clang-format on */

struct error {
    enum error_code code;
    char text[200];
};

/* Sets *err and returns false, so that a failure is one statement: return error_set(err, ERR_…, "…"). Formats into
 * the value's own storage (cut at its end, on a character boundary); err may be NULL. */
bool error_set(struct error *err, enum error_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What is kept long and seldom set is held by pointer, NULL being ERR_NONE. Puts a copy of err in place of what was
 * kept; NULL: nothing any more. Without memory, what is kept says so. */
void error_keep(struct error **kept, const struct error *err);
enum error_code error_kept(const struct error *kept);

const char *error_name(enum error_code code);
enum error_retry error_retry(enum error_code code);

/* The code of a stored name; false for a name this version does not know. */
bool error_code_parse(const char *name, enum error_code *code);

#endif
