/* cli/local.c - commands about this program and its configuration; only healthcheck asks a gateway. */
#include <string.h>

#include "api/tls.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "gateway/config.h"
#include "gateway/healthcheck.h"

extern const char embedded_openapi[];

static bool check_pair(const struct config *c, struct error *err)
{
    struct tls_pair *pair = c->http.tls_cert ? tls_pair_load(c->http.tls_cert, c->http.tls_key, err) : NULL;
    bool ok = pair || !c->http.tls_cert;

    tls_pair_free(&pair);
    return ok;
}

int command_config_check(const struct cli_line *line)
{
    struct config config;
    struct error error;
    bool ok;

    ok = config_load(&config, cli_value(line, OPT_CONFIG), line->environment, line->overrides, &error) &&
         check_pair(&config, &error);
    config_free(&config);
    if (!ok) {
        cli_fail(&error);
        return EXIT_USAGE;
    }
    puts("The configuration holds.");
    return EXIT_OK;
}

int command_config_show(const struct cli_line *line)
{
    struct error error;

    if (config_show(cli_value(line, OPT_CONFIG), line->environment, line->overrides, stdout, &error))
        return EXIT_OK;
    cli_fail(&error);
    return EXIT_USAGE;
}

int command_config_keys(const struct cli_line *line)
{
    (void)line;
    config_keys(stdout);
    return EXIT_OK;
}

int command_healthcheck(const struct cli_line *line)
{
    const char *path = cli_value(line, OPT_READY) ? "/readyz" : "/livez", *listen;
    struct config config;
    struct error error;
    bool well;

    if (!config_load(&config, cli_value(line, OPT_CONFIG), line->environment, line->overrides, &error)) {
        cli_fail(&error);
        return EXIT_USAGE;
    }
    listen = strcmp(config.http.listen, LISTEN_OFF) == 0 ? config.http.unix_path : config.http.listen;
    well = healthcheck(listen, config.http.tls_cert != NULL, path, &error);
    config_free(&config);
    if (!well)
        cli_fail(&error);
    return well ? EXIT_OK : EXIT_UNAVAILABLE;
}

int command_openapi(const struct cli_line *line)
{
    (void)line;
    fputs(embedded_openapi, stdout);
    return EXIT_OK;
}

int command_completion(const struct cli_line *line)
{
    struct error error;

    if (cli_completion(line->words[0], stdout))
        return EXIT_OK;
    error_set(&error, ERR_CONFIG, "'%.40s': there are completions for %s", line->words[0], line->command->words);
    return cli_fail(&error);
}

int command_version(const struct cli_line *line)
{
    (void)line;
    puts("jidpost " JIDPOST_VERSION);
    return EXIT_OK;
}

/* "help send", "help token create"; of "help token" each. */
int command_help(const struct cli_line *line)
{
    struct error error;
    char name[80];
    size_t len;
    bool found = false;

    if (cli_value(line, OPT_MAN))
        cli_man(stdout);
    else if (line->word_count == 0)
        cli_help(stdout);
    if (cli_value(line, OPT_MAN) || line->word_count == 0)
        return EXIT_OK;
    snprintf(name, sizeof name, "%.30s%s%.30s", line->words[0], line->word_count > 1 ? " " : "",
             line->word_count > 1 ? line->words[1] : "");
    len = strlen(name);
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        if (strncmp(c->name, name, len) != 0 || (c->name[len] != '\0' && c->name[len] != ' '))
            continue;
        fputs(found ? "\n" : "", stdout);
        cli_help_on(c, stdout);
        found = true;
    }
    if (found)
        return EXIT_OK;
    error_set(&error, ERR_CONFIG, "'%s' is no command; jidpost help names them all", name);
    return cli_fail(&error);
}
