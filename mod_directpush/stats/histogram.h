/* histogram: how often each length of time occurred, in 12 KiB.
 *
 * Log-linear: values below 32 have a bucket each, above that every power of
 * two has 32 of equal width, so that a bucket is at most 1/32 of its values
 * wide:
 *
 *    0 1 2 … 31 | 32 33 … 63 | 64 66 68 … 126 | 128 132 … 252 | …
 *      width 1       1              2               4
 *
 * Fixed size and no pointers, so that it may lie in memory which processes
 * share. One writer at a time; anybody may read meanwhile, and sees each count
 * whole, though perhaps not all of those of one moment. Adding allocates
 * nothing and touches two cache lines.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define DP_HISTOGRAM_BITS 5 /* 2^5 buckets for each power of two */

/* Up to 2^42: in microseconds 50 days. More counts as that. */
#define DP_HISTOGRAM_MAX (((int64_t)1 << 42) - 1)

#define DP_HISTOGRAM_BUCKETS ((42 - DP_HISTOGRAM_BITS + 1) << DP_HISTOGRAM_BITS)

typedef struct dp_histogram {
    _Atomic uint64_t n;
    _Atomic int64_t sum;
    _Atomic int64_t min, max; /* exact; 0 while n is 0 */
    _Atomic uint64_t bucket[DP_HISTOGRAM_BUCKETS];
} dp_histogram;

/** Empty it. Zeroed memory is an empty one. The writer only. */
void dp_histogram_clear(dp_histogram *h);

/** Count a value; below 0 counts as 0. The writer only. */
void dp_histogram_add(dp_histogram *h, int64_t value);

/** Add all of `from` to `into`, whose writer calls. */
void dp_histogram_merge(dp_histogram *into, const dp_histogram *from);

/** The value that `q` (0 to 1) of all do not exceed, to the bucket's upper
 *  end and never beyond `max`. @return 0 when it is empty */
int64_t dp_histogram_quantile(const dp_histogram *h, double q);

/** Which bucket a value belongs to. */
size_t dp_histogram_bucket(int64_t value);

/** The smallest value of a bucket; of DP_HISTOGRAM_BUCKETS: beyond the last. */
int64_t dp_histogram_low(size_t bucket);

#endif
