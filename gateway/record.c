/* gateway/record.c - everything that is kept and told about one transfer, see record.h. */
#include "gateway/record.h"

#include <assert.h>
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

/* ---- the record and what it owns */

enum { TEXTS = 11 };

/* Every owned string, so that copying and freeing cannot forget one. */
static void texts_of(struct record *r, char **fields[static TEXTS])
{
    char **all[TEXTS] = {&r->to,      &r->resource,   &r->from,       &r->name,    &r->type,       &r->caption,
                         &r->methods, &r->request_id, &r->streamhost, &r->link_at, &r->link_digest};

    memcpy(fields, all, sizeof all);
}

struct record *record_new(void)
{
    struct record *r = calloc(1, sizeof *r);

    if (r && (!record_text(&r->to, "") || !record_text(&r->name, "") || !record_text(&r->type, "")))
        record_free(&r);
    return r;
}

/* A copy of count elements, NULL when there are none; *ok becomes false when memory runs out. */
static void *copy_array(const void *from, size_t count, size_t size, bool *ok)
{
    void *to;

    if (count == 0)
        return NULL;
    to = malloc(count * size);
    if (to)
        memcpy(to, from, count * size);
    else
        *ok = false;
    return to;
}

struct record *record_copy(const struct record *r)
{
    struct record *copy = malloc(sizeof *copy);
    char **fields[TEXTS];
    bool ok = true;

    if (!copy)
        return NULL;
    *copy = *r;
    texts_of(copy, fields);
    for (size_t i = 0; i < TEXTS; i++) {
        const char *text = *fields[i];

        *fields[i] = NULL;
        ok = record_text(fields[i], text) && ok;
    }
    copy->steps = copy_array(r->steps, r->step_count, sizeof *r->steps, &ok);
    copy->attempts = copy_array(r->attempts, r->attempt_count, sizeof *r->attempts, &ok);
    if (!ok)
        record_free(&copy);
    return copy;
}

void record_free(struct record **r)
{
    char **fields[TEXTS];

    if (!*r)
        return;
    texts_of(*r, fields);
    for (size_t i = 0; i < TEXTS; i++)
        free(*fields[i]);
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
