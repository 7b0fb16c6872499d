/* blocking: Pings held on a worker, where a connection can't be parked. */
#ifndef BLOCKING_H
#define BLOCKING_H

#include <stdbool.h>

#include <httpd.h>

#include "hold/hold.h"
#include "hold/keeper.h"

/** Is there room for one more? Counts it in; dp_blocking_leave() out. */
bool dp_blocking_enter(conn_rec *c);
void dp_blocking_leave(conn_rec *c);

/** Wait on this worker until the linked hold ends; answer. The hold is freed.
 *  @return for the handler */
int dp_blocking_hold(request_rec *r, dp_hold *hold);

/** The keeper has claimed it (ANSWERING). */
void dp_blocking_wake(dp_hold *hold);

#endif
