/* A phone, a backend and a bad network against what learn believes.
 *
 * The backend numbers its changes; each key that it gives out stands for how
 * many of them the phone will then have. Responses get lost, are cut, arrive
 * and are acknowledged; requests are given up and concluded late; the phone
 * starts over, goes back to an older key, or syncs where nobody sees it. All
 * the while: a firm mark of `seq` means that the phone has every change up to
 * `seq`. And once all is quiet, one Sync that brings nothing makes it current.
 */
#include "../unit/test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAIL        "5"
#define CHANGES_MAX 4000
#define PENDING_MAX 4

/* How the backend names states and says "nothing". */
typedef enum backend_kind {
    COUNTING,   /* a new key each time (old servers) */
    STATEFUL,   /* the key is the state: the same when nothing is new */
    EMPTY,      /* … and then a response without a body */
    KINDS_N
} backend_kind;

typedef struct world {
    lab *l;
    backend_kind kind;
    unsigned seed;
    dp_bus_ref topic;
    uint64_t seqs[CHANGES_MAX]; /* of each change */
    unsigned changes_n;
    /* keys given out, and the number of changes that each stands for */
    unsigned keys_n, has[CHANGES_MAX * 4];
    /* the phone */
    int key;               /* -1: key 0 */
    unsigned phone_has;
    bool has_gone_back;    /* and has not said so yet */
    uint64_t token;        /* of the last response that it took */
    /* requests that it gave up; they end some time */
    dp_exchange *pending[PENDING_MAX];
    lab_body *pending_body[PENDING_MAX];
} world;

static unsigned pick(world *w, unsigned n)
{
    w->seed = w->seed * 1103515245u + 12345;
    return (w->seed >> 16) % n;
}

static bool chance(world *w, unsigned percent)
{
    return pick(w, 100) < percent;
}

static void key_text(int key, char *buf, size_t cap)
{
    snprintf(buf, cap, key < 0 ? "0" : "k%d", key);
}

static int give_key(world *w, unsigned has, int same_as)
{
    if (w->kind != COUNTING && same_as >= 0 && w->has[same_as] == has) {
        return same_as;
    }
    assert_true(w->keys_n < CHANGES_MAX * 4);
    w->has[w->keys_n] = has;
    return (int)w->keys_n++;
}

static void something_changes(world *w)
{
    w->seqs[w->changes_n++] = lab_change(w->l, w->topic);
    lab_tick(w->l, 60 * DP_SECOND_US); /* lag has tests of its own */
}

/* What the backend says to a request with this key. */
typedef struct answer {
    lab_body *body;
    int key;
    unsigned has;
    bool more;
} answer;

static answer ask_backend(world *w, int key, bool has_commands)
{
    answer a = {.key = key};
    unsigned from = key < 0 ? 0 : w->has[key];
    lab_coll c = {.id = MAIL, .status = 1};
    char text[16];
    a.has = from;
    if (key >= 0 && !has_commands) {
        a.has = w->changes_n;
        if (a.has - from > 2 && chance(w, 40)) {
            a.has = from + 2;
            a.more = true;
        }
    }
    c.adds = a.has - from;
    c.more = a.more;
    if (w->kind == EMPTY && key >= 0 && !c.adds && !has_commands) {
        return a;
    }
    a.key = has_commands || key < 0 ? give_key(w, a.has, -1)
                                    : give_key(w, a.has, key);
    key_text(a.key, text, sizeof(text));
    c.key = text;
    a.body = lab_sync(true, 0, false, &c, 1);
    return a;
}

static lab_body *request_of(int key, bool has_commands)
{
    char text[16];
    key_text(key, text, sizeof(text));
    lab_coll c = {.id = MAIL, .key = text, .class_name = "Email",
                  .changes = has_commands};
    return lab_sync(false, 0, false, &c, 1);
}

static void give_up(world *w, lab_body *body)
{
    for (int i = 0; i < PENDING_MAX; i++) {
        if (!w->pending[i]) {
            w->pending[i] = w->l->x;
            w->pending_body[i] = body;
            w->l->x = NULL;
            return;
        }
    }
    free(body); /* too many: this one is never concluded */
}

static void end_pending(world *w)
{
    unsigned i = pick(w, PENDING_MAX);
    dp_learned out;
    if (!w->pending[i]) {
        return;
    }
    dp_span body = lab_span(w->pending_body[i]);
    dp_exchange_response_begin(w->pending[i], 200, DP_TAP_IDENTITY,
                               (int64_t)body.n);
    dp_exchange_response_bytes(w->pending[i], body);
    dp_exchange_conclude(w->pending[i], chance(w, 50), w->l->now_us, &out);
    dp_exchange_free(&w->pending[i]);
    free(w->pending_body[i]);
    w->pending_body[i] = NULL;
}

static void phone_takes(world *w, const answer *a)
{
    w->key = a->key;
    w->phone_has = a->has;
}

