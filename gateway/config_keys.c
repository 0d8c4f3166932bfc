/* gateway/config_keys.c - the one table of keys, see config_keys.h. */
#include "gateway/config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "gateway/config_values.h"

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

/* Paths are absolute from here on. */
static bool keep_path(const struct key *key, struct config *c, const char *text, struct error *err)
{
    char **field = field_of(key, c);
    char *here;

    if (*text == '/' || *text == '\0')
        return keep_text(key, c, text, err);
    here = getcwd(NULL, 0);
    if (!here)
        return error_set(err, ERR_CONFIG, "a relative path, and the current folder is unknown: %s", strerror(errno));
    if (asprintf(field, "%s/%s", here, text) < 0)
        *field = NULL;
    free(here);
    return *field || out_of_memory(err);
}

static bool read_folder(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (*text == '\0')
        return error_set(err, ERR_CONFIG, "expected the path of a folder");
    return keep_path(key, c, text, err);
}

static const struct kind a_folder = {read_folder, drop_text};

static bool read_page(const struct key *key, struct config *c, const char *text, struct error *err)
{
    char path[4096];

    if (*text && ((size_t)snprintf(path, sizeof path, "%s/index.html", text) >= sizeof path || access(path, R_OK) != 0))
        return error_set(err, ERR_CONFIG, "there is no index.html in that folder, or it cannot be read");
    return keep_path(key, c, text, err);
}

static const struct kind a_page = {read_page, drop_text};

/* Room for a path in a socket's address (unix(7)). */
static bool read_socket(const struct key *key, struct config *c, const char *text, struct error *err)
{
    enum { SOCKET_MAX = 107 };
    char *const *field = field_of(key, c);

    if (!keep_path(key, c, text, err))
        return false;
    if (*field && strlen(*field) > SOCKET_MAX)
        return error_set(err, ERR_CONFIG, "the path of a socket has at most %d bytes; this one has %zu", SOCKET_MAX,
                         strlen(*field));
    return true;
}

static const struct kind a_socket = {read_socket, drop_text};

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

static bool read_listen_or_off(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (strcmp(text, LISTEN_OFF) == 0)
        return keep_text(key, c, text, err);
    return read_listen(key, c, text, err);
}

static const struct kind a_listener_or_off = {read_listen_or_off, drop_text};

static bool read_server(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct value_address a = {.port = -1};

    if (*text && (!value_address(text, &a) || a.port >= 0))
        return error_set(err, ERR_CONFIG, "expected a host name or an address; the port goes to xmpp.port");
    return keep_text(key, c, a.host, err);
}

static const struct kind a_server = {read_server, drop_text};

/* Clients take https links alone; without TLS the file would be anybody's on the way, and the link with it. */
static bool read_public_url(const struct key *key, struct config *c, const char *text, struct error *err)
{
    enum { URL_MAX = 1024 };
    bool https = strncasecmp(text, "https://", 8) == 0, http = strncasecmp(text, "http://", 7) == 0;
    const char *host = text + (https ? 8 : 7);
    char authority[300], url[URL_MAX];
    struct value_address a;
    size_t len;

    if (!*text)
        return keep_text(key, c, text, err);
    len = https || http ? strcspn(host, "/") : 0;
    if (len == 0 || len >= sizeof authority || strlen(text) >= sizeof url || text[strcspn(text, " ?#@\\\"<>")])
        return error_set(err, ERR_CONFIG, "expected https://host[:port][/path], as https://files.example.org");
    snprintf(authority, sizeof authority, "%.*s", (int)len, host);
    if (!value_address(authority, &a) || !a.host[0] || a.port == 0)
        return error_set(err, ERR_CONFIG, "'%.60s' is no host with an optional port", authority);
    if (http && !value_is_loopback(a.host))
        return error_set(err, ERR_CONFIG, "recipients' clients take https links; http is for loopback hosts alone");
    snprintf(url, sizeof url, "%s", text);
    for (len = strlen(url); url[len - 1] == '/'; len--)
        url[len - 1] = '\0';
    return keep_text(key, c, url, err);
}

static const struct kind a_public_url = {read_public_url, drop_text};

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

