#include "cli/talk.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/exit_code.h"
#include "gateway/config_values.h"

enum { TOKEN_FILE_MAX = 4096, COLUMNS = 80, SAID_MAX = 2048 };

static const char *variable(const struct cli_line *line, const char *name)
{
    size_t len = strlen(name);

    for (char *const *entry = line->environment; entry && *entry; entry++) {
        if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=' && (*entry)[len + 1])
            return *entry + len + 1;
    }
    return NULL;
}

bool read_time(const char *text, int64_t *out_ms)
{
    uint64_t seconds;

    if (value_count(text, &seconds) && seconds < INT64_MAX / 1000) {
        *out_ms = (int64_t)seconds * 1000;
        return true;
    }
    return value_time(text, out_ms);
}

/* ---- where, and who we are */

static bool read_token_file(const char *path, char **out, struct error *err)
{
    char text[TOKEN_FILE_MAX];
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    size_t len;

    if (!file)
        return error_set(err, ERR_CONFIG, "the token file %.100s cannot be read: %m", path);
    len = fread(text, 1, sizeof text - 1, file);
    if (file != stdin)
        fclose(file);
    text[len] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    *out = strdup(text);
    explicit_bzero(text, sizeof text);
    if (*out && **out)
        return true;
    return error_set(err, ERR_CONFIG, "the token file %.100s is empty", path);
}

static bool find_token(struct talk *t, struct error *err)
{
    const char *file = cli_value(t->line, OPT_TOKEN_FILE), *given = variable(t->line, "JIDPOST_TOKEN");

    if (!file && !given)
        file = variable(t->line, "JIDPOST_TOKEN_FILE");
    if (file)
        return read_token_file(file, &t->token, err);
    if (!given)
        given = t->config.http.token; /* nobody's but the gateway's own, on its machine */
    t->token = given ? strdup(given) : NULL;
    return true;
}

/* "0.0.0.0:8080" and the like are asked on loopback. */
static bool url_of_listener(const char *listen, char **out, struct error *err)
{
    struct value_address a;
    bool v6;

    if (!value_address(listen, &a) || a.port <= 0)
        return error_set(err, ERR_CONFIG, "[http] listen = %.60s says no port to call: give --url", listen);
    if (!*a.host || strcmp(a.host, "0.0.0.0") == 0)
        snprintf(a.host, sizeof a.host, "127.0.0.1");
    else if (strcmp(a.host, "::") == 0)
        snprintf(a.host, sizeof a.host, "::1");
    v6 = strchr(a.host, ':') != NULL;
    if (asprintf(out, "http://%s%s%s:%d", v6 ? "[" : "", a.host, v6 ? "]" : "", a.port) < 0)
        *out = NULL;
    return *out || error_set(err, ERR_SYSTEM, "out of memory");
}

static bool find_local(struct talk *t, struct error *err)
{
    static const char *const keys[] = {"http.listen", "http.unix", "http.tls_cert", "http.token", NULL};
    const struct config *c = &t->config;

    if (!config_load_keys(&t->config, keys, cli_value(t->line, OPT_CONFIG), t->line->environment, t->line->overrides,
                          err))
        return false;
    if (c->http.unix_path) {
        if (asprintf(&t->url, "unix:%s", c->http.unix_path) < 0)
            t->url = NULL;
        return t->url || error_set(err, ERR_SYSTEM, "out of memory");
    }
    if (c->http.tls_cert)
        return error_set(err, ERR_CONFIG,
                         "the gateway speaks HTTPS: give --url https://NAME:PORT with a name of its certificate");
    return url_of_listener(c->http.listen, &t->url, err);
}

static bool find_gateway(struct talk *t, struct error *err)
{
    const char *url = cli_value(t->line, OPT_URL);

    if (!url)
        url = variable(t->line, "JIDPOST_URL");
    t->url = url ? strdup(url) : NULL;
    return url ? t->url || error_set(err, ERR_SYSTEM, "out of memory") : find_local(t, err);
}

/* ---- opening */

