/* device_store: keys, transactions, and what becomes of a store that was
 * damaged, left behind, or shared. */
#include "test_device_support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/store_lmdb.h"
#include "device/store_use.h"

static dp_span key_span(const dp_store_key *k)
{
    return dp_span_of(k->bytes, k->n);
}

static bool keys_are(const dp_store_key *a, const dp_store_key *b)
{
    return dp_span_is(key_span(a), key_span(b));
}

static void put(lab *l, const char *key, const char *value)
{
    dp_store_txn *t;
    assert_int_equal(l->store->ops->begin(l->store, true, &t), APR_SUCCESS);
    assert_int_equal(l->store->ops->put(t, S(key), S(value)), APR_SUCCESS);
    assert_int_equal(l->store->ops->commit(&t), APR_SUCCESS);
    assert_null(t);
}

/* What is under `key`, or NULL; good until the next call. */
static const char *get(lab *l, const char *key)
{
    static char text[256];
    dp_store_txn *t;
    dp_span v;
    assert_int_equal(l->store->ops->begin(l->store, false, &t), APR_SUCCESS);
    apr_status_t rv = l->store->ops->get(t, S(key), &v);
    if (rv == APR_SUCCESS) {
        assert_true(v.n < sizeof(text));
        memcpy(text, v.p, v.n);
        text[v.n] = 0;
    }
    l->store->ops->commit(&t);
    return rv == APR_SUCCESS ? text : NULL;
}

static void a_key_is_its_parts_ended_by_nul(void **state)
{
    dp_store_key k;
    dp_span parts[] = {S("mail.example.com"), S("alice"), S("appl12"),
                       S("mail%2F6b93")};
    static const char want[] =
        "c\0mail.example.com\0alice\0appl12\0mail%2F6b93";
    dp_store_key_make(&k, 'c', parts, 4);
    assert_int_equal(k.n, sizeof(want) - 1);
    assert_memory_equal(k.bytes, want, k.n);
}

static void keys_are_never_ambiguous(void **state)
{
    char many[600];
    dp_store_key a, b;
    memset(many, 'x', sizeof(many));
    /* NUL in a part, a part that looks like a hash, shifted borders */
    dp_span one[] = {dp_span_of("a\0b", 3), S("c"), S("d")};
    dp_span two[] = {S("a"), S("b"), dp_span_of("c\0d", 3)};
    dp_store_key_make(&a, 'h', one, 3);
    dp_store_key_make(&b, 'h', two, 3);
    assert_false(keys_are(&a, &b));

    dp_span is_long[] = {S("r"), dp_span_of(many, 400), S("d"), S("i")};
    dp_store_key_make(&a, 'c', is_long, 4);
    dp_span as_hash[] = {S("r"), dp_span_of(a.bytes + 4, 65), S("d"), S("i")};
    assert_int_equal(as_hash[1].p[0], 1);
    dp_store_key_make(&b, 'c', as_hash, 4);
    assert_false(keys_are(&a, &b));

    dp_span id1[] = {S("r"), S("l"), S("d"), dp_span_of(many, 599)};
    dp_span id2[] = {S("r"), S("l"), S("d"), dp_span_of(many, 600)};
    dp_store_key_make(&a, 'c', id1, 4);
    dp_store_key_make(&b, 'c', id2, 4);
    assert_false(keys_are(&a, &b));
    assert_true(a.n <= DP_STORE_KEY_MAX);
}

static void every_key_fits(void **state)
{
    char many[2000];
    dp_store_key k;
    memset(many, 0, sizeof(many)); /* the worst byte */
    for (size_t n = 0; n < sizeof(many); n += 7) {
        dp_span parts[] = {dp_span_of(many, n), dp_span_of(many, n),
                           dp_span_of(many, n), dp_span_of(many, n)};
        dp_store_key_make(&k, 'c', parts, 4);
        assert_true(k.n >= 2 && k.n <= DP_STORE_KEY_MAX);
    }
}

