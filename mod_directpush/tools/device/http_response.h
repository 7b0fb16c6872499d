/* http_response: reads one HTTP/1.x response from bytes of any chunking.
 *
 * Knows Content-Length, chunked and read-to-close; no content coding, since
 * the phone asks for none. Every length is bounded. No I/O; one parser, one
 * thread. RFC 9112.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"
#include "tools/device/dp_buf.h"

typedef enum dp_http_part {
    DP_HTTP_STATUS_LINE,
    DP_HTTP_HEADER,
    DP_HTTP_BODY_LENGTH,
    DP_HTTP_BODY_TO_CLOSE,
    DP_HTTP_CHUNK_SIZE,
    DP_HTTP_CHUNK_DATA,
    DP_HTTP_CHUNK_END, /* the line end after a chunk's data */
    DP_HTTP_TRAILER,
    DP_HTTP_DONE, /* the response is whole */
    DP_HTTP_BAD   /* `why` says what is wrong; the connection is unusable */
} dp_http_part;

typedef struct dp_http_response {
    dp_http_part part;
    const char *why;  /* BAD: a phrase */
    unsigned status;  /* of the final response; 1xx are skipped */
    bool is_reusable; /* DONE: the connection may carry another request */
    bool has_retry_after;
    int64_t retry_after_s; /* from the time of parsing; never negative */
    dp_buf location;       /* X-MS-Location */
    dp_buf versions;       /* MS-ASProtocolVersions */
    dp_buf commands;       /* MS-ASProtocolCommands */
    dp_buf throttle;       /* X-MS-ASThrottle */
    dp_buf body;
    /* the parser's own */
    dp_buf line;
    size_t head_n; /* bytes of lines so far, in all */
    uint64_t left; /* of the body or chunk */
    bool is_http_1_0, has_length, is_chunked, has_coding, says_close;
} dp_http_response;

void dp_http_response_init(dp_http_response *r);
void dp_http_response_free(dp_http_response *r);

/** @return how many bytes of `chunk` belong to this response; fewer than all
 *  only when `part` is DONE or BAD afterwards */
size_t dp_http_response_feed(dp_http_response *r, dp_span chunk);

/** The peer has closed: ends a body that is read to close, else BAD. */
void dp_http_response_close(dp_http_response *r);

/** Has a byte of it arrived? */
bool dp_http_response_has_begun(const dp_http_response *r);

#endif
