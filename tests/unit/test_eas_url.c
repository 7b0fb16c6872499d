/* eas_url: both forms of the query, and what is neither. */
#include "test_eas_support.h"

#include <stdio.h>
#include <stdlib.h>

#include "wire/eas_url.h"

static dp_eas_query parsed(const char *query)
{
    dp_eas_query q;

    if (!dp_eas_query_parse(dp_span_str(query), &q)) {
        fail_msg("not parsed: %s", query);
    }
    return q;
}

static void assert_refused(dp_span query)
{
    static const dp_eas_query nothing = {.cmd = DP_CMD_NONE};
    dp_eas_query q;

    memset(&q, 0xA5, sizeof(q));
    if (dp_eas_query_parse(query, &q)) {
        fail_msg("parsed: %.*s", (int)query.n, (const char *)query.p);
    }
    assert_int_equal(q.cmd, nothing.cmd);
    assert_false(q.is_base64);
    assert_int_equal(q.version, 0);
    assert_string_equal(q.device_id, "");
    assert_string_equal(q.device_type, "");
}

/** Base64 of these bytes. */
static const char *base64(dp_span bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    static char out[16384];
    size_t n = 0;

    for (size_t i = 0; i < bytes.n; i += 3) {
        uint32_t bits = 0;

        for (size_t k = 0; k < 3; k++) {
            bits = bits << 8 | (i + k < bytes.n ? bytes.p[i + k] : 0);
        }
        out[n++] = digits[bits >> 18];
        out[n++] = digits[bits >> 12 & 63];
        out[n++] = i + 1 < bytes.n ? digits[bits >> 6 & 63] : '=';
        out[n++] = i + 2 < bytes.n ? digits[bits & 63] : '=';
    }
    out[n] = 0;
    return out;
}

static dp_eas_query parsed_hex(const char *hex)
{
    dp_span bytes = wire_unhex(hex);
    dp_eas_query q = parsed(base64(bytes));

    free((void *)bytes.p);
    return q;
}

static void assert_hex_refused(const char *hex)
{
    dp_span bytes = wire_unhex(hex);

    assert_refused(dp_span_str(base64(bytes)));
    free((void *)bytes.p);
}

/* ---- plain text ---- */

static void the_query_of_an_android_is_read(void **state)
{
    dp_eas_query q = parsed("Cmd=Ping&User=a%40b&DeviceId=androidc1234567&"
                            "DeviceType=Android");

    assert_int_equal(q.cmd, DP_CMD_PING);
    assert_false(q.is_base64);
    assert_int_equal(q.version, 0);
    assert_false(q.has_policy_key);
    assert_string_equal(q.device_id, "androidc1234567");
    assert_string_equal(q.device_type, "Android");
}

static void the_order_and_case_of_parameters_do_not_matter(void **state)
{
    dp_eas_query q =
        parsed("user=u&DEVICEID=ApplDNPH&deviceType=iPhone&cMD=sYNC");

    assert_int_equal(q.cmd, DP_CMD_SYNC);
    assert_string_equal(q.device_id, "appldnph");
    assert_string_equal(q.device_type, "iPhone");
}

static void percent_encoding_is_undone_in_names_and_values(void **state)
{
    dp_eas_query q =
        parsed("C%6dd=%50in%67&DeviceId=a%42c&DeviceType=My%20Phone");

    assert_int_equal(q.cmd, DP_CMD_PING);
    assert_string_equal(q.device_id, "abc");
    assert_string_equal(q.device_type, "My Phone");
}

static void every_command_is_known_by_its_name(void **state)
{
    for (int cmd = DP_CMD_NONE + 1; cmd < DP_CMD_N; cmd++) {
        char query[64];

        assert_true(strlen(dp_cmd_name((dp_cmd)cmd)) > 3);
        snprintf(query, sizeof(query), "Cmd=%s", dp_cmd_name((dp_cmd)cmd));
        assert_int_equal(parsed(query).cmd, cmd);
    }
    assert_string_equal(dp_cmd_name(DP_CMD_NONE), "");
    assert_string_equal(dp_cmd_name(DP_CMD_N), "");
}

