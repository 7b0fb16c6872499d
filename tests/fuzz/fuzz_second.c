/* fuzz_second: our WBXML reader against libwbxml, both ways.
 *
 * What we take as a whole document libwbxml takes as well, and sees the same
 * elements and texts. What we refuse and libwbxml takes is one of the things
 * that WBXML has and [MS-ASWBXML] 2.1 does not, each by the byte that we
 * stopped at. libwbxml runs in a process of its own (wbxml_second): when that
 * dies the document counts for nothing, and another one is started.
 */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz_same.h"
#include "wire/wbxml_read.h"
#include "wire/wbxml_tokens.h"

#define DOCUMENT_MAX (1 << 16) /* of wbxml_second */

const char fuzz_also[] = "folders items move ping sync wbxml ";

/* --- what is known of names */

static const struct page {
    unsigned number;
    const char *name;
} pages[] = {
#define DP_PAGE(number, page, name) {number, name},
#define DP_TOKEN(page, token, name)
#include "wire/wbxml_tokens.def"
#undef DP_PAGE
#undef DP_TOKEN
};

static const struct token {
    dp_wbxml_tag tag;
    const char *name;
} tokens[] = {
#define DP_PAGE(number, page, name)
#define DP_TOKEN(page, token, name) {DP_WBXML_TAG(DP_PAGE_##page, token), #name},
#include "wire/wbxml_tokens.def"
#undef DP_PAGE
#undef DP_TOKEN
};

typedef enum peculiar { OTHER, LACKS, BASE64 } peculiar;

static const struct peculiarity {
    unsigned page;
    const char *ours, *theirs;
    peculiar kind;
} peculiarities[] = {
#define DP_OTHER(page, ours, theirs) {page, ours, theirs, OTHER},
#define DP_LACKS(page, ours)         {page, ours, "unknown", LACKS},
#define DP_BASE64(page, ours)        {page, ours, ours, BASE64},
#include "second_names.def"
};

#define COUNT(list) (sizeof(list) / sizeof(list[0]))

static const char *our_name(dp_wbxml_tag tag)
{
    for (size_t i = 0; i < COUNT(tokens); i++) {
        if (tokens[i].tag == tag) {
            return tokens[i].name;
        }
    }
    return NULL;
}

static const struct peculiarity *peculiarity_of(dp_wbxml_tag tag)
{
    const char *name = our_name(tag);
    for (size_t i = 0; name && i < COUNT(peculiarities); i++) {
        if (peculiarities[i].page == tag >> 8
            && strcmp(peculiarities[i].ours, name) == 0) {
            return &peculiarities[i];
        }
    }
    return NULL;
}

/* @return NULL: we have no name for it, it may have any */
static const char *their_name(dp_wbxml_tag tag)
{
    const struct peculiarity *p = peculiarity_of(tag);
    return p ? p->theirs : our_name(tag);
}

static bool is_base64(dp_wbxml_tag tag)
{
    const struct peculiarity *p = peculiarity_of(tag);
    return p && p->kind == BASE64;
}

static const char *page_name(dp_wbxml_tag tag)
{
    for (size_t i = 0; i < COUNT(pages); i++) {
        if (pages[i].number == tag >> 8) {
            return pages[i].name;
        }
    }
    return "";
}

/* --- the other process */

static struct {
    pid_t pid;
    int in, out; /* our ends */
    uint64_t compared, both_refused, known, died;
} second;

static void say_counts(void)
{
    fprintf(stderr,
            "libwbxml: %llu documents the same, %llu refused by both, %llu "
            "that only it takes, died %llu times\n",
            (unsigned long long)second.compared,
            (unsigned long long)second.both_refused,
            (unsigned long long)second.known,
            (unsigned long long)second.died);
}

static void start(void)
{
    int to[2], from[2];
    char *argv[] = {(char *)"wbxml_second", NULL}, *none[] = {NULL};
    posix_spawn_file_actions_t actions;
    DP_ASSERT(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
                                     O_WRONLY, 0);
    int rv = posix_spawn(&second.pid, WBXML_SECOND, &actions, NULL, argv, none);
    posix_spawn_file_actions_destroy(&actions);
    if (rv != 0) {
        fprintf(stderr, "%s: %s\n", WBXML_SECOND, strerror(rv));
        exit(1);
    }
    close(to[0]);
    close(from[1]);
    second.in = to[1];
    second.out = from[0];
}

