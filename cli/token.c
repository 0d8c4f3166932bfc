/* cli/token.c - "jidpost token create|list|revoke": tokens on disk, in tokens.d of the state folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "cli/commands.h"
#include "cli/exit_code.h"
#include "gateway/config.h"

/* ---- files */

static char *path_of(const char *state_dir, const char *id)
{
    char *path;

    return asprintf(&path, "%s/" TOKENS_FOLDER "/%s.ini", state_dir, id) < 0 ? NULL : path;
}

/* Root may make tokens for a gateway that runs as somebody else: what it makes belongs to whom the folder above does.
 */
static void give_away(int fd, const char *folder)
{
    struct stat st;

    if (geteuid() == 0 && stat(folder, &st) == 0)
        (void)!fchown(fd, st.st_uid, st.st_gid);
}

static bool make_folder(const char *state_dir, struct error *err)
{
    char *folder = NULL;
    bool ok = false;
    int fd = -1;

    if (asprintf(&folder, "%s/" TOKENS_FOLDER, state_dir) < 0)
        return error_set(err, ERR_SYSTEM, "out of memory");
    if ((mkdir(state_dir, 0700) != 0 && errno != EEXIST) || (mkdir(folder, 0700) != 0 && errno != EEXIST)) {
        error_set(err, ERR_CONFIG, "%s: %s", folder, strerror(errno));
        goto out;
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        give_away(fd, state_dir);
    ok = true;
out:
    fd_close(&fd);
    free(folder);
    return ok;
}

static bool write_section(const char *state_dir, const char *id, const struct buf *text, struct error *err)
{
    char *path = path_of(state_dir, id);
    bool ok = false;
    int fd = -1;

    if (!path || !make_folder(state_dir, err))
        goto out;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        error_set(err, ERR_CONFIG, "there is a token %s; revoke it first, or give another --id", id);
        goto out;
    }
    if (fd >= 0)
        give_away(fd, state_dir);
    if (fd < 0 || write(fd, text->data, text->len) != (ssize_t)text->len || fsync(fd) != 0) {
        error_set(err, ERR_SYSTEM, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            unlink(path);
        goto out;
    }
    fprintf(stderr, "jidpost: kept in %s; a gateway that runs knows it after a reload (SIGHUP)\n", path);
    ok = true;
out:
    fd_close(&fd);
    free(path);
    return ok;
}

/* ---- the commands */

/* The keys that were given, checked, as lines of the section. */
static bool read_rules(const struct cli_line *line, struct buf *section, struct error *err)
{
    struct token_list tokens = {0};
    bool ok = true;

    for (size_t i = 0; ok && i < line->given_count; i++) {
        const struct cli_given *given = &line->given[i];
        struct token *t = token_list_at(&tokens, "new", err);
        char key[CLI_KEY];

        if (given->option.id != OPT_TOKEN_KEY)
            continue;
        cli_option_key(&given->option, key);
        buf_printf(section, "%s = %s\n", key, given->value);
        ok = t && token_set(t, key, given->value, err);
    }
    token_list_free(&tokens);
    return ok;
}

/* state_dir NULL: the section is printed, and kept by nobody. */
static bool create(const struct cli_line *line, const char *state_dir, struct error *err)
{
    unsigned char digest[TOKEN_DIGEST];
    char random_id[9], text[TOKEN_TEXT], hex[2 * TOKEN_DIGEST + 1];
    const char *id = cli_value(line, OPT_TOKEN_ID) ? cli_value(line, OPT_TOKEN_ID) : random_id;
    struct buf out = {0}, rules = {0};
    bool ok = false;

    id_random_hex(random_id, 4);
    if (!token_id_valid(id))
        return error_set(err, ERR_CONFIG, "--id: letters, digits and '-', at most %d", TOKEN_ID - 1);
    if (!token_make(id, text) || !token_digest(text, digest))
        return error_set(err, ERR_SYSTEM, "no randomness, or no SHA-256, to make a token with");
    id_hex(digest, sizeof digest, hex);
    buf_printf(&out, "[token %s]\nhash = sha256:%s\n", id, hex);
    if (!read_rules(line, &rules, err))
        goto out;
    buf_puts(&out, rules.data ? rules.data : "");
    if (out.failed || rules.failed)
        error_set(err, ERR_SYSTEM, "out of memory");
    else
        ok = !state_dir || write_section(state_dir, id, &out, err);
    if (ok)
        printf("%s\n%s", text, state_dir ? "" : out.data);
out:
    buf_free(&rules);
    buf_free(&out);
    return ok;
}

static bool list_kept(const struct cli_line *line, const char *state_dir, struct error *err)
{
    (void)line;
    struct token_list tokens = {0};
    bool ok = config_kept_tokens(state_dir, &tokens, err);

    for (size_t i = 0; ok && i < tokens.count; i++) {
        const struct token *t = &tokens.items[i];
        char until[CLOCK_TEXT] = "never";

        if (t->expires)
            clock_text(t->expires, until);
        printf("%s\tscopes=%s\tallow_to=%s\texpires=%s\t%s\n", t->id, t->scopes_text,
               *t->allow_text ? t->allow_text : "*", until, t->note ? t->note : "");
    }
    token_list_free(&tokens);
    return ok;
}

/* A gateway without any token asks for none, on loopback. */
static void warn_of_none(const char *state_dir)
{
    struct token_list left = {0};

    if (config_kept_tokens(state_dir, &left, NULL) && left.count == 0)
        fputs("jidpost: none is left there; unless jidpost.ini or JIDPOST_HTTP_TOKEN has one, whoever reaches the "
              "gateway on loopback may do everything, and one that listens beyond it refuses to reload and goes on "
              "taking this one: make another first\n",
              stderr);
    token_list_free(&left);
}

static bool take_back(const struct cli_line *line, const char *state_dir, struct error *err)
{
    const char *id = line->words[0];
    char *path = token_id_valid(id) ? path_of(state_dir, id) : NULL;
    bool ok = path && unlink(path) == 0;

    if (!ok && (!path || errno == ENOENT)) {
        error_set(err, ERR_NOT_FOUND, "there is no token of that id in %s/" TOKENS_FOLDER, state_dir);
    } else if (!ok) {
        error_set(err, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    } else {
        fprintf(stderr, "jidpost: %s is gone; a gateway that runs takes the token until it reloads (SIGHUP)\n", path);
        warn_of_none(state_dir);
    }
    free(path);
    return ok;
}

/* With the state folder, which is all of the configuration that has to hold. */
static int with_folder(const struct cli_line *line,
                       bool (*act)(const struct cli_line *line, const char *state_dir, struct error *err))
{
    struct error error = {0};
    char *state_dir = config_state_dir(cli_value(line, OPT_CONFIG), line->environment, line->overrides, &error);
    bool ok = state_dir && act(line, state_dir, &error);

    free(state_dir);
    if (ok)
        return EXIT_OK;
    cli_fail(&error);
    return error.code == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_USAGE;
}

int command_token_create(const struct cli_line *line)
{
    struct error error;

    if (cli_value(line, OPT_TOKEN_WRITE))
        return with_folder(line, create);
    if (create(line, NULL, &error))
        return EXIT_OK;
    cli_fail(&error);
    return EXIT_USAGE;
}

int command_token_list(const struct cli_line *line)
{
    return with_folder(line, list_kept);
}

int command_token_revoke(const struct cli_line *line)
{
    return with_folder(line, take_back);
}
