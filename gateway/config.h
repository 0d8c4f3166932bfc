/* gateway/config.h - one table of keys, read at start-up. What was read is constant ever after: on SIGHUP main.c reads
 * anew, beside it, and hands those values on that may change in a running gateway (struct key: live).
 *
 * Order: built-in < jidpost.ini < environment < --section.key=value. "[http] listen" is JIDPOST_HTTP_LISTEN is
 * --http.listen. Every secret also as a file (JIDPOST_XMPP_PASSWORD_FILE, or the systemd credential "xmpp.password"
 * in $CREDENTIALS_DIRECTORY); both set is an error. Credentials may also be the files http.tls_cert and http.tls_key
 * name. An unknown key or a bad value stops the start and names the
 * nearest known key or an example. Sections [token ID] stand in the file, and in files of their own below the state
 * folder, tokens.d/ID.ini, which 'jidpost token' writes; see token.h. Sections [webhook NAME]: webhook.h. Sizes: 64M
 * (powers of 1024). Times: 500ms 30s 5m 1h 7d. Lists: comma or space. */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/jid.h"
#include "base/log.h"
#include "gateway/record.h"
#include "gateway/token.h"
#include "gateway/inbox_rule.h"
#include "gateway/webhook.h"

#define LISTEN_OFF "off" /* in place of an address to listen on */

enum tls_mode { TLS_REQUIRED, TLS_DIRECT, TLS_OFF };           /* off: only towards a loopback server */
enum direct_mode { DIRECT_AUTO, DIRECT_ALWAYS, DIRECT_NEVER }; /* auto: contacts and our own domain */
enum digest_mode { DIGEST_AUTO, DIGEST_ALWAYS, DIGEST_NEVER }; /* auto: for the caller who asks, and for Jingle */
enum durability { DURABLE_POWER, DURABLE_PROCESS };
enum sandbox_mode { SANDBOX_AUTO, SANDBOX_OFF, SANDBOX_REQUIRED };
enum caption_mode { CAPTION_BOTH, CAPTION_OFFER, CAPTION_MESSAGE }; /* of files that are no links */
enum source_mode { SOURCE_OFF, SOURCE_ON };

