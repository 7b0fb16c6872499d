#include "tools/device/session.h"

#include <stdarg.h>
#include <sys/random.h>

#include "config.h"
#include "tools/device/query.h"
#include "tools/device/wait.h"

/* Android waits 30 s, a Samsung 90, others up to 240 (eas-protocol 6.4). */
#define COMMAND_US (90 * DP_SECOND_US)

#define RETRY_FIRST_US DP_SECOND_US
#define RETRY_MAX_US   (60 * DP_SECOND_US)

/* A server that closes an idle connection while our request is on its way
 * does so within a round trip. What dies later died holding our request. */
#define STALE_US DP_SECOND_US

void dp_session_init(dp_session *s, const dp_args *args, dp_buf authorization,
                     SSL_CTX *tls, int stop_fd, dp_timeline *timeline)
{
    *s = (dp_session){.args = args,
                      .authorization = authorization,
                      .timeline = timeline,
                      .stop_fd = stop_fd};
    uint64_t seeds[2] = {1, 2};
    if (getrandom(seeds, sizeof(seeds), 0) < 0) {
        seeds[0] = (uint64_t)dp_clock_mono_us();
    }
    dp_phone_init(&s->phone, args->filters, args->filters_n);
    dp_adaptive_init(&s->heartbeat, args->heartbeat_s, args->min_s, args->max_s,
                     args->step_s);
    dp_http_client_init(&s->http, &args->target, tls, stop_fd);
    if (timeline->is_verbose) {
        s->http.trace = dp_timeline_trace;
    }
    dp_back_off_init(&s->back_off, RETRY_FIRST_US, RETRY_MAX_US, seeds[0]);
    dp_back_off_init(&s->patience, RETRY_FIRST_US, RETRY_MAX_US, seeds[1]);
    dp_http_response_init(&s->answer);
}

void dp_session_free(dp_session *s)
{
    dp_http_client_close(&s->http);
    dp_http_response_free(&s->answer);
    dp_phone_free(&s->phone);
    dp_buf_free(&s->authorization);
}

