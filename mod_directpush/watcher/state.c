#include "watcher/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus_map.h"
#include "watcher/log.h"
#include "watcher/state_record.h"

#define SEQ_NAME     "seq"
#define CURSORS_NAME "cursors.mdb"

/* Some hours of the heaviest traffic; a restart skips at most that much of a
 * 64-bit number, and one fsync per million changes costs nothing. */
#define LEASE ((uint64_t)1 << 20)

/* Address space only. 2^24 topics of 300 bytes do not fit in less. */
#define CURSORS_MAP_SIZE ((size_t)8 << 30)

struct dp_state {
    char *dir;
    char boot[33];
    uint64_t instance;
    uint64_t ceiling;
    MDB_env *env; /* NULL: does without */
    MDB_dbi dbi;
    MDB_txn *txn; /* the coalesced writes, or NULL */
    dp_log_cause seq_trouble;
    dp_log_cause cursor_trouble;
};

static void path_of(const dp_state *st, const char *name, char *out,
                    size_t cap)
{
    snprintf(out, cap, "%s/%s", st->dir, name);
}

static void read_boot(char out[33])
{
    uint8_t id[16] = {0};
    dp_bus_boot_id(id);
    for (int i = 0; i < 16; i++) {
        snprintf(out + 2 * i, 3, "%02x", id[i]);
    }
}

static void read_seq(dp_state *st)
{
    char path[4096], boot[33] = "";
    uint64_t instance = 0, ceiling = 0;
    path_of(st, SEQ_NAME, path, sizeof(path));
    FILE *f = fopen(path, "re");
    if (!f) {
        return;
    }
    int n = fscanf(f, "directpushd 1 instance %" SCNu64 " ceiling %" SCNu64
                      " boot %32s end",
                   &instance, &ceiling, boot);
    fclose(f);
    if (n == 3 && strcmp(boot, st->boot) == 0) {
        st->instance = instance;
        st->ceiling = ceiling;
    }
}

dp_state *dp_state_open(const char *dir)
{
    dp_state *st = calloc(1, sizeof(*st));
    DP_ASSERT(st);
    st->dir = strdup(dir);
    DP_ASSERT(st->dir);
    read_boot(st->boot);
    read_seq(st);
    return st;
}

static void close_cursors(dp_state *st)
{
    if (st->txn) {
        mdb_txn_abort(st->txn);
        st->txn = NULL;
    }
    if (st->env) {
        mdb_env_close(st->env);
        st->env = NULL;
    }
}

void dp_state_close(dp_state **pst)
{
    if (*pst) {
        dp_state_commit(*pst);
        close_cursors(*pst);
        free((*pst)->dir);
        free(*pst);
        *pst = NULL;
    }
}

uint64_t dp_state_instance(const dp_state *st)
{
    return st->instance;
}

uint64_t dp_state_ceiling(const dp_state *st)
{
    return st->ceiling;
}

