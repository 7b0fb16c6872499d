/* outlet: a phone's connection writes small responses at once and in one piece.
 *
 * httpd passes a response on in pieces, head and body at least, sets small ones
 * aside and writes them when it looks for the next request; so does mod_ssl, to
 * make one record of them. The memory that both make for it stays with the
 * connection for life: four pages, while a phone that waits has few others.
 *
 * Two output filters of the connection keep it from being made: the one above
 * TLS joins what follows each other without a word in between, the one below
 * has what is small written.
 */
#ifndef OUTLET_H
#define OUTLET_H

#include "apache/park.h"

/** A connection begins: what its TLS handshake says is written at once. The
 *  worker that owns the connection. */
void dp_outlet_begin(dp_seat *seat);

/** This request is a phone's: so is its response. */
void dp_outlet_add(dp_seat *seat);

/** The connection ends. */
void dp_outlet_free(dp_seat *seat);

/** Filters and a hook. */
void dp_outlet_register(apr_pool_t *p);

#endif
