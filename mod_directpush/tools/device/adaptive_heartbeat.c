#include "tools/device/adaptive_heartbeat.h"

/* Halving the step at each loss ends here: closer to the network's limit is
 * not worth the lost Pings. */
#define STEP_MIN_S 30

/* Held this often below a ceiling, try beyond: the phone has moved to another
 * network, or the server was only restarted. */
#define CEILING_TRUST 8

void dp_adaptive_init(dp_adaptive_heartbeat *h, uint32_t start_s,
                      uint32_t min_s, uint32_t max_s, uint32_t step_s)
{
    *h = (dp_adaptive_heartbeat){
        .now_s = start_s, .min_s = min_s, .max_s = max_s, .step_s = step_s};
    if (h->now_s < min_s) {
        h->now_s = min_s;
    }
    if (h->now_s > max_s) {
        h->now_s = max_s;
    }
}

static uint32_t raised(const dp_adaptive_heartbeat *h)
{
    return h->max_s - h->now_s > h->step_s ? h->now_s + h->step_s : h->max_s;
}

void dp_adaptive_held(dp_adaptive_heartbeat *h)
{
    if (h->good_s < h->now_s) {
        h->good_s = h->now_s;
    }
    if (h->ceiling_s && raised(h) >= h->ceiling_s) {
        if (++h->held_n < CEILING_TRUST) {
            return;
        }
        h->ceiling_s = 0;
    }
    h->held_n = 0;
    h->now_s = raised(h);
}

void dp_adaptive_lost(dp_adaptive_heartbeat *h)
{
    uint32_t lost_s = h->now_s;
    if (h->good_s && h->good_s < lost_s) {
        h->now_s = h->good_s; /* what worked last */
    }
    else {
        h->now_s = lost_s > h->step_s && lost_s - h->step_s > h->min_s
                       ? lost_s - h->step_s
                       : h->min_s;
        h->good_s = 0; /* it was not good after all */
    }
    h->ceiling_s = lost_s > h->min_s ? lost_s : 0;
    h->held_n = 0;
    if (h->step_s / 2 >= STEP_MIN_S) {
        h->step_s /= 2;
    }
}

bool dp_adaptive_told(dp_adaptive_heartbeat *h, uint32_t bound_s)
{
    if (bound_s == 0 || bound_s == h->now_s) {
        return false;
    }
    if (bound_s < h->now_s) {
        h->max_s = bound_s;
        if (h->min_s > bound_s) {
            h->min_s = bound_s;
        }
    }
    else {
        h->min_s = bound_s;
        if (h->max_s < bound_s) {
            h->max_s = bound_s;
        }
    }
    h->now_s = bound_s;
    if (h->good_s > h->max_s) {
        h->good_s = 0;
    }
    return true;
}
