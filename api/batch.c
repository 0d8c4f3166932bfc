/* api/batch.c - several files or recipients of one call, which make a batch of transfers; GET /v1/batches/{id}.
 *
 * A form's files come one after the other, and each is an upload of its own; whom they are for may be known only at its
 * end. Everything is checked before anything is made: one recipient who is refused refuses the call. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/handlers.h"
#include "api/json.h"
#include "api/problem.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"

#define ONE_NAME "one name for several files: leave it out, each has its own"

struct file {
    struct upload *upload;
    char *name, *type; /* NULL: not said */
};

struct several {
    struct file files[BATCH_MOST]; /* those before the one at hand */
    size_t file_count;
    struct jid *to[BATCH_MOST]; /* none: the one in rq->to */
    size_t to_count;
    char (*ids)[ID_SIZE]; /* of transfers that count as the token's, beside rq->counted */
    size_t id_count;

    struct record_list made; /* in order */
    bool posted;             /* the request made them, or is told of them instead */
    bool waited;
    int64_t deadline; /* monotonic */
    size_t at;        /* the first that may not be final */
};

static struct several *several_of(struct request *rq, struct error *err)
{
    if (!rq->several)
        rq->several = calloc(1, sizeof *rq->several);
    if (!rq->several)
        error_set(err, ERR_INTERNAL, "out of memory");
    return rq->several;
}

static void file_free(struct file *f)
{
    free(f->name);
    free(f->type);
    *f = (struct file){0};
}

void several_drop(struct request *rq)
{
    struct several *s = rq->several;

    for (size_t i = 0; s && i < s->file_count; i++)
        if (s->files[i].upload)
            gateway_upload_abort(&s->files[i].upload, &rq->error);
}

void several_free(struct several **several)
{
    struct several *s = *several;

    if (!s)
        return;
    for (size_t i = 0; i < s->file_count; i++)
        file_free(&s->files[i]);
    for (size_t i = 0; i < s->to_count; i++)
        free(s->to[i]);
    free(s->ids);
    record_list_free(&s->made);
    free(s);
    *several = NULL;
}

void several_settle(struct request *rq)
{
    for (size_t i = 0; rq->several && i < rq->several->id_count; i++)
        limits_end(rq->gate->limits, rq->token, rq->several->ids[i]);
}

/* ---- whom it is for */

/* Which of several it was. */
static bool refuse_recipient(const char *text, size_t len, bool several, struct error *err)
{
    struct error why = *err;
    char shown[81];

    snprintf(shown, sizeof shown, "%.*s", (int)(len < 80 ? len : 80), text);
    if (several && !strstr(why.text, shown))
        error_set(err, why.code, "%s: %s", shown, why.text);
    return false;
}

static bool add_recipient(struct several *s, const struct jid *to, struct error *err)
{
    for (size_t i = 0; i < s->to_count; i++)
        if (jid_equal(s->to[i], to))
            return error_set(err, ERR_PARAMETER_INVALID, "'to' names %.100s twice", to->text);
    if (s->to_count == BATCH_MOST)
        return error_set(err, ERR_PARAMETER_INVALID, "at most %d recipients a call", BATCH_MOST);
    s->to[s->to_count] = jid_dup(to);
    if (!s->to[s->to_count])
        return error_set(err, ERR_INTERNAL, "out of memory");
    s->to_count++;
    return true;
}

bool several_recipients(struct request *rq, const char *lines, struct error *err)
{
    bool several = strchr(lines, '\n') != NULL;
    struct several *s = several ? several_of(rq, err) : NULL;

    if (several && !s)
        return false;
    for (const char *at = lines; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        size_t len = strcspn(at, "\n");

        if (!jid_parse(&rq->to, at, len, err) || !api_recipient_resource(rq, err) ||
            !token_may_reach(rq->token, &rq->to, rq->refusal.rule, err) || !api_submission_check(rq, err) ||
            (s && !add_recipient(s, &rq->to, err))) {
            rq->to.text[0] = '\0';
            return refuse_recipient(at, len, several, err);
        }
    }
    return true;
}

/* ---- its files */

