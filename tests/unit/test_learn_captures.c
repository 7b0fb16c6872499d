/* learn, on what real servers said: tests/captures, exchange by exchange.
 *
 * Before each exchange a minute passes and some other folder changes, so that
 * every mark can be told from every other.
 */
#include "test_device_support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/eas_url.h"

#define SOGO_INBOX "mail%2Fa139c21dfa82036bd80c000083ecc375"
#define ZPUSH_INBOX "2edb5446"

/* One file: head and body, both in `bytes`. */
typedef struct message {
    char *bytes;
    size_t n;
    dp_span body;
} message;

static char *next_line(char *p)
{
    char *end = strstr(p, "\r\n");
    assert_non_null(end);
    return end + 2;
}

/* Undo chunked coding in place. */
static size_t dechunk(char *p, size_t n)
{
    char *from = p, *to = p, *end = p + n;
    while (from < end) {
        size_t chunk_n = strtoul(from, NULL, 16);
        from = next_line(from);
        assert_true((size_t)(end - from) >= chunk_n);
        memmove(to, from, chunk_n);
        to += chunk_n;
        from += chunk_n + 2;
        if (!chunk_n) {
            break;
        }
    }
    return (size_t)(to - p);
}

static message read_message(const char *dir, const char *name,
                            const char *ext)
{
    char path[512];
    message m = {0};
    snprintf(path, sizeof(path), TEST_DATA_DIR "/captures/%s/%s.%s", dir,
             name, ext);
    FILE *f = fopen(path, "rb");
    if (!f) {
        fail_msg("no %s", path);
    }
    m.bytes = calloc(1, 65536);
    m.n = fread(m.bytes, 1, 65535, f);
    fclose(f);
    char *head_end = strstr(m.bytes, "\r\n\r\n");
    assert_non_null(head_end);
    char *body = head_end + 4;
    size_t n = m.n - (size_t)(body - m.bytes);
    head_end[2] = 0; /* the head is a string of its own now */
    if (strcasestr(m.bytes, "\nTransfer-Encoding: chunked")) {
        n = dechunk(body, n);
    }
    m.body = dp_span_of(body, n);
    return m;
}

/* A header's value into `buf`; empty when it is not there. */
static void header(const message *m, const char *name, char *buf, size_t cap)
{
    char pattern[64];
    snprintf(pattern, sizeof(pattern), "\r\n%s: ", name);
    const char *p = strcasestr(m->bytes, pattern);
    buf[0] = 0;
    if (p) {
        p += strlen(pattern);
        size_t n = strcspn(p, "\r");
        assert_true(n < cap);
        memcpy(buf, p, n);
        buf[n] = 0;
    }
}

static void play(lab *l, const char *dir, const char *name)
{
    message q = read_message(dir, name, "req");
    message r = read_message(dir, name, "resp");
    char authorization[256];
    dp_eas_query query = {.cmd = DP_CMD_NONE};
    dp_time_us until;
    char *mark = strchr(q.bytes, '?'), *end = strstr(q.bytes, " HTTP/");
    if (mark && mark < end) {
        assert_true(dp_eas_query_parse(
            dp_span_of(mark + 1, (size_t)(end - mark - 1)), &query));
    }
    if (strncmp(q.bytes, "OPTIONS", 7) == 0) {
        query.cmd = DP_CMD_NONE;
    }
    header(&q, "Authorization", authorization, sizeof(authorization));
    bool had_proof =
        dp_proof_get(l->store, NULL, l->proof_key, &l->who, S(authorization),
                     l->env.trust_us, l->now_us, &until)
        == DP_PROOF_GOOD;
    dp_exchange_free(&l->x);
    l->x = dp_exchange_begin(&l->env, &l->who, query.cmd, S(authorization),
                             had_proof, l->now_us);
    lab_request(l, q.body);
    lab_answer(l, atoi(strchr(r.bytes, ' ') + 1), r.body);
    lab_conclude(l, true);
    free(q.bytes);
    free(r.bytes);
}

