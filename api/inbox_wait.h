/* api/inbox_wait.h - requests that wait for the next file in the inbox, as the server sees them (api/inbox.c). */
#ifndef API_INBOX_WAIT_H
#define API_INBOX_WAIT_H

#include "api/request.h"

struct inbox_wait; /* the request's */

void inbox_wait_free(struct inbox_wait **wait); /* NULL is fine; leaves *wait NULL */

/* Of a request that waits (rq->waiting): it is for a file, and its time is up, so that whoever claims it has it answer
 * that there is none. */
bool inbox_wait_is_over(const struct request *rq, int64_t now);

/* With the end of the request, on the HTTP thread: the journal does not wake it any more. */
void api_inbox_drop(struct request *rq);

#endif
