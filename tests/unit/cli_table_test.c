/* cli/table: what is made of it leaves nothing out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/exit_code.h"
#include "gateway/token.h"

static void help(const char *what, FILE *out)
{
    (void)what;
    cli_help(out);
    for (const struct cli_command *c = cli_commands; c->name; c++)
        cli_help_on(c, out);
}

static void man(const char *what, FILE *out)
{
    (void)what;
    cli_man(out);
}

static void completion(const char *shell, FILE *out)
{
    assert_true(cli_completion(shell, out));
}

/* The page, without the backslashes that roff wants before a hyphen. */
static char *made(void (*make)(const char *what, FILE *out), const char *what)
{
    char *text = NULL, *to;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    make(what, out);
    fclose(out);
    to = text;
    for (const char *from = text; *from; from++) {
        if (from[0] != '\\' || from[1] != '-')
            *to++ = *from;
    }
    *to = '\0';
    return text;
}

static void every_page_has_every_command_and_every_option(void **state)
{
    static const struct {
        const char *what;
        void (*make)(const char *what, FILE *out);
    } pages[] = {{"help", help}, {"man", man}, {"bash", completion}, {"zsh", completion}, {"fish", completion}};

    (void)state;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        char *text = made(pages[i].make, pages[i].what);

        for (const struct cli_command *c = cli_commands; c->name; c++) {
            if (!strstr(text, c->name))
                fail_msg("%s lacks the command %s", pages[i].what, c->name);
        }
        for (const struct cli_option *o = cli_options; o->name; o++) {
            char written[60];

            snprintf(written, sizeof written, strcmp(pages[i].what, "fish") == 0 ? " -l %s" : "--%s", o->name);
            if (!o->hidden && !strstr(text, written))
                fail_msg("%s lacks the option %s", pages[i].what, o->name);
        }
        free(text);
    }
    assert_false(cli_completion("csh", stdout));
}

/* So that getopt_long and cli_value() each know what is meant. */
static void the_help_on_a_command_begins_with_its_summary(void **state)
{
    char *text = made(help, NULL);

    (void)state;
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        char line[200];

        snprintf(line, sizeof line, "\n\n%c%s\n", toupper((unsigned char)*c->summary), c->summary + 1);
        if (!strstr(text, line))
            fail_msg("%s: the help on it lacks '%s'", c->name, line);
    }
    free(text);
}

static void a_command_has_no_two_options_of_one_name(void **state)
{
    (void)state;
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        for (const struct cli_option *a = cli_options; a->name; a++) {
            for (const struct cli_option *b = a + 1; b->name; b++) {
                if (strcmp(a->name, b->name) == 0 && cli_takes(c, a) && cli_takes(c, b))
                    fail_msg("%s has --%s twice", c->name, a->name);
            }
        }
    }
}

static bool is_option_of_key(const struct cli_option *o, const char *key)
{
    char name[CLI_KEY];

    return o->id == OPT_TOKEN_KEY && strcmp(cli_option_key(o, name), key) == 0;
}

static void every_option_says_what_it_is_for(void **state)
{
    (void)state;
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (!cli_option_help(o) || !*cli_option_help(o))
            fail_msg("--%s", o->name);
    }
}

static void every_key_of_a_token_is_an_option_but_its_hash(void **state)
{
    (void)state;
    for (const struct section_key *key = token_keys(); key->name; key++) {
        const struct cli_option *o = cli_options;

        while (o->name && !is_option_of_key(o, key->name))
            o++;
        if (!o->name != (strcmp(key->name, "hash") == 0))
            fail_msg("token create: the key %s", key->name);
    }
}

static void every_error_has_an_exit_status_that_the_help_explains(void **state)
{
    (void)state;
    for (int code = ERR_NONE; code < ERROR_CODE_COUNT; code++) {
        const struct cli_fact *fact = exit_codes;
        char number[8];

        snprintf(number, sizeof number, "%d", exit_of_error((enum error_code)code));
        while (fact->name && strcmp(fact->name, number) != 0)
            fact++;
        if (!fact->name || (strcmp(number, "0") == 0) != (code == ERR_NONE))
            fail_msg("%s ends with %s", error_name((enum error_code)code), number);
    }
}

static void errors_end_the_program_by_their_kind(void **state)
{
    static const struct {
        enum error_code code;
        int want;
    } rows[] = {
        {ERR_NONE, EXIT_OK},
        {ERR_JID_INVALID, EXIT_USAGE},
        {ERR_AUTH_INVALID, EXIT_AUTH},
        {ERR_RECIPIENT_NOT_ALLOWED, EXIT_AUTH},
        {ERR_FROM_NOT_ALLOWED, EXIT_AUTH},
        {ERR_NOT_FOUND, EXIT_NOT_FOUND},
        {ERR_RECIPIENT_OFFLINE, EXIT_RECIPIENT},
        {ERR_NO_COMMON_METHOD, EXIT_RECIPIENT},
        {ERR_STREAMHOSTS_UNREACHABLE, EXIT_TRANSPORT},
        {ERR_PROXY_UNAVAILABLE, EXIT_TRANSPORT},
        {ERR_RATE_LIMITED, EXIT_LIMITS},
        {ERR_SPOOL_FULL, EXIT_LIMITS},
        {ERR_DRAINING, EXIT_UNAVAILABLE},
        {ERR_XMPP_DISCONNECTED, EXIT_UNAVAILABLE},
    };
    static const struct {
        long status;
        int want;
    } statuses[] = {{200, EXIT_OK},        {202, EXIT_OK},          {400, EXIT_USAGE},     {401, EXIT_AUTH},
                    {403, EXIT_AUTH},      {404, EXIT_NOT_FOUND},   {405, EXIT_USAGE},     {409, EXIT_RECIPIENT},
                    {410, EXIT_NOT_FOUND}, {413, EXIT_LIMITS},      {422, EXIT_USAGE},     {429, EXIT_LIMITS},
                    {431, EXIT_USAGE},     {500, EXIT_UNAVAILABLE}, {502, EXIT_TRANSPORT}, {503, EXIT_UNAVAILABLE},
                    {504, EXIT_TRANSPORT}, {507, EXIT_LIMITS},      {302, EXIT_USAGE}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (exit_of_error(rows[i].code) != rows[i].want)
            fail_msg("%s ends with %d", error_name(rows[i].code), exit_of_error(rows[i].code));
    }
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (exit_of_status(statuses[i].status) != statuses[i].want)
            fail_msg("%ld ends with %d", statuses[i].status, exit_of_status(statuses[i].status));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_has_every_command_and_every_option),
        cmocka_unit_test(the_help_on_a_command_begins_with_its_summary),
        cmocka_unit_test(a_command_has_no_two_options_of_one_name),
        cmocka_unit_test(every_option_says_what_it_is_for),
        cmocka_unit_test(every_key_of_a_token_is_an_option_but_its_hash),
        cmocka_unit_test(every_error_has_an_exit_status_that_the_help_explains),
        cmocka_unit_test(errors_end_the_program_by_their_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
