/* listener: follows the bus as a child of Apache does: says `hello`, has a
 * `wake` connection, sleeps in poll(), swallows the wakes, catches up with the
 * journal, looks at each topic that a record names, and at all of them when it
 * was lapped. In a process of its own.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* Shared with the process that started it. */
typedef struct listener_seen {
    _Alignas(64) _Atomic uint64_t head; /* caught up with all up to it */
    _Atomic uint64_t records;  /* changes read from the journal */
    _Atomic uint64_t lapped;   /* times that it compared all */
    _Atomic uint64_t wakes;    /* times that it was woken */
    _Atomic uint32_t is_ready; /* it listens */
    _Atomic uint32_t must_end; /* set by who started it, then woken */
} listener_seen;

/** Start one. @param seen  zeroed, of load_shared() */
pid_t listener_start(const char *socket_path, const char *bus_path,
                     listener_seen *seen);

#endif
