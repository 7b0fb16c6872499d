/* bus_file: what attaching and writing share: geometry and verification.
 *
 * Private to bus/. The header is read with pread() into a copy and judged
 * there; only what passed is mapped, and the mapping is addressed by the copy's
 * numbers. So garbage in the file is refused and can't lead out of it.
 */
#ifndef BUS_FILE_H
#define BUS_FILE_H

#include <sys/stat.h>

#include "bus/bus_map.h"

/* A page of slots at least; 2^24 slots are a file of 1 GiB. */
#define DP_BUS_CAP_MIN 64u
#define DP_BUS_CAP_MAX (1u << 24)

/* Offsets and size follow from the two capacities. */
typedef struct dp_bus_shape {
    uint32_t topic_cap;
    uint32_t journal_cap;
    uint64_t topics_off;
    uint64_t journal_off;
    uint64_t size;
} dp_bus_shape;

/** @return false when a capacity is no power of two or out of range */
bool dp_bus_shape_of(dp_bus_shape *out, uint32_t topic_cap,
                     uint32_t journal_cap);

/**
 * Open `path`, judge it, map it whole.
 * @param is_writer  map it read-write
 * @return APR_SUCCESS and a filled `map`; else `map` is zeroed
 */
apr_status_t dp_bus_file_map(dp_bus_map *map, const char *path, bool is_writer,
                             dp_bus_problem *out_problem);

/** Fill `map` for a mapping of that shape at `base`. */
void dp_bus_file_point(dp_bus_map *map, void *base, const dp_bus_shape *shape,
                       const struct stat *st);

#endif
