/* proof: which Authorization the backend has accepted, and for how long. */
#include "test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRUST_US (12 * 3600 * DP_SECOND_US)

static dp_proof ask(lab *l, const dp_who *who, const char *authorization,
                    dp_time_us *until)
{
    return dp_proof_get(l->store, NULL, l->proof_key, who, S(authorization),
                        TRUST_US, l->now_us, until);
}

static void prove(lab *l, const dp_who *who, const char *authorization)
{
    assert_int_equal(dp_proof_put(l->store, NULL, l->proof_key, who,
                                  S(authorization), l->now_us),
                     APR_SUCCESS);
}

static void a_proof_is_of_exactly_one_authorization(void **state)
{
    lab *l = *state;
    dp_time_us until;
    dp_who realm = l->who, login = l->who, device = l->who;
    realm.realm = S("other.example.com");
    login.login = S("bob");
    device.device = S("another");
    prove(l, &l->who, "Basic x");
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_GOOD);
    assert_int_equal(until, l->now_us + TRUST_US);
    assert_int_equal(ask(l, &device, "Basic x", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &l->who, "Basic y", &until), DP_PROOF_NONE);
    assert_int_equal(until, 0);
    assert_int_equal(ask(l, &l->who, "basic x", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &l->who, "", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &realm, "Basic x", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &login, "Basic x", &until), DP_PROOF_NONE);
    l->proof_key[0]++; /* another httpd */
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_NONE);
}

static void a_proof_expires_and_is_renewed(void **state)
{
    lab *l = *state;
    dp_time_us until;
    prove(l, &l->who, "Basic x");
    lab_tick(l, TRUST_US - 1);
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_GOOD);
    lab_tick(l, 1);
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_EXPIRED);
    prove(l, &l->who, "Basic x");
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_GOOD);
    assert_int_equal(until, l->now_us + TRUST_US);
}

static void an_older_acceptance_does_not_shorten_it(void **state)
{
    lab *l = *state;
    dp_time_us until;
    prove(l, &l->who, "Basic x");
    dp_proof_put(l->store, NULL, l->proof_key, &l->who, S("Basic x"),
                 l->now_us - 3600 * DP_SECOND_US); /* a hanging Sync ended */
    ask(l, &l->who, "Basic x", &until);
    assert_int_equal(until, l->now_us + TRUST_US);
}

/* The same person's other device was accepted since we looked at the clock.
 * (Of another boot none is left: its key is gone, see store_open.c.) */
static void a_proof_may_be_younger_than_the_question(void **state)
{
    lab *l = *state;
    dp_time_us until;
    prove(l, &l->who, "Basic x");
    l->now_us -= DP_SECOND_US;
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_GOOD);
}

static void removing_one_leaves_the_others(void **state)
{
    lab *l = *state;
    dp_time_us until;
    prove(l, &l->who, "Basic x");
    prove(l, &l->who, "Basic y");
    dp_proof_del(l->store, NULL, l->proof_key, &l->who, S("Basic x"));
    dp_proof_del(l->store, NULL, l->proof_key, &l->who, S("Basic z"));
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &l->who, "Basic y", &until), DP_PROOF_GOOD);
}

static void forgetting_reaches_logins_and_mailbox_users_of_all_realms(
    void **state)
{
    lab *l = *state;
    dp_time_us until;
    dp_who a = l->who, b = l->who, c = l->who;
    a.realm = S("other.example.com");
    b.login = S("alice@example.com"); /* whose mailbox is alice's */
    c.login = c.user = S("alice2");
    prove(l, &l->who, "Basic x");
    prove(l, &a, "Basic x");
    prove(l, &b, "Basic x");
    prove(l, &c, "Basic x");
    assert_int_equal(dp_proof_forget(l->store, S("alice")), APR_SUCCESS);
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &a, "Basic x", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &b, "Basic x", &until), DP_PROOF_NONE);
    assert_int_equal(ask(l, &c, "Basic x", &until), DP_PROOF_GOOD);
}

