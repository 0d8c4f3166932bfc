/* gateway/config.c - one table of keys, see config.h.
 *
 * Values are gathered as text, layer over layer, each remembering where it came from; then every key is read by its
 * kind; then what concerns several keys is checked. */
#include "gateway/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "gateway/config_values.h"

struct key;

/* How values of one kind become a field, and how the field is given back. */
struct kind {
    bool (*read)(const struct key *key, struct config *c, const char *text, struct error *err);
    void (*drop)(const struct key *key, struct config *c); /* NULL: nothing to free */
};

struct key {
    const char *name; /* section.key */
    const struct kind *kind;
    size_t field;
    const char *fallback; /* NULL: must be given; "": none; <state_dir> and <domain> stand for what they say */
    const char *help;
    int64_t least, most;      /* numbers, sizes and times (ms); both 0: the kind's own bounds */
    const char *const *words; /* what a word may be, in the order of its enum; NULL at the end */
    bool secret;              /* also a file or a credential, and never shown */
};

static void *field_of(const struct key *key, struct config *c)
{
    return (char *)c + key->field;
}

static bool out_of_memory(struct error *err)
{
    return error_set(err, ERR_SYSTEM, "out of memory");
}

/* ---- kinds: strings */

static bool keep_text(const struct key *key, struct config *c, const char *text, struct error *err)
{
    char **field = field_of(key, c);

    *field = *text ? strdup(text) : NULL;
    return *field || !*text || out_of_memory(err);
}

static void drop_text(const struct key *key, struct config *c)
{
    free(*(char **)field_of(key, c));
}

static const struct kind a_text = {keep_text, drop_text};

/* A request may carry it as it is: RFC 9110 section 5.5 leaves out controls, and spaces would be trimmed. */
static bool read_token(const struct key *key, struct config *c, const char *text, struct error *err)
{
    enum { TOKEN_LEAST = 16 }; /* shorter ones fall to guessing */

    for (const char *at = text; *at; at++) {
        if (*at <= ' ' || *at >= 0x7f)
            return error_set(err, ERR_CONFIG, "a token is made of visible ASCII characters, without spaces");
    }
    if (*text && strlen(text) < TOKEN_LEAST)
        return error_set(err, ERR_CONFIG, "a token has at least %d characters; make one: openssl rand -base64 32",
                         TOKEN_LEAST);
    return keep_text(key, c, text, err);
}

static const struct kind a_token = {read_token, drop_text};

/* Folders are absolute from here on: the store's URL is made from one. */
static bool read_folder(const struct key *key, struct config *c, const char *text, struct error *err)
{
    char **field = field_of(key, c);
    char *here;

    if (*text == '\0')
        return error_set(err, ERR_CONFIG, "expected the path of a folder");
    if (*text == '/')
        return keep_text(key, c, text, err);
    here = getcwd(NULL, 0);
    if (!here)
        return error_set(err, ERR_CONFIG, "a relative path, and the current folder is unknown: %s", strerror(errno));
    if (asprintf(field, "%s/%s", here, text) < 0)
        *field = NULL;
    free(here);
    return *field || out_of_memory(err);
}

static const struct kind a_folder = {read_folder, drop_text};

static bool read_file_path(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (*text && access(text, R_OK) != 0)
        return error_set(err, ERR_CONFIG, "cannot be read: %s", strerror(errno));
    return keep_text(key, c, text, err);
}

static const struct kind a_file = {read_file_path, drop_text};

static bool read_store(const struct key *key, struct config *c, const char *text, struct error *err)
{
    static const char scheme[] = "sqlite://";

    if (strncmp(text, scheme, strlen(scheme)) != 0 || text[strlen(scheme)] != '/')
        return error_set(err, ERR_CONFIG, "expected sqlite:///absolute/path.db");
    return keep_text(key, c, text, err);
}

static const struct kind a_store = {read_store, drop_text};

static bool read_listen(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct value_address a;

    if (!value_address(text, &a) || a.port < 0)
        return error_set(err, ERR_CONFIG, "expected host:port, [v6]:port or :port, as 127.0.0.1:8080");
    return keep_text(key, c, text, err);
}

static const struct kind a_listener = {read_listen, drop_text};

static bool read_server(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct value_address a = {.port = -1};

    if (*text && (!value_address(text, &a) || a.port >= 0))
        return error_set(err, ERR_CONFIG, "expected a host name or an address; the port goes to xmpp.port");
    return keep_text(key, c, a.host, err);
}

