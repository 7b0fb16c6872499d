/* lock: one directpushd per directory.
 *
 * Taken before anything else in the directory is opened or unlinked, and held
 * as long as the descriptor is open; the file stays. It holds the pid of who
 * has it, for the one that is refused.
 */
#ifndef LOCK_H
#define LOCK_H

#include <stddef.h>

#define DP_LOCK_NAME "directpushd.lock"

/**
 * Lock `dir`.
 * @return a descriptor; -1 with one line in `problem`
 */
int dp_lock_take(const char *dir, char *problem, size_t cap);

#endif
