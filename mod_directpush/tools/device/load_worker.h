/* load_worker: one process of a load, with its share of the devices.
 *
 * An epoll loop; device `i` is of worker `i % processes`. It brings those that
 * are wanted to where they wait, follows answers as phones do, and counts.
 */
#ifndef LOAD_WORKER_H
#define LOAD_WORKER_H

#include "tools/device/load_request.h"
#include "tools/device/load_shared.h"

/* Bytes that go over the line between a worker and the coordinator. */
#define DP_LOAD_BYTE_LOOK    'l' /* to the worker: look at the shared words */
#define DP_LOAD_BYTE_TOLD    't' /* from it: the probe has been answered */
#define DP_LOAD_BYTE_WAITING 'w' /* … and waits again */

typedef struct dp_load_worker_args {
    const dp_load_args *args;
    const dp_load_requests *requests;
    dp_load_shared *shared;
    uint32_t index;
    int line_fd; /* a stream socket; its end ends the worker */
} dp_load_worker_args;

/** Work until told to quit. @return exit status of the process; what is wrong
 *  is on standard error */
int dp_load_worker_run(const dp_load_worker_args *a);

#endif
