/* tests/bench/scram.h - the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677): what logging in costs when the
 * password is not simply shown, as the gateway never does where it can do better. */
#ifndef BENCH_SCRAM_H
#define BENCH_SCRAM_H

#include <stddef.h>

enum { SCRAM_SIZE = 1024 };

struct scram {
    char first[SCRAM_SIZE]; /* client-first-message-bare */
};

/* The first message, in Base64. user: without '=' and ','. */
void scram_begin(struct scram *s, const char *user, int user_len, char out[static SCRAM_SIZE]);

/* The answer to the server's challenge, both in Base64. Ends the program when the challenge makes no sense. */
void scram_answer(const struct scram *s, const char *challenge, const char *password, char out[static SCRAM_SIZE]);

#endif
