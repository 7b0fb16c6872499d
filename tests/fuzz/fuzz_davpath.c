/* fuzz_davpath: requests of DAV clients. First line: method, path, Destination,
 * login, Content-Type, separated by blanks; the rest is the body. What comes
 * out are names that a topic can have, and the body says the same in pieces. */
#include <stdlib.h>
#include <string.h>

#include "fuzz_same.h"
#include "observe/dav_change.h"

static dp_span word(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *from = *at;
    while (*at < end && **at != ' ' && **at != '\n') {
        (*at)++;
    }
    dp_span s = dp_span_of(from, (size_t)(*at - from));
    if (*at < end && **at == ' ') {
        (*at)++;
    }
    return s;
}

static bool feed(void *b, dp_span chunk)
{
    dp_dav_body_feed(b, chunk);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    dp_dav_seen s = {.method = dp_dav_method_of(word(&at, end))};
    dp_span path = word(&at, end), to = word(&at, end);
    s.login = word(&at, end);
    s.content_type = word(&at, end);
    unsigned char *at_buf = malloc(DP_DAV_BUF(path.n));
    unsigned char *to_buf = malloc(DP_DAV_BUF(to.n));
    dp_dav_place to_place;
    dp_dav_path_parse(path, s.login, size & 1, at_buf, &s.at);
    dp_dav_path_parse(to, s.login, false, to_buf, &to_place);
    s.to = to.n ? &to_place : NULL;
    dp_dav_body pieces = {0};
    dp_dav_body_feed(&s.body, dp_span_of(at, (size_t)(end - at)));
    fuzz_feed_chunks(&pieces, at, (size_t)(end - at), feed);
    dp_dav_body_end(&s.body);
    dp_dav_body_end(&pieces);
    DP_ASSERT(dp_dav_body_classes(&s.body) == dp_dav_body_classes(&pieces));
    DP_ASSERT(dp_dav_body_is_foreign(&s.body)
              == dp_dav_body_is_foreign(&pieces));
    dp_dav_topic topics[DP_DAV_TOPICS_MAX];
    size_t n = dp_dav_changed(&s, topics);
    DP_ASSERT(n <= DP_DAV_TOPICS_MAX);
    for (size_t i = 0; i < n; i++) {
        DP_ASSERT(dp_topic_folder_is_sane(topics[i].topic.folder));
        DP_ASSERT(topics[i].topic.folder.p[0] != '/');
        DP_ASSERT(topics[i].user.n > 0);
    }
    free(at_buf);
    free(to_buf);
    return 0;
}
