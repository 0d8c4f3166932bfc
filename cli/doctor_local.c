/* cli/doctor_local.c - what can be seen on this machine: configuration, state folder, spool, clock, the gateway. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "api/tls.h"
#include "base/clock.h"
#include "base/fd.h"
#include "cli/doctor.h"
#include "gateway/healthcheck.h"

enum { FOLDERS_OPEN = 8 };
#define LEAST_ROOM ((uint64_t)1024 * 1024)
#define BUILT_MS   (INT64_C(1767225600) * 1000) /* 2026-01-01: before it a clock is surely wrong */

/* ---- configuration */

bool doctor_reads_configuration(struct doctor *d)
{
    static const char check[] = "configuration";
    struct tls_pair *pair = NULL;
    struct error error = {0};
    bool ok;

    ok = config_load(&d->config, cli_value(d->line, OPT_CONFIG), d->line->environment, d->line->overrides, &error);
    if (!ok) {
        doctor_say(d, DOCTOR_FAIL, check, ERR_CONFIG,
                   "Write what the sentence names; jidpost config keys explains each key.", "%s", error.text);
        return false;
    }
    if (d->config.http.tls_cert && !(pair = tls_pair_load(d->config.http.tls_cert, d->config.http.tls_key, &error)))
        doctor_say(d, DOCTOR_FAIL, check, ERR_CONFIG,
                   "Mend [http] tls_cert and tls_key; without both it is plain HTTP.", "%s", error.text);
    else
        doctor_say(d, DOCTOR_OK, check, ERR_NONE, NULL, "holds; the account is %s", d->config.xmpp.jid.text);
    tls_pair_free(&pair);
    return true;
}

/* ---- state folder */

/* Whether a gateway has it; the lock is let go of at once. */
static bool is_locked(const char *state_dir)
{
    char *path = NULL;
    bool locked = false;
    int fd = -1;

    if (asprintf(&path, "%s/lock", state_dir) >= 0)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    fd_close(&fd);
    free(path);
    return locked;
}

/* path, or the folder above it that is there. */
static void nearest_there(const char *path, char *out, size_t max)
{
    struct stat st;

    snprintf(out, max, "%s", path);
    while (stat(out, &st) != 0 && strrchr(out, '/') && strrchr(out, '/') != out)
        *strrchr(out, '/') = '\0';
}

void doctor_looks_at_state(struct doctor *d)
{
    const char *folder = d->config.server.state_dir;
    struct stat st;
    char near[4096], fix[400];

    nearest_there(folder, near, sizeof near);
    d->running = is_locked(folder);
    if (stat(folder, &st) == 0 && !S_ISDIR(st.st_mode)) {
        doctor_say(d, DOCTOR_FAIL, "state folder", ERR_CONFIG, "Set [server] state_dir to a folder.", "%s is none",
                   folder);
    } else if (access(near, W_OK | X_OK) != 0) {
        snprintf(fix, sizeof fix, "chown %.150s to the gateway's user, or run this as that user.", near);
        doctor_say(d, DOCTOR_FAIL, "state folder", ERR_CONFIG, fix, "%s: %s", near, strerror(errno));
    } else {
        doctor_say(d, DOCTOR_OK, "state folder", ERR_NONE, NULL, "%s%s", folder,
                   d->running                  ? " is a running gateway's"
                   : strcmp(near, folder) == 0 ? " can be written"
                                               : " will be made");
    }
}

/* ---- spool */

static uint64_t spooled;

static int add_file(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)path;
    (void)at;
    if (kind == FTW_F)
        spooled += (uint64_t)st->st_size;
    return 0;
}

