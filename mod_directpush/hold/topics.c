#include "hold/topics.h"

#include <stdlib.h>
#include <string.h>

#include "base/dp_check.h"
#include "hold/hold.h"

static dp_hash key_of(const dp_bus_map *bus, dp_span user, dp_class class_id,
                      dp_span folder)
{
    /* without a bus any will do that phones can't choose folders for; it is
     * made anew with the bus */
    const uint8_t *key =
        bus && bus->header ? bus->header->hash_key : dp_hash_own_key();
    return dp_topic_key(key, user, class_id, folder);
}

static void copy(char *to, dp_span s)
{
    if (s.n) {
        memcpy(to, s.p, s.n);
    }
}

static void slot_out(dp_topics *ts, dp_topic *t)
{
    if (t->ref.slot >= ts->slot_cap) {
        return;
    }
    dp_topic **at = &ts->by_slot[t->ref.slot];
    while (*at && *at != t) {
        at = &(*at)->next_of_slot;
    }
    if (*at) {
        *at = t->next_of_slot;
    }
    t->next_of_slot = NULL;
}

static void set_ref(dp_topics *ts, dp_topic *t, dp_bus_ref ref)
{
    if (ref.slot != t->ref.slot) {
        ts->moves_n++;
        slot_out(ts, t);
        if (ref.slot < ts->slot_cap) {
            t->next_of_slot = ts->by_slot[ref.slot];
            ts->by_slot[ref.slot] = t;
        }
    }
    t->ref = ref;
}

void dp_topics_find(dp_topics *ts, const dp_bus_map *bus, dp_topic *t)
{
    set_ref(ts, t, bus && bus->header ? dp_bus_find(bus, t->node.key)
                                      : DP_BUS_NO_REF);
}

void dp_topics_settle(dp_topics *ts, const dp_bus_map *bus, dp_topic *t,
                      dp_bus_ref told)
{
    dp_topics_find(ts, bus, t);
    if (t->ref.slot != DP_BUS_NO_SLOT || told.slot == DP_BUS_NO_SLOT || !bus
        || !bus->header) {
        return;
    }
    dp_hash of_class = dp_topic_key(bus->header->hash_key, dp_topic_user(t),
                                    t->class_id,
                                    DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS));
    dp_bus_ref ref = dp_bus_find(bus, of_class);
    if (ref.slot == told.slot && ref.gen == told.gen) {
        set_ref(ts, t, ref);
    }
}

void dp_topics_appeared(dp_topics *ts, const dp_bus_map *bus, dp_bus_ref ref)
{
    dp_hash key;
    if (!bus || !bus->header || !dp_bus_key_of(bus, ref, &key)) {
        return;
    }
    dp_topic *t = (dp_topic *)dp_map_get(&ts->by_key, key);
    if (t && t->ref.slot == DP_BUS_NO_SLOT) {
        dp_topics_find(ts, bus, t);
    }
}

dp_topic *dp_topics_get(dp_topics *ts, const dp_bus_map *bus, dp_span user,
                        dp_class class_id, dp_span folder)
{
    dp_hash key = key_of(bus, user, class_id, folder);
    dp_map_node *found = dp_map_get(&ts->by_key, key);
    if (found) {
        return (dp_topic *)found;
    }
    dp_topic *t = calloc(1, sizeof(*t) + user.n + folder.n);
    DP_ASSERT(t && user.n <= UINT16_MAX && folder.n <= UINT16_MAX);
    t->ref = DP_BUS_NO_REF;
    t->class_id = class_id;
    t->user_n = (uint16_t)user.n;
    t->folder_n = (uint16_t)folder.n;
    copy(t->name, user);
    copy(t->name + user.n, folder);
    dp_map_put(&ts->by_key, &t->node, key);
    dp_topics_find(ts, bus, t);
    return t;
}

void dp_topics_link(dp_topic *t, dp_hold_item *item)
{
    item->topic = t;
    item->next = t->items;
    item->prevp = &t->items;
    if (t->items) {
        t->items->prevp = &item->next;
    }
    t->items = item;
    t->items_n++;
}

void dp_topics_unlink(dp_topics *ts, dp_hold_item *item)
{
    dp_topic *t = item->topic;
    if (!t) {
        return;
    }
    *item->prevp = item->next;
    if (item->next) {
        item->next->prevp = item->prevp;
    }
    item->next = NULL;
    item->prevp = NULL;
    item->topic = NULL;
    if (--t->items_n == 0) {
        slot_out(ts, t);
        dp_map_del(&ts->by_key, &t->node);
        free(t);
    }
}

typedef struct rebind_ctx {
    dp_topics *ts;
    dp_map fresh;
    const dp_bus_map *bus;
} rebind_ctx;

static void move_over(void *ctx, dp_map_node *node)
{
    rebind_ctx *rc = ctx;
    dp_topic *t = (dp_topic *)node;
    dp_map_del(&rc->ts->by_key, node);
    t->ref = DP_BUS_NO_REF;
    t->next_of_slot = NULL;
    t->answer = DP_TOPIC_NOT_ASKED;
    dp_map_put(&rc->fresh, node,
               key_of(rc->bus, dp_topic_user(t), t->class_id,
                      dp_topic_folder(t)));
}

static void find_anew(void *ctx, dp_map_node *node)
{
    rebind_ctx *rc = ctx;
    dp_topics_find(rc->ts, rc->bus, (dp_topic *)node);
}

void dp_topics_rebind(dp_topics *ts, const dp_bus_map *bus)
{
    rebind_ctx rc = {.ts = ts, .bus = bus};
    dp_map_each(&ts->by_key, move_over, &rc);
    dp_map_free(&ts->by_key);
    ts->by_key = rc.fresh;
    free(ts->by_slot);
    ts->slot_cap = bus && bus->header ? bus->topic_cap : 0;
    ts->by_slot = ts->slot_cap ? calloc(ts->slot_cap, sizeof(*ts->by_slot))
                               : NULL;
    DP_ASSERT(!ts->slot_cap || ts->by_slot);
    dp_map_each(&ts->by_key, find_anew, &rc);
}

void dp_topics_free(dp_topics *ts)
{
    DP_ASSERT(ts->by_key.n == 0);
    dp_map_free(&ts->by_key);
    free(ts->by_slot);
    *ts = (dp_topics){0};
}
