/* eas_ping: see the header. Paths and text by eas_walk, bytes by wbxml_write.
 */
#include "wire/eas_ping.h"

#include <stdio.h>

#include "wire/eas_walk.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

#define PING(name) DP_TAG_PING_##name

/* The text of a number: digits of 32 bits, and one more to see that it is
 * longer. */
#define NUMBER_MAX 11

/* ---- requests ---- */

enum request_field { REQ_HEARTBEAT = 1, REQ_FOLDER, REQ_ID, REQ_CLASS };

static const dp_eas_path REQUEST_PATHS[] = {
    DP_EAS_PATH(REQ_HEARTBEAT, PING(HeartbeatInterval)),
    DP_EAS_PATH(REQ_FOLDER, PING(Folders), PING(Folder)),
    DP_EAS_PATH(REQ_ID, PING(Folders), PING(Folder), PING(Id)),
    DP_EAS_PATH(REQ_CLASS, PING(Folders), PING(Folder), PING(Class)),
};

struct request_parser {
    dp_ping_request *out;
    size_t cap;
    bool is_malformed;
    dp_ping_folder now; /* the Folder that is open */
    bool saw_id;
    /* a text that came in pieces is put together at `arena`; it takes no more
     * than its bytes in the body, so an arena as long as that never ends */
    unsigned char *arena;
    char number[NUMBER_MAX];
    size_t number_n;
    bool number_is_long;
};

static bool request_root(void *parser, dp_wbxml_tag root)
{
    return root == PING(Ping);
}

static void request_open(void *parser, int field)
{
    struct request_parser *p = parser;

    switch (field) {
    case REQ_HEARTBEAT:
        p->out->has_heartbeat = true;
        p->number_n = 0;
        p->number_is_long = false;
        break;
    case REQ_FOLDER:
        p->now = (dp_ping_folder){.id = {0}};
        p->saw_id = false;
        break;
    case REQ_ID: /* a second one would leave open which is meant */
        p->is_malformed = p->is_malformed || p->saw_id;
        p->saw_id = true;
        p->now.id.n = 0;
        break;
    case REQ_CLASS:
        p->now.class_name.n = 0;
        break;
    default:
        break;
    }
}

/** One piece stays where it is; from the second on they move to the arena. */
static void join(struct request_parser *p, dp_span *text, dp_span piece)
{
    if (text->n == 0) {
        *text = piece;
        return;
    }
    if (text->p + text->n != p->arena) {
        memcpy(p->arena, text->p, text->n);
        text->p = p->arena;
        p->arena += text->n;
    }
    memcpy(p->arena, piece.p, piece.n);
    p->arena += piece.n;
    text->n += piece.n;
}

static void request_text(void *parser, int field, dp_span piece)
{
    struct request_parser *p = parser;

    switch (field) {
    case REQ_HEARTBEAT:
        dp_eas_text_add(p->number, sizeof(p->number), &p->number_n,
                        &p->number_is_long, piece);
        break;
    case REQ_ID:
        join(p, &p->now.id, piece);
        break;
    case REQ_CLASS:
        join(p, &p->now.class_name, piece);
        break;
    default:
        break;
    }
}

static void folder_done(struct request_parser *p)
{
    dp_ping_request *out = p->out;

    if (p->now.id.n == 0 || p->now.id.n > DP_COLLECTION_ID_MAX) {
        p->is_malformed = true;
    }
    if (out->folders_n < p->cap) {
        out->folders[out->folders_n] = p->now;
    }
    out->folders_n++;
    out->has_folders = true;
}

/* Digits that do not fit are a number all the same: out of every bounds. */
static bool is_huge(const char *text, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
    }
    *out = n ? UINT32_MAX : 0;
    return n > 0;
}

static void request_close(void *parser, int field)
{
    struct request_parser *p = parser;

    if (field == REQ_HEARTBEAT) {
        p->out->heartbeat_is_number =
            !p->number_is_long &&
            (dp_eas_number(p->number, p->number_n, &p->out->heartbeat_s)
             || is_huge(p->number, p->number_n, &p->out->heartbeat_s));
    }
    else if (field == REQ_FOLDER) {
        folder_done(p);
    }
}

static const dp_eas_grammar REQUEST = {
    .paths = REQUEST_PATHS,
    .paths_n = sizeof(REQUEST_PATHS) / sizeof(REQUEST_PATHS[0]),
    .on_root = request_root,
    .on_open = request_open,
    .on_text = request_text,
    .on_close = request_close,
};

dp_ping_parse_result dp_ping_parse(dp_span body, unsigned char *arena,
                                   dp_ping_folder *folders, size_t cap,
                                   dp_ping_request *out)
{
    struct request_parser p = {.out = out, .cap = cap, .arena = arena};
    dp_wbxml_reader reader;

    *out = (dp_ping_request){.folders = folders};
    if (body.n == 0) {
        return DP_PING_PARSED;
    }
    dp_wbxml_read_init(&reader, body.n);
    if (dp_eas_walk(&reader, body, &REQUEST, &p) != DP_WBXML_END
        || reader.offset != body.n) { /* more behind: not a Ping that we know */
        *out = (dp_ping_request){.folders = folders};
        return DP_PING_NOT_OURS;
    }
    return p.is_malformed ? DP_PING_MALFORMED : DP_PING_PARSED;
}