/* What is so after an exchange. NULL and -1: not looked at. */
typedef struct step {
    const char *name;
    int is_proof, is_rejected, is_map_known;
    enum {
        NO_MARK,
        OLD_MARK,  /* as before */
        NEW_MARK,  /* the head of now, firm */
        PROV_MARK, /* … provisional, the firm one as before */
        LAST_MARK  /* the head of the exchange before: confirmed by this one */
    } inbox, hier;
    unsigned passed, uploads;
} step;

static void run(lab *l, const char *dir, const char *inbox, const step *steps,
                size_t n)
{
    lab_bus(l);
    dp_bus_ref other = lab_topic(l, DP_CLASS_NOTES, "*");
    uint64_t last = 0, head = 0;
    for (size_t i = 0; i < n; i++) {
        const step *s = &steps[i];
        uint64_t mark = lab_mark(l, inbox), hier = lab_hier(l).mark.seq;
        lab_tick(l, 60 * DP_SECOND_US);
        last = head;
        head = lab_change(l, other);
        print_message("%s/%s\n", dir, s->name);
        play(l, dir, s->name);
        assert_int_equal(l->out.is_proof, s->is_proof);
        assert_int_equal(l->out.is_rejected, s->is_rejected);
        assert_false(l->out.is_refused);
        assert_int_equal(lab_hier(l).is_map_known, s->is_map_known);
        assert_int_equal(l->out.passed_status, s->passed);
        assert_int_equal(l->out.uploads_n, s->uploads);
        switch (s->inbox) {
        case NO_MARK:
            assert_int_equal(lab_mark(l, inbox), 0);
            break;
        case OLD_MARK:
            assert_int_equal(lab_mark(l, inbox), mark);
            assert_true(mark > 0);
            break;
        case NEW_MARK:
            assert_int_equal(lab_mark(l, inbox), head);
            break;
        case LAST_MARK:
            assert_int_equal(lab_mark(l, inbox), last);
            break;
        default:
            assert_int_equal(lab_state(l, inbox).prov.seq, head);
            assert_true(!lab_mark(l, inbox) || lab_mark(l, inbox) == mark);
            assert_int_not_equal(l->out.token, 0);
            break;
        }
        assert_int_equal(lab_hier(l).mark.seq,
                         s->hier == NEW_MARK   ? head
                         : s->hier == NO_MARK ? 0
                                              : hier);
        if (s->hier == PROV_MARK) {
            assert_true(l->out.is_hierarchy);
            assert_int_equal(lab_hier(l).prov.seq, head);
        }
    }
}

