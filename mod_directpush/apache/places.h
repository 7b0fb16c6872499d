/* places: how many Pings without proof are at the backend at a time.
 *
 * Each of them keeps a worker of the backend for its whole heartbeat, so that
 * DirectPushMaxPassed holds for all children together, and exactly: looking and
 * counting are one step, under a lock that the children share.
 */
#ifndef PLACES_H
#define PLACES_H

#include <pthread.h>
#include <stdbool.h>

#include <httpd.h>

/** Make the lock, in memory that all children will share; before any fork. */
void dp_places_init(pthread_mutex_t *shared);

/** Take a place for the Ping `r`, until its request ends. A worker's thread.
 *  @return false: all are taken */
bool dp_places_take(request_rec *r);

#endif
