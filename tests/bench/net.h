/* tests/bench/net.h - sockets on loopback and times, for the programs that measure. A failure of the set-up ends the
 * program with a word about it: there is nothing to go on with. */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>

int64_t now_ns(void);         /* CLOCK_MONOTONIC, the same for every program of a run */
int64_t process_cpu_ns(void); /* user and system time of this process */
int64_t cpu_ns_of(long pid);  /* and of another */

_Noreturn void die(const char *what); /* with errno's text */
_Noreturn void quit(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A decimal number from least to most, or the program ends. */
long number(const char *text, long least, long most);

int tcp_listen(uint16_t *port); /* on 127.0.0.1; 0 takes any and tells which */
int tcp_connect(const char *host, uint16_t port);
int tcp_begin(const char *host, uint16_t port); /* does not wait; -1 with errno */
void nonblock(int fd);

void write_all(int fd, const void *data, size_t len);

/* As many descriptors as we may have, and no signal for a socket whose other end is gone. */
void prepare_for_many(void);

/* Of n sorted values, the one that a share of them does not exceed. */
int64_t percentile(const int64_t *sorted, size_t n, double share);
void sort_times(int64_t *values, size_t n);

#endif
