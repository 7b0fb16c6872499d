/* bus_map: the bus file: create, attach, verify.
 *
 * A reader maps it read-only and keeps the mapping until it detaches, also
 * when a newer file has taken the name; the writer reserves all space before
 * anybody can map it (posix_fallocate), never shrinks it, and replaces it by
 * rename: no reader can get SIGBUS.
 */
#ifndef BUS_MAP_H
#define BUS_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <apr_errno.h>

#include "bus/bus_abi.h"

#define DP_BUS_FILE_NAME   "bus"
#define DP_BUS_SOCKET_NAME "control.sock"

typedef struct dp_bus_map {
    const dp_bus_header *header;
    const dp_bus_topic *topics;
    const dp_bus_record *journal;
    uint64_t size; /* bytes mapped */
    dev_t dev;     /* which file this is: */
    ino_t ino;     /*   compare with what the name is now */
    uint32_t topic_cap;   /* as verified; the header's own are not looked at */
    uint32_t journal_cap; /*   again */
} dp_bus_map;

/* Why a file can't be used; dp_bus_problem_text() says it to people. */
typedef enum dp_bus_problem {
    DP_BUS_OK = 0,
    DP_BUS_MISSING,      /* no such file: directpushd never ran */
    DP_BUS_UNREADABLE,   /* permissions: user not in the group */
    DP_BUS_TRUNCATED,    /* shorter than it says */
    DP_BUS_NOT_A_BUS,    /* magic or offsets wrong */
    DP_BUS_OTHER_ABI,    /* another version of directpushd */
    DP_BUS_OTHER_BOOT,   /* left from before a reboot */
    DP_BUS_SYSTEM        /* open, fstat or mmap failed otherwise */
} dp_bus_problem;

/**
 * Map the bus at `path` read-only. Any thread.
 * @param out_problem why not, when the answer is not APR_SUCCESS
 * @return APR_SUCCESS  `map` is filled; dp_bus_detach() gives it back
 *         else         the system's error or APR_EGENERAL; `map` is zeroed
 */
apr_status_t dp_bus_attach(dp_bus_map *map, const char *path,
                           dp_bus_problem *out_problem);

/** Unmap; harmless on a zeroed map. Nobody may still read through it. */
void dp_bus_detach(dp_bus_map *map);

/** Has the name `path` become another file, or has the writer said so? */
bool dp_bus_is_replaced(const dp_bus_map *map, const char *path);

/** This boot's id. @return false without /proc */
bool dp_bus_boot_id(uint8_t out[16]);

/** One line for the administrator: what is wrong and what to do. */
const char *dp_bus_problem_text(dp_bus_problem problem);

#endif
