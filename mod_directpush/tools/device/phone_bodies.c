/* The bodies of phone.h: FolderSync, Sync and Ping as AOSP writes them. */
#include "tools/device/phone.h"

#include <stdlib.h>

#include "base/dp_check.h"
#include "wire/eas_sync.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

/* FilterType 5: a month (eas-protocol 4.8). Calendars know it too. */
#define FILTER_ONE_MONTH "5"

/* Nobody reads the bodies; a few bytes keep the server on its usual path. */
#define BODY_TRUNCATION "512"

static dp_span text_of(const dp_buf *b)
{
    return dp_buf_span(b);
}

/* Writers work in a given buffer: once for the size, once for the bytes. */
static void write_to(dp_buf *out,
                     void (*write)(dp_wbxml_writer *w, const void *what),
                     const void *what)
{
    unsigned char probe[4];
    dp_wbxml_writer w;
    dp_wbxml_write_init(&w, probe, sizeof(probe));
    write(&w, what);
    size_t n = w.n;
    unsigned char *buf = malloc(n);
    DP_ASSERT(buf);
    dp_wbxml_write_init(&w, buf, n);
    write(&w, what);
    DP_ASSERT(dp_wbxml_write_is_ok(&w));
    dp_buf_set(out, dp_span_of(buf, n));
    free(buf);
}

static void write_folder_sync(dp_wbxml_writer *w, const void *what)
{
    const dp_phone *p = what;
    dp_wbxml_write_open(w, DP_TAG_FOLDER_FolderSync);
    dp_wbxml_write_leaf(w, DP_TAG_FOLDER_SyncKey, text_of(&p->hierarchy_key));
    dp_wbxml_write_close(w);
}

void dp_phone_folder_sync_body(const dp_phone *p, dp_buf *out)
{
    write_to(out, write_folder_sync, p);
}

static void write_options(dp_wbxml_writer *w, unsigned type)
{
    const char *class_name = dp_phone_class(type);
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Options);
    if (strcmp(class_name, "Email") == 0 ||
        strcmp(class_name, "Calendar") == 0) {
        dp_wbxml_write_leaf(w, DP_TAG_AIRSYNC_FilterType,
                            DP_SPAN_LIT(FILTER_ONE_MONTH));
    }
    dp_wbxml_write_open(w, DP_TAG_BASE_BodyPreference);
    dp_wbxml_write_leaf(w, DP_TAG_BASE_Type, DP_SPAN_LIT("1"));
    dp_wbxml_write_leaf(w, DP_TAG_BASE_TruncationSize,
                        DP_SPAN_LIT(BODY_TRUNCATION));
    dp_wbxml_write_close(w);
    dp_wbxml_write_close(w);
}

#define STRING_OF(n)  STRING_OF_(n)
#define STRING_OF_(n) #n

static void write_sync(dp_wbxml_writer *w, const void *what)
{
    const dp_phone_folder *f = what;
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Sync);
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Collections);
    dp_wbxml_write_open(w, DP_TAG_AIRSYNC_Collection);
    dp_wbxml_write_leaf(w, DP_TAG_AIRSYNC_SyncKey, text_of(&f->key));
    dp_wbxml_write_leaf(w, DP_TAG_AIRSYNC_CollectionId, text_of(&f->id));
    if (strcmp(f->key.p, "0") != 0) {
        dp_wbxml_write_leaf(w, DP_TAG_AIRSYNC_DeletesAsMoves, DP_SPAN_LIT("1"));
        dp_wbxml_write_empty(w, DP_TAG_AIRSYNC_GetChanges);
        dp_wbxml_write_leaf(w, DP_TAG_AIRSYNC_WindowSize,
                            DP_SPAN_LIT(STRING_OF(DP_PHONE_WINDOW)));
        write_options(w, f->type);
    }
    dp_wbxml_write_close(w);
    dp_wbxml_write_close(w);
    dp_wbxml_write_close(w);
}

void dp_phone_sync_body(const dp_phone_folder *f, dp_buf *out)
{
    write_to(out, write_sync, f);
}

typedef struct sync_taker {
    dp_phone_folder *folder;
    dp_sync_result *result;
    dp_buf key;
} sync_taker;

static void take_collection(void *ctx, const dp_sync_collection *c)
{
    sync_taker *t = ctx;
    if (c->is_odd ||
        !dp_span_is(dp_span_of(c->id, c->id_n), dp_buf_span(&t->folder->id))) {
        return;
    }
    t->result->is_there = true;
    t->result->status = c->status;
    t->result->has_more = c->more_available;
    dp_buf_set(&t->key, dp_span_of(c->key, c->key_n));
}

dp_sync_result
dp_phone_sync_take(dp_phone_folder *f, dp_span body,
                   void (*on_item)(void *ctx, const dp_item *item), void *ctx)
{
    dp_sync_result result = {.was_first = strcmp(f->key.p, "0") == 0};
    if (body.n == 0) {
        return result;
    }
    sync_taker taker = {.folder = f, .result = &result};
    dp_sync_parser parser;
    dp_sync_init(&parser, true, take_collection, &taker);
    dp_sync_feed(&parser, body);
    result.is_bad = parser.is_bad || !parser.is_whole;
    result.global_status = parser.status;
    if (!result.is_bad && result.status == 1 && taker.key.n &&
        strcmp(taker.key.p, "0") != 0) {
        dp_mail_items items;
        dp_mail_items_init(&items, on_item, ctx);
        dp_mail_items_feed(&items, body);
        result.has_moved =
            !dp_span_is(dp_buf_span(&taker.key), dp_buf_span(&f->key));
        dp_buf_set(&f->key, dp_buf_span(&taker.key));
    }
    dp_buf_free(&taker.key);
    return result;
}

bool dp_phone_pings(const dp_phone_folder *f)
{
    return f->is_watched && strcmp(f->key.p, "0") != 0;
}

size_t dp_phone_ping_body(const dp_phone *p, dp_ping_form form,
                          uint32_t heartbeat_s, dp_buf *out)
{
    dp_ping_folder *folders = calloc(p->folders_n + 1, sizeof(*folders));
    DP_ASSERT(folders);
    size_t n = 0, bytes = 64;
    for (size_t i = 0; i < p->folders_n; i++) {
        const dp_phone_folder *f = &p->folders[i];
        if (dp_phone_pings(f) && (p->ping_max == 0 || n < p->ping_max)) {
            folders[n].id = dp_buf_span(&f->id);
            folders[n].class_name = dp_span_str(dp_phone_class(f->type));
            bytes += f->id.n + 64; /* tags, class, length of an OPAQUE */
            n++;
        }
    }
    out->n = 0;
    if (form != DP_PING_EMPTY) {
        unsigned char *buf = malloc(bytes);
        DP_ASSERT(buf);
        size_t written = dp_ping_request_write(buf, bytes, heartbeat_s, folders,
                                               form == DP_PING_FULL ? n : 0);
        DP_ASSERT(written);
        dp_buf_set(out, dp_span_of(buf, written));
        free(buf);
    }
    free(folders);
    return n;
}
