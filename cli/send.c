/* cli/send.c - "jidpost send": files to people. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/follow.h"

/* A form has so many at most, as the gateway says. */
enum { TOGETHER = 100 };

/* One file on its way to one person, or to several. */
struct sending {
    struct talk *t;
    const char *path, *name;
    const char *const *people;
    size_t count;
    char to[120]; /* as it is shown */
    FILE *file;
    int64_t size; /* -1: not known */
    struct progress_rate rate;
};

struct errand {
    struct talk talk;
    const char **files, **people; /* NULL at the end */
    char **ids;                   /* of the transfers made, NULL at the end */
    size_t made;
    int status; /* of the first that failed */
};

static void on_upload(void *user, uint64_t sent)
{
    struct sending *s = user;
    struct progress p = {.name = s->name,
                         .to = s->to,
                         .doing = "uploading",
                         .done = sent,
                         .total = s->size > 0 ? (uint64_t)s->size : 0,
                         .counts = true,
                         .sized = s->size >= 0};

    p.rate = progress_rate(&s->rate, clock_ms(), sent);
    talk_draw(s->t, &p);
}

/* ---- the request */

static void add_segment(struct buf *target, const char *text)
{
    char *escaped = client_escape(text);

    buf_printf(target, "/%s", escaped ? escaped : "");
    target->failed |= !escaped;
    free(escaped);
}

static void add_parameter(struct buf *target, const char *name, const char *value)
{
    char *escaped = client_escape(value);

    buf_printf(target, "%c%s=%s", strchr(target->data ? target->data : "", '?') ? '&' : '?', name,
               escaped ? escaped : "");
    target->failed |= !escaped;
    free(escaped);
}

static char *target_of(const struct sending *s)
{
    static const enum cli_opt parameters[] = {OPT_FROM, OPT_CAPTION, OPT_RESOURCE, OPT_METHODS,
                                              OPT_MODE, OPT_TTL,     OPT_HOLD,     OPT_DIGEST};
    struct buf target = {0};
    const char *label;
    size_t at = 0;

    if (s->count > 1) {
        buf_puts(&target, "/v1/transfers");
        for (size_t i = 0; i < s->count; i++)
            add_parameter(&target, "to", s->people[i]);
        add_parameter(&target, "name", s->name);
    } else {
        buf_puts(&target, "/v1/to");
        add_segment(&target, s->people[0]);
        if (*s->name)
            add_segment(&target, s->name);
    }
    for (size_t i = 0; i < s->t->line->given_count; i++) {
        const struct cli_given *given = &s->t->line->given[i];

        for (size_t p = 0; p < sizeof parameters / sizeof *parameters; p++) {
            if (given->option.id == parameters[p] && cli_value(s->t->line, parameters[p]) == given->value)
                add_parameter(&target, given->option.name, given->value);
        }
    }
    while ((label = cli_next(s->t->line, OPT_LABEL, &at)))
        add_parameter(&target, "label", label);
    return buf_steal(&target);
}

