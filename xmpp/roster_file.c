#include "xmpp/roster_file.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"

enum { WRITE_AFTER_MS = 200, AGAIN_AFTER_MS = 30 * 1000 };

struct roster_file {
    uv_loop_t *loop;
    char *path;
    void *tree; /* of struct roster_entry, by theirs and ours, for tsearch(3) */
    size_t count;
    uv_timer_t later;
    uv_work_t work;
    struct buf text; /* what is being written */
    bool changed, writing, closing;
    bool failed; /* the last write; said once */
};

/* ---- the tree */

static int compare(const void *a, const void *b)
{
    const struct roster_entry *x = a, *y = b;
    int order = strcmp(x->theirs, y->theirs);

    return order ? order : strcmp(x->ours, y->ours);
}

static void free_entry(void *node)
{
    struct roster_entry *e = node;

    free(e->ours);
    free(e->theirs);
    free(e);
}

static struct roster_entry *find(const struct roster_file *r, char *ours, char *theirs)
{
    void *node = tfind(&(struct roster_entry){.ours = ours, .theirs = theirs}, &r->tree, compare);

    return node ? *(struct roster_entry **)node : NULL;
}

struct walk {
    const char *theirs; /* NULL: whoever */
    void (*fn)(void *user, const struct roster_entry *entry);
    void *user;
};

static void visit(const void *node, VISIT which, void *user)
{
    const struct roster_entry *e = *(struct roster_entry *const *)node;
    const struct walk *w = user;

    if ((which == postorder || which == leaf) && (!w->theirs || strcmp(w->theirs, e->theirs) == 0))
        w->fn(w->user, e);
}

/* theirs NULL: of all. */
static void each_of(const struct roster_file *r, const char *theirs,
                    void (*fn)(void *user, const struct roster_entry *entry), void *user)
{
    struct walk w = {.theirs = theirs, .fn = fn, .user = user};

    twalk_r(r->tree, visit, &w);
}

static void count_one(void *user, const struct roster_entry *e)
{
    (void)e;
    ++*(size_t *)user;
}

static bool has_room(const struct roster_file *r, const char *theirs)
{
    size_t count = 0;

    each_of(r, theirs, count_one, &count);
    return count < ROSTER_FILE_PER_CONTACT;
}

static struct roster_entry *obtain(struct roster_file *r, char *ours, char *theirs)
{
    struct roster_entry *e = find(r, ours, theirs);

    if (e || r->count >= ROSTER_FILE_MAX)
        return e;
    e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->ours = strdup(ours);
    e->theirs = strdup(theirs);
    if (!e->ours || !e->theirs || !tsearch(e, &r->tree, compare)) {
        free_entry(e);
        return NULL;
    }
    r->count++;
    return e;
}

const struct roster_entry *roster_file_find(const struct roster_file *r, const struct jid *ours,
                                            const struct jid *theirs)
{
    char our_bare[JID_MAX + 1], their_bare[JID_MAX + 1];

    jid_bare(ours, our_bare);
    jid_bare(theirs, their_bare);
    return find(r, our_bare, their_bare);
}

void roster_file_each(const struct roster_file *r, const struct jid *theirs,
                      void (*fn)(void *user, const struct roster_entry *entry), void *user)
{
    char bare[JID_MAX + 1];

    if (theirs)
        jid_bare(theirs, bare);
    each_of(r, theirs ? bare : NULL, fn, user);
}

/* ---- the file: "tf- reports@files.example.org ana@example.org": we see them (t), they see us (f), we asked (a), or
 * "-" each. No bare address has a space: nodeprep takes none. */

static void add_line(void *user, const struct roster_entry *e)
{
    buf_printf(user, "%s%s%s %s %s\n", e->to ? "t" : "-", e->from ? "f" : "-", e->asked ? "a" : "-", e->ours,
               e->theirs);
}

static bool take_line(struct roster_file *r, char *line)
{
    char *rest = line, *flags = strsep(&rest, " "), *ours = strsep(&rest, " "), *theirs = strsep(&rest, " ");
    struct roster_entry *e;
    struct jid j;

    if (!theirs || rest || strlen(flags) != 3 || !jid_parse(&j, ours, strlen(ours), NULL) || j.full ||
        strcmp(j.text, ours) != 0 || !jid_parse(&j, theirs, strlen(theirs), NULL) || j.full ||
        strcmp(j.text, theirs) != 0)
        return false;
    e = obtain(r, ours, theirs);
    if (!e)
        return false;
    e->to = flags[0] == 't';
    e->from = flags[1] == 'f';
    e->asked = flags[2] == 'a';
    return true;
}

