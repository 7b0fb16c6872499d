#include "watcher/command.h"

#include <inttypes.h>
#include <stdio.h>

#include "bus/topic_name.h"
#include "watcher/watcher.h"

#define IS(field, text) dp_span_is((field), DP_SPAN_LIT(text))

static bool say_no(dp_peer *p, const char *why)
{
    dp_span fields[] = {DP_SPAN_LIT("no"), dp_span_str(why)};
    return dp_peer_say(p, fields, 2);
}

static bool say_ok(dp_peer *p)
{
    dp_span field = DP_SPAN_LIT("ok");
    return dp_peer_say(p, &field, 1);
}

#define DECIMAL_MAX 20 /* digits of a 64-bit number */

/* A tenth of what a publish takes went to snprintf(). */
static dp_span decimal(char *buf, uint64_t value)
{
    char *end = buf + DECIMAL_MAX, *at = end;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return dp_span_of(at, (size_t)(end - at));
}

static bool say_ok_numbers(dp_peer *p, size_t n, uint64_t a, uint64_t b)
{
    char first[DECIMAL_MAX], second[DECIMAL_MAX];
    dp_span fields[] = {DP_SPAN_LIT("ok"), decimal(first, a),
                        decimal(second, b)};
    return dp_peer_say(p, fields, 1 + n);
}

/* --- commands; fields are those after the word itself */

typedef bool command(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n);

static bool run_hello(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    uint64_t version;
    if (!IS(f[0], "module") || !dp_link_u64(f[1], &version)
        || version != DP_LINK_VERSION) {
        return say_no(p, "this directpushd speaks: hello module 1");
    }
    p->is_child = true;
    return say_ok_numbers(
        p, 1, dp_bus_writer_map(w->bus)->header->instance, 0);
}

static bool run_wake(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    p->kind = DP_PEER_WAKE;
    return say_ok(p);
}

static bool run_follow(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    p->kind = DP_PEER_FOLLOW;
    return true;
}

static bool run_watch(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    dp_bus_ref ref;
    const char *why = dp_watcher_watch(w, f[0], dp_class_of(f[1]), f[2], &ref);
    return why ? say_no(p, why) : say_ok_numbers(p, 2, ref.slot, ref.gen);
}

static bool run_publish(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    uint64_t prev;
    bool is_other = n == 4 && IS(f[3], "other");
    dp_class c = dp_class_of(f[1]);
    if (n == 4 && !is_other && !IS(f[3], "new")) {
        return say_no(p, "publish: the kind is new or other");
    }
    if (c == DP_CLASS_UNKNOWN || !dp_topic_user_is_sane(f[0])
        || !dp_topic_folder_is_sane(f[2])) {
        return say_no(p, "no topic can have that name");
    }
    uint64_t seq = dp_watcher_publish(w, f[0], c, f[2], !is_other, &prev);
    return say_ok_numbers(p, 2, seq, prev);
}

static bool parse_hash(dp_span hex, dp_hash *out)
{
    *out = (dp_hash){{0, 0}};
    if (hex.n != 32) {
        return false;
    }
    for (size_t i = 0; i < 32; i++) {
        unsigned c = hex.p[i];
        unsigned digit = c >= '0' && c <= '9'   ? c - '0'
                         : c >= 'a' && c <= 'f' ? c - 'a' + 10
                         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                : 16;
        if (digit > 15) {
            return false;
        }
        out->w[i / 16] = out->w[i / 16] << 4 | digit;
    }
    return true;
}

static bool run_ping(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    dp_hash hash;
    uint64_t arrival;
    if (parse_hash(f[0], &hash) && dp_link_u64(f[1], &arrival)) {
        dp_bus_tell(w->bus, DP_BUS_KIND_PING, hash, arrival);
    }
    return true; /* never answered: nobody waits for it */
}

/* Logins and DeviceIds are compared in lower case. */
static dp_span lower(char *buf, size_t cap, dp_span s)
{
    size_t n = s.n < cap ? s.n : cap;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = s.p[i];
        buf[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return dp_span_of(buf, n);
}

static bool run_forget(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    char user[DP_TOPIC_USER_MAX], device[DP_TOPIC_USER_MAX];
    const uint8_t *key = dp_bus_writer_map(w->bus)->header->hash_key;
    uint64_t arg =
        n == 2 ? dp_forget_device_key(key, lower(device, sizeof(device), f[1]))
               : 0;
    dp_span name = lower(user, sizeof(user), f[0]);
    uint64_t seq = dp_bus_tell(w->bus, DP_BUS_KIND_FORGET,
                               dp_forget_user_key(key, name), arg);
    return say_ok_numbers(p, 2, seq, dp_watcher_knows(w, name));
}

static bool run_verify(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    static const char *const words[] = {[DP_VERIFY_NOT] = "no",
                                        [DP_VERIFY_COULD] = "could",
                                        [DP_VERIFY_WATCHED] = "ok"};
    char text[4096];
    dp_verified v = dp_watcher_verify(w, f[0], dp_class_of(f[1]), f[2], text,
                                      sizeof(text));
    dp_span fields[] = {dp_span_str(words[v]), dp_span_str(text)};
    return dp_peer_say(p, fields, 2);
}

static void status_line(void *ctx, const char *name, uint64_t value)
{
    char number[24];
    snprintf(number, sizeof(number), "%" PRIu64, value);
    dp_span fields[] = {dp_span_str(name), dp_span_str(number)};
    dp_peer_say(ctx, fields, 2);
}

static bool run_status(dp_watcher *w, dp_peer *p, const dp_span *f, size_t n)
{
    dp_span end = DP_SPAN_LIT(".");
    dp_watcher_report(w, status_line, p);
    return dp_peer_say(p, &end, 1);
}

static const struct {
    const char *word;
    size_t least, most; /* fields after the word */
    bool is_for_admin;
    command *run;
} commands[] = {
    {"ping", 2, 2, false, run_ping},     {"watch", 3, 3, false, run_watch},
    {"publish", 3, 4, false, run_publish}, {"hello", 2, 3, false, run_hello},
    {"wake", 0, 0, false, run_wake},     {"forget", 1, 2, false, run_forget},
    {"verify", 3, 3, false, run_verify}, {"status", 0, 0, true, run_status},
    {"follow", 0, 0, true, run_follow},
};

bool dp_command_run(dp_watcher *w, dp_peer *p, unsigned char *line, size_t n)
{
    dp_link_line parsed;
    dp_link_parse(line, n, &parsed);
    if (parsed.fields_n == 0) {
        return say_no(p, "not a line of this protocol");
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!dp_span_is(parsed.field[0], dp_span_str(commands[i].word))) {
            continue;
        }
        if (parsed.fields_n - 1 < commands[i].least
            || parsed.fields_n - 1 > commands[i].most) {
            return say_no(p, "wrong number of fields");
        }
        if (commands[i].is_for_admin && !p->is_admin) {
            return say_no(p, "only for root and directpushd's own user");
        }
        return commands[i].run(w, p, parsed.field + 1, parsed.fields_n - 1);
    }
    return say_no(p, "unknown word");
}

const char *dp_command_kind(int emit_kind)
{
    static const char *const words[] = {
        [DP_EMIT_NEW] = "new",
        [DP_EMIT_OTHER] = "other",
        [DP_EMIT_VOUCHED] = "vouched",
        [DP_EMIT_LOST] = "lost",
    };
    return words[emit_kind];
}
