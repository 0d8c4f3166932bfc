/* xmpp/tcp_written.h - how much of what we sent the kernel has taken.
 *
 * Alone in its file: <linux/tcp.h>, which knows the newer fields, clashes with <netinet/tcp.h>. Any thread. */
#ifndef XMPP_TCP_WRITTEN_H
#define XMPP_TCP_WRITTEN_H

#include <stdint.h>

/* Bytes handed to the kernel on that TCP socket so far, sent or still in its buffer; 0 when it cannot tell. */
uint64_t tcp_written(int fd);

#endif
