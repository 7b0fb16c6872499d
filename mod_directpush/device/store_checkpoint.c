/* store_checkpoint: what of the store outlives a machine that stops while it
 * is in use.
 *
 * Pages of the store reach the disk in any order, so after that nothing in it
 * is believed (store_open.c). Of what is lost, marks cost one Sync each; which
 * collection is which folder no phone tells again. So the process that prepares
 * the store, at each start and reload of httpd, leaves a copy that is whole on
 * the disk. Of the copy only the maps are used, and none is believed before its
 * phone has shown that it is still where the map was learnt (folder_map.h).
 */
#include "device/store_lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device/folder_map.h"

/* Some 50,000 phones: a second or two of a reload. */
#define CHECKPOINT_MAX ((uint64_t)256 << 20)

#define NAME     "checkpoint.mdb"
#define NAME_NEW "checkpoint.new"

static bool is_small(MDB_env *env)
{
    MDB_envinfo info;
    MDB_stat stat;
    return !mdb_env_info(env, &info) && !mdb_env_stat(env, &stat)
           && (uint64_t)info.me_last_pgno * stat.ms_psize <= CHECKPOINT_MAX;
}

static bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return is_synced;
}

int dp_lmdb_checkpoint(MDB_env *env, const char *dir)
{
    char path[4096], path_new[4096];
    if (!is_small(env)) {
        return EFBIG;
    }
    dp_lmdb_path(path, sizeof(path), dir, NAME);
    dp_lmdb_path(path_new, sizeof(path_new), dir, NAME_NEW);
    unlink(path_new);
    int fd = open(path_new,
                  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    int rc = mdb_env_copyfd2(env, fd, MDB_CP_COMPACT);
    if (!rc && fsync(fd)) {
        rc = errno;
    }
    close(fd);
    if (!rc && (rename(path_new, path) || !sync_dir(dir))) {
        rc = errno;
    }
    if (rc) {
        unlink(path_new); /* the one before is better than none */
    }
    return rc;
}

/* A map of that time: its phone may have gone on. */
static int doubt_map(MDB_cursor *cursor, MDB_val *k, const MDB_val *v)
{
    dp_hier_state was, h;
    if (v->mv_size != sizeof(was)) {
        return mdb_cursor_del(cursor, 0);
    }
    memcpy(&was, v->mv_data, sizeof(was));
    h = (dp_hier_state){.key_hash = was.key_hash,
                        .prev_key_hash = was.prev_key_hash,
                        .is_map_kept = was.is_map_known || was.is_map_kept};
    MDB_val value = {sizeof(h), &h};
    return mdb_cursor_put(cursor, k, &value, MDB_CURRENT);
}

/* Leave the maps, in doubt, and nothing else. */
static int leave_maps(MDB_txn *t, MDB_dbi dbi)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    int rc = mdb_cursor_open(t, dbi, &cursor);
    if (rc) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    while (!rc) {
        char kind = k.mv_size ? *(const char *)k.mv_data : 0;
        if (kind == 'h') {
            rc = doubt_map(cursor, &k, &v);
        }
        else if (kind != 'm') {
            rc = mdb_cursor_del(cursor, 0);
        }
        /* after a deletion too: the cursor stands before the next one */
        rc = rc ? rc : mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int take_maps(MDB_env *env, MDB_dbi dbi, const uint8_t boot[16])
{
    MDB_txn *t;
    dp_store_version v;
    int rc = mdb_txn_begin(env, NULL, 0, &t);
    if (rc) {
        return rc;
    }
    rc = dp_lmdb_version_get(t, dbi, &v);
    if (!rc && v.layout != dp_store_layout) {
        rc = MDB_VERSION_MISMATCH;
    }
    rc = rc ? rc : leave_maps(t, dbi);
    return dp_lmdb_end_as_ours(env, t, dbi, boot, rc);
}

int dp_lmdb_checkpoint_open(MDB_env **out, MDB_dbi *dbi, const char *dir,
                            uint64_t map_bytes, unsigned readers_max,
                            const uint8_t boot[16])
{
    char path[4096], data[4096];
    dp_lmdb_path(path, sizeof(path), dir, NAME);
    dp_lmdb_path(data, sizeof(data), dir, "data.mdb");
    if (rename(path, data)) {
        return errno;
    }
    int rc = dp_lmdb_env_open(out, dbi, dir, map_bytes, readers_max);
    if (rc) {
        return rc;
    }
    rc = take_maps(*out, *dbi, boot);
    if (rc) {
        mdb_env_close(*out);
    }
    return rc;
}
