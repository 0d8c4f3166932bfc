/* A streamhost's bytes to our client side: cut into segments by the first byte; never read too far, and the request is
 * sent once and never before the choice. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "socks5/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum handshake_verdict verdict = HANDSHAKE_MORE;
    struct handshake h;
    size_t segment, written = 0;

    if (size == 0)
        return 0;
    segment = data[0] == 0 ? size : data[0];
    handshake_client(&h, "3457684be69fb9990232e6a8b1f55e80c3262c1b");
    h.out_len = 0;
    for (size_t at = 1; at < size && verdict == HANDSHAKE_MORE; at += segment) {
        struct bytes in = {.at = data + at, .left = size - at < segment ? size - at : segment};

        while (in.left > 0 && verdict == HANDSHAKE_MORE) {
            size_t before = in.left, wants = handshake_wants(&h);

            verdict = handshake_feed(&h, &in);
            if (wants == 0 || before == in.left)
                abort(); /* a driver would spin */
            written += h.out_len;
            h.out_len = 0;
        }
    }
    if (written != 0 && written != 47)
        abort();
    if (verdict == HANDSHAKE_OPEN && written != 47)
        abort();
    return 0;
}
