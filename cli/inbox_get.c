/* cli/inbox_get.c - inbox get: a file that was sent to the gateway, to be saved here.
 *
 * What comes is written beside its place under a name of its own ('.in_….part'), so that a download that broke off goes
 * on where it ended, and takes its place only when its SHA-256 is that of the inbox. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/inbox.h"

enum { PATH = 4096, DRAW_MS = 200, AGAIN_MS = 1000, TRIES = 5, DIGEST = 32, BLOCK = 64 * 1024 };

struct get {
    struct talk *t;
    const json_t *item;
    const char *id, *name;
    uint64_t size;
    char path[PATH], part[PATH]; /* where it is to be; path empty: the standard output */
    int fd;                      /* of the part, or the standard output */
    uint64_t done;               /* bytes that are written */
    bool begun;                  /* this answer's bytes are those that are wanted */
    bool failed;                 /* errno says why they cannot be written */
    EVP_MD_CTX *digest;          /* of those */
    struct progress_rate rate;
    int64_t drawn;
};

static int complain(const struct get *g, const char *what)
{
    talk_complain(g->t, "jidpost: %s: %s", what, strerror(errno));
    return EXIT_USAGE;
}

/* ---- where it is to be saved */

/* The gateway's names are safe; a file of that name should not be hidden here, nor lie anywhere else. */
static void safe_name(const char *name, char *out, size_t max)
{
    snprintf(out, max, "%s%.255s", *name == '.' || !*name ? "_" : "", name);
    for (char *at = out; *at; at++)
        if (*at == '/' || (unsigned char)*at < 0x20)
            *at = '_';
}

static bool find_path(struct get *g, const char *wanted)
{
    char name[300], folder[PATH] = "";
    const char *slash;
    struct stat st;

    safe_name(g->name, name, sizeof name);
    if (wanted && stat(wanted, &st) == 0 && S_ISDIR(st.st_mode))
        snprintf(g->path, sizeof g->path, "%s/%s", wanted, name);
    else
        snprintf(g->path, sizeof g->path, "%s", wanted ? wanted : name);
    slash = strrchr(g->path, '/');
    if (slash)
        snprintf(folder, sizeof folder, "%.*s", (int)(slash + 1 - g->path), g->path);
    return (size_t)snprintf(g->part, sizeof g->part, "%s.%s.part", folder, g->id) < sizeof g->part;
}

static int check_free(const struct get *g)
{
    if (cli_value(g->t->line, OPT_FORCE) || access(g->path, F_OK) != 0)
        return EXIT_OK;
    talk_complain(g->t, "jidpost: %s is there already; --force takes its place", g->path);
    return EXIT_USAGE;
}

/* ---- the bytes */

static bool hash_part(struct get *g)
{
    char block[BLOCK];
    ssize_t n;

    while ((n = read(g->fd, block, sizeof block)) > 0) {
        EVP_DigestUpdate(g->digest, block, (size_t)n);
        g->done += (uint64_t)n;
    }
    return n == 0;
}

static bool begin_again(struct get *g)
{
    g->done = 0;
    return EVP_DigestInit_ex(g->digest, EVP_sha256(), NULL) == 1 &&
           (!*g->path || (ftruncate(g->fd, 0) == 0 && lseek(g->fd, 0, SEEK_SET) == 0));
}

