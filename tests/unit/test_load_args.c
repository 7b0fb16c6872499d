/* load_args: a command line to a plan. What is wrong is said on standard
 * error, which the tests leave to itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools/device/load_args.h"

#define WORDS_MAX   32
#define DESCRIPTORS 20000

static char line[1024];
static char *words[WORDS_MAX + 1];

/* Split at blanks, as a shell does. */
static int split(const char *text)
{
    int n = 0;
    char *rest = NULL;
    snprintf(line, sizeof(line), "directpush-device %s", text);
    for (char *word = strtok_r(line, " ", &rest); word && n < WORDS_MAX;
         word = strtok_r(NULL, " ", &rest)) {
        words[n++] = word;
    }
    words[n] = NULL;
    return n;
}

static dp_args_result parse(const char *text, dp_load_args *out)
{
    return dp_load_args_parse(split(text), words, DESCRIPTORS, out);
}

static void assert_right(const char *text, dp_load_args *out)
{
    assert_int_equal(parse(text, out), DP_ARGS_RUN);
}

static void assert_wrong(const char *text)
{
    dp_load_args a;
    assert_int_equal(parse(text, &a), DP_ARGS_WRONG);
    dp_load_args_free(&a);
}

#define MANY "--devices 1000 --steps hold=1000 "

static void a_load_is_told_from_one_phone(void **state)
{
    (void)state;
    assert_true(dp_load_args_are_meant(split("--json --devices 5 x"), words));
    assert_true(dp_load_args_are_meant(split("--devices=5"), words));
    assert_false(dp_load_args_are_meant(split("--device-id x url u"), words));
    assert_false(dp_load_args_are_meant(split("-- --devices 5"), words));
}

static void what_is_not_said_is_chosen(void **state)
{
    dp_load_args a;
    (void)state;
    assert_right(MANY "http://127.0.0.1:8080 user%d", &a);
    assert_int_equal(a.devices, 1000);
    assert_int_equal(a.processes, 2);
    assert_int_equal(a.per_user, 10);
    assert_int_equal(a.sources, 1);
    assert_int_equal(a.heartbeat_s, 3540);
    assert_string_equal(a.folder, "Inbox");
    assert_false(a.is_json || a.is_insecure || a.wants_no_retry ||
                 a.wants_full_handshakes || a.is_longpoll);
    assert_null(a.trace_file);
    dp_load_args_free(&a);
    assert_right(MANY "--trace /tmp/t http://127.0.0.1:8080 user%d", &a);
    assert_string_equal(a.trace_file, "/tmp/t");
    dp_load_args_free(&a);
}

static void processes_and_sources_grow_with_the_devices(void **state)
{
    dp_load_args a;
    (void)state;
    assert_right("--devices 100000 --steps quit http://localhost user%d", &a);
    assert_int_equal(a.processes, 6); /* 19,936 descriptors each */
    assert_int_equal(a.sources, 5);
    dp_load_args_free(&a);
    assert_right("--devices 1 --steps quit http://127.0.0.1 user%d", &a);
    assert_int_equal(a.processes, 1);
    dp_load_args_free(&a);
}

static void too_few_descriptors_are_said_beforehand(void **state)
{
    (void)state;
    assert_wrong("--devices 50000 --processes 2 --steps quit "
                 "http://127.0.0.1 user%d");
}

static void sources_are_for_this_machine(void **state)
{
    dp_load_args a;
    (void)state;
    assert_right(MANY "https://mail.example.com user%d", &a);
    assert_int_equal(a.sources, 0);
    dp_load_args_free(&a);
    assert_wrong(MANY "--sources 2 https://mail.example.com user%d");
}

