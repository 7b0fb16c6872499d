/* timeline: says what happens, as text for people or as JSON for programs.
 *
 * One line per event, flushed at once. Everything that came from the server is
 * hostile: in text, what is not printable becomes a question mark, so that no
 * mail can speak to the terminal. directpush-device(1) lists the members of
 * each JSON event.
 */
#ifndef TIMELINE_H
#define TIMELINE_H

#include <stdio.h>

#include "base/dp_clock.h"
#include "tools/device/http_client.h"
#include "tools/device/phone.h"

/* Kept of one Sync answer; the rest is counted. */
#define DP_TIMELINE_ITEMS_MAX 200

typedef struct dp_timeline {
    FILE *out;
    bool is_json;
    bool is_verbose; /* exchanges on standard error */
} dp_timeline;

/* What one Sync answer brought. */
typedef struct dp_timeline_items {
    unsigned added, changed, deleted;
    dp_item *items; /* the first `n` */
    size_t n;
} dp_timeline_items;

/** For phone.h's on_item: ctx is a dp_timeline_items. */
void dp_timeline_items_add(void *ctx, const dp_item *item);
void dp_timeline_items_free(dp_timeline_items *items);

typedef struct dp_timeline_ping {
    const dp_phone *phone;
    size_t folders_n;
    uint32_t heartbeat_s;
    dp_ping_form form;
    unsigned connection, request;
} dp_timeline_ping;

void dp_timeline_connected(dp_timeline *t, const dp_http_client *http);
void dp_timeline_options(dp_timeline *t, const char *versions,
                         const char *commands, unsigned chosen);
void dp_timeline_provisioned(dp_timeline *t, uint32_t policy_key);
void dp_timeline_folder_sync(dp_timeline *t, const dp_phone *phone,
                             const dp_folder_sync_result *result);
void dp_timeline_sync(dp_timeline *t, const dp_phone_folder *folder,
                      const dp_sync_result *result,
                      const dp_timeline_items *items);
void dp_timeline_ping_sent(dp_timeline *t, const dp_timeline_ping *ping);
/** Status 2; folders that need a Sync are the ones it named. */
void dp_timeline_woken(dp_timeline *t, const dp_phone *phone,
                       dp_time_us after_us);
/** Any other status. @param heartbeat_s what it had asked for */
void dp_timeline_answered(dp_timeline *t, unsigned status, uint32_t value,
                          dp_time_us after_us, uint32_t heartbeat_s);
/** A connection or an answer was lost. */
void dp_timeline_lost(dp_timeline *t, const char *during, const char *why,
                      dp_time_us after_us);
/** The next try follows after `delay_us`. */
void dp_timeline_retry(dp_timeline *t, const char *why, dp_time_us delay_us);
void dp_timeline_note(dp_timeline *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** The reason why the program ends with a status other than 0. */
void dp_timeline_error(dp_timeline *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dp_timeline_end(dp_timeline *t, const char *why, int exit_status);

/** For dp_http_client.trace: ctx is a dp_timeline. */
void dp_timeline_trace(void *ctx, char direction, const char *line);

/** What a person calls a Ping's status. */
const char *dp_timeline_ping_status(unsigned status);

#endif
