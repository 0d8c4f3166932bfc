/* gateway/config.c - layers of settings, see config.h.
 *
 * Values are gathered as text, layer over layer, each remembering where it came from; then every key of the table in
 * config_keys.c is read by its kind; then what concerns several keys is checked. */
#include "gateway/config.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "gateway/config_keys.h"
#include "gateway/config_secret.h"
#include "gateway/config_values.h"
#include "gateway/config_webhooks.h"

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "out of memory");
}

/* where: "jidpost.ini:3: ", or "" */
static bool unknown_key(const char *where, const char *name, struct error *err)
{
    const char *names[KEY_COUNT];
    const char *nearest;
    char shown[KEY_NAME];

    for (size_t i = 0; i < KEY_COUNT; i++)
        names[i] = config_table[i].name;
    nearest = text_nearest(name, names, KEY_COUNT);
    text_clean(name, shown, sizeof(shown));
    if (nearest)
        return error_set(err, ERR_CONFIG, "%sthere is no key '%s'; did you mean '%s'?", where, shown, nearest);
    return error_set(err, ERR_CONFIG, "%sthere is no key '%s'; 'jidpost config keys' lists them all", where, shown);
}

/* ---- gathering: default < file < environment < command line */

struct setting {
    char *value; /* NULL: not given */
    char where[160];
    bool from_environment; /* or what stands in for it: a secret's file, a credential */
};

struct settings {
    struct setting of[KEY_COUNT];
    struct token_list tokens; /* of the file */
    struct webhook_list webhooks;
    struct inbox_rule_list inbox; /* the sections alone */
};

static struct setting *setting_of(struct settings *s, const struct key *key)
{
    return &s->of[key - config_table];
}

static void settings_clear(struct settings *s)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        free(s->of[i].value);
    token_list_free(&s->tokens);
    webhook_list_free(&s->webhooks);
    inbox_rules_free(&s->inbox);
}

void settings_free(struct settings **settings)
{
    if (*settings)
        settings_clear(*settings);
    free(*settings);
    *settings = NULL;
}

static bool put(struct settings *s, const struct key *key, const char *value, const char *where, struct error *err)
{
    struct setting *setting = setting_of(s, key);

    if (!text_is_xml(value, strlen(value)) || strpbrk(value, "\t\r\n"))
        return error_set(err, ERR_CONFIG, "%s (%s) has control characters or is not valid UTF-8", key->name, where);
    free(setting->value);
    setting->value = strdup(value);
    snprintf(setting->where, sizeof(setting->where), "%s", where);
    return setting->value || out_of_memory(err);
}

/* What inih's reader and handler share. inih tells its handler no line and cuts long ones in two without a word. */
struct ini_source {
    FILE *file;
    const char *path;
    struct settings *settings; /* NULL: a file of tokens alone */
    struct token_list *tokens;
    unsigned line;
    bool too_long;
    bool failed; /* *err is set */
    struct error *err;
};

static char *ini_read_line(char *line, int room, void *user)
{
    struct ini_source *src = user;
    size_t len;

    if (!fgets(line, room, src->file))
        return NULL;
    src->line++;
    len = strlen(line);
    src->too_long = len + 1 >= (size_t)room && line[len - 1] != '\n';
    return src->too_long ? NULL : line;
}

static bool is_token(const char *section)
{
    return strcmp(section, "token") == 0 || strncmp(section, "token ", strlen("token ")) == 0;
}

/* "[token ID]" */
static bool take_token_key(struct ini_source *src, const char *section, const char *name, const char *value)
{
    const char *id = section + strlen("token");
    struct error why = {0};
    struct token *t = token_list_at(src->tokens, id + strspn(id, " "), &why);

    return (t && token_set(t, name, value, &why)) ||
           error_set(src->err, why.code, "%s:%u: %s", src->path, src->line, why.text);
}

/* "[webhook NAME]" */
static bool is_webhook(const char *section)
{
    return strcmp(section, "webhook") == 0 || strncmp(section, "webhook ", strlen("webhook ")) == 0;
}

static bool take_webhook_key(struct ini_source *src, const char *section, const char *name, const char *value)
{
    const char *of = section + strlen("webhook");
    struct error why = {0};
    struct webhook *w = webhook_list_at(&src->settings->webhooks, of + strspn(of, " "), &why);

    return (w && webhook_set(w, name, value, &why)) ||
           error_set(src->err, why.code, "%s:%u: %s", src->path, src->line, why.text);
}

