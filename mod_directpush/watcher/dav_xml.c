#include "watcher/dav_xml.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>

#include "base/dp_check.h"
#include "bus/topic_name.h"

#define DEPTH_MAX 32
#define DAV_NS    "DAV:"
#define CS_NS     "http://calendarserver.org/ns/"

typedef struct reading {
    xmlParserCtxtPtr parser;
    const char *wrong;
    dp_dav_each *each;
    void *ctx;
    char *out_token;
    int depth;
    bool is_multistatus, in_response, in_propstat, in_type, in_data, is_stopped;
    bool is_bad; /* the propstat's status is not 2xx */
    unsigned responses_n;
    dp_dav_response all, part; /* the response; the propstat being read */
    char text[DP_DAV_TEXT_MAX];
    size_t text_n;
    char line[16]; /* how one of calendar-data begins */
    size_t line_n;
} reading;

static void stop(reading *r, const char *why)
{
    if (!r->wrong) {
        r->wrong = why;
    }
    r->is_stopped = true;
    xmlStopParser(r->parser);
}

static bool is(const xmlChar *a, const char *b)
{
    return a && strcmp((const char *)a, b) == 0;
}

static void note_type(dp_dav_response *p, const xmlChar *name)
{
    p->is_calendar |= is(name, "calendar");
    p->is_addressbook |= is(name, "addressbook");
    /* GroupDAV's, as SOGo says them */
    p->kinds |= is(name, "vevent-collection")  ? DP_DAV_EVENTS
                : is(name, "vtodo-collection") ? DP_DAV_TASKS
                : is(name, "addressbook") || is(name, "vcard-collection")
                    ? DP_DAV_CONTACTS
                    : 0;
}

static void note_component(dp_dav_response *p, int n, const xmlChar **a)
{
    for (int i = 0; i < n; i++) { /* name, prefix, URI, value, end */
        const xmlChar *value = a[i * 5 + 3];
        ptrdiff_t len = a[i * 5 + 4] - value;
        if (is(a[i * 5], "name") && len == 6
            && memcmp(value, "VEVENT", 6) == 0) {
            p->kinds |= DP_DAV_EVENTS;
        }
        else if (is(a[i * 5], "name") && len == 5
                 && memcmp(value, "VTODO", 5) == 0) {
            p->kinds |= DP_DAV_TASKS;
        }
    }
}

/* Of an item only what it is. */
static void end_line(reading *r)
{
    if (r->line_n == 12 && memcmp(r->line, "BEGIN:VEVENT", 12) == 0) {
        r->part.kinds |= DP_DAV_EVENTS;
    }
    else if (r->line_n == 11 && memcmp(r->line, "BEGIN:VTODO", 11) == 0) {
        r->part.kinds |= DP_DAV_TASKS;
    }
    r->line_n = 0;
}

static void read_data(reading *r, const xmlChar *text, int n)
{
    for (int i = 0; i < n; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            end_line(r);
        }
        else if (r->line_n < sizeof(r->line)) {
            r->line[r->line_n++] = (char)text[i];
        }
    }
}

/* Inside a response. */
static void started_inside(reading *r, const xmlChar *name, bool is_dav,
                           int attributes_n, const xmlChar **attributes)
{
    if (is_dav && is(name, "propstat")) {
        r->in_propstat = true;
        r->is_bad = false;
        memset(&r->part, 0, sizeof(r->part));
    }
    else if (is_dav && r->in_propstat && is(name, "resourcetype")) {
        r->in_type = true;
    }
    else if (r->in_type) {
        note_type(&r->part, name);
    }
    else if (r->in_propstat && is(name, "comp")) {
        note_component(&r->part, attributes_n, attributes);
    }
    else if (r->in_propstat && is(name, "calendar-data")) {
        r->in_data = true;
        r->line_n = 0;
    }
}

static void started(void *ctx, const xmlChar *name, const xmlChar *prefix,
                    const xmlChar *uri, int ns_n, const xmlChar **ns,
                    int attributes_n, int defaulted_n, const xmlChar **a)
{
    reading *r = ctx;
    bool is_dav = is(uri, DAV_NS);
    if (r->is_stopped) {
        return;
    }
    r->text_n = 0;
    if (++r->depth > DEPTH_MAX) {
        stop(r, "it is nested too deep");
    }
    else if (r->depth == 1) {
        r->is_multistatus = is_dav && is(name, "multistatus");
        if (!r->is_multistatus) {
            stop(r, "it is no DAV multistatus");
        }
    }
    else if (is_dav && r->depth == 2 && is(name, "response")) {
        r->in_response = true;
        memset(&r->all, 0, sizeof(r->all));
        if (++r->responses_n > DP_DAV_RESPONSES_MAX) {
            stop(r, "it has too many responses");
        }
    }
    else if (r->in_response) {
        started_inside(r, name, is_dav, attributes_n, a);
    }
}

static int status_of(const char *line)
{
    const char *at = strchr(line, ' ');
    return strncmp(line, "HTTP/", 5) == 0 && at ? atoi(at + 1) : 0;
}

static void keep(char *to, const char *text)
{
    memcpy(to, text, strlen(text) + 1);
}

static void end_propstat(reading *r)
{
    r->in_propstat = false;
    if (r->is_bad) {
        return;
    }
    r->all.kinds |= r->part.kinds;
    r->all.is_calendar |= r->part.is_calendar;
    r->all.is_addressbook |= r->part.is_addressbook;
    if (*r->part.ctag) {
        keep(r->all.ctag, r->part.ctag);
    }
    if (*r->part.token) {
        keep(r->all.token, r->part.token);
    }
    if (*r->part.etag) {
        keep(r->all.etag, r->part.etag);
    }
}

