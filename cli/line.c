/* cli/line.c - a command line, read by the table with getopt_long. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "gateway/token.h"

enum { FIRST_LONG = 256, OPTIONS = 64, COMMANDS = 64 }; /* a long option is its place in the table and that */

bool cli_takes(const struct cli_command *command, const struct cli_option *option)
{
    return (option->groups & command->groups) != 0;
}

const char *cli_option_key(const struct cli_option *option, char out[static CLI_KEY])
{
    snprintf(out, CLI_KEY, "%s", option->name);
    for (char *at = out; *at; at++)
        *at = *at == '-' ? '_' : *at;
    return out;
}

const char *cli_option_help(const struct cli_option *option)
{
    char key[CLI_KEY];

    if (option->id != OPT_TOKEN_KEY)
        return option->help;
    cli_option_key(option, key);
    for (const struct section_key *help = token_keys(); help->name; help++) {
        if (strcmp(help->name, key) == 0)
            return help->help;
    }
    return "";
}

const char *cli_value(const struct cli_line *line, enum cli_opt id)
{
    for (size_t i = line->given_count; i > 0; i--) {
        const struct cli_given *given = &line->given[i - 1];

        if (given->option.id == id)
            return given->value;
    }
    return NULL;
}

const char *cli_next(const struct cli_line *line, enum cli_opt id, size_t *at)
{
    while (*at < line->given_count) {
        const struct cli_given *given = &line->given[(*at)++];

        if (given->option.id == id)
            return given->value;
    }
    return NULL;
}

/* ---- the table as getopt_long wants it */

struct wanted {
    struct option longs[OPTIONS + 1];
    char shorts[2 * OPTIONS + 3];
};

/* command NULL: before it is known every option is, since it may be behind them; those that share a name are one. */
static void want(struct wanted *w, const struct cli_command *command)
{
    size_t count = 0, len = 2;

    *w = (struct wanted){.shorts = "+:"};
    if (command)
        memcpy(w->shorts, "-:", 2); /* words come in their order, as values of the option 1 */
    for (size_t i = 0; cli_options[i].name && count < OPTIONS; i++) {
        const struct cli_option *o = &cli_options[i];
        int takes = !o->argument ? no_argument : o->optional ? optional_argument : required_argument;

        if (command ? !cli_takes(command, o) : !(o->groups & (IN_ALL | IN_CLIENT | IN_TELLS)))
            continue;
        w->longs[count++] = (struct option){.name = o->name, .has_arg = takes, .val = FIRST_LONG + (int)i};
        if (o->letter) {
            w->shorts[len++] = o->letter;
            if (o->argument)
                w->shorts[len++] = ':';
        }
    }
}

static const struct cli_option *by_letter(int letter)
{
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (o->letter == letter)
            return o;
    }
    return NULL;
}

/* ---- what is wrong with it */

static bool unknown_option(const struct cli_command *command, const char *word, struct error *err)
{
    const char *names[OPTIONS], *nearest;
    char name[60];
    size_t count = 0;

    for (const struct cli_option *o = cli_options; o->name && count < OPTIONS; o++) {
        if (!o->hidden && (!command || cli_takes(command, o)))
            names[count++] = o->name;
    }
    text_clean(word, name, sizeof name);
    name[strcspn(name, "=")] = '\0';
    nearest = text_nearest(name + strspn(name, "-"), names, count);
    if (nearest)
        return error_set(err, ERR_CONFIG, "'%s' is no option of jidpost %s; did you mean --%s?", name,
                         command ? command->name : "", nearest);
    return error_set(err, ERR_CONFIG, "'%s' is no option of jidpost%s%s; see jidpost %s%s--help", name,
                     command ? " " : "", command ? command->name : "", command ? command->name : "",
                     command ? " " : "");
}

static bool unknown_command(const char *first, const char *second, struct error *err)
{
    const char *names[COMMANDS], *nearest;
    char word[60], choices[120] = "";
    size_t len = strlen(first), count = 0;

    for (const struct cli_command *c = cli_commands; c->name && count < COMMANDS; c++) {
        names[count++] = c->name;
        if (strncmp(c->name, first, len) == 0 && c->name[len] == ' ')
            snprintf(choices + strlen(choices), sizeof choices - strlen(choices), "%s%s", *choices ? ", " : "",
                     c->name + len + 1);
    }
    if (*choices && !second)
        return error_set(err, ERR_CONFIG, "jidpost %s is not all: %s", first, choices);
    if (*choices)
        return error_set(err, ERR_CONFIG, "jidpost %s has no '%.40s'; there are %s", first, second, choices);
    text_clean(first, word, sizeof word);
    nearest = text_nearest(word, names, count);
    if (nearest)
        return error_set(err, ERR_CONFIG, "'%s' is no command; did you mean jidpost %s?", word, nearest);
    return error_set(err, ERR_CONFIG, "'%s' is no command; see jidpost --help", word);
}

static bool check_words(const struct cli_line *line, struct error *err)
{
    const struct cli_command *c = line->command;

    if (line->word_count >= c->least && line->word_count <= c->most)
        return true;
    return error_set(err, ERR_CONFIG, "%s: jidpost %s%s%s; see jidpost %s --help",
                     line->word_count < c->least ? "a word is missing" : "that is a word too many", c->name,
                     *c->arguments ? " " : "", c->arguments, c->name);
}

