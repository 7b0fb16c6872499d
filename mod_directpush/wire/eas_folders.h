/* eas_folders: FolderSync, FolderCreate, FolderUpdate, FolderDelete.
 *
 * Streaming like eas_sync. eas-protocol 5; [MS-ASCMD] 2.2.1.3 to 2.2.1.6. Pure.
 */
#ifndef EAS_FOLDERS_H
#define EAS_FOLDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"
#include "wire/eas_sync.h"
#include "wire/eas_url.h"
#include "wire/wbxml_read.h"

#define DP_FOLDER_NAME_MAX 1024 /* bytes of UTF-8; longer: `is_odd` */

typedef enum dp_folder_op {
    DP_FOLDER_ADD,
    DP_FOLDER_UPDATE,
    DP_FOLDER_DELETE
} dp_folder_op;

typedef struct dp_folder_change {
    dp_folder_op op;
    dp_span id;     /* ServerId */
    dp_span parent; /* "0" is the root */
    dp_span name;   /* DisplayName, UTF-8, hostile */
    unsigned type;  /* eas-protocol 5.2; 0 none */
    bool is_odd;    /* something did not fit, was there twice, or no id */
} dp_folder_change;

typedef struct dp_folders_parser {
    bool is_whole;
    bool is_bad;
    dp_cmd root;     /* which of the four commands the root element is */
    unsigned status; /* response; 0 none */
    char key[DP_SYNC_KEY_MAX]; /* SyncKey */
    size_t key_n;
    bool is_odd;
    /* request of Create/Update/Delete, and ServerId in the response of Create:
     * complete when is_whole */
    char id[DP_COLLECTION_ID_MAX];
    size_t id_n;
    char parent[DP_COLLECTION_ID_MAX];
    size_t parent_n;
    char name[DP_FOLDER_NAME_MAX];
    size_t name_n;
    unsigned type;
    size_t changes_n;
    /* the parser's own */
    void (*on_change)(void *ctx, const dp_folder_change *c);
    void *ctx;
    dp_wbxml_reader reader;
    uint32_t seen; /* leaves of the folder or document, to tell repeated ones */
    bool in_change;
    dp_folder_op op;
    bool change_is_odd;
    char text[DP_FOLDER_NAME_MAX];
    size_t text_n;
    bool text_is_long;
} dp_folders_parser;

/** @param on_change each Add/Update/Delete of a FolderSync response; or NULL.
 *  Its spans are good during the call only. */
void dp_folders_init(dp_folders_parser *p,
                     void (*on_change)(void *ctx, const dp_folder_change *c),
                     void *ctx);

/** @return false once it is bad; further calls do nothing then */
bool dp_folders_feed(dp_folders_parser *p, dp_span chunk);

#endif
