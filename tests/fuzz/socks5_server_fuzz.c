/* A stranger's bytes at the SOCKS5 listener: cut into segments by the first byte, never read too far, and answered by
 * no more than a choice and one reply. */
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
    handshake_server(&h);
    for (size_t at = 1; at < size && verdict == HANDSHAKE_MORE; at += segment) {
        struct bytes in = {.at = data + at, .left = size - at < segment ? size - at : segment};

        while (in.left > 0 && verdict == HANDSHAKE_MORE) {
            size_t before = in.left, wants = handshake_wants(&h);

            verdict = handshake_feed(&h, &in);
            if (wants == 0 || before == in.left)
                abort(); /* a driver would spin */
            if (verdict == HANDSHAKE_ASKED)
                verdict = handshake_answer(&h, data[size - 1] & 1 ? SOCKS5_REP_OK : SOCKS5_REP_NOT_ALLOWED);
            written += h.out_len;
            h.out_len = 0;
        }
    }
    if (written > SOCKS5_CHOICE_LENGTH + SOCKS5_MESSAGE)
        abort();
    return 0;
}
