/* api/tus_meta.h - what an upload by tus is for: its Upload-Metadata as a request's parameters.
 *
 * It comes with the upload's creation and is read anew with each later request, so that a transfer is made of it as of
 * any other request. Keys that we do not know are their client's own. HTTP thread. */
#ifndef API_TUS_META_H
#define API_TUS_META_H

#include "api/request.h"

/* Reads it into rq's parameters, name, type and promise, and refuses all that can be refused for what it says: also
 * whom it is for, and that the caller's token may not send to them. */
bool tus_meta_take(struct request *rq, const char *line, struct error *err);

/* Whether it says whom for; then the last byte makes a transfer. */
bool tus_meta_addressed(const struct request *rq);

/* Of it the file's name and type alone, where the request itself has said nothing of them. */
bool tus_meta_describe(struct request *rq, const char *line, struct error *err);

#endif
