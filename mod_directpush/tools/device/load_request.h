/* load_request: the bytes of what a phone of the load sends.
 *
 * All that is the same for every device is made once; a request is then some
 * copies into the caller's buffer. The password is part of it, so a process
 * that holds one should leave no core (secret.h). Any thread after init.
 */
#ifndef LOAD_REQUEST_H
#define LOAD_REQUEST_H

#include "tools/device/load_args.h"
#include "tools/device/load_device.h"

/* Head, credentials and body with the longest of everything. */
#define DP_LOAD_REQUEST_MAX 8192

typedef struct dp_load_requests {
    const dp_load_args *args;
    dp_buf password;
    /* percent-encoded, as it stands in the query */
    dp_buf user_before, user_after;
    dp_load_template user; /* of these two */
    dp_buf head[3];        /* by dp_load_cmd: up to the user's name */
    dp_buf tail;           /* behind the device's id, up to the length */
} dp_load_requests;

/** @param password taken over; not used with long-polling
 *  @return false: URL, user and password are too long for a request */
bool dp_load_requests_init(dp_load_requests *r, const dp_load_args *args,
                           dp_buf password);
void dp_load_requests_free(dp_load_requests *r);

/** Write what device `number` (from 0) sends next. @return bytes;
 *  `out` has room for DP_LOAD_REQUEST_MAX */
size_t dp_load_request_write(const dp_load_requests *r, uint32_t number,
                             const dp_load_device *d, char *out);

/** The POST that publishes to device `number`, with long-polling. */
size_t dp_load_request_publish(const dp_load_requests *r, uint32_t number,
                               char *out);

#endif