/* "[inbox NAME]"; "[inbox]" is one of keys like any other */
static bool is_inbox_rule(const char *section)
{
    return strncmp(section, "inbox ", strlen("inbox ")) == 0;
}

static bool take_inbox_key(struct ini_source *src, const char *section, const char *name, const char *value)
{
    const char *of = section + strlen("inbox");
    struct error why = {0};
    struct inbox_rule *rule = inbox_rules_at(&src->settings->inbox, of + strspn(of, " "), &why);

    return (rule && inbox_rule_set(rule, name, value, &why)) ||
           error_set(src->err, why.code, "%s:%u: %s", src->path, src->line, why.text);
}

static int ini_take_value(void *user, const char *section, const char *name, const char *value)
{
    struct ini_source *src = user;
    char full[128], where[160];
    const struct key *key;

    if (is_token(section) || !src->settings) {
        src->failed =
            is_token(section)
                ? !take_token_key(src, section, name, value)
                : !error_set(src->err, ERR_CONFIG, "%s:%u: only sections [token ID] belong here", src->path, src->line);
        return !src->failed;
    }
    if (is_webhook(section)) {
        src->failed = !take_webhook_key(src, section, name, value);
        return !src->failed;
    }
    if (is_inbox_rule(section)) {
        src->failed = !take_inbox_key(src, section, name, value);
        return !src->failed;
    }
    snprintf(full, sizeof(full), "%s.%s", section, name);
    snprintf(where, sizeof(where), "%s:%u", src->path, src->line);
    key = key_find(full);
    if (!key) {
        snprintf(where, sizeof(where), "%s:%u: ", src->path, src->line);
        src->failed = !unknown_key(where, full, src->err);
    } else if (setting_of(src->settings, key)->value) {
        src->failed = !error_set(src->err, ERR_CONFIG, "%s: %s is given twice, first at %s", where, key->name,
                                 setting_of(src->settings, key)->where);
    } else {
        src->failed = !put(src->settings, key, value, where, src->err);
    }
    return !src->failed;
}

/* s NULL: tokens alone. */
static bool read_ini(struct settings *s, struct token_list *tokens, FILE *file, const char *path, struct error *err)
{
    struct ini_source src = {.file = file, .path = path, .settings = s, .tokens = tokens, .err = err};
    int bad_line;

    /* A password may hold " ;", and an indented key is a key, not more of the value above it. */
    ini_allow_inline_comments = false;
    ini_allow_multiline = false;
    ini_stop_on_first_error = true;
    ini_max_line = 8192;
    bad_line = ini_parse_stream(ini_read_line, &src, ini_take_value, &src);
    if (src.failed)
        return false;
    if (ferror(file))
        return error_set(err, ERR_CONFIG, "%s cannot be read: %s", path, strerror(errno));
    if (src.too_long)
        return error_set(err, ERR_CONFIG, "%s:%u: the line is too long", path, src.line);
    if (bad_line > 0)
        return error_set(err, ERR_CONFIG, "%s:%d: neither '[section]' nor 'key = value'", path, bad_line);
    return bad_line == 0 || out_of_memory(err);
}

static bool gather_file(struct settings *s, const char *path, struct error *err)
{
    static const char *const usual[] = {"jidpost.ini", "/etc/jidpost/jidpost.ini"};
    FILE *file = NULL;
    bool ok;

    if (path) {
        file = fopen(path, "re");
    } else {
        for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]) && !file; i++) {
            path = usual[i];
            file = fopen(path, "re");
            if (!file && errno != ENOENT)
                break;
        }
        if (!file && errno == ENOENT)
            return true; /* everything may come from the environment */
    }
    if (!file)
        return error_set(err, ERR_CONFIG, "%s cannot be read: %s", path, strerror(errno));
    ok = read_ini(s, &s->tokens, file, path, err);
    fclose(file);
    return ok;
}

/* Puts a value that came by the environment; a secret may come by one way alone. */
static bool put_environment(struct settings *s, const struct key *key, const char *value, const char *where,
                            struct error *err)
{
    struct setting *setting = setting_of(s, key);

    if ((key->secret || key->file) && setting->from_environment)
        return error_set(err, ERR_CONFIG, "%s is given twice, by %s and by %s; keep one", key->name, setting->where,
                         where);
    setting->from_environment = true;
    return put(s, key, value, where, err);
}

