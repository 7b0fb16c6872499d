#include "watcher/dav_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include <curl/curl.h>

#include "base/dp_check.h"

/* A descriptor of libcurl. What the loop still has for it in this turn must
 * find memory: they are used again, and freed when the turn of the end is over.
 */
typedef struct sock {
    struct sock *next_free, *next_all;
    dp_loop_fd fd;
    dp_dav_fetcher *owner;
} sock;

struct dp_dav_fetcher {
    dp_loop *loop;
    CURLM *multi;
    dp_loop_timer timer;
    sock *free_socks, *all_socks;
    dp_time_us timeout_us;
    char *ca_file;
};

struct dp_dav_fetch {
    dp_dav_fetcher *owner;
    CURL *easy;
    struct curl_slist *headers;
    dp_dav_done *done;
    void *ctx;
    dp_time_us started_us;
    char *body;
    size_t body_n, body_cap;
    char error[CURL_ERROR_SIZE];
    dp_dav_answer answer;
};

/* --- the loop's side */

static void free_fetch(dp_dav_fetch *f)
{
    curl_multi_remove_handle(f->owner->multi, f->easy);
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    free(f->body);
    free(f);
}

static void finish(dp_dav_fetch *f, CURLcode code)
{
    dp_dav_answer *a = &f->answer;
    curl_off_t retry = 0;
    if (code != CURLE_OK) {
        a->error = *f->error ? f->error : curl_easy_strerror(code);
    }
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &a->status);
    curl_easy_getinfo(f->easy, CURLINFO_RETRY_AFTER, &retry);
    a->retry_after_s = retry;
    a->body = f->body ? f->body : "";
    a->body_n = f->body_n;
    a->elapsed_us = dp_clock_mono_us() - f->started_us;
    f->done(f->ctx, a);
    free_fetch(f);
}

static void reap(dp_dav_fetcher *m)
{
    int left;
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(m->multi, &left))) {
        if (msg->msg == CURLMSG_DONE) {
            dp_dav_fetch *f = NULL;
            CURLcode code = msg->data.result;
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&f);
            finish(f, code);
        }
    }
}

static void sock_ready(void *ctx, uint32_t events)
{
    sock *s = ctx;
    int running;
    int what = (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0)
               | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0)
               | (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
    dp_dav_fetcher *m = s->owner;
    curl_multi_socket_action(m->multi, s->fd.fd, what, &running);
    reap(m);
}

static void timer_due(void *ctx)
{
    dp_dav_fetcher *m = ctx;
    int running;
    curl_multi_socket_action(m->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(m);
}

static sock *new_sock(dp_dav_fetcher *m, int fd)
{
    sock *s = m->free_socks;
    if (s) {
        m->free_socks = s->next_free;
    }
    else {
        s = calloc(1, sizeof(*s));
        DP_ASSERT(s);
        s->owner = m;
        s->next_all = m->all_socks;
        m->all_socks = s;
    }
    s->fd = (dp_loop_fd){.fd = fd, .ready = sock_ready, .ctx = s};
    return s;
}

static int sock_wanted(CURL *easy, curl_socket_t fd, int what, void *ctx,
                       void *of_sock)
{
    dp_dav_fetcher *m = ctx;
    sock *s = of_sock;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            dp_loop_forget(m->loop, &s->fd);
            s->next_free = m->free_socks;
            m->free_socks = s;
            curl_multi_assign(m->multi, fd, NULL);
        }
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0)
                      | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    if (s) {
        dp_loop_change(m->loop, &s->fd, events);
        return 0;
    }
    s = new_sock(m, fd);
    curl_multi_assign(m->multi, fd, s);
    if (!dp_loop_add(m->loop, &s->fd, events)) {
        s->fd.fd = -1; /* the time-out ends the request */
    }
    return 0;
}

static int timer_wanted(CURLM *multi, long ms, void *ctx)
{
    dp_dav_fetcher *m = ctx;
    if (ms < 0) {
        dp_loop_cancel(m->loop, &m->timer);
    }
    else {
        dp_loop_at(m->loop, &m->timer,
                   dp_clock_mono_us() + (dp_time_us)ms * 1000);
    }
    return 0;
}

/* --- one request */

static size_t take_body(char *bytes, size_t one, size_t n, void *ctx)
{
    dp_dav_fetch *f = ctx;
    if (n > DP_DAV_BODY_MAX - f->body_n) {
        f->answer.is_too_long = true;
        return 0; /* ends the request */
    }
    if (f->body_n + n > f->body_cap) {
        f->body_cap = (f->body_n + n) * 2;
        f->body = realloc(f->body, f->body_cap);
        DP_ASSERT(f->body);
    }
    memcpy(f->body + f->body_n, bytes, n);
    f->body_n += n;
    return n;
}

