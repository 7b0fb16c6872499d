#include "tools/device/event.h"

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

/* U+2028 to U+202E and U+2066 to U+2069 break lines or turn them around. */
static bool turns_lines(const unsigned char *c)
{
    return c[0] == 0xE2 && ((c[1] == 0x80 && c[2] >= 0xA8 && c[2] <= 0xAE) ||
                            (c[1] == 0x81 && c[2] >= 0xA6 && c[2] <= 0xA9));
}

void dp_event_print(FILE *out, dp_span text)
{
    for (size_t i = 0; i < text.n;) {
        const unsigned char *c = text.p + i;
        size_t n = dp_utf8_length(dp_span_of(c, text.n - i));
        bool is_odd = n == 0 || (n == 1 && (*c < 0x20 || *c == 0x7F)) ||
                      (n == 2 && c[0] == 0xC2 && c[1] < 0xA0) ||
                      (n == 3 && turns_lines(c));
        if (is_odd) {
            putc('?', out);
        }
        else {
            fwrite(c, 1, n, out);
        }
        i += n ? n : 1;
    }
}

static void write_time(dp_event *e)
{
    dp_time_us now = dp_clock_wall_us();
    time_t seconds = (time_t)(now / DP_SECOND_US);
    int ms = (int)(now % DP_SECOND_US / 1000);
    struct tm tm;
    char text[64];
    if (e->json.out) {
        gmtime_r(&seconds, &tm);
        size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text + n, sizeof(text) - n, ".%03dZ", ms);
        dp_json_str(&e->json, "time", text);
    }
    else {
        localtime_r(&seconds, &tm);
        strftime(text, sizeof(text), "%H:%M:%S", &tm);
        dp_event_say(e, "%s.%03d  ", text, ms);
    }
}

void dp_event_begin(dp_event *e, dp_timeline *t, const char *name,
                    const char *label)
{
    *e = (dp_event){.timeline = t, .json.out = t->is_json ? t->out : NULL};
    dp_json_open(&e->json, NULL, '{');
    write_time(e);
    dp_json_str(&e->json, "event", name);
    dp_event_say(e, "%-12s ", label);
}

void dp_event_end(dp_event *e)
{
    dp_json_close(&e->json, '}');
    putc('\n', e->timeline->out);
    fflush(e->timeline->out);
}

void dp_event_say(dp_event *e, const char *format, ...)
{
    if (!e->json.out) {
        va_list args;
        va_start(args, format);
        vfprintf(e->timeline->out, format, args);
        va_end(args);
    }
}

void dp_event_say_text(dp_event *e, dp_span text)
{
    if (!e->json.out) {
        dp_event_print(e->timeline->out, text);
    }
}

void dp_event_say_seconds(dp_event *e, const char *before, dp_time_us span)
{
    dp_event_say(e, "%s%" PRId64 ".%03d s", before, span / DP_SECOND_US,
                 (int)(span % DP_SECOND_US / 1000));
}
