/* bare_reader: the least that anybody can do who wants to know of deliveries:
 * an inotify watch on each directory that directpushd watches, and read(). It
 * knows no names, keeps no count but that of events, and tells nobody.
 * In a process of its own.
 */
#ifndef BARE_READER_H
#define BARE_READER_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct bare_reader_seen {
    _Atomic uint32_t is_ready; /* all watches are placed */
    _Atomic uint64_t events;
    _Atomic int64_t last_us;   /* when the newest was read */
    _Atomic uint32_t is_lost;  /* the kernel's queue overflowed */
    _Atomic int64_t cpu_us;    /* used, when it ends */
} bare_reader_seen;

/** Start one; it ends after `events` events, or when the queue overflows. */
pid_t bare_reader_start(const char *mail, unsigned first, unsigned users,
                        uint64_t events, bare_reader_seen *seen);

#endif
