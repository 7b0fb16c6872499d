#include "apache/ping.h"

#include <stdlib.h>

#include <http_protocol.h>
#include <util_filter.h>

#include "apache/answer.h"
#include "apache/blocking.h"
#include "apache/module.h"
#include "apache/park.h"
#include "apache/passing.h"
#include "apache/places.h"
#include "apache/room.h"
#include "apache/stream.h"
#include "base/dp_check.h"
#include "device/coll_state.h"
#include "device/folder_map.h"
#include "device/ping_params.h"
#include "device/proof.h"
#include "policy/heartbeat.h"
#include "wire/eas_ping.h"

/* 300 folders with ids of the specification's 64 characters take 30 KB. */
#define BODY_MAX 65536

/* How long an announcement waits for news that the last Sync's response has
 * arrived: some round trips of a bad mobile network. */
#define SETTLE_US (2 * DP_SECOND_US)

/* A Ping being handled; on the stack of its handler. */
typedef struct ping {
    request_rec *r;
    dp_request *rq;
    const dp_conf *conf;
    dp_time_us now_us;
    apr_bucket_brigade *body; /* as read */
    dp_ping_request asked;    /* as decoded */
    dp_ping_params known;     /* as remembered */
    dp_ping_params params;    /* both together; borrows from the two */
    dp_time_us proof_until_us;
    bool is_quiet;            /* what is stored stays: recent.h */
    bool has_place;           /* at the backend: places.h */
} ping;

/* Read the body, at most BODY_MAX. @return its bytes; out_whole: all of it */
static dp_span read_body(ping *p, bool *out_whole)
{
    request_rec *r = p->r;
    conn_rec *c = r->connection;
    p->body = apr_brigade_create(r->pool, c->bucket_alloc);
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, c->bucket_alloc);
    apr_off_t n = 0;
    *out_whole = false;
    while (!*out_whole && n <= BODY_MAX) {
        apr_status_t rv = ap_get_brigade(r->input_filters, bb,
                                         AP_MODE_READBYTES, APR_BLOCK_READ,
                                         HUGE_STRING_LEN);
        if (rv != APR_SUCCESS) {
            return dp_span_of(NULL, 0);
        }
        *out_whole = !APR_BRIGADE_EMPTY(bb)
                     && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb));
        apr_bucket *b;
        for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
             b = APR_BUCKET_NEXT(b)) {
            apr_bucket_setaside(b, r->pool);
        }
        APR_BRIGADE_CONCAT(p->body, bb);
        apr_brigade_length(p->body, 1, &n);
    }
    char *bytes;
    apr_size_t len;
    if (apr_brigade_pflatten(p->body, &bytes, &len, r->pool) != APR_SUCCESS) {
        *out_whole = false;
        return dp_span_of(NULL, 0);
    }
    return dp_span_of(bytes, len);
}

/* May it go to the backend? One that may goes. */
static bool has_place(ping *p)
{
    p->has_place = p->has_place || dp_places_take(p->r);
    return p->has_place;
}

/* To the backend, with the body that we have read. */
static int hand_on(ping *p)
{
    if (!has_place(p)) {
        return dp_answer_busy(p->r, "busy-backend");
    }
    int rc = dp_passing_observe(p->r, p->rq, DP_PASS_PING);
    if (p->body) {
        dp_passing_put_back(p->r, p->body);
    }
    return rc;
}

/* Status 2 that names one folder, so that a Sync proves the credentials. */
static int ask_for_sync(ping *p)
{
    if (!p->params.folders_n) {
        return dp_answer_now(p->r, DP_PING_MISSING, NULL, 0, 0, "missing");
    }
    /* a Ping may count more folders than were kept of it */
    size_t n = p->params.folders_n, max = (size_t)p->conf->max_folders;
    size_t which = (size_t)dp_spread_random_us((dp_time_us)(n < max ? n : max));
    dp_count(dp_here->count, DP_COUNT_provoked, 1);
    return dp_answer_now(p->r, DP_PING_CHANGES,
                         &p->params.folders[which].id, 1, 0, "sync-please");
}

/* What the Ping leaves out counts as before. */
static void merge_params(ping *p, dp_store_txn *t)
{
    dp_ping_params_get(dp_here->store, t, &p->rq->who, &p->known);
    p->params = p->known;
    p->params.arrival = (uint64_t)p->now_us;
    if (p->asked.has_heartbeat) {
        p->params.heartbeat_s = p->asked.heartbeat_s;
    }
    if (p->asked.has_folders) {
        p->params.folders = p->asked.folders;
        p->params.folders_n = p->asked.folders_n;
    }
}

