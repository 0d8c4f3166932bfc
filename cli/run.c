/* cli/run.c - from a command line to what it asks for. */
#include <string.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/exit_code.h"

int cli_fail(const struct error *err)
{
    char shown[sizeof err->text * 3];

    text_clean(err->text, shown, sizeof shown);
    fprintf(stderr, "jidpost: %s\n", shown);
    return exit_of_error(err->code);
}

static int run(const struct cli_line *line, int (*serve)(const struct cli_line *line))
{
    const struct cli_command *command = line->command;

    if (cli_value(line, OPT_VERSION))
        return command_version(line);
    if (cli_value(line, OPT_HELP) && !command)
        cli_help(stdout);
    else if (cli_value(line, OPT_HELP))
        cli_help_on(command, stdout);
    else
        return command->run ? command->run(line) : serve(line);
    return EXIT_OK;
}

int cli_main(int argc, char **argv, char *const *environment, int (*serve)(const struct cli_line *line))
{
    struct error error = {0};
    struct cli_line line;
    int status;

    if (cli_read(&line, argc, argv, environment, &error))
        status = run(&line, serve);
    else
        status = cli_fail(&error);
    cli_line_free(&line);
    return status;
}