static int write_all(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    size_t n = strlen(text);
    ssize_t got = write(fd, text, n);
    int err = got == (ssize_t)n ? 0 : got < 0 ? errno : ENOSPC;
    if (!err && fsync(fd) != 0) {
        err = errno;
    }
    close(fd);
    return err;
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

/* Replace `seq` so that a crash leaves the old one or the new one. */
static int write_seq(dp_state *st, uint64_t ceiling)
{
    char path[4096], temp[4096], text[256];
    path_of(st, SEQ_NAME, path, sizeof(path));
    path_of(st, SEQ_NAME ".new", temp, sizeof(temp));
    snprintf(text, sizeof(text),
             "directpushd 1\ninstance %" PRIu64 "\nceiling %" PRIu64
             "\nboot %s\nend\n",
             st->instance, ceiling, st->boot);
    int err = write_all(temp, text);
    if (!err && rename(temp, path) != 0) {
        err = errno;
    }
    if (!err) {
        err = sync_dir(st->dir);
    }
    if (err) {
        unlink(temp);
        /* A ceiling that does not hold is worse than none: without the file
         * the next start begins a new instance. */
        unlink(path);
    }
    return err;
}

void dp_state_lease(dp_state *st, uint64_t head)
{
    if (head + LEASE / 2 <= st->ceiling) {
        return;
    }
    uint64_t ceiling = head + LEASE;
    int err = write_seq(st, ceiling);
    if (err && dp_log_first(&st->seq_trouble)) {
        dp_log(DP_LOG_ERROR,
               "%s/%s: %s; give directpushd room and permission there. Until "
               "then a restart makes every device sync once",
               st->dir, SEQ_NAME, strerror(err));
    }
    if (!err) {
        dp_log_over(&st->seq_trouble);
    }
    st->ceiling = ceiling; /* also then: ask again half a lease later */
}

static void cursor_trouble(dp_state *st, int rv)
{
    if (dp_log_first(&st->cursor_trouble)) {
        dp_log(DP_LOG_ERROR,
               "%s/%s: %s; give directpushd room and permission there. Until "
               "then a restart makes devices sync once",
               st->dir, CURSORS_NAME, mdb_strerror(rv));
    }
}

static int open_cursors(dp_state *st)
{
    char path[4096];
    MDB_txn *txn;
    path_of(st, CURSORS_NAME, path, sizeof(path));
    int rv = mdb_env_create(&st->env);
    if (rv) {
        st->env = NULL;
        return rv;
    }
    mdb_env_set_mapsize(st->env, CURSORS_MAP_SIZE);
    /* one process, one thread, and its lock file is our own */
    rv = mdb_env_open(st->env, path,
                      MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOLOCK | MDB_NOTLS, 0600);
    if (!rv) {
        rv = mdb_txn_begin(st->env, NULL, 0, &txn);
    }
    if (!rv) {
        rv = mdb_dbi_open(txn, NULL, 0, &st->dbi);
        if (rv) {
            mdb_txn_abort(txn);
        }
        else {
            rv = mdb_txn_commit(txn);
        }
    }
    return rv;
}

void dp_state_begin(dp_state *st, uint64_t instance, uint64_t head)
{
    char path[4096];
    bool is_other = st->instance != instance;
    if (is_other) {
        path_of(st, CURSORS_NAME, path, sizeof(path));
        unlink(path);
        st->ceiling = 0;
    }
    st->instance = instance;
    int rv = open_cursors(st);
    if (rv) {
        cursor_trouble(st, rv);
        close_cursors(st);
    }
    dp_state_lease(st, head);
}

static bool have_txn(dp_state *st)
{
    if (st->env && !st->txn) {
        int rv = mdb_txn_begin(st->env, NULL, 0, &st->txn);
        if (rv) {
            cursor_trouble(st, rv);
            st->txn = NULL;
        }
    }
    return st->txn != NULL;
}

static MDB_val key_of(const dp_want *want)
{
    return (MDB_val){sizeof(want->by_key.key),
                     (void *)(uintptr_t)&want->by_key.key};
}

void dp_state_put(dp_state *st, const dp_want *want, uint64_t changed)
{
    char *bytes;
    if (!have_txn(st)) {
        return;
    }
    MDB_val key = key_of(want);
    MDB_val value = {dp_state_pack(want, changed, &bytes), NULL};
    value.mv_data = bytes;
    int rv = mdb_put(st->txn, st->dbi, &key, &value, 0);
    free(bytes);
    if (rv) {
        cursor_trouble(st, rv);
        mdb_txn_abort(st->txn);
        st->txn = NULL;
    }
}

void dp_state_del(dp_state *st, const dp_want *want)
{
    if (have_txn(st)) {
        MDB_val key = key_of(want);
        mdb_del(st->txn, st->dbi, &key, NULL);
    }
}

void dp_state_commit(dp_state *st)
{
    if (st->txn) {
        int rv = mdb_txn_commit(st->txn);
        st->txn = NULL;
        if (rv) {
            cursor_trouble(st, rv);
        }
        else {
            dp_log_over(&st->cursor_trouble);
        }
    }
}

void dp_state_each(dp_state *st,
                   void (*each)(void *ctx, const dp_state_record *record),
                   void *ctx)
{
    MDB_cursor *cursor;
    MDB_txn *txn;
    MDB_val key, value;
    dp_state_record record;
    if (!st->env || mdb_txn_begin(st->env, NULL, MDB_RDONLY, &txn) != 0) {
        return;
    }
    if (mdb_cursor_open(txn, st->dbi, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            if (dp_state_unpack(value.mv_data, value.mv_size, &record)) {
                each(ctx, &record);
            }
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
}
