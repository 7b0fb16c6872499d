/* query, target: what phones send, read back by the module's own parser. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "tools/device/query.h"
#include "tools/device/target.h"

static const dp_query USUAL = {.cmd = DP_CMD_PING,
                               .user = "EX\\alice b@example.com",
                               .device_id = "ABCDEF0123456789",
                               .device_type = "Android",
                               .version = 141};

static void the_plain_form_escapes_the_user(void **state)
{
    dp_buf out = {0};
    dp_query_plain(&out, &USUAL);
    assert_string_equal(out.p, "Cmd=Ping&User=EX%5Calice%20b%40example.com"
                               "&DeviceId=ABCDEF0123456789"
                               "&DeviceType=Android");
    dp_buf_free(&out);
}

/* eas-protocol 9.3: the example of [MS-ASHTTP] */
static void the_base64_form_is_as_in_the_specification(void **state)
{
    dp_buf out = {0};
    dp_query q = {.cmd = DP_CMD_SYNC,
                  .user = "alice",
                  .device_id = "v140Device",
                  .device_type = "SmartPhone",
                  .version = 140};
    dp_query_base64(&out, &q);
    assert_string_equal(out.p, "jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l");
    dp_buf_free(&out);
}

static void both_forms_are_the_same_to_the_server(void **state)
{
    static const dp_cmd cmds[] = {DP_CMD_SYNC, DP_CMD_FOLDERSYNC, DP_CMD_PING,
                                  DP_CMD_PROVISION};
    for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
        dp_buf plain = {0}, base64 = {0};
        dp_query q = USUAL;
        dp_eas_query a, b;
        q.cmd = cmds[i];
        q.has_policy_key = true;
        q.policy_key = 3942919513;
        dp_query_plain(&plain, &q);
        dp_query_base64(&base64, &q);
        assert_true(dp_eas_query_parse(dp_buf_span(&plain), &a));
        assert_true(dp_eas_query_parse(dp_buf_span(&base64), &b));
        assert_int_equal(a.cmd, cmds[i]);
        assert_int_equal(b.cmd, cmds[i]);
        assert_string_equal(a.device_id, b.device_id);
        assert_string_equal(a.device_type, b.device_type);
        assert_int_equal(b.version, 141);
        assert_int_equal(b.policy_key, 3942919513);
        dp_buf_free(&plain);
        dp_buf_free(&base64);
    }
}

static void base64_is_padded(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        dp_buf out = {0};
        dp_buf_add_base64(&out, dp_span_str(pairs[i][0]));
        assert_string_equal(dp_buf_str(&out), pairs[i][1]);
        dp_buf_free(&out);
    }
}

static void percent_escapes_can_be_undone(void **state)
{
    unsigned char all[256];
    for (unsigned i = 0; i < 256; i++) {
        all[i] = (unsigned char)i;
    }
    dp_buf escaped = {0}, back = {0};
    dp_buf_add_percent(&escaped, dp_span_of(all, sizeof(all)));
    assert_true(dp_buf_add_unpercent(&back, dp_buf_span(&escaped)));
    assert_int_equal(back.n, sizeof(all));
    assert_memory_equal(back.p, all, sizeof(all));
    assert_false(dp_buf_add_unpercent(&back, DP_SPAN_LIT("%4")));
    assert_false(dp_buf_add_unpercent(&back, DP_SPAN_LIT("%zz")));
    dp_buf_free(&escaped);
    dp_buf_free(&back);
}

static void assert_target(const char *url, bool is_tls, const char *host,
                          const char *port, const char *authority,
                          const char *path)
{
    dp_target t;
    const char *why = NULL;
    assert_true(dp_target_parse(url, &t, &why));
    assert_int_equal(t.is_tls, is_tls);
    assert_string_equal(t.host.p, host);
    assert_string_equal(t.port.p, port);
    assert_string_equal(t.authority.p, authority);
    assert_string_equal(t.path.p, path);
    dp_target_free(&t);
}

static void urls_are_taken_apart(void **state)
{
    assert_target("https://mail.example.com", true, "mail.example.com", "443",
                  "mail.example.com", DP_TARGET_PATH);
    assert_target("HTTP://127.0.0.1:8080/", false, "127.0.0.1", "8080",
                  "127.0.0.1:8080", DP_TARGET_PATH);
    assert_target("https://[::1]:8443/SOGo/Microsoft-Server-ActiveSync", true,
                  "::1", "8443", "[::1]:8443",
                  "/SOGo/Microsoft-Server-ActiveSync");
    assert_target("http://h:80/x", false, "h", "80", "h", "/x");
}

static void damaged_urls_are_refused(void **state)
{
    static const char *const urls[] = {"",
                                       "mail.example.com",
                                       "ftp://h/",
                                       "https://",
                                       "https:///x",
                                       "https://h:",
                                       "https://h:x",
                                       "https://h:123456",
                                       "https://[::1",
                                       "https://[::1]x",
                                       "http://u@h/",
                                       "http://h/?a",
                                       "http://h/#a",
                                       "http://h/a b",
                                       "http://h/\r\nX: y",
                                       "http://h/\xC3"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        dp_target t;
        const char *why = NULL;
        assert_false(dp_target_parse(urls[i], &t, &why));
        assert_non_null(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plain_form_escapes_the_user),
        cmocka_unit_test(the_base64_form_is_as_in_the_specification),
        cmocka_unit_test(both_forms_are_the_same_to_the_server),
        cmocka_unit_test(base64_is_padded),
        cmocka_unit_test(percent_escapes_can_be_undone),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(damaged_urls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
