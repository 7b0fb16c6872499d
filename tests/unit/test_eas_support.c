/* test_eas_support: see the header. TEST_DATA_DIR is the tests folder of the
 * source tree. */
#include "test_eas_support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* Mutations of each capture, and the seed: fixed, so that a failure repeats. */
#define MUTATIONS 40
#define SEED      0x9E3779B97F4A7C15u

#define DEEP_LEVELS 10000

void wire_log_add(wire_log *log, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert_true(n >= 0);
    if (log->n + (size_t)n >= log->cap) {
        log->cap = 2 * (log->n + (size_t)n + 1);
        log->text = realloc(log->text, log->cap);
        assert_non_null(log->text);
    }
    va_start(args, format);
    vsnprintf(log->text + log->n, (size_t)n + 1, format, args);
    va_end(args);
    log->n += (size_t)n;
}

void wire_log_span(wire_log *log, dp_span bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        bool is_plain = bytes.p[i] >= ' ' && bytes.p[i] < 0x7F;

        wire_log_add(log, is_plain ? "%c" : "\\x%02x", bytes.p[i]);
    }
}

void wire_log_free(wire_log *log)
{
    free(log->text);
    *log = (wire_log){.text = NULL};
}

static unsigned char *copy_of(dp_span bytes)
{
    unsigned char *copy = malloc(bytes.n > 0 ? bytes.n : 1);

    assert_non_null(copy);
    if (bytes.n > 0) {
        memcpy(copy, bytes.p, bytes.n);
    }
    return copy;
}

void wire_feed(dp_span body, size_t chunk_n, bool (*feed)(void *, dp_span),
               void *parser)
{
    bool goes_on = true;

    while (goes_on && body.n > 0) {
        size_t n = body.n < chunk_n ? body.n : chunk_n;
        unsigned char *chunk = copy_of(dp_span_of(body.p, n));

        goes_on = feed(parser, dp_span_of(chunk, n));
        free(chunk);
        body = dp_span_of(body.p + n, body.n - n);
    }
}

dp_span wire_unhex(const char *hex)
{
    unsigned char *bytes = malloc(strlen(hex) / 2 + 1);
    unsigned value;
    size_t n = 0;
    int used;

    assert_non_null(bytes);
    while (sscanf(hex, " %2x%n", &value, &used) == 1) {
        bytes[n++] = (unsigned char)value;
        hex += used;
    }
    return dp_span_of(bytes, n);
}

/* ---- captures ---- */

static dp_span read_file(const char *path)
{
    static unsigned char buf[1 << 16];
    FILE *file = fopen(path, "rb");
    size_t n;

    assert_non_null(file);
    n = fread(buf, 1, sizeof(buf), file);
    assert_true(n < sizeof(buf));
    fclose(file);
    buf[n] = 0;
    return dp_span_of(copy_of(dp_span_of(buf, n + 1)), n);
}

/** Undo chunked transfer coding. */
static dp_span unchunk(const char *in, size_t cap)
{
    unsigned char *out = malloc(cap);
    size_t n = 0, size;

    assert_non_null(out);
    while ((size = strtoul(in, NULL, 16)) > 0) {
        const char *data = strstr(in, "\r\n") + 2;

        memcpy(out + n, data, size);
        n += size;
        in = data + size + 2;
    }
    return dp_span_of(out, n);
}

dp_span wire_capture(const char *name)
{
    char path[1024];
    dp_span file, body;
    const char *text, *blank, *chunked;

    snprintf(path, sizeof(path), "%s/captures/%s", TEST_DATA_DIR, name);
    file = read_file(path);
    text = (const char *)file.p; /* up to the body, which may have NULs */
    blank = strstr(text, "\r\n\r\n");
    chunked = strstr(text, "Transfer-Encoding: chunked");
    assert_non_null(blank);
    body = dp_span_of(blank + 4, file.n - (size_t)(blank + 4 - text));
    if (chunked && chunked < blank) {
        body = unchunk(blank + 4, body.n);
    }
    else {
        body = dp_span_of(copy_of(body), body.n);
    }
    free((void *)file.p);
    return body;
}

static bool is_capture(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (strcmp(dot, ".req") == 0 || strcmp(dot, ".resp") == 0);
}

static size_t
folder_each(const char *folder,
            void (*visit)(const char *name, dp_span body, void *ctx), void *ctx)
{
    char path[1024];
    struct dirent *entry;
    size_t n = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/captures/%s", TEST_DATA_DIR, folder);
    dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        dp_span body;

        if (!is_capture(entry->d_name)) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        body = wire_capture(path);
        if (body.n > 0) {
            visit(path, body, ctx);
            n++;
        }
        free((void *)body.p);
    }
    closedir(dir);
    return n;
}

