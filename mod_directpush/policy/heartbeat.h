/* heartbeat: which heartbeats we take, and when a Ping is answered. Pure. */
#ifndef HEARTBEAT_H
#define HEARTBEAT_H

#include <stdint.h>

#include "base/dp_clock.h"

/** The nearest heartbeat within the bounds, seconds. */
uint32_t dp_heartbeat_clamp(uint32_t heartbeat_s, uint32_t min_s,
                            uint32_t max_s);

/**
 * How long a Ping may be held, microseconds: a little less than the
 * heartbeat, since clients give up about 5 s after it and the answer has to
 * travel (eas-protocol 3.4). A thirtieth, at most 2 s.
 */
dp_time_us dp_heartbeat_hold_us(uint32_t heartbeat_s);

#endif
