/* dav: changes over CalDAV and CardDAV that pass by are published
 * (DirectPushDAV). Bodies are neither changed nor delayed.
 */
#ifndef DP_APACHE_DAV_H
#define DP_APACHE_DAV_H

#include <httpd.h>

/** Handler hook: DECLINED always, maybe with filters around the request. */
int dp_dav_handler(request_rec *r);

void dp_dav_register(apr_pool_t *p);

#endif