static void an_empty_last_part_is_the_prefix_of_all(void **state)
{
    lab *l = *state;
    dp_store_key all, one, other;
    dp_who neighbour = l->who;
    neighbour.device = S("appl123"); /* begins with the other's id */
    dp_store_key_of_id(&all, 'c', &l->who, dp_span_of(NULL, 0));
    dp_store_key_of_id(&one, 'c', &l->who, S("5"));
    dp_store_key_of_id(&other, 'c', &neighbour, S("5"));
    assert_memory_equal(one.bytes, all.bytes, all.n);
    assert_memory_not_equal(other.bytes, all.bytes, all.n);
}

static void what_is_committed_can_be_read(void **state)
{
    lab *l = *state;
    assert_null(get(l, "k"));
    put(l, "k", "one");
    assert_string_equal(get(l, "k"), "one");
    put(l, "k", "two, longer");
    assert_string_equal(get(l, "k"), "two, longer");
}

static void an_abort_leaves_no_trace(void **state)
{
    lab *l = *state;
    dp_store_txn *t;
    dp_span v;
    put(l, "k", "one");
    assert_int_equal(l->store->ops->begin(l->store, true, &t), APR_SUCCESS);
    l->store->ops->put(t, S("k"), S("two"));
    l->store->ops->put(t, S("new"), S("x"));
    assert_int_equal(l->store->ops->get(t, S("k"), &v), APR_SUCCESS);
    assert_true(dp_span_is(v, S("two"))); /* sees its own writes */
    assert_int_equal(l->store->ops->del(t, S("k")), APR_SUCCESS);
    assert_int_equal(l->store->ops->get(t, S("k"), &v), APR_NOTFOUND);
    l->store->ops->abort(&t);
    assert_string_equal(get(l, "k"), "one");
    assert_null(get(l, "new"));
}

static void a_reader_sees_one_state_to_its_end(void **state)
{
    lab *l = *state;
    dp_store_txn *t;
    dp_span v;
    put(l, "k", "one");
    assert_int_equal(l->store->ops->begin(l->store, false, &t), APR_SUCCESS);
    put(l, "k", "two"); /* same thread: the reader holds nobody up */
    assert_int_equal(l->store->ops->get(t, S("k"), &v), APR_SUCCESS);
    assert_true(dp_span_is(v, S("one")));
    assert_int_equal(l->store->ops->put(t, S("k"), S("x")), APR_EINVAL);
    assert_int_equal(l->store->ops->del(t, S("k")), APR_EINVAL);
    l->store->ops->abort(&t);
    assert_string_equal(get(l, "k"), "two");
}

static bool collect(void *ctx, dp_span key, dp_span value)
{
    char *text = ctx;
    size_t n = strlen(text);
    memcpy(text + n, key.p, key.n);
    text[n + key.n] = ' ';
    text[n + key.n + 1] = 0;
    return key.p[key.n - 1] != '!';
}

static void a_scan_visits_a_prefix_in_order(void **state)
{
    lab *l = *state;
    static const char *const keys[] = {"b2", "a", "b", "c1", "b10", "b1"};
    char text[128] = "";
    dp_store_txn *t;
    for (size_t i = 0; i < 6; i++) {
        put(l, keys[i], "x");
    }
    assert_int_equal(l->store->ops->begin(l->store, false, &t), APR_SUCCESS);
    l->store->ops->scan(t, S("b"), collect, text);
    assert_string_equal(text, "b b1 b10 b2 ");
    text[0] = 0;
    l->store->ops->scan(t, S("zz"), collect, text);
    assert_string_equal(text, "");
    l->store->ops->commit(&t);
    put(l, "b1!", "x");
    text[0] = 0;
    assert_int_equal(l->store->ops->begin(l->store, false, &t), APR_SUCCESS);
    l->store->ops->scan(t, S("b"), collect, text);
    assert_string_equal(text, "b b1 b1! "); /* told to stop */
    l->store->ops->commit(&t);
}

