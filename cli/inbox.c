/* cli/inbox.c - the commands about files that were sent to the gateway: inbox ls, inbox rm; inbox get is in
 * inbox_get.c. */
#include "cli/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/exit_code.h"

/* EACH_WAIT_S: a gateway may allow less; then it answers sooner, and is asked again. */
enum { EACH_WAIT_S = 50, AGAIN_MS = 1000 };

int inbox_with_talk(const struct cli_line *line, int (*act)(struct talk *t))
{
    struct error error;
    struct talk t;
    int status = talk_open(&t, line, &error) ? act(&t) : cli_fail(&error);

    talk_close(&t);
    return status;
}

void inbox_target(const char *id, const char *what, char out[static INBOX_TARGET])
{
    char *escaped = client_escape(id);

    snprintf(out, INBOX_TARGET, "/v1/inbox/%.300s%s", escaped ? escaped : "", what);
    free(escaped);
}

void inbox_add_filter(struct buf *target, const char *name, const char *value)
{
    char *escaped = value ? client_escape(value) : NULL;

    if (escaped)
        buf_printf(target, "&%s=%s", name, escaped);
    free(escaped);
}

/* ---- waiting */

static int64_t wait_now(const struct talk *t)
{
    int64_t left = t->until ? (t->until - clock_ms() + 999) / 1000 : EACH_WAIT_S;

    return left < 1 ? 1 : left < EACH_WAIT_S ? left : EACH_WAIT_S;
}

int inbox_await(struct talk *t, const char *target, json_t **page)
{
    int status = EXIT_OK;

    while (status == EXIT_OK) {
        struct client_request request = {.method = "GET", .deadline = t->until};
        struct buf url = {0};
        int64_t began = clock_ms();

        buf_printf(&url, "%s&wait=%d", target, (int)wait_now(t));
        request.target = url.data ? url.data : "/";
        status = talk_ask(t, &request, page);
        buf_free(&url);
        if (status != EXIT_OK || json_array_size(json_object_get(*page, "items")) > 0)
            return status;
        json_decref(*page);
        *page = NULL;
        if (t->until && clock_ms() >= t->until) {
            talk_complain(t, "jidpost: the time of --wait is over, and no file came");
            return EXIT_TIMEOUT;
        }
        if (clock_ms() - began < AGAIN_MS && !client_pause(AGAIN_MS))
            return EXIT_INTERRUPTED;
    }
    return status;
}

/* ---- inbox ls */

/* "1h" is an hour ago. */
static void add_since(struct buf *target, const char *since)
{
    char text[CLOCK_TEXT];
    int64_t ago;

    inbox_add_filter(target, "since",
                     since && read_time(since, &ago) ? clock_text(clock_wall_ms() - ago, text) : since);
}

static void show_row(struct talk *t, const json_t *item)
{
    const char *id = json_text_at(item, "id"), *state = json_text_at(item, "state"),
               *created = json_text_at(item, "created"), *from = json_text_at(item, "from"),
               *name = json_text_at(item, "file.name");
    bool failed = state && strcmp(state, "failed") == 0, there = state && strcmp(state, "received") == 0;
    char size[24];

    talk_json(t, item);
    talk_say(t,
             failed  ? TONE_BAD
             : there ? TONE_GOOD
                     : TONE_WARN,
             "%-29s  %-9s  %.16s  %8s  %s  %s", id ? id : "", state ? state : "", created ? created : "",
             progress_size(json_count_at(item, "file.size"), size, sizeof size), from ? from : "", name ? name : "");
}

static int list(struct talk *t)
{
    const struct cli_line *line = t->line;
    struct client_request request = {.method = "GET"};
    struct buf target = {0};
    json_t *page = NULL, *item;
    const json_t *items;
    int status;
    size_t i;

    buf_printf(&target, "/v1/inbox?limit=%s", cli_value(line, OPT_LIMIT) ? cli_value(line, OPT_LIMIT) : "50");
    inbox_add_filter(&target, "state", cli_value(line, OPT_STATE));
    inbox_add_filter(&target, "from", cli_value(line, OPT_FROM));
    inbox_add_filter(&target, "to", cli_value(line, OPT_TO));
    inbox_add_filter(&target, "after", cli_value(line, OPT_AFTER));
    add_since(&target, cli_value(line, OPT_SINCE));
    request.target = target.data ? target.data : "/";
    talk_begin_wait(t);
    status = t->waits ? inbox_await(t, request.target, &page) : talk_ask(t, &request, &page);
    if (status == EXIT_OK) {
        items = json_object_get(page, "items");
        talk_say(t, TONE_PLAIN, "%-29s  %-9s  %-16s  %8s  %s", "ID", "STATE", "CREATED (UTC)", "SIZE", "FROM, FILE");
        json_array_foreach(items, i, item) show_row(t, item);
    }
    json_decref(page);
    buf_free(&target);
    return status;
}

int command_inbox_ls(const struct cli_line *line)
{
    return inbox_with_talk(line, list);
}

/* ---- inbox rm */

int inbox_remove(struct talk *t, const char *id, json_t **item)
{
    char target[INBOX_TARGET];
    const struct client_request request = {.method = "DELETE", .target = target};

    inbox_target(id, "", target);
    return talk_ask(t, &request, item);
}

/* Each of them, whatever becomes of the others; the exit status is the first failure's. */
static int remove_all(struct talk *t)
{
    int status = EXIT_OK;

    for (size_t i = 0; i < t->line->word_count && !client_interrupted(); i++) {
        json_t *item;
        int one = inbox_remove(t, t->line->words[i], &item);

        if (one == EXIT_OK) {
            talk_json(t, item);
            talk_say(t, TONE_PLAIN, "%s is deleted: %s", json_text_at(item, "id"), json_text_at(item, "file.name"));
        }
        json_decref(item);
        status = status == EXIT_OK ? one : status;
    }
    return client_interrupted() ? EXIT_INTERRUPTED : status;
}

int command_inbox_rm(const struct cli_line *line)
{
    return inbox_with_talk(line, remove_all);
}
