#include "apache/places.h"

#include <errno.h>
#include <time.h>

#include "apache/module.h"
#include "base/dp_check.h"

/* Others look and count, which takes no time, unless their process is stopped
 * in the middle of it. */
#define PATIENCE_S 2

void dp_places_init(pthread_mutex_t *shared)
{
    pthread_mutexattr_t attr;
    DP_ASSERT(pthread_mutexattr_init(&attr) == 0);
    DP_ASSERT(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0);
    DP_ASSERT(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0);
    DP_ASSERT(pthread_mutex_init(shared, &attr) == 0);
    pthread_mutexattr_destroy(&attr);
}

static bool lock(pthread_mutex_t *shared)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int rc = pthread_mutex_timedlock(shared, &until);
    if (rc == EOWNERDEAD) { /* a child that was killed: its count goes with it */
        rc = pthread_mutex_consistent(shared);
    }
    return rc == 0;
}

static apr_status_t give_back(void *data)
{
    dp_count(dp_here->count, DP_COUNT_passing, -1);
    return APR_SUCCESS;
}

bool dp_places_take(request_rec *r)
{
    if (!lock(&dp_all->places)) {
        return false;
    }
    bool is_free = dp_counters_is_below(&dp_all->counters, DP_COUNT_passing,
                                        dp_limit.passed);
    dp_count(dp_here->count, DP_COUNT_passing, is_free);
    pthread_mutex_unlock(&dp_all->places);
    if (is_free) {
        apr_pool_cleanup_register(r->pool, NULL, give_back,
                                  apr_pool_cleanup_null);
    }
    return is_free;
}
