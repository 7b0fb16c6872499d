#include "tools/device/http_stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tools/device/wait.h"

/* NAT boxes forget idle connections after 5 minutes and more (eas-protocol 8,
 * 22). Probes begin before that and tell within two minutes of a dead peer. */
#define KEEPALIVE_IDLE_S     240
#define KEEPALIVE_INTERVAL_S 30
#define KEEPALIVE_PROBES     4

void dp_http_stream_init(dp_http_stream *s, int stop_fd)
{
    *s = (dp_http_stream){.fd = -1, .stop_fd = stop_fd};
}

static dp_http_outcome failed(dp_http_stream *s, dp_http_outcome outcome,
                              const char *what)
{
    snprintf(s->why, sizeof(s->why), "%s", what);
    return outcome;
}

static dp_http_outcome wait_for(dp_http_stream *s, short events,
                                dp_time_us deadline_us)
{
    switch (dp_wait_for(s->fd, events, deadline_us, s->stop_fd)) {
    case DP_WAIT_READY:
        return DP_HTTP_OK;
    case DP_WAIT_TIMEOUT:
        return failed(s, DP_HTTP_TIMEOUT, "no answer in time");
    default:
        return failed(s, DP_HTTP_STOPPED, "stopped");
    }
}

static void set_options(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S,
        probes = KEEPALIVE_PROBES;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static dp_http_outcome connect_address(dp_http_stream *s,
                                       const struct addrinfo *a,
                                       dp_time_us deadline_us)
{
    s->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return failed(s, DP_HTTP_UNREACHABLE, strerror(errno));
    }
    set_options(s->fd);
    if (connect(s->fd, a->ai_addr, a->ai_addrlen) == 0) {
        return DP_HTTP_OK;
    }
    if (errno != EINPROGRESS) {
        return failed(s, DP_HTTP_UNREACHABLE, strerror(errno));
    }
    dp_http_outcome waited = wait_for(s, POLLOUT, deadline_us);
    if (waited == DP_HTTP_TIMEOUT) {
        return failed(s, DP_HTTP_UNREACHABLE, "no connection in time");
    }
    if (waited != DP_HTTP_OK) {
        return waited;
    }
    int error = 0;
    socklen_t n = sizeof(error);
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    return error ? failed(s, DP_HTTP_UNREACHABLE, strerror(error)) : DP_HTTP_OK;
}

static dp_http_outcome connect_tcp(dp_http_stream *s, const dp_target *target,
                                   dp_time_us deadline_us)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    int rc = getaddrinfo(dp_buf_str(&target->host), dp_buf_str(&target->port),
                         &hints, &list);
    if (rc) {
        return failed(s, DP_HTTP_UNREACHABLE, gai_strerror(rc));
    }
    dp_http_outcome outcome = DP_HTTP_UNREACHABLE;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        outcome = connect_address(s, a, deadline_us);
        if (outcome != DP_HTTP_UNREACHABLE) {
            break;
        }
        dp_http_stream_close(s);
    }
    freeaddrinfo(list);
    return outcome;
}

/* What SSL_get_error() made of a call: OK means try it again. */
static dp_http_outcome tls_wait(dp_http_stream *s, int rc,
                                dp_time_us deadline_us)
{
    int saved = errno;
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(s, POLLIN, deadline_us);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(s, POLLOUT, deadline_us);
    case SSL_ERROR_SYSCALL:
        return failed(s, DP_HTTP_LOST,
                      saved ? strerror(saved) : "the connection was cut");
    default: {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        snprintf(s->why, sizeof(s->why), "TLS: %s",
                 reason ? reason : "unknown error");
        return DP_HTTP_LOST;
    }
    }
}

static dp_http_outcome explain_handshake(dp_http_stream *s,
                                         dp_http_outcome outcome)
{
    long verify = SSL_get_verify_result(s->ssl);
    bool is_verified = SSL_get_verify_mode(s->ssl) & SSL_VERIFY_PEER;
    if (is_verified && verify != X509_V_OK) {
        snprintf(s->why, sizeof(s->why), "certificate: %s (--ca, --insecure)",
                 X509_verify_cert_error_string(verify));
        return DP_HTTP_UNTRUSTED;
    }
    unsigned long error = ERR_peek_error();
    bool is_cut = ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (outcome == DP_HTTP_LOST && error && !is_cut) {
        return DP_HTTP_UNTRUSTED; /* no common version, or no TLS at all */
    }
    return outcome == DP_HTTP_TIMEOUT || outcome == DP_HTTP_LOST
               ? DP_HTTP_UNREACHABLE
               : outcome;
}

