/* eas_sync: see the header. Two lists of paths, one for each direction, and
 * the fields that they lead to. */
#include "wire/eas_sync.h"

#include "wire/eas_walk.h"
#include "wire/wbxml_tokens.h"

#define AS(name) DP_TAG_AIRSYNC_##name
#define IN_COLLECTION(field, ...)                                              \
    DP_EAS_PATH(field, AS(Collections), AS(Collection), __VA_ARGS__)

enum field {
    GLOBAL_STATUS = 1,
    GLOBAL_PARTIAL,
    GLOBAL_WAIT,
    GLOBAL_HEARTBEAT,
    COLLECTION,
    /* leaves of a Collection, each at most once; bits of `seen` */
    COLLECTION_CLASS,
    COLLECTION_KEY,
    COLLECTION_ID,
    COLLECTION_STATUS,
    COLLECTION_GET_CHANGES,
    COLLECTION_MOVES,
    COLLECTION_MORE,
    FILTER, /* of each Options */
    /* items */
    CLIENT_ADD,
    CLIENT_CHANGE,
    CLIENT_DELETE,
    CLIENT_FETCH,
    SERVER_ADD,
    SERVER_CHANGE,
    SERVER_DELETE,
    SERVER_LEAVE,
    RESULT,
    RESULT_STATUS,
    RESULT_FETCH
};

static const dp_eas_path REQUEST_PATHS[] = {
    DP_EAS_PATH(GLOBAL_PARTIAL, AS(Partial)),
    DP_EAS_PATH(GLOBAL_WAIT, AS(Wait)),
    DP_EAS_PATH(GLOBAL_HEARTBEAT, AS(HeartbeatInterval)),
    DP_EAS_PATH(COLLECTION, AS(Collections), AS(Collection)),
    IN_COLLECTION(COLLECTION_CLASS, AS(Class)),
    IN_COLLECTION(COLLECTION_KEY, AS(SyncKey)),
    IN_COLLECTION(COLLECTION_ID, AS(CollectionId)),
    IN_COLLECTION(COLLECTION_GET_CHANGES, AS(GetChanges)),
    IN_COLLECTION(COLLECTION_MOVES, AS(DeletesAsMoves)),
    IN_COLLECTION(FILTER, AS(Options), AS(FilterType)),
    IN_COLLECTION(CLIENT_ADD, AS(Commands), AS(Add)),
    IN_COLLECTION(CLIENT_CHANGE, AS(Commands), AS(Change)),
    IN_COLLECTION(CLIENT_DELETE, AS(Commands), AS(Delete)),
    IN_COLLECTION(CLIENT_FETCH, AS(Commands), AS(Fetch)),
};

static const dp_eas_path RESPONSE_PATHS[] = {
    DP_EAS_PATH(GLOBAL_STATUS, AS(Status)),
    DP_EAS_PATH(COLLECTION, AS(Collections), AS(Collection)),
    IN_COLLECTION(COLLECTION_CLASS, AS(Class)),
    IN_COLLECTION(COLLECTION_KEY, AS(SyncKey)),
    IN_COLLECTION(COLLECTION_ID, AS(CollectionId)),
    IN_COLLECTION(COLLECTION_STATUS, AS(Status)),
    IN_COLLECTION(COLLECTION_MORE, AS(MoreAvailable)),
    IN_COLLECTION(SERVER_ADD, AS(Commands), AS(Add)),
    IN_COLLECTION(SERVER_CHANGE, AS(Commands), AS(Change)),
    IN_COLLECTION(SERVER_DELETE, AS(Commands), AS(Delete)),
    IN_COLLECTION(SERVER_LEAVE, AS(Commands), AS(SoftDelete)),
    IN_COLLECTION(RESULT, AS(Responses), AS(Add)),
    IN_COLLECTION(RESULT, AS(Responses), AS(Change)),
    IN_COLLECTION(RESULT, AS(Responses), AS(Delete)),
    IN_COLLECTION(RESULT_FETCH, AS(Responses), AS(Fetch)),
    IN_COLLECTION(RESULT_STATUS, AS(Responses), AS(Add), AS(Status)),
    IN_COLLECTION(RESULT_STATUS, AS(Responses), AS(Change), AS(Status)),
    IN_COLLECTION(RESULT_STATUS, AS(Responses), AS(Delete), AS(Status)),
};

