#include "tools/device/load_device.h"

#include <strings.h>

#include "wire/eas_folders.h"
#include "wire/eas_ping.h"
#include "wire/eas_sync.h"

#define TYPE_INBOX 2

/* A server that makes a device begin anew this often in a row is broken. */
#define RESTARTS_MAX 3

const char *dp_load_failure_name(dp_load_failure f)
{
    static const char *const names[] = {
#define DP_LOAD_FAILURE(name, text) text,
        DP_LOAD_FAILURES(DP_LOAD_FAILURE)
#undef DP_LOAD_FAILURE
    };
    return names[f];
}

const char *dp_load_cmd_name(dp_load_cmd cmd)
{
    static const char *const names[] = {[DP_LOAD_FOLDERSYNC] = "FolderSync",
                                        [DP_LOAD_SYNC] = "Sync",
                                        [DP_LOAD_WAIT] = "Ping"};
    return names[cmd];
}

const char *dp_load_outcome_name(dp_load_outcome outcome)
{
    static const char *const names[] = {[DP_LOAD_NEXT] = "done",
                                        [DP_LOAD_TOLD] = "told",
                                        [DP_LOAD_LISTED] = "listed",
                                        [DP_LOAD_EXPIRED] = "nothing",
                                        [DP_LOAD_FAILED] = "failed"};
    return names[outcome];
}

static dp_load_news news(dp_load_device *d, dp_load_outcome outcome,
                         dp_load_cmd next)
{
    d->next = (uint8_t)next;
    return (dp_load_news){.outcome = outcome};
}

static dp_load_news failed(dp_load_failure failure)
{
    return (dp_load_news){.outcome = DP_LOAD_FAILED, .failure = failure};
}

static void begin_anew(dp_load_device *d)
{
    d->next = DP_LOAD_FOLDERSYNC;
    strcpy(d->hierarchy_key, "0");
    strcpy(d->key, "0");
    d->folder[0] = '\0';
}

void dp_load_device_init(dp_load_device *d, uint32_t heartbeat_s,
                         bool is_longpoll)
{
    *d = (dp_load_device){.heartbeat_s = heartbeat_s,
                          .wished_s = heartbeat_s,
                          .next = DP_LOAD_WAIT};
    if (!is_longpoll) {
        begin_anew(d);
    }
}

void dp_load_device_wish(dp_load_device *d, uint32_t heartbeat_s)
{
    if (d->wished_s != heartbeat_s) {
        d->wished_s = d->heartbeat_s = heartbeat_s;
    }
}

bool dp_load_device_wants(const char *wish, dp_span name, unsigned type)
{
    if (strcasecmp(wish, "Inbox") == 0) {
        return type == TYPE_INBOX;
    }
    return name.n && name.n == strlen(wish) &&
           strncasecmp((const char *)name.p, wish, name.n) == 0;
}

/* @return false: it does not fit */
static bool keep(char *out, const void *bytes, size_t n)
{
    if (n == 0 || n >= DP_LOAD_KEY_MAX || memchr(bytes, 0, n)) {
        return false;
    }
    memcpy(out, bytes, n);
    out[n] = '\0';
    return true;
}

/* The server has forgotten: from the beginning, unless that is a habit. */
static dp_load_news restart(dp_load_device *d)
{
    if (++d->restarts > RESTARTS_MAX) {
        return failed(DP_LOAD_FAIL_STATUS);
    }
    begin_anew(d);
    return news(d, DP_LOAD_NEXT, DP_LOAD_FOLDERSYNC);
}

/* --- FolderSync --- */

typedef struct search {
    dp_load_device *device;
    const char *wish;
    bool is_long;
} search;

static void take_folder(void *ctx, const dp_folder_change *c)
{
    search *s = ctx;
    char *folder = s->device->folder;
    if (c->op != DP_FOLDER_DELETE && !c->is_odd &&
        dp_load_device_wants(s->wish, c->name, c->type) &&
        !dp_span_is(c->id, dp_span_of(folder, strlen(folder)))) {
        s->is_long |= !keep(folder, c->id.p, c->id.n);
        strcpy(s->device->key, "0");
    }
}

static dp_load_news take_folders(dp_load_device *d, const char *folder,
                                 dp_span body)
{
    search s = {.device = d, .wish = folder};
    dp_folders_parser p;
    dp_folders_init(&p, take_folder, &s);
    dp_folders_feed(&p, body);
    bool is_good = !p.is_bad && p.is_whole && p.root == DP_CMD_FOLDERSYNC;
    if (is_good && p.status == 9) {
        return restart(d);
    }
    if (!is_good || p.status != 1 || s.is_long || !*d->folder ||
        !keep(d->hierarchy_key, p.key, p.key_n)) {
        return failed(DP_LOAD_FAIL_STATUS);
    }
    return news(d, DP_LOAD_NEXT,
                strcmp(d->key, "0") == 0 ? DP_LOAD_SYNC : DP_LOAD_WAIT);
}

