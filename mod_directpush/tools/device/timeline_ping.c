/* The events of timeline.h around Pings, lost connections and the end. */
#include <inttypes.h>
#include <stdarg.h>

#include "tools/device/event.h"

const char *dp_timeline_ping_status(unsigned status)
{
    switch (status) {
    case DP_PING_NOTHING:
        return "nothing changed";
    case DP_PING_CHANGES:
        return "changes";
    case DP_PING_MISSING:
        return "the server wants the whole Ping";
    case DP_PING_SYNTAX:
        return "syntax error";
    case DP_PING_HEARTBEAT:
        return "heartbeat out of bounds";
    case DP_PING_FOLDERS:
        return "too many folders";
    case DP_PING_HIERARCHY:
        return "the folder list has changed";
    case DP_PING_ERROR:
        return "server error";
    default:
        return "unknown status";
    }
}

static void say_ping(dp_event *e, const dp_timeline_ping *ping)
{
    static const char *const forms[] = {[DP_PING_FULL] = "",
                                        [DP_PING_HEARTBEAT_ONLY] =
                                            ", only the heartbeat sent",
                                        [DP_PING_EMPTY] = ", empty"};
    const char *comma = " for ";
    size_t left = ping->folders_n;
    dp_event_say(e, "waiting up to %u s", ping->heartbeat_s);
    for (size_t i = 0; i < ping->phone->folders_n && left; i++) {
        const dp_phone_folder *f = &ping->phone->folders[i];
        if (dp_phone_pings(f)) {
            dp_event_say(e, "%s", comma);
            dp_event_say_text(e, dp_buf_span(&f->name));
            comma = ", ";
            left--;
        }
    }
    dp_event_say(e, "   (connection #%u, request %u%s)", ping->connection,
                 ping->request, forms[ping->form]);
}

void dp_timeline_ping_sent(dp_timeline *t, const dp_timeline_ping *ping)
{
    static const char *const forms[] = {[DP_PING_FULL] = "full",
                                        [DP_PING_HEARTBEAT_ONLY] = "heartbeat",
                                        [DP_PING_EMPTY] = "empty"};
    dp_event e;
    dp_event_begin(&e, t, "ping", "Ping");
    dp_json_int(&e.json, "heartbeat", ping->heartbeat_s);
    dp_json_int(&e.json, "folders_n", (int64_t)ping->folders_n);
    dp_json_str(&e.json, "form", forms[ping->form]);
    dp_json_int(&e.json, "connection", ping->connection);
    dp_json_int(&e.json, "request", ping->request);
    say_ping(&e, ping);
    dp_event_end(&e);
}

void dp_timeline_woken(dp_timeline *t, const dp_phone *phone,
                       dp_time_us after_us)
{
    dp_event e;
    const char *comma = ": ";
    dp_event_begin(&e, t, "woken", "woken");
    dp_json_int(&e.json, "status", DP_PING_CHANGES);
    dp_json_seconds(&e.json, "after", after_us);
    dp_event_say_seconds(&e, "after ", after_us);
    dp_json_open(&e.json, "folders", '[');
    for (size_t i = 0; i < phone->folders_n; i++) {
        const dp_phone_folder *f = &phone->folders[i];
        if (!f->needs_sync) {
            continue;
        }
        dp_json_open(&e.json, NULL, '{');
        dp_json_text(&e.json, "id", dp_buf_span(&f->id));
        dp_json_text(&e.json, "name", dp_buf_span(&f->name));
        dp_json_close(&e.json, '}');
        dp_event_say(&e, "%s", comma);
        dp_event_say_text(&e, dp_buf_span(&f->name));
        comma = ", ";
    }
    dp_json_close(&e.json, ']');
    dp_event_end(&e);
}

void dp_timeline_answered(dp_timeline *t, unsigned status, uint32_t value,
                          dp_time_us after_us, uint32_t heartbeat_s)
{
    dp_event e;
    dp_event_begin(&e, t, "answered",
                   status == DP_PING_NOTHING ? "quiet" : "answered");
    dp_json_int(&e.json, "status", status);
    dp_json_int(&e.json, "value", value);
    dp_json_seconds(&e.json, "after", after_us);
    dp_json_int(&e.json, "heartbeat", heartbeat_s);
    dp_event_say_seconds(&e, "after ", after_us);
    dp_event_say(&e, ": %s", dp_timeline_ping_status(status));
    if (status != DP_PING_NOTHING) {
        dp_event_say(&e, " (Status %u)", status);
    }
    if (value) {
        dp_event_say(&e, ", %u", value);
    }
    dp_event_end(&e);
}

void dp_timeline_lost(dp_timeline *t, const char *during, const char *why,
                      dp_time_us after_us)
{
    dp_event e;
    dp_event_begin(&e, t, "lost", "lost");
    dp_json_str(&e.json, "during", during);
    dp_json_str(&e.json, "why", why);
    dp_json_seconds(&e.json, "after", after_us);
    dp_event_say(&e, "%s: ", during);
    dp_event_say_text(&e, dp_span_str(why));
    dp_event_say_seconds(&e, ", after ", after_us);
    dp_event_end(&e);
}

void dp_timeline_retry(dp_timeline *t, const char *why, dp_time_us delay_us)
{
    dp_event e;
    dp_event_begin(&e, t, "retry", "waiting");
    dp_json_str(&e.json, "why", why);
    dp_json_seconds(&e.json, "delay", delay_us);
    dp_event_say_seconds(&e, "", delay_us);
    dp_event_say(&e, " before the next try: ");
    dp_event_say_text(&e, dp_span_str(why));
    dp_event_end(&e);
}

/* A phrase of ours with something hostile in it. */
static void phrase(dp_buf *out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void phrase(dp_buf *out, const char *format, va_list args)
{
    char text[1024];
    vsnprintf(text, sizeof(text), format, args);
    dp_buf_set(out, dp_span_str(text));
}

void dp_timeline_note(dp_timeline *t, const char *format, ...)
{
    dp_buf text = {0};
    va_list args;
    va_start(args, format);
    phrase(&text, format, args);
    va_end(args);
    dp_event e;
    dp_event_begin(&e, t, "note", "note");
    dp_json_text(&e.json, "text", dp_buf_span(&text));
    dp_event_say_text(&e, dp_buf_span(&text));
    dp_event_end(&e);
    dp_buf_free(&text);
}

/* People read it on standard error; programs get it in its place. */
void dp_timeline_error(dp_timeline *t, const char *format, ...)
{
    dp_buf text = {0};
    va_list args;
    va_start(args, format);
    phrase(&text, format, args);
    va_end(args);
    if (t->is_json) {
        dp_event e;
        dp_event_begin(&e, t, "error", "error");
        dp_json_text(&e.json, "text", dp_buf_span(&text));
        dp_event_end(&e);
    }
    fputs("directpush-device: ", stderr);
    dp_event_print(stderr, dp_buf_span(&text));
    putc('\n', stderr);
    dp_buf_free(&text);
}

void dp_timeline_end(dp_timeline *t, const char *why, int exit_status)
{
    dp_event e;
    dp_event_begin(&e, t, "end", "end");
    dp_json_str(&e.json, "why", why);
    dp_json_int(&e.json, "exit", exit_status);
    dp_event_say(&e, "%s", why);
    dp_event_end(&e);
}

void dp_timeline_trace(void *ctx, char direction, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%c ", direction);
    dp_event_print(stderr, dp_span_str(line));
    putc('\n', stderr);
}
