/* shed: the request of a held Ping is given back while it waits.
 *
 * A request_rec and its pool are some 12 KB, and a phone waits for most of its
 * life. What the response and the log need of it goes into one small block;
 * the request is made anew from that when it is answered on a worker, or
 * logged. Everything that other modules keep per request would be lost with
 * it: where one of them does, the request is kept whole.
 */
#ifndef SHED_H
#define SHED_H

#include <stdbool.h>

#include <httpd.h>

typedef struct dp_kept dp_kept;

/**
 * Take out of a request that is to be parked what is needed later.
 * @return malloc'ed, for dp_shed_free(); the request may be destroyed.
 *         NULL: it must be kept whole, *out_why says for whose sake (in
 *         r->pool or static)
 * The worker that owns the connection, after the handler.
 */
dp_kept *dp_shed_pack(request_rec *r, const char **out_why);

/**
 * Make the request anew, as it was before it was answered; ends the block.
 * @param home  the pool to make it in, or NULL: the connection's. Whoever owns
 *              the connection.
 */
request_rec *dp_shed_restore(conn_rec *c, dp_kept **kept, apr_pool_t *home);

/** Does the connection stay open after the answer? */
bool dp_shed_stays(const dp_kept *kept);

/** Its virtual host. */
server_rec *dp_shed_server(const dp_kept *kept);

void dp_shed_free(dp_kept **kept);

#endif
