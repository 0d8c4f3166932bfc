#include "gateway/turns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

struct place {
    struct place *prev, *next;
    void *item;
};

/* One recipient: in the ring while somebody stands in its line. */
struct line {
    UT_hash_handle hh;
    struct line *prev, *next;
    struct place *first;
    size_t active;
    bool in_ring;
    char key[];
};

struct turns {
    struct line *lines; /* by key */
    struct line *ring;  /* those with somebody waiting, whose turn it is first */
    size_t parallel, per_key;
    size_t waiting, active;
};

struct turns *turns_create(size_t parallel, size_t per_key)
{
    struct turns *turns = calloc(1, sizeof *turns);

    if (turns)
        turns_limit(turns, parallel, per_key);
    return turns;
}

void turns_limit(struct turns *turns, size_t parallel, size_t per_key)
{
    turns->parallel = parallel;
    turns->per_key = per_key;
}

static struct line *line_of(struct turns *turns, const char *key)
{
    struct line *line = NULL;

    HASH_FIND_STR(turns->lines, key, line);
    return line;
}

static struct line *line_make(struct turns *turns, const char *key)
{
    size_t len = strlen(key);
    struct line *line = calloc(1, sizeof *line + len + 1);

    if (!line)
        return NULL;
    memcpy(line->key, key, len + 1);
    HASH_ADD_KEYPTR(hh, turns->lines, line->key, len, line);
    if (!line->hh.tbl) {
        free(line);
        return NULL;
    }
    return line;
}

/* A line is kept only while somebody waits in it or is at work. */
static void line_settle(struct turns *turns, struct line *line)
{
    if (line->in_ring != (line->first != NULL)) {
        line->in_ring = !line->in_ring;
        if (line->in_ring)
            DL_APPEND(turns->ring, line);
        else
            DL_DELETE(turns->ring, line);
    }
    if (!line->first && line->active == 0) {
        HASH_DEL(turns->lines, line);
        free(line);
    }
}

static void *place_take(struct turns *turns, struct line *line, struct place *place)
{
    void *item = place->item;

    DL_DELETE(line->first, place);
    free(place);
    turns->waiting--;
    return item;
}

void turns_destroy(struct turns **turns)
{
    struct line *line, *tmp;

    if (!*turns)
        return;
    HASH_ITER(hh, (*turns)->lines, line, tmp)
    {
        while (line->first)
            place_take(*turns, line, line->first);
        line->active = 0;
        line_settle(*turns, line);
    }
    free(*turns);
    *turns = NULL;
}

bool turns_wait(struct turns *turns, const char *key, void *item)
{
    struct line *line = line_of(turns, key);
    struct place *place = malloc(sizeof *place);

    if (!place || (!line && !(line = line_make(turns, key)))) {
        free(place);
        return false;
    }
    place->item = item;
    DL_APPEND(line->first, place);
    turns->waiting++;
    line_settle(turns, line);
    return true;
}

void *turns_next(struct turns *turns)
{
    struct line *line;

    if (turns->active >= turns->parallel)
        return NULL;
    DL_FOREACH(turns->ring, line)
    {
        void *item;

        if (line->active >= turns->per_key)
            continue;
        item = place_take(turns, line, line->first);
        line->active++;
        turns->active++;
        DL_DELETE(turns->ring, line); /* to the end of the ring */
        line->in_ring = false;
        line_settle(turns, line);
        return item;
    }
    return NULL;
}

void turns_done(struct turns *turns, const char *key)
{
    struct line *line = line_of(turns, key);

    assert(line && line->active > 0);
    line->active--;
    turns->active--;
    line_settle(turns, line);
}

void turns_leave(struct turns *turns, const char *key, void *item)
{
    struct line *line = line_of(turns, key);
    struct place *place;

    if (!line)
        return;
    DL_FOREACH(line->first, place)
    {
        if (place->item != item)
            continue;
        place_take(turns, line, place);
        line_settle(turns, line);
        return;
    }
}

size_t turns_waiting(const struct turns *turns)
{
    return turns->waiting;
}

size_t turns_active(const struct turns *turns)
{
    return turns->active;
}
