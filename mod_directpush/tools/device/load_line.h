/* load_line: the connection of one device of a load, which never blocks.
 *
 * The counterpart of http_stream for many at a time: an epoll loop says when to
 * go on. An idle line costs a descriptor and, with TLS, what OpenSSL keeps of a
 * session without its buffers. One thread for all lines of a dp_load_lines.
 */
#ifndef LOAD_LINE_H
#define LOAD_LINE_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "base/dp_clock.h"
#include "tools/device/load_args.h"

typedef struct dp_load_line {
    int fd;            /* -1: none */
    bool is_connected; /* TCP */
    bool was_reset;    /* by the peer: after an ERROR of a read or a write */
    SSL *ssl;          /* NULL: none, or plain HTTP */
    dp_buf *unsent;    /* what the socket did not take, rarely; or NULL */
} dp_load_line;

/* What all lines of a worker share. */
typedef struct dp_load_lines {
    const dp_load_args *args;
    struct sockaddr_storage address;
    socklen_t address_n;
    SSL_CTX *tls;         /* or NULL */
    SSL_SESSION *session; /* of the last handshake, to resume; or NULL */
    dp_time_us session_at_us;
} dp_load_lines;

typedef enum dp_load_io {
    DP_LOAD_IO_DONE,
    DP_LOAD_IO_AGAIN, /* when epoll says so */
    DP_LOAD_IO_END,   /* the peer has closed */
    DP_LOAD_IO_ERROR  /* errno, or OpenSSL's queue, tells */
} dp_load_io;

/** Look the address up and make TLS ready. @param why 256 bytes, for a phrase
 */
bool dp_load_lines_init(dp_load_lines *l, const dp_load_args *args, char *why);
void dp_load_lines_free(dp_load_lines *l);

/** Begin to connect. @param number of the device: which source address
 *  @return AGAIN or ERROR; `fd` is there with AGAIN */
dp_load_io dp_load_line_open(dp_load_lines *l, dp_load_line *line,
                             uint32_t number);

/** TCP, then TLS: call when epoll says so, until DONE.
 *  @param out_is_resumed with DONE */
dp_load_io dp_load_line_connect(dp_load_lines *l, dp_load_line *line,
                                bool *out_is_resumed);

/** Send a whole request; AGAIN: the rest is kept, dp_load_line_flush(). */
dp_load_io dp_load_line_write(dp_load_line *line, const void *bytes, size_t n);
dp_load_io dp_load_line_flush(dp_load_line *line);

/** Read what is there. @param out_has_more call again before you wait */
dp_load_io dp_load_line_read(dp_load_line *line, void *buf, size_t cap,
                             size_t *out_n, bool *out_has_more);

/** Politely, where that takes no waiting. Harmless on a closed one. */
void dp_load_line_close(dp_load_line *line);

#endif
