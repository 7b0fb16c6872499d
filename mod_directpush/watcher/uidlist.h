/* uidlist: the GUID in the first line of Dovecot's dovecot-uidlist.
 *
 *    3 V1234567890 N17 G0123456789abcdef0123456789abcdef
 *
 * Fields of the first line begin with a letter that names them; the order is
 * free. The rest of the file is of no interest here.
 */
#ifndef UIDLIST_H
#define UIDLIST_H

#include <stdbool.h>

#include "base/dp_span.h"

#define DP_UIDLIST_NAME "dovecot-uidlist"
#define DP_GUID_HEX     32

/**
 * Find the GUID in the beginning of a uidlist.
 * @param out  DP_GUID_HEX + 1 bytes: lower-case hex and NUL
 * @return false when there is none, or the file is no version 3 uidlist
 */
bool dp_uidlist_guid(dp_span head, char *out);

/** The same for the file in the directory `dirfd`. */
bool dp_uidlist_read(int dirfd, char *out);

#endif
