#include "tools/device/load_shared.h"

#include <sys/mman.h>

static size_t rounded(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

dp_load_shared *dp_load_shared_map(const dp_load_args *args)
{
    uint32_t topics_n = dp_load_topic_of(args, args->devices - 1) + 1;
    size_t head = rounded(sizeof(dp_load_shared));
    size_t slots = args->processes * sizeof(dp_load_slot);
    size_t since = rounded(args->devices * sizeof(_Atomic int64_t));
    size_t expected = rounded(args->devices);
    size_t published = rounded(topics_n * sizeof(_Atomic int64_t));
    size_t bytes = head + slots + since + expected + published;
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    dp_load_shared *s = (void *)at;
    s->slots = (void *)(at + head);
    s->since_us = (void *)(at + head + slots);
    s->is_expected = (void *)(at + head + slots + since);
    s->published_us = (void *)(at + head + slots + since + expected);
    s->workers_n = args->processes;
    s->devices_n = args->devices;
    s->topics_n = topics_n;
    s->bytes = bytes;
    atomic_store(&s->follows, true);
    atomic_store(&s->heartbeat_s, args->heartbeat_s);
    atomic_store(&s->probe, DP_LOAD_NOBODY);
    return s;
}

void dp_load_shared_unmap(dp_load_shared **s)
{
    if (*s) {
        munmap(*s, (*s)->bytes);
        *s = NULL;
    }
}

uint64_t dp_load_sum(const dp_load_shared *s, size_t counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->workers_n; i++) {
        const char *slot = (const char *)&s->slots[i];
        sum += atomic_load_explicit(
            (const _Atomic uint64_t *)(const void *)(slot + counter),
            memory_order_relaxed);
    }
    return sum;
}
