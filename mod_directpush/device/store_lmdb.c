/* store_lmdb: the store on disk: one LMDB environment of all children.
 *
 * Durability is not asked for (MDB_NOSYNC, MDB_NOMETASYNC): a crashed child
 * loses nothing, since what it committed is in the page cache; a crashed
 * machine may leave rubbish, and then record `v` says so and all is dropped
 * (store_open.c). No WRITEMAP: a stray pointer can't damage it, and a full
 * disk is an error of a write, not a signal.
 *
 * Any thread (MDB_NOTLS); a transaction stays with the thread that began it.
 */
#include "device/store_lmdb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "device/coll_state.h"
#include "device/folder_map.h"
#include "device/store_use.h"

struct dp_store_txn {
    dp_lmdb *store;
    MDB_txn *txn;
    bool is_write;
    bool was_clean; /* the first write since a clean stop */
};

/* Raise the 1 when the meaning of a record changes, not only its size. */
const uint32_t dp_store_layout =
    2u << 24 ^ (uint32_t)sizeof(dp_coll_state) << 12
    ^ (uint32_t)sizeof(dp_hier_state);

enum cause { CAUSE_FULL, CAUSE_EMPTIED, CAUSE_READERS, CAUSE_OTHER,
             CAUSE_LAYOUT };

static void tell_once(dp_lmdb *s, enum cause cause, const char *what)
{
    unsigned bit = 1u << cause;
    if (!(atomic_fetch_or_explicit(&s->told, bit, memory_order_relaxed)
          & bit)) {
        char line[512];
        snprintf(line, sizeof(line), "device store %s: %s", s->dir, what);
        dp_store_say(line);
    }
}

static apr_status_t status_of(dp_lmdb *s, int rc)
{
    char line[256];
    switch (rc) {
    case 0:
        return APR_SUCCESS;
    case MDB_NOTFOUND:
        return APR_NOTFOUND;
    case MDB_BAD_VALSIZE:
        return APR_EINVAL;
    case MDB_MAP_FULL:
        tell_once(s, CAUSE_FULL, "full; what can't be stored counts as not "
                                 "known, and costs a phone one Sync");
        return APR_ENOSPC;
    case MDB_READERS_FULL:
        tell_once(s, CAUSE_READERS, "more readers than it has slots for; "
                                    "stop httpd once to make it anew");
        return APR_EAGAIN;
    default:
        snprintf(line, sizeof(line),
                 "%s; what can't be read or stored counts as not known, and "
                 "costs a phone one Sync", mdb_strerror(rc));
        tell_once(s, CAUSE_OTHER, line);
        return rc > 0 ? rc : APR_EGENERAL;
    }
}

static dp_lmdb *lmdb_of(dp_store *s)
{
    dp_lmdb *l = (dp_lmdb *)s;
    DP_MAGIC_CHECK(l, DP_LMDB_MAGIC);
    return l;
}

static MDB_val val_of(dp_span s)
{
    return (MDB_val){s.n, (void *)(uintptr_t)s.p};
}

static MDB_val version_key(void)
{
    static char name[] = "v";
    return (MDB_val){1, name};
}

int dp_lmdb_version_get(MDB_txn *t, MDB_dbi dbi, dp_store_version *out)
{
    MDB_val key = version_key(), value;
    int rc = mdb_get(t, dbi, &key, &value);
    if (rc) {
        return rc;
    }
    if (value.mv_size != sizeof(*out)) {
        return MDB_NOTFOUND;
    }
    memcpy(out, value.mv_data, sizeof(*out));
    return 0;
}

int dp_lmdb_version_put(MDB_txn *t, MDB_dbi dbi, const dp_store_version *v)
{
    MDB_val key = version_key(), value = {sizeof(*v), (void *)(uintptr_t)v};
    return mdb_put(t, dbi, &key, &value, 0);
}

