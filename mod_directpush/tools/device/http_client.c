#include "tools/device/http_client.h"

#include <stdio.h>

/* AOSP gives 20 s to a connection and 30 s to a command (eas-protocol 6.1). */
#define CONNECT_US (20 * DP_SECOND_US)
#define SEND_US    (30 * DP_SECOND_US)

#define READ_SIZE 16384 /* a TLS record */

/* Of a body, in hexadecimal, with --verbose. */
#define TRACE_BODY_MAX 256

void dp_http_client_init(dp_http_client *c, const dp_target *target,
                         SSL_CTX *tls, int stop_fd)
{
    *c = (dp_http_client){.target = target, .tls = tls};
    dp_http_stream_init(&c->stream, stop_fd);
}

void dp_http_client_close(dp_http_client *c)
{
    dp_http_stream_close(&c->stream);
}

static void trace(dp_http_client *c, char direction, const char *line)
{
    if (c->trace) {
        c->trace(c->trace_ctx, direction, line);
    }
}

/* Each line of a header block. */
static void trace_lines(dp_http_client *c, char direction, const char *lines)
{
    while (c->trace && *lines) {
        size_t n = strcspn(lines, "\r\n");
        dp_buf line = {0};
        dp_buf_set(&line, dp_span_of(lines, n));
        trace(c, direction, line.p);
        dp_buf_free(&line);
        lines += n + strspn(lines + n, "\r\n");
    }
}

static void trace_body(dp_http_client *c, char direction, dp_span body)
{
    if (!c->trace || body.n == 0) {
        return;
    }
    dp_buf line = {0};
    dp_buf_printf(&line, "%zu bytes:", body.n);
    for (size_t i = 0; i < body.n && i < TRACE_BODY_MAX; i++) {
        dp_buf_printf(&line, " %02x", body.p[i]);
    }
    if (body.n > TRACE_BODY_MAX) {
        dp_buf_add(&line, DP_SPAN_LIT(" ..."));
    }
    trace(c, direction, line.p);
    dp_buf_free(&line);
}

dp_http_outcome dp_http_client_open(dp_http_client *c, bool *out_is_new)
{
    *out_is_new = false;
    if (dp_http_stream_is_idle(&c->stream)) {
        return DP_HTTP_OK;
    }
    dp_http_stream_close(&c->stream);
    dp_http_outcome outcome = dp_http_stream_connect(
        &c->stream, c->target, c->tls, dp_clock_mono_us() + CONNECT_US);
    if (outcome == DP_HTTP_OK) {
        c->connection++;
        c->request = 0;
        c->has_response = false;
        *out_is_new = true;
    }
    return outcome;
}

dp_http_outcome dp_http_client_send(dp_http_client *c,
                                    const dp_http_request *request,
                                    dp_span secret_fields)
{
    dp_buf head = {0};
    dp_buf_printf(&head, "%s %s%s%s HTTP/1.1\r\nHost: %s\r\n%s",
                  request->method, dp_buf_str(&c->target->path),
                  request->query ? "?" : "",
                  request->query ? request->query : "",
                  dp_buf_str(&c->target->authority), request->fields);
    if (request->has_body) {
        dp_buf_printf(&head, "Content-Length: %zu\r\n", request->body.n);
    }
    trace_lines(c, '>', head.p);
    trace_body(c, '>', request->body);
    dp_buf_add(&head, secret_fields);
    dp_buf_add(&head, DP_SPAN_LIT("\r\n"));
    dp_buf_add(&head, request->body); /* one packet, where it fits */
    c->request++;
    dp_http_outcome outcome = dp_http_stream_write(
        &c->stream, dp_buf_span(&head), dp_clock_mono_us() + SEND_US);
    dp_buf_free(&head);
    if (outcome != DP_HTTP_OK) {
        dp_http_stream_close(&c->stream);
    }
    return outcome;
}

static dp_http_outcome garbled(dp_http_client *c, const char *why)
{
    snprintf(c->stream.why, sizeof(c->stream.why), "%s", why);
    dp_http_stream_close(&c->stream);
    return DP_HTTP_GARBLED;
}

static dp_http_outcome ended(dp_http_client *c, dp_http_response *r)
{
    dp_http_response_close(r);
    dp_http_stream_close(&c->stream);
    if (r->part == DP_HTTP_DONE) {
        return DP_HTTP_OK;
    }
    snprintf(c->stream.why, sizeof(c->stream.why), "%s", r->why);
    return DP_HTTP_LOST;
}

/* The response is whole: what becomes of the connection? */
static dp_http_outcome finish(dp_http_client *c, const dp_http_response *r,
                              bool has_more)
{
    if (c->trace) {
        dp_buf line = {0};
        dp_buf_printf(&line, "HTTP %u, %zu bytes%s", r->status, r->body.n,
                      r->is_reusable ? "" : ", closes");
        trace(c, '<', line.p);
        dp_buf_free(&line);
        trace_body(c, '<', dp_buf_span(&r->body));
    }
    c->has_response = true;
    if (!r->is_reusable || has_more) {
        dp_http_stream_close(&c->stream);
    }
    return DP_HTTP_OK;
}

dp_http_outcome dp_http_client_receive(dp_http_client *c, dp_http_response *r,
                                       dp_time_us deadline_us)
{
    unsigned char buf[READ_SIZE];
    for (;;) {
        size_t n;
        dp_http_outcome outcome =
            dp_http_stream_read(&c->stream, buf, sizeof(buf), deadline_us, &n);
        if (outcome != DP_HTTP_OK) {
            if (outcome != DP_HTTP_TIMEOUT) {
                dp_http_stream_close(&c->stream);
            }
            return outcome;
        }
        if (n == 0) {
            outcome = ended(c, r);
            return outcome == DP_HTTP_OK ? finish(c, r, false) : outcome;
        }
        size_t used = dp_http_response_feed(r, dp_span_of(buf, n));
        if (r->part == DP_HTTP_BAD) {
            return garbled(c, r->why);
        }
        if (r->part == DP_HTTP_DONE) {
            return finish(c, r, used < n);
        }
    }
}
