/* wait: wait for a descriptor, for a time, or for the order to stop.
 *
 * SIGINT and SIGTERM arrive on a descriptor (signalfd) that stays readable, so
 * that every later wait ends at once too. Whoever waits here can be stopped.
 */
#ifndef WAIT_H
#define WAIT_H

#include "base/dp_clock.h"

typedef enum dp_wait_result {
    DP_WAIT_READY, /* or an error on the descriptor: the next call tells */
    DP_WAIT_TIMEOUT,
    DP_WAIT_STOPPED
} dp_wait_result;

/** Block SIGINT and SIGTERM and give a descriptor that tells of them.
 *  Ends the program if the system refuses. */
int dp_wait_stop_fd(void);

/**
 * @param fd          -1: wait for the time only
 * @param events      of poll(2)
 * @param deadline_us monotonic; DP_NEVER_US none
 * @param stop_fd     readable means stop; -1 nobody stops us
 */
dp_wait_result dp_wait_for(int fd, short events, dp_time_us deadline_us,
                           int stop_fd);

#endif
