/* target: the URL of a server, taken apart. Pure. */
#ifndef TARGET_H
#define TARGET_H

#include "tools/device/dp_buf.h"

#define DP_TARGET_PATH "/Microsoft-Server-ActiveSync"

typedef struct dp_target {
    bool is_tls;
    bool is_address; /* host is an IP address, not a name */
    dp_buf host;     /* without brackets */
    dp_buf port;
    dp_buf authority; /* for Host: the port only where it is not the default */
    dp_buf path;      /* begins with a slash, no query */
} dp_target;

/** http:// or https://; without a path, DP_TARGET_PATH is meant.
 *  @param out_why a phrase when it fails */
bool dp_target_parse(const char *url, dp_target *out, const char **out_why);
void dp_target_free(dp_target *t);

#endif
