/* Wants, what is published of them, and what survives: with a bus in a
 * temporary directory and no source at all. */
#include <fcntl.h>
#include <sys/stat.h>

#include "bus_fixture.h"
#include "bus/bus_link.h"
#include "watcher/emit.h"
#include "watcher/log.h"
#include "watcher/state_record.h"
#include "watcher/wanted.h"

typedef struct fixture {
    bus_fixture *bus;
    dp_loop *loop;
    dp_state *state;
    dp_wants *wants;
    dp_emit *emit;
    int moved;
} fixture;

static void note_moved(void *ctx)
{
    ((fixture *)ctx)->moved++;
}

static void note_ending(void *ctx, dp_want *want)
{
    dp_emit_ending(((fixture *)ctx)->emit, want);
}

static void open_parts(fixture *f)
{
    dp_wants_limits limits = {4};
    const dp_bus_map *map = dp_bus_writer_map(f->bus->w);
    f->loop = dp_loop_new();
    f->state = dp_state_open(f->bus->dir);
    dp_state_begin(f->state, map->header->instance, dp_bus_head(map));
    f->wants = dp_wants_new(f->loop, f->bus->w, &limits);
    f->emit = dp_emit_new(f->loop, f->bus->w, f->wants, f->state);
    dp_wants_on_end(f->wants, note_ending, f);
    dp_emit_set_hooks(f->emit, &(dp_emit_hooks){.moved = note_moved, .ctx = f});
}

static void close_parts(fixture *f)
{
    dp_wants_free(&f->wants);
    dp_emit_free(&f->emit);
    dp_state_close(&f->state);
    dp_loop_free(&f->loop);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    bus_setup((void **)&f->bus);
    open_parts(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char path[96];
    close_parts(f);
    snprintf(path, sizeof(path), "%s/seq", f->bus->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/cursors.mdb", f->bus->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/wanted", f->bus->dir);
    unlink(path);
    bus_teardown((void **)&f->bus);
    free(f);
    return 0;
}

static dp_want *get(fixture *f, const char *folder)
{
    return dp_wants_get(f->wants, "alice", DP_CLASS_EMAIL, folder);
}

static dp_bus_view look(fixture *f, const dp_want *want)
{
    return dp_bus_look(&f->bus->map, want->ref);
}

/* One seq, and how many there were. */
static void changes_of_a_turn_are_published_together(void **state)
{
    fixture *f = *state;
    dp_want *inbox = get(f, "INBOX");
    dp_emit_change(f->emit, inbox, true, 1);
    dp_emit_flush(f->emit);
    assert_int_equal(look(f, inbox).changed, 0); /* not vouched for yet */
    dp_emit_vouch(f->emit, inbox);
    uint64_t head = dp_bus_head(&f->bus->map);
    dp_emit_change(f->emit, inbox, false, 1);
    dp_emit_change(f->emit, inbox, true, 1);
    dp_emit_change(f->emit, inbox, false, 1);
    f->moved = 0;
    dp_emit_flush(f->emit);
    assert_int_equal(f->moved, 1);
    assert_int_equal(look(f, inbox).changed_new, head + 1);
    assert_int_equal(look(f, inbox).adds_n, 1);
    assert_int_equal(look(f, inbox).others_n, 2);
    assert_int_equal(dp_bus_head(&f->bus->map), head + 1);
    dp_emit_flush(f->emit);
    assert_int_equal(f->moved, 1);
    dp_emit_change(f->emit, inbox, true, 1);
    dp_emit_flush(f->emit);
    assert_int_equal(dp_bus_head(&f->bus->map), head + 2);
    assert_int_equal(look(f, inbox).adds_n, 2);
    dp_emit_change(f->emit, inbox, true, DP_BUS_MANY); /* and one is as many */
    dp_emit_change(f->emit, inbox, true, 1);
    dp_emit_flush(f->emit);
    assert_int_equal(look(f, inbox).adds_n, 2 + DP_BUS_MANY);
    assert_int_equal(look(f, inbox).others_n, 2 + DP_BUS_MANY);
}

static void losing_publishes_first_and_says_so_once(void **state)
{
    fixture *f = *state;
    dp_want *inbox = get(f, "INBOX");
    dp_emit_vouch(f->emit, inbox);
    dp_emit_change(f->emit, inbox, true, 1);
    dp_emit_lost(f->emit, inbox, "a test");
    dp_bus_view v = look(f, inbox);
    assert_true(v.changed > 0);
    assert_int_equal(v.watched_from, DP_BUS_UNWATCHED);
    uint64_t head = dp_bus_head(&f->bus->map);
    dp_emit_lost(f->emit, inbox, "a test");
    assert_int_equal(dp_bus_head(&f->bus->map), head);
}

static void an_old_cursor_decides_about_the_first_vouching(void **state)
{
    static const struct {
        dp_cursor now;
        bool is_changed, is_new, is_afresh;
    } cases[] = {
        {{.names = 1, .identity = 9, .trip = 3}, false, false, false},
        {{.names = 1, .identity = 9, .trip = 4}, true, false, false},
        {{.names = 2, .identity = 9, .trip = 3}, true, true, false},
        {{.names = 1, .identity = 8, .trip = 3}, false, false, true},
    };
    fixture *f = *state;
    dp_want *inbox = get(f, "INBOX");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t head = dp_bus_head(&f->bus->map);
        dp_bus_view before = look(f, inbox);
        inbox->is_vouched = false;
        inbox->is_restored = true;
        inbox->old_watched_from = 1;
        inbox->old_cursor = (dp_cursor){.names = 1, .identity = 9, .trip = 3};
        inbox->cursor = cases[i].now;
        dp_emit_vouch(f->emit, inbox);
        dp_bus_view v = look(f, inbox);
        assert_true((v.changed != before.changed) == cases[i].is_changed);
        assert_true((v.changed_new != before.changed_new) == cases[i].is_new);
        assert_true((v.watched_from > head) == cases[i].is_afresh);
        assert_false(inbox->is_restored);
    }
}

