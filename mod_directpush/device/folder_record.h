/* folder_record: a folder as it is stored. Private to device/. */
#ifndef FOLDER_RECORD_H
#define FOLDER_RECORD_H

#include "device/store_use.h"

/* The fixed part of the value; parent and name follow. */
typedef struct dp_folder_fixed {
    uint64_t key_hash; /* the hierarchy key that taught it; 0 none */
    uint16_t type;     /* eas-protocol 5.2 */
    uint16_t parent_n;
    uint16_t name_n;
    uint16_t spare;
} dp_folder_fixed;

typedef struct dp_folder_record {
    dp_folder_fixed fixed;
    dp_span parent; /* into the store: good until the next write */
    dp_span name;
} dp_folder_record;

/** @return false when `value` is no such record */
bool dp_folder_record_unpack(dp_span value, dp_folder_record *out);

bool dp_folder_record_read(dp_store_use *u, const dp_who *who, dp_span id,
                           dp_folder_record *out);

#endif