static bool on_root(void *parser, dp_wbxml_tag root)
{
    return root == AS(Sync);
}

static bool is_collection_leaf(int field)
{
    return field >= COLLECTION_CLASS && field <= COLLECTION_MORE;
}

static void begin_collection(dp_sync_parser *p)
{
    p->now = (dp_sync_collection){.deletes_as_moves = true};
    p->seen = 0;
    p->saw_get_changes = false;
}

static void on_open(void *parser, int field)
{
    dp_sync_parser *p = parser;

    p->text_n = 0;
    p->text_is_long = false;
    if (field == COLLECTION) {
        begin_collection(p);
    }
    else if (field == RESULT) {
        p->item_status = 0;
        p->has_item_status = false;
    }
    else if (is_collection_leaf(field)) { /* twice: which one counts? */
        p->now.is_odd = p->now.is_odd || (p->seen & 1u << field);
        p->seen |= 1u << field;
    }
}

static void on_text(void *parser, int field, dp_span piece)
{
    dp_sync_parser *p = parser;

    dp_eas_text_add(p->text, sizeof(p->text), &p->text_n, &p->text_is_long,
                    piece);
}

static uint32_t number(const dp_sync_parser *p)
{
    uint32_t value = 0;

    if (!p->text_is_long) {
        dp_eas_number(p->text, p->text_n, &value);
    }
    return value;
}

static bool text_is(const dp_sync_parser *p, const char *s)
{
    return !p->text_is_long &&
           dp_span_is(dp_span_of(p->text, p->text_n), dp_span_str(s));
}

/** Empty is true, as is 1; 0 is false, as is what nobody should send: then
 *  less is concluded from the Sync. */
static bool flag(const dp_sync_parser *p)
{
    return text_is(p, "") || text_is(p, "1");
}

/** Keep the text of a leaf; left empty and odd when it is too long. */
static void keep(dp_sync_parser *p, char *buf, size_t cap, size_t *n)
{
    bool is_long = p->text_is_long;

    *n = 0;
    dp_eas_text_add(buf, cap, n, &is_long, dp_span_of(p->text, p->text_n));
    p->now.is_odd = p->now.is_odd || is_long;
}

static void close_collection_leaf(dp_sync_parser *p, int field)
{
    dp_sync_collection *c = &p->now;

    switch (field) {
    case COLLECTION_CLASS:
        keep(p, c->class_name, sizeof(c->class_name), &c->class_name_n);
        break;
    case COLLECTION_KEY:
        keep(p, c->key, sizeof(c->key), &c->key_n);
        c->key_is_zero = text_is(p, "0");
        break;
    case COLLECTION_ID:
        keep(p, c->id, sizeof(c->id), &c->id_n);
        break;
    case COLLECTION_STATUS:
        c->status = number(p);
        c->is_odd = c->is_odd || c->status == 0;
        break;
    case COLLECTION_GET_CHANGES:
        p->saw_get_changes = true;
        p->get_changes = flag(p);
        break;
    case COLLECTION_MOVES:
        c->deletes_as_moves = flag(p);
        break;
    case COLLECTION_MORE:
        c->more_available = true;
        break;
    default:
        break;
    }
}

/** A failure is told without a key by some, anything else is not. */
static bool has_to_have_key(const dp_sync_parser *p)
{
    return !p->is_response || p->now.status == 1;
}