static void sogo(void **state)
{
    lab *l = *state;
    static const step steps[] = {
        {"01-options", 0, 0, 0, NO_MARK, NO_MARK, 0, 0},
        {"02-options-no-credentials", 0, 0, 0, NO_MARK, NO_MARK, 0, 0},
        {"03-options-wrong-password", 0, 1, 0, NO_MARK, NO_MARK, 0, 0},
        {"04-ping-wrong-password", 0, 1, 0, NO_MARK, NO_MARK, 0, 0},
        {"05-ping-without-credentials", 0, 0, 0, NO_MARK, NO_MARK, 0, 0},
        {"06-ping-empty-no-cache", 0, 0, 0, NO_MARK, NO_MARK, 3, 0},
        {"07-foldersync-initial", 1, 0, 1, NO_MARK, PROV_MARK, 0, 0},
        {"08-foldersync-empty", 1, 0, 1, NO_MARK, NEW_MARK, 0, 0},
        /* SOGo confirms whatever key it is told */
        {"09-foldersync-bad-key", 1, 0, 0, NO_MARK, NEW_MARK, 0, 0},
        {"10-sync-key-0", 1, 0, 0, NO_MARK, OLD_MARK, 0, 0},
        {"11-sync-mail", 1, 0, 0, PROV_MARK, OLD_MARK, 0, 0},
        {"11a-ping-before-settling", 1, 0, 0, NO_MARK, OLD_MARK, 2, 0},
        {"11b-sync-settling", 1, 0, 0, NEW_MARK, OLD_MARK, 0, 0},
        {"12-sync-more-available", 1, 0, 0, OLD_MARK, OLD_MARK, 0, 0},
        {"13-sync-more-available-2", 1, 0, 0, OLD_MARK, OLD_MARK, 0, 0},
        {"14-sync-more-last", 1, 0, 0, PROV_MARK, OLD_MARK, 0, 0},
        {"15-sync-nothing-new", 1, 0, 0, NEW_MARK, OLD_MARK, 0, 0},
        /* 501, but the phone has shown that it is elsewhere */
        {"16-sync-bad-key", 0, 0, 0, NO_MARK, OLD_MARK, 0, 0},
        {"17-sync-unknown-collection", 1, 0, 0, NO_MARK, OLD_MARK, 0, 0},
        {"18-sync-empty-body", 1, 0, 0, NO_MARK, OLD_MARK, 0, 0},
        {"19-ping-expires", 1, 0, 0, NO_MARK, OLD_MARK, 1, 0},
        {"20-ping-change", 1, 0, 0, NO_MARK, OLD_MARK, 2, 0},
        {"21-sync-key-0-type4", 1, 0, 0, NO_MARK, OLD_MARK, 0, 0},
        {"21-sync-key-0-type8", 1, 0, 0, NO_MARK, OLD_MARK, 0, 0},
        {"23-ping-empty-body-cached", 1, 0, 0, NO_MARK, OLD_MARK, 1, 0},
        {"24-ping-heartbeat-too-small", 1, 0, 0, NO_MARK, OLD_MARK, 1, 0},
        {"25-ping-heartbeat-too-large", 0, 0, 0, NO_MARK, OLD_MARK, 5, 0},
        {"30-ping-garbage-body", 1, 0, 0, NO_MARK, OLD_MARK, 1, 0},
        {"32-sync-mail-12.1", 1, 0, 0, PROV_MARK, OLD_MARK, 0, 0},
        /* with a key that no captured response gave */
        {"33-sync-flag-change-by-client", 1, 0, 0, NO_MARK, OLD_MARK, 0, 1},
        {"35-sync-settling", 1, 0, 0, NEW_MARK, OLD_MARK, 0, 0},
    };
    run(l, "sogo", SOGO_INBOX, steps, sizeof(steps) / sizeof(steps[0]));
    assert_string_equal(lab_map(l, SOGO_INBOX, DP_CLASS_UNKNOWN),
                        "Email /guid/a139c21dfa82036bd80c000083ecc375");
    assert_string_equal(lab_map(l, "vevent%2Fpersonal", DP_CLASS_UNKNOWN),
                        "Calendar *");
}

