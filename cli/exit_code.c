#include "cli/exit_code.h"

static const struct cli_fact meanings[] = {
    {"0", "Done; with --wait: delivered, or a link was sent."},
    {"2", "The command line, the configuration or the request is wrong."},
    {"3", "The token is missing, wrong, expired or not for this."},
    {"4", "There is no such transfer, file, token or webhook (any more)."},
    {"5",
     "The recipient: offline, declined, takes no files, did not answer; or the transfer was cancelled or expired."},
    {"6", "The way there: streams, proxies, upload services, other servers; the file was damaged."},
    {"7", "A limit: rate, quota, size of a file, space for files."},
    {"8", "The gateway does not answer, stops, failed, or has no XMPP session."},
    {"124", "The time of --wait was over; the transfer goes on."},
    {"130", "Interrupted (Ctrl-C); a transfer that was accepted goes on."},
    {NULL, NULL},
};
const struct cli_fact *const exit_codes = meanings;

int exit_of_error(enum error_code code)
{
    switch (code) {
    case ERR_NONE:
        return EXIT_OK;
    case ERR_REQUEST_MALFORMED:
    case ERR_JID_INVALID:
    case ERR_LENGTH_CONFLICT:
    case ERR_DIGEST_UNSUPPORTED:
    case ERR_METHOD_NOT_ALLOWED:
    case ERR_STATE_CONFLICT:
    case ERR_UPLOAD_OFFSET_CONFLICT:
    case ERR_UPLOAD_LOCKED:
    case ERR_TUS_VERSION:
    case ERR_IDEMPOTENCY_KEY_REUSE:
    case ERR_MEDIA_REFUSED:
    case ERR_RANGE_UNSATISFIABLE:
    case ERR_NAME_INVALID:
    case ERR_PARAMETER_INVALID:
    case ERR_METHOD_UNSUPPORTED:
    case ERR_CONFIG:
        return EXIT_USAGE;
    case ERR_AUTH_MISSING:
    case ERR_AUTH_INVALID:
    case ERR_AUTH_EXPIRED:
    case ERR_SCOPE_MISSING:
    case ERR_RECIPIENT_NOT_ALLOWED:
    case ERR_FROM_NOT_ALLOWED:
    case ERR_HOST_NOT_ALLOWED:
    case ERR_SOURCE_REFUSED:
    case ERR_SENDER_NOT_ALLOWED:
        return EXIT_AUTH;
    case ERR_NOT_FOUND:
    case ERR_GONE:
    case ERR_UPLOAD_EXPIRED:
        return EXIT_NOT_FOUND;
    case ERR_RECIPIENT_OFFLINE:
    case ERR_RECIPIENT_DECLINED:
    case ERR_RECIPIENT_CANCELLED:
    case ERR_RECIPIENT_BUSY:
    case ERR_RECIPIENT_FORBIDS:
    case ERR_RECIPIENT_REDIRECTS:
    case ERR_RECIPIENT_TOO_SMALL:
    case ERR_RECIPIENT_TIMEOUT:
    case ERR_NO_COMMON_METHOD:
    case ERR_SECURITY_REFUSED:
    case ERR_TTL_EXPIRED:
    case ERR_CANCELLED:
        return EXIT_RECIPIENT;
    case ERR_DIGEST_MISMATCH:
    case ERR_CHECKSUM_MISMATCH:
    case ERR_REQUEST_TIMEOUT:
    case ERR_PROFILE_UNSUPPORTED:
    case ERR_OFFER_REJECTED:
    case ERR_IBB_REFUSED:
    case ERR_STREAMHOSTS_REFUSED:
    case ERR_STREAMHOSTS_UNREACHABLE:
    case ERR_TRANSPORT_FAILED:
    case ERR_PEER_ERROR:
    case ERR_PEER_PROTOCOL_ERROR:
    case ERR_IBB_SEQUENCE_ERROR:
    case ERR_EGRESS_BLOCKED:
    case ERR_PROXY_REFUSED:
    case ERR_PROXY_UNAVAILABLE:
    case ERR_PROXY_BUSY:
    case ERR_PROXY_FAILED:
    case ERR_NOT_A_PROXY:
    case ERR_PROXY_HASH_MISMATCH:
    case ERR_PROXY_PAIR_INCOMPLETE:
    case ERR_PROXY_ALREADY_ACTIVE:
    case ERR_ACTIVATION_TIMEOUT:
    case ERR_UPLOAD_SERVICE_REFUSED:
    case ERR_UPLOAD_SERVICE_FAILED:
    case ERR_LINK_FAILED:
    case ERR_STREAM_BROKEN:
    case ERR_TRUNCATED:
    case ERR_SIZE_EXCEEDED:
    case ERR_SOURCE_FAILED:
    case ERR_HASH_MISMATCH:
    case ERR_STALLED:
    case ERR_REMOTE_SERVER_UNREACHABLE:
    case ERR_REMOTE_SERVER_TIMEOUT:
        return EXIT_TRANSPORT;
    case ERR_RATE_LIMITED:
    case ERR_BODY_TOO_LARGE:
    case ERR_QUOTA_EXCEEDED:
    case ERR_SPOOL_FULL:
    case ERR_UPLOAD_SERVICE_QUOTA:
    case ERR_PEER_RATE_LIMITED:
        return EXIT_LIMITS;
    case ERR_IDEMPOTENCY_IN_PROGRESS:
    case ERR_INTERNAL:
    case ERR_DRAINING:
    case ERR_STORE_UNAVAILABLE:
    case ERR_XMPP_DISCONNECTED:
    case ERR_XMPP_AUTH_FAILED:
    case ERR_SYSTEM:
    case ERROR_CODE_COUNT:
        break;
    }
    return EXIT_UNAVAILABLE;
}

int exit_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return EXIT_AUTH;
    case 404:
    case 410:
        return EXIT_NOT_FOUND;
    case 409:
        return EXIT_RECIPIENT;
    case 413:
    case 429:
    case 507:
        return EXIT_LIMITS;
    case 408:
    case 502:
    case 504:
        return EXIT_TRANSPORT;
    default:
        return status >= 200 && status < 300 ? EXIT_OK : status >= 500 ? EXIT_UNAVAILABLE : EXIT_USAGE;
    }
}
