/* learn: what one observed exchange teaches, and what is to be done then.
 *
 * One dp_exchange per request that passes to the backend: the request's bytes
 * go in, the response's bytes go in, at the end dp_exchange_conclude() writes
 * to the device store by the rules of design.md sections 3 and 6 and
 * eas-protocol 1.6, 4.6, 5. Streaming, bounded memory; knows no httpd type.
 * One exchange, one thread at a time; store writes happen in conclude only.
 */
#ifndef LEARN_H
#define LEARN_H

#include "bus/bus_read.h"
#include "device/device.h"
#include "device/device_store.h"
#include "observe/tap.h"
#include "wire/eas_url.h"

typedef struct dp_exchange dp_exchange;

/* What the exchange may look at; borrowed, must outlive it. */
typedef struct dp_learn_env {
    dp_store *store;
    const dp_bus_map *bus;   /* NULL or header NULL: no bus; no marks then */
    const uint8_t *proof_key;
    dp_time_us backend_lag_us;
    dp_time_us trust_us;
    uint64_t line; /* the connection whose next request of the device shows that
                      it has the response; 0: another proof is awaited */
} dp_learn_env;

/** A topic by name, in memory of the exchange. */
typedef struct dp_topic_name {
    dp_class class_id;
    dp_span folder;
} dp_topic_name;

/* An upload of the device, to be published. */
typedef struct dp_learn_upload {
    dp_topic_name topic;
    bool is_new;     /* items were added, else flags or deletions */
    dp_span id;      /* the collection */
    uint64_t mark;   /* seq of the provisional mark that it got, or 0 */
} dp_learn_upload;

/* The outcome. Lists belong to the exchange. */
typedef struct dp_learned {
    bool is_proof;    /* the Authorization was accepted, and stored */
    bool is_rejected; /* 401/403: that proof was removed */
    bool is_refused;  /* 449, wipe, block, or 401/403 of what was proven:
                         holds of this device must end, and its next Pings
                         pass */
    uint64_t token;   /* delivery to be told by dp_coll_state_delivered();
                         0: no provisional mark was made */
    const dp_span *ids; /* collections with provisional marks */
    size_t ids_n;
    bool is_hierarchy; /* the token stands for a FolderSync's mark */
    const dp_topic_name *wants; /* topics to `watch` */
    size_t wants_n;
    const dp_learn_upload *uploads;
    size_t uploads_n;
    unsigned passed_status; /* of a passed Ping; 0 otherwise */
} dp_learned;

/* What a request can make an exchange hold, whatever it sends and whatever
 * compression it uses: two inflaters of 44 KiB, 512 collections of at most
 * 320 bytes, a Ping's body of 64 KiB, two parsers of 3 KiB: below 512 KiB. What
 * a *backend* says of folders is bounded apart: 10,000 of them, 4 MiB. */

/**
 * A request is about to be forwarded: reads the bus's head *now* (3.1).
 * Also confirms or withdraws provisional marks, later, from the SyncKeys.
 * @param authorization the header's value, or empty; copied
 * @param had_proof the proof was GOOD on arrival
 * @return malloc'ed; dp_exchange_free()
 */
dp_exchange *dp_exchange_begin(const dp_learn_env *env, const dp_who *who,
                               dp_cmd cmd, dp_span authorization,
                               bool had_proof, dp_time_us now_us);

void dp_exchange_request_coding(dp_exchange *x, dp_tap_coding coding);
void dp_exchange_request_bytes(dp_exchange *x, dp_span bytes);
/** The whole body was seen (also when it is empty). Early: called before the
 *  response begins if the backend read it all. */
void dp_exchange_request_end(dp_exchange *x);

/** @param content_length announced, or -1 */
void dp_exchange_response_begin(dp_exchange *x, int http_status,
                                dp_tap_coding coding, int64_t content_length);
void dp_exchange_response_bytes(dp_exchange *x, dp_span bytes);

/** A newer Ping than this one has come: what this one asks for counts no more,
 *  and what was stored before is perhaps not what the newer one left out. */
void dp_exchange_overtaken(dp_exchange *x);

/**
 * The response ended.
 * @param is_whole EOS seen, no error; what the length said came
 * Writes to the store; never fails towards the caller: what can't be stored
 * is not known. Must be called at most once.
 */
void dp_exchange_conclude(dp_exchange *x, bool is_whole, dp_time_us now_us,
                          dp_learned *out);

/**
 * An upload was published as `seq`, and before it the topic stood at `prev`:
 * moves the device's own provisional and firm mark to seq where prev <= it
 * (design.md 6.4), and where vouching has not begun anew since: what came
 * before watched_from nobody has seen.
 */
void dp_exchange_published(dp_exchange *x, const dp_learn_upload *u,
                           uint64_t seq, uint64_t prev);

void dp_exchange_free(dp_exchange **x);

#endif
