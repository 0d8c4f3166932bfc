#include "cli/follow.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "cli/exit_code.h"
#include "cli/sse.h"

/* POLL: where the gateway has no events, each question waits for the end that long. */
enum { POLL_S = 1, AGAIN_MS = 1000, TRIES = 5, TARGET = 200 };

struct follow {
    struct talk *t;
    const char *id;        /* NULL: all */
    struct client *stream; /* beside the one that asks */
    struct sse sse;
    struct progress_rate rate;
    json_t *seen;   /* id → the state that was told, and since when it is as it was then */
    json_t *last;   /* the transfer as it is, when it is one */
    bool looked;    /* at all of them since the stream began */
    int status;     /* of a look that failed */
    int64_t failed; /* looks in a row */
};

/* ---- showing */

static const char *words_of(const json_t *transfer, const char *state)
{
    if (strcmp(state, "transferring") != 0 && !json_true_at(transfer, "final") &&
        strcmp(json_text_at(transfer, "upload.state") ? json_text_at(transfer, "upload.state") : "", "receiving") == 0)
        return "uploading";
    return state;
}

static struct progress progress_of(const json_t *transfer)
{
    const char *state = json_text_at(transfer, "state"), *name = json_text_at(transfer, "file.name"),
               *to = json_text_at(transfer, "to");
    bool flows = state && strcmp(state, "transferring") == 0, final = json_true_at(transfer, "final");
    bool got = state && strcmp(state, "delivered") == 0;

    return (struct progress){.name = name ? name : "a file",
                             .to = to ? to : "somebody",
                             .doing = words_of(transfer, state ? state : "unknown"),
                             .done = json_count_at(transfer, got ? "file.size" : "progress.sent"),
                             .total = json_count_at(transfer, "file.size"),
                             .counts = flows || got,
                             .sized = !final,
                             .method = json_text_at(transfer, "method.name"),
                             .path = json_text_at(transfer, "method.path")};
}

static void draw(struct follow *f, const json_t *transfer)
{
    struct progress p = progress_of(transfer);

    if (p.counts && p.sized)
        p.rate = progress_rate(&f->rate, clock_ms(), p.done);
    talk_draw(f->t, &p);
}

static void tell_failure(struct talk *t, const json_t *transfer)
{
    const char *id = json_text_at(transfer, "id"), *state = json_text_at(transfer, "state"),
               *title = json_text_at(transfer, "error.title"), *detail = json_text_at(transfer, "error.detail"),
               *hint = json_text_at(transfer, "error.hint");

    talk_complain(t, "jidpost: %s %s%s%s%s%s", id ? id : "it", state ? state : "failed", title ? ": " : "",
                  title ? title : "", detail ? ": " : "", detail ? detail : "");
    if (hint)
        talk_complain(t, "  hint: %s", hint);
}

void follow_tell(struct talk *t, const json_t *transfer)
{
    struct progress p = progress_of(transfer);
    bool final = json_true_at(transfer, "final"), good = exit_of_transfer(transfer) == EXIT_OK;
    enum tone tone = !final ? TONE_PLAIN : good ? TONE_GOOD : TONE_BAD;
    char line[1024], added[200];
    const char *proof = json_text_at(transfer, "delivery_proof"), *id = json_text_at(transfer, "id");

    snprintf(added, sizeof added, "%s%s%s", proof ? proof : "", proof ? ", " : "", id ? id : "");
    p.added = added;
    talk_say(t, tone, "%s", progress_line(&p, 0, line, sizeof line));
    if (final && !good)
        tell_failure(t, transfer);
}

/* Whether one of all says what is older than what was told. Of all of them, the list is asked for while events already
 * come, and is ahead of those that wait to be read. */
static bool is_past(const struct follow *f, const json_t *transfer, const json_t *told)
{
    const char *updated = json_text_at(transfer, "updated"), *before = json_text_at(told, "updated");

    return !f->id && updated && before && strcmp(updated, before) < 0;
}

/* A transfer as it is now. */
static void take(struct follow *f, json_t *transfer)
{
    const char *id = json_text_at(transfer, "id"), *state = json_text_at(transfer, "state"), *was;
    bool final = json_true_at(transfer, "final");
    const json_t *told;

    if (!id || !state || (f->id && strcmp(id, f->id) != 0))
        return;
    told = json_object_get(f->seen, id);
    if (is_past(f, transfer, told))
        return;
    was = json_text_at(told, "state");
    if (!was || strcmp(was, state) != 0) {
        json_object_set_new(f->seen, id,
                            json_pack("{s:s, s:s?}", "state", state, "updated", json_text_at(transfer, "updated")));
        talk_json(f->t, transfer);
        if (final || !f->id)
            follow_tell(f->t, transfer);
    }
    if (!f->id)
        return;
    if (!final)
        draw(f, transfer);
    json_decref(f->last);
    f->last = json_incref(transfer);
}

/* ---- asking */

static bool over(const struct follow *f)
{
    return f->id && f->last && json_true_at(f->last, "final");
}

static bool late(const struct follow *f)
{
    return f->t->until && clock_ms() >= f->t->until;
}