static bool count_one(struct request *rq, const char *id, struct error *err)
{
    struct several *s = rq->several;
    char(*grown)[ID_SIZE];

    if (!limits_check(rq->gate->limits, rq->token, 0, &rq->refusal, err))
        return false;
    grown = realloc(s->ids, (s->id_count + 1) * sizeof *grown);
    if (!grown)
        return error_set(err, ERR_INTERNAL, "out of memory");
    s->ids = grown;
    memcpy(s->ids[s->id_count++], id, ID_SIZE);
    limits_begin(rq->gate->limits, rq->token, id);
    return true;
}

static bool put_aside(struct request *rq, struct several *s, struct error *err)
{
    struct file *f = &s->files[s->file_count];

    if ((*rq->name && !(f->name = strdup(rq->name))) || (*rq->type && !(f->type = strdup(rq->type)))) {
        file_free(f);
        return error_set(err, ERR_INTERNAL, "out of memory");
    }
    f->upload = rq->upload;
    s->file_count++;
    rq->upload = NULL;
    rq->name[0] = rq->type[0] = '\0';
    rq->file_taken = 0;
    return true;
}

bool several_next_file(struct request *rq, struct error *err)
{
    const struct submission what = {.mode = MODE_SPOOL};
    struct several *s = several_of(rq, err);

    if (!s)
        return false;
    if (s->file_count == BATCH_MOST - 1)
        return error_set(err, ERR_PARAMETER_INVALID, "at most %d files a call", BATCH_MOST);
    if (rq->params.value[PARAM_NAME] || rq->target.segments == 4)
        return error_set(err, ERR_PARAMETER_INVALID, ONE_NAME);
    if (!put_aside(rq, s, err))
        return false;
    rq->upload = gateway_upload_begin(rq->gw, -1, &what, err);
    return rq->upload && count_one(rq, gateway_upload_id(rq->upload), err);
}

/* ---- the commit */

static size_t files_of(const struct request *rq)
{
    return 1 + (rq->several ? rq->several->file_count : 0);
}

static size_t recipients_of(const struct request *rq)
{
    return rq->several && rq->several->to_count > 0 ? rq->several->to_count : 1;
}

bool several_is_one(const struct request *rq)
{
    return files_of(rq) * recipients_of(rq) > 1;
}

/* What each transfer is called, file by file; and each counts. */
static bool name_transfers(struct request *rq, char (*ids)[ID_SIZE], struct error *err)
{
    size_t recipients = recipients_of(rq), last = files_of(rq) - 1;

    for (size_t i = 0; i <= last; i++) {
        const struct upload *u = i < last ? rq->several->files[i].upload : rq->upload;

        memcpy(ids[i * recipients], gateway_upload_id(u), ID_SIZE);
        for (size_t k = 1; k < recipients; k++) {
            id_make(ids[i * recipients + k], "tr", clock_wall_ms());
            if (!count_one(rq, ids[i * recipients + k], err))
                return false;
        }
    }
    return true;
}

static enum MHD_Result committed(struct request *rq);

static bool hand_over(struct request *rq, char (*ids)[ID_SIZE], struct submission *what, struct error *err)
{
    struct several *s = rq->several;
    const struct jid *alone[] = {&rq->to};
    struct upload *uploads[BATCH_MOST];
    size_t files = files_of(rq);
    const struct parcel p = {.uploads = uploads,
                             .files = files,
                             .what = what,
                             .to = s->to_count > 0 ? (const struct jid *const *)s->to : alone,
                             .recipients = recipients_of(rq),
                             .url = order_url(rq),
                             .path = order_path(rq),
                             .most = rq->token ? rq->token->max_size : 0,
                             .ids = (const char(*)[ID_SIZE])ids};

    if (!name_transfers(rq, ids, err))
        return false;
    for (size_t i = 0; i < files; i++) {
        if (!api_submission_of(rq, &what[i], err))
            return false;
        if (i + 1 == files)
            break;
        what[i].name = s->files[i].name;
        what[i].type = s->files[i].type;
    }
    for (size_t i = 0; i + 1 < files; i++) {
        uploads[i] = s->files[i].upload;
        s->files[i].upload = NULL;
    }
    uploads[files - 1] = rq->upload;
    rq->upload = NULL;
    request_wait(rq, WAIT_COMMIT, committed);
    gateway_parcel_finish(rq->gw, &p, request_got_list, rq);
    return true;
}

