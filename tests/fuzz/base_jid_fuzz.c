/* Whatever is taken as an address is prepared: valid, within the limits, and itself when parsed again. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/jid.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jid j, again;
    struct error err;

    if (!jid_parse(&j, (const char *)data, size, &err)) {
        assert(err.code == ERR_JID_INVALID && text_is_xml(err.text, strlen(err.text)));
        return 0;
    }
    assert(strlen(j.text) <= JID_MAX && text_is_xml(j.text, strlen(j.text)));
    assert(jid_parse(&again, j.text, strlen(j.text), &err) && jid_equal(&j, &again));
    return 0;
}
