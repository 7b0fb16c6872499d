/* load_trace: what happened to each device of a load, one line for each thing.
 *
 *     MICROSECONDS DEVICE WHAT [CLOSES]
 *
 * of the monotonic clock, in the order in which they happened to the device.
 * WHAT is
 *
 *     connected, resumed            with a full or a short handshake, or none
 *     FolderSync, Sync, Ping        the request is written
 *     done                          answered, and led on
 *     told, listed, nothing         the Ping: Status 2, Status 7, Status 1
 *     stale, stale-reset            the request met a closed connection, and
 *                                   is sent again; with a reset or without
 *     lost, reset, connect, …       dp_load_failure_name()
 *
 * CLOSES is `close` behind an answer that ends its connection. All workers
 * append to one file, whole lines at a time. One thread, one process for each
 * dp_load_trace.
 */
#ifndef LOAD_TRACE_H
#define LOAD_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DP_LOAD_TRACE_BUFFER 65536

typedef struct dp_load_trace {
    int fd; /* -1: nothing is traced */
    size_t n;
    char buf[DP_LOAD_TRACE_BUFFER];
} dp_load_trace;

/** @param file  or NULL: nothing is traced. @return false: errno tells */
bool dp_load_trace_open(dp_load_trace *t, const char *file);

/** @param closes  the answer that is noted ends its connection */
void dp_load_trace_note(dp_load_trace *t, uint32_t device, const char *what,
                        bool closes);

/** Write what has been noted so far. */
void dp_load_trace_flush(dp_load_trace *t);

void dp_load_trace_close(dp_load_trace *t);

#endif