dp_run dp_session_fail(dp_session *s, dp_run run, const char *format, ...)
{
    char text[sizeof(s->why) + 256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dp_timeline_error(s->timeline, "%s", text);
    s->end = run;
    return run;
}

static dp_answer over(dp_session *s, dp_run run)
{
    s->end = run;
    return DP_ANSWER_OVER;
}

static void because(dp_session *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void because(dp_session *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, sizeof(s->why), format, args);
    va_end(args);
}

/* --- one request --- */

static void build_query(const dp_session *s, dp_cmd cmd, dp_buf *out)
{
    dp_query q = {.cmd = cmd,
                  .user = s->args->user,
                  .device_id = s->args->device_id,
                  .device_type = s->args->device_type,
                  .version = s->phone.version,
                  .has_policy_key = s->phone.has_policy_key,
                  .policy_key = s->phone.policy_key};
    if (s->args->is_base64) {
        dp_query_base64(out, &q);
    }
    else {
        dp_query_plain(out, &q);
    }
}

static void build_fields(const dp_session *s, bool has_body, dp_buf *out)
{
    dp_buf_printf(out, "User-Agent: directpush-device/%s\r\n", PACKAGE_VERSION);
    if (!s->args->is_base64) { /* there both are in the query */
        dp_buf_printf(out, "MS-ASProtocolVersion: %u.%u\r\n",
                      s->phone.version / 10, s->phone.version % 10);
        if (s->phone.has_policy_key) {
            dp_buf_printf(out, "X-MS-PolicyKey: %u\r\n", s->phone.policy_key);
        }
    }
    if (has_body) {
        dp_buf_add(out, DP_SPAN_LIT(
                            "Content-Type: application/vnd.ms-sync.wbxml\r\n"));
    }
}

static dp_http_outcome send_request(dp_session *s, dp_cmd cmd, dp_span body)
{
    dp_buf query = {0}, fields = {0};
    dp_http_request request = {.method = "OPTIONS", .fields = "", .body = body};
    if (cmd != DP_CMD_NONE) {
        build_query(s, cmd, &query);
        build_fields(s, body.n != 0, &fields);
        request.method = "POST";
        request.query = query.p;
        request.fields = fields.p;
        request.has_body = true;
    }
    dp_http_outcome outcome =
        dp_http_client_send(&s->http, &request, dp_buf_span(&s->authorization));
    dp_buf_free(&query);
    dp_buf_free(&fields);
    return outcome;
}

static dp_http_outcome exchange(dp_session *s, dp_cmd cmd, dp_span body,
                                dp_time_us timeout_us,
                                void (*on_sent)(dp_session *s, void *ctx),
                                void *ctx)
{
    bool is_new;
    s->sent_us = 0;
    dp_http_response_free(&s->answer);
    dp_http_response_init(&s->answer);
    dp_http_outcome outcome = dp_http_client_open(&s->http, &is_new);
    if (outcome != DP_HTTP_OK) {
        return outcome;
    }
    if (is_new) {
        dp_timeline_connected(s->timeline, &s->http);
    }
    outcome = send_request(s, cmd, body);
    if (outcome != DP_HTTP_OK) {
        return outcome;
    }
    s->sent_us = dp_clock_mono_us();
    if (on_sent) {
        on_sent(s, ctx);
    }
    return dp_http_client_receive(&s->http, &s->answer,
                                  s->sent_us + timeout_us);
}

/* The server had closed a kept connection before it saw the request. */
static bool was_stale(const dp_session *s, dp_http_outcome outcome)
{
    return outcome == DP_HTTP_LOST && s->http.has_response &&
           !dp_http_response_has_begun(&s->answer) &&
           (s->sent_us == 0 || dp_clock_mono_us() - s->sent_us < STALE_US);
}

static const char *name_of(dp_cmd cmd)
{
    return cmd == DP_CMD_NONE ? "OPTIONS" : dp_cmd_name(cmd);
}

static void report_lost(dp_session *s, dp_cmd cmd, const char *why)
{
    dp_timeline_lost(s->timeline, name_of(cmd), why,
                     s->sent_us ? dp_clock_mono_us() - s->sent_us : 0);
}

/* --- what an answer means --- */

static dp_answer classify_status(dp_session *s, dp_cmd cmd)
{
    unsigned status = s->answer.status;
    const char *what = name_of(cmd);
    s->has_answered = true;
    if (status == 200) {
        return DP_ANSWER_GOOD;
    }
    if (status >= 500) {
        because(s, "%s was answered HTTP %u%s%s", what, status,
                s->answer.throttle.n ? ", throttled: " : "",
                dp_buf_str(&s->answer.throttle));
        return DP_ANSWER_BUSY;
    }
    switch (status) {
    case 401:
        because(s, "the server does not accept user and password (HTTP 401)");
        return over(s, DP_RUN_DENIED);
    case 403:
    case 456:
    case 457:
        because(s, "the server does not let this user or device in (HTTP %u)",
                status);
        return over(s, DP_RUN_DENIED);
    case 449:
        because(s, "%s wants a policy first (HTTP 449)", what);
        return DP_ANSWER_PROVISION;
    case 451:
        because(s, "this user is served elsewhere (HTTP 451): %s",
                s->answer.location.n ? s->answer.location.p
                                     : "the server does not say where");
        return over(s, DP_RUN_PROTOCOL);
    default:
        because(s, "%s was answered HTTP %u", what, status);
        return over(s, DP_RUN_PROTOCOL);
    }
}

static dp_answer classify(dp_session *s, dp_cmd cmd, dp_http_outcome outcome)
{
    because(s, "%s", s->http.stream.why);
    switch (outcome) {
    case DP_HTTP_OK:
        return classify_status(s, cmd);
    case DP_HTTP_UNREACHABLE:
        return DP_ANSWER_UNREACHABLE;
    case DP_HTTP_LOST:
        return DP_ANSWER_LOST;
    case DP_HTTP_TIMEOUT:
        dp_http_client_close(&s->http);
        return DP_ANSWER_TIMEOUT;
    case DP_HTTP_UNTRUSTED:
        return over(s, DP_RUN_UNREACHABLE);
    case DP_HTTP_STOPPED:
        return over(s, DP_RUN_STOPPED);
    default: /* GARBLED */
        because(s, "no HTTP that can be read: %s", s->http.stream.why);
        return over(s, DP_RUN_PROTOCOL);
    }
}

dp_answer dp_session_ask(dp_session *s, dp_cmd cmd, dp_span body,
                         dp_time_us timeout_us,
                         void (*on_sent)(dp_session *s, void *ctx), void *ctx)
{
    dp_http_outcome outcome = exchange(s, cmd, body, timeout_us, on_sent, ctx);
    if (was_stale(s, outcome)) { /* said, since it may also be a crash */
        report_lost(s, cmd, s->http.stream.why);
        outcome = exchange(s, cmd, body, timeout_us, on_sent, ctx);
    }
    dp_answer answer = classify(s, cmd, outcome);
    if (answer == DP_ANSWER_GOOD) {
        dp_back_off_reset(&s->back_off);
        s->provisions = cmd == DP_CMD_PROVISION ? s->provisions : 0;
    }
    return answer;
}

/* --- what to do about it --- */

dp_run dp_session_pause(dp_session *s, dp_back_off *back_off, const char *why,
                        dp_time_us at_least_us)
{
    dp_time_us delay = dp_back_off_next(back_off, at_least_us);
    dp_timeline_retry(s->timeline, why, delay);
    return dp_wait_for(-1, 0, dp_clock_mono_us() + delay, s->stop_fd) ==
                   DP_WAIT_STOPPED
               ? DP_RUN_STOPPED
               : DP_RUN_OK;
}

/* A first connection that fails is a mistake on the command line, more often
 * than not; later a phone never gives up. */
static bool has_tries_left(const dp_session *s)
{
    uint32_t limit = s->args->has_retries ? s->args->retries
                     : s->has_answered    ? UINT32_MAX
                                          : 0;
    return s->back_off.failures < limit;
}

static dp_run retry(dp_session *s, dp_answer answer)
{
    if (!has_tries_left(s)) {
        return dp_session_fail(
            s, answer == DP_ANSWER_BUSY ? DP_RUN_PROTOCOL : DP_RUN_UNREACHABLE,
            "%s: %s", dp_buf_str(&s->args->target.authority), s->why);
    }
    bool has_wish = answer == DP_ANSWER_BUSY && s->answer.has_retry_after;
    return dp_session_pause(s, &s->back_off, s->why,
                            has_wish ? s->answer.retry_after_s * DP_SECOND_US
                                     : 0);
}

dp_run dp_session_recover(dp_session *s, dp_answer answer)
{
    switch (answer) {
    case DP_ANSWER_GOOD:
        return DP_RUN_OK;
    case DP_ANSWER_PROVISION:
        return dp_session_provision(s);
    case DP_ANSWER_OVER:
        return s->end == DP_RUN_STOPPED
                   ? s->end
                   : dp_session_fail(s, s->end, "%s: %s",
                                     dp_buf_str(&s->args->target.authority),
                                     s->why);
    default:
        return retry(s, answer);
    }
}

/* eas-protocol 4.3, the common ones */
dp_run dp_session_recover_status(dp_session *s, const char *command,
                                 unsigned status)
{
    switch (status) {
    case 142: /* not provisioned, policy refresh, invalid policy key */
    case 143:
    case 144:
        return dp_session_provision(s);
    case 110: /* server error, with or without "retry later" */
    case 111:
    case 133: /* locked */
        because(s, "%s: server error (Status %u)", command, status);
        return dp_session_pause(s, &s->patience, s->why, 0);
    case 126: /* user or device is not let in, for one reason or another */
    case 127:
    case 128:
    case 129:
    case 130:
    case 131:
    case 139:
    case 140:
    case 141:
    case 145:
    case 177:
        return dp_session_fail(
            s, DP_RUN_DENIED, "%s: the server does not let %s in (Status %u)%s",
            command, s->args->user, status,
            status == 140 ? ", it orders a wipe" : "");
    default:
        return dp_session_fail(s, DP_RUN_PROTOCOL, "%s was answered Status %u",
                               command, status);
    }
}

dp_run dp_session_command(dp_session *s, dp_cmd cmd, dp_span body)
{
    for (;;) {
        dp_answer answer = dp_session_ask(s, cmd, body, COMMAND_US, NULL, NULL);
        if (answer == DP_ANSWER_GOOD) {
            return DP_RUN_OK;
        }
        if (answer == DP_ANSWER_LOST || answer == DP_ANSWER_TIMEOUT) {
            dp_timeline_lost(
                s->timeline, cmd == DP_CMD_NONE ? "OPTIONS" : dp_cmd_name(cmd),
                s->why, s->sent_us ? dp_clock_mono_us() - s->sent_us : 0);
        }
        dp_run run = dp_session_recover(s, answer);
        if (run != DP_RUN_OK) {
            return run;
        }
    }
}
