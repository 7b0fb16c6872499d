#include "config.h"

#include "tools/device/load_publisher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "bus/bus_link.h"

/* So many go out in one write, and have one time for when they did. */
#define BATCH_N 32

/* So many may be unacknowledged: what both sides' buffers hold of answers. */
#define WINDOW_N 1024

#define BUF_SIZE ((size_t)BATCH_N * DP_LOAD_REQUEST_MAX)

#define CONNECT_US (20 * DP_SECOND_US)

static bool failed(dp_load_publisher *p, const char *what, const char *why)
{
    snprintf(p->why, sizeof(p->why), "%s: %s", what, why);
    return false;
}

static const char *where(const dp_load_publisher *p)
{
    return p->args->is_longpoll ? dp_buf_str(&p->args->target.authority)
                                : p->args->publish_socket;
}

/* @return false: too late, or stopped; `why` */
static bool wait_line(dp_load_publisher *p, short events,
                      dp_time_us deadline_us)
{
    struct pollfd fds[] = {{.fd = p->line.fd, .events = events},
                           {.fd = p->stop_fd, .events = POLLIN}};
    for (;;) {
        dp_time_us left_us = deadline_us - dp_clock_mono_us();
        int rc = poll(fds, 2, left_us > 0 ? (int)(left_us / 1000) + 1 : 0);
        if (fds[1].revents) {
            return failed(p, where(p), "stopped");
        }
        if (rc > 0) {
            return true;
        }
        if (left_us <= 0) {
            return failed(p, where(p), "nothing published is acknowledged");
        }
    }
}

/* --- connecting --- */

static bool connect_socket(dp_load_publisher *p)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(p->args->publish_socket);
    if (n >= sizeof(at.sun_path)) {
        return failed(p, p->args->publish_socket, "too long for a socket");
    }
    memcpy(at.sun_path, p->args->publish_socket, n + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    p->line = (dp_load_line){.fd = fd, .is_connected = true};
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        return failed(p, p->args->publish_socket, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return true;
}

static bool connect_http(dp_load_publisher *p)
{
    dp_time_us deadline_us = dp_clock_mono_us() + CONNECT_US;
    dp_load_io io = dp_load_line_open(&p->lines, &p->line, 0);
    while (io == DP_LOAD_IO_AGAIN) {
        bool is_resumed;
        short events = p->line.is_connected ? POLLIN : POLLOUT;
        if (!wait_line(p, events, deadline_us)) {
            return false;
        }
        io = dp_load_line_connect(&p->lines, &p->line, &is_resumed);
    }
    return io == DP_LOAD_IO_DONE || failed(p, where(p), strerror(errno));
}

static bool connect_line(dp_load_publisher *p)
{
    dp_load_pieces_free(&p->pieces);
    p->text.n = 0;
    dp_load_line_close(&p->line);
    return p->args->is_longpoll ? connect_http(p) : connect_socket(p);
}

bool dp_load_publisher_open(dp_load_publisher *p, const dp_load_args *args,
                            const dp_load_requests *requests,
                            dp_load_shared *shared, int stop_fd)
{
    *p = (dp_load_publisher){.args = args,
                             .requests = requests,
                             .shared = shared,
                             .stop_fd = stop_fd,
                             .line = {.fd = -1}};
    if (args->is_longpoll && !dp_load_lines_init(&p->lines, args, p->why)) {
        return false;
    }
    return connect_line(p);
}

void dp_load_publisher_close(dp_load_publisher *p)
{
    dp_load_line_close(&p->line);
    dp_load_pieces_free(&p->pieces);
    dp_buf_free(&p->text);
    dp_load_lines_free(&p->lines);
}

/* --- saying --- */

static size_t line_for(const dp_load_publisher *p, uint32_t device, char *out)
{
    char user[DP_LOAD_REQUEST_MAX / 4];
    const char *folder =
        strcasecmp(p->args->folder, "Inbox") ? p->args->folder : "INBOX";
    size_t n = dp_load_template_write(&p->args->user,
                                      dp_load_topic_of(p->args, device), user);
    dp_span fields[] = {DP_SPAN_LIT("publish"), dp_span_of(user, n),
                        DP_SPAN_LIT("Email"), dp_span_str(folder),
                        DP_SPAN_LIT("new")};
    return dp_link_format(out, DP_LOAD_REQUEST_MAX, fields, 5);
}

static dp_load_io say(dp_load_publisher *p, const uint32_t *devices, size_t n)
{
    static char buf[BUF_SIZE];
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes +=
            p->args->is_longpoll
                ? dp_load_request_publish(p->requests, devices[i], buf + bytes)
                : line_for(p, devices[i], buf + bytes);
    }
    dp_time_us now_us = dp_clock_mono_us();
    for (size_t i = 0; i < n; i++) {
        atomic_store_explicit(
            &p->shared->published_us[dp_load_topic_of(p->args, devices[i])],
            now_us, memory_order_release);
    }
    return dp_load_line_write(&p->line, buf, bytes);
}

