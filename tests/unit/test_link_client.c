/* The child's connections to the watcher, against a server that does what the
 * test says, step by step. Connecting needs no accept(), so one thread does
 * for both ends, but for the publisher, which waits. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus_fixture.h"
#include "hold/link_client.h"

#define NOW ((dp_time_us)1000 * DP_SECOND_US)

typedef struct box {
    char dir[64], path[96];
    int listener;
    int request, wake; /* the server's ends */
    dp_link_client l;
    unsigned answers_n, oks_n;
    uint64_t last_key;
    dp_bus_ref last_ref;
} box;

static int listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int setup(void **state)
{
    box *b = calloc(1, sizeof(*b));
    snprintf(b->dir, sizeof(b->dir), "/tmp/dp-link-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    snprintf(b->path, sizeof(b->path), "%s/control.sock", b->dir);
    b->listener = listen_at(b->path);
    b->request = b->wake = -1;
    dp_link_init(&b->l);
    *state = b;
    return 0;
}

static void hang_up(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int teardown(void **state)
{
    box *b = *state;
    dp_link_close(&b->l);
    hang_up(&b->request);
    hang_up(&b->wake);
    hang_up(&b->listener);
    unlink(b->path);
    rmdir(b->dir);
    free(b);
    return 0;
}

static void says(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expects(int fd, const char *text)
{
    char buf[256];
    size_t n = 0, want = strlen(text);
    assert_true(want < sizeof(buf));
    while (n < want) {
        ssize_t k = recv(fd, buf + n, want - n, 0);
        assert_true(k > 0);
        n += (size_t)k;
    }
    buf[n] = '\0';
    assert_string_equal(buf, text);
}

static void on_watch(void *ctx, dp_hash key, bool is_ok, dp_bus_ref told)
{
    box *b = ctx;
    b->answers_n++;
    b->oks_n += is_ok;
    b->last_key = key.w[0];
    b->last_ref = told;
}

static bool reads(box *b)
{
    return dp_link_read(&b->l, on_watch, b, NOW);
}

static void opened(box *b)
{
    assert_int_equal(dp_link_open(&b->l, b->path, NOW), 0);
    assert_int_equal(b->l.state, DP_LINK_GREETING);
    b->request = accept(b->listener, NULL, NULL);
    b->wake = accept(b->listener, NULL, NULL);
    assert_true(dp_link_flush(&b->l));
    expects(b->request, "hello\tmodule\t1\n");
    expects(b->wake, "wake\n");
}

static void welcomed(box *b)
{
    opened(b);
    says(b->request, "ok\t77\n");
    says(b->wake, "ok\n");
    assert_true(reads(b));
    assert_true(dp_link_read_wake(&b->l, NOW));
    assert_int_equal(b->l.state, DP_LINK_READY);
}

static void ask(box *b, uint64_t key, const char *folder)
{
    dp_link_send_watch(&b->l, (dp_hash){{key, key}}, DP_SPAN_LIT("alice"),
                       "Email", dp_span_str(folder));
}

static void nobody_there_is_an_errno(void **state)
{
    box *b = *state;
    hang_up(&b->listener);
    assert_int_equal(dp_link_open(&b->l, b->path, NOW), ECONNREFUSED);
    unlink(b->path);
    assert_int_equal(dp_link_open(&b->l, b->path, NOW), ENOENT);
    assert_int_equal(b->l.state, DP_LINK_DOWN);
    assert_int_equal(b->l.fd, -1);
    char path[200];
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(dp_link_open(&b->l, path, NOW), ENAMETOOLONG);
}

static void both_connections_must_be_welcome(void **state)
{
    box *b = *state;
    opened(b);
    says(b->wake, "ok\n");
    assert_true(dp_link_read_wake(&b->l, NOW));
    assert_int_equal(b->l.state, DP_LINK_GREETING);
    says(b->request, "ok\t77\n");
    assert_true(reads(b));
    assert_int_equal(b->l.state, DP_LINK_READY);
}

static void a_refusal_breaks_the_link(void **state)
{
    box *b = *state;
    opened(b);
    says(b->request, "no\tquota\n");
    assert_false(reads(b));
    dp_link_close(&b->l);
    hang_up(&b->request);
    hang_up(&b->wake);
    opened(b);
    says(b->wake, "no\tquota\n");
    assert_false(dp_link_read_wake(&b->l, NOW));
}

static void before_the_welcome_nothing_is_asked(void **state)
{
    box *b = *state;
    opened(b);
    ask(b, 1, "INBOX");
    dp_link_send_ping(&b->l, (dp_hash){{1, 2}}, 3);
    assert_int_equal(b->l.out_n, 0);
}

static void answers_pair_up_with_questions_in_order(void **state)
{
    box *b = *state;
    welcomed(b);
    ask(b, 1, "INBOX");
    ask(b, 2, "A\tb");
    assert_true(dp_link_flush(&b->l));
    expects(b->request, "watch\talice\tEmail\tINBOX\n"
                        "watch\talice\tEmail\tA%09b\n");
    says(b->request, "ok\t5\t8\n");
    assert_true(reads(b));
    assert_int_equal(b->last_key, 1);
    assert_int_equal(b->last_ref.slot, 5);
    assert_int_equal(b->last_ref.gen, 8);
    says(b->request, "no\tno such folder\n");
    assert_true(reads(b));
    assert_int_equal(b->last_key, 2);
    assert_int_equal(b->last_ref.slot, DP_BUS_NO_SLOT);
    assert_int_equal(b->oks_n, 1);
    assert_int_equal(b->l.asked_n, 0);
}

static void an_answer_may_come_in_any_pieces(void **state)
{
    box *b = *state;
    static const char text[] = "ok\t5\t8\nno\tx\nok\t6\t2\n";
    welcomed(b);
    ask(b, 1, "INBOX");
    ask(b, 2, "Work");
    ask(b, 3, "Lists");
    for (const char *at = text; *at; at++) {
        char one[2] = {*at, '\0'};
        says(b->request, one);
        assert_true(reads(b));
    }
    assert_int_equal(b->answers_n, 3);
    assert_int_equal(b->last_ref.slot, 6);
}

static void numbers_that_are_none_are_no_slot(void **state)
{
    box *b = *state;
    welcomed(b);
    const char *answers[] = {"ok\n", "ok\t5\n", "ok\tx\t8\n", "ok\t5\t\n",
                             "ok\t4294967295\t2\n", "ok\t5\t4294967296\n"};
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        ask(b, i + 1, "INBOX");
        says(b->request, answers[i]);
        assert_true(reads(b));
        assert_int_equal(b->last_key, i + 1);
        assert_int_equal(b->last_ref.slot, DP_BUS_NO_SLOT);
    }
    assert_int_equal(b->oks_n, 6);
}

static void an_answer_that_nobody_asked_for_breaks_the_link(void **state)
{
    box *b = *state;
    welcomed(b);
    says(b->request, "ok\t1\t2\n");
    assert_false(reads(b));
}

static void an_endless_line_breaks_the_link(void **state)
{
    box *b = *state;
    char much[DP_LINK_LINE_MAX];
    welcomed(b);
    ask(b, 1, "INBOX");
    memset(much, 'x', sizeof(much));
    assert_int_equal(send(b->request, much, sizeof(much), MSG_NOSIGNAL),
                     sizeof(much));
    assert_false(reads(b));
}

static void hanging_up_breaks_the_link(void **state)
{
    box *b = *state;
    welcomed(b);
    hang_up(&b->request);
    assert_false(reads(b));
    hang_up(&b->wake);
    assert_false(dp_link_read_wake(&b->l, NOW));
    ask(b, 1, "INBOX");
    assert_false(dp_link_flush(&b->l)); /* and raises no signal */
}

static void wakes_are_swallowed_however_many(void **state)
{
    box *b = *state;
    char many[1000];
    welcomed(b);
    memset(many, 'w', sizeof(many));
    assert_int_equal(send(b->wake, many, sizeof(many), MSG_NOSIGNAL),
                     sizeof(many));
    assert_true(dp_link_read_wake(&b->l, NOW));
    struct pollfd p = {.fd = b->l.wake_fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
}

static void a_watcher_that_does_not_read_is_given_up_before_long(void **state)
{
    box *b = *state;
    char folder[1001];
    bool is_up = true;
    unsigned asked = 0;
    memset(folder, 'f', sizeof(folder) - 1);
    folder[sizeof(folder) - 1] = '\0';
    welcomed(b);
    while (is_up && asked < 100000) {
        ask(b, ++asked, folder);
        is_up = dp_link_flush(&b->l);
    }
    assert_false(is_up);
    assert_true(b->l.out_n <= DP_LINK_QUEUE_MAX);
    assert_true(asked > DP_LINK_QUEUE_MAX / 1100);
}

static void what_found_no_room_gives_the_link_up_though_it_moves_again(
    void **state)
{
    box *b = *state;
    char folder[1001], buf[65536];
    memset(folder, 'f', sizeof(folder) - 1);
    folder[sizeof(folder) - 1] = '\0';
    welcomed(b);
    for (unsigned i = 0; i < DP_LINK_QUEUE_MAX / 1000; i++) {
        ask(b, i, folder);
    }
    assert_true(b->l.is_overfull);
    assert_true(recv(b->request, buf, sizeof(buf), MSG_DONTWAIT) < 0);
    assert_false(dp_link_flush(&b->l));
}

static void thousands_of_questions_keep_their_order(void **state)
{
    box *b = *state;
    enum { MANY = 20000 };
    char buf[65536];
    unsigned asked = 0, told = 0;
    welcomed(b);
    while (told < MANY) {
        for (int i = 0; i < 700 && asked < MANY; i++) {
            ask(b, ++asked, "INBOX");
        }
        assert_true(dp_link_flush(&b->l));
        while (recv(b->request, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
            assert_true(dp_link_flush(&b->l));
        }
        for (int i = 0; i < 600 && told < asked; i++) {
            says(b->request, "ok\t1\t2\n");
            told++;
            assert_true(reads(b));
            assert_int_equal(b->last_key, told);
        }
    }
}

static void a_name_too_long_for_a_line_is_not_asked_for(void **state)
{
    box *b = *state;
    static char name[DP_LINK_LINE_MAX + 1];
    welcomed(b);
    memset(name, 'n', DP_LINK_LINE_MAX);
    ask(b, 1, name);
    assert_int_equal(b->l.out_n, 0);
    assert_int_equal(b->l.asked_n, 0);
}

static void a_ping_is_told_as_the_protocol_has_it(void **state)
{
    box *b = *state;
    welcomed(b);
    dp_link_send_ping(&b->l, (dp_hash){{0x1, 0xABCDEF0123456789}}, 42);
    assert_true(dp_link_flush(&b->l));
    expects(b->request, "ping\t0000000000000001abcdef0123456789\t42\n");
}

/* The publisher. */

/* What the server does with one connection after another: NULL hangs up,
 * "" says nothing and waits for the client to go, else the answer to a line;
 * '|' parts what is sent in several pieces. */
typedef struct script {
    int listener;
    const char *const *steps;
    size_t n;
    unsigned lines_n, connections_n;
} script;

static bool take_line(int fd)
{
    char c;
    ssize_t n;
    while ((n = recv(fd, &c, 1, 0)) == 1 && c != '\n') {
    }
    return n == 1;
}

static void say_in_pieces(int fd, const char *text)
{
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, "|");
        send(fd, at, n, MSG_NOSIGNAL);
        at += n + (at[n] == '|');
        sched_yield();
    }
}

static void *play(void *arg)
{
    script *s = arg;
    int fd = -1;
    for (size_t i = 0; i < s->n; i++) {
        if (fd < 0) {
            fd = accept(s->listener, NULL, NULL);
            s->connections_n++;
        }
        if (!s->steps[i]) {
            hang_up(&fd);
            continue;
        }
        s->lines_n += take_line(fd);
        say_in_pieces(fd, s->steps[i]);
        if (!*s->steps[i]) {
            take_line(fd); /* until it hangs up */
            hang_up(&fd);
        }
    }
    hang_up(&fd);
    return NULL;
}

typedef struct published {
    bool is_ok;
    uint64_t seq, prev;
} published;

static published publish(dp_link_publisher *p)
{
    published r = {.seq = 0};
    r.is_ok = dp_link_publish(p, DP_SPAN_LIT("alice"), "Email",
                              DP_SPAN_LIT("INBOX"), true, &r.seq, &r.prev);
    return r;
}

#define PLAY(b, s, ...)                                                        \
    static const char *const steps_[] = {__VA_ARGS__};                         \
    script s = {(b)->listener, steps_, sizeof(steps_) / sizeof(*steps_), 0, 0};\
    pthread_t thread_;                                                         \
    assert_int_equal(pthread_create(&thread_, NULL, play, &s), 0)

#define END_PLAY() pthread_join(thread_, NULL)

static void publishing_says_seq_and_the_one_before(void **state)
{
    box *b = *state;
    dp_link_publisher *p = dp_link_publisher_make(b->path, 20 * DP_SECOND_US);
    PLAY(b, s, "ok\t12\t9\n", "o|k\t13|\t1|2\n");
    published r = publish(p);
    assert_true(r.is_ok);
    assert_int_equal(r.seq, 12);
    assert_int_equal(r.prev, 9);
    r = publish(p);
    assert_int_equal(r.seq, 13);
    assert_int_equal(r.prev, 12);
    END_PLAY();
    assert_int_equal(s.connections_n, 1);
    dp_link_publisher_free(&p);
    assert_null(p);
}

static void publishing_to_nobody_fails(void **state)
{
    box *b = *state;
    dp_link_publisher *p = dp_link_publisher_make("/nowhere", DP_SECOND_US);
    hang_up(&b->listener);
    assert_false(publish(p).is_ok);
    dp_link_publisher_free(&p);
}

static void a_path_too_long_is_not_another_path(void **state)
{
    box *b = *state;
    char path[300];
    struct sockaddr_un a;
    memset(path, 'x', sizeof(path));
    memcpy(path, b->dir, strlen(b->dir));
    path[strlen(b->dir)] = '/';
    path[sizeof(path) - 1] = '\0';
    char cut[sizeof(a.sun_path)];
    memcpy(cut, path, sizeof(cut) - 1);
    cut[sizeof(cut) - 1] = '\0';
    int other = listen_at(cut);
    dp_link_publisher *p = dp_link_publisher_make(path, DP_SECOND_US / 10);
    assert_false(publish(p).is_ok);
    struct pollfd pf = {.fd = other, .events = POLLIN};
    assert_int_equal(poll(&pf, 1, 0), 0); /* nobody came */
    dp_link_publisher_free(&p);
    close(other);
    unlink(cut);
}

static void a_watcher_that_was_restarted_is_reached_within_the_call(
    void **state)
{
    box *b = *state;
    dp_link_publisher *p = dp_link_publisher_make(b->path, 20 * DP_SECOND_US);
    PLAY(b, s, "ok\t1\t0\n", NULL, "ok\t2\t1\n");
    assert_true(publish(p).is_ok);
    published r = publish(p);
    assert_true(r.is_ok);
    assert_int_equal(r.seq, 2);
    END_PLAY();
    assert_int_equal(s.connections_n, 2);
    dp_link_publisher_free(&p);
}

static void garbage_is_no_answer_and_the_connection_is_made_anew(void **state)
{
    box *b = *state;
    dp_link_publisher *p = dp_link_publisher_make(b->path, 20 * DP_SECOND_US);
    PLAY(b, s, "%%%\n", NULL, "ok\tx\ty\n", "no\tquota\n", "ok\t7\t0\n");
    assert_false(publish(p).is_ok);
    assert_false(publish(p).is_ok);
    assert_false(publish(p).is_ok);
    assert_true(publish(p).is_ok); /* `no` is an answer: it stays */
    END_PLAY();
    assert_int_equal(s.connections_n, 2);
    dp_link_publisher_free(&p);
}

static void a_watcher_that_hangs_is_not_told_twice(void **state)
{
    box *b = *state;
    dp_link_publisher *p = dp_link_publisher_make(b->path, DP_SECOND_US / 20);
    PLAY(b, s, "");
    assert_false(publish(p).is_ok);
    END_PLAY(); /* the publisher has let go of the connection */
    assert_int_equal(s.connections_n, 1);
    assert_int_equal(s.lines_n, 1);
    dp_link_publisher_free(&p);
}

#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(nobody_there_is_an_errno),
        BOX_TEST(both_connections_must_be_welcome),
        BOX_TEST(a_refusal_breaks_the_link),
        BOX_TEST(before_the_welcome_nothing_is_asked),
        BOX_TEST(answers_pair_up_with_questions_in_order),
        BOX_TEST(an_answer_may_come_in_any_pieces),
        BOX_TEST(numbers_that_are_none_are_no_slot),
        BOX_TEST(an_answer_that_nobody_asked_for_breaks_the_link),
        BOX_TEST(an_endless_line_breaks_the_link),
        BOX_TEST(hanging_up_breaks_the_link),
        BOX_TEST(wakes_are_swallowed_however_many),
        BOX_TEST(a_watcher_that_does_not_read_is_given_up_before_long),
        BOX_TEST(
            what_found_no_room_gives_the_link_up_though_it_moves_again),
        BOX_TEST(thousands_of_questions_keep_their_order),
        BOX_TEST(a_name_too_long_for_a_line_is_not_asked_for),
        BOX_TEST(a_ping_is_told_as_the_protocol_has_it),
        BOX_TEST(publishing_says_seq_and_the_one_before),
        BOX_TEST(publishing_to_nobody_fails),
        BOX_TEST(a_path_too_long_is_not_another_path),
        BOX_TEST(a_watcher_that_was_restarted_is_reached_within_the_call),
        BOX_TEST(garbage_is_no_answer_and_the_connection_is_made_anew),
        BOX_TEST(a_watcher_that_hangs_is_not_told_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
