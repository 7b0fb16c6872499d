/* load_report: what a load has to say, as text or as JSON, a line at a time.
 *
 * A line is begun, filled, and ended; both forms say the same. One thread.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "stats/histogram.h"
#include "tools/device/json.h"
#include "tools/device/load_shared.h"

typedef struct dp_load_report {
    FILE *out;
    bool is_json;
    dp_json json;
} dp_load_report;

void dp_load_report_init(dp_load_report *r, FILE *out, bool is_json);

/** @param is_done false: progress of a step that goes on */
void dp_load_report_begin(dp_load_report *r, const char *step, bool is_done);
void dp_load_report_end(dp_load_report *r);

void dp_load_report_text(dp_load_report *r, const char *key, const char *text);
void dp_load_report_number(dp_load_report *r, const char *key, uint64_t n);
void dp_load_report_seconds(dp_load_report *r, const char *key,
                            dp_time_us span_us);
/** `n` in a time, as a rate with one digit behind the point. */
void dp_load_report_rate(dp_load_report *r, const char *key, uint64_t n,
                         dp_time_us span_us);

/** Those that are not 0. */
void dp_load_report_failures(dp_load_report *r,
                             const uint64_t failures[DP_LOAD_FAILURES_N]);

/** Its quantiles as `us`, its buckets as `histogram` (JSON only). */
void dp_load_report_histogram(dp_load_report *r, const dp_histogram *h);

#endif