/* --- hearing --- */

/* `ok SEQ PREV`, or `no REASON`. */
static bool take_lines(dp_load_publisher *p, dp_span bytes, size_t *acked)
{
    dp_buf_add(&p->text, bytes);
    size_t at = 0;
    char *eol;
    while ((eol = memchr(p->text.p + at, '\n', p->text.n - at)) != NULL) {
        if (strncmp(p->text.p + at, "ok", 2) != 0) {
            *eol = '\0';
            return failed(p, where(p), p->text.p + at);
        }
        at = (size_t)(eol + 1 - p->text.p);
        ++*acked;
    }
    memmove(p->text.p, p->text.p + at, p->text.n - at);
    p->text.n -= at;
    return true;
}

static bool take_answers(dp_load_publisher *p, dp_span bytes, size_t *acked,
                         bool *out_closes)
{
    while (bytes.n) {
        dp_load_answer answer;
        size_t used;
        switch (dp_load_answer_read(&p->pieces, bytes, &answer, &used)) {
        case DP_LOAD_MORE:
            return true;
        case DP_LOAD_BAD:
            return failed(p, where(p), "no HTTP answer to what was published");
        case DP_LOAD_WHOLE:
            break;
        }
        if (answer.status / 100 != 2) {
            snprintf(p->why, sizeof(p->why),
                     "%s: HTTP %u to what was "
                     "published",
                     where(p), answer.status);
            return false;
        }
        ++*acked;
        *out_closes |= answer.closes;
        dp_load_pieces_free(&p->pieces);
        bytes = dp_span_of(bytes.p + used, bytes.n - used);
        if (answer.closes) {
            return true;
        }
    }
    return true;
}

/* @param out_ended the other side has closed: servers end a connection after
 *                  so many requests */
static bool hear(dp_load_publisher *p, size_t *acked, bool *out_ended)
{
    unsigned char buf[16384];
    size_t n;
    bool has_more = true;
    while (has_more) {
        switch (dp_load_line_read(&p->line, buf, sizeof(buf), &n, &has_more)) {
        case DP_LOAD_IO_AGAIN:
            return true;
        case DP_LOAD_IO_DONE:
            break;
        default:
            *out_ended = true;
            return true;
        }
        dp_span bytes = dp_span_of(buf, n);
        if (p->args->is_longpoll ? !take_answers(p, bytes, acked, out_ended)
                                 : !take_lines(p, bytes, acked)) {
            return false;
        }
    }
    return true;
}

/* --- both --- */

/* One turn: say what fits, or wait; then hear what is there. */
static bool go_on(dp_load_publisher *p, const uint32_t *devices, size_t n,
                  size_t *sent, size_t *acked, bool *out_ended,
                  dp_time_us deadline_us)
{
    size_t room = WINDOW_N - (*sent - *acked);
    size_t batch = n - *sent < BATCH_N ? n - *sent : BATCH_N;
    dp_load_io io = DP_LOAD_IO_DONE;
    if (batch && batch <= room && !p->line.unsent) {
        io = say(p, devices + *sent, batch);
        *sent += batch;
    }
    else if (!wait_line(p, p->line.unsent ? POLLIN | POLLOUT : POLLIN,
                        deadline_us)) {
        return false;
    }
    else {
        io = dp_load_line_flush(&p->line);
    }
    *out_ended = io == DP_LOAD_IO_ERROR;
    return hear(p, acked, out_ended);
}

bool dp_load_publish(dp_load_publisher *p, const uint32_t *devices, size_t n)
{
    const dp_time_us patience_us = p->args->patience_s * DP_SECOND_US;
    dp_time_us deadline_us = dp_clock_mono_us() + patience_us;
    size_t sent = 0, acked = 0;
    bool is_new = false; /* this connection: nothing acknowledged yet */
    while (acked < n) {
        size_t before = acked;
        bool has_ended = false;
        if (!go_on(p, devices, n, &sent, &acked, &has_ended, deadline_us)) {
            return false;
        }
        if (acked > before) {
            deadline_us = dp_clock_mono_us() + patience_us;
            is_new = false;
        }
        if (!has_ended) {
            continue;
        }
        if (is_new) {
            return failed(p, where(p), "closes without an answer");
        }
        if (!connect_line(p)) {
            return false;
        }
        is_new = true;
        sent = acked; /* what was on its way is said again */
    }
    return true;
}