static bool open_file(struct sending *s, struct error *err)
{
    struct stat st;

    if (strcmp(s->path, "-") == 0) {
        s->file = stdin;
        s->size = -1;
        return true;
    }
    s->file = fopen(s->path, "re");
    if (!s->file || fstat(fileno(s->file), &st) != 0)
        return error_set(err, ERR_CONFIG, "%.120s: %s", s->path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return error_set(err, ERR_CONFIG, "%.120s is a folder: send its files, or pack it first", s->path);
    s->size = S_ISREG(st.st_mode) ? st.st_size : -1;
    return true;
}

/* The transfer that was made, or the batch of them; or NULL with the exit status. */
static json_t *upload(struct sending *s, int *status)
{
    struct error error;
    struct client_request request = {.method = "PUT", .on_upload = on_upload, .user = s};
    char *target = NULL;
    json_t *transfer = NULL;

    if (!open_file(s, &error)) {
        *status = cli_fail(&error);
        goto out;
    }
    target = target_of(s);
    request.target = target ? target : "/";
    request.body = s->file;
    request.size = s->size;
    request.file = s->count > 1 ? s->name : NULL;
    *status = talk_ask(s->t, &request, &transfer);
out:
    if (s->file && s->file != stdin)
        fclose(s->file);
    free(target);
    return transfer;
}

/* ---- what is asked for */

static const char *name_of(const struct cli_line *line, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = cli_value(line, OPT_NAME);

    if (name)
        return name;
    if (strcmp(path, "-") == 0)
        return "";
    return slash ? slash + 1 : path;
}

static void note_made(struct errand *e, const json_t *transfer)
{
    const char *id = json_text_at(transfer, "id");

    if (e->talk.waits && id) {
        e->ids[e->made++] = strdup(id);
        return;
    }
    talk_json(&e->talk, transfer);
    follow_tell(&e->talk, transfer);
    if (id && !json_true_at(transfer, "final"))
        talk_say(&e->talk, TONE_PLAIN, "  jidpost watch %s shows how it goes", id);
}

static void send_one(struct errand *e, const char *path, const char *const *people, size_t count)
{
    struct sending s = {
        .t = &e->talk, .path = path, .name = name_of(e->talk.line, path), .people = people, .count = count};
    int status = EXIT_OK;
    json_t *made, *transfer;
    size_t i;

    if (count > 1)
        snprintf(s.to, sizeof s.to, "%zu people", count);
    else
        snprintf(s.to, sizeof s.to, "%s", people[0]);
    made = upload(&s, &status);
    if (e->status == EXIT_OK)
        e->status = status;
    if (status == EXIT_INTERRUPTED)
        talk_complain(&e->talk, "  %s had not been sent whole: it will not arrive", *s.name ? s.name : "the input");
    if (made && count > 1)
        json_array_foreach(json_object_get(made, "transfers"), i, transfer) note_made(e, transfer);
    else if (made)
        note_made(e, made);
    json_decref(made);
}

static bool check(const struct errand *e, struct error *err)
{
    size_t files = 0, people = 0, inputs = 0;

    for (; e->files[files]; files++)
        inputs += strcmp(e->files[files], "-") == 0;
    while (e->people[people])
        people++;
    if (files == 0)
        return error_set(err, ERR_CONFIG, "which file? jidpost send FILE... JID, or FILE... --to JID");
    if (people == 0)
        return error_set(err, ERR_CONFIG, "to whom? jidpost send FILE... JID, or FILE... --to JID");
    if (inputs > 1 || (inputs == 1 && people > 1))
        return error_set(err, ERR_CONFIG, "the standard input can be read once: one '-' to one recipient");
    if (files > 1 && cli_value(e->talk.line, OPT_NAME))
        return error_set(err, ERR_CONFIG, "--name is for one file");
    return true;
}

/* The last word is whom the files are for, unless --to says so. */
static bool sort_words(struct errand *e, const struct cli_line *line, struct error *err)
{
    size_t count = line->word_count, at = 0, people = 0;
    const char *to;

    e->files = calloc(count + 1, sizeof *e->files);
    e->people = calloc(line->given_count + 2, sizeof *e->people);
    if (!e->files || !e->people)
        return error_set(err, ERR_SYSTEM, "out of memory");
    while ((to = cli_next(line, OPT_TO, &at)))
        e->people[people++] = to;
    if (people == 0 && count > 1)
        e->people[0] = line->words[--count];
    memcpy(e->files, line->words, count * sizeof *e->files);
    e->ids = calloc(count * (people + 1) + 1, sizeof *e->ids);
    return (e->ids || error_set(err, ERR_SYSTEM, "out of memory")) && check(e, err);
}

static void send_all(struct errand *e)
{
    size_t people = 0;

    while (e->people[people])
        people++;
    for (const char **file = e->files; *file; file++) {
        for (size_t i = 0; i < people && !client_interrupted(); i += TOGETHER)
            send_one(e, *file, &e->people[i], people - i < TOGETHER ? people - i : TOGETHER);
    }
    talk_begin_wait(&e->talk);
    for (char **id = e->ids; *id; id++) {
        int status = follow_transfer(&e->talk, *id);

        if (e->status == EXIT_OK)
            e->status = status;
    }
}

int command_send(const struct cli_line *line)
{
    struct errand e = {.talk.line = line};
    struct error error;

    if (sort_words(&e, line, &error) && talk_open(&e.talk, line, &error))
        send_all(&e);
    else
        e.status = cli_fail(&error);
    talk_close(&e.talk);
    for (size_t i = 0; i < e.made; i++)
        free(e.ids[i]);
    free(e.ids);
    free((void *)e.files);
    free((void *)e.people);
    return e.status;
}
