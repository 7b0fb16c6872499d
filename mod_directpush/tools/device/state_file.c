#include "tools/device/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_LINE "directpush-device 1"
#define FIELDS_MAX 6

static void add_field(dp_buf *out, const dp_buf *field)
{
    dp_buf_add(out, DP_SPAN_LIT("\t"));
    dp_buf_add_percent(out, dp_buf_span(field));
}

static void write_account(const dp_session *s, dp_buf *out)
{
    dp_buf url = {0};
    dp_buf_printf(&url, "http%s://%s%s", s->args->target.is_tls ? "s" : "",
                  dp_buf_str(&s->args->target.authority),
                  dp_buf_str(&s->args->target.path));
    dp_buf_add(out, DP_SPAN_LIT("account"));
    add_field(out, &url);
    dp_buf_set(&url, dp_span_str(s->args->user));
    add_field(out, &url);
    dp_buf_printf(out, "\t%s", s->args->device_id);
    dp_buf_free(&url);
}

static void write_all(const dp_session *s, dp_buf *out)
{
    dp_buf_printf(out, "%s\n", FIRST_LINE);
    write_account(s, out);
    if (s->phone.has_policy_key) {
        dp_buf_printf(out, "\npolicy\t%u", s->phone.policy_key);
    }
    dp_buf_printf(out, "\nheartbeat\t%u\nhierarchy", s->heartbeat.now_s);
    add_field(out, &s->phone.hierarchy_key);
    for (size_t i = 0; i < s->phone.folders_n; i++) {
        const dp_phone_folder *f = &s->phone.folders[i];
        dp_buf_add(out, DP_SPAN_LIT("\nfolder"));
        add_field(out, &f->id);
        add_field(out, &f->parent);
        dp_buf_printf(out, "\t%u", f->type);
        add_field(out, &f->key);
        add_field(out, &f->name);
    }
    dp_buf_add(out, DP_SPAN_LIT("\n"));
}

static bool write_whole(int fd, dp_span s)
{
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        n = n > 0 ? n : 0;
        s = dp_span_of(s.p + n, s.n - (size_t)n);
    }
    return true;
}

bool dp_state_save(const dp_session *s, const char **out_why)
{
    dp_buf text = {0}, name = {0};
    dp_buf_printf(&name, "%s.new", s->args->state_file);
    write_all(s, &text);
    int fd = open(name.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_written = fd >= 0 && write_whole(fd, dp_buf_span(&text));
    is_written = is_written && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (is_written && rename(name.p, s->args->state_file) != 0) {
        is_written = false;
        error = errno;
    }
    *out_why = is_written ? NULL : strerror(error);
    dp_buf_free(&text);
    dp_buf_free(&name);
    return is_written;
}

/* Split at tabs, undo the escapes. @return how many; 0 damaged */
static size_t split(const char *line, size_t n, dp_buf fields[FIELDS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        fields[i].n = 0;
    }
    for (;;) {
        const char *tab = memchr(line, '\t', n);
        size_t field_n = tab ? (size_t)(tab - line) : n;
        if (count == FIELDS_MAX) {
            return 0;
        }
        dp_buf_add(&fields[count], (dp_span){0}); /* a NUL at least */
        if (!dp_buf_add_unpercent(&fields[count], dp_span_of(line, field_n))) {
            return 0;
        }
        count++;
        if (!tab) {
            return count;
        }
        line += field_n + 1;
        n -= field_n + 1;
    }
}

static bool is_number(const dp_buf *field, uint32_t *out)
{
    uint64_t value = strtoull(field->p, NULL, 10);
    *out = (uint32_t)value;
    return field->n && field->n <= 10 && value <= UINT32_MAX &&
           strspn(field->p, "0123456789") == field->n;
}

static bool take_line(dp_session *s, const dp_buf *fields, size_t n,
                      uint32_t *out_heartbeat_s)
{
    const char *what = fields[0].p;
    uint32_t number;
    if (n == 2 && strcmp(what, "policy") == 0) {
        s->phone.has_policy_key = true;
        return is_number(&fields[1], &s->phone.policy_key);
    }
    if (n == 2 && strcmp(what, "heartbeat") == 0) {
        return is_number(&fields[1], out_heartbeat_s);
    }
    if (n == 2 && strcmp(what, "hierarchy") == 0) {
        dp_buf_set(&s->phone.hierarchy_key, dp_buf_span(&fields[1]));
        return fields[1].n != 0;
    }
    if (n != 6 || strcmp(what, "folder") != 0 || fields[1].n == 0 ||
        fields[4].n == 0 || !is_number(&fields[3], &number) ||
        dp_phone_find(&s->phone, dp_buf_span(&fields[1]))) {
        return false;
    }
    dp_phone_folder *f = dp_phone_add(&s->phone, dp_buf_span(&fields[1]));
    dp_buf_set(&f->parent, dp_buf_span(&fields[2]));
    f->type = number;
    dp_buf_set(&f->key, dp_buf_span(&fields[4]));
    dp_buf_set(&f->name, dp_buf_span(&fields[5]));
    return true;
}

/* @return a phrase, or NULL: all is well */
static const char *take_all(dp_session *s, const dp_buf *text,
                            uint32_t *out_heartbeat_s)
{
    dp_buf fields[FIELDS_MAX] = {0};
    dp_buf account = {0};
    const char *why = NULL;
    const char *at = dp_buf_str(text);
    write_account(s, &account);
    for (size_t number = 1; *at && !why; number++) {
        size_t n = strcspn(at, "\n");
        if (number == 1) {
            why = dp_span_is(dp_span_of(at, n), dp_span_str(FIRST_LINE))
                      ? NULL
                      : "not a state file of directpush-device";
        }
        else if (number == 2) {
            why = dp_span_is(dp_span_of(at, n), dp_buf_span(&account))
                      ? NULL
                      : "it belongs to another URL, user or device id";
        }
        else {
            size_t count = split(at, n, fields);
            why = count && take_line(s, fields, count, out_heartbeat_s)
                      ? NULL
                      : "damaged";
        }
        at += n + (at[n] == '\n');
    }
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        dp_buf_free(&fields[i]);
    }
    dp_buf_free(&account);
    return why ? why : text->n ? NULL : "empty";
}

static bool read_whole(int fd, dp_buf *out)
{
    char buf[4096];
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) != 0) {
        if (n < 0 && errno != EINTR) {
            return false;
        }
        dp_buf_add(out, dp_span_of(buf, n > 0 ? (size_t)n : 0));
    }
    return true;
}

dp_state_result dp_state_load(dp_session *s, const char **out_why)
{
    int fd = open(s->args->state_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        *out_why = strerror(errno);
        return errno == ENOENT ? DP_STATE_NONE : DP_STATE_FOREIGN;
    }
    dp_buf text = {0};
    uint32_t heartbeat_s = 0;
    *out_why = read_whole(fd, &text) ? take_all(s, &text, &heartbeat_s)
                                     : strerror(errno);
    close(fd);
    dp_buf_free(&text);
    if (*out_why) {
        dp_phone_free(&s->phone);
        dp_phone_init(&s->phone, s->args->filters, s->args->filters_n);
        return DP_STATE_FOREIGN;
    }
    if (heartbeat_s && !s->args->has_heartbeat) {
        dp_adaptive_init(&s->heartbeat, heartbeat_s, s->args->min_s,
                         s->args->max_s, s->args->step_s);
    }
    return DP_STATE_LOADED;
}
