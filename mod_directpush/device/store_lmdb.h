/* store_lmdb: what the files of the LMDB store share. Private to device/.
 *
 * store_lmdb.c is the table of functions, store_open.c finds out whether what
 * lies in the directory can be used, and makes it anew when not,
 * store_checkpoint.c from what was left for that.
 */
#ifndef STORE_LMDB_H
#define STORE_LMDB_H

#include <lmdb.h>
#include <stdatomic.h>

#include "device/device_store.h"

/* Record `v`. Times and marks are of one boot, so the boot is part of it. */
typedef struct dp_store_version {
    uint32_t layout;   /* DP_STORE_LAYOUT; sizes of the records are in it */
    uint32_t is_clean; /* all is on the disk, and nothing was written since */
    uint8_t boot[16];
} dp_store_version;

#define DP_LMDB_MAGIC 0x44504c4du /* "DPLM" */

typedef struct dp_lmdb {
    dp_store base; /* first: the interface */
    uint32_t magic;
    MDB_env *env;
    MDB_dbi dbi;
    uint32_t page;      /* bytes */
    uint64_t full_bytes; /* records reach this: the store is emptied */
    _Atomic unsigned told; /* causes that were told to the administrator */
    char dir[];
} dp_lmdb;

extern const uint32_t dp_store_layout;

/** Open the environment in `dir` and its one database.
 *  @return 0, MDB_CORRUPTED when the file is shorter than it says, or as
 *          mdb_env_open(); nothing is open then */
int dp_lmdb_env_open(MDB_env **out, MDB_dbi *dbi, const char *dir,
                     uint64_t map_bytes, unsigned readers_max);

/** @return 0, MDB_NOTFOUND when absent or of another size, or trouble */
int dp_lmdb_version_get(MDB_txn *t, MDB_dbi dbi, dp_store_version *out);
int dp_lmdb_version_put(MDB_txn *t, MDB_dbi dbi, const dp_store_version *v);

/** The records are of this boot and layout, not clean: put that, commit and sync.
 *  @param rc  trouble so far: `t` is aborted then. @return it, or new trouble */
int dp_lmdb_end_as_ours(MDB_env *env, MDB_txn *t, MDB_dbi dbi,
                        const uint8_t boot[16], int rc);

/** DIR/NAME */
void dp_lmdb_path(char *buf, size_t cap, const char *dir, const char *name);

/** Make the interface of an open environment; takes it over. */
dp_store *dp_lmdb_make(MDB_env *env, MDB_dbi dbi, const char *dir,
                       uint64_t full_bytes);

/** Leave a copy in `dir` that is whole on the disk, in place of the one before.
 *  @return 0, EFBIG: too much to copy at each reload, or trouble */
int dp_lmdb_checkpoint(MDB_env *env, const char *dir);

/** Open that copy as the store, with its maps, in doubt, and nothing else; it
 *  is used up. There is no data.mdb.
 *  @return 0, ENOENT when there is none, or trouble: nothing is open then */
int dp_lmdb_checkpoint_open(MDB_env **out, MDB_dbi *dbi, const char *dir,
                            uint64_t map_bytes, unsigned readers_max,
                            const uint8_t boot[16]);

/** This boot's id. @return false without /proc */
bool dp_store_boot_id(uint8_t out[16]);

/** As dp_store_prepare() and dp_store_open(), in the boot `boot` (tests). */
apr_status_t dp_store_prepare_in(const char *dir, unsigned uid, unsigned gid,
                                 const uint8_t boot[16]);
apr_status_t dp_store_open_in(dp_store **out, const char *dir,
                              size_t map_bytes, unsigned readers_max,
                              const uint8_t boot[16], const char **out_why);

#endif
