/* last_sync: the collections of a device's last full Sync request.
 *
 * A Sync request without a body repeats it ([MS-ASCMD] 2.2.1.21.1), and only
 * from here is known what an empty answer to it means. Unknown after a gap:
 * then nothing is concluded.
 */
#ifndef LAST_SYNC_H
#define LAST_SYNC_H

#include "device/device.h"
#include "device/device_store.h"
#include "wire/eas_ping.h"

/* More collections in one Sync than that: nothing is concluded from it. The
 * specification's Limit (status 15) of real backends is below 200. */
#define DP_LAST_SYNC_MAX 512

typedef struct dp_last_sync_entry {
    char id[DP_COLLECTION_ID_MAX];
    uint16_t id_n;
    uint8_t wants_changes;
    uint8_t key_is_zero;
    uint32_t class_id;  /* dp_class, as the request said */
    uint64_t key_hash;  /* dp_sync_key_hash() of its SyncKey */
} dp_last_sync_entry;

/** Read into malloc'ed memory. @return false when nothing is known */
bool dp_last_sync_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                      dp_last_sync_entry **out, size_t *out_n);

/** Write; n == 0, or too many: forget. Nothing is written when nothing would
 *  change. */
apr_status_t dp_last_sync_put(dp_store *s, dp_store_txn *t, const dp_who *who,
                              const dp_last_sync_entry *list, size_t n);

#endif
