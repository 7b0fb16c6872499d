/* bus_create: when the system refuses, nothing is left behind, and what was
 * there before goes on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "bus_fixture.h"

#define NOBODY ((uid_t)65534)

/* The file of before is what readers find, and no half-made one lies there. */
static void assert_as_before(const bus_fixture *f)
{
    char temp[96];
    snprintf(temp, sizeof(temp), "%s.new", f->path);
    assert_int_not_equal(access(temp, F_OK), 0);
    assert_false(dp_bus_is_replaced(&f->map, f->path));
    assert_int_equal(atomic_load(&f->map.header->replaced), 0);
}

static void assert_refused(bus_fixture *f, const dp_bus_create_args *args,
                           apr_status_t why)
{
    dp_bus_writer *w = f->w;
    assert_int_equal(dp_bus_create(&w, args), why);
    assert_null(w);
}

static struct rlimit lower(int what, rlim_t to)
{
    struct rlimit old;
    assert_int_equal(getrlimit(what, &old), 0);
    assert_int_equal(setrlimit(what, &(struct rlimit){to, old.rlim_max}), 0);
    return old;
}

static void without_room_the_old_bus_stays(void **state)
{
    bus_fixture *f = *state;
    dp_bus_create_args args = bus_args(f);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old = lower(RLIMIT_FSIZE, 4096);
    dp_bus_writer *w;
    apr_status_t rv = dp_bus_create(&w, &args);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(rv, EFBIG);
    assert_null(w);
    assert_as_before(f);
}

static void without_address_space_neither_end_maps_it(void **state)
{
    bus_fixture *f = *state;
    dp_bus_create_args args = bus_args(f);
    dp_bus_writer *w;
    dp_bus_map map;
    dp_bus_problem problem = DP_BUS_OK;
    struct rlimit old = lower(RLIMIT_AS, 4096); /* less than there is */
    apr_status_t created = dp_bus_create(&w, &args);
    apr_status_t attached = dp_bus_attach(&map, f->path, &problem);
    setrlimit(RLIMIT_AS, &old);
    assert_int_equal(created, ENOMEM);
    assert_null(w);
    assert_int_equal(attached, ENOMEM);
    assert_int_equal(problem, DP_BUS_SYSTEM);
    assert_null(map.header);
    assert_as_before(f);
}

static void without_its_folder_there_is_no_bus(void **state)
{
    bus_fixture *f = *state;
    dp_bus_create_args args = bus_args(f);
    args.path = "/nonexistent/bus";
    assert_refused(f, &args, ENOENT);
    assert_as_before(f);
}

static void a_name_that_is_too_long_is_refused(void **state)
{
    bus_fixture *f = *state;
    static char path[5000];
    dp_bus_create_args args = bus_args(f);
    dp_bus_map map;
    dp_bus_problem problem;
    memset(path, 'x', sizeof(path) - 1);
    args.path = path;
    assert_refused(f, &args, APR_EINVAL);
    assert_int_equal(dp_bus_attach(&map, path, &problem), ENAMETOOLONG);
    assert_int_equal(problem, DP_BUS_SYSTEM);
}

static void a_folder_of_that_name_is_not_replaced(void **state)
{
    bus_fixture *f = *state;
    char path[80];
    dp_bus_create_args args = bus_args(f);
    snprintf(path, sizeof(path), "%s/folder", f->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    args.path = path;
    assert_refused(f, &args, EISDIR);
    assert_int_equal(rmdir(path), 0);
    char temp[96];
    snprintf(temp, sizeof(temp), "%s.new", path);
    assert_int_not_equal(access(temp, F_OK), 0);
}

/* A user who is not in the group can't give it the file. */
static void a_group_that_is_not_ours_is_refused(void **state)
{
    bus_fixture *f = *state;
    dp_bus_create_args args = bus_args(f);
    dp_bus_writer *w = NULL;
    bool is_root = geteuid() == 0;
    args.group = 0;
    assert_int_equal(chmod(f->dir, 0777), 0);
    if (is_root) {
        assert_int_equal(setegid((gid_t)NOBODY) | seteuid(NOBODY), 0);
    }
    apr_status_t rv = dp_bus_create(&w, &args);
    if (is_root) {
        assert_int_equal(seteuid(0) | setegid(0), 0);
    }
    if (rv == APR_SUCCESS) { /* root's group is among ours all the same */
        dp_bus_close(&w, false);
        skip();
    }
    assert_int_equal(rv, EPERM);
    assert_null(w);
    assert_as_before(f);
}

static void who_may_not_read_it_is_told_so(void **state)
{
    bus_fixture *f = *state;
    dp_bus_map map;
    dp_bus_problem problem = DP_BUS_OK;
    bool is_root = geteuid() == 0;
    assert_int_equal(chmod(f->path, 0), 0);
    if (is_root) {
        assert_int_equal(chmod(f->dir, 0755), 0);
        assert_int_equal(seteuid(NOBODY), 0);
    }
    apr_status_t rv = dp_bus_attach(&map, f->path, &problem);
    if (is_root) {
        assert_int_equal(seteuid(0), 0);
    }
    assert_int_equal(rv, EACCES);
    assert_int_equal(problem, DP_BUS_UNREADABLE);
}

static void every_problem_has_words_of_its_own(void **state)
{
    (void)state;
    for (int a = DP_BUS_OK; a <= DP_BUS_SYSTEM; a++) {
        const char *text = dp_bus_problem_text((dp_bus_problem)a);
        assert_true(strlen(text) > 5);
        for (int b = DP_BUS_OK; b < a; b++) {
            assert_string_not_equal(text,
                                    dp_bus_problem_text((dp_bus_problem)b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUS_TEST(without_room_the_old_bus_stays),
        BUS_TEST(without_address_space_neither_end_maps_it),
        BUS_TEST(without_its_folder_there_is_no_bus),
        BUS_TEST(a_name_that_is_too_long_is_refused),
        BUS_TEST(a_folder_of_that_name_is_not_replaced),
        BUS_TEST(a_group_that_is_not_ours_is_refused),
        BUS_TEST(who_may_not_read_it_is_told_so),
        BUS_TEST(every_problem_has_words_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