static bool read_all(struct roster_file *r, struct error *err)
{
    FILE *in = fopen(r->path, "re");
    char *line = NULL;
    size_t room = 0, bad = 0;
    ssize_t len;
    bool ok;

    if (!in)
        return errno == ENOENT || error_set(err, ERR_SYSTEM, "%s: %s", r->path, strerror(errno));
    while ((len = getline(&line, &room, in)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        bad += !take_line(r, line);
    }
    ok = !ferror(in) || error_set(err, ERR_SYSTEM, "%s: %s", r->path, strerror(errno));
    free(line);
    fclose(in);
    if (bad > 0)
        log_warn("xmpp.roster_lines_ignored", log_str("file", r->path), log_int("lines", (int64_t)bad));
    return ok;
}

static bool write_whole(int fd, const struct buf *text)
{
    size_t done = 0;

    while (done < text->len) {
        ssize_t n = write(fd, text->data + done, text->len - done);

        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) == 0;
}

/* Beside it and then in its place, so that a crash leaves the one or the other. Pool. */
static bool write_file(const char *path, const struct buf *text)
{
    char *beside;
    bool ok;
    int fd;

    if (asprintf(&beside, "%s.new", path) < 0)
        return false;
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ok = fd >= 0 && write_whole(fd, text);
    fd_close(&fd);
    ok = ok && rename(beside, path) == 0;
    free(beside);
    return ok;
}

static void on_later(uv_timer_t *timer);

static void write_later(struct roster_file *r)
{
    r->changed = true;
    if (r->path && !r->writing && !r->closing && !uv_is_active((uv_handle_t *)&r->later))
        uv_timer_start(&r->later, on_later, r->failed ? AGAIN_AFTER_MS : WRITE_AFTER_MS, 0);
}

static void note_failure(struct roster_file *r, bool failed)
{
    if (failed && !r->failed)
        log_error("xmpp.roster_not_written", log_str("file", r->path),
                  log_str("advice", "who may see us is forgotten at the next start; is the disk full?"));
    r->failed = failed;
}

static void free_all(uv_handle_t *timer)
{
    struct roster_file *r = timer->data;

    tdestroy(r->tree, free_entry);
    buf_free(&r->text);
    free(r->path);
    free(r);
}

/* The last word of a roster that is closed: nothing writes beside it any more. */
static void finish(struct roster_file *r)
{
    if (r->changed && r->path) {
        buf_free(&r->text);
        roster_file_each(r, NULL, add_line, &r->text);
        note_failure(r, r->text.failed || !write_file(r->path, &r->text));
    }
    uv_close((uv_handle_t *)&r->later, free_all);
}

static void in_pool(uv_work_t *work)
{
    struct roster_file *r = work->data;

    r->text.failed = r->text.failed || !write_file(r->path, &r->text);
}

static void written(uv_work_t *work, int status)
{
    struct roster_file *r = work->data;
    bool failed = status != 0 || r->text.failed;

    r->writing = false;
    note_failure(r, failed);
    r->changed = r->changed || failed;
    if (r->closing)
        finish(r);
    else if (r->changed)
        write_later(r);
}

static void on_later(uv_timer_t *timer)
{
    struct roster_file *r = timer->data;

    buf_free(&r->text);
    roster_file_each(r, NULL, add_line, &r->text);
    r->work.data = r;
    r->changed = r->text.failed;
    r->writing = !r->text.failed && uv_queue_work(r->loop, &r->work, in_pool, written) == 0;
}

bool roster_file_put(struct roster_file *r, const struct jid *ours, const struct jid *theirs, bool to, bool from,
                     bool asked)
{
    char our_bare[JID_MAX + 1], their_bare[JID_MAX + 1];
    struct roster_entry *e;

    jid_bare(ours, our_bare);
    jid_bare(theirs, their_bare);
    e = find(r, our_bare, their_bare);
    if (!e && (to || from || asked) && has_room(r, their_bare))
        e = obtain(r, our_bare, their_bare);
    if (!e)
        return !(to || from || asked);
    if (e->to == to && e->from == from && e->asked == asked && (to || from || asked))
        return true;
    *e = (struct roster_entry){.ours = e->ours, .theirs = e->theirs, .to = to, .from = from, .asked = asked};
    if (!(to || from || asked)) {
        tdelete(e, &r->tree, compare);
        free_entry(e);
        r->count--;
    }
    write_later(r);
    return true;
}

struct roster_file *roster_file_open(uv_loop_t *loop, const char *path, struct error *err)
{
    struct roster_file *r = calloc(1, sizeof *r);

    if (r && path)
        r->path = strdup(path);
    if (!r || (path && !r->path)) {
        free(r);
        error_set(err, ERR_SYSTEM, "out of memory");
        return NULL;
    }
    r->loop = loop;
    uv_timer_init(loop, &r->later);
    r->later.data = r;
    if (path && !read_all(r, err)) {
        uv_close((uv_handle_t *)&r->later, free_all);
        return NULL;
    }
    return r;
}

void roster_file_close(struct roster_file **r)
{
    struct roster_file *old = *r;

    *r = NULL;
    if (!old)
        return;
    old->closing = true;
    uv_timer_stop(&old->later);
    if (!old->writing)
        finish(old);
}
