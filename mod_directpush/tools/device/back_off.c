#include "tools/device/back_off.h"

/* A Retry-After beyond this is a mistake of the server, or of its clock. */
#define RETRY_AFTER_MAX_US (3600 * DP_SECOND_US)

void dp_back_off_init(dp_back_off *b, dp_time_us first_us, dp_time_us max_us,
                      uint64_t seed)
{
    *b = (dp_back_off){.first_us = first_us,
                       .max_us = max_us,
                       .seed = seed ? seed : 0x9E3779B97F4A7C15};
}

/* xorshift64: spreading phones needs no better randomness. */
static uint64_t draw(dp_back_off *b, uint64_t below)
{
    b->seed ^= b->seed << 13;
    b->seed ^= b->seed >> 7;
    b->seed ^= b->seed << 17;
    return below ? b->seed % below : 0;
}

dp_time_us dp_back_off_next(dp_back_off *b, dp_time_us at_least_us)
{
    dp_time_us whole = b->first_us;
    for (unsigned i = 0; i < b->failures && whole < b->max_us; i++) {
        whole *= 2;
    }
    if (whole > b->max_us) {
        whole = b->max_us;
    }
    b->failures++;
    dp_time_us half = whole / 2;
    dp_time_us delay = half + (dp_time_us)draw(b, (uint64_t)(whole - half) + 1);
    if (at_least_us > RETRY_AFTER_MAX_US) {
        at_least_us = RETRY_AFTER_MAX_US;
    }
    if (delay < at_least_us) {
        /* A tenth of it spreads those who were told the same second. */
        delay =
            at_least_us + (dp_time_us)draw(b, (uint64_t)at_least_us / 10 + 1);
    }
    return delay;
}

void dp_back_off_reset(dp_back_off *b)
{
    b->failures = 0;
}