static void an_unknown_command_is_no_command(void **state)
{
    assert_int_equal(parsed("Cmd=Pingg&DeviceId=a").cmd, DP_CMD_NONE);
    assert_int_equal(parsed("Cmd=Pin&DeviceId=a").cmd, DP_CMD_NONE);
    assert_int_equal(parsed("Cmd=Ping%00&DeviceId=a").cmd, DP_CMD_NONE);
    assert_int_equal(parsed("Cmd=&DeviceId=a").cmd, DP_CMD_NONE);
    assert_int_equal(parsed("Cmd").cmd, DP_CMD_NONE);
    assert_int_equal(parsed("User=a&DeviceId=b").cmd, DP_CMD_NONE);
    assert_string_equal(parsed("User=a&DeviceId=b").device_id, "b");
}

static void device_ids_with_other_characters_become_hex(void **state)
{
    assert_string_equal(parsed("DeviceId=a-B").device_id, "612d42");
    assert_string_equal(parsed("DeviceId=a+b").device_id, "612b62");
    assert_string_equal(parsed("DeviceId=%00%FF").device_id, "00ff");
}

static void
a_plain_device_id_that_is_empty_or_too_long_is_left_out(void **state)
{
    char query[600] = "Cmd=Ping&DeviceId=";
    size_t n = strlen(query);

    assert_string_equal(parsed(query).device_id, "");
    assert_string_equal(parsed("Cmd=Ping").device_id, "");
    memset(query + n, 'a', DP_DEVICE_ID_MAX);
    assert_int_equal(strlen(parsed(query).device_id), DP_DEVICE_ID_MAX);
    memset(query + n, 'a', DP_DEVICE_ID_MAX + 1);
    assert_string_equal(parsed(query).device_id, "");
    memset(query + n, 'a', 500);
    assert_string_equal(parsed(query).device_id, "");
    assert_int_equal(parsed(query).cmd, DP_CMD_PING);
    /* as hex it has twice as many */
    memset(query + n, 0, sizeof(query) - n);
    memset(query + n, '-', DP_DEVICE_ID_MAX / 2);
    assert_int_equal(strlen(parsed(query).device_id), DP_DEVICE_ID_MAX);
    memset(query + n, '-', DP_DEVICE_ID_MAX / 2 + 1);
    assert_string_equal(parsed(query).device_id, "");
}

static void a_device_type_is_cut_and_made_printable(void **state)
{
    char query[300] = "Cmd=Ping&DeviceType=";

    assert_string_equal(
        parsed("Cmd=Ping&DeviceType=a%0Ab%C3%A4%7F").device_type, "a?b???");
    memset(query + strlen(query), 'x', 200);
    assert_int_equal(strlen(parsed(query).device_type), DP_DEVICE_TYPE_MAX);
}

static void damaged_plain_queries_are_refused(void **state)
{
    assert_refused(DP_SPAN_LIT("Cmd=Ping&DeviceId=a%"));
    assert_refused(DP_SPAN_LIT("Cmd=Ping&DeviceId=a%4"));
    assert_refused(DP_SPAN_LIT("Cmd=Ping&DeviceId=a%4g"));
    assert_refused(DP_SPAN_LIT("Cmd=%zz&DeviceId=a"));
    assert_refused(DP_SPAN_LIT("Cmd=Ping&Cmd=Sync&DeviceId=a"));
    assert_refused(DP_SPAN_LIT("Cmd=Ping&DeviceId=a&deviceid=b"));
}

static void damage_in_parameters_that_do_not_matter_is_ignored(void **state)
{
    dp_eas_query q = parsed("&&foo&=&bar=%&User=%zz&Cmd=Ping&%=1&DeviceId=a&");

    assert_int_equal(q.cmd, DP_CMD_PING);
    assert_string_equal(q.device_id, "a");
}

static void what_is_neither_form_is_refused(void **state)
{
    assert_refused(dp_span_of(NULL, 0));
    assert_refused(DP_SPAN_LIT("&"));
    assert_refused(DP_SPAN_LIT("foo"));
    assert_refused(DP_SPAN_LIT("foo=1&bar=2"));
    assert_refused(DP_SPAN_LIT("\0\0\0\0"));
    assert_refused(DP_SPAN_LIT("===="));
}

