/* eas_walk: see the header. */
#include "wire/eas_walk.h"

/** @return the field of the element that is open innermost, or 0 */
static int field_here(const dp_wbxml_reader *r, const dp_eas_grammar *g)
{
    unsigned below_root = r->depth - 1;

    if (below_root == 0 || below_root > DP_EAS_PATH_MAX) {
        return 0;
    }
    for (size_t i = 0; i < g->paths_n; i++) {
        const dp_eas_path *path = &g->paths[i];

        if (path->n == below_root &&
            memcmp(path->tags, r->stack + 1,
                   below_root * sizeof(dp_wbxml_tag)) == 0) {
            return path->field;
        }
    }
    return 0;
}

dp_wbxml_event dp_eas_walk(dp_wbxml_reader *r, dp_span chunk,
                           const dp_eas_grammar *g, void *parser)
{
    dp_wbxml_event event;
    int field;

    dp_wbxml_read_feed(r, chunk);
    for (;;) {
        event = dp_wbxml_read_next(r);
        if (event == DP_WBXML_MORE || event == DP_WBXML_END ||
            event == DP_WBXML_BAD) {
            return event;
        }
        if (event == DP_WBXML_OPEN && r->depth == 1 &&
            !g->on_root(parser, r->tag)) {
            return DP_WBXML_BAD;
        }
        field = field_here(r, g);
        if (field == 0) {
            continue;
        }
        if (event == DP_WBXML_OPEN) {
            g->on_open(parser, field);
        }
        else if (event == DP_WBXML_TEXT) {
            g->on_text(parser, field, r->text);
        }
        else {
            g->on_close(parser, field);
        }
    }
}

void dp_eas_text_add(char *buf, size_t cap, size_t *n, bool *is_long,
                     dp_span piece)
{
    if (*is_long || piece.n > cap - *n) {
        *is_long = true;
        return;
    }
    memcpy(buf + *n, piece.p, piece.n);
    *n += piece.n;
}

bool dp_eas_number(const char *text, size_t n, uint32_t *out)
{
    uint64_t value = 0;

    *out = 0;
    if (n == 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (value > UINT32_MAX) {
            return false;
        }
    }
    *out = (uint32_t)value;
    return true;
}
