/* gateway/token_command.c - tokens on disk, see token_command.h. */
#include "gateway/token_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "gateway/config.h"

enum { DONE = 0, BAD = 2, NOT_FOUND = 4 };
enum { OVERRIDES = 64 };

static const char usage[] =
    "  jidpost token create [--write] print a new token, once, and its section for jidpost.ini\n"
    "      --id ID --scopes LIST --allow-to LIST --max-size SIZE --rate N[/BURST] --active N\n"
    "      --daily-bytes SIZE --expires DATE --note TEXT; 'jidpost config keys' says what they mean\n"
    "      --write: keeps the section itself, in tokens.d of the state folder\n"
    "  jidpost token list             those in tokens.d\n"
    "  jidpost token revoke ID        take one of these away\n";

struct command {
    const char *words[3]; /* "create"; "revoke", "ci-1" */
    size_t word_count;
    const char *file;
    const char *overrides[OVERRIDES];
    size_t override_count;
    const char *id;
    struct token_list tokens; /* the one to create, to check its keys */
    struct buf section;
    bool write;
};

/* ---- the command line */

/* "--allow-to" is the key allow_to; the hash is nobody's to choose. */
static const char *key_of_option(const char *option)
{
    for (const struct token_key_help *key = token_keys(); key->name; key++) {
        const char *a = key->name, *b = option;

        while (*a && (*a == *b || (*a == '_' && *b == '-')))
            a++, b++;
        if (!*a && !*b && strcmp(key->name, "hash") != 0)
            return key->name;
    }
    return NULL;
}

static bool take_key(struct command *c, const char *key, const char *value, struct error *err)
{
    struct token *t = token_list_at(&c->tokens, "new", err);

    buf_printf(&c->section, "%s = %s\n", key, value);
    return t && token_set(t, key, value, err);
}

/* An option with its value, as "--id x" or "--id=x"; *i moves to the last word taken. */
static bool take_option(struct command *c, int argc, char **argv, int *i, struct error *err)
{
    const char *arg = argv[*i], *equals = strchr(arg, '='), *key, *value;
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(arg + 2, "="), arg + 2);
    if (equals && strchr(name, '.') && c->override_count < OVERRIDES - 1) {
        c->overrides[c->override_count++] = arg + 2;
        return true;
    }
    key = key_of_option(name);
    if (!key && strcmp(name, "id") != 0 && strcmp(name, "config") != 0)
        return error_set(err, ERR_CONFIG, "'%s' is no option of jidpost token", arg);
    if (!equals && *i + 1 >= argc)
        return error_set(err, ERR_CONFIG, "%s needs a value", arg);
    value = equals ? equals + 1 : argv[++*i];
    if (key)
        return take_key(c, key, value, err);
    *(strcmp(name, "id") == 0 ? &c->id : &c->file) = value;
    return true;
}

static bool read_command_line(struct command *c, int argc, char **argv, struct error *err)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--write") == 0)
            c->write = true;
        else if (strncmp(argv[i], "--", 2) != 0 && c->word_count < 3)
            c->words[c->word_count++] = argv[i];
        else if (strncmp(argv[i], "--", 2) != 0)
            return error_set(err, ERR_CONFIG, "'%s' is one word too many", argv[i]);
        else if (!take_option(c, argc, argv, &i, err))
            return false;
    }
    return true;
}

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

static bool create(struct command *c, const char *state_dir, struct error *err)
{
    unsigned char digest[TOKEN_DIGEST];
    char random_id[9], text[TOKEN_TEXT], hex[2 * TOKEN_DIGEST + 1];
    const char *id = c->id ? c->id : random_id;
    struct buf out = {0};
    bool ok = false;

    id_random_hex(random_id, 4);
    if (!token_id_valid(id))
        return error_set(err, ERR_CONFIG, "--id: letters, digits and '-', at most %d", TOKEN_ID - 1);
    if (!token_make(id, text) || !token_digest(text, digest))
        return error_set(err, ERR_SYSTEM, "no randomness, or no SHA-256, to make a token with");
    id_hex(digest, sizeof digest, hex);
    buf_printf(&out, "[token %s]\nhash = sha256:%s\n", id, hex);
    buf_puts(&out, c->section.data ? c->section.data : "");
    if (out.failed || c->section.failed)
        error_set(err, ERR_SYSTEM, "out of memory");
    else
        ok = !c->write || write_section(state_dir, id, &out, err);
    if (ok)
        printf("%s\n%s", text, c->write ? "" : out.data);
    buf_free(&out);
    return ok;
}

static bool list_kept(const char *state_dir, struct error *err)
{
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

static bool take_back(const char *state_dir, const char *id, struct error *err)
{
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

static bool is(const struct command *c, const char *word, size_t count)
{
    return c->word_count == count && strcmp(c->words[0], word) == 0;
}

static bool run(struct command *c, char *const *environment, struct error *err)
{
    char *state_dir;
    bool ok;

    if (is(c, "create", 1) && !c->write)
        return create(c, NULL, err);
    if (!is(c, "create", 1) && !is(c, "list", 1) && !is(c, "revoke", 2))
        return error_set(err, ERR_CONFIG, "expected token create, token list or token revoke ID; see jidpost token");
    state_dir = config_state_dir(c->file, environment, c->overrides, err);
    if (!state_dir)
        return false;
    if (is(c, "create", 1))
        ok = create(c, state_dir, err);
    else
        ok = is(c, "list", 1) ? list_kept(state_dir, err) : take_back(state_dir, c->words[1], err);
    free(state_dir);
    return ok;
}

int token_command(int argc, char **argv, char *const *environment)
{
    struct error error = {0};
    struct command c = {0};
    bool usable = argc > 1 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0, ok;

    ok = usable && read_command_line(&c, argc, argv, &error) && run(&c, environment, &error);
    if (!usable)
        fputs(usage, stderr);
    else if (!ok)
        fprintf(stderr, "jidpost: %s\n", error.text);
    token_list_free(&c.tokens);
    buf_free(&c.section);
    return ok ? DONE : error.code == ERR_NOT_FOUND ? NOT_FOUND : BAD;
}
