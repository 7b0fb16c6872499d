/* dp_buf: bytes that grow, always followed by a NUL that does not count.
 *
 * Holds what the phone keeps (ids, names, keys) and what it sends. Pure; one
 * buffer, one thread. Out of memory ends the program.
 */
#ifndef DP_BUF_H
#define DP_BUF_H

#include "base/dp_span.h"

typedef struct dp_buf {
    char *p;  /* NULL until something was added; dp_buf_str() for printing */
    size_t n; /* bytes, without the NUL */
    size_t cap;
} dp_buf;

void dp_buf_add(dp_buf *b, dp_span bytes);
void dp_buf_printf(dp_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Replace the contents. `bytes` may not point into `b`. */
void dp_buf_set(dp_buf *b, dp_span bytes);
/** Give the memory back, overwritten; `b` can be used again. */
void dp_buf_free(dp_buf *b);

static inline dp_span dp_buf_span(const dp_buf *b)
{
    return dp_span_of(b->p, b->n);
}

static inline const char *dp_buf_str(const dp_buf *b)
{
    return b->p ? b->p : "";
}

/* Percent-encode what is not unreserved in a URL (RFC 3986, 2.3). */
void dp_buf_add_percent(dp_buf *b, dp_span bytes);

/* The reverse. @return false on a damaged escape; `b` then holds a part */
bool dp_buf_add_unpercent(dp_buf *b, dp_span text);

/* RFC 4648, 4: with padding, one line. */
void dp_buf_add_base64(dp_buf *b, dp_span bytes);

#endif