static void folders_beyond_the_limit_fold_into_the_class(void **state)
{
    fixture *f = *state;
    dp_want *a = get(f, "A");
    get(f, "B"), get(f, "C"), get(f, "D");
    dp_want *e = get(f, "E");
    assert_string_equal(e->folder, "*");
    assert_ptr_equal(get(f, "F"), e);
    assert_int_equal(dp_wants_n(f->wants), 5);
    const dp_bus_topic *t = &f->bus->map.topics[a->ref.slot];
    assert_int_equal(atomic_load(&t->class_slot), e->ref.slot);
    dp_want_add_alias(f->wants, e, "alice", "E");
    assert_int_equal(dp_bus_find(&f->bus->map, bus_key(f->bus, "E")).slot,
                     e->ref.slot);
    dp_want_end(f->wants, &e);
    assert_int_equal(dp_bus_find(&f->bus->map, bus_key(f->bus, "E")).slot,
                     DP_BUS_NO_SLOT);
    assert_int_equal(atomic_load(&t->class_slot), DP_BUS_NO_SLOT);
}

static void an_expired_want_gives_its_slot_back(void **state)
{
    fixture *f = *state;
    dp_want *inbox = get(f, "INBOX");
    dp_bus_ref ref = inbox->ref;
    dp_emit_vouch(f->emit, inbox);
    dp_want_add_alias(f->wants, inbox, "alice@example.com", "INBOX");
    dp_want_end(f->wants, &inbox);
    assert_false(dp_bus_look(&f->bus->map, ref).is_current);
    assert_int_equal(dp_wants_n(f->wants), 0);
    assert_int_equal(atomic_load(&f->bus->map.header->topics_used), 0);
}

static void records_survive_the_way_there_and_back(void **state)
{
    fixture *f = *state;
    char *bytes;
    dp_state_record r;
    dp_want *inbox = get(f, "INBOX");
    inbox->cursor = (dp_cursor){1, 2, 3, 4, 5};
    inbox->renewed_us = 77;
    dp_want_add_alias(f->wants, inbox, "alice", "/guid/x");
    size_t n = dp_state_pack(inbox, 42, &bytes);
    assert_true(dp_state_unpack(bytes, n, &r));
    assert_string_equal(r.user, "alice");
    assert_string_equal(r.folder, "INBOX");
    assert_int_equal(r.aliases_n, 1);
    assert_string_equal(r.alias_folder[0], "/guid/x");
    assert_int_equal(r.changed, 42);
    assert_int_equal(r.renewed_us, 77);
    assert_int_equal(r.cursor.trip, 5);
    for (size_t cut = 0; cut < n; cut++) { /* a record cut off is none */
        char *exact = malloc(cut + 1);
        memcpy(exact, bytes, cut);
        assert_false(dp_state_unpack(exact, cut, &r));
        free(exact);
    }
    free(bytes);
}

static void count_record(void *ctx, const dp_state_record *r)
{
    assert_string_equal(r->user, "alice");
    ++*(int *)ctx;
}