int dp_lmdb_end_as_ours(MDB_env *env, MDB_txn *t, MDB_dbi dbi,
                        const uint8_t boot[16], int rc)
{
    dp_store_version v = {.layout = dp_store_layout};
    memcpy(v.boot, boot, sizeof(v.boot));
    rc = rc ? rc : dp_lmdb_version_put(t, dbi, &v);
    rc = rc ? (mdb_txn_abort(t), rc) : mdb_txn_commit(t);
    return rc ? rc : mdb_env_sync(env, 1);
}

void dp_lmdb_path(char *buf, size_t cap, const char *dir, const char *name)
{
    snprintf(buf, cap, "%s/%s", dir, name);
}

/* The pages that records take, freed ones not counted. */
static uint64_t used_bytes(dp_lmdb *s, MDB_txn *t)
{
    MDB_stat stat;
    if (mdb_stat(t, s->dbi, &stat)) {
        return 0;
    }
    return (uint64_t)s->page * (stat.ms_branch_pages + stat.ms_leaf_pages
                                + stat.ms_overflow_pages);
}

/* Before the first write of a transaction: is the store still ours to write?
 * A full one is emptied while there is room to do so: a store that no longer
 * takes what changes would go on telling what was. */
static int begin_to_write(dp_lmdb *s, dp_store_txn *t)
{
    dp_store_version v;
    int rc = dp_lmdb_version_get(t->txn, s->dbi, &v);
    if (rc || v.layout != dp_store_layout) {
        tell_once(s, CAUSE_LAYOUT, "now of another version of the module; "
                                   "this process no longer writes to it");
        return MDB_VERSION_MISMATCH;
    }
    bool is_full = used_bytes(s, t->txn) > s->full_bytes;
    if (is_full) {
        tell_once(s, CAUSE_EMPTIED, "reached its size and was emptied; every "
                                    "phone pays one Sync");
        rc = mdb_drop(t->txn, s->dbi, 0);
    }
    if (!rc && (is_full || v.is_clean)) {
        t->was_clean = v.is_clean;
        v.is_clean = 0;
        rc = dp_lmdb_version_put(t->txn, s->dbi, &v);
    }
    return rc;
}

static apr_status_t lmdb_begin(dp_store *base, bool is_write,
                               dp_store_txn **out)
{
    dp_lmdb *s = lmdb_of(base);
    dp_store_txn *t = calloc(1, sizeof(*t));
    DP_ASSERT(t);
    *out = NULL;
    *t = (dp_store_txn){.store = s, .is_write = is_write};
    int rc = mdb_txn_begin(s->env, NULL, is_write ? 0 : MDB_RDONLY, &t->txn);
    if (rc == MDB_READERS_FULL) { /* slots of killed children, perhaps */
        int dead = 0;
        mdb_reader_check(s->env, &dead);
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &t->txn);
    }
    if (!rc && is_write) {
        rc = begin_to_write(s, t);
        if (rc) {
            mdb_txn_abort(t->txn);
        }
    }
    if (rc) {
        free(t);
        return rc == MDB_VERSION_MISMATCH ? APR_EGENERAL : status_of(s, rc);
    }
    *out = t;
    return APR_SUCCESS;
}

static apr_status_t lmdb_get(dp_store_txn *t, dp_span key, dp_span *out)
{
    MDB_val k = val_of(key), v;
    int rc = mdb_get(t->txn, t->store->dbi, &k, &v);
    *out = rc ? dp_span_of(NULL, 0) : dp_span_of(v.mv_data, v.mv_size);
    return status_of(t->store, rc);
}

static apr_status_t lmdb_put(dp_store_txn *t, dp_span key, dp_span value)
{
    MDB_val k = val_of(key), v = val_of(value);
    return t->is_write
               ? status_of(t->store, mdb_put(t->txn, t->store->dbi, &k, &v, 0))
               : APR_EINVAL;
}

