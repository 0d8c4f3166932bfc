/* Any bytes as the value of each header that has a grammar of its own. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "api/digests.h"
#include "api/guard.h"
#include "api/header.h"
#include "api/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct guard guard = {0};
    static char token[] = "a token that nobody guesses";
    static const struct config config = {.http.token = token};
    static struct tokens *tokens;
    const struct token *who;
    char *value = strndup((const char *)data, size); /* exact size, so that one byte too many is seen */
    struct digests digests = {0};
    struct prefer prefer = {0};
    uint64_t from, to;
    char *attachment;
    char name[32], boundary[BOUNDARY_SIZE];
    int64_t ms;

    if (!tokens)
        tokens = tokens_load(&config, NULL);
    prefer_read(&prefer, value);
    assert(prefer.wait_ms >= 0);
    if (disposition_filename(value, name, sizeof name))
        assert(strlen(name) < sizeof name);
    digests_read(&digests, value, NULL);
    if (media_type_valid(value))
        assert(strlen(value) < 128 && strchr(value, '/'));
    media_type_is(value, "text/plain");
    if (media_type_boundary(value, boundary))
        assert(strlen(boundary) >= BOUNDARY_MIN && strlen(boundary) < BOUNDARY_SIZE);
    accept_wants_text(value);
    etag_listed(value, "\"1-queued-0\"");
    header_is_token(value);
    assert(!auth_check(tokens, value, &who, NULL));
    guard_check(&guard, value, NULL, NULL, NULL);
    assert(!guard_check(&guard, "localhost", "https://evil.example", value, NULL));
    guard_check(&guard, "localhost", value, value, NULL);
    guard_check_public(&guard, value, NULL);
    if (range_read(value, 1000, &from, &to) == RANGE_PART)
        assert(from < to && to <= 1000);
    attachment = disposition_attachment(value);
    assert(attachment && !strpbrk(attachment, "\r\n"));
    free(attachment);
    if (duration_parse(value, &ms))
        assert(ms >= 0);
    time_parse(value, &ms);
    free(value);
    return 0;
}