static const struct kind a_server = {read_server, drop_text};

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* Fills the host, which is the key's field, and the port beside it. */
static bool read_advertise(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct value_address a = {.port = -1};

    if (*text && (!value_address(text, &a) || a.host[0] == '\0' || a.port == 0))
        return error_set(err, ERR_CONFIG, "expected host[:port] or [v6][:port], as gw.example.org:5086");
    if (is_wildcard(a.host))
        return error_set(err, ERR_CONFIG, "nobody can connect to %s; name the address recipients reach", a.host);
    c->socks5.advertise_port = a.port > 0 ? (uint16_t)a.port : 0;
    return keep_text(key, c, a.host, err);
}

static const struct kind an_advertised = {read_advertise, drop_text};

/* ---- kinds: lists */

static bool keep_list(const struct key *key, struct config *c, const char *text, struct error *err)
{
    char ***field = field_of(key, c);

    *field = value_list(text);
    return *field || out_of_memory(err);
}

static void drop_list(const struct key *key, struct config *c)
{
    value_list_free(*(char ***)field_of(key, c));
}

static const struct kind a_list = {keep_list, drop_list};

static bool read_jids(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (!keep_list(key, c, text, err))
        return false;
    for (char **word = *(char ***)field_of(key, c); *word; word++) {
        struct jid j;

        if (!jid_parse(&j, *word, strlen(*word), err))
            return false;
    }
    return true;
}

static const struct kind jids = {read_jids, drop_list};

static bool read_nets(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (!keep_list(key, c, text, err))
        return false;
    for (char **word = *(char ***)field_of(key, c); *word; word++) {
        if (!value_is_net(*word))
            return error_set(err, ERR_CONFIG, "'%.50s' is no network; write 192.0.2.0/24 or 2001:db8::/32", *word);
    }
    return true;
}

static const struct kind nets = {read_nets, drop_list};

static const char *const method_words[] = {"si-s5b", "s5b", NULL};

