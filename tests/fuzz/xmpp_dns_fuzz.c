/* A DNS response from the network: what is read has ends, and an order. */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "xmpp/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_service services[8];
    size_t count = dns_read_services(data, size, services, 8);

    assert(count <= 8);
    dns_order_services(services, count);
    for (size_t i = 0; i < count; i++) {
        assert(strlen(services[i].target) < DNS_HOST);
        assert(i == 0 || services[i - 1].priority <= services[i].priority);
    }
    return 0;
}
