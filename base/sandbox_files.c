/* base/sandbox_files.c - Landlock, see sandbox.h. Debian 12's headers know its first two versions; what a running
 * kernel has beyond them is asked for by number. */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* version 3 */
#endif

/* Of what is handled, only what a rule grants is allowed. Version 1: all of it; moving between folders (REFER, version
 * 2) is denied as long as it is not named. Running programs is granted nowhere. */
static const uint64_t handled_v1 = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
static const uint64_t to_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t to_write = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                                 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
                                 LANDLOCK_ACCESS_FS_TRUNCATE;
static const uint64_t for_socket = LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
static const uint64_t of_files =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;

static uint64_t rights(enum sandbox_access access)
{
    return access == SANDBOX_WRITE ? to_write : access == SANDBOX_SOCKET ? for_socket : to_read;
}

static int version_of_kernel(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version > 0 ? (int)version : 0;
}

static bool add_path(int rules, const struct sandbox_path *p, uint64_t handled, struct error *err)
{
    struct landlock_path_beneath_attr rule;
    int fd = open(p->path, O_PATH | O_CLOEXEC);
    struct stat st;
    bool ok;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ||
               error_set(err, ERR_SYSTEM, "Landlock: %s: %s", p->path, strerror(errno));
    rule.parent_fd = fd;
    rule.allowed_access = rights(p->access) & handled;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= of_files;
    ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ||
         error_set(err, ERR_SYSTEM, "Landlock: %s: %s", p->path, strerror(errno));
    fd_close(&fd);
    return ok;
}

bool sandbox_enter_files(const struct sandbox_path *paths, size_t count, int *version, struct error *err)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs = handled_v1};
    int found = version_of_kernel(), rules;
    bool ok = true;

    *version = 0;
    if (found == 0)
        return error_set(err, ERR_SYSTEM, "this kernel has no Landlock, or does not let us use it: %s",
                         strerror(errno));
    if (found >= 3)
        attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
    rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (rules < 0)
        return error_set(err, ERR_SYSTEM, "Landlock: %s", strerror(errno));
    for (size_t i = 0; i < count && ok; i++)
        ok = add_path(rules, &paths[i], attr.handled_access_fs, err);
    if (ok && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_landlock_restrict_self, rules, 0) != 0))
        ok = error_set(err, ERR_SYSTEM, "Landlock: %s", strerror(errno));
    fd_close(&rules);
    if (ok)
        *version = found;
    return ok;
}
