/* stream: Pings that come over HTTP/2.
 *
 * A stream can't be parked: its Ping is held on a worker of mod_http2, which
 * has few per child (H2MaxWorkers) and runs few streams of one connection at a
 * time; and while a stream waits its connection stays on a worker of the MPM.
 * So at most half of the child's workers hold Pings, and few streams of a
 * connection: other sites' requests always find a worker. Beyond that the
 * phone is told to come over HTTP/1.1 (RFC 9113, HTTP_1_1_REQUIRED), where it
 * is parked and costs no worker.
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>

#include <httpd.h>

/** May this stream hold a Ping? Counts it in. True for what is no stream. */
bool dp_stream_enter(conn_rec *c);
void dp_stream_leave(conn_rec *c);

/** Is this a stream whose client has not been sent off on this connection
 *  already, with an MPM that parks? Who comes again has not understood. */
bool dp_stream_can_send_off(request_rec *r);

/** Answer HTTP_1_1_REQUIRED. @return for the handler */
int dp_stream_send_off(request_rec *r);

#endif
