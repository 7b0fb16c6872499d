/* tap: a body's own bytes for the observer, whatever its Content-Encoding.
 *
 * Inflates a copy of gzip and deflate as it streams (zlib), in bounded memory
 * and with a bound on what comes out; the body itself is never touched.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"

typedef struct dp_tap dp_tap;

typedef enum dp_tap_coding {
    DP_TAP_IDENTITY,
    DP_TAP_GZIP,
    DP_TAP_DEFLATE,
    DP_TAP_OPAQUE /* br, zstd, two at once: proves nothing */
} dp_tap_coding;

/** What a Content-Encoding header means; NULL or empty: identity. */
dp_tap_coding dp_tap_coding_of(const char *content_encoding);

/** @param sink gets the clear bytes; false: it wants no more
 *  @param out_max bound on clear bytes (a bomb ends there) */
dp_tap *dp_tap_make(dp_tap_coding coding, uint64_t out_max,
                    bool (*sink)(void *ctx, dp_span clear), void *ctx);
/** Feed bytes as they pass. @return false once nothing more is wanted */
bool dp_tap_feed(dp_tap *tap, dp_span bytes);
/** The body ended. @return true when the coding ended whole as well */
bool dp_tap_end(dp_tap *tap);
void dp_tap_free(dp_tap **tap);

#endif
