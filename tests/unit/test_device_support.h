/* test_device_support: a laboratory for the tests of device/ and observe/.
 *
 * A store (in memory or on disk), a real bus file, a phone, a clock that
 * stands still; and exchanges made of bodies that are written out in a few
 * words. Tests that matter for both stores run once with each.
 */
#ifndef TEST_DEVICE_SUPPORT_H
#define TEST_DEVICE_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bus/bus_write.h"
#include "device/coll_state.h"
#include "device/device_store.h"
#include "device/folder_map.h"
#include "device/last_sync.h"
#include "device/ping_params.h"
#include "device/proof.h"
#include "observe/learn.h"

#define S(text) dp_span_str(text)

typedef struct lab {
    char dir[64];        /* of its own, removed at the end */
    dp_store *store;
    dp_bus_writer *bus;  /* NULL until lab_bus() */
    dp_who who;
    uint8_t proof_key[DP_HASH_KEY_SIZE];
    dp_time_us now_us;   /* the fake clock, too */
    dp_learn_env env;
    dp_exchange *x;      /* the last exchange */
    dp_learned out;      /* … and its outcome */
    bool had_proof;      /* of the next exchange; true at first */
    size_t chunk_n;      /* bodies go in pieces of this size; 0: whole */
} lab;

/* cmocka fixtures; the state is a lab */
int lab_setup_ram(void **state);
int lab_setup_lmdb(void **state);
int lab_teardown(void **state);

/** A test, once with each store. */
#define LAB_BOTH(test)                                                         \
    {#test " in memory", test, lab_setup_ram, lab_teardown, NULL},             \
    {                                                                          \
        #test " on disk", test, lab_setup_lmdb, lab_teardown, NULL             \
    }
#define LAB_RAM(test) {#test, test, lab_setup_ram, lab_teardown, NULL}
#define LAB_LMDB(test) {#test, test, lab_setup_lmdb, lab_teardown, NULL}

void lab_tick(lab *l, dp_time_us us);

/** Close the store and open it again (on disk only). */
void lab_reopen(lab *l, bool is_clean);

/** Give it a bus. Topics are made and vouched for by lab_topic(). */
void lab_bus(lab *l);
dp_bus_ref lab_topic(lab *l, dp_class c, const char *folder);
/** Publish a change now. @return its seq */
uint64_t lab_change(lab *l, dp_bus_ref topic);
uint64_t lab_head(const lab *l);

dp_coll_state lab_state(lab *l, const char *id);
dp_hier_state lab_hier(lab *l);
/** `Email INBOX`, or `none`; good until the next call. */
const char *lab_map(lab *l, const char *id, dp_class hint);
/** The seq of the firm mark, 0 if there is none on this bus. */
uint64_t lab_mark(lab *l, const char *id);

/* One Collection of a Sync, either way. */
typedef struct lab_coll {
    const char *id, *key, *class_name;
    int get_changes; /* 0 left out, 1 `1`, -1 `0` */
    unsigned adds, changes, deletes; /* client's or server's */
    unsigned status; /* response; 0 left out */
    bool more;
    unsigned ok, bad; /* Responses */
    unsigned fetches; /* of the client, or answered in Responses */
} lab_coll;

typedef struct lab_body {
    unsigned char bytes[65536];
    size_t n;
} lab_body;

dp_span lab_span(const lab_body *b);
lab_body *lab_sync(bool is_response, unsigned status, bool is_partial,
                   const lab_coll *list, size_t n);
/* One change of a FolderSync; op 'A', 'U', 'D'. */
typedef struct lab_folder {
    char op;
    const char *id, *parent, *name;
    unsigned type;
} lab_folder;
lab_body *lab_foldersync(const char *key);
lab_body *lab_foldersync_response(unsigned status, const char *key,
                                  const lab_folder *list, size_t n);
/** FolderCreate and its like, request or response: what is NULL or 0 is left
 *  out. */
lab_body *lab_folder_op(dp_cmd cmd, unsigned status, const char *key,
                        const char *id, const char *parent, const char *name,
                        unsigned type);
lab_body *lab_ping(unsigned heartbeat_s, const char *const *ids, size_t n);
lab_body *lab_ping_response(unsigned status);

/* An exchange in steps; bodies are freed with lab_free(). */
void lab_begin(lab *l, dp_cmd cmd);
void lab_request(lab *l, dp_span body);
void lab_answer(lab *l, int http_status, dp_span body);
void lab_conclude(lab *l, bool is_whole);
/** All of that with bodies from above, which are freed; NULL: empty. */
void lab_exchange(lab *l, dp_cmd cmd, lab_body *request, int http_status,
                  lab_body *response);
/** A Sync of one collection. */
void lab_sync_one(lab *l, const lab_coll *asked, const lab_coll *answered);
/** The response arrived: what the next request on that connection tells. */
void lab_delivered(lab *l);

#endif
