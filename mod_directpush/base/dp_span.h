/* dp_span: pointer and length of bytes that somebody else owns.
 *
 * Everything that came from outside (ids, keys, names) travels as a span and
 * is never assumed to end in NUL. Pure; any thread.
 */
#ifndef DP_SPAN_H
#define DP_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct dp_span {
    const unsigned char *p; /* NULL only when n is 0 */
    size_t n;               /* bytes */
} dp_span;

#define DP_SPAN_LIT(s) ((dp_span){(const unsigned char *)("" s), sizeof(s) - 1})

static inline dp_span dp_span_of(const void *p, size_t n)
{
    return (dp_span){(const unsigned char *)p, n};
}

static inline dp_span dp_span_str(const char *s)
{
    return (dp_span){(const unsigned char *)s, s ? strlen(s) : 0};
}

static inline bool dp_span_is(dp_span a, dp_span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

#endif
