/* load_request: what a phone of the load sends is what the module reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tools/device/load_request.h"
#include "wire/eas_folders.h"
#include "wire/eas_ping.h"
#include "wire/eas_sync.h"
#include "wire/eas_url.h"

typedef struct world {
    dp_load_args args;
    dp_load_requests requests;
    dp_load_device device;
    char out[DP_LOAD_REQUEST_MAX + 1];
    dp_span body;
} world;

static int make(void **state, bool is_longpoll)
{
    static const char *words[] = {
        "x",    "--devices",       "100",     "--per-user", "10", "--steps",
        "quit", "http://[::1]:81", "us er%d", NULL};
    static const char *longpoll[] = {
        "x",          "--devices", "100",     "--steps",     "quit",
        "--longpoll", "/sub?c=%d", "/pub/%d", "http://host", NULL};
    world *w = calloc(1, sizeof(*w));
    dp_buf password = {0};
    dp_args_result r =
        is_longpoll ? dp_load_args_parse(9, (char **)longpoll, 1000, &w->args)
                    : dp_load_args_parse(9, (char **)words, 1000, &w->args);
    if (r != DP_ARGS_RUN) {
        return -1;
    }
    dp_buf_set(&password, DP_SPAN_LIT("p:w"));
    if (!dp_load_requests_init(&w->requests, &w->args, password)) {
        return -1;
    }
    dp_load_device_init(&w->device, 900, is_longpoll);
    *state = w;
    return 0;
}

static int setup(void **state)
{
    return make(state, false);
}

static int setup_longpoll(void **state)
{
    return make(state, true);
}

static int teardown(void **state)
{
    world *w = *state;
    dp_load_requests_free(&w->requests);
    dp_load_args_free(&w->args);
    free(w);
    return 0;
}

/* Device 42, the third of user 4. */
static const char *write_request(world *w, dp_load_cmd cmd)
{
    w->device.next = (uint8_t)cmd;
    size_t n = dp_load_request_write(&w->requests, 42, &w->device, w->out);
    assert_true(n < sizeof(w->out));
    w->out[n] = '\0';
    char *end = strstr(w->out, "\r\n\r\n");
    assert_non_null(end);
    w->body = dp_span_of(end + 4, (size_t)(w->out + n - end - 4));
    return w->out;
}

static void a_request_has_all_that_a_phone_says(void **state)
{
    world *w = *state;
    char length[64];
    const char *text = write_request(w, DP_LOAD_WAIT);
    static const char line[] =
        "POST /Microsoft-Server-ActiveSync?Cmd=Ping&User=us%20er4"
        "&DeviceId=load000043&DeviceType=directpush HTTP/1.1\r\n";
    assert_memory_equal(text, line, sizeof(line) - 1);
    snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n\r\n",
             w->body.n);
    assert_non_null(strstr(text, length));
    assert_non_null(strstr(text, "\r\nHost: [::1]:81\r\n"));
    assert_non_null(strstr(text, "\r\nMS-ASProtocolVersion: 14.1\r\n"));
    /* us er4:p:w */
    assert_non_null(
        strstr(text, "\r\nAuthorization: Basic dXMgZXI0OnA6dw==\r\n"));
    const char *query = strchr(text, '?') + 1;
    dp_eas_query q;
    assert_true(dp_eas_query_parse(dp_span_of(query, strcspn(query, " ")), &q));
    assert_int_equal(q.cmd, DP_CMD_PING);
    assert_string_equal(q.device_id, "load000043");
}

static void a_foldersync_carries_its_key(void **state)
{
    world *w = *state;
    dp_folders_parser p;
    write_request(w, DP_LOAD_FOLDERSYNC);
    dp_folders_init(&p, NULL, NULL);
    dp_folders_feed(&p, w->body);
    assert_true(p.is_whole && p.root == DP_CMD_FOLDERSYNC);
    assert_int_equal(p.key_n, 1);
    assert_memory_equal(p.key, "0", 1);
}