void doctor_looks_at_spool(struct doctor *d)
{
    static const char check[] = "spool";
    const struct config *c = &d->config;
    uint64_t disk, left, room;
    char near[4096], free_text[24], used_text[24], max_text[24];
    struct statvfs fs;

    nearest_there(c->spool.dir, near, sizeof near);
    if (statvfs(near, &fs) != 0) {
        doctor_say(d, DOCTOR_FAIL, check, ERR_CONFIG, "Set [spool] dir to a folder on a disk.", "%s: %s", near,
                   strerror(errno));
        return;
    }
    spooled = 0;
    nftw(c->spool.dir, add_file, FOLDERS_OPEN, FTW_PHYS);
    disk = (uint64_t)fs.f_bavail * fs.f_frsize;
    left = c->spool.max_bytes > spooled ? c->spool.max_bytes - spooled : 0;
    room = disk < left ? disk : left;
    progress_size(disk, free_text, sizeof free_text);
    progress_size(spooled, used_text, sizeof used_text);
    progress_size(c->spool.max_bytes, max_text, sizeof max_text);
    if (room < LEAST_ROOM || room < c->spool.max_bytes / 100)
        doctor_say(d, DOCTOR_FAIL, check, ERR_SPOOL_FULL,
                   disk <= left ? "Free space on the disk, or move [spool] dir to a larger one."
                                : "Raise [spool] max_bytes, lower [spool] retention, or cancel transfers: jidpost ls.",
                   "is full: %s of %s used, %s free on the disk", used_text, max_text, free_text);
    else if (room < c->spool.max_file)
        doctor_say(d, DOCTOR_WARN, check, ERR_SPOOL_FULL, "Free space, or lower [spool] max_file so that callers know.",
                   "has no room for the largest file: %s of %s used, %s free on the disk", used_text, max_text,
                   free_text);
    else
        doctor_say(d, DOCTOR_OK, check, ERR_NONE, NULL, "%s of %s used, %s free on the disk", used_text, max_text,
                   free_text);
}

/* ---- clock */

void doctor_looks_at_clock(struct doctor *d)
{
    struct timex now = {0};
    char text[CLOCK_TEXT];

    clock_text(clock_wall_ms(), text);
    if (clock_wall_ms() < BUILT_MS)
        doctor_say(d, DOCTOR_FAIL, "clock", ERR_SYSTEM, "Set it; certificates and tokens are judged by it.",
                   "it says %s", text);
    else if (adjtimex(&now) == TIME_ERROR || (now.status & STA_UNSYNC))
        doctor_say(d, DOCTOR_WARN, "clock", ERR_SYSTEM, "Let systemd-timesyncd or chrony run on this machine.",
                   "it says %s; the kernel does not know it as synchronised", text);
    else
        doctor_say(d, DOCTOR_OK, "clock", ERR_NONE, NULL, "synchronised");
}

/* ---- the gateway that runs */

void doctor_asks_gateway(struct doctor *d)
{
    const struct config *c = &d->config;
    const char *listen = strcmp(c->http.listen, LISTEN_OFF) == 0 ? c->http.unix_path : c->http.listen;
    struct error error;

    if (!d->running)
        doctor_say(d, DOCTOR_OK, "gateway", ERR_NONE, NULL, "none runs on this state folder");
    else if (strlen(listen) > 2 && strcmp(listen + strlen(listen) - 2, ":0") == 0)
        doctor_say(d, DOCTOR_OK, "gateway", ERR_NONE, NULL, "runs, on a port that it took itself");
    else if (!healthcheck(listen, c->http.tls_cert != NULL, "/livez", &error))
        doctor_say(d, DOCTOR_FAIL, "gateway", ERR_INTERNAL, "Look into its log; restart it if it says nothing.",
                   "has the state folder, but %s", error.text);
    else if (!healthcheck(listen, c->http.tls_cert != NULL, "/readyz", &error))
        doctor_say(d, DOCTOR_WARN, "gateway", ERR_XMPP_DISCONNECTED,
                   "The lines below say why; GET /readyz?verbose tells the gateway's own view.",
                   "runs, but is not ready: %s", error.text);
    else
        doctor_say(d, DOCTOR_OK, "gateway", ERR_NONE, NULL, "runs and is ready");
}