/* Rules of eas-protocol 3. @return a status to answer, or 0: go on */
static unsigned check_params(ping *p, uint32_t *out_value)
{
    uint32_t min_s = (uint32_t)(p->conf->heartbeat[0] / DP_SECOND_US);
    uint32_t max_s = (uint32_t)(p->conf->heartbeat[1] / DP_SECOND_US);
    if (p->asked.has_heartbeat && !p->asked.heartbeat_is_number) {
        return DP_PING_SYNTAX;
    }
    if (p->asked.has_folders
        && p->asked.folders_n > (size_t)p->conf->max_folders) {
        *out_value = (uint32_t)p->conf->max_folders;
        return DP_PING_FOLDERS;
    }
    if (p->asked.has_heartbeat || p->params.heartbeat_s) {
        *out_value = dp_heartbeat_clamp(p->params.heartbeat_s, min_s, max_s);
        if (*out_value != p->params.heartbeat_s) {
            return DP_PING_HEARTBEAT;
        }
    }
    if (!p->params.heartbeat_s || !p->params.folders_n) {
        return DP_PING_MISSING;
    }
    return 0;
}

/* What the next Ping may leave out, whatever this one is answered: but not a
 * heartbeat that is refused. */
static void remember_params(const ping *p, unsigned status)
{
    dp_ping_params params = p->params;
    if (status == DP_PING_HEARTBEAT) {
        params.heartbeat_s = p->known.heartbeat_s;
    }
    else if (status) {
        return;
    }
    if (!p->asked.has_folders && (!p->asked.has_heartbeat || status)) {
        return;
    }
    if (p->is_quiet && dp_ping_params_are_same(&params, &p->known)) {
        return;
    }
    dp_recent_store(&dp_all->recent, dp_here->store, &p->rq->who, &params);
}

/* The Ping comes over the connection of the Sync that made this provisional
 * mark, but need not show that its answer has arrived (line.h). */
static uint64_t likely_seq(const ping *p, dp_mark prov, uint64_t token,
                           uint64_t instance, uint64_t head)
{
    return p->rq->line.name && token == p->rq->line.name
               ? dp_mark_seq(prov, instance, head)
               : 0;
}

/* What the store knows of one folder of the Ping. */
static void spec_folder(ping *p, dp_store_txn *t, const dp_ping_folder *f,
                        uint64_t instance, uint64_t head, dp_hold_spec *spec,
                        dp_topic_spec *name)
{
    dp_coll_state st;
    dp_folder_topic *topic = apr_palloc(p->r->pool, sizeof(*topic));
    dp_class hint = dp_class_of(f->class_name);
    dp_coll_state_get(dp_here->store, t, &p->rq->who, f->id, &st);
    uint64_t announced = dp_mark_seq(st.announced, instance, head);
    /* of another line of bus files: of what is new here nothing was said */
    bool is_void = instance && st.announced.seq && !announced;
    *spec = (dp_hold_spec){
        .id = f->id,
        .class_id = hint,
        .mark = dp_mark_seq(st.mark, instance, head),
        .doubt = st.mark.doubt,
        .announced_seq = announced,
        .announced_n = is_void ? 0 : st.announced_n,
        .announced_at_us = st.announced_at_us,
        .synced_at_us = st.synced_at_us,
        .lag_until_us = st.lag_until_us,
        .settle_until_us = st.prov.instance ? p->now_us + SETTLE_US : 0,
        .likely_seq = likely_seq(p, st.prov, st.prov_token, instance, head)};
    *name = (dp_topic_spec){DP_CLASS_UNKNOWN, {NULL, 0}};
    if (dp_folder_map_topic(dp_here->store, t, &p->rq->who, f->id, hint,
                            topic)) {
        spec->class_id = topic->class_id;
        spec->is_assumed = topic->is_assumed;
        name->class_id = topic->class_id;
        name->folder = dp_span_of(topic->folder, topic->folder_n);
    }
}

static void spec_hierarchy(ping *p, dp_store_txn *t, uint64_t instance,
                           uint64_t head, dp_hold_spec *spec,
                           dp_topic_spec *name)
{
    dp_hier_state st;
    dp_hier_state_get(dp_here->store, t, &p->rq->who, &st);
    *spec = (dp_hold_spec){.class_id = DP_CLASS_HIERARCHY,
                           .mark = dp_mark_seq(st.mark, instance, head),
                           .announced_seq = dp_mark_seq(st.announced,
                                                        instance, head),
                           .announced_n = st.announced_n,
                           .announced_at_us = st.announced_at_us,
                           .lag_until_us = st.lag_until_us,
                           .settle_until_us =
                               st.prov.instance ? p->now_us + SETTLE_US : 0,
                           .likely_seq = likely_seq(p, st.prov, st.prov_token,
                                                    instance, head)};
    *name = (dp_topic_spec){DP_CLASS_HIERARCHY,
                            DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS)};
}

