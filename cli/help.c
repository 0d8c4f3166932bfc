/* cli/help.c - the table as --help and as a manual page. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/exit_code.h"

enum { WIDTH = 100, COLUMN = 30 }; /* where explanations begin, and end */

/* text in lines, from column `at` on; the cursor stands at `from`. */
static void wrap(FILE *out, const char *text, size_t from, size_t at)
{
    if (at > 0 && from + 2 > at)
        fprintf(out, "\n%*s", (int)at, "");
    else
        fprintf(out, "%*s", (int)(at > from ? at - from : 0), "");
    for (size_t used = at, len; *text; text += len + (text[len] == ' ')) {
        len = strcspn(text, " ");
        if (used > at && used + 1 + len > WIDTH) {
            fprintf(out, "\n%*s", (int)at, "");
            used = at;
        }
        used += (size_t)fprintf(out, "%s%.*s", used > at ? " " : "", (int)len, text);
    }
    fputc('\n', out);
}

static size_t print_option(FILE *out, const struct cli_option *o)
{
    int n = o->letter ? fprintf(out, "  -%c, --%s", o->letter, o->name) : fprintf(out, "      --%s", o->name);

    if (o->argument)
        n += fprintf(out, o->optional ? "[=%s]" : "=%s", o->argument);
    return (size_t)n;
}

static void print_options(const struct cli_command *command, unsigned groups, unsigned without, FILE *out)
{
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (o->hidden || !cli_takes(command, o) || !(o->groups & groups) || (o->groups & without))
            continue;
        wrap(out, cli_option_help(o), print_option(out, o), COLUMN);
    }
}

static void print_facts(const char *title, const struct cli_fact *facts, FILE *out)
{
    fprintf(out, "\n%s:\n", title);
    for (; facts->name; facts++)
        wrap(out, facts->text, (size_t)fprintf(out, "  %s", facts->name), COLUMN);
}

void cli_help(FILE *out)
{
    fputs("jidpost delivers files to XMPP addresses for programs that do not speak XMPP.\n\n"
          "Usage: jidpost COMMAND [OPTION]... [ARGUMENT]...\n\nCommands (jidpost COMMAND --help says more):\n",
          out);
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        size_t n = (size_t)fprintf(out, "  %s%s%s", c->name, *c->arguments ? " " : "", c->arguments);

        wrap(out, c->summary, n, COLUMN);
    }
    fputs("\nOptions of every command:\n", out);
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (o->groups & IN_ALL)
            wrap(out, cli_option_help(o), print_option(out, o), COLUMN);
    }
    print_facts("Environment", cli_environment, out);
    print_facts("Exit status", exit_codes, out);
}

/* A summary as a line of its own. It may begin with a word of one letter, so wrap() has to see it whole. */
static void print_sentence(FILE *out, const char *summary)
{
    char *text = strdup(summary);

    if (text) {
        *text = (char)toupper((unsigned char)*text);
        wrap(out, text, 0, 0);
    }
    free(text);
}

void cli_help_on(const struct cli_command *c, FILE *out)
{
    fprintf(out, "Usage: jidpost %s [OPTION]...%s%s\n\n", c->name, *c->arguments ? " " : "", c->arguments);
    print_sentence(out, c->summary);
    if (c->details)
        wrap(out, c->details, 0, 0);
    fputs("\nOptions:\n", out);
    print_options(c, ~0u, IN_ALL, out);
    print_options(c, IN_ALL, 0, out);
}

/* ---- the manual page */

/* A hyphen in roff is not the minus of an option; a dot or an apostrophe at the start of a line is a request. */
static void roff(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else if (*text == '~')
            fputs("\\(ti", out);
        else if (*text == '^')
            fputs("\\(ha", out);
        else if (*text == '\'')
            fputs("\\(aq", out);
        else if (*text == '"')
            fputs("\\(dq", out);
        else
            fputc(*text, out);
    }
}