static void write_number(dp_wbxml_writer *w, dp_wbxml_tag tag, uint32_t value)
{
    char digits[NUMBER_MAX];

    snprintf(digits, sizeof(digits), "%u", (unsigned)value);
    dp_wbxml_write_leaf(w, tag, dp_span_str(digits));
}

static size_t written(const dp_wbxml_writer *w)
{
    return dp_wbxml_write_is_ok(w) ? w->n : 0;
}

static void write_folders(dp_wbxml_writer *w, const dp_ping_folder *folders,
                          size_t n)
{
    dp_wbxml_write_open(w, PING(Folders));
    for (size_t i = 0; i < n; i++) {
        dp_wbxml_write_open(w, PING(Folder));
        dp_wbxml_write_leaf(w, PING(Id), folders[i].id);
        if (folders[i].class_name.n > 0) {
            dp_wbxml_write_leaf(w, PING(Class), folders[i].class_name);
        }
        dp_wbxml_write_close(w);
    }
    dp_wbxml_write_close(w);
}

size_t dp_ping_request_write(unsigned char *buf, size_t cap,
                             uint32_t heartbeat_s,
                             const dp_ping_folder *folders, size_t folders_n)
{
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, cap);
    if (heartbeat_s == 0 && folders_n == 0) {
        dp_wbxml_write_empty(&w, PING(Ping));
        return written(&w);
    }
    dp_wbxml_write_open(&w, PING(Ping));
    if (heartbeat_s > 0) {
        write_number(&w, PING(HeartbeatInterval), heartbeat_s);
    }
    if (folders_n > 0) {
        write_folders(&w, folders, folders_n);
    }
    dp_wbxml_write_close(&w);
    return written(&w);
}

/* ---- responses ---- */

size_t dp_ping_response_write(unsigned char *buf, size_t cap, unsigned status,
                              const dp_span *ids, size_t ids_n, uint32_t value)
{
    dp_wbxml_writer w;

    dp_wbxml_write_init(&w, buf, cap);
    dp_wbxml_write_open(&w, PING(Ping));
    write_number(&w, PING(Status), status);
    if (status == DP_PING_CHANGES && ids_n > 0) {
        dp_wbxml_write_open(&w, PING(Folders));
        for (size_t i = 0; i < ids_n; i++) {
            dp_wbxml_write_leaf(&w, PING(Folder), ids[i]);
        }
        dp_wbxml_write_close(&w);
    }
    else if (status == DP_PING_HEARTBEAT) {
        write_number(&w, PING(HeartbeatInterval), value);
    }
    else if (status == DP_PING_FOLDERS) {
        write_number(&w, PING(MaxFolders), value);
    }
    dp_wbxml_write_close(&w);
    return written(&w);
}

enum response_field { RESP_STATUS = 1, RESP_FOLDER, RESP_VALUE };

static const dp_eas_path RESPONSE_PATHS[] = {
    DP_EAS_PATH(RESP_STATUS, PING(Status)),
    DP_EAS_PATH(RESP_FOLDER, PING(Folders), PING(Folder)),
    DP_EAS_PATH(RESP_VALUE, PING(HeartbeatInterval)),
    DP_EAS_PATH(RESP_VALUE, PING(MaxFolders)),
};

static void response_open(void *parser, int field)
{
    dp_ping_response *p = parser;

    p->text_n = 0;
    p->text_is_long = false;
}

static void response_text(void *parser, int field, dp_span piece)
{
    dp_ping_response *p = parser;

    dp_eas_text_add(p->text, DP_COLLECTION_ID_MAX, &p->text_n, &p->text_is_long,
                    piece);
}

static void response_close(void *parser, int field)
{
    dp_ping_response *p = parser;
    uint32_t number = 0;

    if (field == RESP_FOLDER) {
        p->folders_n++;
        if (p->on_folder && p->text_n > 0 && !p->text_is_long) {
            p->on_folder(p->ctx, dp_span_of(p->text, p->text_n));
        }
        return;
    }
    if (!p->text_is_long) {
        dp_eas_number(p->text, p->text_n, &number);
    }
    if (field == RESP_STATUS) {
        p->status = number;
    }
    else {
        p->value = number;
    }
}

static const dp_eas_grammar RESPONSE = {
    .paths = RESPONSE_PATHS,
    .paths_n = sizeof(RESPONSE_PATHS) / sizeof(RESPONSE_PATHS[0]),
    .on_root = request_root,
    .on_open = response_open,
    .on_text = response_text,
    .on_close = response_close,
};

void dp_ping_response_init(dp_ping_response *p,
                           void (*on_folder)(void *ctx, dp_span id), void *ctx)
{
    *p = (dp_ping_response){.on_folder = on_folder, .ctx = ctx};
    dp_wbxml_read_init(&p->reader, UINT64_MAX);
}

bool dp_ping_response_feed(dp_ping_response *p, dp_span chunk)
{
    dp_wbxml_event event;

    if (p->is_bad || p->is_whole) {
        return !p->is_bad;
    }
    event = dp_eas_walk(&p->reader, chunk, &RESPONSE, p);
    p->is_whole = event == DP_WBXML_END;
    p->is_bad = event == DP_WBXML_BAD;
    return !p->is_bad;
}
