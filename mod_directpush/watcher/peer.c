#include "watcher/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/dp_check.h"

bool dp_peer_read(dp_peer *p)
{
    memmove(p->in, p->in + p->in_at, p->in_n);
    p->in_at = 0;
    while (p->in_n < sizeof(p->in)) {
        ssize_t n = recv(p->fd.fd, p->in + p->in_n, sizeof(p->in) - p->in_n,
                         MSG_DONTWAIT);
        if (n == 0) {
            p->has_hung_up = true;
            return true;
        }
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        p->in_n += (size_t)n;
    }
    return true;
}

bool dp_peer_write(dp_peer *p)
{
    size_t done = 0;
    while (done < p->out_n) {
        ssize_t n = send(p->fd.fd, p->out + done, p->out_n - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                break;
            }
            return false;
        }
        done += (size_t)n;
    }
    if (done) {
        memmove(p->out, p->out + done, p->out_n - done);
        p->out_n -= done;
    }
    return true;
}

static void reserve(dp_peer *p, size_t n)
{
    if (p->out_cap - p->out_n < n) {
        p->out_cap = (p->out_n + n) * 2;
        p->out = realloc(p->out, p->out_cap);
        DP_ASSERT(p->out);
    }
}

bool dp_peer_say(dp_peer *p, const dp_span *fields, size_t n)
{
    if (p->out_n > DP_PEER_OUT_MAX) {
        return false;
    }
    reserve(p, DP_LINK_LINE_MAX);
    size_t len = dp_link_format(p->out + p->out_n, DP_LINK_LINE_MAX, fields, n);
    DP_ASSERT(len > 0); /* names are bounded: every answer fits */
    p->out_n += len;
    return true;
}

bool dp_peer_line(dp_peer *p, unsigned char **out, size_t *out_n)
{
    unsigned char *from = p->in + p->in_at;
    unsigned char *lf = p->in_n ? memchr(from, '\n', p->in_n) : NULL;
    if (!lf) {
        return false;
    }
    *out = from;
    *out_n = (size_t)(lf - from);
    return true;
}

void dp_peer_line_done(dp_peer *p, size_t n)
{
    DP_ASSERT(n < p->in_n);
    p->in_at += n + 1;
    p->in_n -= n + 1;
}
