/* delivery: has the device got the response that earned it a mark?
 *
 * A provisional mark becomes firm when its response is known to have arrived
 * (design.md 3.2): every byte acknowledged, seen when the device's next
 * request comes, when the connection ends, or by a look once a second, also
 * after that. The socket is looked at through a duplicate of its own, so that
 * a descriptor that was closed and given to somebody else is never mistaken
 * for it.
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include "apache/park.h"
#include "observe/learn.h"

/** The response of this exchange is on its way into the connection. */
void dp_delivery_prepare(dp_seat *seat, const dp_who *who,
                         const dp_learned *learned);

/** All that was prepared has been handed to the socket. */
void dp_delivery_written(dp_seat *seat);

/** A request of this device begins on `seat` (or NULL): what is acknowledged
 *  becomes firm. */
void dp_delivery_next_request(dp_seat *seat, const dp_who *who);

/** The connection ends. */
void dp_delivery_connection_ends(dp_seat *seat);

/** Look at all that wait; the clerk's thread. */
void dp_delivery_sweep(void);

/** Is anything waiting? */
bool dp_delivery_is_waiting(void);

#endif
