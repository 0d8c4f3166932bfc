/* cli/exit_code.h - how the program ends, for scripts: one number for each kind of reason. */
#ifndef CLI_EXIT_CODE_H
#define CLI_EXIT_CODE_H

#include "base/error.h"
#include "cli/cli.h"

enum exit_code {
    EXIT_OK = 0,
    EXIT_USAGE = 2,
    EXIT_AUTH = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_RECIPIENT = 5,
    EXIT_TRANSPORT = 6,
    EXIT_LIMITS = 7,
    EXIT_UNAVAILABLE = 8,
    EXIT_TIMEOUT = 124,
    EXIT_INTERRUPTED = 130
};

/* Every code by name and no default: the compiler asks for a new one. */
int exit_of_error(enum error_code code);

/* For an answer whose code this version does not know. */
int exit_of_status(long status);

/* What each number means; name NULL at the end. */
extern const struct cli_fact *const exit_codes;

#endif