/* --- Sync --- */

typedef struct collection {
    const dp_load_device *device;
    unsigned status;
    bool has_more, has_key;
    char key[DP_LOAD_KEY_MAX];
} collection;

static void take_collection(void *ctx, const dp_sync_collection *c)
{
    collection *out = ctx;
    if (!c->is_odd && dp_span_is(dp_span_of(c->id, c->id_n),
                                 dp_span_str(out->device->folder))) {
        out->status = c->status;
        out->has_more = c->more_available;
        out->has_key = keep(out->key, c->key, c->key_n);
    }
}

static dp_load_news take_sync(dp_load_device *d, dp_span body)
{
    bool was_first = strcmp(d->key, "0") == 0;
    if (body.n == 0 && !was_first) { /* nothing new */
        return news(d, DP_LOAD_NEXT, DP_LOAD_WAIT);
    }
    collection c = {.device = d};
    dp_sync_parser p;
    dp_sync_init(&p, true, take_collection, &c);
    dp_sync_feed(&p, body);
    unsigned status = c.status ? c.status : p.status;
    if (p.is_bad || !p.is_whole) {
        return failed(DP_LOAD_FAIL_STATUS);
    }
    switch (status) {
    case 0: /* the folder is left out: nothing new */
        return was_first ? failed(DP_LOAD_FAIL_STATUS)
                         : news(d, DP_LOAD_NEXT, DP_LOAD_WAIT);
    case 1:
        break;
    case 3: /* the key is unknown */
    case 8:
    case 12: /* the folder is */
        return restart(d);
    default:
        return failed(DP_LOAD_FAIL_STATUS);
    }
    if (!c.has_key) {
        return failed(DP_LOAD_FAIL_STATUS);
    }
    memcpy(d->key, c.key, sizeof(c.key));
    return news(d, DP_LOAD_NEXT,
                was_first || c.has_more ? DP_LOAD_SYNC : DP_LOAD_WAIT);
}

/* --- Ping --- */

static dp_load_news take_ping(dp_load_device *d, dp_span body)
{
    dp_ping_response p;
    dp_ping_response_init(&p, NULL, NULL);
    dp_ping_response_feed(&p, body);
    if (p.is_bad || !p.is_whole) {
        return failed(DP_LOAD_FAIL_STATUS);
    }
    switch (p.status) {
    case DP_PING_NOTHING:
        d->restarts = 0;
        return news(d, DP_LOAD_EXPIRED, DP_LOAD_WAIT);
    case DP_PING_CHANGES:
        d->restarts = 0;
        return news(d, DP_LOAD_TOLD, DP_LOAD_SYNC);
    case DP_PING_HIERARCHY:
        return news(d, DP_LOAD_LISTED, DP_LOAD_FOLDERSYNC);
    case DP_PING_HEARTBEAT:
        if (p.value && p.value != d->heartbeat_s) {
            d->heartbeat_s = p.value;
            return news(d, DP_LOAD_NEXT, DP_LOAD_WAIT);
        }
        return failed(DP_LOAD_FAIL_STATUS);
    default:
        return failed(DP_LOAD_FAIL_STATUS);
    }
}

/* --- together --- */

static dp_load_news take_http(const dp_load_answer *a)
{
    dp_load_news n = failed(a->status == 503   ? DP_LOAD_FAIL_REFUSED
                            : a->status == 401 ? DP_LOAD_FAIL_DENIED
                            : a->status == 403 ? DP_LOAD_FAIL_DENIED
                                               : DP_LOAD_FAIL_HTTP);
    n.retry_after_s = a->retry_after_s;
    return n;
}

dp_load_news dp_load_device_take(dp_load_device *d, const char *folder,
                                 const dp_load_answer *answer)
{
    if (answer->status != 200) {
        return take_http(answer);
    }
    switch (d->next) {
    case DP_LOAD_FOLDERSYNC:
        return take_folders(d, folder, answer->body);
    case DP_LOAD_SYNC:
        return take_sync(d, answer->body);
    default:
        return take_ping(d, answer->body);
    }
}

dp_load_news dp_load_device_take_message(dp_load_device *d,
                                         const dp_load_answer *answer)
{
    if (answer->status == 304 || answer->status == 408) {
        return news(d, DP_LOAD_EXPIRED, DP_LOAD_WAIT);
    }
    if (answer->status != 200) {
        return take_http(answer);
    }
    /* which message was the last: the next request asks for what follows */
    if (answer->last_modified.n) {
        keep(d->hierarchy_key, answer->last_modified.p,
             answer->last_modified.n);
    }
    if (answer->etag.n) {
        keep(d->key, answer->etag.p, answer->etag.n);
    }
    return news(d, DP_LOAD_TOLD, DP_LOAD_WAIT);
}