static void take(void *ctx, const dp_sync_collection *c)
{
    *(dp_sync_collection *)ctx = *c;
}

static dp_sync_collection sync_of(world *w)
{
    dp_sync_parser p;
    dp_sync_collection c = {.id_n = 0};
    write_request(w, DP_LOAD_SYNC);
    dp_sync_init(&p, false, take, &c);
    dp_sync_feed(&p, w->body);
    assert_true(p.is_whole && !c.is_odd);
    return c;
}

static void a_sync_fetches_but_for_the_first(void **state)
{
    world *w = *state;
    strcpy(w->device.folder, "U7a6f1");
    dp_sync_collection first = sync_of(w);
    assert_true(first.key_is_zero && !first.wants_changes);
    strcpy(w->device.key, "{uuid}4");
    dp_sync_collection next = sync_of(w);
    assert_true(next.wants_changes);
    assert_int_equal(next.key_n, 7);
    assert_memory_equal(next.key, "{uuid}4", 7);
    assert_int_equal(next.id_n, 6);
}

static void a_ping_names_heartbeat_and_folder(void **state)
{
    world *w = *state;
    dp_ping_folder folder;
    dp_ping_request ping;
    unsigned char arena[256];
    strcpy(w->device.folder, "U7a6f1");
    write_request(w, DP_LOAD_WAIT);
    assert_true(w->body.n <= sizeof(arena));
    assert_int_equal(dp_ping_parse(w->body, arena, &folder, 1, &ping),
                     DP_PING_PARSED);
    assert_int_equal(ping.heartbeat_s, 900);
    assert_int_equal(ping.folders_n, 1);
    assert_true(dp_span_is(folder.id, DP_SPAN_LIT("U7a6f1")));
    assert_true(dp_span_is(folder.class_name, DP_SPAN_LIT("Email")));
}

static void longpolling_is_a_get_after_the_last_message(void **state)
{
    world *w = *state;
    const char *text = write_request(w, DP_LOAD_WAIT);
    static const char line[] = "GET /sub?c=42 HTTP/1.1\r\nHost: host\r\n";
    assert_memory_equal(text, line, sizeof(line) - 1);
    assert_null(strstr(text, "If-"));
    assert_null(strstr(text, "Authorization"));
    strcpy(w->device.key, "0");
    strcpy(w->device.hierarchy_key, "Fri, 01 Jan 2027 00:00:00 GMT");
    text = write_request(w, DP_LOAD_WAIT);
    assert_non_null(strstr(text, "\r\nIf-None-Match: 0\r\n"));
    assert_non_null(strstr(text, "\r\nIf-Modified-Since: "
                                 "Fri, 01 Jan 2027 00:00:00 GMT\r\n"));
}

static void publishing_is_a_post_to_the_same_device(void **state)
{
    world *w = *state;
    size_t n = dp_load_request_publish(&w->requests, 42, w->out);
    w->out[n] = '\0';
    static const char line[] = "POST /pub/42 HTTP/1.1\r\nHost: host\r\n";
    assert_memory_equal(w->out, line, sizeof(line) - 1);
    const char *length = strstr(w->out, "\r\nContent-Length: ");
    const char *body = strstr(w->out, "\r\n\r\n");
    assert_true(length && body);
    assert_int_equal(strtoul(length + 18, NULL, 10), strlen(body + 4));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LONGPOLL(name)                                                         \
    cmocka_unit_test_setup_teardown(name, setup_longpoll, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_request_has_all_that_a_phone_says),
        TEST(a_foldersync_carries_its_key),
        TEST(a_sync_fetches_but_for_the_first),
        TEST(a_ping_names_heartbeat_and_folder),
        LONGPOLL(longpolling_is_a_get_after_the_last_message),
        LONGPOLL(publishing_is_a_post_to_the_same_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
