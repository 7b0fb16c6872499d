/* proof: the backend accepted exactly this Authorization of this device,
 * recently.
 *
 * Stored as a keyed hash per (realm, login, device); the key is made by the
 * parent before fork, survives graceful restarts in its memory, and never
 * touches a disk. Credentials are never stored (design.md 6.5).
 *
 * Of the device, since who tries passwords over Ping would see a right one
 * held: with a DeviceId of his own each of them is the backend's to judge, and
 * counts for its lock-out.
 */
#ifndef PROOF_H
#define PROOF_H

#include "device/device.h"
#include "device/device_store.h"

typedef enum dp_proof {
    DP_PROOF_NONE,    /* never, or removed */
    DP_PROOF_EXPIRED, /* this very Authorization, but too long ago */
    DP_PROOF_GOOD
} dp_proof;

/** @param out_until_us mono time at which it expires (GOOD) */
dp_proof dp_proof_get(dp_store *s, dp_store_txn *t, const uint8_t *proof_key,
                      const dp_who *who, dp_span authorization,
                      dp_time_us trust_us, dp_time_us now_us,
                      dp_time_us *out_until_us);
apr_status_t dp_proof_put(dp_store *s, dp_store_txn *t,
                          const uint8_t *proof_key, const dp_who *who,
                          dp_span authorization, dp_time_us now_us);
apr_status_t dp_proof_del(dp_store *s, dp_store_txn *t,
                          const uint8_t *proof_key, const dp_who *who,
                          dp_span authorization);
/** All proofs of a login or mailbox user, in every realm; `device` empty: of
 *  all devices. The administrator's `forget`. */
apr_status_t dp_proof_forget(dp_store *s, dp_span user);
/** The same for a user known by hash only (as journalled): each stored login
 *  is asked. */
apr_status_t dp_proof_forget_if(dp_store *s,
                                bool (*is_him)(void *ctx, dp_span login),
                                void *ctx);

/** Refused: 449, wipe or block answered to a request that had proof. */
bool dp_refused_get(dp_store *s, dp_store_txn *t, const dp_who *who);
apr_status_t dp_refused_set(dp_store *s, dp_store_txn *t, const dp_who *who,
                            bool is_refused);

#endif