static void end_collection(dp_sync_parser *p)
{
    dp_sync_collection *c = &p->now;

    if (!p->is_response) {
        c->wants_changes =
            p->saw_get_changes ? p->get_changes : !c->key_is_zero;
        c->said_get_changes = p->saw_get_changes;
    }
    if ((c->id_n == 0 && c->class_name_n == 0) ||
        (c->key_n == 0 && has_to_have_key(p))) {
        c->is_odd = true;
    }
    p->collections_n++;
    if (p->on_collection) {
        p->on_collection(p->ctx, c);
    }
}

static void close_item(dp_sync_parser *p, int field)
{
    dp_sync_collection *c = &p->now;

    switch (field) {
    case CLIENT_ADD:
        c->client_adds++;
        break;
    case CLIENT_CHANGE:
        c->client_changes++;
        break;
    case CLIENT_DELETE:
        c->client_deletes++;
        break;
    case CLIENT_FETCH:
        c->client_fetches++;
        break;
    case SERVER_ADD:
        c->server_adds++;
        break;
    case SERVER_CHANGE:
        c->server_changes++;
        break;
    case SERVER_DELETE:
        c->server_deletes++;
        break;
    case SERVER_LEAVE:
        c->server_leaves++;
        break;
    case FILTER:
        c->filter = c->filter * 16 + number(p) + 1;
        break;
    case RESULT:
        if (p->has_item_status && p->item_status != 1) {
            c->responses_bad++;
        }
        else {
            c->responses_ok++;
        }
        break;
    case RESULT_FETCH:
        c->responses_fetched++;
        break;
    case RESULT_STATUS:
        p->item_status = number(p);
        p->has_item_status = true;
        break;
    default:
        break;
    }
}

static void on_close(void *parser, int field)
{
    dp_sync_parser *p = parser;

    switch (field) {
    case GLOBAL_STATUS:
        p->status = number(p);
        break;
    case GLOBAL_PARTIAL:
        p->is_partial = true;
        break;
    case GLOBAL_WAIT:
        p->wait_min = number(p);
        break;
    case GLOBAL_HEARTBEAT:
        p->heartbeat_s = number(p);
        break;
    case COLLECTION:
        end_collection(p);
        break;
    default:
        if (is_collection_leaf(field)) {
            close_collection_leaf(p, field);
        }
        else {
            close_item(p, field);
        }
        break;
    }
}

static const dp_eas_grammar REQUEST = {
    .paths = REQUEST_PATHS,
    .paths_n = sizeof(REQUEST_PATHS) / sizeof(REQUEST_PATHS[0]),
    .on_root = on_root,
    .on_open = on_open,
    .on_text = on_text,
    .on_close = on_close,
};

static const dp_eas_grammar RESPONSE = {
    .paths = RESPONSE_PATHS,
    .paths_n = sizeof(RESPONSE_PATHS) / sizeof(RESPONSE_PATHS[0]),
    .on_root = on_root,
    .on_open = on_open,
    .on_text = on_text,
    .on_close = on_close,
};

void dp_sync_init(dp_sync_parser *p, bool is_response,
                  void (*on_collection)(void *ctx, const dp_sync_collection *c),
                  void *ctx)
{
    *p = (dp_sync_parser){.is_empty = true,
                          .is_response = is_response,
                          .on_collection = on_collection,
                          .ctx = ctx};
    dp_wbxml_read_init(&p->reader, UINT64_MAX);
}

bool dp_sync_feed(dp_sync_parser *p, dp_span chunk)
{
    dp_wbxml_event event;

    p->is_empty = p->is_empty && chunk.n == 0;
    if (p->is_bad || p->is_whole) {
        return !p->is_bad;
    }
    event = dp_eas_walk(&p->reader, chunk,
                        p->is_response ? &RESPONSE : &REQUEST, p);
    p->is_whole = event == DP_WBXML_END;
    p->is_bad = event == DP_WBXML_BAD;
    return !p->is_bad;
}
