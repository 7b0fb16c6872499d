/* fuzz_learn: a whole exchange of a device that has proof, request and
 * response of anybody's making. Byte 0: the command; 1: HTTP status and
 * codings; 2 and 3: where the request ends. Two exchanges in a row, so that
 * the second meets what the first has stored. */
#include "fuzz_same.h"

#include "observe/learn.h"

static const uint8_t proof_key[DP_HASH_KEY_SIZE];

static void to_request(dp_exchange *x, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size; at += 50) {
        dp_exchange_request_bytes(
            x, dp_span_of(data + at, size - at < 50 ? size - at : 50));
    }
    dp_exchange_request_end(x);
}

static void check_lists(const dp_learned *out)
{
    DP_ASSERT(out->ids_n <= 512 && out->wants_n <= 513);
    for (size_t i = 0; i < out->wants_n; i++) {
        DP_ASSERT(dp_topic_folder_is_sane(out->wants[i].folder));
    }
    for (size_t i = 0; i < out->uploads_n; i++) {
        DP_ASSERT(dp_topic_folder_is_sane(out->uploads[i].topic.folder));
    }
    DP_ASSERT(!out->token == !(out->ids_n || out->is_hierarchy));
}

static void run(dp_store *s, const uint8_t *data, size_t size, bool had_proof)
{
    static const int codes[] = {200, 200, 200, 401, 449, 500, 403, 0};
    dp_learn_env env = {.store = s, .proof_key = proof_key,
                        .backend_lag_us = 1, .trust_us = DP_NEVER_US / 2};
    dp_who who = {dp_span_str("r"), dp_span_str("l"), dp_span_str("u"),
                  dp_span_str("d")};
    dp_learned out;
    size_t request_n = (size_t)(data[2] << 8 | data[3]) % (size - 3);
    dp_exchange *x = dp_exchange_begin(&env, &who, data[0] % DP_CMD_N,
                                       dp_span_str("Basic x"), had_proof,
                                       dp_clock_mono_us());
    dp_exchange_request_coding(x, (dp_tap_coding)(data[1] >> 3 & 3));
    to_request(x, data + 4, request_n);
    if (codes[data[1] & 7]) {
        dp_exchange_response_begin(x, codes[data[1] & 7],
                                   (dp_tap_coding)(data[1] >> 5 & 3), -1);
        dp_exchange_response_bytes(
            x, dp_span_of(data + 4 + request_n, size - 4 - request_n));
    }
    dp_exchange_conclude(x, data[1] >> 7 == 0, dp_clock_mono_us(), &out);
    check_lists(&out);
    for (size_t i = 0; i < out.uploads_n; i++) {
        dp_exchange_published(x, &out.uploads[i], 5, 1);
    }
    dp_exchange_free(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dp_store *s;
    if (size < 4) {
        return 0;
    }
    dp_store_ram_open(&s);
    run(s, data, size, false);
    run(s, data, size, true);
    run(s, data, size, true);
    s->ops->close(s, true);
    return 0;
}
