/* gateway/confine.c - which files the gateway needs, see confine.h. */
#include "gateway/confine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { PATHS_MAX = 64, TEXT_MAX = 16 << 10 };

struct paths {
    struct sandbox_path list[PATHS_MAX];
    size_t count;
    char text[TEXT_MAX]; /* of all of them, one behind the other */
    size_t used;
    bool failed;
};

static void add(struct paths *p, const char *path, enum sandbox_access access)
{
    size_t size = strlen(path) + 1;

    if (p->count == PATHS_MAX || size > TEXT_MAX - p->used) {
        p->failed = true;
        return;
    }
    memcpy(p->text + p->used, path, size);
    p->list[p->count++] = (struct sandbox_path){p->text + p->used, access};
    p->used += size;
}

/* A file is replaced by renaming another onto it, so it takes the folder; but never the root, which is everything. */
static void add_folder_of(struct paths *p, const char *file, enum sandbox_access access)
{
    const char *slash = strrchr(file, '/');
    char *folder = slash ? strndup(file, (size_t)(slash - file)) : getcwd(NULL, 0);

    if (folder)
        add(p, strspn(folder, "/") == strlen(folder) ? file : folder, access);
    else
        p->failed = true;
    free(folder);
}

/* And where it really lies, when a link leads there. */
static void add_file(struct paths *p, const char *file, enum sandbox_access access)
{
    char *real = realpath(file, NULL);

    add_folder_of(p, file, access);
    if (real && strcmp(real, file) != 0)
        add_folder_of(p, real, access);
    free(real);
}

static void add_system(struct paths *p)
{
    /* Modules of the resolver, character sets, magic numbers, authorities; /etc is a folder for its files are replaced
     * at any time. Processors are counted. The rest is where a system keeps what /etc/resolv.conf leads to. */
    static const char *const folders[] = {
        "/etc",
        "/usr",
        "/lib",
        "/lib64",
        "/sys/devices/system/cpu",
        "/proc/sys/vm", /* which malloc(3) asks */
        "/dev/urandom",
        "/run/systemd/resolve",
        "/run/resolvconf",
        "/run/NetworkManager",
        "/run/connman",
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        "/proc", /* they look at themselves there */
#endif
    };

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        add(p, folders[i], SANDBOX_READ);
    add_file(p, "/etc/resolv.conf", SANDBOX_READ); /* wherever else it leads */
    add(p, "/proc/self/exe", SANDBOX_READ);
    add(p, "/dev/null", SANDBOX_WRITE);
}

static void add_named(void *user, const char *path)
{
    add_file(user, path, SANDBOX_READ);
}

/* What is read again on SIGHUP, beside /etc. */
static void add_configuration(struct paths *p, const struct config *c, const char *file, char *const *environment)
{
    static const char credentials[] = "CREDENTIALS_DIRECTORY=", own[] = "JIDPOST_", ending[] = "_FILE";

    if (file || access("jidpost.ini", F_OK) == 0)
        add_file(p, file ? file : "jidpost.ini", SANDBOX_READ);
    for (char *const *entry = environment; entry && *entry; entry++) {
        const char *value = strchr(*entry, '=');

        if (!value || !value[1])
            continue;
        if (strncmp(*entry, credentials, strlen(credentials)) == 0)
            add(p, value + 1, SANDBOX_READ);
        else if (strncmp(*entry, own, strlen(own)) == 0 && value - *entry > (ptrdiff_t)strlen(ending) &&
                 strncmp(value - strlen(ending), ending, strlen(ending)) == 0)
            add_file(p, value + 1, SANDBOX_READ);
        else if (strncmp(*entry, "SSL_CERT_FILE=", strlen("SSL_CERT_FILE=")) == 0)
            add_file(p, value + 1, SANDBOX_READ);
        else if (strncmp(*entry, "SSL_CERT_DIR=", strlen("SSL_CERT_DIR=")) == 0)
            add(p, value + 1, SANDBOX_READ);
    }
    config_each_file(c, add_named, p);
}

static void add_state(struct paths *p, const struct config *c)
{
    static const char scheme[] = "sqlite://";

    add(p, c->server.state_dir, SANDBOX_WRITE);
    add(p, c->spool.dir, SANDBOX_WRITE);
    if (strncmp(c->store.url, scheme, strlen(scheme)) == 0)
        add_file(p, c->store.url + strlen(scheme), SANDBOX_WRITE); /* with its journal beside it */
    for (char *const *root = c->source.path_roots; root && *root; root++)
        add(p, *root, SANDBOX_READ);
    if (c->http.unix_path)
        add_folder_of(p, c->http.unix_path, SANDBOX_SOCKET);
    if (c->http.page)
        add(p, c->http.page, SANDBOX_READ);
}

/* An old kernel is no news; a program that could start others is. */
static void tell(const struct sandbox *got, const char *missing)
{
    const struct log_field fields[] = {log_str("calls", got->calls ? "seccomp" : NULL),
                                       log_int("landlock", got->files),
                                       log_str("missing", missing),
                                       {0}};

    log_write(got->calls ? LOG_INFO : LOG_WARN, "sandbox", fields);
}

bool confine(const struct config *c, const char *file, char *const *environment, struct sandbox *got, struct error *err)
{
    struct paths p = {.count = 0};
    struct error missing = {0};
    bool whole;

    *got = (struct sandbox){0};
    if (c->server.sandbox == SANDBOX_OFF)
        return true;
    add_system(&p);
    add_configuration(&p, c, file, environment);
    add_state(&p, c);
    whole = p.failed ? error_set(&missing, ERR_SYSTEM, "out of memory, or too many files of secrets")
                     : sandbox_enter(p.list, p.count, got, &missing);
    if (!whole && c->server.sandbox == SANDBOX_REQUIRED)
        return error_set(err, ERR_SYSTEM, "[server] sandbox = required: %s", missing.text);
    tell(got, whole ? NULL : missing.text);
    return true;
}

bool confine_listeners(const struct config *c, const struct sandbox *in, struct error *err)
{
    struct error why;

    if (!in->calls || sandbox_end_listening(&why))
        return true;
    if (c->server.sandbox == SANDBOX_REQUIRED)
        return error_set(err, ERR_SYSTEM, "[server] sandbox = required: %s", why.text);
    tell(in, why.text);
    return true;
}
