/* What the administrator is told: `verify` and `status`. */
#include "watcher/dav.h"

#include <stdio.h>
#include <string.h>

#include "bus/topic_name.h"

static bool explain_home(const dp_dav_box *box, dp_class c, char *out,
                         size_t cap)
{
    unsigned n = 0;
    for (const dp_dav_coll *at = box->home.first; at; at = at->next) {
        n += (at->kinds & dp_dav_kind_of(c)) != 0;
    }
    snprintf(out, cap, "%s: asked every %d seconds, %u collections of this "
                       "class",
             box->url, (int)(box->source->conf.interval_us / DP_SECOND_US), n);
    return true;
}

static bool explain_coll(const dp_dav_box *box, dp_class c, const char *folder,
                         char *out, size_t cap)
{
    const dp_dav_coll *coll = dp_dav_home_find(&box->home, folder);
    if (!coll || !(coll->kinds & dp_dav_kind_of(c))) {
        snprintf(out, cap, "%s: has no collection %s of this class", box->url,
                 folder);
        return false;
    }
    snprintf(out, cap, "%s%s/: asked every %d seconds, tag %.64s%s", box->url,
             folder, (int)(box->source->conf.interval_us / DP_SECOND_US),
             coll->tag,
             coll->is_open ? " (its second may still be going on)" : "");
    return true;
}

bool dp_dav_explain(dp_source *source, const char *user, dp_class c,
                    const char *folder, char *out, size_t cap)
{
    static const char *const troubles[] = {
        [DP_DAV_UNREACHABLE] = "the server can't be reached",
        [DP_DAV_BUSY] = "the server answers with errors (429 or 5xx)",
        [DP_DAV_REDIRECT] = "the server redirects elsewhere",
        [DP_DAV_NONSENSE] = "the server's answer can't be used",
        [DP_DAV_DENIED] = "the server refuses directpushd's credentials",
        [DP_DAV_ABSENT] = "there is no collection to be seen",
    };
    const dp_dav *s = (const dp_dav *)(const void *)source;
    const dp_dav_box *box =
        dp_dav_box_find(s, user, (unsigned)dp_dav_home_of(s, c));
    if (!box) {
        snprintf(out, cap, "%s is asked for this user's %s", s->conf.url,
                 dp_class_name(c));
        return true;
    }
    if (box->trouble) {
        snprintf(out, cap, "%s: %s (see directpushd's log)", box->url,
                 troubles[box->trouble]);
        return false;
    }
    if (!box->home.is_known) {
        snprintf(out, cap, "%s: not looked at yet", box->url);
        return true;
    }
    return strcmp(folder, DP_TOPIC_WHOLE_CLASS) == 0
               ? explain_home(box, c, out, cap)
               : explain_coll(box, c, folder, out, cap);
}

typedef struct tally {
    uint64_t homes, collections, open, in_trouble;
} tally;

static void count_box(void *ctx, dp_map_node *node)
{
    tally *t = ctx;
    const dp_dav_box *box = DP_DAV_OWNER(node, dp_dav_box, by_name);
    t->homes++;
    t->in_trouble += box->trouble != DP_DAV_FINE;
    for (const dp_dav_coll *c = box->home.first; c; c = c->next) {
        t->collections++;
        t->open += c->is_open;
    }
}

void dp_dav_report(const dp_source *source,
                   void (*line)(void *ctx, const char *name, uint64_t value),
                   void *ctx)
{
    const dp_dav *s = (const dp_dav *)(const void *)source;
    tally t = {0};
    dp_map_each((dp_map *)(uintptr_t)&s->boxes, count_box, &t);
    line(ctx, "dav_homes", t.homes);
    line(ctx, "dav_homes_in_trouble", t.in_trouble);
    line(ctx, "dav_collections", t.collections);
    line(ctx, "dav_collections_unsettled", t.open);
    line(ctx, "dav_looks", s->looks_n);
    line(ctx, "dav_details", s->details_n);
    line(ctx, "dav_kinds_asked", s->kinds_n);
    line(ctx, "dav_failures", s->failures_n);
    line(ctx, "dav_changes", s->changes_n);
    line(ctx, "dav_told", s->hints_n);
    line(ctx, "dav_running", s->running_n);
}
