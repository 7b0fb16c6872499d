#include "tools/device/timeline.h"

#include <stdlib.h>

#include "base/dp_check.h"
#include "tools/device/event.h"

/* Titles of a Sync on one line of text. */
#define TITLES_MAX 5

void dp_timeline_connected(dp_timeline *t, const dp_http_client *http)
{
    dp_event e;
    dp_event_begin(&e, t, "connected", "connected");
    const char *authority = dp_buf_str(&http->target->authority);
    const char *tls = http->stream.ssl ? SSL_get_version(http->stream.ssl) : "";
    dp_json_int(&e.json, "connection", http->connection);
    dp_json_str(&e.json, "to", authority);
    dp_json_str(&e.json, "tls", tls);
    dp_event_say(&e, "to %s%s%s   (connection #%u)", authority,
                 *tls ? ", " : "", tls, http->connection);
    dp_event_end(&e);
}

void dp_timeline_options(dp_timeline *t, const char *versions,
                         const char *commands, unsigned chosen)
{
    dp_event e;
    dp_event_begin(&e, t, "options", "OPTIONS");
    char text[16];
    snprintf(text, sizeof(text), "%u.%u", chosen / 10, chosen % 10);
    dp_json_str(&e.json, "versions", versions);
    dp_json_str(&e.json, "commands", commands);
    dp_json_str(&e.json, "version", text);
    dp_event_say(&e, "speaks ");
    dp_event_say_text(&e, dp_span_str(versions));
    dp_event_say(&e, "; using %s", text);
    dp_event_end(&e);
}

void dp_timeline_provisioned(dp_timeline *t, uint32_t policy_key)
{
    dp_event e;
    dp_event_begin(&e, t, "provision", "Provision");
    dp_json_bool(&e.json, "has_key", policy_key != 0);
    dp_event_say(&e, policy_key ? "policy acknowledged"
                                : "the server has no policy");
    dp_event_end(&e);
}

void dp_timeline_folder_sync(dp_timeline *t, const dp_phone *phone,
                             const dp_folder_sync_result *result)
{
    dp_event e;
    dp_event_begin(&e, t, "foldersync", "FolderSync");
    dp_json_int(&e.json, "folders_n", (int64_t)phone->folders_n);
    dp_json_int(&e.json, "added", result->added);
    dp_json_int(&e.json, "updated", result->updated);
    dp_json_int(&e.json, "deleted", result->deleted);
    dp_json_int(&e.json, "odd", result->odd);
    dp_json_open(&e.json, "folders", '[');
    for (size_t i = 0; i < phone->folders_n; i++) {
        const dp_phone_folder *f = &phone->folders[i];
        dp_json_open(&e.json, NULL, '{');
        dp_json_text(&e.json, "id", dp_buf_span(&f->id));
        dp_json_text(&e.json, "parent", dp_buf_span(&f->parent));
        dp_json_text(&e.json, "name", dp_buf_span(&f->name));
        dp_json_int(&e.json, "type", f->type);
        dp_json_str(&e.json, "class", dp_phone_class(f->type));
        dp_json_bool(&e.json, "watched", f->is_watched);
        dp_json_close(&e.json, '}');
    }
    dp_json_close(&e.json, ']');
    dp_event_say(&e, "%zu folders", phone->folders_n);
    if (result->updated || result->deleted ||
        result->added != phone->folders_n) {
        dp_event_say(&e, ": %u new, %u changed, %u gone", result->added,
                     result->updated, result->deleted);
    }
    if (result->odd) {
        dp_event_say(&e, ", %u unusable", result->odd);
    }
    dp_event_end(&e);
}

void dp_timeline_items_add(void *ctx, const dp_item *item)
{
    dp_timeline_items *items = ctx;
    items->added += item->op == DP_ITEM_ADD;
    items->changed += item->op == DP_ITEM_CHANGE;
    items->deleted += item->op == DP_ITEM_DELETE;
    if (items->n == DP_TIMELINE_ITEMS_MAX) {
        return;
    }
    if (!items->items) {
        items->items = calloc(DP_TIMELINE_ITEMS_MAX, sizeof(*items->items));
        DP_ASSERT(items->items);
    }
    items->items[items->n++] = *item;
}