static void look_at_terminal(struct talk *t)
{
    struct winsize size = {0};
    const char *columns = variable(t->line, "COLUMNS");
    uint64_t wide = 0;

    t->people = isatty(STDOUT_FILENO) && !cli_value(t->line, OPT_JSON);
    t->quiet = cli_value(t->line, OPT_QUIET) != NULL;
    t->colour = t->people && !variable(t->line, "NO_COLOR");
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        wide = size.ws_col;
    else if (!columns || !value_count(columns, &wide))
        wide = COLUMNS;
    t->columns = wide < 20 ? 20 : wide > 500 ? 500 : (unsigned)wide;
}

void talk_alone(struct talk *t, const struct cli_line *line)
{
    *t = (struct talk){.line = line};
    look_at_terminal(t);
}

static bool read_wait(struct talk *t, struct error *err)
{
    const char *wait = cli_value(t->line, OPT_WAIT);
    int64_t ms = 0;

    t->waits = wait != NULL;
    if (!wait || !*wait)
        return true;
    if (!read_time(wait, &ms))
        return error_set(err, ERR_CONFIG, "--wait=%.40s: write a time, such as 60s or 5m", wait);
    t->wait_ms = ms;
    return true;
}

void talk_begin_wait(struct talk *t)
{
    t->until = t->wait_ms > 0 ? clock_ms() + t->wait_ms : 0;
}

bool talk_open(struct talk *t, const struct cli_line *line, struct error *err)
{
    struct client_config config;

    talk_alone(t, line);
    if (!read_wait(t, err) || !find_gateway(t, err) || !find_token(t, err))
        return false;
    config = (struct client_config){.url = t->url,
                                    .token = t->token,
                                    .ca = cli_value(line, OPT_CA),
                                    .local = !cli_value(line, OPT_URL) && !variable(line, "JIDPOST_URL")};
    t->client = client_create(&config, err);
    return t->client != NULL;
}

void talk_close(struct talk *t)
{
    talk_wipe(t);
    client_destroy(&t->client);
    if (t->token)
        explicit_bzero(t->token, strlen(t->token));
    free(t->token);
    free(t->url);
    config_free(&t->config);
}

/* ---- asking */

static int tell_problem(struct talk *t, const json_t *problem, long status)
{
    const char *code = json_text_at(problem, "code"), *title = json_text_at(problem, "title"),
               *detail = json_text_at(problem, "detail"), *hint = json_text_at(problem, "hint"),
               *rule = json_text_at(problem, "rule");
    enum error_code known;

    talk_complain(t, "jidpost: %s%s%s", title ? title : "the gateway refused", detail ? ": " : "",
                  detail ? detail : "");
    if (rule)
        talk_complain(t, "  rule: %s", rule);
    if (hint)
        talk_complain(t, "  hint: %s", hint);
    return code && error_code_parse(code, &known) ? exit_of_error(known) : exit_of_status(status);
}

static int tell_outcome(struct talk *t, const struct client_answer *answer)
{
    switch (answer->outcome) {
    case CLIENT_UNREACHABLE:
        talk_complain(t, "jidpost: the gateway at %s does not answer: %s", client_shown_url(t->url), answer->why);
        talk_complain(t, "  hint: is it running (jidpost serve)? is the address right (--url, JIDPOST_URL)? jidpost "
                         "doctor says more");
        return EXIT_UNAVAILABLE;
    case CLIENT_TIMED_OUT:
        talk_complain(t, "jidpost: the time of --wait is over");
        return EXIT_TIMEOUT;
    case CLIENT_INTERRUPTED:
        talk_complain(t, "jidpost: interrupted");
        return EXIT_INTERRUPTED;
    case CLIENT_ANSWERED:
    case CLIENT_STOPPED:
        break;
    }
    return EXIT_OK;
}