static bool has_word(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

static bool read_methods(const struct key *key, struct config *c, const char *text, struct error *err)
{
    char **list;

    if (!keep_list(key, c, text, err))
        return false;
    list = *(char ***)field_of(key, c);
    if (!list[0])
        return error_set(err, ERR_CONFIG, "at least one of si-s5b, s5b");
    for (size_t i = 0; list[i]; i++) {
        if (!has_word(method_words, sizeof(method_words) / sizeof(method_words[0]) - 1, list[i]))
            return error_set(err, ERR_CONFIG, "'%.50s' is no method; there are si-s5b, s5b", list[i]);
        if (has_word((const char *const *)list, i, list[i]))
            return error_set(err, ERR_CONFIG, "'%s' stands there twice", list[i]);
    }
    return true;
}

static const struct kind methods = {read_methods, drop_list};

/* ---- kinds: numbers and words */

static bool read_number(const struct key *key, struct config *c, const char *text, struct error *err)
{
    uint64_t value;

    if (!value_count(text, &value) || value < (uint64_t)key->least || value > (uint64_t)key->most)
        return error_set(err, ERR_CONFIG, "expected a number from %lld to %lld", (long long)key->least,
                         (long long)key->most);
    *(uint64_t *)field_of(key, c) = value;
    return true;
}

static const struct kind a_number = {read_number, NULL};

static bool read_port(const struct key *key, struct config *c, const char *text, struct error *err)
{
    uint64_t value;

    if (!value_count(text, &value) || value > UINT16_MAX)
        return error_set(err, ERR_CONFIG, "expected a port number up to 65535");
    *(uint16_t *)field_of(key, c) = (uint16_t)value;
    return true;
}

static const struct kind a_port = {read_port, NULL};

static bool read_size(const struct key *key, struct config *c, const char *text, struct error *err)
{
    uint64_t value;

    if (!value_size(text, &value) || value == 0 || value > INT64_MAX)
        return error_set(err, ERR_CONFIG, "expected a size, as 512K, 64M or 10G");
    *(uint64_t *)field_of(key, c) = value;
    return true;
}

static const struct kind a_size = {read_size, NULL};

static bool read_time(const struct key *key, struct config *c, const char *text, struct error *err)
{
    static const int64_t day = 24 * 60 * 60 * 1000;
    int64_t most = key->most ? key->most : day;
    int64_t value;

    if (!value_time(text, &value) || value < 1 || value > most)
        return error_set(err, ERR_CONFIG, "expected a time up to %lldd, as 500ms, 30s, 5m, 1h or 7d",
                         (long long)(most / day));
    *(int64_t *)field_of(key, c) = value;
    return true;
}

static const struct kind a_time = {read_time, NULL};

static bool read_word(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct buf known = {0};

    for (unsigned i = 0; key->words[i]; i++) {
        if (strcmp(key->words[i], text) == 0) {
            memcpy(field_of(key, c), &i, sizeof(i)); /* the enums of config.h are as wide as an int */
            return true;
        }
    }
    for (unsigned i = 0; key->words[i]; i++)
        buf_printf(&known, "%s%s", i ? ", " : "", key->words[i]);
    error_set(err, ERR_CONFIG, "expected one of %s", known.data ? known.data : "its words");
    buf_free(&known);
    return false;
}

static const struct kind a_word = {read_word, NULL};
_Static_assert(sizeof(enum tls_mode) == sizeof(unsigned) && sizeof(enum direct_mode) == sizeof(unsigned) &&
                   sizeof(enum durability) == sizeof(unsigned) && sizeof(enum log_level) == sizeof(unsigned) &&
                   sizeof(enum log_format) == sizeof(unsigned),
               "read_word() writes an unsigned");

static bool read_account(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct jid *j = field_of(key, c);

    if (!jid_parse(j, text, strlen(text), err))
        return false;
    return j->local > 0 || error_set(err, ERR_CONFIG, "expected an account, as gateway@example.org");
}

static const struct kind an_account = {read_account, NULL};

/* ---- the table */

static const char *const tls_words[] = {"required", "direct", "off", NULL};
static const char *const direct_words[] = {"auto", "always", "never", NULL};
static const char *const durability_words[] = {"power", "process", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"text", "json", NULL};

/* section and key name both the key and its field. */
#define KEY(section, key, how, otherwise, text, ...)                                                                   \
    {                                                                                                                  \
        .name = #section "." #key, .kind = &(how), .field = offsetof(struct config, section.key),                      \
        .fallback = (otherwise), .help = (text), __VA_ARGS__                                                           \
    }
#define YEARS_10 (3650LL * 24 * 60 * 60 * 1000)

/* clang-format off */
static const struct key keys[] = {
    KEY(server, state_dir, a_folder, "/var/lib/jidpost", "spool, store and lock live here"),

    KEY(http, listen, a_listener, "127.0.0.1:8080", "host:port, [v6]:port or :port; port 0 takes any"),
    KEY(http, token, a_token, "", "what callers show; needed to listen beyond loopback", .secret = true),
    KEY(http, hosts, a_list, "", "host names callers may use beside loopback"),
    KEY(http, max_connections, a_number, "4096", "connections at once", .least = 1, .most = 65536),
    KEY(http, idle_timeout, a_time, "60s", "after this long without a byte a connection ends"),
    KEY(http, max_wait, a_time, "10m", "the longest ?wait= that is honoured"),

    KEY(xmpp, jid, an_account, NULL, "the gateway's account; with a resource, that one is bound"),
    KEY(xmpp, password, a_text, NULL, "the account's password", .secret = true),
    KEY(xmpp, server, a_server, "", "host to connect to; left out: by the SRV records of the domain"),
    KEY(xmpp, port, a_port, "0", "0: by SRV, else 5222, or 5223 with direct TLS"),
    KEY(xmpp, tls, a_word, "required",
        "required (STARTTLS), direct, or off (loopback servers only)", .words = tls_words),
    KEY(xmpp, ca, a_file, "", "PEM file of authorities trusted beside the system's"),
    KEY(xmpp, proxies, jids, "", "bytestream proxies (JIDs) beside those the server announces"),
    KEY(xmpp, accept_subscriptions, a_list, "*@<domain>", "who may add the gateway as a contact; * matches any run"),
    KEY(xmpp, ping_interval, a_time, "30s", "how often the server is asked whether it lives"),
    KEY(xmpp, ping_timeout, a_time, "10s", "no answer for this long ends the session"),
    KEY(xmpp, reconnect_min, a_time, "1s", "first pause before connecting again; it doubles"),
    KEY(xmpp, reconnect_max, a_time, "60s", "longest pause before connecting again"),
    KEY(xmpp, iq_timeout, a_time, "10s", "how long servers and clients may take to answer"),

    KEY(socks5, listen, a_listener, "[::]:5086",
        "where recipients connect to; opened only when something is advertised"),
    {.name = "socks5.advertise", .kind = &an_advertised, .field = offsetof(struct config, socks5.advertise_host),
     .fallback = "", .help = "host[:port] recipients are told; left out: transfers go through proxies"},
    KEY(socks5, direct, a_word, "auto",
        "who is told: auto (contacts and the own domain), always, never", .words = direct_words),
    KEY(socks5, threads, a_number, "0", "threads that move bytes; 0: one per processor", .least = 0, .most = 256),
    KEY(socks5, max_streams, a_number, "8192", "sockets at once", .least = 1, .most = 1000000),
    KEY(socks5, pending_per_peer, a_number, "64",
        "sockets of one address that have not yet named their stream", .least = 1, .most = 65536),

    KEY(delivery, methods, methods, "si-s5b,s5b", "the methods to try, in this order"),
    KEY(delivery, offer_timeout, a_time, "300s", "how long a person may take to accept"),
    KEY(delivery, connect_timeout, a_time, "60s", "how long a recipient may take to connect"),
    KEY(delivery, activate_timeout, a_time, "20s", "how long a proxy may take to activate"),
    KEY(delivery, stall_timeout, a_time, "120s", "a stream without progress ends after this"),
    KEY(delivery, linger_timeout, a_time, "30s", "how long a recipient may take to close after the last byte"),
    KEY(delivery, max_attempts, a_number, "3", "rounds through the methods", .least = 1, .most = 100),
    KEY(delivery, backoff, a_time, "2s", "first pause between rounds; it doubles"),
    KEY(delivery, ttl, a_time, "7d", "a transfer not delivered by then expires", .most = YEARS_10),
    KEY(delivery, retention, a_time, "7d", "how long the record of a finished one is kept", .most = YEARS_10),
    KEY(delivery, parallel, a_number, "256", "transfers under way at once", .least = 1, .most = 65536),
    KEY(delivery, per_recipient_parallel, a_number, "4", "of these, to one recipient", .least = 1, .most = 65536),

    KEY(spool, dir, a_folder, "<state_dir>/spool", "uploaded files until they are delivered"),
    KEY(spool, max_bytes, a_size, "10G", "all of them together"),
    KEY(spool, max_file, a_size, "5G", "one of them"),
    KEY(spool, durability, a_word, "power",
        "what a 2xx survives: power (loss), or process (its end only, faster)", .words = durability_words),

    KEY(store, url, a_store, "sqlite://<state_dir>/jidpost.db", "where transfers are recorded"),

    KEY(egress, allow_nets, nets, "", "private networks (CIDR) that addresses from outside may lead to"),

    KEY(log, level, a_word, "info", "debug, info, warn, error", .words = level_words),
    KEY(log, format, a_word, "text", "text or json", .words = format_words),
};
/* clang-format on */

enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]), NAME_ROOM = 64 };

