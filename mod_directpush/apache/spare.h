/* spare: memory that connections have put by while they wait, for those that
 * are being served.
 *
 * Each connection has an allocator of its own, and what its last request gave
 * back stays there: 50 to 100 KB, of no use while a Ping is held. Given to the
 * system it comes back as fresh pages with the next request, and each way costs
 * system calls, page faults and, with other threads at work, interruptions of
 * their processors. So the pages stay in the child, as many as are needed at
 * a time, and go from one connection to the next.
 */
#ifndef SPARE_H
#define SPARE_H

#include <apr_pools.h>

typedef struct dp_spare dp_spare;

dp_spare *dp_spare_make(void);

/** Nobody may collect or lend any more; a child keeps it to the end, since its
 *  workers are at work to the end. */
void dp_spare_free(dp_spare **s);

/** Take all that the allocator of a connection's pool has put by. The thread
 *  that owns the connection. */
void dp_spare_collect(dp_spare *s, apr_pool_t *from);

/** Put by as much as a request takes, if so much is there. The thread that owns
 *  the connection. */
void dp_spare_lend(dp_spare *s, apr_pool_t *to);

#endif
