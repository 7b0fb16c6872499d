/* wbxml_dump: a WBXML body as a tree, by our own reader; for tests only.
 *
 *     wbxml_dump          every token that we name: PAGE TOKEN PageName Name
 *     wbxml_dump FILE     one line for each element: depth, page, token, name
 *                         and its own text, percent-encoded; exit 1 when bad
 *
 * Fields are separated by tabs, numbers are decimal. Unknown names are `?`.
 */
#include <stdio.h>
#include <stdlib.h>

#include "wire/wbxml_read.h"
#include "wire/wbxml_tokens.h"

static const char *const PAGES[] = {
#define DP_PAGE(number, page, name) [number] = name,
#define DP_TOKEN(page, token, name)
#include "wire/wbxml_tokens.def"
#undef DP_PAGE
#undef DP_TOKEN
};

static const struct token {
    unsigned page, code;
    const char *name;
} TOKENS[] = {
#define DP_PAGE(number, page, name)
#define DP_TOKEN(page, token, name) {DP_PAGE_##page, token, #name},
#include "wire/wbxml_tokens.def"
#undef DP_PAGE
#undef DP_TOKEN
};

#define TOKENS_N (sizeof(TOKENS) / sizeof(TOKENS[0]))

static const char *name_of(unsigned page, unsigned code)
{
    for (size_t i = 0; i < TOKENS_N; i++) {
        if (TOKENS[i].page == page && TOKENS[i].code == code) {
            return TOKENS[i].name;
        }
    }
    return "?";
}

static void print_tokens(void)
{
    for (size_t i = 0; i < TOKENS_N; i++) {
        printf("%u\t%u\t%s\t%s\n", TOKENS[i].page, TOKENS[i].code,
               PAGES[TOKENS[i].page], TOKENS[i].name);
    }
}

static void print_text(dp_span text)
{
    for (size_t i = 0; i < text.n; i++) {
        printf("%%%02x", text.p[i]);
    }
}

static void print_element(unsigned depth, dp_wbxml_tag tag)
{
    unsigned page = tag >> 8, code = tag & 0xFF;

    printf("%u\t%u\t%u\t%s\t", depth, page, code, name_of(page, code));
}

/** Text after a child would belong to two lines: no ActiveSync document has
 *  any, so it is refused. */
static dp_wbxml_event print_tree(dp_span body)
{
    dp_wbxml_reader r;
    dp_wbxml_event event;
    bool is_line_open = false;

    dp_wbxml_read_init(&r, UINT64_MAX);
    dp_wbxml_read_feed(&r, body);
    for (;;) {
        event = dp_wbxml_read_next(&r);
        if (event == DP_WBXML_TEXT && is_line_open) {
            print_text(r.text);
            continue;
        }
        if (is_line_open) {
            putchar('\n');
        }
        is_line_open = event == DP_WBXML_OPEN;
        if (event == DP_WBXML_OPEN) {
            print_element(r.depth, r.tag);
        }
        else if (event != DP_WBXML_CLOSE) {
            return event;
        }
    }
}

int main(int argc, char **argv)
{
    static unsigned char buf[1 << 20];
    FILE *file;
    size_t n;

    if (argc < 2) {
        print_tokens();
        return 0;
    }
    file = fopen(argv[1], "rb");
    if (!file) {
        perror(argv[1]);
        return 1;
    }
    n = fread(buf, 1, sizeof(buf), file);
    fclose(file);
    if (print_tree(dp_span_of(buf, n)) != DP_WBXML_END) {
        fprintf(stderr, "%s: not a whole document\n", argv[1]);
        return 1;
    }
    return 0;
}
