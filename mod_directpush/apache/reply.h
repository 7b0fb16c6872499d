/* reply: the HTTP response to a Ping, as short as is correct. Pure. */
#ifndef REPLY_H
#define REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_time.h>

/* The longest head, and what goes with a body of 10 digits. */
#define DP_REPLY_HEAD_MAX 256

#define DP_REPLY_CONTENT_TYPE "application/vnd.ms-sync.wbxml"

/**
 * Write the head of a 200 response, with the empty line.
 * Date because a server that has a clock must say it [RFC 9110 6.6.1], the
 * others by eas-protocol 8.7; no Server, no Keep-Alive: HTTP/1.1 needs
 * neither.
 * @param to  DP_REPLY_HEAD_MAX bytes
 * @param closes  say that the connection does not stay
 * @return its length
 */
size_t dp_reply_head(char *to, size_t body_n, bool closes, apr_time_t now);

#endif