static apr_status_t lmdb_del(dp_store_txn *t, dp_span key)
{
    MDB_val k = val_of(key);
    return t->is_write
               ? status_of(t->store, mdb_del(t->txn, t->store->dbi, &k, NULL))
               : APR_EINVAL;
}

static apr_status_t lmdb_scan(dp_store_txn *t, dp_span prefix,
                              bool (*each)(void *ctx, dp_span key,
                                           dp_span value),
                              void *ctx)
{
    MDB_cursor *cursor;
    MDB_val k = val_of(prefix), v;
    int rc = mdb_cursor_open(t->txn, t->store->dbi, &cursor);
    if (rc) {
        return status_of(t->store, rc);
    }
    rc = mdb_cursor_get(cursor, &k, &v, prefix.n ? MDB_SET_RANGE : MDB_FIRST);
    while (!rc && k.mv_size >= prefix.n
           && (!prefix.n || memcmp(k.mv_data, prefix.p, prefix.n) == 0)
           && each(ctx, dp_span_of(k.mv_data, k.mv_size),
                   dp_span_of(v.mv_data, v.mv_size))) {
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? APR_SUCCESS : status_of(t->store, rc);
}

static apr_status_t lmdb_commit(dp_store_txn **tp)
{
    dp_store_txn *t = *tp;
    *tp = NULL;
    int rc = 0;
    if (t->is_write) {
        rc = mdb_txn_commit(t->txn);
        if (!rc && t->was_clean) { /* "not clean" must reach the disk before
                                      pages that it does not describe do */
            mdb_env_sync(t->store->env, 1);
        }
    }
    else {
        mdb_txn_abort(t->txn);
    }
    apr_status_t rv = status_of(t->store, rc);
    free(t);
    return rv;
}

static void lmdb_abort(dp_store_txn **tp)
{
    if (*tp) {
        mdb_txn_abort((*tp)->txn);
        free(*tp);
        *tp = NULL;
    }
}

/* All pages first, then the word that they are there. Others wait meanwhile:
 * we hold the one write transaction. */
static void say_clean(dp_lmdb *s)
{
    MDB_txn *t;
    dp_store_version v;
    if (mdb_txn_begin(s->env, NULL, 0, &t)) {
        return;
    }
    if (mdb_env_sync(s->env, 1) || dp_lmdb_version_get(t, s->dbi, &v)
        || v.layout != dp_store_layout || v.is_clean) {
        mdb_txn_abort(t);
        return;
    }
    v.is_clean = 1;
    if (dp_lmdb_version_put(t, s->dbi, &v)) {
        mdb_txn_abort(t);
        return;
    }
    if (!mdb_txn_commit(t)) {
        mdb_env_sync(s->env, 1);
    }
}

static void lmdb_close(dp_store *base, bool is_clean)
{
    dp_lmdb *s = lmdb_of(base);
    if (is_clean) {
        say_clean(s);
    }
    mdb_env_close(s->env);
    s->magic = 0;
    free(s);
}

static const dp_store_ops lmdb_ops = {
    .name = "lmdb",
    .begin = lmdb_begin,
    .get = lmdb_get,
    .put = lmdb_put,
    .del = lmdb_del,
    .scan = lmdb_scan,
    .commit = lmdb_commit,
    .abort = lmdb_abort,
    .close = lmdb_close,
};

dp_store *dp_lmdb_make(MDB_env *env, MDB_dbi dbi, const char *dir,
                       uint64_t full_bytes)
{
    size_t n = strlen(dir) + 1;
    dp_lmdb *s = malloc(sizeof(*s) + n);
    MDB_stat stat;
    DP_ASSERT(s);
    *s = (dp_lmdb){.base = {&lmdb_ops}, .magic = DP_LMDB_MAGIC, .env = env,
                   .dbi = dbi, .full_bytes = full_bytes};
    s->page = mdb_env_stat(env, &stat) ? 4096 : stat.ms_psize;
    memcpy(s->dir, dir, n);
    return &s->base;
}
