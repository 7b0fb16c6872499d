#include "test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dp_check.h"
#include "wire/wbxml_tokens.h"
#include "wire/wbxml_write.h"

#define AS(name) DP_TAG_AIRSYNC_##name
#define FH(name) DP_TAG_FOLDER_##name

#define LAB_STORE_BYTES   ((size_t)4 << 20)
#define LAB_STORE_READERS 32
#define AUTHORIZATION     "Basic YWxpY2U6c2VjcmV0"

static void open_store(lab *l)
{
    const char *why = NULL;
    assert_int_equal(dp_store_open(&l->store, l->dir, LAB_STORE_BYTES,
                                   LAB_STORE_READERS, &why),
                     APR_SUCCESS);
    if (why) {
        fail_msg("%s", why);
    }
    l->env.store = l->store;
}

static int setup(void **state, bool is_lmdb)
{
    lab *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    strcpy(l->dir, "/tmp/dp-lab-XXXXXX");
    assert_non_null(mkdtemp(l->dir));
    l->now_us = 1000 * DP_SECOND_US;
    dp_clock_fake(l->now_us);
    memset(l->proof_key, 7, sizeof(l->proof_key));
    l->who =
        (dp_who){S("mail.example.com"), S("alice"), S("alice"), S("appl12")};
    l->had_proof = true;
    l->env = (dp_learn_env){.proof_key = l->proof_key,
                            .backend_lag_us = 2 * DP_SECOND_US,
                            .trust_us = 12 * 3600 * DP_SECOND_US};
    if (is_lmdb) {
        open_store(l);
    }
    else {
        assert_int_equal(dp_store_ram_open(&l->store), APR_SUCCESS);
        l->env.store = l->store;
    }
    *state = l;
    return 0;
}

int lab_setup_ram(void **state)
{
    return setup(state, false);
}

int lab_setup_lmdb(void **state)
{
    return setup(state, true);
}

int lab_teardown(void **state)
{
    lab *l = *state;
    char command[128];
    dp_exchange_free(&l->x);
    if (l->bus) {
        dp_bus_close(&l->bus, true);
    }
    if (l->store) {
        l->store->ops->close(l->store, false);
    }
    snprintf(command, sizeof(command), "rm -rf %s", l->dir);
    assert_int_equal(system(command), 0);
    dp_clock_fake(0);
    free(l);
    return 0;
}

void lab_tick(lab *l, dp_time_us us)
{
    l->now_us += us;
    dp_clock_fake(l->now_us);
}

void lab_reopen(lab *l, bool is_clean)
{
    l->store->ops->close(l->store, is_clean);
    open_store(l);
}

void lab_bus(lab *l)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/bus", l->dir);
    dp_bus_create_args args = {.path = path,
                               .topic_cap = 256,
                               .journal_cap = 256,
                               .head_at_least = 100,
                               .group = (gid_t)-1};
    assert_int_equal(dp_bus_create(&l->bus, &args), APR_SUCCESS);
    l->env.bus = dp_bus_writer_map(l->bus);
}

dp_bus_ref lab_topic(lab *l, dp_class c, const char *folder)
{
    const dp_bus_map *map = dp_bus_writer_map(l->bus);
    dp_hash key =
        dp_topic_key(map->header->hash_key, l->who.user, c, S(folder));
    dp_bus_ref ref = dp_bus_topic_add(l->bus, key, DP_BUS_NO_SLOT, 0);
    assert_int_not_equal(ref.slot, DP_BUS_NO_SLOT);
    dp_bus_vouch(l->bus, ref, 0);
    return ref;
}

uint64_t lab_change(lab *l, dp_bus_ref topic)
{
    uint64_t prev;
    return dp_bus_publish(l->bus, topic, 1, 0, l->now_us, &prev);
}

uint64_t lab_head(const lab *l)
{
    return dp_bus_head(dp_bus_writer_map(l->bus));
}

dp_coll_state lab_state(lab *l, const char *id)
{
    dp_coll_state st;
    dp_coll_state_get(l->store, NULL, &l->who, S(id), &st);
    return st;
}

dp_hier_state lab_hier(lab *l)
{
    dp_hier_state st;
    dp_hier_state_get(l->store, NULL, &l->who, &st);
    return st;
}

const char *lab_map(lab *l, const char *id, dp_class hint)
{
    static char text[DP_TOPIC_FOLDER_MAX + 64];
    dp_folder_topic topic;
    if (!dp_folder_map_topic(l->store, NULL, &l->who, S(id), hint, &topic)) {
        assert_int_equal(topic.class_id, DP_CLASS_UNKNOWN);
        return "none";
    }
    assert_int_equal(strlen(topic.folder), topic.folder_n);
    assert_true(dp_topic_folder_is_sane(S(topic.folder)));
    snprintf(text, sizeof(text), "%s %s", dp_class_name(topic.class_id),
             topic.folder);
    return text;
}

