/* learn_meeting: MeetingResponse: the phone has answered an invitation, which
 * changes the user's calendar; the mail that goes, the watcher sees. Which of
 * several answers succeeded is not looked at: one that did not costs the other
 * phones a Sync. */
#include "observe/learn_private.h"

static void begin(dp_exchange *x)
{
    dp_learn_status_init(&x->as.status, x->cmd);
}

static bool feed_request(dp_exchange *x, dp_span clear)
{
    return false; /* of no interest */
}

static bool feed_response(dp_exchange *x, dp_span clear)
{
    return dp_learn_status_feed(&x->as.status, clear);
}

static bool is_read(const dp_exchange *x, unsigned *out_status)
{
    *out_status = x->as.status.status;
    return x->http_status == 200 && x->response_is_whole
           && x->as.status.is_whole && !x->as.status.is_bad;
}

static apr_status_t learn(dp_exchange *x, dp_store_txn *t)
{
    unsigned status = 0;
    if (is_read(x, &status) && status <= 1) {
        dp_learn_upload_add(
            x, &(dp_learn_upload){
                   .topic = {DP_CLASS_CALENDAR,
                             DP_SPAN_LIT(DP_TOPIC_WHOLE_CLASS)},
                   .is_new = true});
    }
    return APR_SUCCESS;
}

const dp_learn_kind dp_learn_meeting_kind = {
    .begin = begin,
    .request = feed_request,
    .response = feed_response,
    .status = is_read,
    .learn = learn,
};