/* "http.listen" as "JIDPOST_HTTP_LISTEN". */
static const char *environment_name(const struct key *key, char out[static NAME_ROOM])
{
    snprintf(out, NAME_ROOM, "JIDPOST_%s", key->name);
    for (char *at = out; *at; at++)
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    return out;
}

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

/* where: "jidpost.ini:3: ", or "" */
static bool unknown_key(const char *where, const char *name, struct error *err)
{
    const char *names[KEY_COUNT];
    const char *nearest;
    char shown[NAME_ROOM];

    for (size_t i = 0; i < KEY_COUNT; i++)
        names[i] = keys[i].name;
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
};

static struct setting *setting_of(struct settings *s, const struct key *key)
{
    return &s->of[key - keys];
}

static void settings_free(struct settings *s)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        free(s->of[i].value);
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
    struct settings *settings;
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

static int ini_take_value(void *user, const char *section, const char *name, const char *value)
{
    struct ini_source *src = user;
    char full[128], where[160];
    const struct key *key;

    snprintf(full, sizeof(full), "%s.%s", section, name);
    snprintf(where, sizeof(where), "%s:%u", src->path, src->line);
    key = find_key(full);
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

static bool read_ini(struct settings *s, FILE *file, const char *path, struct error *err)
{
    struct ini_source src = {.file = file, .path = path, .settings = s, .err = err};
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
    ok = read_ini(s, file, path, err);
    fclose(file);
    return ok;
}

/* The content of a secret's file without one line end behind it, yours to free(); NULL with *err set. */
static char *secret_from(FILE *file, const char *where, struct error *err)
{
    char text[4096];
    size_t len = fread(text, 1, sizeof(text), file);

    if (ferror(file)) {
        error_set(err, ERR_CONFIG, "%s: cannot be read: %s", where, strerror(errno));
        return NULL;
    }
    if (len == sizeof(text) || memchr(text, '\0', len)) {
        error_set(err, ERR_CONFIG, "%s: not a text, or longer than any secret", where);
        return NULL;
    }
    len -= len > 0 && text[len - 1] == '\n';
    len -= len > 0 && text[len - 1] == '\r';
    if (len == 0) {
        error_set(err, ERR_CONFIG, "%s: the file is empty", where);
        return NULL;
    }
    return strndup(text, len);
}

/* Puts a value that came by the environment; a secret may come by one way alone. */
static bool put_environment(struct settings *s, const struct key *key, const char *value, const char *where,
                            struct error *err)
{
    struct setting *setting = setting_of(s, key);

    if (key->secret && setting->from_environment)
        return error_set(err, ERR_CONFIG, "%s is given twice, by %s and by %s; keep one", key->name, setting->where,
                         where);
    setting->from_environment = true;
    return put(s, key, value, where, err);
}

static bool put_secret_file(struct settings *s, const struct key *key, FILE *file, const char *where, struct error *err)
{
    char *secret = secret_from(file, where, err);
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
    char names[KEY_COUNT][NAME_ROOM];
    const char *list[KEY_COUNT];
    const char *nearest;
    char shown[NAME_ROOM];

    for (size_t i = 0; i < KEY_COUNT; i++)
        list[i] = environment_name(&keys[i], names[i]);
    nearest = text_nearest(name, list, KEY_COUNT);
    text_clean(name, shown, sizeof(shown));
    if (nearest)
        return error_set(err, ERR_CONFIG, "the environment has %s, which is no key; did you mean %s?", shown, nearest);
    return error_set(err, ERR_CONFIG, "the environment has %s, which is no key; 'jidpost config keys' lists them all",
                     shown);
}

/* name is a JIDPOST_* variable; value is not empty unless the name is to be checked alone. */
static bool take_variable(struct settings *s, const char *name, const char *value, struct error *err)
{
    if (strcmp(name, "JIDPOST_XMPP_COMPONENT_SECRET") == 0 || strcmp(name, "JIDPOST_XMPP_COMPONENT_SECRET_FILE") == 0)
        return *value == '\0' ||
               error_set(err, ERR_CONFIG,
                         "%s: this version cannot be a component; give it an account by JIDPOST_XMPP_JID and "
                         "JIDPOST_XMPP_PASSWORD",
                         name);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char own[NAME_ROOM];
        size_t len = strlen(environment_name(&keys[i], own));

        if (strncmp(name, own, len) != 0)
            continue;
        if (name[len] == '\0')
            return *value == '\0' || put_environment(s, &keys[i], value, name, err);
        if (keys[i].secret && strcmp(name + len, "_FILE") == 0)
            return *value == '\0' || open_secret_file(s, &keys[i], value, name, err);
    }
    return unknown_variable(name, err);
}

