/* ping_loop: a phone's day: Sync what is due, wait in a Ping, begin again. */
#ifndef PING_LOOP_H
#define PING_LOOP_H

#include "tools/device/session.h"

/** Go on until --once or --pings is satisfied, a signal comes, or it is no use
 *  any more. The folder list is there already.
 *  @param out_why why it ended well: a phrase of static storage */
dp_run dp_ping_loop(dp_session *s, const char **out_why);

#endif
