/* thread: a thread that leaves all signals to the server's own. */
#ifndef HOLD_THREAD_H
#define HOLD_THREAD_H

#include <pthread.h>

/** pthread_create() with every signal blocked in the new thread. @return its
 *  error number, 0 when it runs */
int dp_thread_start(pthread_t *out, void *(*run)(void *), void *arg);

#endif
