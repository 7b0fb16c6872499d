/* shadow: a server_rec with a long time-out for parked connections.
 *
 * In ASYNC_WAITIO the event MPM applies the Timeout of the server that a
 * connection is filed under. It makes its time-out queues from the list of
 * servers at post_config; so a copy of the main server with a longer Timeout
 * stands in that list just while the MPM looks, and connections are filed
 * under it by the protocol_switch hook when they park (httpd-async section 2).
 */
#ifndef SHADOW_H
#define SHADOW_H

#include <httpd.h>

/** Register the two post_config hooks around the MPM's. */
void dp_shadow_register(apr_pool_t *p);

/** File a connection that is about to park under the long time-out. */
void dp_shadow_file(conn_rec *c);

#endif
