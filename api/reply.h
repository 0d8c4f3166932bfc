/* api/reply.h - answers: what every one carries, and the three forms they take.
 *
 * HTTP thread, inside request_handle() only. Each returns what the library's handler must return. */
#ifndef API_REPLY_H
#define API_REPLY_H

#include <jansson.h>

#include "api/request.h"

/* Adds a header to the answer to come. */
void reply_header(struct request *rq, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* body: given away, NULL: none. type: static; NULL: no body. */
enum MHD_Result reply_text(struct request *rq, unsigned status, const char *type, char *body);

/* data: stays where it is for as long as the program runs. */
enum MHD_Result reply_static(struct request *rq, unsigned status, const char *type, const void *data, size_t len);

/* One line of JSON; takes the reference. NULL: memory was short, and that is what is answered. */
enum MHD_Result reply_json(struct request *rq, unsigned status, json_t *body);

/* 500, the problem "internal", made without an allocation of ours: what comes of an answer that could not be made. */
enum MHD_Result reply_no_memory(struct request *rq);

/* The bytes of fd from `from` up to `to`; fd is given away. */
enum MHD_Result reply_file(struct request *rq, unsigned status, const char *type, int fd, uint64_t from, uint64_t to);

/* What read gives, until it says that this is the end; done is called once, also when there is no memory for it. user
 * of both is rq. */
enum MHD_Result reply_stream(struct request *rq, const char *type, MHD_ContentReaderCallback read,
                             MHD_ContentReaderFreeCallback done);

/* transfer: embedded; NULL: none. */
enum MHD_Result reply_problem(struct request *rq, const struct error *err, enum stage stage,
                              const struct record *transfer);

/* The library takes no answer in the middle of a body. This one is written past it, and MHD_NO makes it close the
 * connection: a caller who sends without end, or into a full spool, still learns why. */
enum MHD_Result reply_mid_body(struct request *rq, const struct error *err, enum stage stage);

/* On any thread, and without a request: past the library too, and nothing may follow on that socket. */
void reply_unasked(int fd, const struct error *err, enum stage stage, const char *id);

#endif
