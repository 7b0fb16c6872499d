/* How many of a child's held Pings are one user's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hold/share.h"

static dp_share share;

static int setup(void **state)
{
    memset(&share, 0, sizeof(share));
    return 0;
}

static dp_who who(const char *login, const char *user, const char *device)
{
    return (dp_who){.realm = dp_span_str("r"), .login = dp_span_str(login),
                    .user = dp_span_str(user), .device = dp_span_str(device)};
}

static void devices_of_a_user_count_together(void **state)
{
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "dev%d", i);
        dp_who one = who("alice", "alice", name);
        dp_share_add(&share, &one, 1);
        assert_int_equal(dp_share_of(&share, &one), i + 1);
    }
    dp_who any = who("alice", "alice", "another");
    dp_share_add(&share, &any, -1);
    assert_int_equal(dp_share_of(&share, &any), 99);
}

/* A\alice, B\alice …: the backend may take any domain, the mailbox is one. */
static void logins_of_one_mailbox_are_one_user(void **state)
{
    dp_who a = who("a\\alice", "alice", "x"), b = who("b\\alice", "alice", "y");
    dp_share_add(&share, &a, 1);
    assert_int_equal(dp_share_of(&share, &b), 1);
}

static void without_a_mailbox_the_login_is_the_user(void **state)
{
    dp_who a = who("alice", "", "x"), b = who("bob", "", "x");
    dp_share_add(&share, &a, 1);
    assert_int_equal(dp_share_of(&share, &a), 1);
    assert_int_equal(dp_share_of(&share, &b), 0);
}

static void another_realm_has_other_users(void **state)
{
    dp_who a = who("alice", "alice", "x"), b = a;
    b.realm = dp_span_str("other");
    dp_share_add(&share, &a, 1);
    assert_int_equal(dp_share_of(&share, &b), 0);
}

/* Fifty intruders with all that they get, and 20,000 others: whoever has his
 * second phone there is not taken for one of them. */
static void a_crowd_is_not_taken_for_an_intruder(void **state)
{
    char name[16];
    unsigned wronged = 0;
    for (int i = 0; i < 50 * 100; i++) {
        snprintf(name, sizeof(name), "bad%d", i % 50);
        dp_who bad = who(name, name, "x");
        dp_share_add(&share, &bad, 1);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        dp_who one = who(name, name, "x");
        dp_share_add(&share, &one, 1);
        wronged += dp_share_of(&share, &one) >= 100;
    }
    /* (50 / 4096)^2 of them, on average: three */
    assert_in_range(wronged, 0, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(devices_of_a_user_count_together, setup),
        cmocka_unit_test_setup(logins_of_one_mailbox_are_one_user, setup),
        cmocka_unit_test_setup(without_a_mailbox_the_login_is_the_user, setup),
        cmocka_unit_test_setup(another_realm_has_other_users, setup),
        cmocka_unit_test_setup(a_crowd_is_not_taken_for_an_intruder, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
