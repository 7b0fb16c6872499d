/* fuzz_same: the entry of every fuzz target, and feeding in two ways.
 *
 * A target parses the same bytes at once and in small chunks and says with
 * FUZZ_SAME what has to come out the same. Chunks are blocks of their own.
 */
#ifndef FUZZ_SAME_H
#define FUZZ_SAME_H

#include <stdint.h>
#include <stdlib.h>

#include "base/dp_check.h"
#include "base/dp_span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern const char fuzz_also[]; /* see replay_main.c */

#define FUZZ_SAME(a, b, member) DP_ASSERT((a).member == (b).member)

/** Feed in chunks of 1 to 7 bytes, by the size of the input. */
static inline void fuzz_feed_chunks(void *parser, const uint8_t *data,
                                    size_t size, bool (*feed)(void *, dp_span))
{
    size_t chunk_n = size % 7 + 1;
    bool goes_on = true;

    while (goes_on && size > 0) {
        size_t n = size < chunk_n ? size : chunk_n;
        unsigned char *chunk = malloc(n);

        memcpy(chunk, data, n);
        goes_on = feed(parser, dp_span_of(chunk, n));
        free(chunk);
        data += n;
        size -= n;
    }
}

/** FNV-1a, to compare what callbacks were told; begin with 0. */
static inline uint64_t fuzz_mix(uint64_t hash, const void *p, size_t n)
{
    const unsigned char *bytes = p;

    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    }
    return (hash ^ n) * 0x100000001B3u + 1;
}

#endif
