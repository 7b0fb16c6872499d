/* bus_fixture: a bus in a temporary directory, with its writer and a reader. */
#ifndef BUS_FIXTURE_H
#define BUS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bus/bus_write.h"

typedef struct bus_fixture {
    char dir[64];
    char path[80];
    dp_bus_writer *w;
    dp_bus_map map; /* read-only, as a child of Apache has it */
} bus_fixture;

static inline dp_bus_create_args bus_args(const bus_fixture *f)
{
    return (dp_bus_create_args){.path = f->path,
                                .topic_cap = 64,
                                .journal_cap = 64,
                                .group = (gid_t)-1};
}

static inline int bus_setup(void **state)
{
    bus_fixture *f = calloc(1, sizeof(*f));
    dp_bus_problem problem;
    snprintf(f->dir, sizeof(f->dir), "/tmp/dp-bus-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, DP_BUS_FILE_NAME);
    dp_bus_create_args args = bus_args(f);
    assert_int_equal(dp_bus_create(&f->w, &args), APR_SUCCESS);
    assert_int_equal(dp_bus_attach(&f->map, f->path, &problem), APR_SUCCESS);
    *state = f;
    return 0;
}

static inline int bus_teardown(void **state)
{
    bus_fixture *f = *state;
    dp_bus_detach(&f->map);
    dp_bus_close(&f->w, true);
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static inline dp_hash bus_key(const bus_fixture *f, const char *folder)
{
    return dp_topic_key(f->map.header->hash_key, dp_span_str("alice"),
                        DP_CLASS_EMAIL, dp_span_str(folder));
}

static inline dp_bus_ref bus_topic(bus_fixture *f, const char *folder)
{
    return dp_bus_topic_add(f->w, bus_key(f, folder), DP_BUS_NO_SLOT, 0);
}

#define BUS_TEST(name)                                                         \
    cmocka_unit_test_setup_teardown(name, bus_setup, bus_teardown)

#endif
