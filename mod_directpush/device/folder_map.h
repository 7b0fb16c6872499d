/* folder_map: CollectionId to topic, per device, as FolderSync taught it.
 *
 * Order of knowledge (design.md 6.2, eas-protocol 5.3 to 5.6): SOGo's ids say
 * it themselves (`mail/<32 hex>` → /guid/…, `vevent/x`, `vtodo/x`, `vcard/x`;
 * `personal` may be merged folders, so the class topic), with /listed in front
 * when the map has them as somebody else's; else Type and the
 * path of DisplayNames up to the root; else, with the class known from the
 * Ping or Sync, the class topic, as an assumption; else nothing: blind.
 */
#ifndef FOLDER_MAP_H
#define FOLDER_MAP_H

#include "bus/topic_name.h"
#include "device/device.h"
#include "device/device_store.h"

/* The map belongs to the SyncKey that the last response gave (key_hash). When
 * that response may not have been seen whole, by us or by the phone, the map
 * is kept, but not believed until the phone shows which key it has:
 *
 *   request's key     map before       map after a whole response
 *   0                 any              as told, known
 *   key_hash          known or kept    changes applied, known
 *   prev_key_hash     known or kept    what key_hash had taught is dropped (the
 *                                      phone never got it), then as above
 *   other             any              dropped, unknown
 *
 * A request with another key that fails leaves it kept, not believed.
 */
typedef struct dp_hier_state {
    dp_mark mark;          /* last completed FolderSync, firm */
    dp_mark prov;          /* as in coll_state */
    uint64_t prov_token;
    uint64_t key_hash;     /* the hierarchy SyncKey the map belongs to */
    uint64_t prev_key_hash; /* key of the request that led to key_hash; 0 no */
    dp_mark announced;     /* Status 7 was answered for it */
    dp_time_us announced_at_us;
    dp_time_us lag_until_us; /* as in coll_state: ask once more then; 0 no */
    dp_time_us asked_at_us; /* as in coll_state */
    uint8_t is_map_known;  /* 0: a gap; the map proves nothing */
    uint8_t is_map_kept;   /* … but belongs to key_hash still */
    uint8_t announced_n;   /* times, without a completed FolderSync since */
    uint8_t spare[5];
} dp_hier_state;

/* A folder's topic. */
typedef struct dp_folder_topic {
    dp_class class_id; /* DP_CLASS_UNKNOWN: nobody can know; blind */
    bool is_assumed;   /* the class topic for want of any better */
    char folder[DP_TOPIC_FOLDER_MAX + 1];
    size_t folder_n;
} dp_folder_topic;

/**
 * Which topic is this collection?
 * @param class_hint from the Ping or Sync; DP_CLASS_UNKNOWN if absent
 * @return false: not even the class is known, or no topic can stand for it
 *         (Outbox, recipient cache, type 18, other people's folders); *out
 *         is zeroed then
 *
 * Mail folders that stand below the Inbox get the class topic: whether they
 * are `INBOX/name` or `name` is the backend's namespace (eas-protocol 5.5.4).
 * So do Drafts, Deleted and Sent when another folder is called the same.
 * The class topic is vouched for by the user's own mailboxes, so what may be
 * somebody else's must not get it: names in SOGo's ids, ids of
 * Z-Push that say "shared", and paths that can't be believed (a `.` in a
 * name, as in shared/bob@example.com/Projects) are blind. A path need not
 * exist as such: the watcher says `no` to it then, and it is blind too.
 *
 * With the class alone nothing says whose folder it is. It gets the class
 * topic, so that it is told of what happens in the user's own, but
 * `is_assumed`: that this topic is clean does not make the collection so
 * (look.c).
 */
bool dp_folder_map_topic(dp_store *s, dp_store_txn *t, const dp_who *who,
                         dp_span id, dp_class class_hint,
                         dp_folder_topic *out);

bool dp_hier_state_get(dp_store *s, dp_store_txn *t, const dp_who *who,
                       dp_hier_state *out);
apr_status_t dp_hier_state_put(dp_store *s, dp_store_txn *t,
                               const dp_who *who, const dp_hier_state *st);

/** Forget all folders of a device (FolderSync with key 0). */
apr_status_t dp_folder_map_clear(dp_store *s, dp_store_txn *t,
                                 const dp_who *who);
/** Add or update; delete. Spans as in eas_folders.h, hostile. */
apr_status_t dp_folder_map_set(dp_store *s, dp_store_txn *t,
                               const dp_who *who, dp_span id, dp_span parent,
                               dp_span name, unsigned type);
apr_status_t dp_folder_map_del(dp_store *s, dp_store_txn *t,
                               const dp_who *who, dp_span id);
/** The type of a folder of the map. @return false when it is not there */
bool dp_folder_map_type(dp_store *s, dp_store_txn *t, const dp_who *who,
                        dp_span id, unsigned *out);
/** The same as set, noting the hierarchy key that taught it. */
apr_status_t dp_folder_map_learn(dp_store *s, dp_store_txn *t,
                                 const dp_who *who, dp_span id, dp_span parent,
                                 dp_span name, unsigned type,
                                 uint64_t key_hash);
/** Forget what that key taught: the phone never got that response. */
apr_status_t dp_folder_map_unlearn(dp_store *s, dp_store_txn *t,
                                   const dp_who *who, uint64_t key_hash);

/** What a mark stands for that the device's response has reached: see
 *  dp_coll_state_delivered(), which does this as well. */
bool dp_hier_state_deliver(dp_hier_state *st, uint64_t token);

/** A Status 7 was answered for this seq of this bus.
 *  @param t  or NULL for a transaction of its own */
apr_status_t dp_hier_state_announced(dp_store *s, dp_store_txn *t,
                                     const dp_who *who, dp_mark what,
                                     dp_time_us now_us);

#endif
