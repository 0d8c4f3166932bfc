/* Any bytes as a jidpost.ini: a configuration that holds, or a sentence that says where it does not. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char nothing[] = "PATH=/", *const environment[] = {nothing, NULL};
    static const char *const least[] = {"xmpp.jid=gateway@example.org", "xmpp.password=secret", NULL};
    static int file = -1;
    struct config config;
    struct error error = {0};
    char path[32];

    if (memmem(data, size, "_file", 5)) /* which would be read, whatever it is */
        return 0;
    if (file < 0)
        file = memfd_create("jidpost.ini", MFD_CLOEXEC);
    assert(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (config_load(&config, path, environment, least, &error)) {
        assert(*config.xmpp.jid.text && config.server.state_dir && config.spool.dir);
        config_free(&config);
    } else {
        assert(error.code != ERR_NONE && *error.text);
    }
    return 0;
}
