/* status: SetHandler directpush-status: counters as text, or OpenMetrics. */
#ifndef STATUS_H
#define STATUS_H

#include <httpd.h>

int dp_status_handler(request_rec *r);

#endif