static bool put_secret_file(struct settings *s, const struct key *key, FILE *file, const char *where, struct error *err)
{
    char *secret = config_secret(file, where, err);
    bool ok = secret && put_environment(s, key, secret, where, err);

    free(secret);
    return ok;
}

static bool open_secret_file(struct settings *s, const struct key *key, const char *path, const char *where,
                             struct error *err)
{
    FILE *file = fopen(path, "re");
    bool ok;

    if (!file)
        return error_set(err, ERR_CONFIG, "%s: %s cannot be read: %s", where, path, strerror(errno));
    ok = put_secret_file(s, key, file, where, err);
    fclose(file);
    return ok;
}

static bool unknown_variable(const char *name, struct error *err)
{
    char names[KEY_COUNT][KEY_NAME];
    const char *list[KEY_COUNT];
    const char *nearest;
    char shown[KEY_NAME];

    for (size_t i = 0; i < KEY_COUNT; i++)
        list[i] = key_variable(&config_table[i], names[i]);
    nearest = text_nearest(name, list, KEY_COUNT);
    text_clean(name, shown, sizeof(shown));
    if (nearest)
        return error_set(err, ERR_CONFIG, "the environment has %s, which is no key; did you mean %s?", shown, nearest);
    return error_set(err, ERR_CONFIG, "the environment has %s, which is no key; 'jidpost config keys' lists them all",
                     shown);
}

/* What the clients among our commands are told; the gateway has no use for it. */
static bool is_of_clients(const char *name)
{
    return strcmp(name, "JIDPOST_URL") == 0 || strcmp(name, "JIDPOST_TOKEN") == 0 ||
           strcmp(name, "JIDPOST_TOKEN_FILE") == 0;
}

/* name is a JIDPOST_* variable; value is not empty unless the name is to be checked alone. */
static bool take_variable(struct settings *s, const char *name, const char *value, struct error *err)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char own[KEY_NAME];
        size_t len = strlen(key_variable(&config_table[i], own));

        if (strncmp(name, own, len) != 0)
            continue;
        if (name[len] == '\0')
            return *value == '\0' || put_environment(s, &config_table[i], value, name, err);
        if (config_table[i].secret && strcmp(name + len, "_FILE") == 0)
            return *value == '\0' || open_secret_file(s, &config_table[i], value, name, err);
    }
    return is_of_clients(name) || unknown_variable(name, err);
}

/* systemd puts credentials into a folder (LoadCredential= in systemd.exec(5)); ours are called as the keys are. */
static bool gather_credentials(struct settings *s, const char *folder, struct error *err)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char path[4096], where[KEY_NAME];
        FILE *file;
        bool ok;

        if (!(config_table[i].secret || config_table[i].file) ||
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, config_table[i].name) >= sizeof(path))
            continue;
        snprintf(where, sizeof(where), "credential %s", config_table[i].name);
        file = fopen(path, "re");
        if (!file && errno == ENOENT)
            continue;
        if (!file)
            return error_set(err, ERR_CONFIG, "%s: %s cannot be read: %s", where, path, strerror(errno));
        ok = config_table[i].file ? put_environment(s, &config_table[i], path, where, err)
                                  : put_secret_file(s, &config_table[i], file, where, err);
        fclose(file);
        if (!ok)
            return false;
    }
    return true;
}

static bool gather_environment(struct settings *s, char *const *environment, struct error *err)
{
    static const char credentials[] = "CREDENTIALS_DIRECTORY=";

    for (char *const *entry = environment; entry && *entry; entry++) {
        char name[128];
        size_t len = strcspn(*entry, "=");

        if (strncmp(*entry, credentials, strlen(credentials)) == 0 &&
            !gather_credentials(s, *entry + strlen(credentials), err))
            return false;
        if (strncmp(*entry, "JIDPOST_", strlen("JIDPOST_")) != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)len, *entry);
        if (!take_variable(s, name, (*entry)[len] ? *entry + len + 1 : "", err))
            return false;
    }
    return true;
}