/* systemd puts credentials into a folder (LoadCredential= in systemd.exec(5)); ours are called as the keys are. */
static bool gather_credentials(struct settings *s, const char *folder, struct error *err)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char path[4096], where[NAME_ROOM];
        FILE *file;
        bool ok;

        if (!keys[i].secret || (size_t)snprintf(path, sizeof(path), "%s/%s", folder, keys[i].name) >= sizeof(path))
            continue;
        snprintf(where, sizeof(where), "credential %s", keys[i].name);
        file = fopen(path, "re");
        if (!file && errno == ENOENT)
            continue;
        if (!file)
            return error_set(err, ERR_CONFIG, "%s: %s cannot be read: %s", where, path, strerror(errno));
        ok = put_secret_file(s, &keys[i], file, where, err);
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
        char name[NAME_ROOM], where[NAME_ROOM + 2];
        const char *equals = strchr(*o, '=');
        const struct key *key;

        if (!equals)
            return error_set(err, ERR_CONFIG, "--%.60s: expected --section.key=value", *o);
        snprintf(name, sizeof(name), "%.*s", (int)(equals - *o), *o);
        key = find_key(name);
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
        const char *domain = jid_domain(&c->xmpp.jid, &len);

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
    char variable[NAME_ROOM];
    const char *dot = strchr(key->name, '.');

    environment_name(key, variable);
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
    if (!key->fallback && (!setting->value || !*setting->value))
        return must_be_given(key, err);
    if (key->kind->read(key, c, setting->value, &why))
        return true;
    text_clean(setting->value, shown, sizeof(shown));
    if (key->secret)
        return error_set(err, ERR_CONFIG, "%s (%s): %s", key->name, setting->where, why.text);
    return error_set(err, ERR_CONFIG, "%s = '%s' (%s): %s", key->name, shown, setting->where, why.text);
}

