/* look: the one function that decides every answer (design.md 3.6, 6.6).
 *
 * It compares all collections of a hold with the bus and says: answer now,
 * and what; or wait, and until when to look again. Status 1 only when all are
 * clean, or blind and not due; a change that was published before the watcher
 * died, or gave the folder up, is a change still. A pure function of its
 * arguments and of the bus; no locks, no allocation; touches one line of the
 * bus per collection.
 */
#ifndef LOOK_H
#define LOOK_H

#include "hold/hold.h"

typedef struct dp_look_rules {
    dp_time_us pace_us;          /* DirectPushPace */
    dp_time_us quiet_us;         /* DirectPushQuiet */
    dp_time_us lag_us;           /* DirectPushBackendLag */
    dp_time_us blind_mail_us;    /* DirectPushFallbackInterval */
    dp_time_us blind_other_us;
} dp_look_rules;

/**
 * Look at a hold.
 * @param bus    NULL or without header: everything is blind
 * @param is_alive  the watcher vouches at all (dp_bus_is_alive)
 * @param is_final  the hold ends now, whatever comes of it: status is not 0
 * Sets was_announced_now and seq_now of the items. Caller: the owner of the
 * hold, or the holder of the set's lock while nobody owns it.
 */
dp_verdict dp_look(dp_hold *hold, const dp_bus_map *bus, bool is_alive,
                   const dp_look_rules *rules, bool is_final,
                   dp_time_us now_us);

#endif
