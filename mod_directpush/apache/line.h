/* line: which connection of the phone a request came over.
 *
 * Bytes that a terminator in front of us (nginx, haproxy) has acknowledged may
 * never reach the phone, and the next request on its connection to us may be
 * another phone's. What shows there that a response has arrived (design.md
 * 3.2) is the device's next request on the same connection *to the
 * terminator*. That one is named by
 *
 *   X-DirectPush-Connection   a header that the terminator sets; any text
 *   the PROXY protocol        address and port of the phone
 *   HTTP/2                    the connection that carries the stream
 *
 * It shows that for certain where requests follow each other: HTTP/1.1. Over
 * HTTP/2 a phone that gives a Sync up resets its stream and goes on on the same
 * connection: there its next request makes it likely only (hold.h, likely_seq).
 * Terminators tell by a name that begins with HTTP/1.
 *
 * Where none of these tells, a mark waits for the Sync with the next SyncKey.
 */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stdint.h>

#include <httpd.h>

#include "apache/park.h"
#include "device/device.h"

typedef struct dp_line {
    bool is_direct; /* the phone's own TCP connection, HTTP/1.1 */
    bool is_serial; /* named, and requests on it follow each other */
    uint64_t name;  /* of a connection that is not; 0: nobody knows it */
} dp_line;

/** The line of a request of this device; `seat` NULL on HTTP/2. */
dp_line dp_line_of(request_rec *r, dp_seat *seat, const dp_who *who);

/** A name that no other connection has. */
uint64_t dp_line_make(void);

#endif