static void end_text(reading *r, const xmlChar *name, const xmlChar *uri)
{
    bool is_dav = is(uri, DAV_NS);
    if (r->in_propstat) {
        if (is_dav && is(name, "status")) {
            r->is_bad = status_of(r->text) / 100 != 2;
        }
        else if (is_dav && is(name, "sync-token")) {
            keep(r->part.token, r->text);
        }
        else if (is_dav && is(name, "getetag")) {
            keep(r->part.etag, r->text);
        }
        else if (is(uri, CS_NS) && is(name, "getctag")) {
            keep(r->part.ctag, r->text);
        }
    }
    else if (r->in_response && is_dav && is(name, "href")) {
        keep(r->all.href, r->text);
    }
    else if (r->in_response && is_dav && is(name, "status")) {
        r->all.status = status_of(r->text);
    }
    else if (r->depth == 2 && is_dav && is(name, "sync-token")
             && r->out_token) {
        keep(r->out_token, r->text);
    }
}

static void trim(reading *r)
{
    size_t from = strspn(r->text, " \t\r\n");
    while (r->text_n > from && strchr(" \t\r\n", r->text[r->text_n - 1])) {
        r->text_n--;
    }
    memmove(r->text, r->text + from, r->text_n - from);
    r->text[r->text_n - from] = '\0';
}

static void ended(void *ctx, const xmlChar *name, const xmlChar *prefix,
                  const xmlChar *uri)
{
    reading *r = ctx;
    bool is_dav = is(uri, DAV_NS);
    if (r->is_stopped) {
        return;
    }
    r->text[r->text_n] = '\0';
    trim(r);
    if (r->in_type && is_dav && is(name, "resourcetype")) {
        r->in_type = false;
    }
    else if (r->in_data && is(name, "calendar-data")) {
        end_line(r);
        r->in_data = false;
    }
    else if (is_dav && r->in_propstat && is(name, "propstat")) {
        end_propstat(r);
    }
    else if (r->depth == 2 && r->in_response) {
        r->in_response = r->in_propstat = r->in_type = r->in_data = false;
        if (!r->each(r->ctx, &r->all)) {
            stop(r, "it was not read to its end");
        }
    }
    else {
        end_text(r, name, uri);
    }
    r->text_n = 0;
    r->depth--;
}

static void characters(void *ctx, const xmlChar *text, int n)
{
    reading *r = ctx;
    if (r->is_stopped) {
        return;
    }
    if (r->in_data) {
        read_data(r, text, n);
        return;
    }
    if ((size_t)n >= sizeof(r->text) - r->text_n) {
        stop(r, "it has a text that is too long");
        return;
    }
    memcpy(r->text + r->text_n, text, (size_t)n);
    r->text_n += (size_t)n;
}

/* Entities need one, bombs too; no DAV server sends one. */
static void doctype(void *ctx, const xmlChar *name, const xmlChar *external,
                    const xmlChar *system)
{
    stop(ctx, "it has a document type declaration");
}

static void no_words(void *ctx, const char *format, ...)
{
}

const char *dp_dav_read(const char *bytes, size_t n, dp_dav_each *each,
                        void *ctx, char *out_token)
{
    xmlSAXHandler sax = {
        .initialized = XML_SAX2_MAGIC,
        .startElementNs = started,
        .endElementNs = ended,
        .characters = characters,
        .cdataBlock = characters,
        .internalSubset = doctype,
        .error = no_words,
        .warning = no_words,
    };
    if (out_token) {
        out_token[0] = '\0';
    }
    if (n == 0 || n > INT_MAX) {
        return n ? "it is too long" : "it is empty";
    }
    reading *r = calloc(1, sizeof(*r));
    DP_ASSERT(r);
    r->each = each;
    r->ctx = ctx;
    r->out_token = out_token;
    r->parser = xmlCreatePushParserCtxt(&sax, r, NULL, 0, NULL);
    DP_ASSERT(r->parser);
    xmlCtxtUseOptions(r->parser, XML_PARSE_NONET | XML_PARSE_NOERROR
                                     | XML_PARSE_NOWARNING);
    int err = xmlParseChunk(r->parser, bytes, (int)n, 1);
    const char *wrong = r->wrong;
    if (!wrong && (err || !r->is_multistatus)) {
        wrong = "it is no well-formed XML";
    }
    if (r->parser->myDoc) {
        xmlFreeDoc(r->parser->myDoc);
    }
    xmlFreeParserCtxt(r->parser);
    free(r);
    return wrong;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool dp_dav_name_of(const char *href, char *out, size_t cap)
{
    const char *end = href + strcspn(href, "?#");
    size_t n = 0;
    while (end > href && end[-1] == '/') {
        end--;
    }
    const char *at = end;
    while (at > href && at[-1] != '/') {
        at--;
    }
    for (; at < end; at++) {
        char c = *at;
        if (c == '%') {
            int high = end - at < 3 ? -1 : hex(at[1]);
            int low = high < 0 ? -1 : hex(at[2]);
            if (low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            at += 2;
        }
        if (c == '\0' || c == '/' || n + 1 >= cap) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return dp_topic_folder_is_sane(dp_span_of(out, n))
           && strcmp(out, DP_TOPIC_WHOLE_CLASS) != 0;
}
