/* http_stream: one connection to a server, TCP or TLS over TCP.
 *
 * Never blocks beyond its deadline and ends at the order to stop (wait.h);
 * only the look-up of a host name blocks for as long as the resolver does.
 * One stream, one thread.
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include <openssl/ssl.h>

#include "base/dp_clock.h"
#include "tools/device/target.h"

typedef enum dp_http_outcome {
    DP_HTTP_OK,
    DP_HTTP_UNREACHABLE, /* no connection: name, address, port, time-out */
    DP_HTTP_UNTRUSTED,   /* TLS: the certificate, or no common version */
    DP_HTTP_LOST,        /* the connection broke */
    DP_HTTP_TIMEOUT,
    DP_HTTP_GARBLED, /* what came is not HTTP */
    DP_HTTP_STOPPED
} dp_http_outcome;

typedef struct dp_http_stream {
    int fd;   /* -1 closed; non-blocking */
    SSL *ssl; /* NULL: plain */
    int stop_fd;
    char why[256]; /* after an outcome other than OK: a phrase */
} dp_http_stream;

void dp_http_stream_init(dp_http_stream *s, int stop_fd);

/** @param tls NULL for plain TCP
 *  @param deadline_us for each address that the name has */
dp_http_outcome dp_http_stream_connect(dp_http_stream *s,
                                       const dp_target *target, SSL_CTX *tls,
                                       dp_time_us deadline_us);

dp_http_outcome dp_http_stream_write(dp_http_stream *s, dp_span bytes,
                                     dp_time_us deadline_us);

/** @param out_n 0 with OK: the peer has closed */
dp_http_outcome dp_http_stream_read(dp_http_stream *s, void *buf, size_t cap,
                                    dp_time_us deadline_us, size_t *out_n);

/** Between two requests: still open, and nothing unasked has arrived? */
bool dp_http_stream_is_idle(dp_http_stream *s);

/** Politely where TLS knows how. */
void dp_http_stream_close(dp_http_stream *s);

/** @param ca_file NULL: the system's
 *  @return NULL with a phrase in why[256] */
SSL_CTX *dp_http_stream_tls(const char *ca_file, bool is_insecure, char *why);

#endif
