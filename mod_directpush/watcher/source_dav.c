/* source_dav: CalDAV and CardDAV. See dav.h for how it works; this file is what
 * the daemon calls, and the queue of looks. */
#include "watcher/dav.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic_name.h"
#include "watcher/dav_secret.h"
#include "watcher/log.h"

/* A `publish` waits this long for its look and for the tag's second to be over:
 * a phone is waiting for all of them. */
#define HINT_US (5 * DP_SECOND_US / 2)

#define TIMEOUT_US (30 * DP_SECOND_US)

static dp_dav *self(dp_source *s)
{
    return (dp_dav *)(void *)s;
}

/* --- credentials */

const char *dp_dav_login(const dp_dav *s, const char *user, char *out,
                         size_t cap)
{
    if (s->conf.user) {
        snprintf(out, cap, "%s", s->conf.password);
        return s->conf.user;
    }
    return dp_secret_find(s->conf.passwords, user, out, cap) ? user : NULL;
}

/* --- the queue */

void dp_dav_spend(dp_dav *s)
{
    dp_time_us now_us = dp_clock_mono_us();
    /* a burst of a second's worth after a quiet time */
    if (s->next_us < now_us - DP_SECOND_US) {
        s->next_us = now_us - DP_SECOND_US;
    }
    s->next_us += DP_SECOND_US / s->conf.requests_per_second;
}

static void pump(void *ctx)
{
    dp_dav *s = ctx;
    while (s->running_n < s->conf.connections) {
        dp_link_node *list =
            dp_list_is_empty(&s->urgent) ? &s->queue : &s->urgent;
        dp_time_us now_us = dp_clock_mono_us();
        if (dp_list_is_empty(list)) {
            return;
        }
        if (now_us < s->next_us) {
            dp_loop_at(s->loop, &s->pump, s->next_us);
            return;
        }
        dp_dav_box *box = DP_DAV_OWNER(list->next, dp_dav_box, job);
        dp_list_del(&box->job);
        dp_dav_box_look(box);
    }
}

void dp_dav_look_over(dp_dav *s)
{
    if (!dp_timer_is_linked(&s->pump.timer)) {
        dp_loop_at(s->loop, &s->pump, dp_clock_mono_us());
    }
}

/* --- topics */

int dp_dav_home_of(const dp_dav *s, dp_class c)
{
    bool is_calendar = c == DP_CLASS_CALENDAR || c == DP_CLASS_TASKS;
    if (is_calendar && *s->conf.calendars) {
        return 0;
    }
    return c == DP_CLASS_CONTACTS && *s->conf.contacts ? 1 : -1;
}

static bool offers(const dp_source *s, dp_class c)
{
    return dp_dav_home_of((const dp_dav *)(const void *)s, c) >= 0;
}

static const char *ask(dp_source *source, dp_want *want)
{
    dp_dav *s = self(source);
    int which = dp_dav_home_of(s, want->class);
    dp_dav_box *box = which < 0 ? NULL
                                : dp_dav_box_get(s, want->user->name,
                                                 (unsigned)which);
    if (!box) {
        return which < 0 ? "no home of this class is configured" : s->answer;
    }
    dp_dav_topic *t = calloc(1, sizeof(*t));
    DP_ASSERT(t);
    t->box = box;
    t->want = want;
    t->next = box->topics;
    box->topics = t;
    want->source = source;
    want->of_source = t;
    if (box->home.is_known) {
        dp_dav_box_vouch(box, t);
    }
    else {
        dp_dav_box_look_soon(box, false);
    }
    return NULL;
}

static bool has(const dp_source *source, const char *user, dp_class c,
                const char *folder)
{
    const dp_dav *s = (const dp_dav *)(const void *)source;
    int which = dp_dav_home_of(s, c);
    const dp_dav_box *box =
        which < 0 ? NULL : dp_dav_box_find(s, user, (unsigned)which);
    return box && dp_dav_box_has(box, c, folder);
}

