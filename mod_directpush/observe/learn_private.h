/* learn_private: the exchange, and what the learn_*.c files do to it.
 *
 * learn.c         life of an exchange: bytes to parsers, conclude
 * learn_proof.c   what a response says of the Authorization and the device
 * learn_sync.c    Sync: which collections, completed or not
 * learn_marks.c   what one collection's outcome does to its state (pure)
 * learn_folders.c FolderSync, FolderCreate, FolderUpdate, FolderDelete
 * learn_ping.c    passed Pings: their parameters
 * learn_moves.c   MoveItems
 * learn_out.c     the lists that the outcome consists of; uploads published
 */
#ifndef LEARN_PRIVATE_H
#define LEARN_PRIVATE_H

#include "base/dp_check.h"
#include "device/coll_state.h"
#include "device/folder_map.h"
#include "device/last_sync.h"
#include "device/ping_params.h"
#include "device/proof.h"
#include "observe/learn.h"
#include "wire/eas_folders.h"
#include "wire/eas_move.h"
#include "wire/eas_ping.h"
#include "wire/eas_sync.h"

#define DP_LEARN_COLLECTIONS_MAX DP_LAST_SYNC_MAX
#define DP_LEARN_PING_MAX        65536 /* bytes of a Ping's body */

/* A collection of the Sync, request and response joined by its id. */
typedef struct dp_sync_seen {
    char *id; /* of the exchange */
    size_t id_n;
    dp_class class_id;
    uint64_t key_hash;
    bool key_is_zero;
    bool wants_changes;
    bool said_get_changes;
    bool is_odd;        /* something did not fit, or it was named twice */
    bool is_unasked;    /* only answered; record `s` may know of it */
    unsigned adds, changes, deletes, fetches; /* of the client */
    uint32_t filter;
    /* response */
    bool is_answered;
    bool more_available;
    unsigned status;
    uint64_t new_key_hash;
    unsigned brought_adds, brought_others; /* of the server; others are
                                              Changes and Deletes */
    unsigned left; /* SoftDeletes */
    unsigned bad;       /* client's items that were refused */
    bool has_responses; /* to what the client sent */
} dp_sync_seen;

typedef struct dp_learn_sync {
    dp_sync_parser request, response;
    dp_sync_seen *list;
    size_t n, cap;
    bool is_too_many;
    bool has_commands; /* of the client, for one of them */
} dp_learn_sync;

/* One Add, Update or Delete of a FolderSync; spans into the exchange. */
typedef struct dp_folder_seen {
    dp_folder_op op;
    unsigned type;
    dp_span id, parent, name;
} dp_folder_seen;

typedef struct dp_learn_folders {
    dp_folders_parser request, response;
    dp_folder_seen *list;
    size_t n, cap;
    size_t bytes;
    bool is_too_many;
} dp_learn_folders;

/* The Status of a document of which we want nothing else. */
typedef struct dp_learn_status {
    dp_wbxml_reader reader;
    dp_wbxml_tag root;     /* what it has to be */
    dp_wbxml_tag status_tag; /* child of the root */
    bool is_whole, is_bad;
    bool has_wipe;         /* Provision: RemoteWipe */
    bool in_status;
    unsigned status;       /* 0: none */
} dp_learn_status;

typedef struct dp_learn_moves {
    dp_move_parser request, response;
    dp_learn_status status;
    dp_sync_seen *list; /* id and adds only: adds > 0 is a destination */
    size_t n, cap;
} dp_learn_moves;

typedef struct dp_learn_ping {
    dp_ping_response response;
    unsigned char *body;
    size_t body_n, body_cap;
    bool is_too_long;
} dp_learn_ping;

/* What is done with the exchanges of one kind of command. */
typedef struct dp_learn_kind {
    void (*begin)(dp_exchange *x);
    bool (*request)(dp_exchange *x, dp_span clear);
    bool (*response)(dp_exchange *x, dp_span clear);
    /** @return the body was read whole; *out_status as it says, or 0 */
    bool (*status)(const dp_exchange *x, unsigned *out_status);
    /** Write what it teaches; only with proof. May be NULL. */
    apr_status_t (*learn)(dp_exchange *x, dp_store_txn *t);
    void (*free)(dp_exchange *x);
} dp_learn_kind;

extern const dp_learn_kind dp_learn_sync_kind, dp_learn_folders_kind,
    dp_learn_ping_kind, dp_learn_moves_kind, dp_learn_meeting_kind,
    dp_learn_status_kind;

/* Memory of an exchange: blocks in a list. */
typedef struct dp_learn_block {
    struct dp_learn_block *next;
    _Alignas(16) unsigned char bytes[];
} dp_learn_block;

#define DP_EXCHANGE_MAGIC 0x44504558u /* "DPEX" */

