#include "config.h"

#include "tools/device/load_line.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/dp_check.h"
#include "tools/device/http_stream.h"

/* httpd takes its own tickets for five minutes (SSLSessionCacheTimeout): a
 * fresh one is kept before that. */
#define SESSION_KEPT_US (60 * DP_SECOND_US)

/* --- what all share --- */

/* TLS 1.3: tickets come after the handshake, two by default. The first of all
 * is enough for some time: whoever keeps each pays for each. */
static int new_session(SSL *ssl, SSL_SESSION *session)
{
    dp_load_lines *l = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    dp_time_us now_us = dp_clock_mono_us();
    if (l->session && now_us - l->session_at_us < SESSION_KEPT_US) {
        return 0;
    }
    SSL_SESSION *copy = SSL_SESSION_dup(session);
    if (copy) {
        SSL_SESSION_free(l->session);
        l->session = copy;
        l->session_at_us = now_us;
    }
    return 0; /* the reference stays OpenSSL's */
}

static bool init_tls(dp_load_lines *l, char *why)
{
    l->tls = dp_http_stream_tls(l->args->ca_file, l->args->is_insecure, why);
    if (!l->tls) {
        return false;
    }
    SSL_CTX_set_app_data(l->tls, l);
    /* one read(2) for a record's head and body together */
    SSL_CTX_set_read_ahead(l->tls, 1);
    if (l->args->wants_full_handshakes) {
        SSL_CTX_set_options(l->tls, SSL_OP_NO_TICKET);
        SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_OFF);
    }
    else {
        SSL_CTX_set_session_cache_mode(l->tls, SSL_SESS_CACHE_CLIENT |
                                                   SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(l->tls, new_session);
    }
    return true;
}

bool dp_load_lines_init(dp_load_lines *l, const dp_load_args *args, char *why)
{
    const dp_target *t = &args->target;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_family = args->sources ? AF_INET : AF_UNSPEC};
    struct addrinfo *list;
    *l = (dp_load_lines){.args = args};
    int rc =
        getaddrinfo(dp_buf_str(&t->host), dp_buf_str(&t->port), &hints, &list);
    if (rc) {
        snprintf(why, 256, "%s: %s", dp_buf_str(&t->host), gai_strerror(rc));
        return false;
    }
    memcpy(&l->address, list->ai_addr, list->ai_addrlen);
    l->address_n = list->ai_addrlen;
    freeaddrinfo(list);
    return !t->is_tls || init_tls(l, why);
}

void dp_load_lines_free(dp_load_lines *l)
{
    SSL_SESSION_free(l->session);
    SSL_CTX_free(l->tls);
}

/* --- one line --- */

/* The kernel chooses the port when it connects, so that it can be one that is
 * in use to somewhere else. */
static bool bind_source(int fd, uint32_t source)
{
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr =
                                   htonl(INADDR_LOOPBACK + source)};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0;
}

dp_load_io dp_load_line_open(dp_load_lines *l, dp_load_line *line,
                             uint32_t number)
{
    int on = 1;
    const dp_load_args *a = l->args;
    *line = (dp_load_line){.fd = -1};
    int fd = socket(l->address.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return DP_LOAD_IO_ERROR;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bool is_bound =
        !a->sources || bind_source(fd, number / a->processes % a->sources);
    if (!is_bound ||
        (connect(fd, (const struct sockaddr *)&l->address, l->address_n) != 0 &&
         errno != EINPROGRESS)) {
        int err = errno;
        close(fd);
        errno = err;
        return DP_LOAD_IO_ERROR;
    }
    line->fd = fd;
    return DP_LOAD_IO_AGAIN;
}

/* EPIPE: it came before, with nothing read meanwhile. */
static void note_reset(dp_load_line *line)
{
    line->was_reset |= errno == ECONNRESET || errno == EPIPE;
}

static dp_load_io tls_io(dp_load_line *line, int rc)
{
    switch (SSL_get_error(line->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return DP_LOAD_IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return DP_LOAD_IO_END;
    case SSL_ERROR_SYSCALL:
        note_reset(line);
        return DP_LOAD_IO_ERROR;
    default:
        return DP_LOAD_IO_ERROR;
    }
}

static bool begin_tls(dp_load_lines *l, dp_load_line *line)
{
    const dp_target *t = &l->args->target;
    const char *host = dp_buf_str(&t->host);
    line->ssl = SSL_new(l->tls);
    if (!line->ssl || !SSL_set_fd(line->ssl, line->fd)) {
        return false;
    }
    if (t->is_address) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(line->ssl), host);
    }
    else {
        SSL_set1_host(line->ssl, host);
        SSL_set_tlsext_host_name(line->ssl, host);
    }
    /* a copy: OpenSSL lets nobody resume a session of which one connection
     * ended badly */
    SSL_SESSION *own = l->session ? SSL_SESSION_dup(l->session) : NULL;
    if (own) {
        SSL_set_session(line->ssl, own);
        SSL_SESSION_free(own);
    }
    return true;
}