/* A plain model: 64 keys, and what each holds. */
static void random_writes_match_a_model(void **state)
{
    lab *l = *state;
    enum { KEYS = 64, ROUNDS = 4000 };
    int model[KEYS] = {0}, trial[KEYS];
    unsigned seed = 12345;
    for (int round = 0; round < ROUNDS; round++) {
        dp_store_txn *t;
        char key[16], value[16];
        assert_int_equal(l->store->ops->begin(l->store, true, &t), APR_SUCCESS);
        memcpy(trial, model, sizeof(trial));
        for (int i = 0; i < 3; i++) {
            seed = seed * 1103515245u + 12345;
            int k = (int)(seed >> 16) % KEYS;
            snprintf(key, sizeof(key), "k%d", k);
            if (seed >> 8 & 1) {
                trial[k] = round + 1;
                snprintf(value, sizeof(value), "%d", trial[k]);
                assert_int_equal(l->store->ops->put(t, S(key), S(value)),
                                 APR_SUCCESS);
            }
            else {
                assert_int_equal(l->store->ops->del(t, S(key)),
                                 trial[k] ? APR_SUCCESS : APR_NOTFOUND);
                trial[k] = 0;
            }
        }
        if (seed >> 9 & 1) {
            l->store->ops->commit(&t);
            memcpy(model, trial, sizeof(model));
        }
        else {
            l->store->ops->abort(&t);
        }
    }
    for (int k = 0; k < KEYS; k++) {
        char key[16], value[16];
        snprintf(key, sizeof(key), "k%d", k);
        snprintf(value, sizeof(value), "%d", model[k]);
        const char *is = get(l, key);
        assert_true(model[k] ? is && strcmp(is, value) == 0 : !is);
    }
}

static void a_record_of_another_size_is_absent(void **state)
{
    lab *l = *state;
    dp_store_use u;
    dp_store_key k;
    dp_coll_state st;
    dp_hier_state hier;
    assert_int_equal(dp_store_enter(&u, l->store, NULL, true), APR_SUCCESS);
    dp_store_key_of_id(&k, 'c', &l->who, S("5"));
    dp_store_put(&u, &k, "short", 5);
    dp_store_key_of(&k, 'h', &l->who);
    dp_store_put(&u, &k, "short", 5);
    dp_store_key_of_id(&k, 'm', &l->who, S("5"));
    dp_store_put(&u, &k, "short", 5);
    dp_store_key_of(&k, 'p', &l->who);
    dp_store_put(&u, &k, "short but longer", 16);
    dp_store_key_of(&k, 's', &l->who);
    dp_store_put(&u, &k, "short but longer and odd", 24);
    dp_store_leave(&u, APR_SUCCESS);
    assert_false(dp_coll_state_get(l->store, NULL, &l->who, S("5"), &st));
    assert_int_equal(st.mark.instance, 0);
    assert_false(dp_hier_state_get(l->store, NULL, &l->who, &hier));
    dp_ping_params p;
    assert_false(dp_ping_params_get(l->store, NULL, &l->who, &p));
    dp_last_sync_entry *list;
    size_t n;
    assert_false(dp_last_sync_get(l->store, NULL, &l->who, &list, &n));
}

/* --- in memory only --- */

static void a_bounded_store_refuses_the_rest(void **state)
{
    dp_store *s;
    dp_store_txn *t;
    assert_int_equal(dp_store_ram_open_bounded(&s, 2, true), APR_SUCCESS);
    assert_int_equal(s->ops->begin(s, true, &t), APR_SUCCESS);
    assert_int_equal(s->ops->put(t, S("a"), S("1")), APR_SUCCESS);
    assert_int_equal(s->ops->put(t, S("b"), S("1")), APR_SUCCESS);
    assert_int_equal(s->ops->put(t, S("c"), S("1")), APR_ENOSPC);
    assert_int_equal(s->ops->put(t, S("a"), S("2")), APR_SUCCESS);
    /* folders are not kept by one of many */
    dp_span v;
    assert_int_equal(s->ops->put(t, S("m"), S("1")), APR_SUCCESS);
    assert_int_equal(s->ops->get(t, S("m"), &v), APR_NOTFOUND);
    s->ops->commit(&t);
    s->ops->close(s, true);
}

