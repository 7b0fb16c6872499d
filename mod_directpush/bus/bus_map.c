#include "bus/bus_map.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bus/bus_file.h"

apr_status_t dp_bus_attach(dp_bus_map *map, const char *path,
                           dp_bus_problem *out_problem)
{
    return dp_bus_file_map(map, path, false, out_problem);
}

void dp_bus_detach(dp_bus_map *map)
{
    if (map->header) {
        /* munmap takes no const */
        munmap((void *)(uintptr_t)map->header, map->size);
    }
    memset(map, 0, sizeof(*map));
}

bool dp_bus_is_replaced(const dp_bus_map *map, const char *path)
{
    struct stat st;
    /* set once by dp_bus_create(), after the newer file has the name */
    if (atomic_load_explicit(&map->header->replaced, memory_order_acquire)) {
        return true;
    }
    /* Without any file there is nothing better to attach to. */
    return stat(path, &st) == 0
           && (st.st_dev != map->dev || st.st_ino != map->ino);
}

const char *dp_bus_problem_text(dp_bus_problem problem)
{
    switch (problem) {
    case DP_BUS_OK:
        return "usable";
    case DP_BUS_MISSING:
        return "no such file: start directpushd, and compare runtime_dir in "
               "directpushd.conf with DirectPushRuntimeDir";
    case DP_BUS_UNREADABLE:
        return "no permission: set group in directpushd.conf to the group that "
               "httpd runs as";
    case DP_BUS_TRUNCATED:
        return "shorter than it says: restart directpushd, it makes a new one";
    case DP_BUS_NOT_A_BUS:
        return "not a bus file: remove it and restart directpushd";
    case DP_BUS_OTHER_ABI:
        return "made by another version of directpushd: restart directpushd "
               "and httpd after an upgrade";
    case DP_BUS_OTHER_BOOT:
        return "of another boot: start directpushd; if it runs, it sees "
               "another /proc/sys/kernel/random/boot_id than this process, as "
               "in a container by ProtectKernelTunables or "
               "ProtectControlGroups of one of the services: remove these";
    case DP_BUS_SYSTEM:
        break;
    }
    return "the system refused to open or map it";
}
