/* share: how many of a child's held Pings are one user's, at least.
 *
 * The backend lets a user invent as many DeviceIds as he likes, and each can
 * wait for an hour: without a bound one login takes the room of all others.
 * Two counts for each user, by hashes that he can't foresee. Others may be
 * counted with him in one of them, hardly anybody in both; so what is said is
 * never too little, and too much by a few. The set's lock writes, any thread
 * may read.
 */
#ifndef SHARE_H
#define SHARE_H

#include <stdatomic.h>

#include "device/device.h"

/* A child of 20,000 phones has five in each place, on average. */
#define DP_SHARE_PLACES 4096

typedef struct dp_share {
    _Atomic uint32_t n[2][DP_SHARE_PLACES];
} dp_share;

/** One Ping of this user more (1) or less (-1). */
void dp_share_add(dp_share *share, const dp_who *who, int by);

/** How many are his: the mailbox user's of this realm, or without one the
 *  login's. */
uint32_t dp_share_of(const dp_share *share, const dp_who *who);

#endif
