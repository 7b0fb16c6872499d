/* load_publisher: makes the changes that devices of a load wait for.
 *
 * To directpushd over its control socket, or by POST with long-polling; over
 * one connection, many at a time, each acknowledged. The coordinator's.
 */
#ifndef LOAD_PUBLISHER_H
#define LOAD_PUBLISHER_H

#include "tools/device/load_line.h"
#include "tools/device/load_request.h"
#include "tools/device/load_shared.h"

typedef struct dp_load_publisher {
    const dp_load_args *args;
    const dp_load_requests *requests;
    dp_load_shared *shared;
    int stop_fd;         /* readable: stop */
    dp_load_lines lines; /* for POST */
    dp_load_line line;
    dp_load_pieces *pieces;
    dp_buf text; /* of directpushd: an answer that is not whole */
    char why[256];
} dp_load_publisher;

/** Connect. @return false: `why` */
bool dp_load_publisher_open(dp_load_publisher *p, const dp_load_args *args,
                            const dp_load_requests *requests,
                            dp_load_shared *shared, int stop_fd);
void dp_load_publisher_close(dp_load_publisher *p);

/**
 * Publish for each of these devices, as fast as the other side takes it, and
 * wait until all are acknowledged. Sets published_us of each topic.
 * @param devices of n different topics
 * @return false: refused, not acknowledged in --patience, or stopped; `why`
 */
bool dp_load_publish(dp_load_publisher *p, const uint32_t *devices, size_t n);

#endif
