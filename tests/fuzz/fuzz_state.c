/* fuzz_state: what an earlier directpushd left in state_dir. Byte 0 says which:
 * a record of the cursors, which comes back the same when it is packed again;
 * or the file `seq`, of which only one of this boot counts, and whose ceiling
 * is never lowered. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bus/bus_map.h"
#include "fuzz_same.h"
#include "watcher/state_record.h"

static void check_again(const dp_state_record *r, const char *bytes, size_t n)
{
    dp_want_user user = {.name = (char *)(uintptr_t)r->user};
    dp_want_alias aliases[8];
    dp_want want = {.user = &user,
                    .class = r->class,
                    .folder = (char *)(uintptr_t)r->folder,
                    .cursor = r->cursor,
                    .renewed_us = r->renewed_us};
    for (unsigned i = r->aliases_n; i-- > 0;) {
        aliases[i] = (dp_want_alias){want.aliases,
                                     (char *)(uintptr_t)r->alias_user[i],
                                     (char *)(uintptr_t)r->alias_folder[i]};
        want.aliases = &aliases[i];
    }
    char *again;
    size_t again_n = dp_state_pack(&want, r->changed, &again);
    DP_ASSERT(again_n <= n && memcmp(again, bytes, again_n) == 0);
    free(again);
}

static void check_record(const uint8_t *data, size_t size)
{
    dp_state_record r;
    /* LMDB aligns values to two bytes */
    char *copy = malloc(size + 2);
    memcpy(copy + 2, data, size);
    if (dp_state_unpack(copy + 2, size, &r)) {
        DP_ASSERT(r.class > DP_CLASS_UNKNOWN && r.class < DP_CLASS_N);
        DP_ASSERT(r.user && r.folder && r.aliases_n <= 8);
        for (unsigned i = 0; i < r.aliases_n; i++) {
            DP_ASSERT(r.alias_user[i] && r.alias_folder[i]);
        }
        check_again(&r, copy + 2, size);
    }
    free(copy);
}

/* --- seq */

static char dir[64], path[80];

static void remove_dir(void)
{
    unlink(path);
    rmdir(dir);
}

/* `@` stands for this boot, which no input can know. */
static size_t put_boot(char *out, const uint8_t *data, size_t size)
{
    uint8_t id[16] = {0};
    size_t n = 0;
    dp_bus_boot_id(id);
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '@') {
            out[n++] = (char)data[i];
            continue;
        }
        for (int k = 0; k < 16; k++) {
            n += (size_t)snprintf(out + n, 3, "%02x", id[k]);
        }
    }
    return n;
}

static void check_seq(const uint8_t *data, size_t size)
{
    if (!path[0]) {
        snprintf(dir, sizeof(dir), "%s/dp-fuzz-state-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        DP_ASSERT(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/seq", dir);
        atexit(remove_dir);
    }
    char *text = malloc(size * 32 + 1);
    size_t n = put_boot(text, data, size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    DP_ASSERT(fd >= 0 && write(fd, text, n) == (ssize_t)n);
    close(fd);
    dp_state *st = dp_state_open(dir);
    uint64_t instance = dp_state_instance(st), ceiling = dp_state_ceiling(st);
    DP_ASSERT(instance || !ceiling || memchr(data, '@', size));
    DP_ASSERT(!instance || memchr(data, '@', size));
    dp_state_close(&st);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] & 1) {
        check_seq(data + 1, size - 1);
    }
    else {
        check_record(data + 1, size - 1);
    }
    return 0;
}
