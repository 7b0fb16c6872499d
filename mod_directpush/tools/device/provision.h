/* provision: the bodies of Provision, in which a phone agrees to policies.
 *
 * Two rounds: ask for the policy, then acknowledge it with the temporary key
 * and get the final one. The policy itself is not looked at: this phone has no
 * lock to set. [MS-ASPROV] 3.1.5.1; eas-protocol 2.6. Pure.
 */
#ifndef PROVISION_H
#define PROVISION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dp_span.h"
#include "wire/wbxml_read.h"

#define DP_PROVISION_BODY_MAX 1024 /* of a request */

typedef struct dp_provision {
    bool is_whole, is_bad;
    unsigned status;        /* of the whole; 0 none */
    unsigned policy_status; /* 0 none */
    bool has_key;
    uint32_t key;
    bool orders_wipe; /* RemoteWipe or AccountOnlyRemoteWipe */
} dp_provision;

/** Ask for the policy. @param device_type told with versions from 141 on
 *  @return bytes in `buf`, of DP_PROVISION_BODY_MAX */
size_t dp_provision_ask(unsigned char *buf, unsigned version,
                        const char *device_type);

/** Acknowledge the policy with the key of the first answer. */
size_t dp_provision_acknowledge(unsigned char *buf, unsigned version,
                                uint32_t key);

/** Read a whole answer. @return false when it does not decode */
bool dp_provision_parse(dp_span body, dp_provision *out);

#endif
