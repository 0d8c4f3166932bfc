/* cli/commands.h - what the rows of the table run. Each returns the program's exit status (cli/exit_code.h). */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/cli.h"

/* local.c: no gateway is asked, but by healthcheck */
int command_config_check(const struct cli_line *line);
int command_config_show(const struct cli_line *line);
int command_config_keys(const struct cli_line *line);
int command_healthcheck(const struct cli_line *line);
int command_openapi(const struct cli_line *line);
int command_completion(const struct cli_line *line);
int command_version(const struct cli_line *line);
int command_help(const struct cli_line *line);

/* token.c */
int command_token_create(const struct cli_line *line);
int command_token_list(const struct cli_line *line);
int command_token_revoke(const struct cli_line *line);

#endif
