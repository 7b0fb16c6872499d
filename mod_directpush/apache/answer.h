/* answer: the response to a Ping through httpd's filters, as a rule from a
 * worker; the keeper's is in loop_answer.h. */
#ifndef ANSWER_H
#define ANSWER_H

#include <httpd.h>

#include "apache/park.h"
#include "hold/keeper.h"

/** Answer on the worker that runs the handler.
 *  @param ids  one at most
 *  @param value HeartbeatInterval (5), MaxFolders (6) @return OK, for it */
int dp_answer_now(request_rec *r, unsigned status, const dp_span *ids,
                  size_t ids_n, uint32_t value, const char *outcome);

/** The same from a hold's verdict; notes the announcement in the store. */
int dp_answer_verdict(request_rec *r, dp_hold *hold, const dp_verdict *v);

/** 503 with a jittered Retry-After. @return the status, for the handler */
int dp_answer_busy(request_rec *r, const char *why);

/** Response head and body into r's filters. The connection's owner only. */
apr_status_t dp_answer_body(request_rec *r, const unsigned char *body, size_t n,
                            const char *outcome);

/** On the MPM's worker, hold TAKEN and unlinked: answer and log; leaves the
 *  connection in WRITE_COMPLETION or LINGER. */
void dp_answer_taken(dp_seat *seat, const dp_verdict *v);

/** The client is gone: log 499. On the worker that owns the connection. */
void dp_answer_gone(dp_seat *seat);

/** What the log shall say of a request whose client is gone. */
void dp_answer_mark_gone(request_rec *r);

#endif
