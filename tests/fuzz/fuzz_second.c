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

#include "second_xml.h"
#include "wire/wbxml_tokens.h"

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
#define DP_TOKEN(page, token, name)                                            \
    {DP_WBXML_TAG(DP_PAGE_##page, token), #name},
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

/* --- what only libwbxml takes: why, by the byte that we stopped at */

typedef enum reason {
    NONE, /* it has to be refused by both */
    VERSION, /* of the header: in this order */
    PUBLIC_ID,
    CHARSET,
    STRING_TABLE,
    NO_ELEMENT,
    NOT_EAS_TOKEN,
    ATTRIBUTES,
    DEPTH,
    REASONS_N
} reason;

static const char *const reason_texts[REASONS_N] = {
    [VERSION] = "another version",
    [PUBLIC_ID] = "another public id",
    [CHARSET] = "another charset",
    [STRING_TABLE] = "a string table",
    [NO_ELEMENT] = "END or text outside of the root",
    [NOT_EAS_TOKEN] = "ENTITY, LITERAL, EXT, PI or STR_T",
    [ATTRIBUTES] = "attributes",
    [DEPTH] = "too deep for us",
};

/* --- the other process */

static struct {
    pid_t pid;
    int in, out; /* our ends */
    uint64_t compared, both_refused, died;
    uint64_t known[REASONS_N]; /* only libwbxml took it */
} second;

static void say_counts(void)
{
    fprintf(stderr,
            "libwbxml: %llu documents the same, %llu refused by both, died "
            "%llu times; only libwbxml took",
            (unsigned long long)second.compared,
            (unsigned long long)second.both_refused,
            (unsigned long long)second.died);
    for (int i = NONE + 1; i < REASONS_N; i++) {
        fprintf(stderr, "%s %llu (%s)", i > NONE + 1 ? "," : "",
                (unsigned long long)second.known[i], reason_texts[i]);
    }
    fprintf(stderr, "\n");
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
    dp_wbxml_event e = o->held;
    o->held = DP_WBXML_MORE;
    if (e == DP_WBXML_MORE) {
        e = dp_wbxml_read_next(&o->reader);
    }
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
    dp_span mine = dp_span_of(o->text, o->text_n);
    dp_span theirs = dp_span_of(x->text, x->text_n);
    /* of an element with children the texts behind them are as they are; and
     * there are binary ones among those that we do not name */
    if ((is_base64(o->tag) || !our_name(o->tag))
        && !dp_span_is(mine, theirs)) {
        mine = dp_span_of(encoded, to_base64(encoded, mine));
    }
    if (!dp_span_is(mine, theirs)) {
        fprintf(stderr, "ours:   %.*s\ntheirs: %.*s\n", (int)mine.n, mine.p,
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

static reason reason_of_token(const dp_wbxml_reader *r, unsigned char byte)
{
    unsigned char code = byte & DP_WBXML_TAG_CODE;
    if (byte == DP_WBXML_END_TAG || byte == DP_WBXML_STR_I
        || byte == DP_WBXML_OPAQUE) {
        return NO_ELEMENT;
    }
    if (code < DP_WBXML_TAG_CODE_MIN) {
        return NOT_EAS_TOKEN;
    }
    if (byte & DP_WBXML_HAS_ATTRIBUTES) {
        return ATTRIBUTES;
    }
    return r->depth == DP_WBXML_DEPTH_MAX ? DEPTH : NONE;
}

/* By the byte that we stopped at. *out_rest: what is not read, after END. */
static reason why_refused(const uint8_t *data, size_t size,
                          dp_wbxml_event *out_last, dp_span *out_rest)
{
    dp_wbxml_reader r;
    dp_wbxml_read_init(&r, UINT64_MAX);
    dp_wbxml_read_feed(&r, dp_span_of(data, size));
    do {
        *out_last = dp_wbxml_read_next(&r);
    } while (*out_last == DP_WBXML_OPEN || *out_last == DP_WBXML_TEXT
             || *out_last == DP_WBXML_CLOSE);
    *out_rest = dp_span_of(data + r.offset, size - r.offset);
    if (*out_last != DP_WBXML_BAD) {
        return NONE;
    }
    DP_ASSERT(r.offset < size);
    return r.offset < sizeof((unsigned char[])DP_WBXML_HEADER)
               ? (reason)(VERSION + r.offset)
               : reason_of_token(&r, data[r.offset]);
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
    reason why = why_refused(data, size, &last, &rest);
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
        second.known[why] += text != NULL;
        second.both_refused += text == NULL;
    }
    free(text);
    return 0;
}
