/* request: is this ours, passing by, or neither? Who is it? */
#ifndef REQUEST_H
#define REQUEST_H

#include <httpd.h>

#include "apache/config.h"
#include "apache/line.h"
#include "device/device.h"
#include "wire/eas_url.h"

/* An ActiveSync request, as its head tells; in r->pool. */
typedef struct dp_request {
    const dp_conf *conf;
    dp_eas_query query;
    dp_who who;             /* user empty: the mailbox user is unusable */
    dp_span authorization;  /* the header's value; may be empty */
    dp_line line;           /* over which connection of the phone */
} dp_request;

/** Who asks: authenticated by httpd, or the name of a Basic header, which the
 *  backend has yet to accept; "" when nobody says. */
const char *dp_request_login(request_rec *r);

/** The mailbox user of a login (DirectPushUser); "" when it gives none that is
 *  safe to use. */
const char *dp_request_mailbox_user(request_rec *r, const char *login);

/** Handler hook. */
int dp_request_handler(request_rec *r);

/** Handler hook, behind all others but httpd's own: a phone's request that no
 *  backend gets is said once. Declines. */
int dp_request_unserved(request_rec *r);

#endif