/* Of a fixed set; others are looked at by whom they are for. */
static bool check_value(const struct cli_option *option, const char *value, struct error *err)
{
    size_t len = strlen(value);

    for (const char *at = option->words; at && *at; at += strcspn(at, " ") + (at[strcspn(at, " ")] == ' ')) {
        if (strcspn(at, " ") == len && strncmp(at, value, len) == 0)
            return true;
    }
    return !option->words ||
           error_set(err, ERR_CONFIG, "--%s=%.40s: one of these: %s", option->name, value, option->words);
}

/* ---- reading */

static bool take(struct cli_line *line, const struct cli_option *option, const char *value, struct error *err)
{
    if (option->id == OPT_SET && !(strchr(value, '.') && strchr(value, '=')))
        return error_set(err, ERR_CONFIG, "--set %.60s: write --set section.key=value", value);
    if (option->id == OPT_SET)
        line->overrides[line->override_count++] = value;
    line->given[line->given_count++] = (struct cli_given){*option, value};
    return check_value(option, value, err);
}

/* getopt_long's answer to one option. word: as it stands in argv. */
static bool take_answer(struct cli_line *line, int answer, const char *word, struct error *err)
{
    const struct cli_option *option = answer >= FIRST_LONG ? &cli_options[answer - FIRST_LONG] : by_letter(answer);
    const char *equals = strchr(word, '='), *dot = strchr(word, '.');

    if (answer == '?' && strncmp(word, "--", 2) == 0 && dot && equals && dot < equals) {
        line->overrides[line->override_count++] = word + 2;
        return true;
    }
    if (answer == ':')
        return error_set(err, ERR_CONFIG, "%.60s needs a value", word);
    if (answer == '?' && equals && optopt >= FIRST_LONG)
        return error_set(err, ERR_CONFIG, "%.60s takes no value", word);
    if (answer == '?' || !option)
        return unknown_option(line->command, word, err);
    return take(line, option, optarg ? optarg : "", err);
}

/* Reads options and, behind the command, its words, which are gathered at the front of argv. */
static bool read_options(struct cli_line *line, int argc, char **argv, struct error *err)
{
    struct wanted w;
    int answer, words = 1;

    want(&w, line->command);
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while ((answer = getopt_long(argc, argv, w.shorts, w.longs, NULL)) != -1) {
        if (answer == 1)
            argv[words++] = optarg;
        else if (!take_answer(line, answer, argv[optind - 1], err))
            return false;
    }
    if (!line->command)
        return true;
    while (optind < argc) /* behind "--" */
        argv[words++] = argv[optind++];
    line->words = argv + 1;
    line->word_count = (size_t)words - 1;
    return true;
}

/* The command at the front of the words, and how many of them it takes. */
static const struct cli_command *find_command(int count, char **words, int *taken)
{
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        size_t first = strcspn(c->name, " ");
        bool two = c->name[first] == ' ';

        if (strncmp(c->name, words[0], first) != 0 || words[0][first] != '\0')
            continue;
        if (two && (count < 2 || strcmp(c->name + first + 1, words[1]) != 0))
            continue;
        *taken = two ? 2 : 1;
        return c;
    }
    return NULL;
}

static bool asks_for_help(const struct cli_line *line)
{
    return cli_value(line, OPT_HELP) || cli_value(line, OPT_VERSION);
}

/* What stood before the command has to be for it as well. */
static bool check_early(const struct cli_line *line, struct error *err)
{
    for (size_t i = 0; i < line->given_count; i++) {
        const struct cli_option *option = &line->given[i].option;

        if (!cli_takes(line->command, option))
            return error_set(err, ERR_CONFIG, "--%s is no option of jidpost %s", option->name, line->command->name);
    }
    return true;
}

static bool read_command(struct cli_line *line, int argc, char **argv, struct error *err)
{
    int taken = 0, at = optind;

    if (at >= argc)
        return asks_for_help(line) || error_set(err, ERR_CONFIG, "what to do? jidpost --help says what there is");
    line->command = find_command(argc - at, argv + at, &taken);
    if (!line->command && argc - at >= 2 && strcmp(argv[at + 1], "--help") == 0)
        return unknown_command(argv[at], NULL, err);
    if (!line->command)
        return unknown_command(argv[at], argc - at >= 2 ? argv[at + 1] : NULL, err);
    at += taken - 1; /* getopt leaves the first one out */
    return check_early(line, err) && read_options(line, argc - at, argv + at, err) &&
           (asks_for_help(line) || check_words(line, err));
}

bool cli_read(struct cli_line *line, int argc, char **argv, char *const *environment, struct error *err)
{
    *line = (struct cli_line){.environment = environment};
    line->given = calloc((size_t)argc + 1, sizeof *line->given);
    line->overrides = calloc((size_t)argc + 1, sizeof *line->overrides);
    if (!line->given || !line->overrides)
        return error_set(err, ERR_SYSTEM, "out of memory");
    return read_options(line, argc, argv, err) && read_command(line, argc, argv, err);
}

void cli_line_free(struct cli_line *line)
{
    free(line->given);
    free((void *)line->overrides);
    *line = (struct cli_line){0};
}
