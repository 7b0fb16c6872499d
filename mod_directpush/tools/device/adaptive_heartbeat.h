/* adaptive_heartbeat: the heartbeat that a phone asks for, learnt by trying.
 *
 * Longer by a step after each Ping that was held to its end, shorter after a
 * connection that died meanwhile, as AOSP and Windows Mobile do it
 * (eas-protocol 6.1, 6.2, 6.4). Pure; one phone, one thread.
 */
#ifndef ADAPTIVE_HEARTBEAT_H
#define ADAPTIVE_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dp_adaptive_heartbeat {
    uint32_t now_s; /* min_s <= now_s <= max_s */
    uint32_t min_s, max_s;
    uint32_t step_s;
    uint32_t good_s;    /* longest that was held to its end; 0 none */
    uint32_t ceiling_s; /* a Ping of this length was lost; 0 none */
    uint32_t held_n;    /* in a row, at the length it stopped growing */
} dp_adaptive_heartbeat;

/** @param start_s brought within the bounds */
void dp_adaptive_init(dp_adaptive_heartbeat *h, uint32_t start_s,
                      uint32_t min_s, uint32_t max_s, uint32_t step_s);

/** Status 1: the Ping was held to its end. */
void dp_adaptive_held(dp_adaptive_heartbeat *h);

/** The connection was lost, or no answer came, while the Ping was held. */
void dp_adaptive_lost(dp_adaptive_heartbeat *h);

/** Status 5: the server's nearest bound, taken over unchecked as phones do.
 *  @return false when it changes nothing, so that asking again would loop */
bool dp_adaptive_told(dp_adaptive_heartbeat *h, uint32_t bound_s);

#endif