static void *count_up(void *arg)
{
    dp_store *s = arg;
    for (int i = 0; i < 500; i++) {
        dp_store_txn *t;
        dp_span v;
        uint64_t n = 0;
        s->ops->begin(s, true, &t);
        if (s->ops->get(t, S("n"), &v) == APR_SUCCESS) {
            memcpy(&n, v.p, sizeof(n));
        }
        n++;
        s->ops->put(t, S("n"), dp_span_of(&n, sizeof(n)));
        s->ops->put(t, S("m2"), dp_span_of(&n, sizeof(n)));
        s->ops->commit(&t);
    }
    return NULL;
}

static void *look_on(void *arg)
{
    dp_store *s = arg;
    for (int i = 0; i < 2000; i++) {
        dp_store_txn *t;
        dp_span a, b;
        s->ops->begin(s, false, &t);
        if (s->ops->get(t, S("n"), &a) == APR_SUCCESS) {
            if (s->ops->get(t, S("m2"), &b) != APR_SUCCESS ||
                !dp_span_is(a, b)) {
                return arg;
            }
        }
        s->ops->abort(&t);
    }
    return NULL;
}

static void threads_share_a_store(void **state)
{
    lab *l = *state;
    pthread_t threads[8];
    void *odd;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i % 2 ? look_on : count_up, l->store),
                         0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &odd);
        assert_null(odd);
    }
    dp_store_txn *t;
    dp_span v;
    uint64_t n = 0;
    l->store->ops->begin(l->store, false, &t);
    assert_int_equal(l->store->ops->get(t, S("n"), &v), APR_SUCCESS);
    memcpy(&n, v.p, sizeof(n));
    l->store->ops->abort(&t);
    assert_int_equal(n, 4 * 500);
}

/* --- on disk only --- */

static void what_was_stored_outlives_a_restart(void **state)
{
    lab *l = *state;
    put(l, "c\0", "x");
    put(l, "k", "one");
    lab_reopen(l, false); /* a child that crashed, in the same boot */
    assert_string_equal(get(l, "k"), "one");
    lab_reopen(l, true);
    assert_string_equal(get(l, "k"), "one");
}

static void spoil(lab *l, const char *name, const void *bytes, size_t n,
                  off_t at, bool truncate)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", l->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | (truncate ? O_TRUNC : 0), 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

static void garbage_is_emptied(void **state)
{
    lab *l = *state;
    static unsigned char noise[3 * 4096];
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (unsigned char)(i * 131 + 7);
    }
    for (size_t n = 1; n <= sizeof(noise); n += 4095) {
        l->store->ops->close(l->store, false);
        spoil(l, "data.mdb", noise, n, 0, true);
        const char *why = NULL;
        assert_int_equal(dp_store_open(&l->store, l->dir, 1 << 20, 8, &why),
                         APR_SUCCESS);
        assert_null(why);
        assert_string_equal(l->store->ops->name, "lmdb");
        assert_null(get(l, "k"));
        put(l, "k", "one");
        assert_string_equal(get(l, "k"), "one");
    }
}

static void a_file_that_is_shorter_than_it_says_is_emptied(void **state)
{
    lab *l = *state;
    char path[128], key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        put(l, key, "some value that takes room in a page of the tree");
    }
    l->store->ops->close(l->store, true);
    snprintf(path, sizeof(path), "%s/data.mdb", l->dir);
    assert_int_equal(truncate(path, 3 * 4096), 0);
    const char *why = NULL;
    assert_int_equal(dp_store_open(&l->store, l->dir, 1 << 20, 8, &why),
                     APR_SUCCESS);
    assert_null(why);
    assert_null(get(l, "k1"));
}

static void reopen_in(lab *l, bool is_clean, uint8_t boot_byte)
{
    uint8_t boot[16];
    const char *why = NULL;
    memset(boot, boot_byte, sizeof(boot));
    if (l->store) {
        l->store->ops->close(l->store, is_clean);
    }
    assert_int_equal(
        dp_store_open_in(&l->store, l->dir, 1 << 20, 8, boot, &why),
        APR_SUCCESS);
    assert_null(why);
    l->env.store = l->store;
}

