#include "policy/heartbeat.h"

uint32_t dp_heartbeat_clamp(uint32_t heartbeat_s, uint32_t min_s,
                            uint32_t max_s)
{
    if (heartbeat_s < min_s) {
        return min_s;
    }
    return heartbeat_s > max_s ? max_s : heartbeat_s;
}

dp_time_us dp_heartbeat_hold_us(uint32_t heartbeat_s)
{
    dp_time_us whole = heartbeat_s * DP_SECOND_US;
    dp_time_us early = whole / 30;
    if (early > 2 * DP_SECOND_US) {
        early = 2 * DP_SECOND_US;
    }
    return whole - early;
}
