/* device_store: what we know of devices, as keys and values in transactions.
 *
 * Keys, each part ended by NUL, `id` last and without it:
 *
 *   c realm login device id   dp_coll_state (coll_state.h)
 *   m realm login device id   dp_folder (folder_map.h)
 *   h realm login device      dp_hier_state (folder_map.h)
 *   p realm login device      Ping parameters (ping_params.h)
 *   s realm login device      collections of the last Sync request
 *   r realm login device      refused: reached the wipe or provisioning wall
 *   a realm login hash        proof (proof.h); hash: of the Authorization
 *   v                         version of these records, boot, clean stop
 *
 *   "c" 0 "mail.example.com" 0 "alice" 0 "appl12" 0 "mail%2F6b93…"
 *
 * A table of functions, so that everything above is tested without a disk.
 * All of it may be lost at the price of one Sync per device; nothing here may
 * be *wrong*. Reads take no lock that a writer can hold; writes are short and
 * never on the keeper's thread. Several processes share one store.
 */
#ifndef DEVICE_STORE_H
#define DEVICE_STORE_H

#include <stdbool.h>

#include <apr_errno.h>

#include "base/dp_span.h"

typedef struct dp_store dp_store;
typedef struct dp_store_txn dp_store_txn;

#define DP_STORE_KEY_MAX 511 /* LMDB's; what is longer is hashed by dp_store_key */

typedef struct dp_store_key {
    unsigned char bytes[DP_STORE_KEY_MAX];
    size_t n;
} dp_store_key;

typedef struct dp_store_ops {
    const char *name;
    apr_status_t (*begin)(dp_store *s, bool is_write, dp_store_txn **out);
    /* APR_NOTFOUND when absent; *out points into the store until the end */
    apr_status_t (*get)(dp_store_txn *t, dp_span key, dp_span *out);
    apr_status_t (*put)(dp_store_txn *t, dp_span key, dp_span value);
    apr_status_t (*del)(dp_store_txn *t, dp_span key);
    /* each key with that prefix, until `each` says false */
    apr_status_t (*scan)(dp_store_txn *t, dp_span prefix,
                         bool (*each)(void *ctx, dp_span key, dp_span value),
                         void *ctx);
    apr_status_t (*commit)(dp_store_txn **t); /* read transactions too */
    void (*abort)(dp_store_txn **t);
    void (*close)(dp_store *s, bool is_clean);
} dp_store_ops;

struct dp_store {
    const dp_store_ops *ops;
};

/**
 * Open (or make) the store in `dir` for this process; after fork only.
 * A damaged or other-version store is emptied; when even that fails, a RAM
 * store that forgets on exit takes its place and *out_why says why, once.
 * @param out_why NULL-terminated text for the administrator, or NULL if fine
 */
apr_status_t dp_store_open(dp_store **out, const char *dir, size_t map_bytes,
                           unsigned readers_max, const char **out_why);

/**
 * In the parent, before any child has opened it: prepare `dir` (owner `uid`,
 * `gid`), and empty the store when the last stop was not clean and the boot
 * differs.
 */
apr_status_t dp_store_prepare(const char *dir, unsigned uid, unsigned gid);

/** A store in memory, of one process. Thread-safe; readers never wait for a
 *  writer, and see one state until they end. */
apr_status_t dp_store_ram_open(dp_store **out);

/**
 * The same as a stand-in.
 * @param entries_max bounds it; beyond, put says APR_ENOSPC
 * @param is_one_of_many others see part of the traffic: folders (`m`) are not
 *        kept, since one that was renamed elsewhere would be *wrong*; marks
 *        are at worst too old
 */
apr_status_t dp_store_ram_open_bounded(dp_store **out, size_t entries_max,
                                       bool is_one_of_many);

/** Where trouble with the store is told, once per cause and process: one line
 *  for the administrator. NULL: nowhere. Set before anything is opened. */
extern void (*dp_store_complain)(const char *text);

/**
 * Join parts to a key. A part that is too long, holds a NUL where it would end
 * the part, or looks like a hash stands as its SHA-256: keys are never
 * ambiguous. Only the last part may hold NUL. An empty last part makes the
 * prefix of all keys with those parts.
 */
void dp_store_key_make(dp_store_key *out, char kind, const dp_span *parts,
                       size_t n);


#endif