static void zpush(void **state)
{
    lab *l = *state;
    static const step steps[] = {
        {"01-options", 0, 0, 0, NO_MARK, NO_MARK, 0, 0},
        {"03-options-wrong-password", 0, 1, 0, NO_MARK, NO_MARK, 0, 0},
        {"04-ping-wrong-password", 0, 1, 0, NO_MARK, NO_MARK, 0, 0},
        {"05-ping-without-credentials", 0, 0, 0, NO_MARK, NO_MARK, 0, 0},
        {"06-ping-empty-no-cache", 0, 0, 0, NO_MARK, NO_MARK, 3, 0},
        {"07-foldersync-initial", 0, 0, 0, NO_MARK, NO_MARK, 0, 0}, /* 449 */
        {"07a-provision", 0, 0, 0, NO_MARK, NO_MARK, 0, 0},
        {"07b-foldersync-initial", 1, 0, 1, NO_MARK, PROV_MARK, 0, 0},
        {"08-foldersync-empty", 1, 0, 1, NO_MARK, NEW_MARK, 0, 0},
        {"09-foldersync-bad-key", 1, 0, 0, NO_MARK, NO_MARK, 0, 0},
        {"08-foldersync-empty", 1, 0, 1, NO_MARK, NEW_MARK, 0, 0},
        {"10-sync-key-0", 1, 0, 1, NO_MARK, OLD_MARK, 0, 0},
        {"11-sync-mail", 1, 0, 1, PROV_MARK, OLD_MARK, 0, 0},
        {"11a-ping-before-settling", 1, 0, 1, NO_MARK, OLD_MARK, 1, 0},
        {"11b-sync-settling", 1, 0, 1, NEW_MARK, OLD_MARK, 0, 0},
        {"12-sync-more-available", 1, 0, 1, OLD_MARK, OLD_MARK, 0, 0},
        {"13-sync-more-available-2", 1, 0, 1, OLD_MARK, OLD_MARK, 0, 0},
        {"14-sync-more-last", 1, 0, 1, PROV_MARK, OLD_MARK, 0, 0},
        {"15-sync-nothing-new", 1, 0, 1, NEW_MARK, OLD_MARK, 0, 0},
        {"19-ping-expires", 1, 0, 1, OLD_MARK, OLD_MARK, 1, 0},
        {"20-ping-change", 1, 0, 1, OLD_MARK, OLD_MARK, 2, 0},
        {"21-sync-key-0-type4", 1, 0, 1, OLD_MARK, OLD_MARK, 0, 0},
        {"28-ping-unknown-folder", 0, 0, 1, OLD_MARK, OLD_MARK, 7, 0},
        {"32-sync-mail-12.1", 1, 0, 1, PROV_MARK, OLD_MARK, 0, 0},
        {"33-sync-flag-change-by-client", 1, 0, 1, LAST_MARK, OLD_MARK, 0, 1},
        {"34-ping-after-own-change", 1, 0, 1, OLD_MARK, OLD_MARK, 1, 0},
        {"35-sync-settling", 1, 0, 1, NEW_MARK, OLD_MARK, 0, 0},
        {"37-sync-bad-key", 1, 0, 1, NO_MARK, OLD_MARK, 0, 0},
        {"38-sync-unknown-collection", 1, 0, 1, NO_MARK, OLD_MARK, 0, 0},
        {"39-sync-empty-body", 1, 0, 1, NO_MARK, OLD_MARK, 0, 0},
        {"41-foldersync-after-bad-key", 1, 0, 1, NO_MARK, OLD_MARK, 0, 0},
    };
    run(l, "zpush", ZPUSH_INBOX, steps, sizeof(steps) / sizeof(steps[0]));
    assert_string_equal(lab_map(l, ZPUSH_INBOX, 0), "Email INBOX");
    assert_string_equal(lab_map(l, "ea43f91e", 0), "Email Junk");
    assert_string_equal(lab_map(l, "d7d84ed4", 0), "Email Trash");
    assert_string_equal(lab_map(l, "nosuch", DP_CLASS_EMAIL), "Email *");
    dp_ping_params p;
    assert_true(dp_ping_params_get(l->store, NULL, &l->who, &p));
    assert_int_equal(p.folders_n, 1);
    assert_true(dp_span_is(p.folders[0].id, S(ZPUSH_INBOX)));
    dp_ping_params_free(&p);
}

static void visit(lab *l, const char *dir)
{
    DIR *d = opendir(TEST_DATA_DIR "/captures");
    char path[512];
    assert_non_null(d);
    closedir(d);
    snprintf(path, sizeof(path), TEST_DATA_DIR "/captures/%s", dir);
    d = opendir(path);
    assert_non_null(d);
    struct dirent *e;
    while ((e = readdir(d))) {
        size_t n = strlen(e->d_name);
        if (n > 4 && strcmp(e->d_name + n - 4, ".req") == 0) {
            e->d_name[n - 4] = 0;
            play(l, dir, e->d_name);
        }
    }
    closedir(d);
}

/* In whatever order the directory has them, and cut into single bytes. */
static void every_capture_is_taken_in_any_order_and_pieces(void **state)
{
    lab *l = *state;
    lab_bus(l);
    for (l->chunk_n = 0; l->chunk_n < 3; l->chunk_n++) {
        visit(l, "sogo");
        visit(l, "zpush");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_BOTH(sogo),
        LAB_BOTH(zpush),
        LAB_RAM(every_capture_is_taken_in_any_order_and_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