static void take_list(struct follow *f, const json_t *list)
{
    const json_t *items = json_object_get(list, "items");

    for (size_t i = json_array_size(items); i > 0; i--) /* newest first, they come */
        take(f, json_array_get(items, i - 1));
}

/* The transfer as it is, or all of late. False: it cannot be told, f->status says how that ends. */
static bool look(struct follow *f, int wait_s)
{
    struct client_answer answer;
    struct client_request request = {.method = "GET"};
    char target[TARGET];
    json_t *value = NULL;

    if (f->id)
        snprintf(target, sizeof target, "/v1/transfers/%.60s%s", f->id, wait_s ? "?wait=1" : "");
    else
        snprintf(target, sizeof target, "/v1/transfers?limit=100");
    request.target = target;
    client_ask(f->t->client, &request, &answer);
    if (answer.outcome == CLIENT_UNREACHABLE && f->last && ++f->failed < TRIES) {
        f->status = EXIT_OK; /* it may come back, as after an update */
    } else {
        f->status = answer.outcome == CLIENT_INTERRUPTED ? EXIT_OK : talk_read(f->t, &answer, &value);
        f->failed = 0;
    }
    if (value && f->id)
        take(f, value);
    else if (value)
        take_list(f, value);
    json_decref(value);
    client_answer_free(&answer);
    return f->status == EXIT_OK;
}

static bool on_line(void *user, const char *line)
{
    struct follow *f = user;
    json_t *event, *transfer;

    /* A stream of one begins, and goes on after a gap, with how it is; one of all with what happens next. */
    if (!f->id && !f->looked) {
        f->looked = true;
        if (!look(f, 0))
            return false;
    }
    if (!sse_line(&f->sse, line))
        return true;
    if (strcmp(f->sse.event, "reset") == 0)
        return f->id || look(f, 0);
    event = json_loads(f->sse.data.data, 0, NULL);
    transfer = json_object_get(json_object_get(event, "data"), "transfer");
    if (transfer)
        take(f, transfer);
    else if (!f->id && event)
        talk_json(f->t, event);
    json_decref(event);
    return !over(f);
}

/* One stream of events, as long as it lasts. False: there are none here, or no more. */
static bool listen_once(struct follow *f)
{
    struct client_answer answer;
    struct client_request request = {
        .method = "GET", .accept = "text/event-stream", .on_line = on_line, .user = f, .deadline = f->t->until};
    char target[TARGET], header[120] = "";

    if (f->id)
        snprintf(target, sizeof target, "/v1/transfers/%.60s/events", f->id);
    else
        snprintf(target, sizeof target, "/v1/events");
    if (*f->sse.id) {
        snprintf(header, sizeof header, "Last-Event-ID: %s", f->sse.id);
        request.header = header;
    }
    request.target = target;
    f->looked = false;
    client_ask(f->stream, &request, &answer);
    client_answer_free(&answer);
    return answer.outcome == CLIENT_STOPPED || answer.status == 200 || answer.outcome == CLIENT_TIMED_OUT ||
           answer.outcome == CLIENT_INTERRUPTED;
}

static bool goes_on(const struct follow *f)
{
    return f->status == EXIT_OK && !over(f) && !late(f) && !client_interrupted();
}

static void run(struct follow *f)
{
    bool streams = true;

    if (!look(f, 0))
        return;
    while (goes_on(f)) {
        if (streams) {
            streams = listen_once(f);
            if (streams && goes_on(f))
                client_pause(AGAIN_MS);
        } else if (!look(f, POLL_S)) {
            return;
        } else if (goes_on(f) && (!f->id || f->failed > 0)) {
            client_pause(AGAIN_MS);
        }
    }
}

/* The time is over, or somebody has enough: the transfer itself goes on. */
static int leave(struct follow *f)
{
    bool timed_out = late(f) && !client_interrupted();

    if (f->id)
        talk_complain(f->t, "jidpost: %s; %s goes on: jidpost watch %s, or jidpost cancel %s",
                      timed_out ? "the time of --wait is over" : "interrupted", f->id, f->id, f->id);
    return timed_out ? EXIT_TIMEOUT : f->id ? EXIT_INTERRUPTED : EXIT_OK;
}

static int follow(struct talk *t, const char *id)
{
    const struct client_config config = {
        .url = t->url, .token = t->token, .ca = cli_value(t->line, OPT_CA), .local = t->config.http.listen != NULL};
    struct follow f = {.t = t, .id = id, .seen = json_object()};
    struct error error;
    int status;

    f.stream = client_create(&config, &error);
    if (f.stream && f.seen)
        run(&f);
    else
        f.status = cli_fail(&error);
    if (f.status != EXIT_OK)
        status = f.status;
    else
        status = over(&f) ? exit_of_transfer(f.last) : leave(&f);
    client_destroy(&f.stream);
    sse_free(&f.sse);
    json_decref(f.seen);
    json_decref(f.last);
    return status;
}

int follow_transfer(struct talk *t, const char *id)
{
    return follow(t, id);
}

int follow_all(struct talk *t)
{
    return follow(t, NULL);
}
