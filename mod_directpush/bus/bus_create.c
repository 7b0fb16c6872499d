#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "bus/bus_file.h"
#include "bus/bus_writer.h"

static dp_bus_writer *writer_of(const dp_bus_map *map)
{
    dp_bus_writer *w = calloc(1, sizeof(*w));
    DP_ASSERT(w);
    w->magic = DP_BUS_WRITER_MAGIC;
    w->map = *map;
    w->header = (dp_bus_header *)(uintptr_t)map->header;
    w->topics = (dp_bus_topic *)(uintptr_t)map->topics;
    w->journal = (dp_bus_record *)(uintptr_t)map->journal;
    w->members = calloc(map->topic_cap, sizeof(*w->members));
    DP_ASSERT(w->members);
    return w;
}

static bool fill_random(void *to, size_t n)
{
    return getrandom(to, n, 0) == (ssize_t)n;
}

static bool fill_header(dp_bus_header *h, const dp_bus_shape *shape,
                        const dp_bus_create_args *args)
{
    memcpy(h->magic, DP_BUS_MAGIC, sizeof(h->magic));
    h->abi = DP_BUS_ABI;
    h->abi_bytes = sizeof(*h);
    h->size = shape->size;
    h->topics_off = shape->topics_off;
    h->journal_off = shape->journal_off;
    h->topic_cap = shape->topic_cap;
    h->journal_cap = shape->journal_cap;
    h->instance = args->instance;
    while (h->instance == 0) {
        if (!fill_random(&h->instance, sizeof(h->instance))) {
            return false;
        }
    }
    /* nobody has it mapped yet: the rename publishes all of this */
    DP_BUS_STORE(h->head, args->head_at_least + 1);
    DP_BUS_STORE(h->writer_pid, (uint32_t)getpid());
    return fill_random(h->hash_key, sizeof(h->hash_key))
           && dp_bus_boot_id(h->boot_id);
}

/* Reserve, map and fill the file behind `fd`. */
static apr_status_t build(int fd, const dp_bus_shape *shape,
                          const dp_bus_create_args *args, dp_bus_map *map)
{
    struct stat st;
    int err = posix_fallocate(fd, 0, (off_t)shape->size);
    if (err) {
        return APR_FROM_OS_ERROR(err);
    }
    if (fchmod(fd, 0640) != 0
        || (args->group != (gid_t)-1
            && fchown(fd, (uid_t)-1, args->group) != 0)
        || fstat(fd, &st) != 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    void *base = mmap(NULL, shape->size, PROT_READ | PROT_WRITE, MAP_SHARED,
                      fd, 0);
    if (base == MAP_FAILED) {
        return APR_FROM_OS_ERROR(errno);
    }
    dp_bus_file_point(map, base, shape, &st);
    if (!fill_header(base, shape, args)) {
        dp_bus_detach(map);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

/* Whoever still maps the file that had the name shall look for the new one. */
static void tell_replaced(dp_bus_map *old)
{
    if (old->header) {
        dp_bus_header *h = (dp_bus_header *)(uintptr_t)old->header;
        DP_BUS_STORE(h->alive_us, 0);
        DP_BUS_STORE(h->replaced, 1); /* with dp_bus_is_replaced() */
        dp_bus_detach(old);
    }
}

apr_status_t dp_bus_create(dp_bus_writer **out, const dp_bus_create_args *args)
{
    char temp[4096];
    dp_bus_shape shape;
    dp_bus_map old, map = {0};
    dp_bus_problem ignored;
    *out = NULL;
    int n = snprintf(temp, sizeof(temp), "%s.new", args->path);
    if (n < 0 || (size_t)n >= sizeof(temp)
        || !dp_bus_shape_of(&shape, args->topic_cap, args->journal_cap)) {
        return APR_EINVAL;
    }
    unlink(temp); /* of a writer that died here; the lock is ours */
    int fd = open(temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                  0600);
    if (fd < 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    apr_status_t rv = build(fd, &shape, args, &map);
    close(fd);
    if (rv == APR_SUCCESS) {
        dp_bus_file_map(&old, args->path, true, &ignored);
        if (rename(temp, args->path) == 0) {
            tell_replaced(&old);
            *out = writer_of(&map);
            (*out)->head = DP_BUS_OWN((*out)->header->head);
            return APR_SUCCESS;
        }
        rv = APR_FROM_OS_ERROR(errno);
        dp_bus_detach(&old);
        dp_bus_detach(&map);
    }
    unlink(temp);
    return rv;
}

apr_status_t dp_bus_reopen(dp_bus_writer **out, const char *path,
                           dp_bus_problem *out_problem)
{
    dp_bus_map map;
    *out = NULL;
    apr_status_t rv = dp_bus_file_map(&map, path, true, out_problem);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    dp_bus_writer *w = writer_of(&map);
    w->head = DP_BUS_OWN(w->header->head);
    dp_bus_topics_repair(w);
    dp_bus_publish_head(w);
    DP_BUS_STORE(w->header->writer_pid, (uint32_t)getpid());
    *out = w;
    return APR_SUCCESS;
}

void dp_bus_close(dp_bus_writer **pw, bool leaving)
{
    dp_bus_writer *w = *pw;
    *pw = NULL;
    if (w) {
        DP_MAGIC_CHECK(w, DP_BUS_WRITER_MAGIC);
        if (leaving) {
            DP_BUS_STORE(w->header->alive_us, 0); /* dp_bus_is_alive() */
        }
        dp_bus_detach(&w->map);
        w->magic = 0;
        free(w->members);
        free(w);
    }
}

const dp_bus_map *dp_bus_writer_map(const dp_bus_writer *w)
{
    return &w->map;
}

void dp_bus_sign(dp_bus_writer *w, dp_time_us now_us)
{
    DP_BUS_STORE(w->header->alive_us, now_us); /* dp_bus_is_alive() */
}