static bool gather_overrides(struct settings *s, const char *const *overrides, struct error *err)
{
    for (const char *const *o = overrides; o && *o; o++) {
        char name[KEY_NAME], where[KEY_NAME + 2];
        const char *equals = strchr(*o, '=');
        const struct key *key;

        if (!equals)
            return error_set(err, ERR_CONFIG, "--%.60s: expected --section.key=value", *o);
        snprintf(name, sizeof(name), "%.*s", (int)(equals - *o), *o);
        key = key_find(name);
        if (!key)
            return unknown_key("", name, err);
        snprintf(where, sizeof(where), "--%s", name);
        if (!put(s, key, equals + 1, where, err))
            return false;
    }
    return true;
}

static bool gather(struct settings *s, const char *file, char *const *environment, const char *const *overrides,
                   struct error *err)
{
    return gather_file(s, file, err) && gather_environment(s, environment, err) && gather_overrides(s, overrides, err);
}

/* ---- reading */

/* A default with what its placeholder stands for, yours to free(); NULL: out of memory. */
static char *expand(const char *fallback, const struct config *c)
{
    const char *open = strchr(fallback, '<');
    struct buf out = {0};
    size_t len;

    if (!open)
        return strdup(fallback);
    buf_add(&out, fallback, (size_t)(open - fallback));
    if (strncmp(open, "<domain>", strlen("<domain>")) == 0) {
        const char *domain =
            c->xmpp.component_secret ? jid_parent_domain(&c->xmpp.jid, &len) : jid_domain(&c->xmpp.jid, &len);

        buf_add(&out, domain, len);
    } else {
        assert(strncmp(open, "<state_dir>", strlen("<state_dir>")) == 0);
        buf_puts(&out, c->server.state_dir);
    }
    buf_puts(&out, strchr(open, '>') + 1);
    return buf_steal(&out);
}

static bool must_be_given(const struct key *key, struct error *err)
{
    char variable[KEY_NAME];
    const char *dot = strchr(key->name, '.');

    key_variable(key, variable);
    if (key->secret)
        return error_set(err, ERR_CONFIG, "%s must be given: set %s, %s_FILE (a path), or %s in [%.*s] of jidpost.ini",
                         key->name, variable, variable, dot + 1, (int)(dot - key->name), key->name);
    return error_set(err, ERR_CONFIG, "%s must be given: set %s, or %s in [%.*s] of jidpost.ini", key->name, variable,
                     dot + 1, (int)(dot - key->name), key->name);
}

static bool read_key(const struct key *key, struct setting *setting, struct config *c, struct error *err)
{
    struct error why = {0};
    char shown[60];

    if (!setting->value && key->fallback) {
        setting->value = expand(key->fallback, c);
        snprintf(setting->where, sizeof(setting->where), "default");
        if (!setting->value)
            return out_of_memory(err);
    }
    if (!setting->value && key->account && c->xmpp.component_secret) {
        setting->value = strdup("");
        if (!setting->value)
            return out_of_memory(err);
    }
    if (!key->fallback && (!setting->value || !*setting->value) && !(key->account && c->xmpp.component_secret))
        return must_be_given(key, err);
    if (key->kind->read(key, c, setting->value, &why))
        return true;
    text_clean(setting->value, shown, sizeof(shown));
    if (key->secret)
        return error_set(err, ERR_CONFIG, "%s (%s): %s", key->name, setting->where, why.text);
    return error_set(err, ERR_CONFIG, "%s = '%s' (%s): %s", key->name, shown, setting->where, why.text);
}

/* ---- tokens */

static int is_ini(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".ini") == 0;
}

static bool read_token_file(const char *folder, const char *name, struct token_list *out, struct error *err)
{
    char *path = NULL;
    FILE *file = NULL;
    bool ok = false;

    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        path = NULL;
        out_of_memory(err);
        goto out;
    }
    file = fopen(path, "re");
    if (!file && errno == ENOENT)
        ok = true; /* revoked a moment ago */
    else if (!file)
        error_set(err, ERR_CONFIG, "%s cannot be read: %s", path, strerror(errno));
    else
        ok = read_ini(NULL, out, file, path, err);
    if (file)
        fclose(file);
out:
    free(path);
    return ok;
}

static bool complete_tokens(struct token_list *list, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!token_complete(&list->items[i], err))
            return false;
    }
    return true;
}

/* From whoever may not look into it at all, and only wants to check the configuration or the gateway's health: serving
 * fails with such a folder, but not for this. */
static bool is_hidden(const char *state_dir)
{
    return errno == EACCES && access(state_dir, X_OK) != 0;
}