/* Not "/", which is everything. */
static bool read_folders(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (!keep_list(key, c, text, err))
        return false;
    for (char **word = *(char ***)field_of(key, c); *word; word++) {
        for (size_t len = strlen(*word); len > 1 && (*word)[len - 1] == '/'; len--)
            (*word)[len - 1] = '\0';
        if (**word != '/' || !(*word)[1] || strstr(*word, "/../") || strstr(*word, "//"))
            return error_set(err, ERR_CONFIG, "'%.80s' is no folder; write an absolute path below /", *word);
    }
    return true;
}

static const struct kind folders = {read_folders, drop_list};

static bool read_hosts(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (!keep_list(key, c, text, err))
        return false;
    for (char **word = *(char ***)field_of(key, c); *word; word++)
        for (char *at = *word; *at; at++)
            *at = (char)tolower((unsigned char)*at);
    return true;
}

static const struct kind hosts = {read_hosts, drop_list};

/* "off" is nobody. */
static bool read_users(const struct key *key, struct config *c, const char *text, struct error *err)
{
    return read_hosts(key, c, strcmp(text, LISTEN_OFF) == 0 ? "" : text, err);
}

static const struct kind users = {read_users, drop_list};

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

static bool read_front(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (!keep_list(key, c, text, err))
        return false;
    for (char **word = *(char ***)field_of(key, c); *word; word++) {
        if (strcmp(*word, "unix") != 0 && !value_is_net(*word))
            return error_set(err, ERR_CONFIG,
                             "'%.50s' is no address; write 192.0.2.7, 192.0.2.0/24, 2001:db8::/32, or unix for the "
                             "socket of http.unix",
                             *word);
    }
    return true;
}

static const struct kind front_proxies = {read_front, drop_list};

