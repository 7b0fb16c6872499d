/* passing: requests on their way to the backend, and the observer's filters.
 */
#ifndef PASSING_H
#define PASSING_H

#include <httpd.h>

#include "apache/request.h"

typedef enum dp_pass_kind {
    DP_PASS_UNCOUNTED, /* not a Ping */
    DP_PASS_PING       /* a Ping: counted while it is at the backend */
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

/** Is there room for one more Ping without proof at the backend? */
bool dp_passing_has_room(void);

/**
 * What a Ping asked for was stored. A newer one may have found its own there
 * just before, and so have stored nothing; then nobody can tell whose it is
 * now: it is forgotten, and the next Ping that leaves it out is asked for it.
 */
void dp_passing_params_stored(const dp_who *who, uint64_t arrival);

void dp_passing_register(apr_pool_t *p);

#endif
