/* gateway/receiving_kept.c - what broke off, for another try of its sender. */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/clock.h"
#include "gateway/receiving_parts.h"

void kept_forget(struct receiving *r, struct kept *k, bool with_row)
{
    DL_DELETE(r->kept, k);
    r->kept_count--;
    spool_remove_part(r->gw->spool, k->item->id, -1);
    if (with_row) {
        k->item->kept = false;
        k->item->updated = clock_wall_ms();
        store_put_item(r->gw->store, k->item, NULL, NULL, NULL);
        k->item = NULL;
    }
    inbox_item_free(&k->item);
    free(k);
}

void receiving_drop_kept(struct receiving *r, const char *id)
{
    struct kept *k;

    DL_FOREACH(r->kept, k)
    {
        if (strcmp(k->item->id, id) == 0)
            break;
    }
    if (k)
        kept_forget(r, k, false);
}

/* Name, size and address, and what else both offers say of the bytes. */
static bool is_same(const struct kept *k, const struct reception *re)
{
    size_t len = strlen(re->bare);

    if (strncmp(k->item->from, re->bare, len) != 0 || k->item->from[len] != '/')
        return false;
    if (strcmp(k->item->to, re->item->to) != 0 || strcmp(k->item->name, re->item->name) != 0 ||
        k->item->size != re->claimed)
        return false;
    if (*k->hash || *re->hash)
        return strcmp(k->algo, re->algo) == 0 && strcmp(k->hash, re->hash) == 0;
    return k->modified != 0 && k->modified == re->modified;
}

bool kept_take(struct reception *re)
{
    struct receiving *r = re->home;
    struct kept *k;

    DL_FOREACH(r->kept, k)
    {
        if (is_same(k, re))
            break;
    }
    if (!k)
        return false;
    DL_DELETE(r->kept, k);
    r->kept_count--;
    inbox_item_free(&re->item);
    re->item = k->item;
    re->here = k->item->received;
    re->item->state = INBOX_RECEIVING;
    re->item->kept = false;
    re->item->finished = re->item->expires = 0;
    re->item->error_code = ERR_NONE;
    record_text(&re->item->error_text, NULL);
    free(k);
    return true;
}

static bool of_same_sender(const struct kept *a, const struct kept *b)
{
    size_t len = strcspn(a->item->from, "/");

    return strcspn(b->item->from, "/") == len && memcmp(a->item->from, b->item->from, len) == 0;
}

/* The oldest of who has the most, so that nobody is pushed out by what another leaves here. */
static struct kept *one_too_many(const struct receiving *r)
{
    struct kept *k, *other, *found = NULL;
    size_t most = 0;

    DL_FOREACH(r->kept, k)
    {
        size_t his = 0;

        DL_FOREACH(r->kept, other)
        his += of_same_sender(k, other);
        if (his > most) {
            most = his;
            found = k;
        }
    }
    return found;
}

bool kept_keep(struct reception *re)
{
    struct receiving *r = re->home;
    bool untouched = !re->file && re->here > 0; /* of an earlier try, and the new one did not get so far */
    struct error err;
    struct kept *k;

    if (!re->ranges || re->claimed <= 0 || (!untouched && (!re->file || spool_size(re->file) == 0)))
        return false;
    if (!*re->hash && re->modified == 0) /* nothing would tell it from another */
        return false;
    if (re->file && !spool_rewind(re->file, spool_size(re->file), &err)) /* what came behind the last word of it */
        return false;
    k = calloc(1, sizeof *k);
    if (k)
        k->item = inbox_item_copy(re->item);
    if (!k || !k->item) {
        free(k);
        return false;
    }
    k->item->received = re->item->received = untouched ? re->here : spool_pause(&re->file);
    k->item->kept = true;
    memcpy(k->algo, re->algo, sizeof k->algo);
    memcpy(k->hash, re->hash, sizeof k->hash);
    k->modified = re->modified;
    re->here = 0;
    DL_APPEND(r->kept, k);
    r->kept_count++;
    if (r->kept_count > KEPT_MAX)
        kept_forget(r, one_too_many(r), true);
    return true;
}
