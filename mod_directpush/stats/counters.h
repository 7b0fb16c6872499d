/* counters: what we count, per process, in memory that all children share.
 *
 * The parent makes one block of slots before it forks; a child claims a slot
 * and counts in it alone; readers sum. A slot of a process that is gone keeps
 * its counts, and its gauges count as 0. Any thread of the child may add.
 */
#ifndef COUNTERS_H
#define COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dp_counter {
#define DP_COUNTER(name, kind, help) DP_COUNT_##name,
#include "stats/counters.def"
#undef DP_COUNTER
    DP_COUNTERS_N
} dp_counter;

typedef enum dp_counter_kind {
    DP_COUNTER_COUNT,
    DP_COUNTER_GAUGE
} dp_counter_kind;

typedef struct dp_counter_slot {
    _Atomic int32_t pid; /* 0: free */
    _Atomic int64_t value[DP_COUNTERS_N];
} dp_counter_slot;

typedef struct dp_counters {
    size_t slots_n;
    dp_counter_slot slot[];
} dp_counters;

/** Bytes of a block of `slots_n` slots. */
size_t dp_counters_size(size_t slots_n);

/** Make zeroed memory a block. */
void dp_counters_init(dp_counters *block, size_t slots_n);

/** Claim a slot for this process; one whose process is gone is taken over
 *  (its counts go on, its gauges begin at 0). NULL: all are in use. */
dp_counter_slot *dp_counters_claim(dp_counters *block);

/** Sum of one counter over all slots. */
int64_t dp_counters_sum(dp_counters *block, dp_counter c);

/** Is it below `bound`? Who is gone is looked for only if that matters: cheap
 *  where dp_counters_sum() is a system call for each slot. */
bool dp_counters_is_below(dp_counters *block, dp_counter c, int64_t bound);

const char *dp_counter_name(dp_counter c);
const char *dp_counter_help(dp_counter c);
dp_counter_kind dp_counter_kind_of(dp_counter c);

/** Add to a counter of this process; `slot` may be NULL (nothing counted). */
static inline void dp_count(dp_counter_slot *slot, dp_counter c, int64_t by)
{
    if (slot) {
        atomic_fetch_add_explicit(&slot->value[c], by, memory_order_relaxed);
    }
}

#endif