uint64_t lab_mark(lab *l, const char *id)
{
    return dp_mark_seq(lab_state(l, id).mark,
                       dp_bus_writer_map(l->bus)->header->instance,
                       lab_head(l));
}

dp_span lab_span(const lab_body *b)
{
    return b ? dp_span_of(b->bytes, b->n) : dp_span_of(NULL, 0);
}

static lab_body *make_body(dp_wbxml_writer *w)
{
    lab_body *b = malloc(sizeof(*b));
    assert_non_null(b);
    dp_wbxml_write_init(w, b->bytes, sizeof(b->bytes));
    return b;
}

static lab_body *end_body(lab_body *b, dp_wbxml_writer *w)
{
    assert_true(dp_wbxml_write_is_ok(w));
    b->n = w->n;
    return b;
}

static void leaf(dp_wbxml_writer *w, dp_wbxml_tag tag, const char *text)
{
    if (text) {
        dp_wbxml_write_leaf(w, tag, S(text));
    }
}

static void number(dp_wbxml_writer *w, dp_wbxml_tag tag, unsigned n)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", n);
    if (n) {
        dp_wbxml_write_leaf(w, tag, S(text));
    }
}

static void items(dp_wbxml_writer *w, dp_wbxml_tag tag, unsigned n,
                  unsigned status)
{
    for (unsigned i = 0; i < n; i++) {
        dp_wbxml_write_open(w, tag);
        leaf(w, AS(ServerId), "1");
        number(w, AS(Status), status);
        dp_wbxml_write_close(w);
    }
}

static void write_coll(dp_wbxml_writer *w, const lab_coll *c)
{
    dp_wbxml_write_open(w, AS(Collection));
    leaf(w, AS(Class), c->class_name);
    leaf(w, AS(SyncKey), c->key);
    leaf(w, AS(CollectionId), c->id);
    number(w, AS(Status), c->status);
    if (c->more) {
        dp_wbxml_write_empty(w, AS(MoreAvailable));
    }
    leaf(w, AS(GetChanges),
         c->get_changes == 1    ? "1"
         : c->get_changes == -1 ? "0"
                                : NULL);
    bool is_answer = c->status != 0;
    if (c->adds + c->changes + c->deletes + (is_answer ? 0 : c->fetches)) {
        dp_wbxml_write_open(w, AS(Commands));
        items(w, AS(Add), c->adds, 0);
        items(w, AS(Change), c->changes, 0);
        items(w, AS(Delete), c->deletes, 0);
        items(w, AS(Fetch), is_answer ? 0 : c->fetches, 0);
        dp_wbxml_write_close(w);
    }
    if (c->ok + c->bad + (is_answer ? c->fetches : 0)) {
        dp_wbxml_write_open(w, AS(Responses));
        items(w, AS(Change), c->ok, 1);
        items(w, AS(Change), c->bad, 8);
        items(w, AS(Fetch), c->fetches, 1);
        dp_wbxml_write_close(w);
    }
    dp_wbxml_write_close(w);
}

lab_body *lab_sync(bool is_response, unsigned status, bool is_partial,
                   const lab_coll *list, size_t n)
{
    dp_wbxml_writer w;
    lab_body *b = make_body(&w);
    dp_wbxml_write_open(&w, AS(Sync));
    if (is_response) {
        number(&w, AS(Status), status);
    }
    if (n) {
        dp_wbxml_write_open(&w, AS(Collections));
        for (size_t i = 0; i < n; i++) {
            write_coll(&w, &list[i]);
        }
        dp_wbxml_write_close(&w);
    }
    if (is_partial) {
        dp_wbxml_write_empty(&w, AS(Partial));
    }
    dp_wbxml_write_close(&w);
    return end_body(b, &w);
}

lab_body *lab_foldersync(const char *key)
{
    return lab_folder_op(DP_CMD_FOLDERSYNC, 0, key, NULL, NULL, NULL, 0);
}