/* The Ping comes over the connection whose next request shows that provisional
 * marks have arrived (line.h): they are firm.
 * @param t  read; begun again where something is written
 * @return false: the store does not go on */
static bool take_arrived(ping *p, dp_store_txn **t)
{
    dp_store *s = dp_here->store;
    uint64_t line = p->rq->line.name;
    size_t n = p->params.folders_n;
    if (!line || !p->rq->line.is_serial) {
        return true;
    }
    dp_span *ids = apr_palloc(p->r->pool, (n + 1) * sizeof(*ids));
    dp_hier_state hier;
    bool is_one = dp_hier_state_get(s, *t, &p->rq->who, &hier)
                  && hier.prov.instance && hier.prov_token == line;
    for (size_t i = 0; i < n; i++) {
        dp_coll_state st;
        ids[i] = p->params.folders[i].id;
        is_one |= dp_coll_state_get(s, *t, &p->rq->who, ids[i], &st)
                  && st.prov.instance && st.prov_token == line;
    }
    if (!is_one) {
        return true;
    }
    s->ops->abort(t);
    dp_coll_state_delivered(s, &p->rq->who, line, ids, n);
    return s->ops->begin(s, false, t) == APR_SUCCESS;
}

static dp_time_us pace_of(const ping *p, const dp_hold *hold)
{
    dp_time_us last = 0;
    for (uint32_t i = 0; i < hold->items_n; i++) {
        dp_time_us at = hold->items[i].announced_at_us;
        last = at > last ? at : last;
    }
    return last ? last + p->conf->pace : 0;
}

static dp_hold *make_hold(ping *p, dp_store_txn *t, dp_topic_spec **out_names)
{
    size_t n = p->params.folders_n;
    dp_hold_spec *specs = apr_pcalloc(p->r->pool, (n + 1) * sizeof(*specs));
    dp_topic_spec *names = apr_pcalloc(p->r->pool, (n + 1) * sizeof(*names));
    dp_bus_handle *bus = dp_keeper_bus(dp_here->keeper);
    uint64_t head = bus ? dp_bus_head(&bus->map) : 0;
    uint64_t instance = bus ? bus->map.header->instance : 0;
    for (size_t i = 0; i < n; i++) {
        spec_folder(p, t, &p->params.folders[i], instance, head, &specs[i],
                    &names[i]);
    }
    spec_hierarchy(p, t, instance, head, &specs[n], &names[n]);
    dp_keeper_bus_release(&bus);
    dp_hold *hold = dp_hold_make(&p->rq->who, specs, n + 1);
    hold->instance = instance;
    hold->rules = &p->conf->rules;
    hold->arrival = (uint64_t)p->now_us;
    hold->ends_us = p->now_us + dp_heartbeat_hold_us(p->params.heartbeat_s);
    hold->proof_until_us = p->proof_until_us;
    hold->not_before_us = pace_of(p, hold);
    hold->rotate = (uint32_t)dp_spread_random_us((dp_time_us)n);
    *out_names = names;
    return hold;
}

/* Link it, look, and park it unless there is something to say at once. */
static int hold_it(ping *p, dp_hold *hold, const dp_topic_spec *names)
{
    request_rec *r = p->r;
    dp_seat *seat = dp_seat_of(r->connection);
    bool can_park = dp_here->can_park && seat && seat->is_nested
                    && !r->connection->master;
    hold->is_blocking = !can_park;
    dp_verdict v = dp_keeper_worker_park(dp_here->keeper, hold, names);
    if (v.status) {
        int rc = dp_answer_verdict(r, hold, &v);
        dp_keeper_worker_free(dp_here->keeper, &hold);
        return rc;
    }
    if (can_park) {
        dp_park_request(seat, r, hold);
        return SUSPENDED;
    }
    if (!dp_blocking_enter(r->connection)) {
        dp_keeper_worker_end(dp_here->keeper, hold, DP_CAUSE_GONE);
        dp_keeper_worker_free(dp_here->keeper, &hold);
        return dp_stream_can_send_off(r) ? dp_stream_send_off(r) : hand_on(p);
    }
    int rc = dp_blocking_hold(r, hold);
    dp_blocking_leave(r->connection);
    return rc;
}