static bool ends_in_2(void *ctx, dp_span login)
{
    ++*(int *)ctx;
    return login.n && login.p[login.n - 1] == '2';
}

static void forgetting_by_question_asks_for_each(void **state)
{
    lab *l = *state;
    dp_time_us until;
    char login[300];
    dp_who c = l->who;
    int asked = 0;
    memset(login, 'l', sizeof(login)); /* stands as a hash in its key */
    login[298] = '2';
    login[299] = 0;
    c.login = c.user = S(login);
    prove(l, &l->who, "Basic x");
    prove(l, &c, "Basic x");
    assert_int_equal(dp_proof_forget_if(l->store, ends_in_2, &asked),
                     APR_SUCCESS);
    assert_true(asked >= 2);
    assert_int_equal(ask(l, &l->who, "Basic x", &until), DP_PROOF_GOOD);
    assert_int_equal(ask(l, &c, "Basic x", &until), DP_PROOF_NONE);
}

static void many_forms_of_one_password_do_not_pile_up(void **state)
{
    lab *l = *state;
    dp_time_us until;
    char authorization[32];
    int good = 0;
    dp_who other = l->who;
    other.device = S("another");
    prove(l, &other, "Basic x");
    for (int i = 0; i < 100; i++) {
        lab_tick(l, DP_SECOND_US);
        snprintf(authorization, sizeof(authorization), "Basic %d", i);
        prove(l, &l->who, authorization);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(authorization, sizeof(authorization), "Basic %d", i);
        good += ask(l, &l->who, authorization, &until) == DP_PROOF_GOOD;
    }
    assert_int_equal(good, 8);
    assert_int_equal(ask(l, &l->who, "Basic 99", &until), DP_PROOF_GOOD);
    assert_int_equal(ask(l, &other, "Basic x", &until), DP_PROOF_GOOD);
}

static void refusal_is_of_one_device(void **state)
{
    lab *l = *state;
    dp_who other = l->who;
    other.device = S("another");
    assert_false(dp_refused_get(l->store, NULL, &l->who));
    dp_refused_set(l->store, NULL, &l->who, false);
    dp_refused_set(l->store, NULL, &l->who, true);
    dp_refused_set(l->store, NULL, &l->who, true);
    assert_true(dp_refused_get(l->store, NULL, &l->who));
    assert_false(dp_refused_get(l->store, NULL, &other));
    dp_refused_set(l->store, NULL, &l->who, false);
    assert_false(dp_refused_get(l->store, NULL, &l->who));
}

static bool has_secret(void *ctx, dp_span key, dp_span value)
{
    dp_span secret = S(ctx);
    assert_null(memmem(key.p, key.n, secret.p, secret.n));
    assert_null(memmem(value.p, value.n, secret.p, secret.n));
    return true;
}

static void the_credential_itself_is_nowhere(void **state)
{
    lab *l = *state;
    dp_store_txn *t;
    char secret[] = "c2VjcmV0";
    prove(l, &l->who, "Basic c2VjcmV0");
    l->store->ops->begin(l->store, false, &t);
    l->store->ops->scan(t, S(""), has_secret, secret);
    l->store->ops->abort(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_BOTH(a_proof_is_of_exactly_one_authorization),
        LAB_BOTH(a_proof_expires_and_is_renewed),
        LAB_RAM(an_older_acceptance_does_not_shorten_it),
        LAB_BOTH(a_proof_may_be_younger_than_the_question),
        LAB_BOTH(removing_one_leaves_the_others),
        LAB_BOTH(forgetting_reaches_logins_and_mailbox_users_of_all_realms),
        LAB_BOTH(forgetting_by_question_asks_for_each),
        LAB_BOTH(many_forms_of_one_password_do_not_pile_up),
        LAB_BOTH(refusal_is_of_one_device),
        LAB_BOTH(the_credential_itself_is_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
