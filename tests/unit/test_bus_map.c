/* bus_map: attaching survives whatever lies under the name. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bus_fixture.h"

static void overwrite(const bus_fixture *f, off_t at, const void *p, size_t n)
{
    int fd = open(f->path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, at), n);
    close(fd);
}

static dp_bus_problem attach_problem(const bus_fixture *f)
{
    dp_bus_map map;
    dp_bus_problem problem = DP_BUS_SYSTEM;
    apr_status_t rv = dp_bus_attach(&map, f->path, &problem);
    assert_true((rv == APR_SUCCESS) == (problem == DP_BUS_OK));
    if (rv != APR_SUCCESS) {
        assert_null(map.header);
        assert_true(strlen(dp_bus_problem_text(problem)) > 10);
    }
    dp_bus_detach(&map);
    return problem;
}

static void a_reader_sees_the_writers_numbers(void **state)
{
    bus_fixture *f = *state;
    assert_int_equal(f->map.topic_cap, 64);
    assert_true(f->map.header->instance != 0);
    assert_true(dp_bus_head(&f->map) > 0);
    assert_false(dp_bus_is_alive(&f->map, 100, DP_SECOND_US));
    dp_bus_sign(f->w, 5 * DP_SECOND_US);
    assert_true(dp_bus_is_alive(&f->map, 6 * DP_SECOND_US, DP_SECOND_US));
    assert_false(
        dp_bus_is_alive(&f->map, 6 * DP_SECOND_US + 1, DP_SECOND_US));
    assert_false(dp_bus_is_alive(&f->map, 1, DP_SECOND_US));
}

static void a_leaving_writer_is_dead_at_once(void **state)
{
    bus_fixture *f = *state;
    dp_bus_sign(f->w, 5 * DP_SECOND_US);
    dp_bus_close(&f->w, true);
    assert_false(dp_bus_is_alive(&f->map, 5 * DP_SECOND_US, DP_SECOND_US));
}

static void the_file_is_for_owner_and_group_and_has_no_holes(void **state)
{
    bus_fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_true((uint64_t)st.st_blocks * 512 >= f->map.size);
}

static void every_kind_of_stranger_is_refused(void **state)
{
    bus_fixture *f = *state;
    uint32_t other = DP_BUS_ABI + 1, cap = 128, odd = 63, huge = 1u << 31;
    uint64_t off = 1ull << 60;
    uint8_t boot[16] = {1};
    const size_t cap_at = offsetof(dp_bus_header, topic_cap);
    const size_t off_at = offsetof(dp_bus_header, journal_off);
    const size_t boot_at = offsetof(dp_bus_header, boot_id);
    dp_bus_header keep;
    memcpy(&keep, (const void *)f->map.header, sizeof(keep));

    assert_int_equal(attach_problem(f), DP_BUS_OK);
    overwrite(f, offsetof(dp_bus_header, abi), &other, sizeof(other));
    assert_int_equal(attach_problem(f), DP_BUS_OTHER_ABI);
    overwrite(f, 0, &keep, sizeof(keep));
    overwrite(f, (off_t)cap_at, &cap, sizeof(cap));
    assert_int_equal(attach_problem(f), DP_BUS_NOT_A_BUS);
    overwrite(f, (off_t)cap_at, &odd, sizeof(odd));
    assert_int_equal(attach_problem(f), DP_BUS_NOT_A_BUS);
    overwrite(f, (off_t)cap_at, &huge, sizeof(huge));
    assert_int_equal(attach_problem(f), DP_BUS_NOT_A_BUS);
    overwrite(f, 0, &keep, sizeof(keep));
    overwrite(f, (off_t)off_at, &off, sizeof(off));
    assert_int_equal(attach_problem(f), DP_BUS_NOT_A_BUS);
    overwrite(f, 0, &keep, sizeof(keep));
    overwrite(f, (off_t)boot_at, boot, sizeof(boot));
    assert_int_equal(attach_problem(f), DP_BUS_OTHER_BOOT);
    overwrite(f, 0, "garbage!", 8);
    assert_int_equal(attach_problem(f), DP_BUS_NOT_A_BUS);
}

static void a_short_file_a_fifo_a_link_and_nothing_are_refused(void **state)
{
    bus_fixture *f = *state;
    char other[96];
    snprintf(other, sizeof(other), "%s/other", f->dir);
    dp_bus_detach(&f->map);
    dp_bus_close(&f->w, true);
    assert_int_equal(truncate(f->path, 4096), 0);
    assert_int_equal(attach_problem(f), DP_BUS_TRUNCATED);
    assert_int_equal(truncate(f->path, 10), 0);
    assert_int_equal(attach_problem(f), DP_BUS_TRUNCATED);
    assert_int_equal(rename(f->path, other), 0);
    assert_int_equal(attach_problem(f), DP_BUS_MISSING);
    assert_int_equal(symlink(other, f->path), 0);
    assert_int_equal(attach_problem(f), DP_BUS_NOT_A_BUS);
    unlink(f->path);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(attach_problem(f), DP_BUS_NOT_A_BUS);
    unlink(f->path);
    unlink(other);
}

static void a_new_file_takes_the_name_and_the_old_one_says_so(void **state)
{
    bus_fixture *f = *state;
    dp_bus_writer *newer;
    dp_bus_create_args args = bus_args(f);
    uint64_t old_instance = f->map.header->instance;
    uint64_t head = dp_bus_head(&f->map);
    assert_false(dp_bus_is_replaced(&f->map, f->path));
    args.head_at_least = head + 1000;
    assert_int_equal(dp_bus_create(&newer, &args), APR_SUCCESS);
    assert_true(dp_bus_is_replaced(&f->map, f->path));
    assert_true(dp_bus_is_replaced(&f->map, "/nonexistent"));
    assert_int_equal(dp_bus_head(&f->map), head); /* the mapping still works */
    assert_true(dp_bus_head(dp_bus_writer_map(newer)) > head + 1000);
    assert_true(dp_bus_writer_map(newer)->header->instance != old_instance);
    dp_bus_close(&newer, false);
}

