#include "apache/reply.h"

#include <apr_strings.h>

#include "base/dp_check.h"

size_t dp_reply_head(char *to, size_t body_n, bool closes, apr_time_t now)
{
    char date[APR_RFC822_DATE_LEN];
    apr_rfc822_date(date, now);
    int n = apr_snprintf(to, DP_REPLY_HEAD_MAX,
                         "HTTP/1.1 200 OK\r\n"
                         "Date: %s\r\n"
                         "Cache-Control: private\r\n"
                         "Content-Length: %" APR_SIZE_T_FMT "\r\n"
                         "%s"
                         "Content-Type: " DP_REPLY_CONTENT_TYPE "\r\n\r\n",
                         date, body_n, closes ? "Connection: close\r\n" : "");
    DP_ASSERT(n > 0 && n < DP_REPLY_HEAD_MAX - 1);
    return (size_t)n;
}
