/* The world as Dino is to see it, put before its libraries with LD_PRELOAD; the program itself stays as Debian ships
 * it. It looks for the server where the domain's DNS says, trusts the machine's certificates and offers every address
 * the machine has; here it finds
 *   - the server of the test at port DINO_PORT of 127.0.0.1 instead of 5222, and no DNS,
 *   - the certificate authority in the file DINO_CA,
 *   - one network, which is 127.0.0.2, or none when DINO_NO_ADDRESS is set. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    struct sockaddr_in server;

    if (address->sa_family == AF_INET6 && ((const struct sockaddr_in6 *)address)->sin6_port == htons(5222)) {
        errno = ECONNREFUSED;
        return -1;
    }
    if (address->sa_family == AF_INET && ((const struct sockaddr_in *)address)->sin_port == htons(5222)) {
        server = *(const struct sockaddr_in *)address;
        server.sin_port = htons((uint16_t)atoi(getenv("DINO_PORT")));
        return next(fd, (const struct sockaddr *)&server, sizeof server);
    }
    return next(fd, address, length);
}

int res_nquery(res_state state, const char *name, int class, int type, unsigned char *answer, int length)
{
    (void)name, (void)class, (void)type, (void)answer, (void)length;
    state->res_h_errno = HOST_NOT_FOUND;
    return -1;
}

int gnutls_x509_trust_list_add_system_trust(void *list, unsigned flags, unsigned verify)
{
    int (*add)(void *, const char *, const char *, int, unsigned, unsigned) =
        dlsym(dlopen("libgnutls.so.30", RTLD_NOW), "gnutls_x509_trust_list_add_trust_file");

    return add(list, getenv("DINO_CA"), NULL, 1 /* GNUTLS_X509_FMT_PEM */, flags, verify);
}

int getifaddrs(struct ifaddrs **all)
{
    static struct sockaddr_in address = {.sin_family = AF_INET}, mask = {.sin_family = AF_INET};
    static struct ifaddrs one = {.ifa_name = "eth0",
                                 .ifa_flags = IFF_UP | IFF_RUNNING,
                                 .ifa_addr = (struct sockaddr *)&address,
                                 .ifa_netmask = (struct sockaddr *)&mask};

    address.sin_addr.s_addr = inet_addr("127.0.0.2");
    mask.sin_addr.s_addr = inet_addr("255.255.255.0");
    *all = getenv("DINO_NO_ADDRESS") ? NULL : &one;
    return 0;
}

void freeifaddrs(struct ifaddrs *all)
{
    (void)all;
}
