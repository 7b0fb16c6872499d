#include "tools/device/load_report.h"

#include <inttypes.h>

void dp_load_report_init(dp_load_report *r, FILE *out, bool is_json)
{
    *r = (dp_load_report){.out = out, .is_json = is_json};
}

void dp_load_report_begin(dp_load_report *r, const char *step, bool is_done)
{
    r->json = (dp_json){.out = r->is_json ? r->out : NULL};
    if (!r->is_json) {
        fprintf(r->out, "%-7s%s", step, is_done ? "" : " ...");
    }
    dp_json_open(&r->json, NULL, '{');
    dp_json_str(&r->json, "step", step);
    dp_json_bool(&r->json, "done", is_done);
}

void dp_load_report_end(dp_load_report *r)
{
    dp_json_close(&r->json, '}');
    putc('\n', r->out);
    fflush(r->out);
}

void dp_load_report_text(dp_load_report *r, const char *key, const char *text)
{
    dp_json_str(&r->json, key, text);
    if (!r->is_json) {
        fprintf(r->out, "  %s: %s", key, text);
    }
}

void dp_load_report_number(dp_load_report *r, const char *key, uint64_t n)
{
    dp_json_int(&r->json, key, (int64_t)n);
    if (!r->is_json) {
        fprintf(r->out, "  %s %" PRIu64, key, n);
    }
}

void dp_load_report_seconds(dp_load_report *r, const char *key,
                            dp_time_us span_us)
{
    dp_json_seconds(&r->json, key, span_us);
    if (!r->is_json) {
        fprintf(r->out, "  %s %.3f", key, (double)span_us / 1e6);
    }
}

void dp_load_report_rate(dp_load_report *r, const char *key, uint64_t n,
                         dp_time_us span_us)
{
    double rate = span_us > 0 ? (double)n * 1e6 / (double)span_us : 0;
    if (r->is_json) { /* as thousandths, which is what there is for times */
        dp_json_seconds(&r->json, key, (int64_t)(rate * 1e6));
    }
    else {
        fprintf(r->out, "  %s %.1f", key, rate);
    }
}

void dp_load_report_failures(dp_load_report *r,
                             const uint64_t failures[DP_LOAD_FAILURES_N])
{
    dp_json_open(&r->json, "failures", '{');
    for (int i = 0; i < DP_LOAD_FAILURES_N; i++) {
        const char *name = dp_load_failure_name((dp_load_failure)i);
        if (!failures[i]) {
            continue;
        }
        dp_json_int(&r->json, name, (int64_t)failures[i]);
        if (!r->is_json) {
            fprintf(r->out, "  %s %" PRIu64, name, failures[i]);
        }
    }
    dp_json_close(&r->json, '}');
}

static void buckets(dp_load_report *r, const dp_histogram *h)
{
    dp_json_open(&r->json, "histogram", '[');
    for (size_t i = 0; r->is_json && i < DP_HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        if (n) {
            dp_json_open(&r->json, NULL, '[');
            dp_json_int(&r->json, NULL, dp_histogram_low(i));
            dp_json_int(&r->json, NULL, (int64_t)n);
            dp_json_close(&r->json, ']');
        }
    }
    dp_json_close(&r->json, ']');
}

void dp_load_report_histogram(dp_load_report *r, const dp_histogram *h)
{
    static const struct {
        const char *name;
        double q;
    } quantiles[] = {
        {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
    dp_json_open(&r->json, "us", '{');
    if (!r->is_json) {
        fputs("  us:", r->out);
    }
    dp_load_report_number(r, "min", (uint64_t)h->min);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        dp_load_report_number(
            r, quantiles[i].name,
            (uint64_t)dp_histogram_quantile(h, quantiles[i].q));
    }
    dp_load_report_number(r, "max", (uint64_t)h->max);
    dp_json_close(&r->json, '}');
    buckets(r, h);
}
