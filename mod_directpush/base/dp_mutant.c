#include "base/dp_mutant.h"

#ifdef DP_MUTANTS

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Up to so long, one time in so many: a watcher or a worker that dawdles each
 * time would be overloaded rather than late. */
#define WINDOW_MAX_NS 20000000u
#define WINDOW_EVERY  4u

bool dp_mutant_is_active[DP_MUTANTS_N];
static bool is_any;

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
    is_any = true;
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

void dp_mutant_window(void)
{
    static _Atomic unsigned turns;
    unsigned turn = atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed);
    if (is_any && turn % WINDOW_EVERY == 0) {
        /* Knuth's multiplier: spread evenly, the same in each run */
        unsigned spread = turn / WINDOW_EVERY * 2654435761u;
        struct timespec t = {.tv_nsec = (long)(spread % WINDOW_MAX_NS)};
        nanosleep(&t, NULL);
    }
}

#endif
