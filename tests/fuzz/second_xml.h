/* second_xml: the XML that libwbxml makes of a WBXML document, as the events of
 * our own reader. It is no XML reader: text has every byte that the document
 * had, and what libwbxml does not write ends in an assertion. */
#ifndef SECOND_XML_H
#define SECOND_XML_H

#include "fuzz_same.h"
#include "wire/wbxml_read.h"

#define DOCUMENT_MAX (1 << 16) /* of wbxml_second */
#define COUNT(list)  (sizeof(list) / sizeof(list[0]))

typedef struct xml {
    const char *at, *end;
    bool closes; /* the element that was just opened is empty */
    unsigned depth;
    dp_span page[64]; /* namespace of each open element */
    bool is_strange[64]; /* it is below one that has no name */
    dp_span name;
    unsigned char text[8 * DOCUMENT_MAX];
    size_t text_n;
} xml;

static bool is_at(const xml *x, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(x->end - x->at) >= n && memcmp(x->at, word, n) == 0;
}

static bool skips(xml *x, const char *word)
{
    if (!is_at(x, word)) {
        return false;
    }
    x->at += strlen(word);
    return true;
}

static dp_span until(xml *x, const char *stops)
{
    const char *from = x->at;
    while (x->at < x->end && (!*x->at || !strchr(stops, *x->at))) {
        x->at++;
    }
    return dp_span_of(from, (size_t)(x->at - from));
}

static void skip_prolog(xml *x)
{
    while (skips(x, "<?") || skips(x, "<!")) {
        until(x, ">");
        DP_ASSERT(skips(x, ">"));
    }
}

static dp_wbxml_event open_element(xml *x)
{
    x->name = until(x, " />");
    DP_ASSERT(x->depth + 1 < COUNT(x->page));
    x->depth++;
    x->page[x->depth] = x->page[x->depth - 1];
    x->is_strange[x->depth] = x->is_strange[x->depth - 1]
                              || dp_span_is(x->name, DP_SPAN_LIT("unknown"));
    while (skips(x, " xmlns=\"")) {
        x->page[x->depth] = until(x, "\"");
        skips(x, "\"");
    }
    x->closes = skips(x, "/");
    DP_ASSERT(skips(x, ">"));
    return DP_WBXML_OPEN;
}

static void put(xml *x, char c)
{
    DP_ASSERT(x->text_n < sizeof(x->text));
    x->text[x->text_n++] = (unsigned char)c;
}

static void take_text(xml *x)
{
    static const struct {
        const char *entity;
        char c;
    } entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'},
                    {"&quot;", '"'}, {"&apos;", '\''}};
    x->text_n = 0;
    while (x->at < x->end && *x->at != '<') {
        size_t i = 0;
        while (i < COUNT(entities) && !skips(x, entities[i].entity)) {
            i++;
        }
        put(x, i < COUNT(entities) ? entities[i].c : *x->at++);
    }
}

static dp_wbxml_event next_of_xml(xml *x)
{
    if (x->closes || skips(x, "</")) {
        if (!x->closes) {
            until(x, ">");
            DP_ASSERT(skips(x, ">"));
        }
        x->closes = false;
        DP_ASSERT(x->depth-- > 0);
        return DP_WBXML_CLOSE;
    }
    if (x->at == x->end) {
        return DP_WBXML_END;
    }
    if (skips(x, "<")) {
        return open_element(x);
    }
    take_text(x);
    return DP_WBXML_TEXT;
}

#endif
