/* What a look found, to the bus: announcing, vouching, and what was said before
 * the look. */
#include "watcher/dav_box.h"

#include <string.h>

#include "bus/topic_name.h"

/* What was announced so lately covers a `publish` that finds nothing more. */
#define FRESH_US (5 * DP_SECOND_US)

static dp_dav_topic *topic_for(const dp_dav_box *box, dp_class c,
                               const char *folder)
{
    dp_dav_topic *t = box->topics;
    while (t && (t->want->class != c || strcmp(t->want->folder, folder) != 0)) {
        t = t->next;
    }
    return t;
}

static bool is_whole(const dp_want *want)
{
    return strcmp(want->folder, DP_TOPIC_WHOLE_CLASS) == 0;
}

/* What the look found covers what was said before it began, no more. */
static void cover(dp_dav_topic *t)
{
    if (t->hint == DP_DAV_HINT_LOOKED) {
        t->hint = DP_DAV_HINT_NONE;
    }
}

static void announce(dp_dav_topic *t, bool is_new)
{
    dp_dav *s = t->box->source;
    t->changed_us = dp_clock_mono_us();
    cover(t);
    s->changes_n++;
    dp_emit_change(s->emit, t->want, is_new, DP_BUS_MANY);
}

/* The folder's own topic, or its class's; the bus hands one on to the other. */
static void tell_of(dp_dav_box *box, dp_class c, const char *name)
{
    dp_dav_topic *all = topic_for(box, c, DP_TOPIC_WHOLE_CLASS);
    dp_dav_topic *t = topic_for(box, c, name);
    if (t) {
        announce(t, true);
    }
    if (all && t) {
        all->changed_us = t->changed_us; /* the bus hands it on */
        cover(all);
    }
    else if (all) {
        announce(all, true);
    }
}

static const dp_class classes[] = {DP_CLASS_CALENDAR, DP_CLASS_TASKS,
                                   DP_CLASS_CONTACTS};

unsigned dp_dav_kind_of(dp_class c)
{
    return c == DP_CLASS_CALENDAR   ? DP_DAV_EVENTS
           : c == DP_CLASS_TASKS    ? DP_DAV_TASKS
           : c == DP_CLASS_CONTACTS ? DP_DAV_CONTACTS
                                    : 0;
}

/* What was said of tasks was about the events that have changed: who saw a
 * deletion pass can't know. A change of both is found by a later look. */
static void cover_other(dp_dav_box *box, dp_class c, const char *name)
{
    const char *const folders[] = {name, DP_TOPIC_WHOLE_CLASS};
    for (size_t i = 0; i < 2; i++) {
        dp_dav_topic *t = topic_for(box, c, folders[i]);
        if (t) {
            cover(t);
        }
    }
}

void dp_dav_tell_changes(dp_dav_box *box)
{
    for (dp_dav_coll *c = box->home.first; c; c = c->next) {
        for (size_t i = 0; c->changed && i < 3; i++) {
            unsigned kind = dp_dav_kind_of(classes[i]);
            if (c->changed & kind) {
                tell_of(box, classes[i], c->name);
            }
            else if (c->kinds & kind) {
                cover_other(box, classes[i], c->name);
            }
        }
        c->changed = 0;
    }
}

/* Vouched for or not: the folder list is another source's, and what it does not
 * see is known all the same. */
static void tell_hierarchy(dp_dav_box *box)
{
    const dp_want_user *user = dp_wants_user(box->source->wants, box->user);
    dp_want *folders = user ? user->classes[DP_CLASS_HIERARCHY] : NULL;
    if (folders) {
        dp_emit_publish(box->source->emit, folders, true, NULL);
    }
}

/* Which collections there are; it is kept in each topic's cursor as the trip,
 * which collections have no other use for. */
static uint64_t list_of(const dp_dav_box *box)
{
    uint64_t sum = 1;
    for (const dp_dav_coll *c = box->home.first; c; c = c->next) {
        dp_span name = dp_span_str(c->name);
        sum += dp_hash_spans(box->source->hash_key, &name, 1).w[0];
    }
    return sum ? sum : 1;
}

