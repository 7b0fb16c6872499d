/* device: who is talking: realm, login, mailbox user, DeviceId.
 *
 * The login is the authenticated one as it came, folded to lower case, never
 * the `User` parameter; the mailbox user is what DirectPushUser made of it.
 * State of a device is stored under (realm, login, DeviceId); topics belong to
 * the mailbox user. Pure.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "base/dp_clock.h"
#include "base/dp_hash.h"
#include "base/dp_mutant.h"
#include "base/dp_span.h"

typedef struct dp_who {
    dp_span realm;
    dp_span login;  /* lower case */
    dp_span user;   /* mailbox user, of topics */
    dp_span device; /* normalised DeviceId */
} dp_who;

/* What came down, shortly after it had changed, need not be what had changed:
 * the backend may have been late with one, and have sent another. Of new items
 * that is known; of flags and deletions it may be but likely. */
typedef enum dp_doubt {
    DP_DOUBT_NONE = 0,
    DP_DOUBT_LAST,  /* as many came as had changed: to be named with whatever
                       is, or after ten times DirectPushQuiet */
    DP_DOUBT_QUIET  /* not as many: to be named after DirectPushQuiet */
} dp_doubt;

/* How far a device is known to have got: a position of the bus, and how much
 * had changed up to it. */
typedef struct dp_mark {
    uint64_t instance; /* 0: no mark */
    uint64_t seq;
    uint32_t adds_1;   /* new items up to it, at most, plus one (dp_bus_view);
                          0: not known */
    uint16_t others;   /* other changes up to it, likewise */
    uint8_t doubt;     /* dp_doubt */
    uint8_t spare;
} dp_mark;

/** A mark of which no more is known. */
static inline dp_mark dp_mark_at(uint64_t instance, uint64_t seq)
{
    return (dp_mark){.instance = instance, .seq = seq};
}

/** The seq of `m` if it is a mark of this bus: same instance, not above
 *  head; else 0, which no topic is clean at. */
static inline uint64_t dp_mark_seq(dp_mark m, uint64_t instance, uint64_t head)
{
    bool is_of_bus = m.instance == instance || DP_MUTANT(other_instance);
    bool is_told = m.seq <= head || DP_MUTANT(mark_above_head);
    return is_of_bus && is_told ? m.seq : 0;
}

/** Hash of (realm, login, DeviceId) under a bus's key: what `ping` journals. */
dp_hash dp_who_hash(const uint8_t *hash_key, const dp_who *who);

#endif