static void stop(void)
{
    close(second.in);
    close(second.out);
    waitpid(second.pid, NULL, 0);
    second.pid = 0;
}

static bool all(ssize_t (*io)(int, void *, size_t), int fd, void *p, size_t n)
{
    while (n > 0) {
        ssize_t got = io(fd, p, n);
        if (got <= 0) {
            return false;
        }
        p = (char *)p + got;
        n -= (size_t)got;
    }
    return true;
}

static ssize_t write_some(int fd, void *p, size_t n)
{
    return write(fd, p, n);
}

/* @return false: it died; *out NULL: it refused */
static bool ask_second(const uint8_t *data, size_t size, char **out,
                       size_t *out_n)
{
    uint32_t n = (uint32_t)size;
    if (!second.pid) {
        signal(SIGPIPE, SIG_IGN);
        if (!second.compared && !second.died) {
            atexit(say_counts);
        }
        start();
    }
    *out = NULL;
    *out_n = 0;
    if (!all(write_some, second.in, &n, sizeof(n))
        || !all(write_some, second.in, (void *)(uintptr_t)data, size)
        || !all(read, second.out, &n, sizeof(n))) {
        return false;
    }
    if (n == UINT32_MAX) {
        return true;
    }
    *out = malloc(n + 1);
    *out_n = n;
    (*out)[n] = '\0';
    return all(read, second.out, *out, n);
}

/* --- their XML, as the same events */

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

/* --- ours, with texts joined */

typedef struct ours {
    dp_wbxml_reader reader;
    dp_wbxml_event held; /* read already; MORE: none */
    dp_wbxml_tag tag;    /* the open element */
    unsigned char text[2 * DOCUMENT_MAX];
    size_t text_n;
} ours;

static dp_wbxml_event next_of_ours(ours *o)
{
    dp_wbxml_event e = o->held != DP_WBXML_MORE ? o->held
                                                : dp_wbxml_read_next(&o->reader);
    o->held = DP_WBXML_MORE;
    if (e != DP_WBXML_TEXT) {
        return e;
    }
    o->tag = o->reader.tag;
    o->text_n = 0;
    while (e == DP_WBXML_TEXT) {
        memcpy(o->text + o->text_n, o->reader.text.p, o->reader.text.n);
        o->text_n += o->reader.text.n;
        e = dp_wbxml_read_next(&o->reader);
    }
    o->held = e;
    return DP_WBXML_TEXT;
}

static size_t to_base64(unsigned char *out, dp_span in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
                                 "rstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < in.n; i += 3) {
        size_t left = in.n - i;
        uint32_t bits = (uint32_t)in.p[i] << 16;
        bits |= left > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
        bits |= left > 2 ? in.p[i + 2] : 0;
        for (unsigned k = 0; k < 4; k++) {
            out[n++] = k <= left ? (unsigned char)digits[bits >> (18 - 6 * k)
                                                         & 63]
                                 : '=';
        }
    }
    return n;
}

static void compare_text(const ours *o, const xml *x)
{
    static unsigned char encoded[4 * DOCUMENT_MAX];
    dp_span ours = dp_span_of(o->text, o->text_n);
    dp_span theirs = dp_span_of(x->text, x->text_n);
    /* of an element with children the texts behind them are as they are; and
     * there are binary ones among those that we do not name */
    if ((is_base64(o->tag) || !our_name(o->tag))
        && !dp_span_is(ours, theirs)) {
        ours = dp_span_of(encoded, to_base64(encoded, ours));
    }
    if (!dp_span_is(ours, theirs)) {
        fprintf(stderr, "ours:   %.*s\ntheirs: %.*s\n", (int)ours.n, ours.p,
                (int)theirs.n, theirs.p);
        DP_ASSERT(!"the same text");
    }
}

static void compare_element(dp_wbxml_tag tag, const xml *x)
{
    const char *name = their_name(tag);
    dp_span page = x->page[x->depth];
    if (!name) {
        return;
    }
    DP_ASSERT(dp_span_is(dp_span_str(name), x->name));
    if (!x->is_strange[x->depth]) { /* of those it knows no page either */
        page.n -= page.n && page.p[page.n - 1] == ':';
        DP_ASSERT(dp_span_is(dp_span_str(page_name(tag)), page));
    }
}