static void remember_some(lab *l)
{
    dp_coll_state st = {.mark = {1, 2}};
    dp_ping_params p = {.heartbeat_s = 600, .arrival = 1};
    dp_hier_state h = {.is_map_known = 1};
    assert_int_equal(dp_coll_state_put(l->store, NULL, &l->who, S("5"), &st),
                     APR_SUCCESS);
    assert_int_equal(dp_ping_params_put(l->store, NULL, &l->who, &p),
                     APR_SUCCESS);
    dp_hier_state_put(l->store, NULL, &l->who, &h);
    dp_folder_map_set(l->store, NULL, &l->who, S("5"), S("0"), S("Inbox"), 2);
    dp_proof_put(l->store, NULL, l->proof_key, &l->who, S("Basic x"),
                 l->now_us);
}

static bool has_marks(lab *l)
{
    dp_coll_state st;
    return dp_coll_state_get(l->store, NULL, &l->who, S("5"), &st);
}

static bool has_params(lab *l)
{
    dp_ping_params p;
    bool has = dp_ping_params_get(l->store, NULL, &l->who, &p);
    dp_ping_params_free(&p);
    return has;
}

static bool has_proof(lab *l)
{
    dp_time_us until;
    return dp_proof_get(l->store, NULL, l->proof_key, &l->who, S("Basic x"),
                        DP_SECOND_US, l->now_us, &until) != DP_PROOF_NONE;
}

static void
after_a_clean_stop_and_a_reboot_maps_and_parameters_stay(void **state)
{
    lab *l = *state;
    reopen_in(l, true, 1);
    remember_some(l);
    reopen_in(l, false, 1); /* the same boot: all is there */
    assert_true(has_marks(l) && has_params(l) && has_proof(l));
    reopen_in(l, true, 2);
    assert_false(has_marks(l)); /* of another bus */
    assert_false(has_proof(l)); /* of another key */
    assert_true(has_params(l));
    assert_string_equal(lab_map(l, "5", DP_CLASS_UNKNOWN), "Email INBOX");
}

static void after_a_power_cut_nothing_is_believed(void **state)
{
    lab *l = *state;
    reopen_in(l, true, 1);
    remember_some(l);
    reopen_in(l, false, 2);
    assert_false(has_marks(l) || has_params(l) || has_proof(l));
    remember_some(l);
    assert_true(has_params(l));
}

static void prepare_in(lab *l, uint8_t boot_byte)
{
    uint8_t boot[16];
    memset(boot, boot_byte, sizeof(boot));
    assert_int_equal(dp_store_prepare_in(l->dir, geteuid(), getegid(), boot),
                     APR_SUCCESS);
}

static dp_hier_state hier_of(lab *l)
{
    dp_hier_state h;
    dp_hier_state_get(l->store, NULL, &l->who, &h);
    return h;
}

/* Of a checkpoint only what a folder is, if its phone is still there. */
static void after_a_power_cut_maps_are_kept_in_doubt(void **state)
{
    lab *l = *state;
    reopen_in(l, true, 1);
    remember_some(l);
    dp_hier_state known = {.mark = {1, 2}, .key_hash = 3, .prev_key_hash = 4,
                           .announced_n = 1, .is_map_known = 1};
    dp_hier_state_put(l->store, NULL, &l->who, &known);
    prepare_in(l, 1); /* httpd is reloaded */
    for (uint8_t boot = 2; boot < 4; boot++) {
        l->store->ops->close(l->store, false);
        l->store = NULL;
        prepare_in(l, boot); /* … and makes another one */
        reopen_in(l, false, boot);
        assert_false(has_marks(l) || has_params(l) || has_proof(l));
        dp_hier_state h = hier_of(l);
        dp_hier_state want = {.key_hash = 3, .prev_key_hash = 4,
                              .is_map_kept = 1};
        assert_memory_equal(&h, &want, sizeof(h));
        dp_hier_state_put(l->store, NULL, &l->who, &known);
        assert_string_equal(lab_map(l, "5", DP_CLASS_UNKNOWN), "Email INBOX");
        remember_some(l);
        dp_hier_state_put(l->store, NULL, &l->who, &known);
    }
}

