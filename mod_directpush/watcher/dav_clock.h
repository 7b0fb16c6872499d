/* dav_clock: what the server's clock shows, from the Date of its answers.
 *
 * A Date is a whole second: an answer alone says when it was made to within a
 * second. Of many answers the one made soonest after its second began says it
 * to within milliseconds. Pure; one per server.
 */
#ifndef DAV_CLOCK_H
#define DAV_CLOCK_H

#include "base/dp_clock.h"

typedef struct dp_dav_clock {
    /* its clock minus ours is at least that; 0: nothing is known */
    dp_time_us ahead_us;
} dp_dav_clock;

/**
 * Learn from an answer.
 * @param date_s      its Date, or 0
 * @param now_us      of our clock, any that goes on evenly: it has arrived
 * @param elapsed_us  since before it was asked for
 * @return what the server's clock showed at least when it was asked (wall clock,
 *         microseconds), or 0: not known
 */
static inline dp_time_us dp_dav_clock_floor(dp_dav_clock *c, long long date_s,
                                            dp_time_us now_us,
                                            dp_time_us elapsed_us)
{
    if (!date_s) {
        return 0;
    }
    dp_time_us begun_us = now_us - elapsed_us;
    dp_time_us least_us = date_s * DP_SECOND_US - now_us;
    dp_time_us most_us = (date_s + 1) * DP_SECOND_US - begun_us;
    if (!c->ahead_us || c->ahead_us < least_us || c->ahead_us > most_us) {
        c->ahead_us = least_us; /* the first, a better one, or it was set */
    }
    return begun_us + c->ahead_us;
}

#endif
