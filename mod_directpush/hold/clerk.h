/* clerk: one thread per child for what may block: logs and the device store.
 *
 * The keeper hands over what it must not do itself. Jobs run in order; the
 * caller owns them until posted, the job's function frees them. It may do the
 * next ones as well, where several cost less together.
 */
#ifndef CLERK_H
#define CLERK_H

#include <apr_errno.h>

typedef struct dp_clerk dp_clerk;

typedef struct dp_clerk_job {
    struct dp_clerk_job *next;
    /* On the clerk's thread; does `job`, and what follows it in the list as
     * far as it likes. @return the first that it has not done, or NULL */
    struct dp_clerk_job *(*run)(struct dp_clerk_job *job);
} dp_clerk_job;

apr_status_t dp_clerk_start(dp_clerk **out);

/** Any thread; never blocks. */
void dp_clerk_post(dp_clerk *c, dp_clerk_job *job);

/** Run what is queued, then end the thread. No post may follow. */
void dp_clerk_stop(dp_clerk **c);

#endif