/* ---- what concerns several keys */

static bool check_listener(const struct config *c, struct error *err)
{
    struct value_address a;

    if (c->http.token || (value_address(c->http.listen, &a) && value_is_loopback(a.host)))
        return true;
    return error_set(err, ERR_CONFIG,
                     "http.listen %s is open to others, so callers need a token; make one: export "
                     "JIDPOST_HTTP_TOKEN=$(openssl rand -base64 32)",
                     c->http.listen);
}

static bool check_tls(const struct config *c, struct error *err)
{
    if (c->xmpp.tls != TLS_OFF || (c->xmpp.server && value_is_loopback(c->xmpp.server)))
        return true;
    return error_set(err, ERR_CONFIG,
                     "xmpp.tls = off would send the password in the clear; it is for loopback servers alone, as "
                     "xmpp.server = 127.0.0.1");
}

static bool check_reconnect(const struct config *c, struct error *err)
{
    return c->xmpp.reconnect_min <= c->xmpp.reconnect_max ||
           error_set(err, ERR_CONFIG, "xmpp.reconnect_min is longer than xmpp.reconnect_max");
}

static bool read_settings(struct settings *s, struct config *c, struct error *err)
{
    *c = (struct config){0};
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (!read_key(&keys[i], &s->of[i], c, err))
            goto fail;
    }
    if (check_listener(c, err) && check_tls(c, err) && check_reconnect(c, err))
        return true;
fail:
    config_free(c);
    return false;
}

/* ---- the module's face */

bool config_load(struct config *c, const char *file, char *const *environment, const char *const *overrides,
                 struct error *err)
{
    struct settings s = {0};
    bool ok;

    *c = (struct config){0};
    ok = gather(&s, file, environment, overrides, err) && read_settings(&s, c, err);
    settings_free(&s);
    return ok;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (keys[i].kind->drop)
            keys[i].kind->drop(&keys[i], c);
    }
    *c = (struct config){0};
}

bool config_show(const char *file, char *const *environment, const char *const *overrides, FILE *out, struct error *err)
{
    struct settings s = {0};
    struct config c;
    bool ok = gather(&s, file, environment, overrides, err) && read_settings(&s, &c, err);

    if (!ok)
        goto out;
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const char *value = s.of[i].value;

        if (*value == '\0')
            value = "(none)";
        else if (keys[i].secret)
            value = "(set)";
        fprintf(out, "%s = %s  (%s)\n", keys[i].name, value, s.of[i].where);
    }
    config_free(&c);
out:
    settings_free(&s);
    return ok;
}

void config_keys(FILE *out)
{
    char folder[] = "/var/lib/jidpost";
    struct config usual = {.server = {.state_dir = folder}};
    char section[NAME_ROOM] = "";

    jid_parse(&usual.xmpp.jid, "example.org", strlen("example.org"), NULL);
    fputs("; jidpost.ini: every key with its default. A comment has its own line; values are taken as they stand.\n"
          "; Sizes: 64M (powers of 1024). Times: 500ms 30s 5m 1h 7d. Lists: comma or space.\n",
          out);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        const struct key *key = &keys[i];
        const char *dot = strchr(key->name, '.');
        size_t len = (size_t)(dot - key->name);
        char *value = expand(key->fallback ? key->fallback : "", &usual);
        char variable[NAME_ROOM];

        if (strlen(section) != len || strncmp(section, key->name, len) != 0) {
            snprintf(section, sizeof(section), "%.*s", (int)len, key->name);
            fprintf(out, "\n[%s]\n", section);
        }
        fprintf(out, "; %s%s (%s%s)\n", key->fallback ? "" : "must be given: ", key->help,
                environment_name(key, variable), key->secret ? ", also _FILE" : "");
        fprintf(out, ";%s =%s%s\n", dot + 1, value && *value ? " " : "", value ? value : "");
        free(value);
    }
}