static bool header_is(const char *line, size_t n, const char *name, char *out,
                      size_t cap)
{
    size_t name_n = strlen(name);
    if (n <= name_n || strncasecmp(line, name, name_n) != 0) {
        return false;
    }
    line += name_n;
    n -= name_n;
    while (n && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n && strchr("\r\n ", line[n - 1])) {
        n--;
    }
    size_t fits = n < cap - 1 ? n : cap - 1;
    for (size_t i = 0; i < fits; i++) {
        out[i] = (unsigned char)line[i] < ' ' ? '?' : line[i];
    }
    out[fits] = '\0';
    return true;
}

static size_t take_header(char *line, size_t one, size_t n, void *ctx)
{
    dp_dav_fetch *f = ctx;
    char date[64];
    if (header_is(line, n, "Date:", date, sizeof(date))) {
        time_t t = curl_getdate(date, NULL);
        f->answer.date_s = t > 0 ? (long long)t : 0;
    }
    header_is(line, n, "Location:", f->answer.location,
              sizeof(f->answer.location));
    return n;
}

static void set_options(dp_dav_fetch *f, const dp_dav_request *r)
{
    CURL *e = f->easy;
    dp_dav_fetcher *m = f->owner;
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PRIVATE, f);
    curl_easy_setopt(e, CURLOPT_URL, r->url);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    if (m->ca_file) {
        curl_easy_setopt(e, CURLOPT_CAINFO, m->ca_file);
    }
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
    curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, r->body);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "directpushd");
    curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(e, CURLOPT_USERNAME, r->user);
    curl_easy_setopt(e, CURLOPT_PASSWORD, r->password);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(m->timeout_us / 1000));
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(m->timeout_us / 1000));
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->error);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
}

dp_dav_fetch *dp_dav_fetch_start(dp_dav_fetcher *m, const dp_dav_request *r,
                                 dp_dav_done *done, void *ctx)
{
    char depth[32];
    dp_dav_fetch *f = calloc(1, sizeof(*f));
    DP_ASSERT(f);
    f->owner = m;
    f->done = done;
    f->ctx = ctx;
    f->started_us = dp_clock_mono_us();
    f->easy = curl_easy_init();
    DP_ASSERT(f->easy);
    snprintf(depth, sizeof(depth), "Depth: %s", r->depth);
    f->headers = curl_slist_append(NULL, depth);
    f->headers = curl_slist_append(
        f->headers, "Content-Type: application/xml; charset=utf-8");
    f->headers = curl_slist_append(f->headers, "Expect:");
    set_options(f, r);
    DP_ASSERT(curl_multi_add_handle(m->multi, f->easy) == CURLM_OK);
    return f;
}

void dp_dav_fetch_cancel(dp_dav_fetch **pfetch)
{
    if (*pfetch) {
        free_fetch(*pfetch);
        *pfetch = NULL;
    }
}

/* --- all of them */

dp_dav_fetcher *dp_dav_fetcher_new(dp_loop *loop, unsigned connections,
                                   dp_time_us timeout_us, const char *ca_file)
{
    static bool is_begun;
    if (!is_begun) {
        DP_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
        is_begun = true;
    }
    dp_dav_fetcher *m = calloc(1, sizeof(*m));
    DP_ASSERT(m);
    m->loop = loop;
    m->timeout_us = timeout_us;
    m->ca_file = ca_file ? strdup(ca_file) : NULL;
    m->timer = (dp_loop_timer){.due = timer_due, .ctx = m};
    m->multi = curl_multi_init();
    DP_ASSERT(m->multi);
    curl_multi_setopt(m->multi, CURLMOPT_SOCKETFUNCTION, sock_wanted);
    curl_multi_setopt(m->multi, CURLMOPT_SOCKETDATA, m);
    curl_multi_setopt(m->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(m->multi, CURLMOPT_TIMERDATA, m);
    curl_multi_setopt(m->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                      (long)connections);
    curl_multi_setopt(m->multi, CURLMOPT_MAXCONNECTS, (long)connections);
    return m;
}

void dp_dav_fetcher_free(dp_dav_fetcher **pm)
{
    dp_dav_fetcher *m = *pm;
    if (!m) {
        return;
    }
    *pm = NULL;
    curl_multi_cleanup(m->multi);
    dp_loop_cancel(m->loop, &m->timer);
    while (m->all_socks) {
        sock *s = m->all_socks;
        m->all_socks = s->next_all;
        dp_loop_forget(m->loop, &s->fd);
        dp_loop_free_later(m->loop, s);
    }
    free(m->ca_file);
    free(m);
}