static bool has_word(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

/* Known words, each at most once, at least one; what: how the sentence calls them. */
static bool check_words(char *const *list, const char *const *known, size_t n, const char *what, struct error *err)
{
    struct buf all = {0};
    bool ok = list[0] != NULL;

    for (size_t i = 0; i < n; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", known[i]);
    if (!ok)
        error_set(err, ERR_CONFIG, "at least one of %s", all.data ? all.data : what);
    for (size_t i = 0; ok && list[i]; i++) {
        ok = false;
        if (!has_word(known, n, list[i]))
            error_set(err, ERR_CONFIG, "'%.50s' is no %s; there are %s", list[i], what, all.data ? all.data : "others");
        else if (has_word((const char *const *)list, i, list[i]))
            error_set(err, ERR_CONFIG, "'%s' stands there twice", list[i]);
        else
            ok = true;
    }
    buf_free(&all);
    return ok;
}

static const char *const method_words[] = {"jingle-s5b", "si-s5b", "s5b", "jingle-ibb", "si-ibb", "ibb", "link", NULL};

static bool read_methods(const struct key *key, struct config *c, const char *text, struct error *err)
{
    return keep_list(key, c, text, err) && check_words(*(char ***)field_of(key, c), method_words,
                                                       sizeof method_words / sizeof *method_words - 1, "method", err);
}

static const struct kind methods = {read_methods, drop_list};

static bool read_ways(const struct key *key, struct config *c, const char *text, struct error *err)
{
    static const char *const words[] = {"upload", "own"};

    return keep_list(key, c, text, err) && check_words(*(char ***)field_of(key, c), words, 2, "way to a link", err);
}

static const struct kind ways = {read_ways, drop_list};

/* What passes here as a resource is a nickname too. */
static bool read_nick(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct jid room, occupant;

    if (*text && (!jid_parse(&room, "room@example.org", strlen("room@example.org"), err) ||
                  !jid_with_resource(&occupant, &room, text, err)))
        return false;
    return keep_text(key, c, text, err);
}

static const struct kind a_nick = {read_nick, drop_text};

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

/* As chmod takes it: at least its owner has to get in. */
static bool read_mode(const struct key *key, struct config *c, const char *text, struct error *err)
{
    size_t len = strlen(text);
    unsigned long mode = strtoul(text, NULL, 8);

    if (len < 3 || len > 4 || strspn(text, "01234567") != len || mode > 0777 || (mode & 0600) != 0600)
        return error_set(err, ERR_CONFIG, "expected the mode of a file that its owner may read and write, as 0660");
    *(uint64_t *)field_of(key, c) = mode;
    return true;
}

static const struct kind a_mode = {read_mode, NULL};

static bool read_size(const struct key *key, struct config *c, const char *text, struct error *err)
{
    uint64_t value;

    if (!value_size(text, &value) || value == 0 || value > INT64_MAX)
        return error_set(err, ERR_CONFIG, "expected a size, as 512K, 64M or 10G");
    *(uint64_t *)field_of(key, c) = value;
    return true;
}

static const struct kind a_size = {read_size, NULL};

static bool read_size_or_none(const struct key *key, struct config *c, const char *text, struct error *err)
{
    if (strcmp(text, "0") != 0)
        return read_size(key, c, text, err);
    *(uint64_t *)field_of(key, c) = 0;
    return true;
}

static const struct kind a_size_or_none = {read_size_or_none, NULL};

/* Less than a few reads of a socket would be waited for in vain. */
static bool read_window(const struct key *key, struct config *c, const char *text, struct error *err)
{
    enum { LEAST = 1024 * 1024 };

    return read_size(key, c, text, err) &&
           (*(uint64_t *)field_of(key, c) >= LEAST || error_set(err, ERR_CONFIG, "expected a size of at least 1M"));
}

static const struct kind a_window = {read_window, NULL};

static bool keep_time(const struct key *key, struct config *c, const char *text, int64_t least, struct error *err)
{
    static const int64_t day = 24 * 60 * 60 * 1000;
    int64_t most = key->most ? key->most : day;
    int64_t value;

    if (!value_time(text, &value) || value < least || value > most)
        return error_set(err, ERR_CONFIG, "expected a time up to %lldd, as 500ms, 30s, 5m, 1h or 7d",
                         (long long)(most / day));
    *(int64_t *)field_of(key, c) = value;
    return true;
}

static bool read_time(const struct key *key, struct config *c, const char *text, struct error *err)
{
    return keep_time(key, c, text, 1, err);
}

static const struct kind a_time = {read_time, NULL};

static bool read_time_or_none(const struct key *key, struct config *c, const char *text, struct error *err)
{
    return keep_time(key, c, strcmp(text, "0") == 0 ? "0s" : text, 0, err); /* nothing needs no unit */
}

static const struct kind a_time_or_none = {read_time_or_none, NULL};

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
                   sizeof(enum digest_mode) == sizeof(unsigned) && sizeof(enum durability) == sizeof(unsigned) &&
                   sizeof(enum mode) == sizeof(unsigned) && sizeof(enum log_level) == sizeof(unsigned) &&
                   sizeof(enum log_format) == sizeof(unsigned) && sizeof(enum sandbox_mode) == sizeof(unsigned) &&
                   sizeof(enum source_mode) == sizeof(unsigned) && sizeof(enum caption_mode) == sizeof(unsigned),
               "read_word() writes an unsigned");

static bool read_account(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct jid *j = field_of(key, c);

    if (!jid_parse(j, text, strlen(text), err))
        return false;
    return j->local > 0 || c->xmpp.component_secret ||
           error_set(err, ERR_CONFIG,
                     "expected an account, as gateway@example.org; a component, as "
                     "files.example.org, has an xmpp.component_secret");
}

static const struct kind an_account = {read_account, NULL};

static bool read_local_part(const struct key *key, struct config *c, const char *text, struct error *err)
{
    struct jid j;
    char whole[JID_PART + 3];

    snprintf(whole, sizeof whole, "%s@x", text);
    if (*text &&
        (strlen(text) > JID_PART || !jid_parse(&j, whole, strlen(whole), NULL) || j.full || j.local != strlen(text)))
        return error_set(err, ERR_CONFIG, "expected what stands before the @ of an address, as reports");
    return keep_text(key, c, text, err);
}

static const struct kind a_local_part = {read_local_part, drop_text};

/* ---- the table */

static const char *const tls_words[] = {"required", "direct", "off", NULL};
static const char *const direct_words[] = {"auto", "always", "never", NULL};
static const char *const digest_words[] = {"auto", "always", "never", NULL};
static const char *const mode_words[] = {"spool", "auto", "stream", NULL}; /* as the enum */
static const char *const durability_words[] = {"power", "process", NULL};
static const char *const sandbox_words[] = {"auto", "off", "required", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"text", "json", NULL};
static const char *const caption_words[] = {"both", "offer", "message", NULL};
static const char *const source_words[] = {"off", "on", NULL};

/* section and key name both the key and its field. */
#define KEY(section, key, how, otherwise, text, ...)                                                                   \
    {                                                                                                                  \
        .name = #section "." #key, .kind = &(how), .field = offsetof(struct config, section.key),                      \
        .fallback = (otherwise), .help = (text), __VA_ARGS__                                                           \
    }
#define YEARS_10 (3650LL * 24 * 60 * 60 * 1000)

/* clang-format off */
static const struct key rows[] = {
    KEY(server, state_dir, a_folder, "/var/lib/jidpost", "spool, store and lock live here"),
    KEY(server, public_url, a_public_url, "",
        "how recipients reach our /d/, say by a front proxy: https://host[/path]; left out: no links of our own"),
    KEY(server, drain_timeout, a_time_or_none, "30s",
        "when stopped, streams and uploads may go on for so long; 0: not at all", .live = true),
    KEY(server, sandbox, a_word, "auto",
        "give up what is never needed (seccomp, Landlock): auto (what the kernel has), required (all of it), off",
        .words = sandbox_words),

    KEY(http, listen, a_listener_or_off, "127.0.0.1:8080",
        "host:port, [v6]:port or :port; port 0 takes any; off: http.unix alone"),
    {.name = "http.unix", .kind = &a_socket, .field = offsetof(struct config, http.unix_path), .fallback = "",
     .help = "path of a socket to listen on as well; its mode and folder say who may connect"},
    KEY(http, unix_mode, a_mode, "0660", "the mode of that socket"),
    KEY(http, trusted_proxies, front_proxies, "",
        "front proxies (addresses, CIDR, unix) whose Forwarded or X-Forwarded-For is believed"),
    KEY(http, token, a_token, "", "what callers show; needed to listen beyond loopback", .secret = true, .live = true),
    KEY(http, tls_cert, a_text, "", "PEM file of the certificate and its chain; with it HTTPS alone is spoken",
        .file = true, .live = true, .switched = true),
    KEY(http, tls_key, a_text, "", "PEM file of the key to it", .file = true, .live = true, .switched = true),
    KEY(http, hosts, a_list, "", "host names callers may use beside loopback"),
    KEY(http, max_connections, a_number, "4096", "connections at once", .least = 1, .most = 65536),
    KEY(http, max_connections_per_address, a_number, "0",
        "of one address; 0: 64, and half of all from loopback; front proxies: their callers' requests", .least = 0,
        .most = 65536),
    KEY(http, idle_timeout, a_time, "60s", "after this long without a byte a connection ends"),
    KEY(http, header_timeout, a_time_or_none, "15s",
        "from the connection, or the answer before, until a request's header is complete; 0: no limit"),
    KEY(http, min_rate, a_size_or_none, "1K", "bytes a second that a body has to come with; 0: any"),
    KEY(http, min_rate_window, a_time, "30s", "over which that is averaged"),
    KEY(http, max_wait, a_time, "10m", "the longest ?wait= that is honoured"),
    KEY(http, page, a_page, "", "folder with the page for /, read with each request, to change it; left out: our own"),

    KEY(ops, listen, a_listener_or_off, "off",
        "another address for /metrics, /livez and /readyz, which asks for no token; off: http.listen has them"),

    KEY(xmpp, component_secret, a_text, "", "makes the gateway a component (XEP-0114), which shares this secret with "
        "the server; left out: it logs in as an account", .secret = true),
    KEY(xmpp, jid, an_account, NULL,
        "the gateway's account; with a resource, that one is bound; of a component its domain"),
    KEY(xmpp, password, a_text, NULL, "the account's password; a component has none", .secret = true, .account = true),
    KEY(xmpp, from, a_local_part, "", "local part that a component sends from where the caller names none; left out: "
        "that of xmpp.jid, else jidpost"),
    KEY(xmpp, server, a_server, "",
        "host to connect to; left out: by the SRV records of the domain; a component: 127.0.0.1"),
    KEY(xmpp, port, a_port, "0", "0: by SRV, else 5222, or 5223 with direct TLS; a component: 5347"),
    KEY(xmpp, tls, a_word, "required",
        "required (STARTTLS), direct, or off (loopback servers only; components have no TLS)", .words = tls_words),
    KEY(xmpp, ca, a_file, "", "PEM file of authorities trusted beside the system's"),
    KEY(xmpp, proxies, jids, "", "bytestream proxies (JIDs) beside those the server announces"),
    KEY(xmpp, accept_subscriptions, a_list, "*@<domain>", "who may add the gateway as a contact; * matches any run"),
    KEY(xmpp, ping_interval, a_time, "30s", "how often the server is asked whether it lives"),
    KEY(xmpp, ping_timeout, a_time, "10s", "no answer for this long ends the session"),
    KEY(xmpp, reconnect_min, a_time, "1s", "first pause before connecting again; it doubles"),
    KEY(xmpp, reconnect_max, a_time, "60s", "longest pause before connecting again"),
    KEY(xmpp, iq_timeout, a_time, "10s", "how long servers and clients may take to answer"),
    KEY(xmpp, nick, a_nick, "", "the gateway's name in rooms; left out: that of its account"),

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

    KEY(proxy, allow, users, "*@<domain>",
        "who may have bytestreams relayed by us, as a component: addresses, * matches any run, !address denies; our "
        "own may always; off: we are no proxy", .live = true, .switched = true),
    KEY(proxy, max_streams, a_number, "1000", "relayed at once", .least = 1, .most = 1000000, .live = true),
    KEY(proxy, max_streams_per_requester, a_number, "5", "of these, for one address", .least = 1, .most = 1000000,
        .live = true),
    KEY(proxy, hourly_bytes, a_size, "2G", "relayed for one address within an hour; then its streams are cut",
        .live = true),
    KEY(proxy, rate, a_size_or_none, "0", "bytes a second of one stream, both ways together; 0: any number",
        .live = true),
    KEY(proxy, pair_timeout, a_time, "5m", "how long the first side of a stream waits for the other"),
    KEY(proxy, activate_timeout, a_time, "2m", "how long both wait to be joined"),
    KEY(proxy, idle_timeout, a_time, "10m", "a stream without a byte ends after this"),

    KEY(delivery, mode, a_word, "auto",
        "spool (offer when the upload is complete), auto (as it begins), stream (before it begins)",
        .words = mode_words),
    KEY(delivery, digest, a_word, "auto",
        "SHA-256 of a file: auto (whoever asks, and Jingle), always, never (but for who asks)", .words = digest_words),
    KEY(delivery, caption, a_word, "both",
        "of a file: told in the offer, as a message once it is delivered, or both", .words = caption_words),
    KEY(delivery, methods, methods, "jingle-s5b,si-s5b,s5b,jingle-ibb,si-ibb,ibb,link",
        "the methods to try, in this order: what is left out is never tried"),
    KEY(delivery, offer_timeout, a_time, "300s", "how long a person may take to accept"),
    KEY(delivery, connect_timeout, a_time, "60s", "how long a recipient may take to connect"),
    KEY(delivery, activate_timeout, a_time, "20s", "how long a proxy may take to activate"),
    KEY(delivery, stall_timeout, a_time, "120s", "a stream without progress ends after this"),
    KEY(delivery, linger_timeout, a_time, "30s", "how long a recipient may take to close after the last byte"),
    KEY(delivery, max_attempts, a_number, "3", "rounds through the methods", .least = 1, .most = 100),
    KEY(delivery, backoff, a_time, "2s", "first pause between rounds; it doubles"),
    KEY(delivery, ttl, a_time, "7d", "a transfer not delivered by then expires", .most = YEARS_10),
    KEY(delivery, hold, a_time_or_none, "0",
        "how long a contact who is offline is waited for; 0: not at all", .most = YEARS_10),
    KEY(delivery, retention, a_time, "7d", "how long the record of a finished one is kept", .most = YEARS_10),
    KEY(delivery, parallel, a_number, "256", "transfers under way at once", .least = 1, .most = 65536, .live = true),
    KEY(delivery, per_recipient_parallel, a_number, "4", "of these, to one recipient", .least = 1, .most = 65536,
        .live = true),
    KEY(delivery, ibb_max_size, a_size, "2M", "the largest file sent in-band, through the XMPP servers"),
    KEY(delivery, ibb_window, a_number, "1",
        "blocks of it on their way at once; over 1 only where servers do not throttle", .least = 1, .most = 3),
    KEY(delivery, link, ways, "upload,own",
        "how a link is made, in this order: by the server's upload service, or by ourselves (server.public_url)"),
    KEY(delivery, link_ttl, a_time, "7d", "how long a link of our own can be fetched", .most = YEARS_10),

    KEY(spool, dir, a_folder, "<state_dir>/spool", "uploaded files until they are delivered"),
    KEY(spool, max_bytes, a_size, "10G", "all of them together", .live = true),
    KEY(spool, max_file, a_size, "5G", "one of them", .live = true),
    KEY(spool, max_files, a_number, "10000", "how many, each a transfer in memory", .least = 1, .most = 1000000,
        .live = true),
    KEY(spool, retention, a_time_or_none, "1h",
        "how long a file stays after its transfer failed, so that it can be tried again; 0: not at all", .most = YEARS_10),
    KEY(spool, upload_expiry, a_time, "24h", "how long an upload by tus is kept that nobody goes on with", .most = YEARS_10),
    KEY(spool, stream_window, a_window, "16M", "of a file in mode stream, what is on the disk at once"),
    KEY(spool, durability, a_word, "power",
        "what a 2xx survives: power (loss), or process (its end only, faster)", .words = durability_words),

    KEY(inbox, accept, a_list, "",
        "globs on the bare addresses of those who may send files to us; !glob denies, and goes before; left out: nobody", .live = true, .switched = true),
    KEY(inbox, max_file, a_size, "1G", "the largest file that is taken", .live = true),
    KEY(inbox, max_files, a_number, "1000", "how many one sender may send in a day", .least = 1, .most = 1000000, .live = true),
    KEY(inbox, daily_bytes, a_size, "10G", "how much one sender may send in a day", .live = true),
    KEY(inbox, retention, a_time, "7d", "how long a file that was sent to us is kept", .most = YEARS_10, .live = true),
    KEY(inbox, raw, a_word, "off", "on: bytestreams without an offer before them are taken, too", .words = source_words, .live = true),

    KEY(store, url, a_store, "sqlite://<state_dir>/jidpost.db", "where transfers are recorded"),

    KEY(source, path_roots, folders, "",
        "folders that callers may send files from by their path (JSON, source.path); left out: from none"),
    KEY(source, url_enabled, a_word, "off",
        "on: callers may have files fetched by http and https (JSON, source.url)", .words = source_words),
    KEY(source, allow_hosts, hosts, "*", "from hosts that match these; * matches any run"),
    KEY(source, url_timeout, a_time, "1h", "how long a file may take to come"),

    KEY(egress, allow_nets, nets, "", "private networks (CIDR) that addresses from outside may lead to"),

    KEY(events, retention, a_number, "1000", "events kept in memory for streams that come back", .least = 1,
        .most = 1000000),
    KEY(log, level, a_word, "info", "debug, info, warn, error", .words = level_words, .live = true),
    KEY(log, format, a_word, "text", "text or json", .words = format_words, .live = true),
};
/* clang-format on */
_Static_assert(sizeof(rows) / sizeof(rows[0]) == KEY_COUNT, "config_keys.h counts the rows");

const struct key *const config_table = rows;
const struct kind *const kind_of_files = &a_file;

const char *key_variable(const struct key *key, char out[static KEY_NAME])
{
    snprintf(out, KEY_NAME, "JIDPOST_%s", key->name);
    for (char *at = out; *at; at++)
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    return out;
}

const struct key *key_find(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(config_table[i].name, name) == 0)
            return &config_table[i];
    }
    return NULL;
}