struct dp_exchange {
    uint32_t magic;
    dp_learn_env env;
    dp_who who;            /* into blocks */
    dp_cmd cmd;
    const dp_learn_kind *kind; /* NULL: nothing of its bodies is of use */
    unsigned char *authorization; /* wiped when freed */
    size_t authorization_n;
    bool had_proof;
    dp_time_us began_us;
    dp_time_us now_us;     /* conclude's */
    dp_mark start;         /* the bus when it began; instance 0: no bus */
    uint64_t forget_seq;   /* newest FORGET then */
    dp_tap *request_tap, *response_tap;
    bool request_is_whole; /* and its coding ended well */
    bool response_is_whole;
    bool is_concluded;
    bool is_overtaken;     /* by a newer Ping */
    int http_status;       /* 0: no response began */
    int64_t content_length;
    uint64_t response_n;   /* bytes as they came */
    dp_ping_params pinged; /* what the device Pings, once has_pinged */
    bool has_pinged;
    union {
        dp_learn_sync sync;
        dp_learn_folders folders;
        dp_learn_moves moves;
        dp_learn_ping ping;
        dp_learn_status status;
    } as;
    /* the outcome */
    uint64_t token;
    bool is_hierarchy;
    dp_span *ids;
    size_t ids_n, ids_cap;
    dp_topic_name *wants;
    size_t wants_n, wants_cap;
    dp_learn_upload *uploads;
    size_t uploads_n, uploads_cap;
    dp_learn_block *blocks;
};

/* learn_out.c */
void *dp_learn_alloc(dp_exchange *x, size_t n);
dp_span dp_learn_keep(dp_exchange *x, dp_span s);
/** Make room for one more of `size` bytes. @return where it goes, zeroed */
void *dp_learn_grow(void **list, size_t *n, size_t *cap, size_t size);
/** Which delivery makes this exchange's provisional marks firm. */
uint64_t dp_learn_token(dp_exchange *x);
void dp_learn_want(dp_exchange *x, dp_class c, dp_span folder);
void dp_learn_upload_add(dp_exchange *x, const dp_learn_upload *u);
/** The topic of a collection. Without a hint the class is the one that the
 *  device's Pings say. @return false: nobody knows */
bool dp_learn_topic(dp_exchange *x, dp_store_txn *t, dp_span id,
                    dp_class hint, dp_folder_topic *out);
/* A topic, when an exchange has ended. */
typedef struct dp_learn_topic_seen {
    bool is_vouched;    /* else nobody watches it just now; its changes stand */
    uint64_t newest;    /* of changed and, if vouched for, watched_from */
    dp_bus_view view;
} dp_learn_topic_seen;

/** The topic as it is now; where there is none, its class topic, if that is
 *  vouched for. @return false: neither, or no bus */
bool dp_learn_look(const dp_exchange *x, dp_class c, dp_span folder,
                   dp_learn_topic_seen *seen);

/* learn_proof.c */
typedef struct dp_verdict_of {
    bool is_accepted; /* the Authorization */
    bool is_rejected;
    bool is_refused;  /* the device */
    bool is_welcome;  /* Sync or FolderSync accepted: no longer refused */
} dp_learn_verdict;
dp_learn_verdict dp_learn_judge(dp_exchange *x);
/** The administrator forgot somebody since this began: what the backend
 *  accepted then is not to bring him back. */
bool dp_learn_is_forgetting(const dp_exchange *x);
void dp_learn_status_init(dp_learn_status *s, dp_cmd cmd);
bool dp_learn_status_feed(dp_learn_status *s, dp_span chunk);

/* learn_marks.c: one collection of a Sync that ended, in numbers */
typedef struct dp_mark_news {
    uint64_t key_hash, new_key_hash; /* 0: none */
    bool key_is_zero;
    bool is_answered;   /* Status 1, or an empty response */
    bool is_gone;       /* Status 3: the device starts over */
    bool is_completed;  /* conditions 1 to 4 of eas-protocol 4.6 */
    bool has_commands;  /* of the client */
    uint32_t filter;    /* its FilterType; 0: not said */
    bool has_other_filter; /* than its last Sync: dp_learn_marks() sets it */
    /* items that came down: Adds; Changes and Deletes, of which two may be of
     * one item, and some of one that has not changed (deleted for its age) */
    uint32_t brought_adds, brought_others;
    uint32_t left;      /* SoftDeletes: what is too old now; no changes */
    bool has_more;      /* MoreAvailable */
    bool is_kept_back;  /* the backend may have sent none for the sake of the
                           client's commands (eas-protocol 4.4) */
    dp_mark start;      /* the bus before the request went out */
    dp_time_us began_us, now_us;
    uint64_t token;
    /* the topic; with neither of the two the rest is not set */
    bool is_vouched;
    bool was_given_up;  /* nobody watches it just now; its changes stand */
    uint64_t changed, newest; /* newest: of changed and watched_from */
    uint64_t changed_new;     /* the newest new item */
    uint64_t watched_from;
    dp_bus_ref ref;           /* which topic it is */
    bool is_counted;          /* these, as in dp_bus_view */
    uint32_t adds_n;
    uint16_t others_n;
    dp_time_us changed_at_us; /* of `newest` */
    dp_time_us backend_lag_us;
} dp_mark_news;

/** Items that came down, whatever they are worth: they have to arrive. */
static inline uint32_t dp_mark_news_brought(const dp_mark_news *n)
{
    return n->brought_adds + n->brought_others + n->left;
}

/** @return true when `st` has a provisional mark of this Sync now */
bool dp_learn_marks(dp_coll_state *st, const dp_mark_news *news);

#endif