static void a_damaged_checkpoint_is_none(void **state)
{
    lab *l = *state;
    static const unsigned char zeros[2 * 4096];
    char path[128];
    struct stat st;
    reopen_in(l, true, 1);
    remember_some(l);
    prepare_in(l, 1);
    l->store->ops->close(l->store, false);
    l->store = NULL;
    snprintf(path, sizeof(path), "%s/checkpoint.mdb", l->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    spoil(l, "checkpoint.mdb", zeros, sizeof(zeros), 0, false);
    reopen_in(l, false, 2);
    assert_int_equal(hier_of(l).is_map_kept, 0);
    remember_some(l);
    prepare_in(l, 2);
    assert_int_equal(truncate(path, 4096), 0);
    reopen_in(l, false, 3);
    assert_int_equal(hier_of(l).is_map_kept, 0);
}

static void pages_that_never_reached_the_disk_are_noticed(void **state)
{
    lab *l = *state;
    static const unsigned char zeros[64 * 4096];
    char path[128];
    struct stat st;
    for (int is_same_boot = 0; is_same_boot < 2; is_same_boot++) {
        reopen_in(l, true, 1);
        remember_some(l);
        l->store->ops->close(l->store, false);
        l->store = NULL;
        snprintf(path, sizeof(path), "%s/data.mdb", l->dir);
        assert_int_equal(stat(path, &st), 0);
        spoil(l, "data.mdb", zeros, (size_t)st.st_size - 2 * 4096, 2 * 4096,
              false);
        reopen_in(l, false, is_same_boot ? 1 : 2);
        assert_false(has_params(l));
        remember_some(l);
        assert_true(has_params(l));
    }
}

static void one_write_after_a_clean_stop_makes_it_unclean(void **state)
{
    lab *l = *state;
    reopen_in(l, true, 1);
    remember_some(l);
    reopen_in(l, true, 1);  /* one child stopped cleanly, another goes on */
    remember_some(l);       /* nothing changes: no write but `h` and `c` */
    reopen_in(l, false, 2); /* and then the power goes */
    assert_false(has_params(l));
}

static void a_store_of_another_layout_is_emptied_and_not_written(void **state)
{
    lab *l = *state;
    MDB_txn *t;
    dp_lmdb *s = (dp_lmdb *)l->store;
    dp_store_version v;
    put(l, "k", "one");
    assert_int_equal(mdb_txn_begin(s->env, NULL, 0, &t), 0);
    assert_int_equal(dp_lmdb_version_get(t, s->dbi, &v), 0);
    v.layout++; /* a newer module has settled it */
    dp_lmdb_version_put(t, s->dbi, &v);
    mdb_txn_commit(t);
    dp_store_txn *w = NULL;
    assert_int_not_equal(l->store->ops->begin(l->store, true, &w), APR_SUCCESS);
    assert_null(w);
    lab_reopen(l, false);
    assert_null(get(l, "k"));
    put(l, "k", "two");
}

static int complaints;

static void count_complaint(const char *text)
{
    assert_non_null(strstr(text, "device store /"));
    complaints++;
}

static void a_full_store_is_emptied_and_goes_on(void **state)
{
    lab *l = *state;
    static char value[2000];
    memset(value, 'v', sizeof(value) - 1);
    complaints = 0;
    dp_store_complain = count_complaint;
    for (int i = 0; i < 10000; i++) {
        char key[16];
        dp_store_txn *t;
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(l->store->ops->begin(l->store, true, &t), APR_SUCCESS);
        assert_int_equal(l->store->ops->put(t, S(key), S(value)), APR_SUCCESS);
        assert_int_equal(l->store->ops->commit(&t), APR_SUCCESS);
    }
    dp_store_complain = NULL;
    assert_int_equal(complaints, 1); /* once, though it happened often */
    assert_null(get(l, "k0"));
    put(l, "k", "one");
    assert_string_equal(get(l, "k"), "one");
}

static void what_does_not_fit_is_an_error_and_no_more(void **state)
{
    lab *l = *state;
    size_t n = 64 << 20;
    unsigned char *large = calloc(1, n);
    dp_store_txn *t;
    complaints = 0;
    dp_store_complain = count_complaint;
    put(l, "k", "one");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(l->store->ops->begin(l->store, true, &t), APR_SUCCESS);
        assert_int_equal(
            l->store->ops->put(t, S("large"), dp_span_of(large, n)),
            APR_ENOSPC);
        l->store->ops->abort(&t);
    }
    dp_store_complain = NULL;
    assert_int_equal(complaints, 1);
    assert_string_equal(get(l, "k"), "one");
    put(l, "k", "two");
    free(large);
}

