/* store_open: can what lies in the directory be used? Else make it anew.
 *
 * Every opener settles that under a lock of its own (`open.lock`), so that one
 * remakes what is damaged and the others find it good. The parent, which may
 * be root, does nothing in the directory itself: it belongs to Apache's user,
 * who may put any link there. A forked helper that has become that user does
 * it; and when rubbish on the disk kills the helper, the parent lives on and
 * the second helper begins by removing it.
 */
#include "device/store_lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "device/store_use.h"

/* When no child has opened it: a few readers for whoever looks. */
#define PREPARE_READERS 8
#define PREPARE_BYTES   ((uint64_t)16 << 20)

#define MAP_MIN ((uint64_t)1 << 20)

/* Records of the stand-in: some 10,000 phones, 50 MB in each child. */
#define STAND_IN_MAX 200000

bool dp_store_boot_id(uint8_t out[16])
{
    char text[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    unsigned at = 0, byte = 0;
    if (fd >= 0) {
        close(fd);
    }
    for (const char *p = text; n > 0 && *p && at < 16; p++) {
        if (*p != '-' && sscanf(p, "%2x", &byte) == 1) {
            out[at++] = (uint8_t)byte;
            p++;
        }
    }
    return at == 16;
}

static bool is_shorter_than_it_says(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat st;
    mdb_filehandle_t fd;
    return mdb_env_info(env, &info) || mdb_env_stat(env, &stat)
           || mdb_env_get_fd(env, &fd) || fstat(fd, &st)
           || (uint64_t)st.st_size
                  < ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

int dp_lmdb_env_open(MDB_env **out, MDB_dbi *dbi, const char *dir,
                     uint64_t map_bytes, unsigned readers_max)
{
    MDB_env *env;
    MDB_txn *t;
    int rc = mdb_env_create(&env);
    if (rc) {
        return rc;
    }
    rc = mdb_env_set_mapsize(env, map_bytes);
    if (!rc) {
        rc = mdb_env_set_maxreaders(env, readers_max);
    }
    if (!rc) {
        rc = mdb_env_open(env, dir, MDB_NOTLS | MDB_NOSYNC | MDB_NOMETASYNC,
                          0600);
    }
    if (!rc && is_shorter_than_it_says(env)) {
        rc = MDB_CORRUPTED; /* a read beyond its end would be a SIGBUS */
    }
    if (!rc) {
        int dead = 0;
        mdb_reader_check(env, &dead);
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &t);
    }
    if (!rc) {
        rc = mdb_dbi_open(t, NULL, 0, dbi);
        /* a commit, so that the handle outlives the transaction */
        rc = rc ? (mdb_txn_abort(t), rc) : mdb_txn_commit(t);
    }
    if (rc) {
        mdb_env_close(env);
        return rc;
    }
    *out = env;
    return 0;
}

/* Delete what begins with `kind`. */
static int drop_kind(MDB_txn *t, MDB_dbi dbi, char kind)
{
    MDB_cursor *cursor;
    char prefix[2] = {kind, 0};
    MDB_val k = {sizeof(prefix), prefix}, v;
    int rc = mdb_cursor_open(t, dbi, &cursor);
    if (rc) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (!rc && k.mv_size >= sizeof(prefix)
           && memcmp(k.mv_data, prefix, sizeof(prefix)) == 0) {
        rc = mdb_cursor_del(cursor, 0);
        if (!rc) {
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Bring the records into this boot and this version. What is of no use in
 * another boot goes: marks and times (of another bus, another clock) and
 * proofs (of a key that is gone). Maps and Ping parameters stay good. */
static int settle(MDB_env *env, MDB_dbi dbi, const uint8_t boot[16])
{
    MDB_txn *t;
    dp_store_version v;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &t);
    if (rc) {
        return rc;
    }
    int found = dp_lmdb_version_get(t, dbi, &v);
    mdb_txn_abort(t);
    if (found && found != MDB_NOTFOUND) {
        return found;
    }
    bool is_ours = !found && v.layout == dp_store_layout;
    bool is_this_boot = !found && memcmp(v.boot, boot, sizeof(v.boot)) == 0;
    if (is_ours && is_this_boot) {
        return 0;
    }
    if (!found && !is_this_boot && !v.is_clean) {
        return MDB_CORRUPTED; /* perhaps: pages were not synced */
    }
    rc = mdb_txn_begin(env, NULL, 0, &t);
    if (rc) {
        return rc;
    }
    if (!is_ours) {
        rc = mdb_drop(t, dbi, 0);
    }
    else {
        rc = drop_kind(t, dbi, 'c');
        rc = rc ? rc : drop_kind(t, dbi, 'a');
    }
    return dp_lmdb_end_as_ours(env, t, dbi, boot, rc);
}

static bool is_damage(int rc)
{
    return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH
           || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND
           || rc == MDB_PANIC || rc == MDB_CURSOR_FULL
           || rc == MDB_INCOMPATIBLE || rc == MDB_BAD_TXN || rc == EACCES
           || rc == ELOOP || rc == EINVAL;
}

static int remove_files(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char path[4096];
    for (size_t i = 0; i < 2; i++) {
        dp_lmdb_path(path, sizeof(path), dir, names[i]);
        if (unlink(path) && errno != ENOENT) {
            return errno;
        }
    }
    return 0;
}

/* @return a descriptor that holds the lock, or -1 */
static int lock_dir(const char *dir)
{
    char path[4096];
    dp_lmdb_path(path, sizeof(path), dir, "open.lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX) && errno == EINTR) {
    }
    return fd;
}

static int open_settled(MDB_env **env, MDB_dbi *dbi, const char *dir,
                        uint64_t map_bytes, unsigned readers_max,
                        const uint8_t boot[16])
{
    int rc = dp_lmdb_env_open(env, dbi, dir, map_bytes, readers_max);
    if (rc) {
        return rc;
    }
    rc = settle(*env, *dbi, boot);
    if (rc) {
        mdb_env_close(*env);
    }
    return rc;
}

static void say_remade(const char *dir, int rc, bool has_maps)
{
    char line[512];
    snprintf(line, sizeof(line),
             "device store %s: made anew (%s, or the machine stopped while it "
             "was in use); every phone pays one Sync%s", dir, mdb_strerror(rc),
             has_maps ? ""
                      : "; of phones whose ids do not tell their folder, all "
                        "mail folders are told together");
    dp_store_say(line);
}

/* From the last checkpoint, or else from nothing. @return true: that one */
static bool remake(MDB_env **env, MDB_dbi *dbi, const char *dir,
                   uint64_t map_bytes, unsigned readers_max,
                   const uint8_t boot[16], int *out_rc)
{
    int rc = remove_files(dir);
    if (!rc && !dp_lmdb_checkpoint_open(env, dbi, dir, map_bytes, readers_max,
                                        boot)) {
        *out_rc = 0;
        return true;
    }
    rc = rc ? rc : remove_files(dir);
    *out_rc = rc ? rc
                 : open_settled(env, dbi, dir, map_bytes, readers_max, boot);
    return false;
}

/* Open it; once more, from nothing, when it is damaged. */
static int open_or_remake(MDB_env **env, MDB_dbi *dbi, const char *dir,
                          uint64_t map_bytes, unsigned readers_max,
                          const uint8_t boot[16])
{
    int fd = lock_dir(dir);
    if (fd < 0) {
        return errno;
    }
    int rc = open_settled(env, dbi, dir, map_bytes, readers_max, boot);
    if (rc && is_damage(rc)) {
        int why = rc;
        bool has_maps = remake(env, dbi, dir, map_bytes, readers_max, boot,
                               &rc);
        say_remade(dir, why, has_maps);
    }
    close(fd);
    return rc;
}

apr_status_t dp_store_open_in(dp_store **out, const char *dir,
                              size_t map_bytes, unsigned readers_max,
                              const uint8_t boot[16], const char **out_why)
{
    static char why[512];
    MDB_env *env = NULL;
    MDB_dbi dbi = 0;
    uint64_t full = map_bytes < MAP_MIN ? MAP_MIN : map_bytes;
    /* Room above what makes it full: the pages that readers hold on to, and
     * those that emptying it takes. */
    uint64_t map = full + full / 4 + MAP_MIN;
    map -= map % (1u << 16);
    int rc = open_or_remake(&env, &dbi, dir, map, readers_max, boot);
    *out_why = NULL;
    if (!rc) {
        *out = dp_lmdb_make(env, dbi, dir, full);
        return APR_SUCCESS;
    }
    snprintf(why, sizeof(why),
             "%s; this process remembers devices in memory, so phones sync "
             "more often than they need until it ends",
             mdb_strerror(rc));
    *out_why = why;
    return dp_store_ram_open_bounded(out, STAND_IN_MAX, true);
}

apr_status_t dp_store_open(dp_store **out, const char *dir, size_t map_bytes,
                           unsigned readers_max, const char **out_why)
{
    uint8_t boot[16] = {0};
    dp_store_boot_id(boot);
    return dp_store_open_in(out, dir, map_bytes, readers_max, boot, out_why);
}

/* `dir` with the parents that are missing, owned by `uid` and `gid`. */
static apr_status_t make_dir(const char *dir, unsigned uid, unsigned gid)
{
    char path[4096];
    if (strlen(dir) >= sizeof(path) - 16 || !*dir) {
        return APR_ENAMETOOLONG;
    }
    strcpy(path, dir);
    for (char *p = path + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            if (mkdir(path, 0755) && errno != EEXIST) {
                return errno;
            }
            *p = '/';
        }
    }
    if (mkdir(path, 0700) && errno != EEXIST) {
        return errno;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    apr_status_t rv = APR_SUCCESS;
    if (geteuid() == 0 && (fchown(fd, uid, gid) || fchmod(fd, 0700))) {
        rv = errno;
    }
    close(fd);
    return rv;
}

static bool become(unsigned uid, unsigned gid)
{
    return geteuid() != 0 || uid == 0
           || (setgroups(0, NULL) == 0 && setgid(gid) == 0
               && setuid(uid) == 0);
}

static void say_checkpoint(const char *dir, int rc)
{
    char line[512];
    if (rc && rc != EFBIG) {
        snprintf(line, sizeof(line),
                 "device store %s: no checkpoint could be written (%s): if the "
                 "machine stops without httpd, phones' folders are told "
                 "together afterwards", dir, mdb_strerror(rc));
        dp_store_say(line);
    }
}

/* What the helper does. @return 0, or an errno for its exit code */
static int help(const char *dir, unsigned uid, unsigned gid,
                const uint8_t boot[16], bool from_nothing)
{
    MDB_env *env;
    MDB_dbi dbi;
    if (!become(uid, gid)) {
        return EPERM;
    }
    if (from_nothing && remove_files(dir)) {
        return EACCES;
    }
    int rc = open_or_remake(&env, &dbi, dir, PREPARE_BYTES, PREPARE_READERS,
                            boot);
    if (rc == MDB_MAP_FULL || rc == MDB_MAP_RESIZED) {
        rc = 0; /* larger than the helper maps it: a child will see to it */
    }
    else if (!rc) {
        say_checkpoint(dir, dp_lmdb_checkpoint(env, dir));
        mdb_env_close(env);
    }
    return rc > 0 && rc < 256 ? rc : rc ? EIO : 0;
}

/* @return exit code of a helper, or -1 when a signal ended it */
static int run_helper(const char *dir, unsigned uid, unsigned gid,
                      const uint8_t boot[16], bool from_nothing)
{
    int status = 0;
    pid_t pid = fork();
    if (pid < 0) {
        return errno;
    }
    if (pid == 0) {
        _exit(help(dir, uid, gid, boot, from_nothing));
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

apr_status_t dp_store_prepare_in(const char *dir, unsigned uid, unsigned gid,
                                 const uint8_t boot[16])
{
    apr_status_t rv = make_dir(dir, uid, gid);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    int code = run_helper(dir, uid, gid, boot, false);
    if (code < 0) {
        code = run_helper(dir, uid, gid, boot, true);
    }
    return code < 0 ? APR_EGENERAL : code;
}

apr_status_t dp_store_prepare(const char *dir, unsigned uid, unsigned gid)
{
    uint8_t boot[16] = {0};
    dp_store_boot_id(boot);
    return dp_store_prepare_in(dir, uid, gid, boot);
}