/* Sentences, each on a line of its own. */
static void roff_text(FILE *out, const char *text)
{
    char *copy = strdup(text);

    for (char *at = copy, *end; at && *at; at = end) {
        end = strstr(at, ". ");
        if (end)
            end[1] = '\0', end += 2;
        else
            end = at + strlen(at);
        roff(out, at);
        fputc('\n', out);
    }
    free(copy);
}

static void man_facts(FILE *out, const struct cli_fact *facts)
{
    for (; facts->name; facts++) {
        fputs(".TP\n.B ", out);
        roff(out, facts->name);
        fputc('\n', out);
        roff_text(out, facts->text);
    }
}

static void man_option(FILE *out, const struct cli_option *o)
{
    fputs(".TP\n\\fB", out);
    if (o->letter)
        fprintf(out, "\\-%c\\fR, \\fB", o->letter);
    fputs("\\-\\-", out);
    roff(out, o->name);
    fputs("\\fR", out);
    if (o->argument) {
        fputs(o->optional ? "[=\\fI" : "=\\fI", out);
        roff(out, o->argument);
        fputs(o->optional ? "\\fR]" : "\\fR", out);
    }
    fputc('\n', out);
    roff(out, cli_option_help(o));
    fputc('\n', out);
    if (o->words) {
        fputs("One of: ", out);
        roff(out, o->words);
        fputs(".\n", out);
    }
}

static void man_command(FILE *out, const struct cli_command *c)
{
    fputs(".SS \"", out);
    roff(out, c->name);
    fputs(*c->arguments ? " " : "", out);
    roff(out, c->arguments);
    fputs("\"\n", out);
    fputc(toupper((unsigned char)*c->summary), out);
    roff(out, c->summary + 1);
    fputs(".\n", out);
    if (c->details)
        roff_text(out, c->details);
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (!o->hidden && cli_takes(c, o) && !(o->groups & (IN_ALL | IN_CLIENT | IN_TELLS | IN_WAITS)))
            man_option(out, o);
    }
}

/* A group of options that stand once, with the commands that take them. */
static void man_group(FILE *out, const char *title, unsigned group)
{
    const char *between = "Of ";

    fprintf(out, ".SS \"%s\"\n", title);
    if (group != IN_ALL) {
        for (const struct cli_command *c = cli_commands; c->name; c++) {
            if (!(c->groups & group))
                continue;
            fputs(between, out);
            roff(out, c->name);
            between = ", ";
        }
        fputs(".\n", out);
    }
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (!o->hidden && (o->groups & group))
            man_option(out, o);
    }
}

static bool any_takes(unsigned group)
{
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        if (c->groups & group)
            return true;
    }
    return false;
}

void cli_man(FILE *out)
{
    static const struct {
        const char *title;
        unsigned group;
    } groups[] = {{"Which gateway", IN_CLIENT},
                  {"What is printed", IN_TELLS},
                  {"Waiting", IN_WAITS},
                  {"Of every command", IN_ALL}};

    fputs(".\\\" Made by jidpost help --man.\n.TH JIDPOST 1 2026-11-26 \"jidpost " JIDPOST_VERSION "\"\n.SH NAME\n"
          "jidpost \\- deliver files to XMPP addresses for programs that do not speak XMPP\n.SH SYNOPSIS\n"
          ".B jidpost\n.I COMMAND\n[\\fIOPTION\\fR]...\n[\\fIARGUMENT\\fR]...\n.SH DESCRIPTION\n"
          "A file is uploaded over HTTP and arrives in somebody\\(aqs XMPP client.\n"
          "This program is the gateway itself (\\fBserve\\fR) and what calls it from a shell.\n.SH COMMANDS\n",
          out);
    for (const struct cli_command *c = cli_commands; c->name; c++)
        man_command(out, c);
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (any_takes(groups[i].group))
            man_group(out, groups[i].title, groups[i].group);
    }
    fputs(".SH EXIT STATUS\n", out);
    man_facts(out, exit_codes);
    fputs(".SH ENVIRONMENT\n", out);
    man_facts(out, cli_environment);
    fputs(".SH FILES\n", out);
    man_facts(out, cli_files);
    fputs(".SH EXAMPLES\n", out);
    man_facts(out, cli_examples);
}
