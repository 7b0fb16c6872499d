/* conf: defaults, and one line for each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "watcher/conf.h"

static dp_conf *read_text(const char *text, char *problem, size_t cap)
{
    char path[] = "/tmp/dp-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    dp_conf *conf = dp_conf_read(path, problem, cap);
    unlink(path);
    return conf;
}

static void an_empty_file_has_all_defaults(void **state)
{
    char problem[512];
    dp_conf *conf = read_text("", problem, sizeof(problem));
    assert_non_null(conf);
    assert_string_equal(conf->runtime_dir, "/run/directpush");
    assert_int_equal(conf->topics, 65536);
    assert_false(conf->maildir.is_on);
    assert_null(conf->default_domain);
    assert_true(conf->gid == (gid_t)-1);
    dp_conf_free(&conf);
    assert_null(conf);
}

static void every_word_is_taken(void **state)
{
    char problem[512];
    dp_conf *conf = read_text("runtime_dir = \"/r\"\nstate_dir = \"/s\"\n"
                              "group = \"root\"\n"
                              "default_domain = \"Example.COM\"\n"
                              "topics = 128\njournal = 256\nuser_topics = 5\n"
                              "connections = 6\nlog_level = \"debug\"\n"
                              "maildir {\n path = \"/m/%u\"\n"
                              " poll_interval = 7\n network = \"refuse\"\n"
                              " watch = \"poll\"\n public = \"/p\"\n"
                              " shared_dict = \"/d\"\n}\n",
                              problem, sizeof(problem));
    assert_non_null(conf);
    assert_int_equal(conf->gid, 0);
    assert_string_equal(conf->default_domain, "example.com");
    assert_int_equal(conf->topics, 128);
    assert_int_equal(conf->journal, 256);
    assert_int_equal(conf->user_topics, 5);
    assert_int_equal(conf->connections, 6);
    assert_int_equal(conf->log_level, DP_LOG_DEBUG);
    assert_string_equal(conf->maildir.path, "/m/%u");
    assert_int_equal(conf->maildir.poll_us, 7 * DP_SECOND_US);
    assert_int_equal(conf->maildir.network, DP_CONF_NETWORK_REFUSE);
    assert_true(conf->maildir.is_polled);
    assert_string_equal(conf->maildir.public, "/p");
    assert_string_equal(conf->maildir.shared_dict, "/d");
    dp_conf_free(&conf);
}

static void a_mistake_is_told_with_its_line(void **state)
{
    static const char *const cases[][2] = {
        {"\n\nfoo = 1\n", ":3: no such option 'foo': expected runtime_dir"},
        {"topics = 63\n", ":1: topics = 63: expected a power of two"},
        {"maildir {\n pth = \"/m/%u\"\n}\n", "expected path, public, shared"},
        {"maildir {\n path = \"/m/%u\"\n public = \"/p/%u\"\n}\n",
         ":3: public = \"/p/%u\": expected an absolute path without %"},
        {"maildir {\n path = \"/m/%u\"\n shared_dict = \"d\"\n}\n",
         ":3: shared_dict = \"d\": expected an absolute path"},
        {"maildir {\n path = \"maildir:/m/%u\"\n}\n",
         ":2: path = \"maildir:/m/%u\": expected the path alone, without"},
        {"maildir {\n path = \"/m/%u:INDEX=/i/%u\"\n}\n",
         ": expected the path alone, without options"},
        {"topics = \"many\"\n", "expected a number"},
        {"maildir { }\n", ":1: maildir: expected path ="},
        {"topics = 64\nmaildir {\n path = \"/m/%u}\" # }\n/* } */\n",
         ":2: maildir: expected a } at its end"},
        {"topics = 64\ngroup = \"root\"\n\n topics=128\n",
         ":4: topics is given twice"},
        {"maildir {\n path = \"/a/%u\"\n path = '/b/%u'\n}\n",
         ":3: path is given twice"},
        {"maildir {\n path = \"/a/%u\"\n}\nmaildir {\n path = \"/b/%u\"\n}\n",
         ": expected one maildir section"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char problem[512];
        dp_conf *conf = read_text(cases[i][0], problem, sizeof(problem));
        assert_null(conf);
        assert_true(strlen(problem) > 0);
        assert_non_null(strstr(problem, cases[i][1]));
        assert_null(strchr(problem, '\n'));
    }
}

static void a_directory_is_no_configuration(void **state)
{
    char problem[512];
    assert_null(dp_conf_read("/tmp", problem, sizeof(problem)));
    assert_string_equal(problem,
                        "/tmp: expected a readable file: Is a directory");
}

static void comments_and_strings_are_no_words(void **state)
{
    char problem[512];
    dp_conf *conf = read_text("# topics = 1 {\n// group = { \"\n"
                              "/* topics = 2 ** { ' */ topics = 64\n"
                              "default_domain = \"a{\\\"{\" # topics = 3\n"
                              "maildir { path = '/m/{%u' }\n",
                              problem, sizeof(problem));
    assert_string_equal(problem, "");
    assert_non_null(conf);
    assert_int_equal(conf->topics, 64);
    dp_conf_free(&conf);
}

static void a_file_that_is_not_there_is_told(void **state)
{
    char problem[512];
    assert_null(dp_conf_read("/nowhere/dp.conf", problem, sizeof(problem)));
    assert_non_null(strstr(problem, "/nowhere/dp.conf: expected a readable "
                                    "file: No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_has_all_defaults),
        cmocka_unit_test(every_word_is_taken),
        cmocka_unit_test(a_mistake_is_told_with_its_line),
        cmocka_unit_test(a_directory_is_no_configuration),
        cmocka_unit_test(comments_and_strings_are_no_words),
        cmocka_unit_test(a_file_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
