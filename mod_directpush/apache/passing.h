/* passing: requests on their way to the backend, and the observer's filters.
 */
#ifndef PASSING_H
#define PASSING_H

#include <httpd.h>

#include "apache/request.h"

typedef enum dp_pass_kind {
    DP_PASS_UNCOUNTED, /* not a Ping */
    DP_PASS_PING       /* a Ping, which has a place: places.h */
} dp_pass_kind;

/** Put the observer's filters around the request. @return DECLINED, so that
 *  the next handler (the proxy) serves it */
int dp_passing_observe(request_rec *r, dp_request *rq, dp_pass_kind kind);

/** A handler has redirected a request that we observe (mod_rewrite per
 *  directory, mod_actions): `r`, its successor, has lost our filters. */
void dp_passing_follow(request_rec *r);

/** What we have read of the body is read again by the next handler.
 *  @param body in r->pool; with EOS if it was read to the end */
void dp_passing_put_back(request_rec *r, apr_bucket_brigade *body);

void dp_passing_register(apr_pool_t *p);

#endif
