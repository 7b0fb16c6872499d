/* fuzz_bus_attach: any file may lie where the bus should be. The input goes
 * over the beginning of a good bus file, or is the file when it is long; if it
 * can be attached, all of a reader's calls are made on it. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bus/bus_write.h"
#include "fuzz_same.h"

static char path[] = "/tmp/dp-fuzz-bus-XXXXXX";
static char good[4096 * 3];

static void remove_file(void)
{
    unlink(path);
}

static void make_good(void)
{
    dp_bus_writer *w;
    int fd = mkstemp(path);
    close(fd);
    atexit(remove_file);
    dp_bus_create_args args = {.path = path,
                               .topic_cap = 64,
                               .journal_cap = 64,
                               .group = (gid_t)-1};
    DP_ASSERT(dp_bus_create(&w, &args) == APR_SUCCESS);
    for (uint64_t i = 1; i < 40; i++) {
        dp_bus_ref r = dp_bus_topic_add(w, (dp_hash){{i, i}}, DP_BUS_NO_SLOT,
                                        0);
        dp_bus_vouch(w, r, 0);
        dp_bus_publish(w, r, true, 1, NULL);
    }
    dp_bus_close(&w, false);
    fd = open(path, O_RDONLY);
    DP_ASSERT(read(fd, good, sizeof(good)) == sizeof(good));
    close(fd);
}

static void read_all(const dp_bus_map *map)
{
    dp_bus_cursor cursor = {1};
    dp_bus_event e;
    dp_bus_is_alive(map, dp_clock_mono_us(), DP_SECOND_US);
    for (int i = 0; i < 200; i++) {
        if (dp_bus_catch_up(map, &cursor, &e) == DP_BUS_NEXT_NONE) {
            break;
        }
        dp_bus_look(map, e.ref);
    }
    for (uint64_t i = 0; i < 70; i++) {
        dp_bus_look(map, dp_bus_find(map, (dp_hash){{i, i}}));
        dp_bus_look(map, (dp_bus_ref){(uint32_t)i, 2});
    }
    dp_bus_is_replaced(map, path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dp_bus_map map;
    dp_bus_problem problem;
    if (good[0] == 0) {
        make_good();
    }
    int fd = open(path, O_WRONLY | O_TRUNC);
    DP_ASSERT(fd >= 0);
    if (size < sizeof(good)) {
        DP_ASSERT(write(fd, good, sizeof(good)) == sizeof(good));
    }
    DP_ASSERT(pwrite(fd, data, size, 0) == (ssize_t)size);
    close(fd);
    if (dp_bus_attach(&map, path, &problem) == APR_SUCCESS) {
        read_all(&map);
        dp_bus_detach(&map);
    }
    else {
        dp_bus_problem_text(problem);
    }
    return 0;
}
