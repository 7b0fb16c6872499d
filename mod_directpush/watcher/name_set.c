#include "watcher/name_set.h"

#include <stdlib.h>

#include "base/dp_check.h"

#define CAP_MIN 16

static uint64_t usable(uint64_t hash)
{
    return hash ? hash : 1; /* 0 means a free place */
}

/* Where `hash` is, or the free place that ends the search. */
static size_t find(const dp_name_set *s, uint64_t hash)
{
    size_t i = (size_t)hash & (s->cap - 1);
    while (s->place[i] && s->place[i] != hash) {
        i = (i + 1) & (s->cap - 1);
    }
    return i;
}

static void resize(dp_name_set *s, size_t cap)
{
    dp_name_set old = *s;
    s->place = calloc(cap, sizeof(*s->place));
    DP_ASSERT(s->place);
    s->cap = cap;
    for (size_t i = 0; i < old.cap; i++) {
        if (old.place[i]) {
            s->place[find(s, old.place[i])] = old.place[i];
        }
    }
    free(old.place);
}

bool dp_name_set_add(dp_name_set *s, uint64_t hash)
{
    hash = usable(hash);
    if (s->n + 1 > s->cap / 4 * 3) {
        resize(s, s->cap ? s->cap * 2 : CAP_MIN);
    }
    size_t i = find(s, hash);
    if (s->place[i]) {
        return false;
    }
    s->place[i] = hash;
    s->n++;
    return true;
}

/* Close the gap at `i`: move up whoever would no longer be found. */
static void close_gap(dp_name_set *s, size_t i)
{
    size_t mask = s->cap - 1;
    for (size_t j = (i + 1) & mask; s->place[j]; j = (j + 1) & mask) {
        size_t home = (size_t)s->place[j] & mask;
        if (((j - home) & mask) >= ((j - i) & mask)) {
            s->place[i] = s->place[j];
            i = j;
        }
    }
    s->place[i] = 0;
}

bool dp_name_set_del(dp_name_set *s, uint64_t hash)
{
    hash = usable(hash);
    if (s->n == 0) {
        return false;
    }
    size_t i = find(s, hash);
    if (!s->place[i]) {
        return false;
    }
    close_gap(s, i);
    s->n--;
    if (s->n == 0) {
        dp_name_set_clear(s);
    }
    else if (s->cap > CAP_MIN && s->n < s->cap / 8) {
        resize(s, s->cap / 2);
    }
    return true;
}

bool dp_name_set_has(const dp_name_set *s, uint64_t hash)
{
    return s->n > 0 && s->place[find(s, usable(hash))] != 0;
}

void dp_name_set_clear(dp_name_set *s)
{
    free(s->place);
    *s = (dp_name_set){0};
}
