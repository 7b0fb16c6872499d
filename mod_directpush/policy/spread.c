#include "policy/spread.h"

#include <stdlib.h>

/* xorshift64*, one state per thread, seeded from the clock and the stack. */
static uint64_t next_random(void)
{
    static _Thread_local uint64_t x;
    if (!x) {
        uint64_t here = (uint64_t)(uintptr_t)&x << 16;
        x = ((uint64_t)dp_clock_mono_us() ^ here) | 1;
    }
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return x * 0x2545F4914F6CDD1Dull;
}

dp_time_us dp_spread_random_us(dp_time_us span_us)
{
    return span_us > 0
               ? (dp_time_us)((next_random() >> 1) % (uint64_t)span_us)
               : 0;
}

dp_time_us dp_spread_jitter_us(dp_time_us span_us)
{
    dp_time_us part = span_us / 8;
    return span_us - part + dp_spread_random_us(2 * part + 1);
}

dp_time_us dp_spread_reserve(dp_spread_rate *rate, uint32_t per_second,
                             dp_time_us now_us, dp_time_us patience_us)
{
    if (!per_second) {
        return 0;
    }
    dp_time_us step = DP_SECOND_US / per_second;
    /* relaxed: the word stands for itself, nothing is published with it */
    int64_t next = atomic_load_explicit(&rate->next_us, memory_order_relaxed);
    for (;;) {
        int64_t floor = now_us - (DP_SPREAD_BURST - 1) * step;
        int64_t slot = next > floor ? next : floor;
        if (slot - now_us > patience_us) {
            return 0;
        }
        if (atomic_compare_exchange_weak_explicit(
                &rate->next_us, &next, slot + step, memory_order_relaxed,
                memory_order_relaxed)) {
            return slot > now_us ? slot : now_us;
        }
    }
}
