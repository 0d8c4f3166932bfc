/* gateway/token_command.h - "jidpost token create|list|revoke": tokens on disk, in tokens.d of the state folder. */
#ifndef GATEWAY_TOKEN_COMMAND_H
#define GATEWAY_TOKEN_COMMAND_H

/* argv[0] is "token". Speaks to stdout and stderr; the program's exit status: 0, 2 (usage, configuration) or 4 (there
 * is no such token). */
int token_command(int argc, char **argv, char *const *environment);

#endif
