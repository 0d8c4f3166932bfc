/* cli/transfers.c - the commands about transfers there are: status, ls, watch, cancel, retry. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/follow.h"

/* With a conversation open. */
static int with_talk(const struct cli_line *line, int (*act)(struct talk *t))
{
    struct error error;
    struct talk t;
    int status = talk_open(&t, line, &error) ? act(&t) : cli_fail(&error);

    talk_close(&t);
    return status;
}

/* method on a transfer, and on what of it. */
static int ask_about(struct talk *t, const char *method, const char *what, json_t **out)
{
    char *id = client_escape(t->line->words[0]), target[400];
    const struct client_request request = {.method = method, .target = target};

    snprintf(target, sizeof target, "/v1/transfers/%.300s%s", id ? id : "", what);
    free(id);
    return talk_ask(t, &request, out);
}

/* ---- status */

static void say_field(struct talk *t, const char *name, const char *value)
{
    if (value)
        talk_say(t, TONE_PLAIN, "%-10s %s", name, value);
}

static void say_attempts(struct talk *t, const json_t *transfer)
{
    const json_t *attempts = json_object_get(transfer, "attempts"), *attempt;
    size_t i;

    json_array_foreach(attempts, i, attempt)
    {
        const char *method = json_text_at(attempt, "method"), *code = json_text_at(attempt, "code"),
                   *detail = json_text_at(attempt, "detail");

        talk_say(t, TONE_PLAIN, "%-10s %s: %s%s%s", i == 0 ? "tried" : "", method ? method : "-",
                 code ? code : "no failure", detail ? ", " : "", detail ? detail : "");
    }
}

static int show_status(struct talk *t)
{
    json_t *transfer;
    int status = ask_about(t, "GET", "", &transfer);
    char size[24], how[80];

    if (status != EXIT_OK)
        return status;
    talk_json(t, transfer);
    progress_size(json_count_at(transfer, "file.size"), size, sizeof size);
    snprintf(how, sizeof how, "%s %s",
             json_text_at(transfer, "method.name") ? json_text_at(transfer, "method.name") : "",
             json_text_at(transfer, "method.path") ? json_text_at(transfer, "method.path") : "");
    say_field(t, "id", json_text_at(transfer, "id"));
    say_field(t, "state", json_text_at(transfer, "state"));
    say_field(t, "to", json_text_at(transfer, "to"));
    say_field(t, "file", json_text_at(transfer, "file.name"));
    say_field(t, "size", size);
    say_field(t, "method", how[0] != ' ' ? how : NULL);
    say_field(t, "proof", json_text_at(transfer, "delivery_proof"));
    say_field(t, "created", json_text_at(transfer, "created"));
    say_field(t, "finished", json_text_at(transfer, "finished"));
    say_field(t, "next try", json_text_at(transfer, "next_attempt_at"));
    say_attempts(t, transfer);
    say_field(t, "error", json_text_at(transfer, "error.title"));
    say_field(t, "", json_text_at(transfer, "error.detail"));
    say_field(t, "hint", json_text_at(transfer, "error.hint"));
    json_decref(transfer);
    return EXIT_OK;
}

int command_status(const struct cli_line *line)
{
    return with_talk(line, show_status);
}

/* ---- ls */

/* "1h" is an hour ago. */
static void add_since(struct buf *target, const char *since)
{
    char text[CLOCK_TEXT], *escaped;
    int64_t ago;

    if (read_time(since, &ago))
        since = clock_text(clock_wall_ms() - ago, text);
    escaped = client_escape(since);
    buf_printf(target, "&since=%s", escaped ? escaped : "");
    free(escaped);
}

static void add_filter(struct buf *target, const char *name, const char *value)
{
    char *escaped = value ? client_escape(value) : NULL;

    if (escaped)
        buf_printf(target, "&%s=%s", name, escaped);
    free(escaped);
}

static void show_row(struct talk *t, const json_t *transfer)
{
    const char *state = json_text_at(transfer, "state"), *to = json_text_at(transfer, "to"),
               *id = json_text_at(transfer, "id"), *name = json_text_at(transfer, "file.name"),
               *created = json_text_at(transfer, "created");
    bool final = json_true_at(transfer, "final");
    enum tone tone = !final ? TONE_WARN : exit_of_transfer(transfer) == EXIT_OK ? TONE_GOOD : TONE_BAD;
    char size[24];

    talk_json(t, transfer);
    talk_say(t, tone, "%-29s  %-12s  %.16s  %8s  %s  %s", id ? id : "", state ? state : "", created ? created : "",
             progress_size(json_count_at(transfer, "file.size"), size, sizeof size), to ? to : "", name ? name : "");
}

static int list(struct talk *t)
{
    const struct cli_line *line = t->line;
    struct client_request request = {.method = "GET"};
    struct buf target = {0};
    json_t *page, *transfer;
    const json_t *items;
    const char *label;
    int status;
    size_t i, at = 0;

    buf_printf(&target, "/v1/transfers?limit=%s", cli_value(line, OPT_LIMIT) ? cli_value(line, OPT_LIMIT) : "50");
    add_filter(&target, "state", cli_value(line, OPT_STATE));
    add_filter(&target, "to", cli_value(line, OPT_TO));
    while ((label = cli_next(line, OPT_LABEL, &at)))
        add_filter(&target, "label", label);
    if (cli_value(line, OPT_SINCE))
        add_since(&target, cli_value(line, OPT_SINCE));
    request.target = target.data ? target.data : "/";
    status = talk_ask(t, &request, &page);
    if (status == EXIT_OK) {
        items = json_object_get(page, "items");
        talk_say(t, TONE_PLAIN, "%-29s  %-12s  %-16s  %8s  %s", "ID", "STATE", "CREATED (UTC)", "SIZE", "TO, FILE");
        json_array_foreach(items, i, transfer) show_row(t, transfer);
    }
    json_decref(page);
    buf_free(&target);
    return status;
}

int command_ls(const struct cli_line *line)
{
    return with_talk(line, list);
}

/* ---- watch, cancel, retry */

static int watch(struct talk *t)
{
    talk_begin_wait(t);
    return t->line->word_count ? follow_transfer(t, t->line->words[0]) : follow_all(t);
}

int command_watch(const struct cli_line *line)
{
    return with_talk(line, watch);
}

static int cancel(struct talk *t)
{
    json_t *transfer;
    int status = ask_about(t, "DELETE", "", &transfer);

    if (status == EXIT_OK) {
        talk_json(t, transfer);
        talk_say(t, TONE_PLAIN, "%s is %s", json_text_at(transfer, "id"), json_text_at(transfer, "state"));
    }
    json_decref(transfer);
    return status;
}

int command_cancel(const struct cli_line *line)
{
    return with_talk(line, cancel);
}

static int retry(struct talk *t)
{
    json_t *transfer;
    int status = ask_about(t, "POST", "/retry", &transfer);

    if (status == EXIT_OK && t->waits) {
        talk_begin_wait(t);
        status = follow_transfer(t, t->line->words[0]);
    } else if (status == EXIT_OK) {
        talk_json(t, transfer);
        follow_tell(t, transfer);
    }
    json_decref(transfer);
    return status;
}

int command_retry(const struct cli_line *line)
{
    return with_talk(line, retry);
}
