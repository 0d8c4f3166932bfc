/* cli/line: what a command line means, and what is said about one that means nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { WORDS = 16 };

/* The words of text, blanks between; argv is the caller's to keep. */
static int split(char *text, char *argv[WORDS])
{
    int argc = 0;

    argv[argc++] = "jidpost";
    for (char *at = strtok(text, " "); at && argc < WORDS - 1; at = strtok(NULL, " "))
        argv[argc++] = at;
    argv[argc] = NULL;
    return argc;
}

static void a_line_means_a_command_its_options_and_its_words(void **state)
{
    static const struct {
        const char *says, *line, *command, *words, *file, *overrides;
    } rows[] = {
        {"a word", "serve", "serve", "", NULL, ""},
        {"two words", "config check", "config check", "", NULL, ""},
        {"a word and its argument", "token revoke ci-1", "token revoke", "ci-1", NULL, ""},
        {"options behind", "serve --config a.ini", "serve", "", "a.ini", ""},
        {"with an equals sign", "serve --config=a.ini", "serve", "", "a.ini", ""},
        {"options before", "--config a.ini config show", "config show", "", "a.ini", ""},
        {"the last one counts", "serve --config a --config b", "serve", "", "b", ""},
        {"between", "token --version list", NULL, NULL, NULL, NULL},
        {"options among the words", "token revoke --config a.ini ci-1", "token revoke", "ci-1", "a.ini", ""},
        {"a key of the configuration", "serve --http.listen=:1", "serve", "", NULL, "http.listen=:1"},
        {"before the command", "--http.listen=:1 serve", "serve", "", NULL, "http.listen=:1"},
        {"with --set", "serve --set http.listen=:1 --set=log.level=debug", "serve", "", NULL,
         "http.listen=:1 log.level=debug"},
        {"a value like an option", "token create --note --write", "token create", "", NULL, ""},
        {"words behind --", "token revoke -- --config", "token revoke", "--config", NULL, ""},
        {"help of all", "--help", "", "", NULL, ""},
        {"help of one", "token revoke --help", "token revoke", "", NULL, ""},
        {"a short one", "serve -h", "serve", "", NULL, ""},
        {"shortened", "serve --conf a.ini", "serve", "", "a.ini", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = strdup(rows[i].line), *argv[WORDS], words[200] = "", overrides[200] = "";
        int argc = split(text, argv);
        struct error err = {0};
        struct cli_line line;
        bool ok = cli_read(&line, argc, argv, NULL, &err);
        const char *file = ok ? cli_value(&line, OPT_CONFIG) : NULL;

        if (ok != (rows[i].command != NULL))
            fail_msg("%s: %s", rows[i].says, ok ? "was read" : err.text);
        for (size_t w = 0; ok && w < line.word_count; w++)
            snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s", w ? " " : "", line.words[w]);
        for (size_t o = 0; ok && line.overrides[o]; o++)
            snprintf(overrides + strlen(overrides), sizeof overrides - strlen(overrides), "%s%s", o ? " " : "",
                     line.overrides[o]);
        if (ok && (strcmp(line.command ? line.command->name : "", rows[i].command) != 0 ||
                   strcmp(words, rows[i].words) != 0 || strcmp(overrides, rows[i].overrides) != 0 ||
                   strcmp(file ? file : "", rows[i].file ? rows[i].file : "") != 0))
            fail_msg("%s: %s [%s] config %s, overrides [%s]", rows[i].says, line.command ? line.command->name : "-",
                     words, file ? file : "-", overrides);
        cli_line_free(&line);
        free(text);
    }
}

static void a_line_that_means_nothing_is_told_what_to_write_instead(void **state)
{
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"", "jidpost --help"},
        {"servee", "did you mean jidpost serve?"},
        {"frobnicate", "'frobnicate' is no command"},
        {"token", "create, list, revoke"},
        {"token frob", "jidpost token has no 'frob'"},
        {"serve now", "a word too many"},
        {"token revoke", "a word is missing: jidpost token revoke ID"},
        {"token create --scops send", "did you mean --scopes?"},
        {"serve --scopes send", "'--scopes' is no option of jidpost serve"},
        {"serve --config", "--config needs a value"},
        {"healthcheck --ready=yes", "--ready=yes takes no value"},
        {"serve -x", "'-x' is no option"},
        {"serve --set nothing", "--set section.key=value"},
        {"--ready serve", "'--ready' is no option"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = strdup(rows[i].line), *argv[WORDS];
        int argc = split(text, argv);
        struct error err = {0};
        struct cli_line line;

        if (cli_read(&line, argc, argv, NULL, &err) || err.code != ERR_CONFIG || !strstr(err.text, rows[i].want))
            fail_msg("%s: '%s', not '%s'", rows[i].line, err.text, rows[i].want);
        cli_line_free(&line);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_means_a_command_its_options_and_its_words),
        cmocka_unit_test(a_line_that_means_nothing_is_told_what_to_write_instead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