bool config_kept_tokens(const char *state_dir, struct token_list *out, struct error *err)
{
    struct dirent **found = NULL;
    char *folder = NULL;
    bool ok;
    int n;

    if (asprintf(&folder, "%s/" TOKENS_FOLDER, state_dir) < 0)
        return out_of_memory(err);
    n = scandir(folder, &found, is_ini, alphasort);
    ok = n >= 0 || errno == ENOENT || is_hidden(state_dir) ||
         error_set(err, ERR_CONFIG, "%s cannot be read: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        ok = ok && read_token_file(folder, found[i]->d_name, out, err);
        free(found[i]);
    }
    free(found);
    free(folder);
    return ok && complete_tokens(out, err);
}

static bool read_tokens(struct settings *s, struct config *c, struct error *err)
{
    c->tokens = s->tokens;
    s->tokens = (struct token_list){0};
    return config_kept_tokens(c->server.state_dir, &c->tokens, err);
}

/* ---- what concerns several keys */

static bool check_listener(const struct config *c, struct error *err)
{
    bool off = strcmp(c->http.listen, LISTEN_OFF) == 0;
    struct value_address a;

    if (off && !c->http.unix_path)
        return error_set(err, ERR_CONFIG, "http.listen = off leaves nothing to listen on; set http.unix to a path");
    if (c->http.token || c->tokens.count > 0)
        return true;
    if (c->http.trusted_proxies[0])
        return error_set(
            err, ERR_CONFIG,
            "the proxies of http.trusted_proxies bring callers from elsewhere, who need a token; make one: "
            "jidpost token create --write, or export JIDPOST_HTTP_TOKEN=$(openssl rand -base64 32)");
    if (off || (value_address(c->http.listen, &a) && value_is_loopback(a.host)))
        return true;
    return error_set(err, ERR_CONFIG,
                     "http.listen %s is open to others, so callers need a token; make one: jidpost token create "
                     "--write, or export JIDPOST_HTTP_TOKEN=$(openssl rand -base64 32)",
                     c->http.listen);
}

/* The secret's digest and every stanza cross the network as they are: libstrophe and most servers know no TLS here. */
static bool check_component(const struct config *c, struct error *err)
{
    if (c->xmpp.tls == TLS_DIRECT)
        return error_set(err, ERR_CONFIG,
                         "xmpp.tls = direct is for accounts; a component (xmpp.component_secret) has no TLS: leave it "
                         "out, and have the server on this machine");
    if (c->xmpp.password)
        return error_set(err, ERR_CONFIG,
                         "xmpp.password and xmpp.component_secret are both given; keep the password for an account, "
                         "or the secret for a component");
    if (c->xmpp.tls == TLS_OFF || !c->xmpp.server || value_is_loopback(c->xmpp.server))
        return true;
    return error_set(err, ERR_CONFIG,
                     "xmpp.server = %s: what a component and its server say goes in the clear, so the server should be "
                     "127.0.0.1 (or a tunnel there); write xmpp.tls = off if the network between is yours alone",
                     c->xmpp.server);
}

/* A component's default sender has a local part: XEP-0065 clients hash addresses that have one. */
static bool complete_sender(struct config *c, struct error *err)
{
    const struct jid given = c->xmpp.jid;
    char whole[JID_MAX + 1];
    size_t len;
    const char *domain = jid_domain(&given, &len);

    if (!c->xmpp.component_secret)
        return true;
    if (given.local > 0 && c->xmpp.from)
        return true;
    if (!c->xmpp.from)
        c->xmpp.from = given.local > 0 ? strndup(given.text, given.local) : strdup("jidpost");
    snprintf(whole, sizeof whole, "%s@%.*s", c->xmpp.from ? c->xmpp.from : "", (int)len, domain);
    return c->xmpp.from ? jid_parse(&c->xmpp.jid, whole, strlen(whole), err) : out_of_memory(err);
}

static bool check_tls(const struct config *c, struct error *err)
{
    if (c->xmpp.component_secret)
        return check_component(c, err);
    if (c->xmpp.tls != TLS_OFF || (c->xmpp.server && value_is_loopback(c->xmpp.server)))
        return true;
    return error_set(err, ERR_CONFIG,
                     "xmpp.tls = off would send the password in the clear; it is for loopback servers alone, as "
                     "xmpp.server = 127.0.0.1");
}

