#include "base/dp_clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t faked_us;

static dp_time_us read_clock(clockid_t id)
{
    int64_t fake = atomic_load_explicit(&faked_us, memory_order_relaxed);
    if (fake) {
        return fake;
    }
    struct timespec t;
    clock_gettime(id, &t);
    return (dp_time_us)t.tv_sec * DP_SECOND_US + t.tv_nsec / 1000;
}

dp_time_us dp_clock_mono_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

dp_time_us dp_clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

void dp_clock_fake(dp_time_us mono_us)
{
    atomic_store_explicit(&faked_us, mono_us, memory_order_relaxed);
}
