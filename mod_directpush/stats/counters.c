#include "stats/counters.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

static const struct {
    const char *name, *help;
    dp_counter_kind kind;
} list[DP_COUNTERS_N] = {
#define DP_COUNTER(name, kind, help) {#name, help, DP_COUNTER_##kind},
#include "stats/counters.def"
#undef DP_COUNTER
};

size_t dp_counters_size(size_t slots_n)
{
    return sizeof(dp_counters) + slots_n * sizeof(dp_counter_slot);
}

void dp_counters_init(dp_counters *block, size_t slots_n)
{
    block->slots_n = slots_n;
}

static bool is_running(int32_t pid)
{
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

dp_counter_slot *dp_counters_claim(dp_counters *block)
{
    for (size_t i = 0; i < block->slots_n; i++) {
        dp_counter_slot *s = &block->slot[i];
        int32_t pid = atomic_load(&s->pid);
        if (is_running(pid)
            || !atomic_compare_exchange_strong(&s->pid, &pid, getpid())) {
            continue;
        }
        for (int c = 0; c < DP_COUNTERS_N; c++) {
            if (list[c].kind == DP_COUNTER_GAUGE) {
                atomic_store(&s->value[c], 0);
            }
        }
        return s;
    }
    return NULL;
}

int64_t dp_counters_sum(dp_counters *block, dp_counter c)
{
    int64_t sum = 0;
    for (size_t i = 0; i < block->slots_n; i++) {
        dp_counter_slot *s = &block->slot[i];
        int32_t pid = atomic_load(&s->pid);
        if (pid && (list[c].kind == DP_COUNTER_COUNT || is_running(pid))) {
            sum += atomic_load_explicit(&s->value[c], memory_order_relaxed);
        }
    }
    return sum;
}

bool dp_counters_is_below(dp_counters *block, dp_counter c, int64_t bound)
{
    int64_t sum = 0; /* with what the dead have left behind */
    for (size_t i = 0; i < block->slots_n; i++) {
        sum += atomic_load_explicit(&block->slot[i].value[c],
                                    memory_order_relaxed);
    }
    return sum < bound || dp_counters_sum(block, c) < bound;
}

const char *dp_counter_name(dp_counter c)
{
    return list[c].name;
}

const char *dp_counter_help(dp_counter c)
{
    return list[c].help;
}

dp_counter_kind dp_counter_kind_of(dp_counter c)
{
    return list[c].kind;
}