static bool check_https(const struct config *c, struct error *err)
{
    return !c->http.tls_cert == !c->http.tls_key ||
           error_set(err, ERR_CONFIG, "%s is given and %s is not; HTTPS needs both",
                     c->http.tls_cert ? "http.tls_cert" : "http.tls_key",
                     c->http.tls_cert ? "http.tls_key" : "http.tls_cert");
}

static bool check_reconnect(const struct config *c, struct error *err)
{
    return c->xmpp.reconnect_min <= c->xmpp.reconnect_max ||
           error_set(err, ERR_CONFIG, "xmpp.reconnect_min is longer than xmpp.reconnect_max");
}

static bool is_inside(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    return strncmp(path, folder, len) == 0 && (path[len] == '/' || !path[len]);
}

/* What lies there is not for callers: records, payloads of others, tokens. */
static bool check_roots(const struct config *c, struct error *err)
{
    const char *const ours[] = {c->server.state_dir, c->spool.dir};

    for (char *const *root = c->source.path_roots; *root; root++)
        for (size_t i = 0; i < 2; i++)
            if (is_inside(*root, ours[i]) || is_inside(ours[i], *root))
                return error_set(err, ERR_CONFIG, "source.path_roots: %.80s would open %.80s to callers", *root,
                                 ours[i]);
    return true;
}

static bool read_inbox_rules(struct settings *s, struct config *c, struct error *err)
{
    const struct inbox_rule general = {.max_file = c->inbox.max_file,
                                       .max_files = c->inbox.max_files,
                                       .daily_bytes = c->inbox.daily_bytes,
                                       .raw = c->inbox.raw};

    c->inbox.rules = s->inbox;
    s->inbox = (struct inbox_rule_list){0};
    return inbox_rules_complete(&c->inbox.rules, &general, setting_of(s, key_find("inbox.accept"))->value, err);
}

static bool read_settings(struct settings *s, struct config *c, struct error *err)
{
    *c = (struct config){0};
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (!read_key(&config_table[i], &s->of[i], c, err))
            goto fail;
    }
    c->webhooks = s->webhooks;
    s->webhooks = (struct webhook_list){0};
    if (complete_sender(c, err) && read_inbox_rules(s, c, err) && read_tokens(s, c, err) && check_listener(c, err) &&
        check_tls(c, err) && check_https(c, err) && check_reconnect(c, err) && check_roots(c, err))
        return true;
fail:
    config_free(c);
    return false;
}

/* ---- the module's face */

struct settings *config_read(struct config *c, const char *file, char *const *environment, const char *const *overrides,
                             struct error *err)
{
    struct settings *s = calloc(1, sizeof *s);

    *c = (struct config){0};
    if (!s)
        out_of_memory(err);
    else if (!gather(s, file, environment, overrides, err) ||
             !config_webhooks_complete(&s->webhooks, environment, err) || !read_settings(s, c, err))
        settings_free(&s);
    return s;
}

bool config_load(struct config *c, const char *file, char *const *environment, const char *const *overrides,
                 struct error *err)
{
    struct settings *s = config_read(c, file, environment, overrides, err);
    bool ok = s != NULL;

    settings_free(&s);
    return ok;
}

static bool is_none(const char *value)
{
    return !*value || strcmp(value, LISTEN_OFF) == 0;
}

static bool is_live(const struct key *key, const char *from, const char *to)
{
    return key->live && !(key->switched && (is_none(from) || is_none(to)));
}

/* For people's eyes. */
static const char *shown(const struct key *key, const char *value)
{
    if (*value == '\0')
        return "(none)";
    return key->secret ? "(set)" : value;
}

void config_compare(struct settings *running, const struct settings *found,
                    void (*each)(void *user, const struct config_change *change), void *user)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &config_table[i];
        char *from = running->of[i].value, *to = found->of[i].value;
        struct config_change change = {
            .key = key->name, .from = shown(key, from), .to = shown(key, to), .live = is_live(key, from, to)};

        if (strcmp(from, to) == 0)
            continue;
        each(user, &change);
        if (!change.live)
            continue;
        to = strdup(to);
        if (!to)
            continue; /* told once more the next time */
        running->of[i].value = to;
        free(from);
    }
}