lab_body *lab_foldersync_response(unsigned status, const char *key,
                                  const lab_folder *list, size_t n)
{
    dp_wbxml_writer w;
    lab_body *b = make_body(&w);
    dp_wbxml_write_open(&w, FH(FolderSync));
    number(&w, FH(Status), status);
    leaf(&w, FH(SyncKey), key);
    dp_wbxml_write_open(&w, FH(Changes));
    for (size_t i = 0; i < n; i++) {
        const lab_folder *f = &list[i];
        dp_wbxml_write_open(&w, f->op == 'A'   ? FH(Add)
                                : f->op == 'U' ? FH(Update)
                                               : FH(Delete));
        leaf(&w, FH(ServerId), f->id);
        leaf(&w, FH(ParentId), f->parent);
        leaf(&w, FH(DisplayName), f->name);
        number(&w, FH(Type), f->type);
        dp_wbxml_write_close(&w);
    }
    dp_wbxml_write_close(&w);
    dp_wbxml_write_close(&w);
    return end_body(b, &w);
}

lab_body *lab_folder_op(dp_cmd cmd, unsigned status, const char *key,
                        const char *id, const char *parent, const char *name,
                        unsigned type)
{
    dp_wbxml_writer w;
    lab_body *b = make_body(&w);
    dp_wbxml_write_open(&w, cmd == DP_CMD_FOLDERCREATE   ? FH(FolderCreate)
                            : cmd == DP_CMD_FOLDERUPDATE ? FH(FolderUpdate)
                            : cmd == DP_CMD_FOLDERDELETE ? FH(FolderDelete)
                                                         : FH(FolderSync));
    number(&w, FH(Status), status);
    leaf(&w, FH(SyncKey), key);
    leaf(&w, FH(ServerId), id);
    leaf(&w, FH(ParentId), parent);
    leaf(&w, FH(DisplayName), name);
    number(&w, FH(Type), type);
    dp_wbxml_write_close(&w);
    return end_body(b, &w);
}

lab_body *lab_ping(unsigned heartbeat_s, const char *const *ids, size_t n)
{
    dp_ping_folder folders[16] = {{.id = {NULL, 0}}};
    lab_body *b = malloc(sizeof(*b));
    assert_non_null(b);
    assert_true(n <= 16);
    for (size_t i = 0; i < n; i++) {
        folders[i] = (dp_ping_folder){S(ids[i]), S("Email")};
    }
    b->n = dp_ping_request_write(b->bytes, sizeof(b->bytes), heartbeat_s,
                                 folders, n);
    assert_true(b->n > 0);
    return b;
}

lab_body *lab_ping_response(unsigned status)
{
    lab_body *b = malloc(sizeof(*b));
    dp_span id = S("5");
    assert_non_null(b);
    b->n = dp_ping_response_write(b->bytes, sizeof(b->bytes), status, &id,
                                  status == DP_PING_CHANGES, 60);
    return b;
}

void lab_begin(lab *l, dp_cmd cmd)
{
    dp_exchange_free(&l->x);
    l->x = dp_exchange_begin(&l->env, &l->who, cmd, S(AUTHORIZATION),
                             l->had_proof, l->now_us);
}

/* Each piece is a block of its own that is gone before the next comes. */
static void feed(lab *l, void (*to)(dp_exchange *x, dp_span bytes),
                 dp_span body)
{
    size_t step = l->chunk_n ? l->chunk_n : body.n;
    for (size_t at = 0; at < body.n; at += step) {
        size_t n = body.n - at < step ? body.n - at : step;
        unsigned char *piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, body.p + at, n);
        to(l->x, dp_span_of(piece, n));
        free(piece);
    }
}

void lab_request(lab *l, dp_span body)
{
    feed(l, dp_exchange_request_bytes, body);
    dp_exchange_request_end(l->x);
}

void lab_answer(lab *l, int http_status, dp_span body)
{
    dp_exchange_response_begin(l->x, http_status, DP_TAP_IDENTITY,
                               (int64_t)body.n);
    feed(l, dp_exchange_response_bytes, body);
}

void lab_conclude(lab *l, bool is_whole)
{
    dp_exchange_conclude(l->x, is_whole, l->now_us, &l->out);
}

void lab_exchange(lab *l, dp_cmd cmd, lab_body *request, int http_status,
                  lab_body *response)
{
    lab_begin(l, cmd);
    lab_request(l, lab_span(request));
    lab_answer(l, http_status, lab_span(response));
    lab_conclude(l, true);
    free(request);
    free(response);
}

void lab_sync_one(lab *l, const lab_coll *asked, const lab_coll *answered)
{
    lab_exchange(l, DP_CMD_SYNC, lab_sync(false, 0, false, asked, 1), 200,
                 answered ? lab_sync(true, 0, false, answered, 1) : NULL);
}

void lab_delivered(lab *l)
{
    assert_int_not_equal(l->out.token, 0);
    assert_int_equal(dp_coll_state_delivered(l->store, &l->who, l->out.token,
                                             l->out.ids, l->out.ids_n),
                     APR_SUCCESS);
}
