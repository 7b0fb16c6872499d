/* load_answer: reads one HTTP answer, at the least cost.
 *
 * Nearly all answers come whole, in one read, with a Content-Length: these are
 * taken where they lie, nothing is copied. What comes in pieces or chunked goes
 * the long way (http_response), which needs memory while it lasts. Pure; one
 * thread.
 */
#ifndef LOAD_ANSWER_H
#define LOAD_ANSWER_H

#include <stdint.h>

#include "tools/device/http_response.h"

typedef struct dp_load_answer {
    unsigned status;
    bool closes;           /* the connection ends with it */
    int64_t retry_after_s; /* 0: not said */
    dp_span body;
    dp_span etag, last_modified; /* for long-polling; of whole answers only */
} dp_load_answer;

typedef enum dp_load_read {
    DP_LOAD_WHOLE,
    DP_LOAD_MORE, /* not all of it has come */
    DP_LOAD_BAD   /* no HTTP */
} dp_load_read;

/* An answer that comes in pieces. */
typedef struct dp_load_pieces {
    bool is_stream; /* `response` has it, else `bytes` */
    dp_http_response response;
    dp_buf bytes;
} dp_load_pieces;

/**
 * Read the answer at the start of `bytes`.
 * @param pieces  *pieces is NULL between answers; made here when this one is
 *                not whole, then it has all there was
 * @param out     borrows from `bytes` and *pieces, until dp_load_pieces_free()
 * @param out_n   WHOLE: bytes of `bytes` that it took; those behind are the
 *                next answer's
 */
dp_load_read dp_load_answer_read(dp_load_pieces **pieces, dp_span bytes,
                                 dp_load_answer *out, size_t *out_n);

/** The peer has closed: that may end an answer. @return WHOLE or BAD */
dp_load_read dp_load_answer_close(dp_load_pieces *pieces, dp_load_answer *out);

/** Harmless when there are none. */
void dp_load_pieces_free(dp_load_pieces **pieces);

#endif
