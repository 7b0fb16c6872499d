/* Provision: agree to the server's policies. See session.h. */
#include "tools/device/provision.h"
#include "tools/device/session.h"

/* Refused this often in a row, the policy is not what is missing. */
#define PROVISIONS_MAX 3

static dp_run set_key(dp_session *s, const dp_provision *p)
{
    s->phone.has_policy_key = true;
    s->phone.policy_key = p->key;
    return DP_RUN_OK;
}

/* One of the two rounds. Provision does not ask for Provision. */
static dp_run round_trip(dp_session *s, dp_span body, dp_provision *out)
{
    dp_answer answer;
    while ((answer = dp_session_ask(s, DP_CMD_PROVISION, body,
                                    90 * DP_SECOND_US, NULL, NULL)) !=
           DP_ANSWER_GOOD) {
        if (answer == DP_ANSWER_PROVISION) {
            return dp_session_fail(s, DP_RUN_PROTOCOL,
                                   "Provision was answered HTTP 449");
        }
        dp_run run = dp_session_recover(s, answer);
        if (run != DP_RUN_OK) {
            return run;
        }
    }
    if (!dp_provision_parse(dp_buf_span(&s->answer.body), out)) {
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "the answer to Provision does not decode");
    }
    if (out->orders_wipe) {
        return dp_session_fail(s, DP_RUN_DENIED,
                               "the server orders this device to be wiped");
    }
    if (out->status != 1) {
        return out->status >= 126 && out->status <= 177
                   ? dp_session_fail(s, DP_RUN_DENIED,
                                     "Provision: the server does not let this "
                                     "device in (Status %u)",
                                     out->status)
                   : dp_session_fail(s, DP_RUN_PROTOCOL,
                                     "Provision was answered Status %u",
                                     out->status);
    }
    return DP_RUN_OK;
}

dp_run dp_session_provision(dp_session *s)
{
    unsigned char body[DP_PROVISION_BODY_MAX];
    dp_provision policy = {0};
    if (++s->provisions > PROVISIONS_MAX) {
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "the server wants Provision again and again");
    }
    s->phone.has_policy_key = false;
    size_t n = dp_provision_ask(body, s->phone.version, s->args->device_type);
    dp_run run = round_trip(s, dp_span_of(body, n), &policy);
    if (run != DP_RUN_OK) {
        return run;
    }
    if (policy.policy_status == 2 || !policy.has_key) {
        dp_timeline_provisioned(s->timeline, 0); /* nothing to agree to */
        return DP_RUN_OK;
    }
    set_key(s, &policy); /* the temporary one */
    n = dp_provision_acknowledge(body, s->phone.version, policy.key);
    run = round_trip(s, dp_span_of(body, n), &policy);
    if (run != DP_RUN_OK) {
        return run;
    }
    if (policy.policy_status != 1 || !policy.has_key) {
        return dp_session_fail(s, DP_RUN_PROTOCOL,
                               "the policy was acknowledged, but the server "
                               "gives no key for it (Status %u)",
                               policy.policy_status);
    }
    set_key(s, &policy);
    dp_timeline_provisioned(s->timeline, policy.key);
    return DP_RUN_OK;
}