enum MHD_Result several_finish(struct request *rq)
{
    size_t count = files_of(rq) * recipients_of(rq);
    char(*ids)[ID_SIZE] = calloc(count, sizeof *ids);
    struct submission *what = calloc(files_of(rq), sizeof *what);
    bool ok = false;

    if (files_of(rq) > 1 && rq->params.value[PARAM_NAME]) /* a part that came behind them */
        error_set(&rq->error, ERR_PARAMETER_INVALID, ONE_NAME);
    else if (count > BATCH_MOST)
        error_set(&rq->error, ERR_PARAMETER_INVALID, "%zu files for %zu recipients: at most %d transfers a call",
                  files_of(rq), recipients_of(rq), BATCH_MOST);
    else if (!ids || !what || !several_of(rq, &rq->error))
        error_set(&rq->error, ERR_INTERNAL, "out of memory");
    else
        ok = hand_over(rq, ids, what, &rq->error);
    free(ids);
    free(what);
    if (ok)
        return MHD_YES;
    api_upload_drop(rq);
    return reply_problem(rq, &rq->error, STAGE_REQUEST, NULL);
}

/* ---- the answer */

static bool went_well(const struct record *r)
{
    return r->state == TRANSFER_DELIVERED || r->state == TRANSFER_LINK_SENT || r->state == TRANSFER_LINK_FETCHED;
}

static unsigned status_of(const struct record *r)
{
    if (!transfer_state_final(r->state))
        return 202;
    if (went_well(r))
        return 200;
    if (r->error_code != ERR_NONE)
        return problem_of(r->error_code).status;
    return problem_of(r->state == TRANSFER_CANCELLED ? ERR_CANCELLED : ERR_TTL_EXPIRED).status;
}

/* Asked to wait, a caller wants to know from the status alone whether all arrived: it is that of the worst. */
static unsigned worst_status(const struct record_list *list)
{
    unsigned worst = 200;

    for (size_t i = 0; i < list->count; i++) {
        unsigned status = status_of(list->items[i]);

        if (status > worst)
            worst = status;
    }
    return worst;
}

/* Another one after every change of any. */
static void set_etag(struct request *rq, char etag[static 32])
{
    const struct record_list *list = &rq->several->made;
    uint64_t mix = UINT64_C(14695981039346656037); /* as FNV-1a does, by larger steps */

    for (size_t i = 0; i < list->count; i++) {
        const struct record *r = list->items[i];
        const uint64_t parts[] = {(uint64_t)r->updated, (uint64_t)r->state, r->sent};

        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            mix = (mix ^ parts[k]) * UINT64_C(1099511628211);
    }
    snprintf(etag, 32, "\"%016" PRIx64 "\"", mix);
    reply_header(rq, "ETag", "%s", etag);
}

static enum MHD_Result reply_list(struct request *rq, unsigned status)
{
    const char *accept = request_header(rq, "Accept");
    const struct record_list *list = &rq->several->made;
    char *text;

    if (!accept || !accept_wants_text(accept)) {
        text = json_line_of_batch(rq->batch, list);
        return text ? reply_text(rq, status, "application/json", text) : reply_no_memory(rq);
    }
    text = words_of_transfers(list->items, list->count);
    return text ? reply_text(rq, status, "text/plain; charset=utf-8", text) : reply_no_memory(rq);
}

static enum MHD_Result reply_batch(struct request *rq)
{
    const char *known = request_header(rq, "If-None-Match");
    struct several *s = rq->several;
    char etag[32];

    if (rq->prefer.wait)
        reply_header(rq, "Preference-Applied", "wait=%" PRId64, rq->wait_ms / 1000);
    else if (s->posted && rq->prefer.async && rq->wait_ms == 0)
        reply_header(rq, "Preference-Applied", "respond-async");
    if (s->posted) {
        reply_header(rq, "Location", "/v1/batches/%s", rq->batch);
        return reply_list(rq, rq->wait_ms > 0 ? worst_status(&s->made) : 202);
    }
    set_etag(rq, etag);
    if (known && etag_listed(known, etag))
        return reply_text(rq, 304, NULL, NULL);
    return reply_list(rq, 200);
}

