/* Any bytes as the Upload-Metadata or Upload-Checksum of a tus request. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/tus_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    size_t pairs, bytes;
    char first[TUS_KEY + 1];
};

static bool look(void *user, const char *key, const char *value, size_t len, struct error *err)
{
    struct seen *seen = user;

    assert(*key && strlen(key) <= TUS_KEY && !strpbrk(key, " ,"));
    assert(value[len] == '\0');
    assert(seen->pairs == 0 || strcmp(seen->first, key) != 0);
    if (seen->pairs++ == 0)
        memcpy(seen->first, key, strlen(key) + 1);
    seen->bytes += len;
    return seen->bytes < 4000 || error_set(err, ERR_BODY_TOO_LARGE, "enough");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *value = strndup((const char *)data, size); /* exact size, so that one byte too many is seen */
    struct tus_checksum sum = {0};
    struct error err = {0};
    struct seen seen = {0};

    assert(tus_metadata_read(value, look, &seen, &err) == (err.code == ERR_NONE));
    assert(seen.bytes <= strlen(value));
    if (tus_checksum_read(value, &sum, &err))
        assert(sum.algorithm && sum.size <= sizeof sum.value);
    free(value);
    return 0;
}
