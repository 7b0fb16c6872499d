/* ping_params: heartbeat and folder list, remembered per device.
 *
 * [MS-ASCMD] 2.2.1.13: what a Ping leaves out counts as before. Newest wins,
 * by arrival number (dp_clock_mono_us() of the request's arrival; in a tie the
 * later writer).
 */
#ifndef PING_PARAMS_H
#define PING_PARAMS_H

#include "device/device.h"
#include "device/device_store.h"
#include "wire/eas_ping.h"

typedef struct dp_ping_params {
    uint32_t heartbeat_s;    /* 0: not known */
    uint64_t arrival;        /* of the Ping that they came with */
    size_t folders_n;        /* 0: not known */
    dp_ping_folder *folders; /* spans into `bytes` */
    unsigned char *bytes;
} dp_ping_params;

/** Read into malloc'ed memory, given back by dp_ping_params_free().
 *  @return false when nothing is known; *out is zeroed then */
bool dp_ping_params_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                        dp_ping_params *out);
void dp_ping_params_free(dp_ping_params *p);

/** Write, unless newer ones are there already. */
apr_status_t dp_ping_params_put(dp_store *s, dp_store_txn *t,
                                const dp_who *who, const dp_ping_params *p);

/** Forget them, unless newer ones are there: a Ping that leaves something out
 *  is asked for it. */
apr_status_t dp_ping_params_del(dp_store *s, dp_store_txn *t,
                                const dp_who *who, uint64_t arrival);

/** Do both ask for the same? When they did so does not matter. */
bool dp_ping_params_are_same(const dp_ping_params *a, const dp_ping_params *b);

#endif
