/* phone: what a phone knows of its account, and the bodies of its commands.
 *
 * Folders with their keys, the policy key, the protocol version. It writes
 * requests into buffers and takes whole answers in; it sends nothing and waits
 * for nothing, so that one thread can later run many. eas-protocol 3 to 5.
 */
#ifndef PHONE_H
#define PHONE_H

#include "tools/device/dp_buf.h"
#include "tools/device/mail_items.h"
#include "wire/eas_folders.h"
#include "wire/eas_ping.h"

/* AOSP asks for up to 100 where it may, iOS for 25 to 100. */
#define DP_PHONE_WINDOW 50

typedef struct dp_phone_folder {
    dp_buf id; /* ServerId; what other commands call CollectionId */
    dp_buf parent;
    dp_buf name;
    unsigned type; /* eas-protocol 5.2 */
    dp_buf key;    /* SyncKey; "0" before the first Sync */
    bool is_watched;
    bool needs_sync;
    bool is_listed; /* seen in the FolderSync that is being taken in */
} dp_phone_folder;

typedef struct dp_phone {
    unsigned version; /* 121, 140, 141 */
    bool has_policy_key;
    uint32_t policy_key;
    dp_buf hierarchy_key; /* SyncKey of FolderSync; "0" at first */
    dp_phone_folder *folders;
    size_t folders_n;
    size_t folders_cap;
    /* which to watch; none: what a phone watches by itself */
    const char *const *filters;
    size_t filters_n;
    size_t ping_max; /* folders in a Ping, after a Status 6; 0 any number */
} dp_phone;

void dp_phone_init(dp_phone *p, const char *const *filters, size_t filters_n);
void dp_phone_free(dp_phone *p);

/** Email, Calendar, Contacts, Tasks, Notes; "" for types that no Ping takes. */
const char *dp_phone_class(unsigned type);

/** NULL when there is none; good until the next FolderSync. */
dp_phone_folder *dp_phone_find(dp_phone *p, dp_span id);

/** The first folder that a Sync is due for, or NULL. */
dp_phone_folder *dp_phone_due(dp_phone *p);

/** Add an empty folder. For the state file too. */
dp_phone_folder *dp_phone_add(dp_phone *p, dp_span id);

/** Decide for each folder whether it is watched; those that now are and have
 *  no key yet need a Sync. @return how many are watched */
size_t dp_phone_choose(dp_phone *p);

typedef struct dp_folder_sync_result {
    unsigned status; /* 0: it did not decode */
    unsigned added, updated, deleted;
    unsigned odd; /* with ids or names that nobody could use */
} dp_folder_sync_result;

void dp_phone_folder_sync_body(const dp_phone *p, dp_buf *out);

/** Take a whole answer in; folders change only with Status 1. */
dp_folder_sync_result dp_phone_folder_sync_take(dp_phone *p, dp_span body);

typedef struct dp_sync_result {
    bool is_bad;            /* it did not decode */
    bool is_there;          /* the answer names the folder */
    unsigned global_status; /* 0 none */
    unsigned status;        /* of the folder; 0 none */
    bool has_more;
    bool has_moved; /* its key is another one now */
    bool was_first; /* the request's key was 0: no items yet */
} dp_sync_result;

void dp_phone_sync_body(const dp_phone_folder *f, dp_buf *out);

/** Take a whole answer in, also an empty one (nothing new).
 *  @param on_item each change, only when the folder's status is 1 */
dp_sync_result
dp_phone_sync_take(dp_phone_folder *f, dp_span body,
                   void (*on_item)(void *ctx, const dp_item *item), void *ctx);

typedef enum dp_ping_form {
    DP_PING_FULL,
    DP_PING_HEARTBEAT_ONLY, /* the server remembers the folders */
    DP_PING_EMPTY           /* … and the heartbeat */
} dp_ping_form;

/** @return how many folders it stands for: those watched that have a key */
size_t dp_phone_ping_body(const dp_phone *p, dp_ping_form form,
                          uint32_t heartbeat_s, dp_buf *out);

/** Is this one of the folders that a Ping stands for? */
bool dp_phone_pings(const dp_phone_folder *f);

#endif
