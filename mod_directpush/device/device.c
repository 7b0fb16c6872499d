#include "device/device.h"

dp_hash dp_who_hash(const uint8_t *hash_key, const dp_who *who)
{
    dp_span parts[] = {who->realm, who->login, who->device};
    return dp_hash_spans(hash_key, parts, 3);
}
