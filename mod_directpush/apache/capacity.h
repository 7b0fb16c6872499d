/* capacity: how many phones this configuration holds, said at start. */
#ifndef CAPACITY_H
#define CAPACITY_H

#include <stdbool.h>

#include <httpd.h>

/** Work out dp_limit; log the capacity and what would raise it. */
void dp_capacity_check(apr_pool_t *ptemp, server_rec *s);

/** Can this MPM park connections? */
bool dp_capacity_can_park(void);

#endif
