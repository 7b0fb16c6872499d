/* room: is there any in this child for one more phone? Counts the child's
 * connections, closes those that there are no descriptors for, and says once
 * per cause what to change. Worker threads. */
#ifndef ROOM_H
#define ROOM_H

#include <stdbool.h>

#include <httpd.h>

#include "device/device.h"

/** May this Ping be held? If not, it is said why, once, and `out_outcome` is
 *  the outcome for the access log. */
bool dp_room_for_hold(request_rec *r, const dp_who *who,
                      const char **out_outcome);

/** Hooks: pre_connection, post_read_request. */
void dp_room_register(apr_pool_t *p);

#endif