static void stored_records_are_of_their_instance(void **state)
{
    fixture *f = *state;
    int n = 0;
    dp_want *inbox = get(f, "INBOX"), *sent = get(f, "Sent");
    dp_state_put(f->state, inbox, 1);
    dp_state_put(f->state, sent, 1);
    dp_state_del(f->state, sent);
    dp_state_commit(f->state);
    dp_state_each(f->state, count_record, &n);
    assert_int_equal(n, 1);
    uint64_t instance = dp_state_instance(f->state);
    uint64_t ceiling = dp_state_ceiling(f->state);
    dp_state_close(&f->state);

    f->state = dp_state_open(f->bus->dir);
    assert_true(dp_state_instance(f->state) == instance);
    assert_true(dp_state_ceiling(f->state) == ceiling);
    dp_state_begin(f->state, instance, ceiling);
    assert_true(dp_state_ceiling(f->state) > ceiling);
    n = 0;
    dp_state_each(f->state, count_record, &n);
    assert_int_equal(n, 1);
    dp_state_close(&f->state);

    f->state = dp_state_open(f->bus->dir);
    dp_state_begin(f->state, instance + 1, 5);
    n = 0;
    dp_state_each(f->state, count_record, &n);
    assert_int_equal(n, 0);
}

static void seqs_are_leased_ahead(void **state)
{
    fixture *f = *state;
    uint64_t ceiling = dp_state_ceiling(f->state);
    dp_state_lease(f->state, ceiling - 10);
    assert_true(dp_state_ceiling(f->state) > ceiling);
    ceiling = dp_state_ceiling(f->state);
    dp_state_lease(f->state, 5);
    assert_true(dp_state_ceiling(f->state) == ceiling);
}

static void a_state_of_garbage_is_no_state(void **state)
{
    fixture *f = *state;
    static const char *const texts[] = {
        "", "directpushd 1\ninstance x", "directpushd 2\n",
        "directpushd 1\ninstance 5\nceiling 7\nboot 00\nend\n"};
    char path[96];
    snprintf(path, sizeof(path), "%s/seq", f->bus->dir);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        dp_state_close(&f->state);
        int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
        assert_int_equal(write(fd, texts[i], strlen(texts[i])),
                         strlen(texts[i]));
        close(fd);
        f->state = dp_state_open(f->bus->dir);
        assert_true(dp_state_instance(f->state) == 0);
    }
}

static bool is_next(dp_wanted *w, const char *expected)
{
    dp_span user, folder;
    dp_class class;
    char text[128];
    if (!dp_wanted_next(w, &user, &class, &folder)) {
        return *expected == '\0';
    }
    snprintf(text, sizeof(text), "%.*s %s %.*s", (int)user.n,
             (const char *)user.p, dp_class_name(class), (int)folder.n,
             (const char *)folder.p);
    return strcmp(text, expected) == 0;
}

/* For a start with another bus: what is vouched for, and asked for of late. */
static void names_of_what_was_watched_are_written_and_taken_once(void **state)
{
    fixture *f = *state;
    const dp_time_us now_us = DP_LINK_WATCH_EXPIRY_S * DP_SECOND_US;
    dp_want *odd = get(f, "a\tb%"), *old = get(f, "Old");
    dp_want_renew(f->wants, odd, now_us);
    dp_want_renew(f->wants, old, now_us / 2 - 1);
    dp_emit_vouch(f->emit, odd);
    dp_emit_vouch(f->emit, old);
    dp_want_renew(f->wants, get(f, "Unwatched"), now_us);
    assert_int_equal(dp_wanted_write(f->bus->dir, f->wants, now_us), 0);
    dp_wanted *w = dp_wanted_take(f->bus->dir);
    assert_non_null(w);
    assert_true(is_next(w, "alice Email a\tb%"));
    assert_true(is_next(w, ""));
    dp_wanted_free(&w);
    assert_null(dp_wanted_take(f->bus->dir));
}

static void names_of_garbage_are_left_out(void **state)
{
    static const char text[] = "\n\t\nbob\nbob\tEmail\tA\tB\nbob\tEmail\t%Z\n"
                               "bob\tEmail\tINBOX\nno end\tEmail\tINBOX";
    fixture *f = *state;
    char path[96];
    snprintf(path, sizeof(path), "%s/wanted", f->bus->dir);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    dp_wanted *w = dp_wanted_take(f->bus->dir);
    assert_true(is_next(w, "bob Email INBOX"));
    assert_true(is_next(w, ""));
    dp_wanted_free(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(changes_of_a_turn_are_published_together),
        TEST(losing_publishes_first_and_says_so_once),
        TEST(an_old_cursor_decides_about_the_first_vouching),
        TEST(folders_beyond_the_limit_fold_into_the_class),
        TEST(an_expired_want_gives_its_slot_back),
        TEST(records_survive_the_way_there_and_back),
        TEST(stored_records_are_of_their_instance),
        TEST(seqs_are_leased_ahead),
        TEST(a_state_of_garbage_is_no_state),
        TEST(names_of_what_was_watched_are_written_and_taken_once),
        TEST(names_of_garbage_are_left_out),
    };
    dp_log_set_level(DP_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