static void sync_seen(world *w, int key, bool has_commands)
{
    lab *l = w->l;
    lab_body *q = request_of(key, has_commands);
    lab_tick(l, 1000);
    lab_begin(l, DP_CMD_SYNC);
    lab_request(l, lab_span(q));
    free(q);
    if (chance(w, 30)) {
        something_changes(w); /* on its way to the backend */
    }
    answer a = ask_backend(w, key, has_commands);
    if (chance(w, 30)) {
        something_changes(w); /* on its way back */
    }
    w->token = 0;
    unsigned fate = pick(w, 100);
    if (fate < 10) {
        give_up(w, a.body);
        return; /* it has not said what key it has until that ends */
    }
    if (fate < 20) {
        lab_answer(l, 503, S(""));
        lab_conclude(l, true);
    }
    else if (fate < 30) {
        lab_answer(l, 200, lab_span(a.body));
        lab_conclude(l, false);
        if (chance(w, 50)) {
            phone_takes(w, &a); /* whole enough for it */
        }
    }
    else {
        lab_answer(l, 200, lab_span(a.body));
        lab_conclude(l, true);
        if (fate < 80) {
            phone_takes(w, &a);
            w->token = l->out.token;
        }
    }
    w->has_gone_back = false;
    free(a.body);
}

static void phone_syncs(world *w)
{
    bool has_commands = chance(w, 15);
    if (chance(w, 4)) {
        w->key = -1; /* starts over */
        w->phone_has = 0;
        w->has_gone_back = true;
    }
    else if (w->key > 0 && chance(w, 4)) {
        w->key = (int)pick(w, (unsigned)w->key); /* restored from a backup */
        w->phone_has = w->has[w->key];
        w->has_gone_back = true;
    }
    if (chance(w, 10)) { /* nobody sees it */
        answer a = ask_backend(w, w->key, has_commands);
        phone_takes(w, &a);
        free(a.body);
        return;
    }
    sync_seen(w, w->key, has_commands && w->key >= 0);
}

static void response_was_acknowledged(world *w)
{
    dp_span id = S(MAIL);
    if (w->token) {
        dp_coll_state_delivered(w->l->store, &w->l->who, w->token, &id, 1);
    }
}

static void check(world *w)
{
    if (w->has_gone_back) {
        return; /* nobody can know yet */
    }
    uint64_t mark = lab_mark(w->l, MAIL);
    unsigned need = 0;
    while (need < w->changes_n && w->seqs[need] <= mark) {
        need++;
    }
    if (w->phone_has < need) {
        fail_msg("the phone has %u of %u, the mark says %u", w->phone_has,
                 w->changes_n, need);
    }
}

/* Nothing goes wrong any more: two Syncs and it is current. */
static void quiet_down(world *w)
{
    lab *l = w->l;
    for (int i = 0; i < 3000 && (w->key < 0 || w->phone_has < w->changes_n
                                 || lab_mark(l, MAIL) != lab_head(l));
         i++) {
        answer a = ask_backend(w, w->key, false);
        lab_exchange(l, DP_CMD_SYNC, request_of(w->key, false), 200, a.body);
        phone_takes(w, &a);
        w->has_gone_back = false;
        check(w);
    }
    assert_int_equal(lab_mark(l, MAIL), lab_head(l));
}

static void play(lab *l, backend_kind kind, unsigned seed, unsigned steps)
{
    world *w = calloc(1, sizeof(*w));
    w->l = l;
    w->kind = kind;
    w->seed = seed;
    w->key = -1;
    w->topic = lab_topic(l, DP_CLASS_EMAIL, "*");
    for (unsigned i = 0; i < steps && w->changes_n < CHANGES_MAX - 2; i++) {
        switch (pick(w, 6)) {
        case 0:
            something_changes(w);
            break;
        case 1:
        case 2:
        case 3:
            phone_syncs(w);
            break;
        case 4:
            response_was_acknowledged(w);
            break;
        default:
            end_pending(w);
            break;
        }
        if (getenv("DP_TRACE")) {
            dp_coll_state st = lab_state(l, MAIL);
            print_message("%u: key k%d has %u of %u back %d; mark %u of %u, "
                          "prov %u\n", i, w->key, w->phone_has, w->changes_n,
                          w->has_gone_back, (unsigned)lab_mark(l, MAIL),
                          (unsigned)lab_head(l), (unsigned)st.prov.seq);
        }
        check(w);
    }
    quiet_down(w);
    for (int i = 0; i < PENDING_MAX; i++) {
        dp_exchange_free(&w->pending[i]);
        free(w->pending_body[i]);
    }
    free(w);
}

static void run_kind(void **state, backend_kind kind)
{
    const char *from = getenv("DP_SEED");
    unsigned seed = from ? (unsigned)atoi(from) : 1, rounds = from ? 1 : 60;
    for (unsigned i = 0; i < rounds; i++) {
        void *fresh = NULL;
        lab_setup_ram(&fresh);
        lab_bus(fresh);
        print_message("kind %d, DP_SEED=%u\n", kind, seed + i);
        play(fresh, kind, seed + i, 400);
        lab_teardown(&fresh);
    }
}

static void no_mark_lies_when_keys_count(void **state)
{
    run_kind(state, COUNTING);
}

static void no_mark_lies_when_keys_are_states(void **state)
{
    run_kind(state, STATEFUL);
}

static void no_mark_lies_when_nothing_is_said_of_nothing(void **state)
{
    run_kind(state, EMPTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_mark_lies_when_keys_count),
        cmocka_unit_test(no_mark_lies_when_keys_are_states),
        cmocka_unit_test(no_mark_lies_when_nothing_is_said_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