/* ---- base64 ---- */

#define BINARY_ID_QUERY                                                        \
    "jRIJBBBvJMrVmaW/GmkCRrjGj66NBFktBOsIUG9ja2V0UEMIEHVzZXJAZXhhbXBsZS5vcmc="

static void the_example_of_the_specification_is_read(void **state)
{
    dp_eas_query q = parsed("jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l");

    assert_true(q.is_base64);
    assert_int_equal(q.cmd, DP_CMD_SYNC);
    assert_int_equal(q.version, 140);
    assert_false(q.has_policy_key);
    assert_string_equal(q.device_id, "v140device");
    assert_string_equal(q.device_type, "SmartPhone");
}

static void an_ascii_device_id_is_the_one_of_the_plain_form(void **state)
{
    dp_eas_query q =
        parsed("jRIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5kcm9pZAcBAA==");

    assert_int_equal(q.cmd, DP_CMD_PING);
    assert_int_equal(q.version, 141);
    assert_true(q.has_policy_key);
    assert_int_equal(q.policy_key, 0);
    assert_string_equal(q.device_id,
                        parsed("DeviceId=abcdef0123456789").device_id);
    assert_string_equal(q.device_type, "Android");
}

static void a_binary_device_id_becomes_hex(void **state)
{
    dp_eas_query q = parsed(BINARY_ID_QUERY);

    assert_int_equal(q.cmd, DP_CMD_PING);
    assert_true(q.has_policy_key);
    assert_int_equal(q.policy_key, 3942919513u);
    assert_string_equal(q.device_id, "6f24cad599a5bf1a690246b8c68fae8d");
    assert_string_equal(q.device_type, "PocketPC");
}

static void percent_encoded_base64_is_the_same(void **state)
{
    dp_eas_query q = parsed("jRIJBBBvJMrVmaW%2fGmkCRrjGj66NBFktBOsIUG9ja2V0UEMI"
                            "EHVzZXJAZXhhbXBsZS5vcmc%3D");

    assert_string_equal(q.device_id, "6f24cad599a5bf1a690246b8c68fae8d");
    q = parsed("jRIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5kcm9pZAcBAA%3D%3d");
    assert_int_equal(q.cmd, DP_CMD_PING);
    /* 8d 12 0904 04 fbefbe3e: a plus sign */
    q = parsed("jRIJBAT7774%2BAAA=");
    assert_string_equal(q.device_id, "fbefbe3e");
}

static void a_plus_is_never_a_space(void **state)
{
    dp_eas_query q = parsed("jRIJBAT7774+AAA=");

    assert_string_equal(q.device_id, "fbefbe3e");
    assert_refused(DP_SPAN_LIT("jRIJBAT7774 AAA="));
}

static void every_code_of_the_table_is_known(void **state)
{
    static const struct {
        int code;
        dp_cmd cmd;
    } codes[] = {
        {0, DP_CMD_SYNC},
        {1, DP_CMD_SENDMAIL},
        {2, DP_CMD_SMARTFORWARD},
        {3, DP_CMD_SMARTREPLY},
        {4, DP_CMD_GETATTACHMENT},
        {9, DP_CMD_FOLDERSYNC},
        {10, DP_CMD_FOLDERCREATE},
        {11, DP_CMD_FOLDERDELETE},
        {12, DP_CMD_FOLDERUPDATE},
        {13, DP_CMD_MOVEITEMS},
        {14, DP_CMD_GETITEMESTIMATE},
        {15, DP_CMD_MEETINGRESPONSE},
        {16, DP_CMD_SEARCH},
        {17, DP_CMD_SETTINGS},
        {18, DP_CMD_PING},
        {19, DP_CMD_ITEMOPERATIONS},
        {20, DP_CMD_PROVISION},
        {21, DP_CMD_RESOLVERECIPIENTS},
        {22, DP_CMD_VALIDATECERT},
        {23, DP_CMD_FIND},
    };
    size_t next = 0;

    for (int code = 0; code < 256; code++) {
        char hex[64];

        snprintf(hex, sizeof(hex), "8d %02x 0904 01 61 00 00", (unsigned)code);
        if (next < sizeof(codes) / sizeof(codes[0]) &&
            codes[next].code == code) {
            assert_int_equal(parsed_hex(hex).cmd, codes[next].cmd);
            next++;
        }
        else {
            assert_hex_refused(hex);
        }
    }
    assert_int_equal(next, sizeof(codes) / sizeof(codes[0]));
}

