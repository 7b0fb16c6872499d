/* fuzz_bus_attach: any file may lie where the bus should be. The input goes
 * over the beginning of a good bus file, or is the file when it is long; if it
 * can be attached, all of a reader's calls are made on it, and a directpushd
 * that carries on with it still has a bus that works. */
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
        dp_bus_publish(w, r, 1, 0, 1, NULL);
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

static bool keep_odd(void *ctx, dp_bus_ref ref, uint32_t flags)
{
    return ref.slot & 1;
}

/* As directpushd does with the file of an earlier process. */
static void carry_on(void)
{
    dp_bus_writer *w;
    dp_bus_problem problem;
    const dp_hash key = {{77, 78}}, alias = {{79, 80}};
    if (dp_bus_reopen(&w, path, &problem) != APR_SUCCESS) {
        return;
    }
    const dp_bus_map *map = dp_bus_writer_map(w);
    uint64_t head = dp_bus_head(map);
    dp_bus_sweep(w, keep_odd, NULL);
    DP_ASSERT(atomic_load(&map->header->topics_used) <= map->topic_cap);
    dp_bus_ref ref = dp_bus_topic_add(w, key, DP_BUS_NO_SLOT, 0);
    if (ref.slot != DP_BUS_NO_SLOT) {
        uint64_t seq = dp_bus_vouch(w, ref, 0);
        dp_bus_view view = dp_bus_look(map, ref);
        DP_ASSERT(view.is_current && view.watched_from == seq);
        DP_ASSERT(dp_bus_publish(w, ref, 1, 0, 1, NULL) > seq);
        DP_ASSERT(dp_bus_find(map, key).slot == ref.slot);
        if (dp_bus_alias_set(w, alias, ref)) {
            DP_ASSERT(dp_bus_find(map, alias).slot == ref.slot);
        }
        dp_bus_topic_drop(w, ref);
        DP_ASSERT(!dp_bus_look(map, ref).is_current);
        DP_ASSERT(dp_bus_find(map, key).slot == DP_BUS_NO_SLOT);
    }
    DP_ASSERT(dp_bus_head(map) >= head);
    dp_bus_close(&w, true);
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
        carry_on();
    }
    else {
        dp_bus_problem_text(problem);
    }
    return 0;
}
