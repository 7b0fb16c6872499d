#include "stats/histogram.h"

#include "base/dp_check.h"

#define SUB     ((size_t)1 << DP_HISTOGRAM_BITS)
#define RELAXED memory_order_relaxed

DP_STATIC(sizeof(dp_histogram) < 12 * 1024, "the header says 12 KiB");

/* One writer: a load and a store are an addition, without a locked bus. */
#define ADD(atomic, by)                                                        \
    atomic_store_explicit(                                                     \
        &(atomic), atomic_load_explicit(&(atomic), RELAXED) + (by), RELAXED)

size_t dp_histogram_bucket(int64_t value)
{
    uint64_t v = value < 0 ? 0 : (uint64_t)value;
    if (value > DP_HISTOGRAM_MAX) {
        return DP_HISTOGRAM_BUCKETS - 1;
    }
    if (v < SUB) {
        return (size_t)v;
    }
    /* the highest bit says which power of two, the five after it where */
    unsigned shift = 63 - (unsigned)__builtin_clzll(v) - DP_HISTOGRAM_BITS;
    return ((size_t)shift << DP_HISTOGRAM_BITS) + (size_t)(v >> shift);
}

int64_t dp_histogram_low(size_t bucket)
{
    DP_ASSERT(bucket <= DP_HISTOGRAM_BUCKETS);
    if (bucket < 2 * SUB) {
        return (int64_t)bucket;
    }
    size_t shift = (bucket >> DP_HISTOGRAM_BITS) - 1;
    return (int64_t)((bucket & (SUB - 1)) + SUB) << shift;
}

void dp_histogram_clear(dp_histogram *h)
{
    atomic_store_explicit(&h->n, 0, RELAXED);
    atomic_store_explicit(&h->sum, 0, RELAXED);
    atomic_store_explicit(&h->min, 0, RELAXED);
    atomic_store_explicit(&h->max, 0, RELAXED);
    for (size_t i = 0; i < DP_HISTOGRAM_BUCKETS; i++) {
        atomic_store_explicit(&h->bucket[i], 0, RELAXED);
    }
}

static void widen(dp_histogram *h, int64_t min, int64_t max)
{
    uint64_t n = atomic_load_explicit(&h->n, RELAXED);
    if (n == 0 || min < atomic_load_explicit(&h->min, RELAXED)) {
        atomic_store_explicit(&h->min, min, RELAXED);
    }
    if (n == 0 || max > atomic_load_explicit(&h->max, RELAXED)) {
        atomic_store_explicit(&h->max, max, RELAXED);
    }
}

void dp_histogram_add(dp_histogram *h, int64_t value)
{
    int64_t v = value < 0 ? 0 : value;
    widen(h, v, v);
    ADD(h->bucket[dp_histogram_bucket(v)], 1);
    ADD(h->sum, v);
    ADD(h->n, 1);
}

void dp_histogram_merge(dp_histogram *into, const dp_histogram *from)
{
    uint64_t n = 0; /* of what is seen in the buckets, should it be filling */
    for (size_t i = 0; i < DP_HISTOGRAM_BUCKETS; i++) {
        uint64_t more = atomic_load_explicit(&from->bucket[i], RELAXED);
        if (more) {
            ADD(into->bucket[i], more);
            n += more;
        }
    }
    if (n == 0) {
        return;
    }
    widen(into, atomic_load_explicit(&from->min, RELAXED),
          atomic_load_explicit(&from->max, RELAXED));
    ADD(into->sum, atomic_load_explicit(&from->sum, RELAXED));
    ADD(into->n, n);
}

int64_t dp_histogram_quantile(const dp_histogram *h, double q)
{
    uint64_t n = atomic_load_explicit(&h->n, RELAXED);
    int64_t max = atomic_load_explicit(&h->max, RELAXED);
    if (n == 0) {
        return 0;
    }
    double exact = q * (double)n;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact; /* round up: at least `q` of them */
    rank = rank < 1 ? 1 : rank;
    uint64_t below = 0;
    for (size_t i = 0; i + 1 < DP_HISTOGRAM_BUCKETS; i++) {
        below += atomic_load_explicit(&h->bucket[i], RELAXED);
        if (below >= rank) {
            int64_t high = dp_histogram_low(i + 1) - 1;
            return high < max ? high : max;
        }
    }
    return max;
}
