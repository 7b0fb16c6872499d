/* eas_walk: what the parsers of this folder share.
 *
 * A parser is a list of paths (the elements it cares for, each with all its
 * parents below the root) and three functions. Everything off the list is
 * skipped with its content: the same token on another page, or the same tag at
 * another place, is another element. Internal to wire/. Pure.
 */
#ifndef EAS_WALK_H
#define EAS_WALK_H

#include "wire/wbxml_read.h"

/* Collections, Collection, Responses, Add, Status */
#define DP_EAS_PATH_MAX 5

typedef struct dp_eas_path {
    int field; /* the parser's name for it, not 0 */
    unsigned n;
    dp_wbxml_tag tags[DP_EAS_PATH_MAX]; /* child of the root first */
} dp_eas_path;

#define DP_EAS_PATH(field_, ...)                                               \
    {                                                                          \
        .field = (field_),                                                     \
        .n = sizeof((dp_wbxml_tag[]){__VA_ARGS__}) / sizeof(dp_wbxml_tag),     \
        .tags = {                                                              \
            __VA_ARGS__                                                        \
        }                                                                      \
    }

typedef struct dp_eas_grammar {
    const dp_eas_path *paths;
    size_t paths_n;
    /** @return false when the document is none of ours */
    bool (*on_root)(void *parser, dp_wbxml_tag root);
    void (*on_open)(void *parser, int field);
    void (*on_text)(void *parser, int field, dp_span piece);
    void (*on_close)(void *parser, int field);
} dp_eas_grammar;

/** Read one chunk. @return MORE, END or BAD */
dp_wbxml_event dp_eas_walk(dp_wbxml_reader *r, dp_span chunk,
                           const dp_eas_grammar *g, void *parser);

/** Append a piece of a leaf's text; what does not fit sets *is_long, and then
 *  nothing is appended any more. */
void dp_eas_text_add(char *buf, size_t cap, size_t *n, bool *is_long,
                     dp_span piece);

/** Decimal digits to a number. @return false: empty, something else in it, or
 *  more than 32 bits; *out is 0 then */
bool dp_eas_number(const char *text, size_t n, uint32_t *out);

#endif