static void leave(dp_source *source, dp_want *want)
{
    dp_dav_topic *t = want->of_source;
    dp_dav_box *box = t->box;
    for (dp_dav_topic **at = &box->topics; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    want->of_source = NULL;
    free(t);
    if (!box->topics) {
        dp_dav_box_free(box);
        dp_dav_look_over(self(source));
    }
}

static bool resolve(dp_source *source, const char *user, dp_class c,
                    dp_span alias, dp_resolved *out)
{
    return false; /* collections have no other names */
}

static void drain(dp_source *source)
{
}

static void sample(dp_source *source, dp_want *want)
{
}

static void fill(dp_source *source, dp_want *want)
{
    const dp_dav_topic *t = want->of_source;
    dp_dav_box_fill(t->box, want);
}

static bool step(dp_source *source)
{
    return false; /* all of it is driven by descriptors and timers */
}

/* --- what others say */

typedef struct view_search {
    unsigned which;
    bool (*is_view)(void *ctx, const char *folder);
    void *ctx;
} view_search;

static void look_at_viewer(void *ctx, dp_map_node *node)
{
    const view_search *search = ctx;
    dp_dav_box *box = DP_DAV_OWNER(node, dp_dav_box, by_name);
    for (const dp_dav_coll *c = box->home.first;
         c && box->which == search->which; c = c->next) {
        if (search->is_view(search->ctx, c->name)) {
            dp_dav_box_look_soon(box, true); /* after the one under way, too */
            return;
        }
    }
}

static void noticed(dp_source *source, dp_class c,
                    bool (*is_view)(void *ctx, const char *folder), void *ctx)
{
    dp_dav *s = self(source);
    view_search search = {(unsigned)dp_dav_home_of(s, c), is_view, ctx};
    dp_map_each(&s->boxes, look_at_viewer, &search);
}

static bool told(dp_source *source, dp_want *want, bool is_new)
{
    dp_dav *s = self(source);
    dp_dav_topic *t = want->of_source;
    if (!want->is_vouched || t->box->trouble) {
        return false;
    }
    s->hints_n++;
    t->is_new = is_new || (t->hint != DP_DAV_HINT_NONE && t->is_new);
    t->hint = DP_DAV_HINT_WAITS; /* the look under way may be too old */
    if (!dp_timer_is_linked(&t->box->late.timer)) {
        dp_loop_at(s->loop, &t->box->late, dp_clock_mono_us() + HINT_US);
    }
    dp_dav_box_look_soon(t->box, true);
    return true;
}

/* --- life */

static void take_conf(dp_dav *s, const dp_conf_dav *conf)
{
    dp_conf_dav_copy(&s->conf, conf);
    s->fetcher = dp_dav_fetcher_new(s->loop, s->conf.connections, TIMEOUT_US,
                                    s->conf.ca_file);
}

static void end_box(void *ctx, dp_map_node *node)
{
    dp_dav_box_abandon(DP_DAV_OWNER(node, dp_dav_box, by_name),
                       "the configuration changed");
}

/* Topics keep their boxes; each box begins anew, perhaps elsewhere. */
static void begin_box(void *ctx, dp_map_node *node)
{
    dp_dav *s = ctx;
    dp_dav_box *box = DP_DAV_OWNER(node, dp_dav_box, by_name);
    if (!dp_dav_box_readdress(box)) {
        dp_log(DP_LOG_WARN, "dav: %s", s->answer);
    }
    dp_dav_box_look_soon(box, false);
}

static void reload(dp_source *source, const struct dp_conf *conf)
{
    dp_dav *s = self(source);
    dp_map_each(&s->boxes, end_box, s);
    dp_dav_fetcher_free(&s->fetcher);
    dp_conf_dav_clear(&s->conf);
    take_conf(s, &conf->dav);
    for (int i = 0; i < DP_DAV_TROUBLES; i++) {
        dp_log_over(&s->trouble[i]);
    }
    dp_map_each(&s->boxes, begin_box, s);
}

static void free_box(void *ctx, dp_map_node *node)
{
    dp_dav_box *box = DP_DAV_OWNER(node, dp_dav_box, by_name);
    if (box->fetch) {
        dp_dav_fetch_cancel(&box->fetch);
    }
    while (box->topics) {
        dp_dav_topic *t = box->topics;
        box->topics = t->next;
        free(t);
    }
    dp_dav_box_free(box);
}

static void close_source(dp_source **psource)
{
    dp_dav *s = self(*psource);
    *psource = NULL;
    dp_map_each(&s->boxes, free_box, s);
    dp_map_free(&s->boxes);
    dp_dav_fetcher_free(&s->fetcher);
    dp_loop_cancel(s->loop, &s->pump);
    dp_conf_dav_clear(&s->conf);
    free(s);
}

static const dp_source_ops ops = {
    .name = "dav",
    .offers = offers,
    .ask = ask,
    .has = has,
    .leave = leave,
    .resolve = resolve,
    .drain = drain,
    .sample = sample,
    .fill = fill,
    .told = told,
    .noticed = noticed,
    .step = step,
    .explain = dp_dav_explain,
    .report = dp_dav_report,
    .reload = reload,
    .close = close_source,
};

dp_source *dp_dav_new(dp_loop *loop, dp_emit *emit, dp_wants *wants,
                      const uint8_t *hash_key, const dp_conf_dav *conf)
{
    dp_dav *s = calloc(1, sizeof(*s));
    DP_ASSERT(s);
    s->source.ops = &ops;
    s->loop = loop;
    s->emit = emit;
    s->wants = wants;
    s->hash_key = hash_key;
    s->pump = (dp_loop_timer){.due = pump, .ctx = s};
    dp_list_init(&s->queue);
    dp_list_init(&s->urgent);
    take_conf(s, conf);
    return &s->source;
}