/* The credentials are proven: the Ping is ours. */
static int serve(ping *p)
{
    dp_store *s = dp_here->store;
    dp_store_txn *t = NULL;
    p->is_quiet = dp_recent_note(&dp_all->recent, &p->rq->who,
                                 (uint64_t)p->now_us);
    if (s->ops->begin(s, false, &t) != APR_SUCCESS) {
        dp_count(dp_here->count, DP_COUNT_store_errors, 1);
        return hand_on(p);
    }
    merge_params(p, t);
    uint32_t value = 0;
    unsigned status = check_params(p, &value);
    dp_hold *hold = NULL;
    dp_topic_spec *names = NULL;
    const char *busy = "busy";
    if (!status && !take_arrived(p, &t)) {
        dp_count(dp_here->count, DP_COUNT_store_errors, 1);
        return hand_on(p);
    }
    if (!status && dp_room_for_hold(p->r, &p->rq->who, &busy)) {
        hold = make_hold(p, t, &names);
    }
    s->ops->abort(&t);
    remember_params(p, status);
    int rc;
    if (status) {
        rc = dp_answer_now(p->r, status, NULL, 0, value, "parameters");
    }
    else if (!hold) {
        rc = dp_answer_busy(p->r, busy);
    }
    else {
        rc = hold_it(p, hold, names);
    }
    return rc;
}

/* No proof: the backend decides, a few at a time; then a provoked Sync does;
 * then the phone has to wait. Nothing of the device is looked at or kept. A
 * Ping that leaves the folders out is asked for them (Status 3) on the way to
 * that Sync: phones that send nothing else would get 503 for as long as others'
 * Pings last. */
static int serve_stranger(ping *p, bool is_sound)
{
    if (has_place(p)) {
        return hand_on(p);
    }
    p->params.folders = p->asked.folders;
    p->params.folders_n = p->asked.folders_n;
    if ((p->params.folders_n || is_sound)
        && p->params.folders_n <= (size_t)p->conf->max_folders
        && dp_spread_reserve(&dp_all->provoke,
                             (uint32_t)dp_conf_of(dp_here->server)->provoke,
                             p->now_us, 0)) {
        return ask_for_sync(p);
    }
    return dp_answer_busy(p->r, "busy-backend");
}

typedef enum standing { STRANGER, KNOWN, EXPIRED, REFUSED } standing;

static standing look_up(ping *p)
{
    dp_store *s = dp_here->store;
    dp_store_txn *t = NULL;
    if (s->ops->begin(s, false, &t) != APR_SUCCESS) {
        dp_count(dp_here->count, DP_COUNT_store_errors, 1);
        return STRANGER;
    }
    standing st = STRANGER;
    switch (dp_proof_get(s, t, dp_all->proof_key, &p->rq->who,
                         p->rq->authorization, p->conf->trust, p->now_us,
                         &p->proof_until_us)) {
    case DP_PROOF_GOOD:
        st = dp_refused_get(s, t, &p->rq->who) ? REFUSED : KNOWN;
        break;
    case DP_PROOF_EXPIRED:
        merge_params(p, t);
        st = EXPIRED;
        break;
    case DP_PROOF_NONE:
        break;
    }
    s->ops->abort(&t);
    return st;
}

static int judge(ping *p)
{
    bool is_whole;
    dp_span body = read_body(p, &is_whole);
    if (!is_whole) {
        return hand_on(p);
    }
    size_t cap = (size_t)p->conf->max_folders + 1;
    unsigned char *arena = apr_palloc(p->r->pool, body.n + 1);
    dp_ping_folder *folders = apr_palloc(p->r->pool, cap * sizeof(*folders));
    dp_ping_parse_result parsed =
        dp_ping_parse(body, arena, folders, cap, &p->asked);
    p->asked.folders = folders;
    if (parsed == DP_PING_NOT_OURS) {
        return hand_on(p);
    }
    switch (look_up(p)) {
    case REFUSED:
        return hand_on(p);
    case STRANGER:
        return serve_stranger(p, parsed == DP_PING_PARSED);
    case EXPIRED:
        return ask_for_sync(p);
    case KNOWN:
        break;
    }
    if (parsed == DP_PING_MALFORMED) {
        return dp_answer_now(p->r, DP_PING_SYNTAX, NULL, 0, 0, "parameters");
    }
    if (p->conf->fallback == DP_FALLBACK_BACKEND
        && !dp_keeper_is_alive(dp_here->keeper) && has_place(p)) {
        return hand_on(p);
    }
    return serve(p);
}

int dp_ping_handle(request_rec *r, dp_request *rq)
{
    ping p = {.r = r, .rq = rq, .conf = rq->conf,
              .now_us = dp_clock_mono_us()};
    dp_count(dp_here->count, DP_COUNT_pings, 1);
    const char *coding = apr_table_get(r->headers_in, "Content-Encoding");
    if (coding && strcasecmp(coding, "identity")) {
        return hand_on(&p);
    }
    int rc = judge(&p);
    dp_ping_params_free(&p.known);
    return rc;
}
