/* eas_move: see the header. */
#include "wire/eas_move.h"

#include "wire/eas_walk.h"
#include "wire/wbxml_tokens.h"

#define MV(name) DP_TAG_MOVE_##name

#define STATUS_MOVED 3 /* [MS-ASCMD], Status (MoveItems) */

enum field { MOVE = 1, FROM, TO, STATUS };

static const dp_eas_path PATHS[] = {
    DP_EAS_PATH(MOVE, MV(Move)),
    DP_EAS_PATH(FROM, MV(Move), MV(SrcFldId)),
    DP_EAS_PATH(TO, MV(Move), MV(DstFldId)),
    DP_EAS_PATH(STATUS, MV(Response), MV(Status)),
};

static bool on_root(void *parser, dp_wbxml_tag root)
{
    return root == MV(MoveItems);
}

static void on_open(void *parser, int field)
{
    dp_move_parser *p = parser;

    p->text_n = 0;
    p->text_is_long = false;
    if (field == MOVE) {
        p->from_n = 0;
        p->to_n = 0;
    }
}

static void on_text(void *parser, int field, dp_span piece)
{
    dp_move_parser *p = parser;

    dp_eas_text_add(p->text, sizeof(p->text), &p->text_n, &p->text_is_long,
                    piece);
}

/** What is too long is left empty: as if it had not been named. */
static void keep(const dp_move_parser *p, char *buf, size_t *n)
{
    *n = p->text_is_long ? 0 : p->text_n;
    memcpy(buf, p->text, *n);
}

static void on_close(void *parser, int field)
{
    dp_move_parser *p = parser;
    uint32_t status = 0;

    switch (field) {
    case FROM:
        keep(p, p->from, &p->from_n);
        break;
    case TO:
        keep(p, p->to, &p->to_n);
        break;
    case STATUS:
        if (!p->text_is_long && dp_eas_number(p->text, p->text_n, &status) &&
            status == STATUS_MOVED) {
            p->moved_n++;
        }
        break;
    default: /* MOVE */
        if (p->on_move) {
            p->on_move(p->ctx, dp_span_of(p->from, p->from_n),
                       dp_span_of(p->to, p->to_n));
        }
        break;
    }
}

static const dp_eas_grammar GRAMMAR = {
    .paths = PATHS,
    .paths_n = sizeof(PATHS) / sizeof(PATHS[0]),
    .on_root = on_root,
    .on_open = on_open,
    .on_text = on_text,
    .on_close = on_close,
};

void dp_move_init(dp_move_parser *p,
                  void (*on_move)(void *ctx, dp_span from, dp_span to),
                  void *ctx)
{
    *p = (dp_move_parser){.on_move = on_move, .ctx = ctx};
    dp_wbxml_read_init(&p->reader, UINT64_MAX);
}

bool dp_move_feed(dp_move_parser *p, dp_span chunk)
{
    dp_wbxml_event event;

    if (p->is_bad || p->is_whole) {
        return !p->is_bad;
    }
    event = dp_eas_walk(&p->reader, chunk, &GRAMMAR, p);
    p->is_whole = event == DP_WBXML_END;
    p->is_bad = event == DP_WBXML_BAD;
    return !p->is_bad;
}