void dp_timeline_items_free(dp_timeline_items *items)
{
    free(items->items);
    *items = (dp_timeline_items){0};
}

/* `"Bob B." <bob@example.com>` to `Bob B.`; an address alone stays. */
static dp_span sender_name(const dp_item *item)
{
    dp_span from = dp_span_of(item->from, item->from_n);
    const unsigned char *bracket = from.n ? memchr(from.p, '<', from.n) : NULL;
    dp_span name = from;
    if (bracket) {
        name.n = (size_t)(bracket - from.p);
    }
    while (name.n && strchr("\" \t", name.p[name.n - 1])) {
        name.n--;
    }
    while (name.n && strchr("\" \t", name.p[0])) {
        name = dp_span_of(name.p + 1, name.n - 1);
    }
    return name.n ? name : from;
}

static void say_titles(dp_event *e, const dp_timeline_items *items)
{
    unsigned shown = 0;
    for (size_t i = 0; i < items->n && shown < TITLES_MAX; i++) {
        const dp_item *item = &items->items[i];
        if (item->op != DP_ITEM_ADD) {
            continue;
        }
        dp_event_say(e, shown++ ? ", \"" : ": \"");
        dp_event_say_text(e, dp_span_of(item->title, item->title_n));
        dp_event_say(e, "\"");
        if (item->from_n) {
            dp_event_say(e, " from ");
            dp_event_say_text(e, sender_name(item));
        }
    }
    if (shown < items->added) {
        dp_event_say(e, ", ...");
    }
}

static void say_counts(dp_event *e, const dp_timeline_items *items)
{
    const char *comma = "";
    if (items->added) {
        dp_event_say(e, "%u new", items->added);
        comma = ", ";
    }
    if (items->changed) {
        dp_event_say(e, "%s%u changed", comma, items->changed);
        comma = ", ";
    }
    if (items->deleted) {
        dp_event_say(e, "%s%u gone", comma, items->deleted);
        comma = ", ";
    }
    if (!*comma) {
        dp_event_say(e, "nothing new");
    }
}

static void list_items(dp_json *j, const dp_timeline_items *items)
{
    static const char *const ops[] = {[DP_ITEM_ADD] = "add",
                                      [DP_ITEM_CHANGE] = "change",
                                      [DP_ITEM_DELETE] = "delete"};
    dp_json_open(j, "items", '[');
    for (size_t i = 0; i < items->n; i++) {
        const dp_item *item = &items->items[i];
        dp_json_open(j, NULL, '{');
        dp_json_str(j, "op", ops[item->op]);
        dp_json_text(j, "id", dp_span_of(item->id, item->id_n));
        dp_json_text(j, "title", dp_span_of(item->title, item->title_n));
        dp_json_text(j, "from", dp_span_of(item->from, item->from_n));
        dp_json_close(j, '}');
    }
    dp_json_close(j, ']');
}

void dp_timeline_sync(dp_timeline *t, const dp_phone_folder *folder,
                      const dp_sync_result *result,
                      const dp_timeline_items *items)
{
    dp_event e;
    dp_event_begin(&e, t, "sync", "Sync");
    dp_json_text(&e.json, "id", dp_buf_span(&folder->id));
    dp_json_text(&e.json, "name", dp_buf_span(&folder->name));
    dp_json_bool(&e.json, "first", result->was_first);
    dp_json_bool(&e.json, "more", result->has_more);
    dp_json_int(&e.json, "added", items->added);
    dp_json_int(&e.json, "changed", items->changed);
    dp_json_int(&e.json, "deleted", items->deleted);
    list_items(&e.json, items);
    dp_event_say_text(&e, dp_buf_span(&folder->name));
    dp_event_say(&e, ": ");
    if (result->was_first) {
        dp_event_say(&e, "begins");
    }
    else {
        say_counts(&e, items);
        say_titles(&e, items);
        dp_event_say(&e, "%s", result->has_more ? "; more to come" : "");
    }
    dp_event_end(&e);
}