static dp_http_outcome handshake(dp_http_stream *s, const dp_target *target,
                                 SSL_CTX *tls, dp_time_us deadline_us)
{
    const char *host = dp_buf_str(&target->host);
    s->ssl = SSL_new(tls);
    if (!s->ssl || !SSL_set_fd(s->ssl, s->fd)) {
        return failed(s, DP_HTTP_UNREACHABLE, "no memory for TLS");
    }
    if (target->is_address) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), host);
    }
    else {
        SSL_set1_host(s->ssl, host);
        SSL_set_tlsext_host_name(s->ssl, host);
    }
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int rc = SSL_connect(s->ssl);
        if (rc == 1) {
            return DP_HTTP_OK;
        }
        dp_http_outcome waited = tls_wait(s, rc, deadline_us);
        if (waited != DP_HTTP_OK) {
            return explain_handshake(s, waited);
        }
    }
}

dp_http_outcome dp_http_stream_connect(dp_http_stream *s,
                                       const dp_target *target, SSL_CTX *tls,
                                       dp_time_us deadline_us)
{
    dp_http_outcome outcome = connect_tcp(s, target, deadline_us);
    if (outcome == DP_HTTP_OK && tls) {
        outcome = handshake(s, target, tls, deadline_us);
    }
    if (outcome != DP_HTTP_OK) {
        dp_http_stream_close(s);
    }
    return outcome;
}

static dp_http_outcome write_some(dp_http_stream *s, dp_span bytes,
                                  dp_time_us deadline_us, size_t *out_n)
{
    errno = 0;
    if (s->ssl) {
        ERR_clear_error();
        int rc = SSL_write_ex(s->ssl, bytes.p, bytes.n, out_n);
        return rc == 1 ? DP_HTTP_OK : tls_wait(s, rc, deadline_us);
    }
    ssize_t n = send(s->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
    if (n >= 0) {
        *out_n = (size_t)n;
        return DP_HTTP_OK;
    }
    return errno == EAGAIN ? wait_for(s, POLLOUT, deadline_us)
                           : failed(s, DP_HTTP_LOST, strerror(errno));
}

dp_http_outcome dp_http_stream_write(dp_http_stream *s, dp_span bytes,
                                     dp_time_us deadline_us)
{
    while (bytes.n) {
        size_t n = 0;
        dp_http_outcome outcome = write_some(s, bytes, deadline_us, &n);
        if (outcome != DP_HTTP_OK) {
            return outcome;
        }
        bytes = dp_span_of(bytes.p + n, bytes.n - n);
    }
    return DP_HTTP_OK;
}

dp_http_outcome dp_http_stream_read(dp_http_stream *s, void *buf, size_t cap,
                                    dp_time_us deadline_us, size_t *out_n)
{
    for (;;) {
        dp_http_outcome outcome;
        *out_n = 0;
        errno = 0;
        if (s->ssl) {
            ERR_clear_error();
            int rc = SSL_read_ex(s->ssl, buf, cap, out_n);
            if (rc == 1 || SSL_get_error(s->ssl, rc) == SSL_ERROR_ZERO_RETURN) {
                return DP_HTTP_OK;
            }
            outcome = tls_wait(s, rc, deadline_us);
        }
        else {
            ssize_t n = recv(s->fd, buf, cap, 0);
            if (n >= 0) {
                *out_n = (size_t)n;
                return DP_HTTP_OK;
            }
            outcome = errno == EAGAIN
                          ? wait_for(s, POLLIN, deadline_us)
                          : failed(s, DP_HTTP_LOST, strerror(errno));
        }
        if (outcome != DP_HTTP_OK) {
            return outcome;
        }
    }
}

bool dp_http_stream_is_idle(dp_http_stream *s)
{
    if (s->fd < 0) {
        return false;
    }
    unsigned char byte;
    if (!s->ssl) {
        return recv(s->fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
    }
    /* Reading takes session tickets in, which may come at any time. */
    ERR_clear_error();
    size_t n;
    int rc = SSL_peek_ex(s->ssl, &byte, 1, &n);
    return rc != 1 && SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_READ;
}

void dp_http_stream_close(dp_http_stream *s)
{
    if (s->ssl) {
        if (SSL_is_init_finished(s->ssl)) {
            ERR_clear_error();
            SSL_shutdown(s->ssl); /* close_notify, once, not waited for */
        }
        SSL_free(s->ssl);
        s->ssl = NULL;
    }
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

SSL_CTX *dp_http_stream_tls(const char *ca_file, bool is_insecure, char *why)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls) {
        snprintf(why, 256, "OpenSSL does not start");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_alpn_protos(tls, alpn, sizeof(alpn) - 1);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    if (ca_file) { /* also a server's own certificate, without its issuer */
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(tls),
                                    X509_V_FLAG_PARTIAL_CHAIN);
    }
    SSL_CTX_set_verify(tls, is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                       NULL);
    bool has_ca =
        is_insecure || (ca_file ? SSL_CTX_load_verify_file(tls, ca_file) == 1
                                : SSL_CTX_set_default_verify_paths(tls) == 1);
    if (!has_ca) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        snprintf(why, 256, "%s: no certificates to trust: %s",
                 ca_file ? ca_file : "the system",
                 reason ? reason : "unknown error");
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}
