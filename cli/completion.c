/* cli/completion.c - the table as completions for bash, zsh and fish. */
#include <string.h>

#include "cli/cli.h"

/* The first words of all commands, each once; or the second words of one first word. */
static void words_of(const char *first, const char *between, FILE *out)
{
    const char *gap = "";

    for (const struct cli_command *c = cli_commands; c->name; c++) {
        size_t len = strcspn(c->name, " ");
        bool again = c > cli_commands && strncmp(c->name, (c - 1)->name, len + 1) == 0 && c->name[len] == ' ';

        if (first && (strlen(first) != len || strncmp(c->name, first, len) != 0 || c->name[len] != ' '))
            continue;
        if (!first && again)
            continue;
        if (first)
            fprintf(out, "%s%s", gap, c->name + len + 1);
        else
            fprintf(out, "%s%.*s", gap, (int)len, c->name);
        gap = between;
    }
}

/* Each first word that needs a second. */
static void each_group(void (*each)(const char *first, FILE *out), FILE *out)
{
    char last[40] = "";

    for (const struct cli_command *c = cli_commands; c->name; c++) {
        char first[40];

        snprintf(first, sizeof first, "%.*s", (int)strcspn(c->name, " "), c->name);
        if (strcmp(first, c->name) != 0 && strcmp(first, last) != 0) {
            snprintf(last, sizeof last, "%s", first);
            each(first, out);
        }
    }
}

static bool is_file(const char *argument)
{
    return argument && strncmp(argument, "FILE", 4) == 0;
}

/* ---- bash */

static void bash_group(const char *first, FILE *out)
{
    fprintf(out, "    %s)\n        COMPREPLY=($(compgen -W '", first);
    words_of(first, " ", out);
    fputs("' -- \"$cur\"))\n        ;;\n", out);
}

static void bash_command(const struct cli_command *c, FILE *out)
{
    fprintf(out, "    '%s')\n        case $prev in\n", c->name);
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (!cli_takes(c, o) || !o->argument || o->optional)
            continue;
        if (o->words)
            fprintf(out, "        --%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", o->name, o->words);
        else if (is_file(o->argument))
            fprintf(out, "        --%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", o->name);
        else
            fprintf(out, "        --%s) return ;;\n", o->name);
    }
    fputs("        esac\n        case $cur in\n        -*) COMPREPLY=($(compgen -W '", out);
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (!o->hidden && cli_takes(c, o))
            fprintf(out, "--%s ", o->name);
    }
    fputs("' -- \"$cur\")) ;;\n", out);
    if (c->words)
        fprintf(out, "        *) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", c->words);
    else if (is_file(c->arguments))
        fputs("        *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n", out);
    fputs("        esac\n        ;;\n", out);
}

static void bash_group_name(const char *first, FILE *out)
{
    fprintf(out, "        %s) command+=\" $word\" ;;\n", first);
}

static void bash(FILE *out)
{
    fputs("# bash completion for jidpost; made by jidpost completion bash\n"
          "_jidpost() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' word i\n"
          "    COMPREPLY=()\n"
          "    compopt -o filenames 2>/dev/null\n"
          "    [ \"$prev\" != = ] || prev=${COMP_WORDS[COMP_CWORD-2]}\n"
          "    [ \"$cur\" != = ] || cur=''\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        word=${COMP_WORDS[i]}\n"
          "        case $word in\n"
          "        --config | --set) ((i++)); continue ;;\n"
          "        -*) continue ;;\n"
          "        esac\n"
          "        case $command in\n"
          "        '') command=$word ;;\n",
          out);
    each_group(bash_group_name, out);
    fputs(
        "        *) break ;;\n        esac\n    done\n    case $command in\n    '')\n        COMPREPLY=($(compgen -W '",
        out);
    words_of(NULL, " ", out);
    fputs("' -- \"$cur\"))\n        ;;\n", out);
    each_group(bash_group, out);
    for (const struct cli_command *c = cli_commands; c->name; c++)
        bash_command(c, out);
    fputs("    esac\n}\ncomplete -F _jidpost jidpost\n", out);
}

/* ---- zsh */

/* Inside single quotes, and where brackets and colons end an explanation. */
static void zsh_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *text))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void zsh_option(const struct cli_option *o, FILE *out)
{
    fprintf(out, "            '*--%s%s[", o->name, !o->argument ? "" : o->optional ? "=-" : "=");
    zsh_text(cli_option_help(o), out);
    fputc(']', out);
    if (o->argument) {
        fputs(o->optional ? "::" : ":", out);
        zsh_text(o->argument, out);
        fputc(':', out);
        if (o->words)
            fprintf(out, "(%s)", o->words);
        else if (is_file(o->argument))
            fputs("_files", out);
    }
    fputs("' \\\n", out);
}

static void zsh_command(const struct cli_command *c, FILE *out)
{
    fprintf(out, "    '%s')\n        _arguments -s \\\n", c->name);
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (!o->hidden && cli_takes(c, o))
            zsh_option(o, out);
    }
    if (c->words)
        fprintf(out, "            '*:argument:(%s)'\n        ;;\n", c->words);
    else
        fprintf(out, "            '*:argument:%s'\n        ;;\n", is_file(c->arguments) ? "_files" : " ");
}

