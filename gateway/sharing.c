#include "gateway/sharing.h"

#include <stdlib.h>
#include <uthash.h>

struct sharing {
    UT_hash_handle hh;
    ino_t file;
    unsigned names, spares;
};

void sharing_free(struct sharing **all)
{
    struct sharing *s = *all, *next;

    HASH_CLEAR(hh, *all); /* which leaves them linked to each other */
    for (; s; s = next) {
        next = s->hh.next;
        free(s);
    }
    *all = NULL;
}

static struct sharing *find(struct sharing *all, ino_t file)
{
    struct sharing *s = NULL;

    HASH_FIND(hh, all, &file, sizeof file, s);
    return s;
}

static struct sharing *add(struct sharing **all, ino_t file)
{
    struct sharing *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->file = file;
    s->names = 1;
    HASH_ADD(hh, *all, file, sizeof s->file, s);
    if (s->hh.tbl)
        return s;
    free(s);
    return NULL;
}

bool sharing_link(struct sharing **all, ino_t file)
{
    struct sharing *s = find(*all, file);

    if (!s)
        s = add(all, file);
    if (s)
        s->names++;
    return s != NULL;
}

bool sharing_meet(struct sharing **all, ino_t file, bool *first)
{
    struct sharing *s = find(*all, file);

    *first = !s;
    if (!s)
        return add(all, file) != NULL;
    s->names++;
    return true;
}

bool sharing_unlink(struct sharing **all, ino_t file, bool *spared)
{
    struct sharing *s = find(*all, file);

    *spared = false;
    if (!s)
        return true;
    s->names--;
    *spared = s->names > 0 && s->spares == s->names;
    if (s->names > 0)
        return false;
    HASH_DEL(*all, s);
    free(s);
    return true;
}

bool sharing_spare(struct sharing *all, ino_t file)
{
    struct sharing *s = find(all, file);

    return !s || ++s->spares == s->names;
}

bool sharing_claim(struct sharing *all, ino_t file)
{
    struct sharing *s = find(all, file);

    return !s || s->spares-- == s->names;
}
