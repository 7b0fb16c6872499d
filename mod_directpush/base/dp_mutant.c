#include "base/dp_mutant.h"

#ifdef DP_MUTANTS

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/dp_clock.h"

/* Up to so long, so often at most: who dawdles each time is overloaded rather
 * than late. */
#define WINDOW_MAX_NS   20000000u
#define WINDOW_EVERY_US 40000

bool dp_mutant_is_active[DP_MUTANTS_N];

#define DP_MUTANT_ITEM(name, model, place, paragraph, what) #name,
#define DP_MUTANT_CODE_ONLY(name, place, paragraph, what, why) #name,
#define DP_MUTANT_MODEL_ONLY(name, model, place, paragraph, what, why)
static const char *const names[] = {
#include "../../tests/model/mutants.def"
    "none"
};

static void refuse(const char *name, size_t n)
{
    fprintf(stderr,
            "directpush: DP_MUTANT: no mutant of the code is called \"%.*s\"; "
            "tests/model/mutants.def has them\n", (int)n, name);
    _exit(2);
}

static void activate(const char *name, size_t n)
{
    size_t i = 0;
    while (i < DP_MUTANTS_N
           && (strlen(names[i]) != n || memcmp(names[i], name, n) != 0)) {
        i++;
    }
    if (i == DP_MUTANTS_N) {
        refuse(name, n);
    }
    dp_mutant_is_active[i] = true;
}

/* When the program or the module is loaded: before there are threads. */
static void __attribute__((constructor)) take_environment(void)
{
    const char *at = getenv("DP_MUTANT");
    while (at && *at) {
        size_t n = strcspn(at, ",");
        activate(at, n);
        at += n + (at[n] == ',');
    }
}

const char *dp_mutant_named(size_t n)
{
    for (size_t i = 0; i < DP_MUTANTS_N; i++) {
        if (dp_mutant_is_active[i] && n-- == 0) {
            return names[i];
        }
    }
    return NULL;
}

void dp_mutant_dawdle(void)
{
    static _Atomic int64_t next_us;
    static _Atomic unsigned turns;
    dp_time_us now_us = dp_clock_mono_us();
    int64_t due_us = atomic_load_explicit(&next_us, memory_order_relaxed);
    if (now_us < due_us
        || !atomic_compare_exchange_strong_explicit(
            &next_us, &due_us, now_us + WINDOW_EVERY_US, memory_order_relaxed,
            memory_order_relaxed)) {
        return;
    }
    unsigned turn = atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed);
    /* Knuth's multiplier: spread evenly, the same in each run */
    struct timespec t = {.tv_nsec = (turn * 2654435761u) % WINDOW_MAX_NS};
    nanosleep(&t, NULL);
}

#endif
