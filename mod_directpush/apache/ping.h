/* ping: a Ping request, from its body to a hold, an answer or the backend. */
#ifndef PING_H
#define PING_H

#include <httpd.h>

#include "apache/request.h"

/** @return for the handler: OK, SUSPENDED, DECLINED (the backend) or 503 */
int dp_ping_handle(request_rec *r, dp_request *rq);

#endif