static void a_wrong_capacity_changes_nothing(void **state)
{
    bus_fixture *f = *state;
    dp_bus_writer *w;
    dp_bus_create_args args = bus_args(f);
    args.topic_cap = 100;
    assert_int_equal(dp_bus_create(&w, &args), APR_EINVAL);
    assert_null(w);
    assert_false(dp_bus_is_replaced(&f->map, f->path));
}

/* A writer that died between the topic and the head, or within a hand-over. */
static void reopening_repairs_what_a_killed_writer_left(void **state)
{
    bus_fixture *f = *state;
    dp_bus_problem problem;
    dp_bus_ref inbox = bus_topic(f, "INBOX");
    dp_bus_ref torn = bus_topic(f, "Torn");
    dp_bus_vouch(f->w, inbox, 0);
    uint64_t head = dp_bus_head(&f->map);
    dp_bus_topic *t = (dp_bus_topic *)(uintptr_t)&dp_bus_writer_map(f->w)
                          ->topics[inbox.slot];
    atomic_store(&t->changed, head + 7);
    atomic_fetch_or(&t->flags, DP_BUS_TOPIC_COUNTING);
    t = (dp_bus_topic *)(uintptr_t)&dp_bus_writer_map(f->w)->topics[torn.slot];
    atomic_store(&t->gen, torn.gen | 1);
    dp_bus_close(&f->w, false);

    assert_int_equal(dp_bus_reopen(&f->w, f->path, &problem), APR_SUCCESS);
    assert_true(dp_bus_head(&f->map) >= head + 7);
    assert_true(dp_bus_look(&f->map, inbox).is_current);
    assert_false(dp_bus_look(&f->map, inbox).is_counted);
    dp_bus_publish(f->w, inbox, 1, 0, 0, NULL);
    assert_false(dp_bus_look(&f->map, inbox).is_counted);
    dp_bus_vouch(f->w, inbox, 0);
    assert_true(dp_bus_look(&f->map, inbox).is_counted);
    assert_false(dp_bus_look(&f->map, torn).is_current);
    assert_int_equal(dp_bus_find(&f->map, bus_key(f, "Torn")).slot,
                     DP_BUS_NO_SLOT);
    assert_int_equal(atomic_load(&f->map.header->topics_used), 1);
    assert_int_equal(atomic_load(&f->map.header->topics_watched), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BUS_TEST(a_reader_sees_the_writers_numbers),
        BUS_TEST(a_leaving_writer_is_dead_at_once),
        BUS_TEST(the_file_is_for_owner_and_group_and_has_no_holes),
        BUS_TEST(every_kind_of_stranger_is_refused),
        BUS_TEST(a_short_file_a_fifo_a_link_and_nothing_are_refused),
        BUS_TEST(a_new_file_takes_the_name_and_the_old_one_says_so),
        BUS_TEST(a_wrong_capacity_changes_nothing),
        BUS_TEST(reopening_repairs_what_a_killed_writer_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
