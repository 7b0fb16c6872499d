#include "bus/bus_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

static uint64_t page_up(uint64_t n)
{
    return (n + DP_BUS_ALIGN - 1) & ~(uint64_t)(DP_BUS_ALIGN - 1);
}

static bool is_cap(uint32_t cap)
{
    return cap >= DP_BUS_CAP_MIN && cap <= DP_BUS_CAP_MAX
           && (cap & (cap - 1)) == 0;
}

bool dp_bus_shape_of(dp_bus_shape *out, uint32_t topic_cap,
                     uint32_t journal_cap)
{
    if (!is_cap(topic_cap) || !is_cap(journal_cap)) {
        return false;
    }
    out->topic_cap = topic_cap;
    out->journal_cap = journal_cap;
    out->topics_off = page_up(sizeof(dp_bus_header));
    out->journal_off =
        page_up(out->topics_off + topic_cap * sizeof(dp_bus_topic));
    out->size = page_up(out->journal_off + journal_cap * sizeof(dp_bus_record));
    return true;
}

/* "1a1b7ebb-11e5-…" to 16 bytes. */
static bool parse_uuid(const char *text, uint8_t out[16])
{
    unsigned nibbles = 0;
    for (; *text && nibbles < 32; text++) {
        const char *digits = "0123456789abcdef";
        const char *at = strchr(digits, *text);
        if (!at) {
            continue;
        }
        unsigned value = (unsigned)(at - digits);
        out[nibbles / 2] = (uint8_t)(nibbles % 2 ? out[nibbles / 2] | value
                                                 : value << 4);
        nibbles++;
    }
    return nibbles == 32;
}

bool dp_bus_boot_id(uint8_t out[16])
{
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    return parse_uuid(text, out);
}

/* On tmpfs a hole is filled when it is touched, and SIGBUS says that there was
 * no room; the writer reserved all of it, so a file with holes is not one of
 * ours. On other file systems a hole reads as zeros and allocates nothing. */
static bool has_holes(int fd, const struct stat *st)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0 || fs.f_type != TMPFS_MAGIC) {
        return false;
    }
    return (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size;
}

static dp_bus_problem judge(int fd, const struct stat *st,
                            const dp_bus_header *h, dp_bus_shape *shape)
{
    uint8_t boot[16];
    if (memcmp(h->magic, DP_BUS_MAGIC, sizeof(h->magic)) != 0) {
        return DP_BUS_NOT_A_BUS;
    }
    if (h->abi != DP_BUS_ABI || h->abi_bytes != sizeof(*h)) {
        return DP_BUS_OTHER_ABI;
    }
    if (!dp_bus_shape_of(shape, h->topic_cap, h->journal_cap)
        || h->topics_off != shape->topics_off
        || h->journal_off != shape->journal_off || h->size != shape->size
        || h->instance == 0) {
        return DP_BUS_NOT_A_BUS;
    }
    if ((uint64_t)st->st_size < shape->size || has_holes(fd, st)) {
        return DP_BUS_TRUNCATED;
    }
    if (!dp_bus_boot_id(boot)) {
        return DP_BUS_SYSTEM;
    }
    if (memcmp(h->boot_id, boot, sizeof(boot)) != 0) {
        return DP_BUS_OTHER_BOOT;
    }
    return DP_BUS_OK;
}

static dp_bus_problem problem_of_errno(int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
        return DP_BUS_MISSING;
    case EACCES:
    case EPERM:
        return DP_BUS_UNREADABLE;
    case ELOOP: /* a symbolic link has the name */
        return DP_BUS_NOT_A_BUS;
    default:
        return DP_BUS_SYSTEM;
    }
}

static dp_bus_problem verify(int fd, struct stat *st, dp_bus_shape *shape)
{
    dp_bus_header copy;
    if (fstat(fd, st) != 0) {
        return DP_BUS_SYSTEM;
    }
    if (!S_ISREG(st->st_mode)) {
        return DP_BUS_NOT_A_BUS;
    }
    ssize_t n = pread(fd, &copy, sizeof(copy), 0);
    if (n < 0) {
        return DP_BUS_SYSTEM;
    }
    if ((size_t)n < sizeof(copy)) {
        return DP_BUS_TRUNCATED;
    }
    return judge(fd, st, &copy, shape);
}

void dp_bus_file_point(dp_bus_map *map, void *base, const dp_bus_shape *shape,
                       const struct stat *st)
{
    const char *at = base;
    *map = (dp_bus_map){
        .header = base,
        .topics = (const void *)(at + shape->topics_off),
        .journal = (const void *)(at + shape->journal_off),
        .size = shape->size,
        .dev = st->st_dev,
        .ino = st->st_ino,
        .topic_cap = shape->topic_cap,
        .journal_cap = shape->journal_cap,
    };
}

apr_status_t dp_bus_file_map(dp_bus_map *map, const char *path, bool is_writer,
                             dp_bus_problem *out_problem)
{
    struct stat st;
    dp_bus_shape shape;
    memset(map, 0, sizeof(*map));
    /* O_NONBLOCK: somebody may have put a FIFO there */
    int fd = open(path, (is_writer ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW
                            | O_NONBLOCK);
    if (fd < 0) {
        int err = errno;
        *out_problem = problem_of_errno(err);
        return APR_FROM_OS_ERROR(err);
    }
    *out_problem = verify(fd, &st, &shape);
    if (*out_problem != DP_BUS_OK) {
        close(fd);
        return APR_EGENERAL;
    }
    void *base = mmap(NULL, shape.size,
                      is_writer ? PROT_READ | PROT_WRITE : PROT_READ,
                      MAP_SHARED, fd, 0);
    int err = errno;
    close(fd);
    if (base == MAP_FAILED) {
        *out_problem = DP_BUS_SYSTEM;
        return APR_FROM_OS_ERROR(err);
    }
    dp_bus_file_point(map, base, &shape, &st);
    return APR_SUCCESS;
}
