/* http_client: HTTP/1.1 requests to one server, over one connection that is
 * kept for as long as the server allows.
 *
 * Counts connections and the requests on each, since whether a held Ping
 * leaves its connection usable is one of the things that this program shows.
 * One client, one thread.
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include "tools/device/http_response.h"
#include "tools/device/http_stream.h"

typedef struct dp_http_request {
    const char *method;
    const char *query;  /* behind the '?'; NULL none */
    const char *fields; /* further header lines, each with its CR LF */
    dp_span body;
    bool has_body; /* POST: Content-Length, also of an empty body */
} dp_http_request;

typedef struct dp_http_client {
    const dp_target *target;
    SSL_CTX *tls;          /* NULL: plain */
    dp_http_stream stream; /* `why` explains an outcome */
    unsigned connection;   /* number of the current or last one, from 1 */
    unsigned request;      /* number of the last one on it, from 1 */
    bool has_response;     /* at least one, on this connection */
    /* --verbose: a line about what was sent ('>') or came ('<'); or NULL */
    void (*trace)(void *ctx, char direction, const char *line);
    void *trace_ctx;
} dp_http_client;

/** `target` and `tls` stay with the caller. */
void dp_http_client_init(dp_http_client *c, const dp_target *target,
                         SSL_CTX *tls, int stop_fd);
void dp_http_client_close(dp_http_client *c);

/** Have a connection: the present one if it still lives, else a new one.
 *  @param out_is_new it was made just now */
dp_http_outcome dp_http_client_open(dp_http_client *c, bool *out_is_new);

/** Send on the open connection. @param secret_fields like request->fields, but
 *  not traced. Any outcome but OK has closed the connection. */
dp_http_outcome dp_http_client_send(dp_http_client *c,
                                    const dp_http_request *request,
                                    dp_span secret_fields);

/**
 * Wait for the response to what was sent last.
 * @param r freshly initialised; or, after TIMEOUT, the one of the last call
 * @return OK: it is whole. TIMEOUT: the connection is still open, and the call
 *         may be repeated. Any other outcome has closed the connection.
 */
dp_http_outcome dp_http_client_receive(dp_http_client *c, dp_http_response *r,
                                       dp_time_us deadline_us);

#endif
