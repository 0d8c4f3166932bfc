/* cli/webhook.c - "jidpost webhook test|verify". */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "cli/signature.h"
#include "cli/talk.h"

enum { BODY_MAX = 64 * 1024 * 1024, SECRET_MAX = 1024 };

int command_webhook_test(const struct cli_line *line)
{
    char *name = client_escape(line->words[0]), target[400];
    const struct client_request request = {.method = "POST", .target = target};
    struct error error;
    struct talk t;
    json_t *answer = NULL;
    int status;

    snprintf(target, sizeof target, "/v1/webhooks/%.300s/test", name ? name : "");
    free(name);
    status = talk_open(&t, line, &error) ? talk_ask(&t, &request, &answer) : cli_fail(&error);
    if (status == EXIT_OK) {
        talk_json(&t, answer);
        talk_say(&t, TONE_PLAIN, "a test event is on its way to %s", line->words[0]);
    }
    json_decref(answer);
    talk_close(&t);
    return status;
}

/* ---- verify */

static bool read_body(struct buf *body, struct error *err)
{
    char part[16384];
    size_t n;

    body->ceiling = BODY_MAX;
    while ((n = fread(part, 1, sizeof part, stdin)) > 0)
        buf_add(body, part, n);
    return !body->failed || error_set(err, ERR_CONFIG, "the body on the standard input is larger than 64 MiB");
}

static bool read_secret(const char *path, char *out, size_t max, struct error *err)
{
    FILE *file = path ? fopen(path, "re") : NULL;

    if (!path)
        return error_set(err, ERR_CONFIG, "--secret-file is needed: the file with whsec_...");
    if (!file)
        return error_set(err, ERR_CONFIG, "the secret file %.100s cannot be read: %m", path);
    out[fread(out, 1, max - 1, file)] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    fclose(file);
    return true;
}

static bool verify(const struct cli_line *line, struct error *err)
{
    const struct signed_message m = {.id = cli_value(line, OPT_HOOK_ID),
                                     .timestamp = cli_value(line, OPT_HOOK_TIMESTAMP),
                                     .signatures = cli_value(line, OPT_HOOK_SIGNATURE)};
    char secret[SECRET_MAX];
    struct buf body = {0};
    bool ok = false;

    if (!m.id || !m.timestamp || !m.signatures)
        error_set(err, ERR_CONFIG,
                  "--id, --timestamp and --signature are needed: the headers webhook-id, "
                  "webhook-timestamp and webhook-signature");
    else
        ok = read_secret(cli_value(line, OPT_HOOK_SECRET), secret, sizeof secret, err) && read_body(&body, err) &&
             signature_check(&m, secret, body.data ? body.data : "", body.len, clock_wall_ms() / 1000, err);
    explicit_bzero(secret, sizeof secret);
    buf_free(&body);
    return ok;
}

int command_webhook_verify(const struct cli_line *line)
{
    struct error error;

    if (!verify(line, &error))
        return cli_fail(&error);
    if (!cli_value(line, OPT_QUIET))
        puts("The signature is right.");
    return EXIT_OK;
}
