/* gateway/record.c - everything that is kept and told about one transfer, see record.h. */
#include "gateway/record.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

enum { KEPT_FIRST = 10 }; /* how a transfer began explains more than its middle */

static const struct {
    const char *name;
    bool final;
} states[] = {
#define X(state, name, final) [state] = {name, final},
    TRANSFER_STATES(X)
#undef X
};

static const char *const stages[] = {
    [STAGE_REQUEST] = "request",   [STAGE_UPLOAD] = "upload", [STAGE_QUEUE] = "queue",
    [STAGE_RESOLVE] = "resolve",   [STAGE_OFFER] = "offer",   [STAGE_CONNECT] = "connect",
    [STAGE_TRANSFER] = "transfer", [STAGE_FINISH] = "finish",
};

static const char *const proofs[] = {
    [PROOF_NONE] = NULL,
    [PROOF_PROXY_ACCEPTED] = "proxy_accepted",
    [PROOF_PEER_CLOSED] = "peer_closed",
    [PROOF_PEER_CONFIRMED] = "peer_confirmed",
    [PROOF_HASH_CONFIRMED] = "hash_confirmed",
};

static const char *const modes[] = {
    [MODE_SPOOL] = "spool",
    [MODE_AUTO] = "auto",
    [MODE_STREAM] = "stream",
};

static const char *const upload_states[] = {
    [UPLOAD_COMPLETE] = "complete",
    [UPLOAD_RECEIVING] = "receiving",
    [UPLOAD_ABORTED] = "aborted",
};

