/* notify: one inotify watch, and who is told of what in its directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watcher/notify.h"

typedef struct teller {
    dp_notify_named by_name;
    unsigned told_n;
    uint32_t mask; /* of all that it was told */
    dp_notify *notify;
    struct teller *drops; /* when told, or NULL */
} teller;

typedef struct fixture {
    char dir[64];
    int fd;
    dp_notify *notify;
} fixture;

static void no_overflow(void *ctx)
{
    fail();
}

static void told(void *ctx, const dp_notify_event *e)
{
    teller *t = ctx;
    t->told_n++;
    t->mask |= e->mask;
    if (t->drops) {
        dp_notify_drop(t->notify, &t->drops->by_name.sub);
    }
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/dp-notify-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->fd = open(f->dir, O_PATH | O_DIRECTORY);
    f->notify = dp_notify_new(no_overflow, NULL);
    assert_non_null(f->notify);
    *state = f;
    return 0;
}

static void make(const fixture *f, const char *name)
{
    assert_int_equal(mkdirat(f->fd, name, 0700), 0);
}

static int teardown(void **state)
{
    fixture *f = *state;
    unlinkat(f->fd, "bob", AT_REMOVEDIR);
    unlinkat(f->fd, "alice", AT_REMOVEDIR);
    dp_notify_free(&f->notify);
    close(f->fd);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void subscribe(fixture *f, teller *t, const char *name)
{
    *t = (teller){.notify = f->notify,
                  .by_name = {.sub = {.told = told,
                                      .ctx = t,
                                      .is_named = name != NULL},
                              .name = name}};
    assert_int_equal(dp_notify_add(f->notify, &t->by_name.sub, f->fd,
                                   DP_NOTIFY_NAMES),
                     0);
}

static void who_cares_for_a_name_is_told_of_that_entry_only(void **state)
{
    fixture *f = *state;
    teller all, alice, also_alice, bob;
    subscribe(f, &all, NULL);
    subscribe(f, &alice, "alice");
    subscribe(f, &also_alice, "alice");
    subscribe(f, &bob, "bob");
    assert_int_equal(dp_notify_watches(f->notify), 1);
    make(f, "alice");
    dp_notify_drain(f->notify);
    assert_int_equal(all.told_n, 1);
    assert_int_equal(alice.told_n, 1);
    assert_int_equal(also_alice.told_n, 1);
    assert_int_equal(bob.told_n, 0);
    dp_notify_drop(f->notify, &alice.by_name.sub);
    assert_int_equal(unlinkat(f->fd, "alice", AT_REMOVEDIR), 0);
    dp_notify_drain(f->notify);
    assert_int_equal(all.told_n, 2);
    assert_int_equal(alice.told_n, 1);
    assert_int_equal(also_alice.told_n, 2);
    dp_notify_drop(f->notify, &all.by_name.sub);
    dp_notify_drop(f->notify, &also_alice.by_name.sub);
    dp_notify_drop(f->notify, &bob.by_name.sub);
    assert_int_equal(dp_notify_watches(f->notify), 0);
}

static void all_are_told_when_the_directory_goes(void **state)
{
    fixture *f = *state;
    teller all, alice, bob;
    subscribe(f, &all, NULL);
    subscribe(f, &alice, "alice");
    subscribe(f, &bob, "bob");
    assert_int_equal(rmdir(f->dir), 0);
    close(f->fd); /* the inode goes with its last descriptor */
    f->fd = -1;
    dp_notify_drain(f->notify);
    assert_true(all.mask & IN_DELETE_SELF);
    assert_true(alice.mask & IN_DELETE_SELF);
    assert_true(bob.mask & IN_DELETE_SELF);
    assert_null(alice.by_name.sub.node);
    assert_int_equal(dp_notify_watches(f->notify), 0);
}

static void who_is_told_may_drop_the_next_one(void **state)
{
    fixture *f = *state;
    teller first, second, third;
    /* told newest first */
    subscribe(f, &third, "alice");
    subscribe(f, &second, "alice");
    subscribe(f, &first, "alice");
    first.drops = &second;
    make(f, "alice");
    dp_notify_drain(f->notify);
    assert_int_equal(first.told_n, 1);
    assert_int_equal(second.told_n, 0);
    assert_int_equal(third.told_n, 1);
    third.drops = &third;
    first.drops = &first;
    assert_int_equal(unlinkat(f->fd, "alice", AT_REMOVEDIR), 0);
    dp_notify_drain(f->notify);
    assert_int_equal(third.told_n, 2);
    assert_int_equal(dp_notify_watches(f->notify), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            who_cares_for_a_name_is_told_of_that_entry_only, setup, teardown),
        cmocka_unit_test_setup_teardown(all_are_told_when_the_directory_goes,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_told_may_drop_the_next_one,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