static void zsh_group(const char *first, FILE *out)
{
    fprintf(out, "    %s) compadd -- ", first);
    words_of(first, " ", out);
    fputs(" ;;\n", out);
}

static void zsh_group_name(const char *first, FILE *out)
{
    fprintf(out, "        %s) command+=\" $words[i]\"; (( at = i )) ;;\n", first);
}

static void zsh(FILE *out)
{
    fputs("#compdef jidpost\n# made by jidpost completion zsh\n"
          "_jidpost() {\n"
          "    local command='' i at=1\n"
          "    for (( i = 2; i < CURRENT; i++ )); do\n"
          "        case $words[i] in\n"
          "        --config|--set) (( i++ )); continue ;;\n"
          "        -*) continue ;;\n"
          "        esac\n"
          "        case $command in\n"
          "        '') command=$words[i]; (( at = i )) ;;\n",
          out);
    each_group(zsh_group_name, out);
    fputs("        *) break ;;\n        esac\n    done\n"
          "    if (( at > 1 )); then\n"
          "        words=(\"${(@)words[at,-1]}\")\n"
          "        (( CURRENT -= at - 1 ))\n"
          "    fi\n"
          "    case $command in\n    '') compadd -- ",
          out);
    words_of(NULL, " ", out);
    fputs(" ;;\n", out);
    each_group(zsh_group, out);
    for (const struct cli_command *c = cli_commands; c->name; c++)
        zsh_command(c, out);
    fputs("    esac\n}\nif [ \"$funcstack[1]\" = _jidpost ]; then\n    _jidpost \"$@\"\n"
          "elif (( $+functions[compdef] )); then\n    compdef _jidpost jidpost\nfi\n",
          out);
}

/* ---- fish */

static void fish_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void fish_option(const struct cli_command *c, const struct cli_option *o, FILE *out)
{
    fprintf(out, "complete -c jidpost -n '__jidpost_is \"%s\"' -l %s", c->name, o->name);
    if (o->letter)
        fprintf(out, " -s %c", o->letter);
    if (o->argument && !o->optional)
        fputs(is_file(o->argument) ? " -r -F" : " -x", out);
    if (o->words)
        fprintf(out, " -a '%s'", o->words);
    fputs(" -d '", out);
    fish_text(cli_option_help(o), out);
    fputs("'\n", out);
}

static void fish_command(const struct cli_command *c, FILE *out)
{
    size_t first = strcspn(c->name, " ");
    bool two = c->name[first] == ' ';

    fprintf(out, "complete -c jidpost -f -n '__jidpost_is \"%.*s\"' -a '%s' -d '", two ? (int)first : 0, c->name,
            two ? c->name + first + 1 : c->name);
    fish_text(c->summary, out);
    fputs("'\n", out);
    if (c->words)
        fprintf(out, "complete -c jidpost -f -n '__jidpost_is \"%s\"' -a '%s'\n", c->name, c->words);
    else if (is_file(c->arguments))
        fprintf(out, "complete -c jidpost -F -n '__jidpost_is \"%s\"'\n", c->name);
    for (const struct cli_option *o = cli_options; o->name; o++) {
        if (!o->hidden && cli_takes(c, o))
            fish_option(c, o, out);
    }
}

static void fish_group(const char *first, FILE *out)
{
    fprintf(out, "complete -c jidpost -f -n '__jidpost_is \"\"' -a %s\n", first);
}

static void fish_group_name(const char *first, FILE *out)
{
    fprintf(out, " %s", first);
}

static void fish(FILE *out)
{
    fputs("# fish completion for jidpost; made by jidpost completion fish\n"
          "function __jidpost_is --description 'whether the command so far is this one'\n"
          "    set -l words\n"
          "    set -l skip 0\n"
          "    for word in (commandline -opc)[2..-1]\n"
          "        if test $skip = 1\n"
          "            set skip 0\n"
          "        else if contains -- $word --config --set\n"
          "            set skip 1\n"
          "        else if not string match -q -- '-*' $word\n"
          "            set -a words $word\n"
          "        end\n"
          "    end\n"
          "    if contains -- \"$words[1]\"",
          out);
    each_group(fish_group_name, out);
    fputs("\n        test \"$words[1..2]\" = \"$argv[1]\"\n"
          "    else\n"
          "        test \"$words[1]\" = \"$argv[1]\"\n"
          "    end\n"
          "end\n"
          "complete -c jidpost -f\n",
          out);
    each_group(fish_group, out);
    for (const struct cli_command *c = cli_commands; c->name; c++)
        fish_command(c, out);
}

bool cli_completion(const char *shell, FILE *out)
{
    if (strcmp(shell, "bash") == 0)
        bash(out);
    else if (strcmp(shell, "zsh") == 0)
        zsh(out);
    else if (strcmp(shell, "fish") == 0)
        fish(out);
    else
        return false;
    return true;
}