dp_load_io dp_load_line_connect(dp_load_lines *l, dp_load_line *line,
                                bool *out_is_resumed)
{
    *out_is_resumed = false;
    if (!line->is_connected) {
        int error = 0;
        socklen_t n = sizeof(error);
        getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &error, &n);
        if (error) {
            errno = error;
            return DP_LOAD_IO_ERROR;
        }
        line->is_connected = true;
    }
    if (!l->tls) {
        return DP_LOAD_IO_DONE;
    }
    if (!line->ssl && !begin_tls(l, line)) {
        return DP_LOAD_IO_ERROR;
    }
    ERR_clear_error();
    errno = 0;
    int rc = SSL_connect(line->ssl);
    if (rc != 1) {
        dp_load_io io = tls_io(line, rc);
        return io == DP_LOAD_IO_END ? DP_LOAD_IO_ERROR : io;
    }
    *out_is_resumed = SSL_session_reused(line->ssl);
    return DP_LOAD_IO_DONE;
}

/* --- bytes --- */

static dp_load_io write_some(dp_load_line *line, const char *bytes, size_t n,
                             size_t *out_n)
{
    *out_n = 0;
    if (line->ssl) {
        ERR_clear_error();
        errno = 0;
        int rc = SSL_write_ex(line->ssl, bytes, n, out_n);
        return rc == 1 ? DP_LOAD_IO_DONE : tls_io(line, rc);
    }
    ssize_t rc = send(line->fd, bytes, n, MSG_NOSIGNAL);
    if (rc < 0) {
        note_reset(line);
        return errno == EAGAIN || errno == EINTR ? DP_LOAD_IO_AGAIN
                                                 : DP_LOAD_IO_ERROR;
    }
    *out_n = (size_t)rc;
    return DP_LOAD_IO_DONE;
}

/* @return DONE, AGAIN or ERROR; *n is what is left */
static dp_load_io write_all(dp_load_line *line, const char **bytes, size_t *n)
{
    while (*n) {
        size_t written;
        dp_load_io io = write_some(line, *bytes, *n, &written);
        if (io != DP_LOAD_IO_DONE) {
            return io == DP_LOAD_IO_AGAIN ? io : DP_LOAD_IO_ERROR;
        }
        *bytes += written;
        *n -= written;
    }
    return DP_LOAD_IO_DONE;
}

dp_load_io dp_load_line_write(dp_load_line *line, const void *bytes, size_t n)
{
    const char *at = bytes;
    dp_load_io io = write_all(line, &at, &n);
    if (io == DP_LOAD_IO_AGAIN) {
        line->unsent = calloc(1, sizeof(*line->unsent));
        DP_ASSERT(line->unsent);
        dp_buf_set(line->unsent, dp_span_of(at, n));
    }
    return io;
}

static void free_unsent(dp_load_line *line)
{
    if (line->unsent) {
        dp_buf_free(line->unsent);
        free(line->unsent);
        line->unsent = NULL;
    }
}

dp_load_io dp_load_line_flush(dp_load_line *line)
{
    if (!line->unsent) {
        return DP_LOAD_IO_DONE;
    }
    const char *at = line->unsent->p;
    size_t n = line->unsent->n;
    dp_load_io io = write_all(line, &at, &n);
    if (io == DP_LOAD_IO_AGAIN) { /* the rest to the front; rare, and short */
        memmove(line->unsent->p, at, n);
        line->unsent->n = n;
        return io;
    }
    free_unsent(line);
    return io;
}

dp_load_io dp_load_line_read(dp_load_line *line, void *buf, size_t cap,
                             size_t *out_n, bool *out_has_more)
{
    *out_n = 0;
    *out_has_more = false;
    if (line->ssl) {
        ERR_clear_error();
        errno = 0;
        int rc = SSL_read_ex(line->ssl, buf, cap, out_n);
        if (rc != 1) {
            return tls_io(line, rc);
        }
        *out_has_more = SSL_has_pending(line->ssl);
        return DP_LOAD_IO_DONE;
    }
    ssize_t n = recv(line->fd, buf, cap, 0);
    if (n < 0) {
        note_reset(line);
        return errno == EAGAIN || errno == EINTR ? DP_LOAD_IO_AGAIN
                                                 : DP_LOAD_IO_ERROR;
    }
    *out_n = (size_t)n;
    return n ? DP_LOAD_IO_DONE : DP_LOAD_IO_END;
}

void dp_load_line_close(dp_load_line *line)
{
    free_unsent(line);
    if (line->ssl) {
        if (SSL_is_init_finished(line->ssl)) {
            ERR_clear_error();
            SSL_shutdown(line->ssl); /* close_notify; nobody waits for theirs */
        }
        SSL_free(line->ssl);
        line->ssl = NULL;
    }
    if (line->fd >= 0) {
        close(line->fd);
        line->fd = -1;
    }
    line->is_connected = line->was_reset = false;
}