static void steps_come_in_their_order(void **state)
{
    dp_load_args a;
    (void)state;
    assert_right("--devices 9 --publish s --steps "
                 "hold=5,pause=PSS,wake=100,storm,heartbeat=1,expire=3,idle=2,pause,quit "
                 "http://127.0.0.1 user%d",
                 &a);
    static const struct {
        dp_load_kind kind;
        uint32_t n;
        const char *name;
    } want[] = {{DP_LOAD_HOLD, 5, ""},   {DP_LOAD_PAUSE, 0, "PSS"},
                {DP_LOAD_WAKE, 100, ""}, {DP_LOAD_STORM, 0, ""},
                {DP_LOAD_HEARTBEAT, 1, ""},
                {DP_LOAD_EXPIRE, 3, ""}, {DP_LOAD_IDLE, 2, ""},
                {DP_LOAD_PAUSE, 0, ""},  {DP_LOAD_QUIT, 0, ""}};
    assert_int_equal(a.steps_n, sizeof(want) / sizeof(want[0]));
    for (size_t i = 0; i < a.steps_n; i++) {
        assert_int_equal(a.steps[i].kind, want[i].kind);
        assert_int_equal(a.steps[i].n, want[i].n);
        assert_string_equal(a.steps[i].name, want[i].name);
    }
    dp_load_args_free(&a);
}

static void steps_that_make_no_sense_are_refused(void **state)
{
    static const char *const steps[] = {"hold",    "hold=", "hold=x",  "hold=0",
                                        "hold=11", "wake",  "storm=1", "quit=1",
                                        "dance",   "idle",  "hold=5x"};
    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text),
                 "--devices 10 --publish s --steps %s http://127.0.0.1 user%%d",
                 steps[i]);
        assert_wrong(text);
    }
    assert_wrong("--devices 10 http://127.0.0.1 user%d");
}

static void changes_need_somebody_who_takes_them(void **state)
{
    (void)state;
    assert_wrong("--devices 9 --steps wake=1 http://127.0.0.1 user%d");
    assert_wrong("--devices 9 --steps storm http://127.0.0.1 user%d");
}

static void longpolling_takes_two_paths_and_no_user(void **state)
{
    dp_load_args a;
    char path[64];
    (void)state;
    assert_right(MANY "--longpoll /sub/%d /pub?id=%d http://127.0.0.1:81", &a);
    assert_true(a.is_longpoll);
    assert_int_equal(a.per_user, 1);
    size_t n = dp_load_template_write(&a.publish, 7, path);
    assert_int_equal(n, 9);
    assert_memory_equal(path, "/pub?id=7", n);
    dp_load_args_free(&a);
    assert_right(MANY "--longpoll /s/%d /p/%d --per-user 5 http://127.0.0.1",
                 &a);
    assert_int_equal(a.per_user, 5);
    dp_load_args_free(&a);
    assert_wrong(MANY "--longpoll /sub/%d /pub/x http://127.0.0.1");
    assert_wrong(MANY "--longpoll sub/%d /pub/%d http://127.0.0.1");
    assert_wrong(MANY "--longpoll /sub/%d /pub/%d http://127.0.0.1 user%d");
    assert_wrong("http://127.0.0.1 --devices 1 --steps quit --longpoll /s/%d");
}

static void users_have_numbers_and_no_colon(void **state)
{
    (void)state;
    assert_wrong(MANY "http://127.0.0.1 alice");
    assert_wrong(MANY "http://127.0.0.1 a:b%d");
    assert_wrong(MANY "http://127.0.0.1");
    assert_wrong(MANY "ftp://127.0.0.1 user%d");
    assert_wrong(MANY "http://127.0.0.1 user%d more");
}

static void numbers_have_bounds(void **state)
{
    (void)state;
    assert_wrong("--devices 0 --steps quit http://127.0.0.1 user%d");
    assert_wrong("--devices 100001 --steps quit http://127.0.0.1 user%d");
    assert_wrong(MANY "--processes 65 http://127.0.0.1 user%d");
    assert_wrong(MANY "--rate 0 http://127.0.0.1 user%d");
    assert_wrong(MANY "--dance http://127.0.0.1 user%d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_is_told_from_one_phone),
        cmocka_unit_test(what_is_not_said_is_chosen),
        cmocka_unit_test(processes_and_sources_grow_with_the_devices),
        cmocka_unit_test(too_few_descriptors_are_said_beforehand),
        cmocka_unit_test(sources_are_for_this_machine),
        cmocka_unit_test(steps_come_in_their_order),
        cmocka_unit_test(steps_that_make_no_sense_are_refused),
        cmocka_unit_test(changes_need_somebody_who_takes_them),
        cmocka_unit_test(longpolling_takes_two_paths_and_no_user),
        cmocka_unit_test(users_have_numbers_and_no_colon),
        cmocka_unit_test(numbers_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
