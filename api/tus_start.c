/* api/tus_start.c - uploads in parts that were whole when an earlier run ended, and say whom for: it ended between
 * their last byte and their row. At the start they become transfers, under the rules of now for the token that began
 * them; one that may not, or whose token is no more, waits as it is for who asks for it, or expires. */
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/tus_meta.h"
#include "base/clock.h"
#include "base/log.h"

static void on_made(void *user, struct record *r, const struct error *err)
{
    struct request *rq = user;

    if (r)
        log_info("upload.started", log_str("transfer", r->id), log_str("request_id", rq->id));
    else
        log_warn("upload.not_started", log_str("request_id", rq->id), log_str("why", err->text));
    record_free(&r);
    params_free(&rq->params);
    free(rq);
}

/* What was begun without a token goes on where still none is asked for. */
static bool take_token(struct request *rq, const struct tokens *tokens, const char *id, struct error *err)
{
    if (!*id)
        return !tokens_any(tokens) || error_set(err, ERR_AUTH_MISSING, "it was begun without a token");
    rq->token = tokens_named(tokens, id, err);
    return rq->token != NULL;
}

/* The request that its caller would make; NULL with err unset: it does not say whom for. What it says is borrowed from
 * rq until the upload is finished. */
static struct upload *ask_for(struct request *rq, const struct tokens *tokens, const char *id, struct submission *s,
                              struct error *err)
{
    struct partial *p = gateway_partial_hold(rq->gw, id, NULL, err);
    const struct partial_info *info = p ? gateway_partial_info(p) : NULL;

    if (!p)
        return NULL;
    if (take_token(rq, tokens, info->token, err) && tus_meta_take(rq, info->meta, err) && tus_meta_addressed(rq) &&
        api_submission_of(rq, s, err))
        return gateway_partial_upload(&p, err);
    gateway_partial_release(&p);
    return NULL;
}

static void start(struct gateway *gw, const struct tokens *tokens, const char *id)
{
    struct request *rq = calloc(1, sizeof *rq);
    struct upload *upload;
    struct submission s;
    struct error err = {0};

    if (!rq) {
        log_warn("upload.not_started", log_str("upload", id), log_str("why", "out of memory"));
        return;
    }
    rq->gw = gw;
    id_make(rq->id, "rq", clock_wall_ms());
    upload = ask_for(rq, tokens, id, &s, &err);
    if (upload) {
        gateway_upload_finish(&upload, &s, on_made, rq);
        return;
    }
    if (err.code != ERR_NONE)
        log_warn("upload.not_started", log_str("upload", id), log_str("why", err.text));
    params_free(&rq->params);
    free(rq);
}

void api_tus_start(struct gateway *gw, const struct tokens *tokens)
{
    size_t count;
    char(*ids)[ID_SIZE] = gateway_partials_whole(gw, &count);

    for (size_t i = 0; i < count; i++)
        start(gw, tokens, ids[i]);
    free(ids);
}