static const char *const directions[] = {
    [STEP_SENT] = "sent",
    [STEP_RECEIVED] = "received",
    [STEP_LOCAL] = "local",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

const char *transfer_state_name(enum transfer_state state)
{
    assert(state < TRANSFER_STATE_COUNT);
    return states[state].name;
}

bool transfer_state_final(enum transfer_state state)
{
    assert(state < TRANSFER_STATE_COUNT);
    return states[state].final;
}

bool transfer_state_parse(const char *name, enum transfer_state *state)
{
    for (size_t i = 0; i < TRANSFER_STATE_COUNT; i++) {
        if (strcmp(states[i].name, name) == 0) {
            *state = (enum transfer_state)i;
            return true;
        }
    }
    return false;
}

/* The place of a name in a list that may have gaps; n when it is not there. */
static size_t find(const char *const *names, size_t n, const char *name)
{
    size_t i = 0;

    while (i < n && (!names[i] || strcmp(names[i], name) != 0))
        i++;
    return i;
}

const char *stage_name(enum stage stage)
{
    assert(stage < STAGE_COUNT);
    return stages[stage];
}

bool stage_parse(const char *name, enum stage *stage)
{
    size_t i = find(stages, STAGE_COUNT, name);

    if (i == STAGE_COUNT)
        return false;
    *stage = (enum stage)i;
    return true;
}

const char *proof_name(enum proof proof)
{
    assert(proof < COUNT(proofs));
    return proofs[proof];
}

bool proof_parse(const char *name, enum proof *proof)
{
    size_t i = find(proofs, COUNT(proofs), name);

    if (i == COUNT(proofs))
        return false;
    *proof = (enum proof)i;
    return true;
}

const char *mode_name(enum mode mode)
{
    assert(mode < COUNT(modes));
    return modes[mode];
}

bool mode_parse(const char *name, enum mode *mode)
{
    size_t i = find(modes, COUNT(modes), name);

    if (i == COUNT(modes))
        return false;
    *mode = (enum mode)i;
    return true;
}

const char *upload_state_name(enum upload_state state)
{
    assert(state < COUNT(upload_states));
    return upload_states[state];
}

bool upload_state_parse(const char *name, enum upload_state *state)
{
    size_t i = find(upload_states, COUNT(upload_states), name);

    if (i == COUNT(upload_states))
        return false;
    *state = (enum upload_state)i;
    return true;
}

const char *step_direction_name(enum step_direction direction)
{
    assert(direction < COUNT(directions));
    return directions[direction];
}

bool step_direction_parse(const char *name, enum step_direction *direction)
{
    size_t i = find(directions, COUNT(directions), name);

    if (i == COUNT(directions))
        return false;
    *direction = (enum step_direction)i;
    return true;
}

/* ---- what is folded: steps or attempts packed one behind the other */

/* Never changed; freed by the last record that has it. */
struct folded {
    _Atomic unsigned holders;
    size_t count, size;
    char packed[]; /* of each: what has a fixed size, then its three texts with their ends */
};

static struct folded *folded_create(size_t count, size_t size)
{
    struct folded *f = malloc(sizeof *f + size);

    if (f) {
        atomic_init(&f->holders, 1);
        f->count = count;
        f->size = size;
    }
    return f;
}

static struct folded *folded_hold(struct folded *f)
{
    if (f)
        atomic_fetch_add(&f->holders, 1);
    return f;
}

static void folded_release(struct folded **folded)
{
    struct folded *f = *folded;

    *folded = NULL;
    if (f && atomic_fetch_sub(&f->holders, 1) == 1)
        free(f);
}

static char *pack(char *to, const void *fixed, size_t size, const char *one, const char *two, const char *three)
{
    to = (char *)memcpy(to, fixed, size) + size;
    to = stpcpy(to, one) + 1;
    to = stpcpy(to, two) + 1;
    return stpcpy(to, three) + 1;
}

static const char *unpack_text(const char *from, char *to)
{
    size_t size = strlen(from) + 1;

    memcpy(to, from, size); /* it was packed out of a field of that size */
    return from + size;
}

/* An array of packed and more elements; *total: how many. NULL: none, or *ok becomes false. */
static void *make_room(const struct folded *f, size_t more, size_t element, size_t *total, bool *ok)
{
    void *all = NULL;

    *total = (f ? f->count : 0) + more;
    if (*total > 0 && !(all = calloc(*total, element)))
        *ok = false;
    return all;
}

/* ---- of steps */

struct step_fixed {
    int64_t at;
    enum step_direction direction;
};

static size_t packed_step_size(const struct step *s)
{
    return sizeof(struct step_fixed) + strlen(s->name) + strlen(s->outcome) + strlen(s->detail) + 3;
}

static char *pack_step(char *to, const struct step *s)
{
    const struct step_fixed fixed = {.at = s->at, .direction = s->direction};

    return pack(to, &fixed, sizeof fixed, s->name, s->outcome, s->detail);
}

static const char *unpack_step(const char *from, struct step *s)
{
    struct step_fixed fixed;

    memcpy(&fixed, from, sizeof fixed);
    s->at = fixed.at;
    s->direction = fixed.direction;
    from = unpack_text(from + sizeof fixed, s->name);
    from = unpack_text(from, s->outcome);
    return unpack_text(from, s->detail);
}

/* The steps of a story and count more behind it as one array. */
static struct step *unfold_steps(const struct record *r, size_t *total, bool *ok)
{
    struct step *all = make_room(r->story, r->step_count, sizeof *all, total, ok);
    const char *from = r->story ? r->story->packed : NULL;
    size_t packed = r->story ? r->story->count : 0;

    if (!all)
        return NULL;
    for (size_t i = 0; i < packed; i++)
        from = unpack_step(from, &all[i]);
    if (r->step_count > 0)
        memcpy(all + packed, r->steps, r->step_count * sizeof *all);
    return all;
}

/* Behind what was folded before. */
static void fold_steps(struct record *r)
{
    size_t before = r->story ? r->story->size : 0, size = before;
    struct folded *story;
    char *to;

    if (r->step_count == 0)
        return;
    for (size_t i = 0; i < r->step_count; i++)
        size += packed_step_size(&r->steps[i]);
    story = folded_create((r->story ? r->story->count : 0) + r->step_count, size);
    if (!story)
        return;
    if (before > 0)
        memcpy(story->packed, r->story->packed, before);
    to = story->packed + before;
    for (size_t i = 0; i < r->step_count; i++)
        to = pack_step(to, &r->steps[i]);
    folded_release(&r->story);
    free(r->steps);
    r->story = story;
    r->steps = NULL;
    r->step_count = 0;
}

/* A long story is cut in the middle, for which it has to be seen. */
static void open_story(struct record *r)
{
    bool ok = true;
    size_t count;
    struct step *steps = unfold_steps(r, &count, &ok);

    if (!ok)
        return;
    folded_release(&r->story);
    free(r->steps);
    r->steps = steps;
    r->step_count = count;
}

/* ---- of attempts, which are all folded or none, since the last one changes until it ends */

struct attempt_fixed {
    int64_t started, ended;
    unsigned round;
    enum stage stage;
    enum error_code code;
};

static size_t packed_attempt_size(const struct attempt *a)
{
    return sizeof(struct attempt_fixed) + strlen(a->method) + strlen(a->to) + strlen(a->error.text) + 3;
}

static char *pack_attempt(char *to, const struct attempt *a)
{
    const struct attempt_fixed fixed = {
        .started = a->started, .ended = a->ended, .round = a->round, .stage = a->stage, .code = a->error.code};

    return pack(to, &fixed, sizeof fixed, a->method, a->to, a->error.text);
}

static const char *unpack_attempt(const char *from, struct attempt *a)
{
    struct attempt_fixed fixed;

    memcpy(&fixed, from, sizeof fixed);
    a->started = fixed.started;
    a->ended = fixed.ended;
    a->round = fixed.round;
    a->stage = fixed.stage;
    a->error.code = fixed.code;
    from = unpack_text(from + sizeof fixed, a->method);
    from = unpack_text(from, a->to);
    return unpack_text(from, a->error.text);
}

static struct attempt *unfold_attempts(const struct record *r, size_t *total, bool *ok)
{
    struct attempt *all = make_room(r->tries, r->attempt_count, sizeof *all, total, ok);
    const char *from = r->tries ? r->tries->packed : NULL;

    if (!all)
        return NULL;
    for (size_t i = 0; r->tries && i < r->tries->count; i++)
        from = unpack_attempt(from, &all[i]);
    if (r->attempt_count > 0)
        memcpy(all, r->attempts, r->attempt_count * sizeof *all);
    return all;
}

static void fold_attempts(struct record *r)
{
    struct folded *tries;
    size_t size = 0;
    char *to;

    if (r->attempt_count == 0)
        return;
    for (size_t i = 0; i < r->attempt_count; i++)
        size += packed_attempt_size(&r->attempts[i]);
    tries = folded_create(r->attempt_count, size);
    if (!tries)
        return;
    to = tries->packed;
    for (size_t i = 0; i < r->attempt_count; i++)
        to = pack_attempt(to, &r->attempts[i]);
    free(r->attempts);
    r->tries = tries;
    r->attempts = NULL;
    r->attempt_count = 0;
}

static bool open_attempts(struct record *r)
{
    struct attempt *attempts;
    bool ok = true;
    size_t count;

    if (!r->tries)
        return true;
    attempts = unfold_attempts(r, &count, &ok);
    if (!ok)
        return false;
    folded_release(&r->tries);
    r->attempts = attempts;
    r->attempt_count = count;
    return true;
}

void record_fold(struct record *r)
{
    fold_steps(r);
    fold_attempts(r);
}

/* ---- the record and what it owns */

enum { TEXTS = 17 };

/* Every owned string, so that copying and freeing cannot forget one. */
static void texts_of(struct record *r, char **fields[static TEXTS])
{
    char **all[TEXTS] = {&r->to,         &r->resource,   &r->from,       &r->name,    &r->type,        &r->caption,
                         &r->methods,    &r->request_id, &r->streamhost, &r->link_at, &r->link_digest, &r->token,
                         &r->error_text, &r->sha256,     &r->labels,     &r->batch,   &r->traceparent};

    memcpy(fields, all, sizeof all);
}

struct record *record_new(void)
{
    struct record *r = calloc(1, sizeof *r);

    if (r && (!record_text(&r->to, "") || !record_text(&r->name, "") || !record_text(&r->type, "")))
        record_free(&r);
    return r;
}

/* All but steps and attempts. */
static void copy_head(struct record *to, const struct record *from)
{
    *to = *from;
    to->story = to->tries = NULL;
    to->steps = NULL;
    to->attempts = NULL;
    to->step_count = to->attempt_count = 0;
}

static struct record *copy_facts(const struct record *r)
{
    struct record *copy = calloc(1, sizeof *copy);
    char **fields[TEXTS];
    bool ok = true;

    if (!copy)
        return NULL;
    copy_head(copy, r);
    copy->compact = false;
    texts_of(copy, fields);
    for (size_t i = 0; i < TEXTS; i++) {
        const char *text = *fields[i];

        *fields[i] = NULL;
        ok = record_text(fields[i], text) && ok;
    }
    if (!ok)
        record_free(&copy);
    return copy;
}

static struct record *compact_facts(struct record *r)
{
    size_t size = sizeof *r;
    struct record *copy;
    char **fields[TEXTS], *to;

    texts_of(r, fields);
    for (size_t i = 0; i < TEXTS; i++)
        size += *fields[i] ? strlen(*fields[i]) + 1 : 0;
    copy = malloc(size);
    if (!copy)
        return NULL;
    copy_head(copy, r);
    copy->compact = true;
    to = (char *)(copy + 1);
    texts_of(copy, fields);
    for (size_t i = 0; i < TEXTS; i++) {
        const char *text = *fields[i];

        if (!text)
            continue;
        *fields[i] = to;
        to = stpcpy(to, text) + 1;
    }
    return copy;
}

struct record *record_copy(const struct record *r)
{
    struct record *copy = copy_facts(r);
    bool ok = true;

    if (copy) {
        copy->steps = unfold_steps(r, &copy->step_count, &ok);
        copy->attempts = unfold_attempts(r, &copy->attempt_count, &ok);
    }
    if (!ok)
        record_free(&copy);
    return copy;
}

struct record *record_snapshot(struct record *r)
{
    struct record *copy;

    record_fold(r);
    if (r->step_count > 0 || r->attempt_count > 0) /* no memory for it: there may be some for less */
        return record_copy(r);
    copy = compact_facts(r);
    if (copy) {
        copy->story = folded_hold(r->story);
        copy->tries = folded_hold(r->tries);
    }
    return copy;
}

void record_free(struct record **r)
{
    char **fields[TEXTS];

    if (!*r)
        return;
    texts_of(*r, fields);
    for (size_t i = 0; !(*r)->compact && i < TEXTS; i++)
        free(*fields[i]);
    folded_release(&(*r)->story);
    folded_release(&(*r)->tries);
    free((*r)->steps);
    free((*r)->attempts);
    free(*r);
    *r = NULL;
}

bool record_text(char **field, const char *value)
{
    char *copy = NULL;

    if (value && !(copy = strdup(value)))
        return false;
    free(*field);
    *field = copy;
    return true;
}

void record_fail(struct record *r, const struct error *err)
{
    r->error_code = err->code;
    if (!record_text(&r->error_text, err->text[0] ? err->text : NULL))
        record_text(&r->error_text, NULL);
}

struct error record_error(const struct record *r)
{
    struct error err = {.code = r->error_code};

    if (r->error_text)
        snprintf(err.text, sizeof err.text, "%s", r->error_text);
    return err;
}

/* ---- the timeline and the attempts */

static struct step make_step(enum step_direction direction, const char *name, const char *outcome, const char *detail)
{
    struct step s = {.at = clock_wall_ms(), .direction = direction};

    text_clean(name, s.name, sizeof s.name);
    text_clean(outcome ? outcome : "", s.outcome, sizeof s.outcome);
    text_clean(detail ? detail : "", s.detail, sizeof s.detail);
    return s;
}

/* Makes room behind the first ten and leaves a step there that says how many are missing. Many go at once, so that a
 * long story is not moved, and its rows not rewritten, at every further step. */
static void drop_steps(struct record *r)
{
    size_t first = KEPT_FIRST + (r->steps_dropped > 0 ? 1 : 0); /* an older such step is replaced, not counted */
    size_t drop = RECORD_STEPS / 4;
    char detail[64];

    if (first + drop > r->step_count)
        drop = r->step_count - first;
    r->steps_dropped += (unsigned)drop;
    snprintf(detail, sizeof detail, "%u steps left out here", r->steps_dropped);
    memmove(r->steps + KEPT_FIRST + 1, r->steps + first + drop, (r->step_count - first - drop) * sizeof *r->steps);
    r->steps[KEPT_FIRST] = make_step(STEP_LOCAL, "steps dropped", "", detail);
    r->step_count = KEPT_FIRST + 1 + r->step_count - first - drop;
}

void record_step(struct record *r, enum step_direction direction, const char *name, const char *outcome,
                 const char *detail)
{
    struct step *grown;

    if (r->story && r->story->count + r->step_count >= RECORD_STEPS)
        open_story(r);
    if (r->step_count == RECORD_STEPS) {
        drop_steps(r);
    } else if ((grown = realloc(r->steps, (r->step_count + 1) * sizeof *grown))) {
        r->steps = grown;
    } else {
        if (r->step_count < KEPT_FIRST + 3)
            return; /* nothing worth dropping for it */
        drop_steps(r);
    }
    r->steps[r->step_count++] = make_step(direction, name, outcome, detail);
}

static void drop_attempts(struct record *r)
{
    size_t drop = RECORD_ATTEMPTS / 4;
    struct attempt *from = r->attempts + KEPT_FIRST;
    char detail[96];

    snprintf(detail, sizeof detail, "%zu attempts of rounds %u to %u left out", drop, from[0].round,
             from[drop - 1].round);
    r->attempt_count -= drop;
    memmove(from, from + drop, (r->attempt_count - KEPT_FIRST) * sizeof *from);
    record_step(r, STEP_LOCAL, "attempts dropped", "", detail);
}

struct attempt *record_attempt(struct record *r)
{
    struct attempt *grown;

    if (!open_attempts(r))
        return NULL;
    if (r->attempt_count == RECORD_ATTEMPTS)
        drop_attempts(r);
    grown = realloc(r->attempts, (r->attempt_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    r->attempts = grown;
    grown += r->attempt_count++;
    memset(grown, 0, sizeof *grown);
    return grown;
}

struct attempt *record_last_attempt(struct record *r)
{
    return open_attempts(r) && r->attempt_count > 0 ? &r->attempts[r->attempt_count - 1] : NULL;
}
