#include "cli/doctor.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_code.h"

/* In the end the clock of the kernel keeps the promise: a TLS handshake of libstrophe has no deadline. */
enum { ALL_S = 58, LOW_DESCRIPTORS = 8, CHECK_COLUMN = 15, TEXT = 600 };

/* ---- what it says */

static void say_to_people(struct doctor *d, enum doctor_level level, const char *check, const char *text,
                          const char *fix)
{
    static const char *const words[] = {"ok", "warn", "FAIL"};
    static const enum tone tones[] = {TONE_GOOD, TONE_WARN, TONE_BAD};
    struct talk *t = &d->talk;

    if (t->quiet && level != DOCTOR_FAIL)
        return;
    printf("%s%-4s%s  %-*s ", talk_tone(t, tones[level]), words[level], talk_tone(t, TONE_PLAIN), CHECK_COLUMN, check);
    talk_print(stdout, text);
    putchar('\n');
    if (fix)
        printf("%*s-> %s\n", CHECK_COLUMN + 7, "", fix);
    fflush(stdout);
}

static void say_to_programs(struct doctor *d, enum doctor_level level, const char *check, enum error_code code,
                            const char *text, const char *fix)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    json_t *line = json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "check", check, "result", words[level], "detail", text,
                             "fix", fix, "code", level == DOCTOR_OK || code == ERR_NONE ? NULL : error_name(code));

    if (line)
        talk_json(&d->talk, line);
    json_decref(line);
}

void doctor_say(struct doctor *d, enum doctor_level level, const char *check, enum error_code code, const char *fix,
                const char *fmt, ...)
{
    char text[TEXT];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    text[text_whole(text, strlen(text))] = '\0';
    if (level == DOCTOR_FAIL && d->status == EXIT_OK)
        d->status = exit_of_error(code);
    if (d->talk.people)
        say_to_people(d, level, check, text, fix);
    else
        say_to_programs(d, level, check, code, text, fix);
}

/* ---- waiting */

static void on_time(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

bool doctor_await(struct doctor *d, const bool *done, int64_t ms)
{
    bool late = false;

    d->timer.data = &late;
    uv_update_time(&d->loop);
    uv_timer_start(&d->timer, on_time, (uint64_t)ms, 0);
    while (!*done && !late)
        uv_run(&d->loop, UV_RUN_ONCE);
    uv_timer_stop(&d->timer);
    return *done;
}

/* ---- one visit */

static void on_alarm(int sig)
{
    static const char text[] = "jidpost: the doctor did not come to an end within a minute; the last line says where\n";

    (void)sig;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(EXIT_UNAVAILABLE);
}

static void quiet_log(void *user, enum log_level level, const char *line)
{
    (void)user;
    (void)level;
    (void)line;
}

static bool begin(struct doctor *d, struct error *err)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, on_alarm);
    alarm(ALL_S);
    log_capture(quiet_log, NULL); /* what the parts log is said here in another way */
    fd_reserve_low(LOW_DESCRIPTORS);
    if (uv_loop_init(&d->loop) != 0)
        return error_set(err, ERR_SYSTEM, "the event loop does not start");
    uv_timer_init(&d->loop, &d->timer);
    d->loops = true;
    return true;
}

static void look_at_all(struct doctor *d)
{
    if (!doctor_reads_configuration(d))
        return;
    doctor_looks_at_state(d);
    doctor_looks_at_spool(d);
    doctor_looks_at_clock(d);
    doctor_asks_gateway(d);
    doctor_tries_address(d);
    if (!doctor_finds_server(d) || !doctor_reaches_server(d) || !doctor_logs_in(d))
        return;
    doctor_tries_proxies(d);
    if (d->line->word_count)
        doctor_finds_recipient(d, d->line->words[0]);
}

static void end(struct doctor *d)
{
    doctor_leaves(d);
    if (d->loops) {
        uv_close((uv_handle_t *)&d->timer, NULL);
        uv_run(&d->loop, UV_RUN_DEFAULT);
        uv_loop_close(&d->loop);
    }
    config_free(&d->config);
    fd_release_reserve();
    alarm(0);
    log_capture(NULL, NULL);
}

int command_doctor(const struct cli_line *line)
{
    struct doctor *d = calloc(1, sizeof *d); /* large, by the addresses in it */
    struct error error;
    int status;

    if (!d) {
        error_set(&error, ERR_SYSTEM, "out of memory");
        return cli_fail(&error);
    }
    d->line = line;
    d->began = clock_ms();
    talk_alone(&d->talk, line);
    if (begin(d, &error))
        look_at_all(d);
    else
        d->status = cli_fail(&error);
    end(d);
    status = d->status;
    free(d);
    return status;
}