static void without_a_directory_memory_takes_its_place(void **state)
{
    dp_store *s;
    const char *why = NULL;
    assert_int_equal(dp_store_open(&s, "/nonexistent/dir", 1 << 20, 8, &why),
                     APR_SUCCESS);
    assert_non_null(why);
    assert_string_equal(s->ops->name, "ram");
    s->ops->close(s, true);
}

static void prepare_makes_the_directory_and_settles_it(void **state)
{
    lab *l = *state;
    char dir[128];
    struct stat st;
    uint8_t boot[16] = {9};
    const char *why = NULL;
    dp_store *s;
    snprintf(dir, sizeof(dir), "%s/a/b/devices", l->dir);
    assert_int_equal(dp_store_prepare_in(dir, geteuid(), getegid(), boot),
                     APR_SUCCESS);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(dp_store_prepare_in(dir, geteuid(), getegid(), boot),
                     APR_SUCCESS);
    assert_int_equal(dp_store_open_in(&s, dir, 1 << 20, 64, boot, &why),
                     APR_SUCCESS);
    assert_null(why);
    /* it has as many readers as the child asked for */
    dp_store_txn *readers[64];
    for (int i = 0; i < 60; i++) {
        assert_int_equal(s->ops->begin(s, false, &readers[i]), APR_SUCCESS);
    }
    for (int i = 0; i < 60; i++) {
        s->ops->abort(&readers[i]);
    }
    /* while a child has it open, as at a graceful restart */
    assert_int_equal(dp_store_prepare_in(dir, geteuid(), getegid(), boot),
                     APR_SUCCESS);
    s->ops->close(s, true);
    assert_int_not_equal(dp_store_prepare_in("/dev/null/x", 0, 0, boot),
                         APR_SUCCESS);
}

static void prepare_as_root_belongs_to_the_other_user(void **state)
{
    lab *l = *state;
    char dir[128], path[160];
    struct stat st;
    uint8_t boot[16] = {9};
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chmod(l->dir, 0755), 0);
    snprintf(dir, sizeof(dir), "%s/devices", l->dir);
    assert_int_equal(dp_store_prepare_in(dir, 12345, 12346, boot), APR_SUCCESS);
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 12345);
    assert_int_equal(st.st_gid, 12346);
    /* that user may put a link there; it leads root nowhere */
    char target[160];
    snprintf(target, sizeof(target), "%s/precious", l->dir);
    spoil(l, "precious", "x", 1, 0, true);
    assert_int_equal(chmod(target, 0600), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(dp_store_prepare_in(dir, 12345, 12346, boot), APR_SUCCESS);
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_size, 1);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
}

/* In a child process, which has not inherited the environment's use. */
static void in_child(lab *l, void (*what)(lab *l))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *why = NULL;
        if (dp_store_open(&l->store, l->dir, 4 << 20, 32, &why) || why) {
            _exit(1);
        }
        l->env.store = l->store;
        what(l);
        l->store->ops->close(l->store, false);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void put_mark_7(lab *l)
{
    dp_coll_state st = {.mark = {1, 7}};
    dp_coll_state_put(l->store, NULL, &l->who, S("5"), &st);
}

static void expect_mark_7_put_8(lab *l)
{
    dp_coll_state st;
    if (!dp_coll_state_get(l->store, NULL, &l->who, S("5"), &st) ||
        st.mark.seq != 7) {
        _exit(2);
    }
    st.mark.seq = 8;
    dp_coll_state_put(l->store, NULL, &l->who, S("5"), &st);
}

static void children_share_a_store(void **state)
{
    lab *l = *state;
    l->store->ops->close(l->store, true); /* opened after fork only */
    l->store = NULL;
    in_child(l, put_mark_7);
    in_child(l, expect_mark_7_put_8);
    const char *why;
    dp_store_open(&l->store, l->dir, 4 << 20, 32, &why);
    assert_int_equal(lab_state(l, "5").mark.seq, 8);
}