void config_each_file(const struct config *c, void (*each)(void *user, const char *path), void *user)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &config_table[i];
        const char *path = NULL;

        if (key->kind == kind_of_files || key->file)
            memcpy(&path, (const char *)c + key->field, sizeof path);
        if (path)
            each(user, path);
    }
    config_webhooks_each_file(&c->webhooks, each, user);
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (config_table[i].kind->drop)
            config_table[i].kind->drop(&config_table[i], c);
    }
    token_list_free(&c->tokens);
    webhook_list_free(&c->webhooks);
    inbox_rules_free(&c->inbox.rules);
    *c = (struct config){0};
}

bool config_load_keys(struct config *c, const char *const *keys, const char *file, char *const *environment,
                      const char *const *overrides, struct error *err)
{
    struct settings s = {0};
    bool ok;

    *c = (struct config){0};
    ok = gather(&s, file, environment, overrides, err);
    for (; ok && *keys; keys++) {
        const struct key *key = key_find(*keys);

        ok = read_key(key, setting_of(&s, key), c, err);
    }
    settings_clear(&s);
    if (!ok)
        config_free(c);
    return ok;
}

char *config_state_dir(const char *file, char *const *environment, const char *const *overrides, struct error *err)
{
    static const char *const keys[] = {"server.state_dir", NULL};
    struct config c;
    char *state_dir = NULL;

    if (config_load_keys(&c, keys, file, environment, overrides, err)) {
        state_dir = c.server.state_dir;
        c.server.state_dir = NULL;
        config_free(&c);
    }
    return state_dir;
}

bool config_show(const char *file, char *const *environment, const char *const *overrides, FILE *out, struct error *err)
{
    struct config c;
    struct settings *s = config_read(&c, file, environment, overrides, err);

    if (!s)
        return false;
    for (size_t i = 0; i < KEY_COUNT; i++)
        fprintf(out, "%s = %s  (%s)\n", config_table[i].name, shown(&config_table[i], s->of[i].value), s->of[i].where);
    for (size_t i = 0; i < c.tokens.count; i++)
        fprintf(out, "[token %s] scopes = %s\n", c.tokens.items[i].id, c.tokens.items[i].scopes_text);
    config_webhooks_show(&c.webhooks, out);
    for (size_t i = 0; i + 1 < c.inbox.rules.count; i++)
        fprintf(out, "[inbox %s] from = %s  to = %s\n", c.inbox.rules.items[i].name, c.inbox.rules.items[i].from_text,
                *c.inbox.rules.items[i].to_text ? c.inbox.rules.items[i].to_text : "*");
    config_free(&c);
    settings_free(&s);
    return true;
}

void config_keys(FILE *out)
{
    char folder[] = "/var/lib/jidpost";
    struct config usual = {.server = {.state_dir = folder}};
    char section[KEY_NAME] = "";

    jid_parse(&usual.xmpp.jid, "example.org", strlen("example.org"), NULL);
    fputs("; jidpost.ini: every key with its default. A comment has its own line; values are taken as they stand.\n"
          "; Sizes: 64M (powers of 1024). Times: 500ms 30s 5m 1h 7d. Lists: comma or space.\n",
          out);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &config_table[i];
        const char *dot = strchr(key->name, '.');
        size_t len = (size_t)(dot - key->name);
        char *value = expand(key->fallback ? key->fallback : "", &usual);
        char variable[KEY_NAME];

        if (strlen(section) != len || strncmp(section, key->name, len) != 0) {
            snprintf(section, sizeof(section), "%.*s", (int)len, key->name);
            fprintf(out, "\n[%s]\n", section);
        }
        fprintf(out, "; %s%s (%s%s%s)\n", key->fallback ? "" : "must be given: ", key->help,
                key_variable(key, variable), key->secret ? ", also _FILE" : "", key->live ? "; SIGHUP applies it" : "");
        fprintf(out, ";%s =%s%s\n", dot + 1, value && *value ? " " : "", value ? value : "");
        free(value);
    }
    fputs("\n; [token ID]: one section for each token beside http.token; in no environment variable.\n", out);
    for (const struct section_key *key = token_keys(); key->name; key++)
        fprintf(out, "; %s = %s\n", key->name, key->help);
    config_webhooks_keys(out);
    fputs("\n; [inbox NAME]: who may send what to which address, first match of the file before [inbox]; in no "
          "environment "
          "variable.\n",
          out);
    for (const struct section_key *key = inbox_rule_keys(); key->name; key++)
        fprintf(out, "; %s = %s\n", key->name, key->help);
}
