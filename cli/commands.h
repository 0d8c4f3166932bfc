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

/* send.c, transfers.c, webhook.c: these call a gateway */
int command_send(const struct cli_line *line);
int command_status(const struct cli_line *line);
int command_ls(const struct cli_line *line);
int command_watch(const struct cli_line *line);
int command_cancel(const struct cli_line *line);
int command_retry(const struct cli_line *line);
int command_webhook_test(const struct cli_line *line);
int command_webhook_verify(const struct cli_line *line); /* but not this one */

/* inbox.c, inbox_get.c: likewise */
int command_inbox_ls(const struct cli_line *line);
int command_inbox_get(const struct cli_line *line);
int command_inbox_rm(const struct cli_line *line);

/* doctor.c */
int command_doctor(const struct cli_line *line);

#endif