void dp_dav_tell_begun(dp_dav_box *box)
{
    uint64_t now = list_of(box);
    bool is_same = false, is_other = false;
    for (const dp_dav_topic *t = box->topics; t; t = t->next) {
        uint64_t then = t->want->old_cursor.trip;
        is_same |= then == now;
        is_other |= then && then != now;
    }
    if (is_other && !is_same) {
        tell_hierarchy(box);
    }
}

/* One came or went: the class has changed, and the phone's list of folders. */
void dp_dav_tell_list(dp_dav_box *box)
{
    for (size_t i = 0; i < 3; i++) {
        dp_dav_topic *all = topic_for(box, classes[i], DP_TOPIC_WHOLE_CLASS);
        if (all) {
            announce(all, true);
        }
    }
    tell_hierarchy(box);
    for (dp_dav_topic *t = box->topics; t; t = t->next) {
        dp_emit_touch(box->source->emit, t->want); /* the list is in it */
    }
}

/* --- vouching */

void dp_dav_box_fill(const dp_dav_box *box, dp_want *want)
{
    dp_span url = dp_span_str(box->url);
    dp_cursor cursor = {
        .identity = dp_hash_spans(box->source->hash_key, &url, 1).w[0],
        .trip = list_of(box)};
    unsigned kind = dp_dav_kind_of(want->class);
    for (const dp_dav_coll *c = box->home.first; c; c = c->next) {
        if (c->kinds & kind
            && (is_whole(want) || strcmp(c->name, want->folder) == 0)) {
            dp_span spans[] = {dp_span_str(c->name), dp_span_str(c->base_tag)};
            cursor.names +=
                dp_hash_spans(box->source->hash_key, spans, 2).w[0];
            cursor.count++;
        }
    }
    want->cursor = cursor;
}

bool dp_dav_box_has(const dp_dav_box *box, dp_class c, const char *folder)
{
    const dp_dav_coll *coll = dp_dav_home_find(&box->home, folder);
    return coll && !coll->is_fresh && coll->kinds & dp_dav_kind_of(c);
}

/* Of all collections together only if each can be told of. */
static bool is_there(const dp_dav_box *box, const dp_want *want)
{
    return is_whole(want) ? !(box->home.blind & dp_dav_kind_of(want->class))
                          : dp_dav_box_has(box, want->class, want->folder);
}

void dp_dav_box_vouch(dp_dav_box *box, dp_dav_topic *t)
{
    if (!box->home.is_known || box->trouble) {
        return;
    }
    if (!is_there(box, t->want)) {
        dp_emit_lost(box->source->emit, t->want,
                     is_whole(t->want) ? "one collection has no tag"
                                       : "no such collection");
        t->want->is_restored = false;
    }
    else if (!t->want->is_vouched) {
        dp_dav_box_fill(box, t->want);
        t->want->old_cursor.trip = t->want->cursor.trip; /* Hierarchy's */
        dp_emit_vouch(box->source->emit, t->want);
    }
}

void dp_dav_suspend_all(dp_dav_box *box, const char *why)
{
    for (dp_dav_topic *t = box->topics; t; t = t->next) {
        dp_dav_box_fill(box, t->want);
        dp_emit_suspend(box->source->emit, t->want, why);
    }
}

/* --- hints */

void dp_dav_tell_hinted(dp_dav_box *box, bool only_looked)
{
    dp_time_us now_us = dp_clock_mono_us();
    for (dp_dav_topic *t = box->topics; t; t = t->next) {
        if (t->hint == DP_DAV_HINT_NONE
            || (only_looked && t->hint != DP_DAV_HINT_LOOKED)) {
            continue;
        }
        if (only_looked
            && dp_dav_home_waits(&box->home, dp_dav_kind_of(t->want->class),
                                 is_whole(t->want) ? NULL : t->want->folder)) {
            t->hint = DP_DAV_HINT_WAITS; /* told when its second is over */
            continue;
        }
        /* the look began after it was said, and found what was announced */
        bool is_covered =
            only_looked && now_us - t->changed_us < FRESH_US && t->changed_us;
        t->hint = DP_DAV_HINT_NONE;
        if (!is_covered) {
            announce(t, t->is_new);
        }
    }
}

void dp_dav_hints_late(void *ctx)
{
    dp_dav_tell_hinted(ctx, false);
}