struct config {
    struct {
        char *state_dir;       /* spool, store and lock live here */
        char *public_url;      /* what recipients' browsers see of us, without a '/' at its end; NULL: nothing */
        int64_t drain_timeout; /* how long what flows may go on when we stop; 0: not at all */
        enum sandbox_mode sandbox;
    } server;
    struct {
        char *listen;    /* "127.0.0.1:8080"; port 0: any; "off": the unix socket alone */
        char *unix_path; /* of a socket, absolute; NULL: none */
        uint64_t unix_mode;
        char **trusted_proxies; /* CIDR, and "unix"; NULL at the end */
        char *token;            /* NULL: none; then loopback only */
        char **hosts;           /* names beside loopback that the Host header may carry; NULL at the end */
        uint64_t max_connections;
        uint64_t max_connections_per_address; /* 0: 64, and half of all for loopback */
        int64_t idle_timeout;                 /* ms, as all times here */
        int64_t header_timeout;               /* 0: none */
        uint64_t min_rate;                    /* bytes a second of a body; 0: none */
        int64_t min_rate_window;
        int64_t max_wait;
        char *tls_cert, *tls_key; /* PEM files, both or neither; NULL: plain HTTP */
        char *page;               /* a folder with another page than the one we carry, absolute; NULL: none */
    } http;
    struct {
        char *listen; /* for /metrics, /livez and /readyz alone; "off": none */
    } ops;
    struct {
        char *component_secret; /* NULL: we are a client, else a component: xmpp/xmpp.h */
        struct jid jid;         /* bare or with a resource; of a component the default sender, from@domain */
        char *password;         /* NULL in component mode */
        char *from;             /* of a component: the local part of jid, never NULL there */
        char *server;           /* host or address; NULL: by SRV of the JID's domain, or this machine */
        uint16_t port;          /* 0: by SRV, else 5222 (direct TLS: 5223); of a component 5347 */
        enum tls_mode tls;
        char *ca;                    /* PEM file beside the system's; NULL: none */
        char **proxies;              /* JIDs; NULL at the end */
        char **accept_subscriptions; /* globs on bare JIDs; default "*@<own domain>" */
        int64_t ping_interval, ping_timeout;
        int64_t reconnect_min, reconnect_max;
        int64_t iq_timeout;
        char *nick; /* in rooms; NULL: the account's name */
    } xmpp;
    struct {
        char *listen;            /* "[::]:5086"; opened only when something is advertised */
        char *advertise_host;    /* NULL: no direct streamhost */
        uint16_t advertise_port; /* 0: the port listened on */
        enum direct_mode direct;
        uint64_t threads; /* 0: one per processor */
        uint64_t max_streams;
        uint64_t pending_per_peer;
    } socks5;
    struct {
        char **allow;         /* globs in small letters, "!glob" denies; NULL at the end; none: we are no proxy */
        uint64_t max_streams; /* relayed at once */
        uint64_t max_streams_per_requester;
        uint64_t hourly_bytes; /* of a requester */
        uint64_t rate;         /* bytes a second of a stream; 0: any number */
        int64_t pair_timeout, activate_timeout, idle_timeout;
    } proxy;
    struct {
        enum mode mode; /* where the caller does not say */
        enum digest_mode digest;
        enum caption_mode caption;
        char **methods; /* the ladder, in order; NULL at the end */
        int64_t offer_timeout, connect_timeout, activate_timeout, stall_timeout, linger_timeout;
        uint64_t max_attempts;
        int64_t backoff; /* first pause; doubles each round */
        int64_t ttl;
        int64_t hold;      /* how long a recipient who is offline is waited for; 0: not at all */
        int64_t retention; /* of the record, once final */
        uint64_t parallel, per_recipient_parallel;
        uint64_t ibb_max_size; /* of a file that goes in-band */
        uint64_t ibb_window;
        char **link;      /* "upload", "own": the ways to a link, in order; NULL at the end */
        int64_t link_ttl; /* of our own links */
    } delivery;
    struct {
        char *dir; /* default <state_dir>/spool */
        uint64_t max_bytes, max_file, max_files;
        int64_t retention;      /* ms that a file stays after its transfer failed; 0: not at all */
        int64_t upload_expiry;  /* ms that an upload in parts stays after its last one */
        uint64_t stream_window; /* of a file in mode stream: on disk at once, about */
        enum durability durability;
    } spool;
    struct {
        char **accept;                   /* globs on the bare addresses of senders; none: nothing is received */
        uint64_t max_file;               /* of one of them */
        uint64_t max_files, daily_bytes; /* of one sender, in a day */
        int64_t retention;
        unsigned raw;                 /* bytestreams without an offer: 1 they are taken */
        struct inbox_rule_list rules; /* of the sections [inbox NAME], and at the end of what stands above */
    } inbox;
    struct {
        char *url; /* default sqlite://<state_dir>/jidpost.db */
    } store;
    struct {
        char **path_roots; /* absolute folders that files may be sent from; NULL at the end */
        enum source_mode url_enabled;
        char **allow_hosts;  /* globs in small letters; NULL at the end */
        int64_t url_timeout; /* for all of a file */
    } source;
    struct {
        char **allow_nets; /* CIDR; NULL at the end */
    } egress;
    struct {
        uint64_t retention; /* how many are kept for who comes late */
    } events;
    struct {
        enum log_level level;
        enum log_format format;
    } log;
    struct token_list tokens;     /* beside http.token; each complete */
    struct webhook_list webhooks; /* each complete */
};

/* file NULL: ./jidpost.ini, then /etc/jidpost/jidpost.ini, if there is one. overrides: "section.key=value" strings,
 * NULL at the end, or NULL. On failure (ERR_CONFIG, the sentence says where and what to write instead) *c is empty. */
bool config_load(struct config *c, const char *file, char *const *environment, const char *const *overrides,
                 struct error *err);
void config_free(struct config *c);

/* Every file that a key names, as the authorities beside the system's. */
void config_each_file(const struct config *c, void (*each)(void *user, const char *path), void *user);

/* As config_load(), and what every key was given as, for config_compare(); NULL: it failed. */
struct settings;
struct settings *config_read(struct config *c, const char *file, char *const *environment, const char *const *overrides,
                             struct error *err);
void settings_free(struct settings **settings);

struct config_change {
    const char *key;
    const char *from, *to; /* "(none)"; of secrets "(set)" alone */
    bool live;             /* else it takes a restart */
};

/* Tells every key for which another reading found something else; the live ones of running become what was found. */
void config_compare(struct settings *running, const struct settings *found,
                    void (*each)(void *user, const struct config_change *change), void *user);

/* Every key: its value in force and where it came from; secrets as "(set)". */
bool config_show(const char *file, char *const *environment, const char *const *overrides, FILE *out,
                 struct error *err);

/* Those keys alone, NULL at the end; whether the others hold is not looked at, and they are left empty. For commands
 * that need little, and have to work before the rest is written. config_free() as well. */
bool config_load_keys(struct config *c, const char *const *keys, const char *file, char *const *environment,
                      const char *const *overrides, struct error *err);

/* What 'jidpost token' needs, which has to work before the rest holds: server.state_dir alone, yours to free(), and the
 * tokens in its tokens.d, added to *out. No such folder: none. */
char *config_state_dir(const char *file, char *const *environment, const char *const *overrides, struct error *err);
bool config_kept_tokens(const char *state_dir, struct token_list *out, struct error *err);
#define TOKENS_FOLDER "tokens.d"

/* Every key with its environment twin, default and one line of help, as a jidpost.ini to start from. */
void config_keys(FILE *out);

#endif
