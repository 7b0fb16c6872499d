/* name_set: a set of 64-bit hashes of file names.
 *
 * Open addressing, at most 3/4 full, 8 bytes a place; grows and shrinks with
 * its content, and owns nothing while empty. Hashes are keyed, so that nobody
 * can choose names that collide. Not thread-safe.
 */
#ifndef NAME_SET_H
#define NAME_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dp_name_set {
    uint64_t *place; /* 0: free */
    size_t cap;      /* power of two, or 0 */
    size_t n;
} dp_name_set;

/** @return false when it was in already */
bool dp_name_set_add(dp_name_set *s, uint64_t hash);

/** @return false when it was not in */
bool dp_name_set_del(dp_name_set *s, uint64_t hash);

bool dp_name_set_has(const dp_name_set *s, uint64_t hash);

/** Empty it and give the memory back. */
void dp_name_set_clear(dp_name_set *s);

#endif