static void only_versions_that_have_this_form_are_read(void **state)
{
    for (unsigned version = 0; version < 256; version++) {
        char hex[64];

        snprintf(hex, sizeof(hex), "%02x 12 0904 01 61 00 00", version);
        if (version == 121 || version == 140 || version == 141 ||
            version == 160 || version == 161) {
            assert_int_equal(parsed_hex(hex).version, version);
        }
        else {
            assert_hex_refused(hex);
        }
    }
}

static void parameters_after_the_device_type_are_passed_over(void **state)
{
    dp_eas_query q = parsed_hex("8d 12 0904 01 61 00 00 "
                                "00 00 01 02 6162 63 01 ff 08 00");

    assert_string_equal(q.device_id, "a");
}

static void damaged_binary_queries_are_refused(void **state)
{
    assert_hex_refused("8d 12 0904 00 00 00");             /* no device id */
    assert_hex_refused("8d 12 0904 05 61 00 00");          /* beyond the end */
    assert_hex_refused("8d 12 0904 01 61 03 000000 00");   /* key of 3 */
    assert_hex_refused("8d 12 0904 01 61 04 000000");      /* key cut off */
    assert_hex_refused("8d 12 0904 01 61 00 02 61");       /* type cut off */
    assert_hex_refused("8d 12 0904 01 61 00");             /* no type */
    assert_hex_refused("8d 12 0904 01 61 00 00 07");       /* tag, no length */
    assert_hex_refused("8d 12 0904 01 61 00 00 07 02 01"); /* value cut off */
    assert_hex_refused("19 12 0904 01 61 00 00");          /* version 2.5 */
    assert_hex_refused("8d 18 0904 01 61 00 00");          /* command 24 */
    assert_hex_refused("8d 12 09");
    assert_hex_refused("8d");
}

static void base64_of_another_kind_is_refused(void **state)
{
    /* url-safe alphabet */
    assert_refused(DP_SPAN_LIT(
        "jRIJBBBvJMrVmaW_"
        "GmkCRrjGj66NBFktBOsIUG9ja2V0UEMIEHVzZXJAZXhhbXBsZS5vcmc="));
    /* no padding, too much of it, some in the middle, something after it */
    assert_refused(
        DP_SPAN_LIT("jRIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5kcm9pZAcBAA"));
    assert_refused(
        DP_SPAN_LIT("jRIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5kcm9pZAcBAA="));
    assert_refused(DP_SPAN_LIT("jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l===="));
    assert_refused(DP_SPAN_LIT("jAA=BAp2MTQwRGV2aWNlAApTbWFydFBob25l"));
    assert_refused(DP_SPAN_LIT("jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25lAAA=AAAA"));
    assert_refused(DP_SPAN_LIT("jRIJBAT7774+AA=A"));
    /* spare bits that are not 0: another writing of the same bytes */
    assert_refused(DP_SPAN_LIT("jRIJBAT7774+AAB="));
    assert_refused(DP_SPAN_LIT("jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l\n"));
    assert_refused(DP_SPAN_LIT("jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25%"));
}

