/* child: what a child process starts and stops. */
#ifndef CHILD_H
#define CHILD_H

#include <httpd.h>

/** Hooks child_init, child_stopping. */
void dp_child_register(apr_pool_t *p);

/** In the parent, once per configuration: shared memory, store, limits.
 *  @return OK or the hook's error */
int dp_child_prepare(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);

#endif
