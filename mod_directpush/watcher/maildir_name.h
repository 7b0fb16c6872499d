/* maildir_name: folders of Maildir++ and their directories.
 *
 * `Projects/2026` is the directory `.Projects.2026`, INBOX the root itself.
 * Names on disk are modified UTF-7 (RFC 3501, 5.1.3) or, where Dovecot was told
 * so, plain UTF-8; topics are UTF-8. Pure; bytes in, bytes out.
 */
#ifndef MAILDIR_NAME_H
#define MAILDIR_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dp_span.h"

#define DP_MAILDIR_INBOX "INBOX"

/**
 * The directory of a folder below the root; "" for INBOX (any case).
 * @return false when no Maildir++ folder can have that name
 */
bool dp_maildir_dir_of(char *out, size_t cap, dp_span folder);

/**
 * The folder of a directory entry of the root.
 * @return false when the entry is no folder (`cur`, `..x`, a bad name)
 */
bool dp_maildir_folder_of(char *out, size_t cap, dp_span dir);

/** Decode modified UTF-7. @return length, or -1 when it is none */
long dp_mutf7_decode(char *out, size_t cap, dp_span in);

/** Encode UTF-8. @return length, or -1 when it is none or does not fit */
long dp_mutf7_encode(char *out, size_t cap, dp_span in);

/**
 * Split a message's file name: base, and flags after `:2,` (or empty).
 * @return false when the entry is no message (it begins with a dot)
 */
bool dp_maildir_split(dp_span entry, dp_span *out_base, dp_span *out_flags);

#endif