size_t wire_captures_each(void (*visit)(const char *name, dp_span body,
                                        void *ctx),
                          void *ctx)
{
    size_t n =
        folder_each("sogo", visit, ctx) + folder_each("zpush", visit, ctx);

    assert_true(n > 100);
    return n;
}

/* ---- what every parser has to stand ---- */

static void assert_same_outcome(wire_subject subject, const char *name,
                                dp_span body, size_t chunk_n,
                                const wire_log *expected)
{
    wire_log log = {.text = NULL};

    subject(body, chunk_n, &log);
    if (strcmp(log.text, expected->text) != 0) {
        fail_msg("%s in chunks of %zu:\n%s\nat once:\n%s", name, chunk_n,
                 log.text, expected->text);
    }
    wire_log_free(&log);
}

void wire_check_body(wire_subject subject, const char *name, dp_span body)
{
    wire_log whole = {.text = NULL};

    subject(body, body.n, &whole);
    for (size_t chunk_n = 1; chunk_n < body.n; chunk_n++) {
        assert_same_outcome(subject, name, body, chunk_n, &whole);
    }
    wire_log_free(&whole);
}

static void check_chunkings(const char *name, dp_span body, void *ctx)
{
    wire_check_body(*(wire_subject *)ctx, name, body);
}

void wire_check_chunkings(wire_subject subject)
{
    wire_captures_each(check_chunkings, &subject);
}

struct truncation {
    wire_subject subject;
    const char *word;
    size_t read_n;
};

static bool says(wire_subject subject, dp_span body, const char *word)
{
    wire_log log = {.text = NULL};
    bool it_does;

    subject(body, body.n > 0 ? body.n : 1, &log);
    it_does = strstr(log.text, word) != NULL;
    wire_log_free(&log);
    return it_does;
}

static void check_truncation(const char *name, dp_span body, void *ctx)
{
    struct truncation *t = ctx;

    if (!says(t->subject, body, t->word)) {
        return;
    }
    t->read_n++;
    for (size_t n = 0; n < body.n; n++) {
        unsigned char *part = copy_of(dp_span_of(body.p, n));

        if (says(t->subject, dp_span_of(part, n), t->word)) {
            fail_msg("%s cut off after %zu bytes: %s", name, n, t->word);
        }
        if (says(t->subject, dp_span_of(part, n), "bad=1")) {
            fail_msg("%s cut off after %zu bytes is bad", name, n);
        }
        free(part);
    }
}

size_t wire_check_truncations(wire_subject subject, const char *word)
{
    struct truncation t = {.subject = subject, .word = word};

    wire_captures_each(check_truncation, &t);
    return t.read_n;
}

/** xorshift64*: the same numbers everywhere. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

struct mutation {
    wire_subject subject;
    uint64_t random;
};

/** Damage one to four bytes, with a liking for those that mean something. */
static void damage(unsigned char *bytes, size_t n, uint64_t *random)
{
    static const unsigned char tokens[] = {0x00, 0x01, 0x03, 0x44, 0x83,
                                           0xC3, 0x45, 0x05, 0xFF};

    for (uint64_t i = next_random(random) % 4 + 1; i > 0; i--) {
        uint64_t r = next_random(random);
        unsigned char byte = (unsigned char)(r >> 32);

        bytes[r % n] = (r & 1u << 31) ? byte : tokens[byte % sizeof(tokens)];
    }
}

static void check_mutations(const char *name, dp_span body, void *ctx)
{
    static const size_t chunkings[] = {1, 2, 3, 7, 64};
    struct mutation *m = ctx;

    for (int i = 0; i < MUTATIONS; i++) {
        wire_log whole = {.text = NULL};
        unsigned char *bytes = copy_of(body);

        damage(bytes, body.n, &m->random);
        m->subject(dp_span_of(bytes, body.n), body.n, &whole);
        for (size_t c = 0; c < sizeof(chunkings) / sizeof(chunkings[0]); c++) {
            assert_same_outcome(m->subject, name, dp_span_of(bytes, body.n),
                                chunkings[c], &whole);
        }
        wire_log_free(&whole);
        free(bytes);
    }
}

void wire_check_mutations(wire_subject subject)
{
    struct mutation m = {.subject = subject, .random = SEED};

    wire_captures_each(check_mutations, &m);
}

dp_span wire_deep_body(unsigned char page, unsigned char root,
                       unsigned char tag)
{
    unsigned char *bytes = malloc(7 + DEEP_LEVELS);

    assert_non_null(bytes);
    memcpy(bytes, "\x03\x01\x6A\x00\x00", 5);
    bytes[5] = page;
    bytes[6] = root;
    memset(bytes + 7, tag, DEEP_LEVELS);
    return dp_span_of(bytes, 7 + DEEP_LEVELS);
}