static int open_part(struct get *g)
{
    g->fd = open(g->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (g->fd < 0)
        return complain(g, g->part);
    if (flock(g->fd, LOCK_EX | LOCK_NB) != 0) {
        talk_complain(g->t, "jidpost: %s is being fetched here already", g->id);
        return EXIT_USAGE;
    }
    if (!hash_part(g) || (g->done > g->size && !begin_again(g)))
        return complain(g, g->part);
    return EXIT_OK;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void draw(struct get *g)
{
    int64_t now = clock_ms();
    struct progress p = {.name = g->name,
                         .to = g->path,
                         .doing = "fetching",
                         .done = g->done,
                         .total = g->size,
                         .counts = true,
                         .sized = true};

    if (now - g->drawn < DRAW_MS)
        return;
    g->drawn = now;
    p.rate = progress_rate(&g->rate, now, g->done);
    talk_draw(g->t, &p);
}

/* Who gets all of it though he asked for the rest begins again. */
static bool on_data(void *user, long status, const char *data, size_t len)
{
    struct get *g = user;

    if (!g->begun && status == 200 && g->done > 0 && (!*g->path || !begin_again(g)))
        g->failed = true;
    g->begun = true;
    if (!g->failed && !write_all(g->fd, data, len))
        g->failed = true;
    if (g->failed)
        return false;
    EVP_DigestUpdate(g->digest, data, len);
    g->done += len;
    draw(g);
    return true;
}

static bool may_go_on(const struct get *g, const struct client_answer *answer, int tries)
{
    return answer->outcome == CLIENT_UNREACHABLE && g->done > 0 && tries < TRIES && client_pause(AGAIN_MS);
}

/* What broke off goes on for as long as some of it comes. */
static int fetch(struct get *g)
{
    int status = EXIT_OK, tries = 0;

    while (status == EXIT_OK && g->done < g->size) {
        char target[INBOX_TARGET], range[64] = "";
        struct client_request request = {
            .method = "GET", .target = target, .accept = "*/*", .on_data = on_data, .user = g};
        struct client_answer answer;
        uint64_t before = g->done;
        json_t *nothing;

        inbox_target(g->id, "/content", target);
        snprintf(range, sizeof range, "Range: bytes=%" PRIu64 "-", g->done);
        request.header = g->done > 0 ? range : NULL;
        g->begun = false;
        client_ask(g->t->client, &request, &answer);
        tries = g->done > before ? 0 : tries + 1;
        if (g->failed)
            status = complain(g, *g->path ? g->part : "standard output");
        else if (g->done < g->size && !may_go_on(g, &answer, tries))
            status = talk_read(g->t, &answer, &nothing);
        client_answer_free(&answer);
    }
    return status;
}

/* ---- the end */

static bool is_right(struct get *g)
{
    const char *wanted = json_text_at(g->item, "file.sha256");
    unsigned char digest[DIGEST];
    char hex[2 * DIGEST + 1];

    EVP_DigestFinal_ex(g->digest, digest, NULL);
    id_hex(digest, sizeof digest, hex);
    return wanted && strcmp(wanted, hex) == 0;
}

/* Two of one name do not race for it: only --force takes a place that is taken. */
static bool take_place(const struct get *g)
{
    if (cli_value(g->t->line, OPT_FORCE))
        return rename(g->part, g->path) == 0;
    if (link(g->part, g->path) == 0)
        return unlink(g->part) == 0;
    return errno != EEXIST && access(g->path, F_OK) != 0 && rename(g->part, g->path) == 0; /* a disk without links */
}

static int settle(struct get *g)
{
    if (!is_right(g)) {
        if (*g->path)
            unlink(g->part);
        talk_complain(g->t, "jidpost: what came of %s is damaged: it has not the SHA-256 that the inbox says", g->id);
        return EXIT_TRANSPORT;
    }
    if (*g->path && (fsync(g->fd) != 0 || !take_place(g)))
        return complain(g, g->path);
    return EXIT_OK;
}

static void tell(struct get *g)
{
    const char *from = json_text_at(g->item, "from");
    json_t *told = json_copy((json_t *)g->item);
    char size[24];

    if (*g->path) {
        json_object_set_new(told, "saved", json_string(g->path));
        talk_json(g->t, told);
        talk_say(g->t, TONE_GOOD, "%s: %s from %s, %s", g->path, progress_size(g->size, size, sizeof size),
                 from ? from : "somebody", g->id);
    }
    json_decref(told);
}

static int save(struct get *g)
{
    int status = EXIT_OK;

    if (EVP_DigestInit_ex(g->digest, EVP_sha256(), NULL) != 1)
        return complain(g, "SHA-256");
    if (*g->path) {
        status = check_free(g);
        if (status == EXIT_OK)
            status = open_part(g);
    }
    if (status == EXIT_OK)
        status = fetch(g);
    return status == EXIT_OK ? settle(g) : status;
}

/* ---- which one */

static int is_there(struct talk *t, const json_t *item)
{
    const char *id = json_text_at(item, "id"), *state = json_text_at(item, "state"),
               *title = json_text_at(item, "error.title"), *detail = json_text_at(item, "error.detail");
    bool failed = state && strcmp(state, "failed") == 0;

    if (id && json_text_at(item, "file.name") && state && strcmp(state, "received") == 0)
        return EXIT_OK;
    if (failed)
        talk_complain(t, "jidpost: %s failed: %s%s%s", id, title ? title : "", detail ? ": " : "",
                      detail ? detail : "");
    else
        talk_complain(t, "jidpost: %s is not all here yet", id ? id : "it");
    return failed ? EXIT_TRANSPORT : EXIT_USAGE;
}

static int find_named(struct talk *t, json_t **item)
{
    char target[INBOX_TARGET];
    const struct client_request request = {.method = "GET", .target = target};

    inbox_target(t->line->words[0], "", target);
    return talk_ask(t, &request, item);
}

static const char *received_at(const json_t *item)
{
    const char *at = json_text_at(item, "received");

    return at ? at : "";
}

/* The one that was received first, or last; the list is in the order in which they began to come. */
static json_t *received(const json_t *page, bool last)
{
    const json_t *items = json_object_get(page, "items"), *item;
    json_t *found = NULL;
    size_t i;

    json_array_foreach(items, i, item)
    {
        int order = found ? strcmp(received_at(item), received_at(found)) : 0;

        if (!found || (last ? order > 0 : order <= 0))
            found = json_array_get(items, i);
    }
    return found;
}

/* Those that are there now: what comes next comes after them. */
static int find_present(struct talk *t, json_t **page)
{
    const struct client_request request = {.method = "GET", .target = "/v1/inbox?limit=1000"};

    return talk_ask(t, &request, page);
}

static int find_next(struct talk *t, json_t **item)
{
    const char *after = cli_value(t->line, OPT_AFTER);
    json_t *present = NULL, *page = NULL;
    struct buf target = {0};
    int status = after ? EXIT_OK : find_present(t, &present);

    *item = NULL;
    if (status != EXIT_OK)
        return status;
    if (!after)
        after = json_text_at(received(present, true), "id");
    buf_puts(&target, "/v1/inbox?limit=1000");
    inbox_add_filter(&target, "after", after);
    inbox_add_filter(&target, "from", cli_value(t->line, OPT_FROM));
    inbox_add_filter(&target, "to", cli_value(t->line, OPT_TO));
    talk_begin_wait(t);
    status = inbox_await(t, target.data ? target.data : "/", &page);
    if (status == EXIT_OK)
        *item = json_incref(received(page, false));
    json_decref(present);
    json_decref(page);
    buf_free(&target);
    return status;
}

/* Not what the command line's parser can tell: how many words are meant depends on --next. */
static int check_words(struct talk *t)
{
    bool next = cli_value(t->line, OPT_NEXT) != NULL;

    if (t->line->word_count < (next ? 0u : 1u))
        talk_complain(t, "jidpost: which file? give its id, see jidpost inbox ls; or --next");
    else if (t->line->word_count > (next ? 1u : 2u))
        talk_complain(t, "jidpost: --next says which file; one word more is where to save it");
    else if (!next &&
             (cli_value(t->line, OPT_FROM) || cli_value(t->line, OPT_TO) || cli_value(t->line, OPT_AFTER) || t->waits))
        talk_complain(t, "jidpost: --from, --to, --after and --wait go with --next");
    else
        return EXIT_OK;
    return EXIT_USAGE;
}

static int fetch_item(struct talk *t, const json_t *item, const char *wanted)
{
    bool out = wanted && strcmp(wanted, "-") == 0;
    struct get g = {.t = t,
                    .item = item,
                    .id = json_text_at(item, "id"),
                    .name = json_text_at(item, "file.name"),
                    .size = json_count_at(item, "file.size"),
                    .fd = -1,
                    .digest = EVP_MD_CTX_new()};
    int status;

    if (out) {
        g.fd = STDOUT_FILENO;
        t->quiet = true; /* nothing of ours among its bytes */
    }
    if (!id_valid(g.id, "in") || !g.digest || (!out && !find_path(&g, wanted))) {
        talk_complain(t, "jidpost: no good place for %s", g.id);
        status = EXIT_USAGE;
    } else {
        status = save(&g);
    }
    if (status == EXIT_OK)
        tell(&g);
    else if (*g.part && g.done > 0 && g.done < g.size)
        talk_complain(t, "  hint: what came is kept; the same command goes on from there");
    if (!out)
        fd_close(&g.fd);
    EVP_MD_CTX_free(g.digest);
    return status;
}

static int get(struct talk *t)
{
    bool next = cli_value(t->line, OPT_NEXT) != NULL;
    const char *wanted = t->line->word_count > (next ? 0u : 1u) ? t->line->words[next ? 0 : 1] : NULL;
    json_t *item = NULL, *gone = NULL;
    int status = check_words(t);

    if (status == EXIT_OK)
        status = next ? find_next(t, &item) : find_named(t, &item);
    if (status == EXIT_OK)
        status = is_there(t, item);
    if (status == EXIT_OK)
        status = fetch_item(t, item, wanted);
    if (status == EXIT_OK && cli_value(t->line, OPT_REMOVE))
        status = inbox_remove(t, json_text_at(item, "id"), &gone);
    json_decref(gone);
    json_decref(item);
    return status;
}

int command_inbox_get(const struct cli_line *line)
{
    return inbox_with_talk(line, get);
}
