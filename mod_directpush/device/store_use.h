/* store_use: what the record files of this folder share. Internal to device/.
 *
 * A record's functions take a transaction or NULL; with NULL they make one of
 * their own, which dp_store_leave() commits or aborts.
 */
#ifndef STORE_USE_H
#define STORE_USE_H

#include "device/device.h"
#include "device/device_store.h"

typedef struct dp_store_use {
    dp_store *store;
    dp_store_txn *txn;
    bool is_own;
} dp_store_use;

/** @return APR_SUCCESS, and `u` is to be left; else nothing is kept */
apr_status_t dp_store_enter(dp_store_use *u, dp_store *s, dp_store_txn *t,
                            bool is_write);

/** Commits an own transaction when `rv` is APR_SUCCESS, aborts it otherwise.
 *  @return rv, or what the commit said */
apr_status_t dp_store_leave(dp_store_use *u, apr_status_t rv);

apr_status_t dp_store_get(dp_store_use *u, const dp_store_key *key,
                          dp_span *out);
apr_status_t dp_store_put(dp_store_use *u, const dp_store_key *key,
                          const void *value, size_t n);
/** Absent is fine. */
apr_status_t dp_store_del(dp_store_use *u, const dp_store_key *key);

/** A record of fixed size: absent when its size is another one. */
bool dp_store_get_fixed(dp_store_use *u, const dp_store_key *key, void *out,
                        size_t n);

/** Delete each key that begins with `prefix`. */
apr_status_t dp_store_del_all(dp_store_use *u, const dp_store_key *prefix);

/** How many keys begin with `prefix`; stops counting at `most`. */
size_t dp_store_count(dp_store_use *u, const dp_store_key *prefix,
                      size_t most);

/** Key of a record of a device: kind, realm, login, device. */
void dp_store_key_of(dp_store_key *out, char kind, const dp_who *who);
/** … and of a collection: id last. An empty id gives the prefix of all. */
void dp_store_key_of_id(dp_store_key *out, char kind, const dp_who *who,
                        dp_span id);

/** Say something to the administrator, by dp_store_complain if it is set. */
void dp_store_say(const char *text);

#endif
