#include "apache/status.h"

#include <http_protocol.h>

#include "apache/module.h"

static void write_text(request_rec *r)
{
    ap_set_content_type(r, "text/plain; charset=utf-8");
    ap_rprintf(r, "watcher\t%s\n",
               dp_keeper_is_alive(dp_here->keeper) ? "vouches" : "absent");
    for (int c = 0; c < DP_COUNTERS_N; c++) {
        ap_rprintf(r, "%s\t%" APR_INT64_T_FMT "\t%s\n",
                   dp_counter_name((dp_counter)c),
                   (apr_int64_t)dp_counters_sum(&dp_all->counters,
                                                (dp_counter)c),
                   dp_counter_help((dp_counter)c));
    }
}

static void write_metrics(request_rec *r)
{
    ap_set_content_type(r, "application/openmetrics-text; version=1.0.0; "
                           "charset=utf-8");
    for (int c = 0; c < DP_COUNTERS_N; c++) {
        const char *name = dp_counter_name((dp_counter)c);
        bool is_gauge = dp_counter_kind_of((dp_counter)c) == DP_COUNTER_GAUGE;
        ap_rprintf(r, "# HELP directpush_%s %s\n# TYPE directpush_%s %s\n"
                      "directpush_%s%s %" APR_INT64_T_FMT "\n",
                   name, dp_counter_help((dp_counter)c), name,
                   is_gauge ? "gauge" : "counter", name,
                   is_gauge ? "" : "_total",
                   (apr_int64_t)dp_counters_sum(&dp_all->counters,
                                                (dp_counter)c));
    }
    ap_rputs("# EOF\n", r);
}

int dp_status_handler(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "directpush-status")) {
        return DECLINED;
    }
    if (r->method_number != M_GET) {
        r->allowed |= AP_METHOD_BIT << M_GET;
        return HTTP_METHOD_NOT_ALLOWED;
    }
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    if (!dp_here) {
        ap_set_content_type(r, "text/plain; charset=utf-8");
        ap_rputs("DirectPush is not On anywhere in this server's "
                 "configuration.\n", r);
    }
    else if (r->args && !strncmp(r->args, "metrics", 7)) {
        write_metrics(r);
    }
    else {
        write_text(r);
    }
    return OK;
}