int talk_read(struct talk *t, const struct client_answer *answer, json_t **out)
{
    json_t *value = NULL;
    int status = tell_outcome(t, answer);

    *out = NULL;
    if (status != EXIT_OK)
        return status;
    if (answer->body && strstr(answer->type, "json"))
        value = json_loads(answer->body, JSON_DECODE_ANY, NULL);
    if (answer->status >= 200 && answer->status < 300 && value) {
        *out = value;
        return EXIT_OK;
    }
    if (json_is_object(value)) {
        status = tell_problem(t, value, answer->status);
    } else {
        talk_complain(t, "jidpost: %s answered %ld and no JSON: is that a jidpost gateway?", client_shown_url(t->url),
                      answer->status);
        status = answer->status >= 400 ? exit_of_status(answer->status) : EXIT_UNAVAILABLE;
    }
    json_decref(value);
    return status;
}

int talk_ask(struct talk *t, const struct client_request *request, json_t **out)
{
    struct client_answer answer;
    int status;

    client_ask(t->client, request, &answer);
    status = talk_read(t, &answer, out);
    client_answer_free(&answer);
    return status;
}

/* ---- showing */

/* Who read us has enough, as head(1) does: end as a program that does not ignore SIGPIPE. */
static void flush_out(void)
{
    if (fflush(stdout) != 0 && errno == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
}

void talk_json(struct talk *t, const json_t *value)
{
    if (t->people || t->quiet)
        return;
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
    flush_out();
}

void talk_wipe(struct talk *t)
{
    if (t->drawn)
        fputs("\r\033[K", stdout);
    fflush(stdout);
    t->drawn = false;
}

void talk_print(FILE *out, const char *text)
{
    for (size_t len = strlen(text), n; len > 0; text += n, len -= n) {
        uint32_t code = 0;

        n = text_char(text, len, &code);
        if (n == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
            fputc('?', out);
        else
            fwrite(text, 1, n, out);
        n = n ? n : 1;
    }
}

void talk_say(struct talk *t, enum tone tone, const char *fmt, ...)
{
    char text[SAID_MAX];
    va_list args;

    if (!t->people || t->quiet)
        return;
    talk_wipe(t);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    text[text_whole(text, strlen(text))] = '\0';
    fputs(talk_tone(t, tone), stdout);
    talk_print(stdout, text);
    puts(tone == TONE_PLAIN ? "" : talk_tone(t, TONE_PLAIN));
    fflush(stdout);
}

void talk_complain(struct talk *t, const char *fmt, ...)
{
    char text[SAID_MAX];
    va_list args;

    talk_wipe(t);
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    text[text_whole(text, strlen(text))] = '\0';
    talk_print(stderr, text);
    fputc('\n', stderr);
}

void talk_draw(struct talk *t, const struct progress *p)
{
    char line[1024];

    if (!t->people || t->quiet)
        return;
    putchar('\r');
    talk_print(stdout, progress_line(p, t->columns - 1, line, sizeof line));
    fputs("\033[K", stdout);
    fflush(stdout);
    t->drawn = true;
}

const char *talk_tone(const struct talk *t, enum tone tone)
{
    static const char *const codes[] = {"\033[0m", "\033[32m", "\033[33m", "\033[31m"};

    return t->colour ? codes[tone] : "";
}

/* ---- reading JSON */

static const json_t *at(const json_t *value, const char *path)
{
    while (value && *path) {
        char key[40];
        size_t len = strcspn(path, ".");

        snprintf(key, sizeof key, "%.*s", (int)len, path);
        value = json_object_get(value, key);
        path += len + (path[len] == '.');
    }
    return value;
}

const char *json_text_at(const json_t *object, const char *path)
{
    return json_string_value(at(object, path));
}

uint64_t json_count_at(const json_t *object, const char *path)
{
    json_int_t n = json_integer_value(at(object, path));

    return n > 0 ? (uint64_t)n : 0;
}

bool json_true_at(const json_t *object, const char *path)
{
    return json_is_true(at(object, path));
}

int exit_of_transfer(const json_t *transfer)
{
    const char *state = json_text_at(transfer, "state"), *code = json_text_at(transfer, "error.code");
    enum error_code known;

    if (state && (strcmp(state, "delivered") == 0 || strncmp(state, "link_", 5) == 0))
        return EXIT_OK;
    return code && error_code_parse(code, &known) && known != ERR_NONE ? exit_of_error(known) : EXIT_RECIPIENT;
}