static void compare(const uint8_t *data, size_t size, const char *text,
                    size_t n)
{
    static xml x;
    static ours o;
    dp_wbxml_event mine, theirs;
    x.at = text;
    x.end = text + n;
    x.closes = false;
    x.depth = 0;
    o.held = DP_WBXML_MORE;
    dp_wbxml_read_init(&o.reader, UINT64_MAX);
    dp_wbxml_read_feed(&o.reader, dp_span_of(data, size));
    skip_prolog(&x);
    do {
        mine = next_of_ours(&o);
        theirs = next_of_xml(&x);
        DP_ASSERT(mine == theirs);
        if (mine == DP_WBXML_OPEN) {
            compare_element(o.reader.tag, &x);
        }
        else if (mine == DP_WBXML_TEXT) {
            compare_text(&o, &x);
        }
    } while (mine != DP_WBXML_END);
}

/* --- what only libwbxml takes */

static const char *why_of_token(const dp_wbxml_reader *r, unsigned char byte)
{
    switch (byte) {
    case 0x01: return "END without an element";
    case 0x02: return "ENTITY";
    case 0x03: case 0xC3: return "text without an element";
    case 0x04: case 0x44: case 0x84: case 0xC4: return "LITERAL";
    case 0x40: case 0x41: case 0x42: case 0x80: case 0x81: case 0x82:
    case 0xC0: case 0xC1: case 0xC2: return "EXT";
    case 0x43: return "PI";
    case 0x83: return "STR_T";
    }
    return byte & DP_WBXML_HAS_ATTRIBUTES       ? "attributes"
           : r->depth == DP_WBXML_DEPTH_MAX ? "too deep for us"
                                            : NULL;
}

/* Where we stopped. @return NULL: it has to be refused by both. After END:
 * *out_rest has what we do not read. */
static const char *why_refused(const uint8_t *data, size_t size,
                               dp_wbxml_event *out_last, dp_span *out_rest)
{
    static const char *const header[] = {"another version", "another public id",
                                         "another charset", "a string table"};
    dp_wbxml_reader r;
    dp_wbxml_read_init(&r, UINT64_MAX);
    dp_wbxml_read_feed(&r, dp_span_of(data, size));
    do {
        *out_last = dp_wbxml_read_next(&r);
    } while (*out_last == DP_WBXML_OPEN || *out_last == DP_WBXML_TEXT
             || *out_last == DP_WBXML_CLOSE);
    *out_rest = dp_span_of(data + r.offset, size - r.offset);
    if (*out_last != DP_WBXML_BAD) {
        return NULL;
    }
    DP_ASSERT(r.offset < size);
    return r.offset < COUNT(header) ? header[r.offset]
                                    : why_of_token(&r, data[r.offset]);
}

/* libwbxml 0.11.8 knows one SWITCH_PAGE before the root; the next one it takes
 * for an empty root of unknown name, and reads no further. */
static bool switches_twice_before_root(const uint8_t *data, size_t size)
{
    return size > 6 && data[4] == DP_WBXML_SWITCH_PAGE
           && data[6] == DP_WBXML_SWITCH_PAGE;
}

/* `Data` two levels below `Add` or `Replace` it takes for SyncML's, and puts
 * all that is in it, elements too, into CDATA. */
static bool has_syncml_data(const char *text, size_t n)
{
    return memmem(text, n, "<![CDATA[", 9) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;
    size_t n;
    dp_wbxml_event last;
    dp_span rest;
    if (size > DOCUMENT_MAX || switches_twice_before_root(data, size)) {
        return 0;
    }
    if (!ask_second(data, size, &text, &n)) {
        free(text);
        second.died++;
        stop();
        return 0;
    }
    const char *why = why_refused(data, size, &last, &rest);
    if (last == DP_WBXML_END) {
        /* it reads PIs behind the root, and may not like them */
        bool has_pi = rest.n && rest.p[0] == 0x43;
        DP_ASSERT((text || has_pi) && "we take it, libwbxml does not");
        if (text && !has_syncml_data(text, n)) {
            compare(data, size, text, n);
            second.compared++;
        }
    }
    else {
        DP_ASSERT((!text || why) && "we refuse it, libwbxml takes it");
        second.known += text != NULL;
        second.both_refused += text == NULL;
    }
    free(text);
    return 0;
}