static void a_long_binary_device_id_is_refused(void **state)
{
    unsigned char bytes[4 + 1 + 255 + 2] = {0x8d, 0x12, 9, 4};

    for (unsigned n = 1; n < 256; n++) {
        dp_eas_query q;
        bool is_read;

        bytes[4] = (unsigned char)n;
        memset(bytes + 5, 'a', n);
        memset(bytes + 5 + n, 0, 2);
        is_read = dp_eas_query_parse(
            dp_span_str(base64(dp_span_of(bytes, 5 + n + 2))), &q);
        assert_int_equal(is_read, n <= DP_DEVICE_ID_MAX);
        assert_int_equal(strlen(q.device_id), is_read ? n : 0);
        memset(bytes + 5, '-', n);
        is_read = dp_eas_query_parse(
            dp_span_str(base64(dp_span_of(bytes, 5 + n + 2))), &q);
        assert_int_equal(is_read, n <= DP_DEVICE_ID_MAX / 2);
    }
}

static void
the_longest_query_that_makes_sense_is_read_and_no_longer_ones(void **state)
{
    static unsigned char bytes[8192] = {0x8d, 0x12, 9, 4, 1, 'a',
                                        4,    1,    2, 3, 4};
    size_t n = 11;

    bytes[n++] = 255;
    n += 255;
    for (int tag = 0; tag < 9; tag++) {
        bytes[n++] = (unsigned char)tag;
        bytes[n++] = 255;
        n += 255;
    }
    assert_int_equal(parsed(base64(dp_span_of(bytes, n))).policy_key,
                     0x04030201);
    assert_refused(dp_span_str(base64(dp_span_of(bytes, sizeof(bytes)))));
}

static void every_cut_of_a_query_is_refused_or_shorter(void **state)
{
    for (size_t n = 0; n < sizeof(BINARY_ID_QUERY) - 1; n++) {
        char *part = malloc(n + 1);
        dp_eas_query q;

        memcpy(part, BINARY_ID_QUERY, n);
        /* cuts at four characters after the device type are queries again */
        if (dp_eas_query_parse(dp_span_of(part, n), &q)) {
            assert_string_equal(q.device_id,
                                "6f24cad599a5bf1a690246b8c68fae8d");
        }
        free(part);
    }
}

static void queries_of_captures_are_read(void **state)
{
    dp_eas_query q =
        parsed("Cmd=FolderSync&User=user5&DeviceId=capaf0cd254e57d&"
               "DeviceType=SmartPhone");

    assert_int_equal(q.cmd, DP_CMD_FOLDERSYNC);
    assert_string_equal(q.device_id, "capaf0cd254e57d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_query_of_an_android_is_read),
        cmocka_unit_test(the_order_and_case_of_parameters_do_not_matter),
        cmocka_unit_test(percent_encoding_is_undone_in_names_and_values),
        cmocka_unit_test(every_command_is_known_by_its_name),
        cmocka_unit_test(an_unknown_command_is_no_command),
        cmocka_unit_test(device_ids_with_other_characters_become_hex),
        cmocka_unit_test(
            a_plain_device_id_that_is_empty_or_too_long_is_left_out),
        cmocka_unit_test(a_device_type_is_cut_and_made_printable),
        cmocka_unit_test(damaged_plain_queries_are_refused),
        cmocka_unit_test(damage_in_parameters_that_do_not_matter_is_ignored),
        cmocka_unit_test(what_is_neither_form_is_refused),
        cmocka_unit_test(the_example_of_the_specification_is_read),
        cmocka_unit_test(an_ascii_device_id_is_the_one_of_the_plain_form),
        cmocka_unit_test(a_binary_device_id_becomes_hex),
        cmocka_unit_test(percent_encoded_base64_is_the_same),
        cmocka_unit_test(a_plus_is_never_a_space),
        cmocka_unit_test(every_code_of_the_table_is_known),
        cmocka_unit_test(only_versions_that_have_this_form_are_read),
        cmocka_unit_test(parameters_after_the_device_type_are_passed_over),
        cmocka_unit_test(damaged_binary_queries_are_refused),
        cmocka_unit_test(base64_of_another_kind_is_refused),
        cmocka_unit_test(a_long_binary_device_id_is_refused),
        cmocka_unit_test(
            the_longest_query_that_makes_sense_is_read_and_no_longer_ones),
        cmocka_unit_test(every_cut_of_a_query_is_refused_or_shorter),
        cmocka_unit_test(queries_of_captures_are_read),
    };

    return cmocka_run_group_tests_name("eas_url", tests, NULL, NULL);
}