static int by_place(const void *a, const void *b)
{
    const struct record *x = *(struct record *const *)a, *y = *(struct record *const *)b;

    return x->batch_place < y->batch_place ? -1 : x->batch_place > y->batch_place;
}

static void take_list(struct request *rq)
{
    struct record_list *list = &rq->got.list;

    if (list->count == 0)
        return;
    qsort(list->items, list->count, sizeof(struct record *), by_place);
    record_list_free(&rq->several->made);
    rq->several->made = *list;
    *list = (struct record_list){0};
}

static enum MHD_Result got_batch(struct request *rq);

static enum MHD_Result look(struct request *rq)
{
    const struct record_filter filter = {
        .batch = rq->batch, .token = token_sees_all(rq->token) ? NULL : rq->token->id, .limit = BATCH_MOST};

    request_wait(rq, WAIT_ANSWER, got_batch);
    gateway_list(rq->gw, &filter, request_got_list, rq);
    return MHD_YES;
}

/* Of one after the other until it is final, as long as there is time; then all are looked at as they are. */
static enum MHD_Result wait_on(struct request *rq);

static enum MHD_Result waited(struct request *rq)
{
    struct several *s = rq->several;
    struct record *r = rq->got.record;

    if (!r || !transfer_state_final(r->state))
        return look(rq);
    record_free(&s->made.items[s->at]);
    s->made.items[s->at] = r;
    rq->got.record = NULL;
    return wait_on(rq);
}

static enum MHD_Result wait_on(struct request *rq)
{
    struct several *s = rq->several;
    int64_t left = s->deadline - clock_ms();

    while (s->at < s->made.count && transfer_state_final(s->made.items[s->at]->state))
        s->at++;
    if (s->at == s->made.count || left <= 0 || rq->hung_up)
        return look(rq);
    request_wait(rq, WAIT_ANSWER, waited);
    gateway_wait(rq->gw, s->made.items[s->at]->id, left, request_got_record, rq);
    return MHD_YES;
}

static enum MHD_Result answer_or_wait(struct request *rq)
{
    struct several *s = rq->several;

    if (s->waited || rq->wait_ms == 0 || rq->hung_up)
        return reply_batch(rq);
    s->waited = true;
    s->deadline = clock_ms() + rq->wait_ms;
    return wait_on(rq);
}

/* While we stop nothing can be looked at any more; what is known already has to do. */
static enum MHD_Result got_batch(struct request *rq)
{
    struct error err = rq->got.error;

    take_list(rq);
    if (rq->several->made.count > 0)
        return answer_or_wait(rq);
    if (err.code == ERR_NONE)
        error_set(&err, ERR_NOT_FOUND, "there is no batch %s", rq->batch);
    return reply_problem(rq, &err, STAGE_REQUEST, NULL);
}

static enum MHD_Result committed(struct request *rq)
{
    struct record_list *made = &rq->several->made;

    if (rq->got.error.code != ERR_NONE)
        return reply_problem(rq, &rq->got.error, STAGE_UPLOAD, NULL);
    take_list(rq);
    if (made->count == 0) /* nobody is there to be answered */
        return MHD_NO;
    if (order_path(rq))
        limits_charge(rq->gate->limits, rq->token, made->items[0]->size);
    if (!made->items[0]->batch) {
        rq->got.record = made->items[0];
        made->items[0] = NULL;
        return api_upload_committed(rq);
    }
    rq->several->posted = true;
    snprintf(rq->batch, sizeof rq->batch, "%s", rq->several->made.items[0]->batch);
    return answer_or_wait(rq);
}

enum MHD_Result several_replay(struct request *rq, const char *id)
{
    struct error err;

    if (!several_of(rq, &err))
        return reply_no_memory(rq);
    rq->several->posted = true;
    snprintf(rq->batch, sizeof rq->batch, "%s", id);
    return look(rq);
}

/* ---- GET /v1/batches/{id} */

bool api_batch_begin(struct request *rq, struct error *err)
{
    if (!id_valid(rq->target.segment[2], "ba"))
        return error_set(err, ERR_NOT_FOUND, "no batch has such an id");
    snprintf(rq->batch, sizeof rq->batch, "%s", rq->target.segment[2]);
    return several_of(rq, err) && api_wait_begin(rq, err);
}

enum MHD_Result api_batch_get(struct request *rq)
{
    return look(rq);
}
