/* dp_hash: keyed 128-bit hash of a few byte strings.
 *
 * Two SipHash-2-4 of APR-util under two keys. Strings are joined with their
 * lengths, so ("ab","c") and ("a","bc") differ. Pure; any thread.
 */
#ifndef DP_HASH_H
#define DP_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"

#define DP_HASH_KEY_SIZE 32 /* two SipHash keys of 16 bytes */

typedef struct dp_hash {
    uint64_t w[2];
} dp_hash;

/** Hash `n` spans under `key` (DP_HASH_KEY_SIZE bytes). Never all zero. */
dp_hash dp_hash_spans(const uint8_t *key, const dp_span *spans, size_t n);

/** A key of this process, random and told to nobody: for tables whose names
 *  strangers choose. Any thread. */
const uint8_t *dp_hash_own_key(void);

static inline bool dp_hash_is(dp_hash a, dp_hash b)
{
    return a.w[0] == b.w[0] && a.w[1] == b.w[1];
}

#endif
