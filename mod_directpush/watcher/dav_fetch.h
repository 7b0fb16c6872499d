/* dav_fetch: HTTP requests of the dav source, by libcurl on the daemon's loop.
 *
 * Nothing blocks: libcurl tells which descriptors and which timer it needs.
 * Redirects are not followed, certificates are verified, answers are bounded.
 * The daemon's one thread.
 */
#ifndef DAV_FETCH_H
#define DAV_FETCH_H

#include <stdbool.h>

#include "watcher/loop.h"

/* A home of a thousand collections, or the items of a large one. */
#define DP_DAV_BODY_MAX (8 * 1024 * 1024)

typedef struct dp_dav_fetcher dp_dav_fetcher;
typedef struct dp_dav_fetch dp_dav_fetch;

typedef struct dp_dav_answer {
    const char *error; /* no answer at all, and why; else NULL */
    bool is_too_long;
    long status;
    const char *body;
    size_t body_n;
    long long date_s;       /* the server's clock; 0: it did not say */
    dp_time_us elapsed_us;  /* from before sending to the end */
    long long retry_after_s; /* 0: not said */
    char location[256];     /* of a redirect, or "" */
} dp_dav_answer;

typedef void dp_dav_done(void *ctx, const dp_dav_answer *a);

typedef struct dp_dav_request {
    const char *method, *url, *depth, *body;
    const char *user, *password;
} dp_dav_request;

/** @param ca_file  NULL: the system's */
dp_dav_fetcher *dp_dav_fetcher_new(dp_loop *loop, unsigned connections,
                                   dp_time_us timeout_us, const char *ca_file);
void dp_dav_fetcher_free(dp_dav_fetcher **f);

/** Begin; `done` is called once, later, unless it is cancelled. */
dp_dav_fetch *dp_dav_fetch_start(dp_dav_fetcher *f, const dp_dav_request *r,
                                 dp_dav_done *done, void *ctx);

void dp_dav_fetch_cancel(dp_dav_fetch **fetch);

#endif