static void count_to_500(lab *l)
{
    count_up(l->store);
}

static void children_that_write_at_once_lose_nothing(void **state)
{
    lab *l = *state;
    enum { CHILDREN = 4 };
    pid_t pids[CHILDREN];
    l->store->ops->close(l->store, true);
    l->store = NULL;
    for (int i = 0; i < CHILDREN; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            const char *why = NULL;
            if (dp_store_open(&l->store, l->dir, 4 << 20, 32, &why) || why) {
                _exit(1);
            }
            count_to_500(l);
            l->store->ops->close(l->store, i % 2);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    const char *why;
    dp_store_txn *t;
    dp_span v;
    uint64_t n = 0;
    dp_store_open(&l->store, l->dir, 4 << 20, 32, &why);
    l->store->ops->begin(l->store, false, &t);
    assert_int_equal(l->store->ops->get(t, S("n"), &v), APR_SUCCESS);
    memcpy(&n, v.p, sizeof(n));
    l->store->ops->abort(&t);
    assert_int_equal(n, CHILDREN * 500);
}

static void die_within_a_transaction(lab *l)
{
    dp_store_txn *r, *w;
    l->store->ops->begin(l->store, false, &r);
    l->store->ops->begin(l->store, true, &w);
    l->store->ops->put(w, S("k"), S("never"));
    _exit(0); /* as a kill would: nothing is given back */
}

static void a_killed_child_leaves_neither_lock_nor_half_a_write(void **state)
{
    lab *l = *state;
    l->store->ops->close(l->store, true);
    l->store = NULL;
    for (int i = 0; i < 40; i++) { /* more than there are reader slots */
        in_child(l, die_within_a_transaction);
    }
    const char *why;
    dp_store_open(&l->store, l->dir, 4 << 20, 32, &why);
    assert_null(why);
    assert_null(get(l, "k"));
    put(l, "k", "mine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_its_parts_ended_by_nul),
        cmocka_unit_test(keys_are_never_ambiguous),
        cmocka_unit_test(every_key_fits),
        LAB_RAM(an_empty_last_part_is_the_prefix_of_all),
        LAB_BOTH(what_is_committed_can_be_read),
        LAB_BOTH(an_abort_leaves_no_trace),
        LAB_BOTH(a_reader_sees_one_state_to_its_end),
        LAB_BOTH(a_scan_visits_a_prefix_in_order),
        LAB_BOTH(random_writes_match_a_model),
        LAB_BOTH(a_record_of_another_size_is_absent),
        cmocka_unit_test(a_bounded_store_refuses_the_rest),
        LAB_BOTH(threads_share_a_store),
        LAB_LMDB(what_was_stored_outlives_a_restart),
        LAB_LMDB(garbage_is_emptied),
        LAB_LMDB(a_file_that_is_shorter_than_it_says_is_emptied),
        LAB_LMDB(after_a_clean_stop_and_a_reboot_maps_and_parameters_stay),
        LAB_LMDB(after_a_power_cut_nothing_is_believed),
        LAB_LMDB(after_a_power_cut_maps_are_kept_in_doubt),
        LAB_LMDB(a_damaged_checkpoint_is_none),
        LAB_LMDB(pages_that_never_reached_the_disk_are_noticed),
        LAB_LMDB(one_write_after_a_clean_stop_makes_it_unclean),
        LAB_LMDB(a_store_of_another_layout_is_emptied_and_not_written),
        LAB_LMDB(a_full_store_is_emptied_and_goes_on),
        LAB_LMDB(what_does_not_fit_is_an_error_and_no_more),
        cmocka_unit_test(without_a_directory_memory_takes_its_place),
        LAB_LMDB(prepare_makes_the_directory_and_settles_it),
        LAB_LMDB(prepare_as_root_belongs_to_the_other_user),
        LAB_LMDB(children_share_a_store),
        LAB_LMDB(children_that_write_at_once_lose_nothing),
        LAB_LMDB(a_killed_child_leaves_neither_lock_nor_half_a_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
