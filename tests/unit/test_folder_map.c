/* folder_map: from a CollectionId to the topic that stands for it. */
#include "test_device_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void know(lab *l)
{
    dp_hier_state h = {.is_map_known = 1};
    assert_int_equal(dp_hier_state_put(l->store, NULL, &l->who, &h),
                     APR_SUCCESS);
}

static void set(lab *l, const char *id, const char *parent, const char *name,
                unsigned type)
{
    assert_int_equal(dp_folder_map_set(l->store, NULL, &l->who, S(id),
                                       S(parent), S(name), type),
                     APR_SUCCESS);
}

static void sogos_ids_say_what_they_are(void **state)
{
    lab *l = *state;
    static const char *const cases[][2] = {
        {"mail%2Fa139c21dfa82036bd80c000083ecc375",
         "Email /guid/a139c21dfa82036bd80c000083ecc375"},
        {"mail%2fA139C21DFA82036BD80C000083ECC375",
         "Email /guid/a139c21dfa82036bd80c000083ecc375"},
        {"mail/a139c21dfa82036bd80c000083ecc375",
         "Email /guid/a139c21dfa82036bd80c000083ecc375"},
        {"mail%2Fshared%2Fbob", "none"},
        {"mail%2F", "none"},
        {"mail%2Fz139c21dfa82036bd80c000083ecc375", "none"},
        {"mail%2F..%2F..%2Fetc%2Fpasswdpasswdpass", "none"},
        {"vevent%2Fpersonal", "Calendar *"},
        {"vevent/personal", "Calendar *"},
        {"vtodo%2Fpersonal", "Tasks *"},
        {"vcard%2Fpersonal", "Contacts *"},
        {"vevent%2F1234-5678-9-ABC", "Calendar 1234-5678-9-ABC"},
        {"vtodo%2F1234-5678-9-ABC", "Tasks 1234-5678-9-ABC"},
        {"vcard%2Fpublic", "Contacts public"},
        {"vevent%2F..", "Calendar *"},
        {"vevent%2F%2E%2E", "Calendar *"},
        {"vevent%2Fa%2Fb", "Calendar *"},
        {"vevent%2F", "Calendar *"},
        {"vevent%2Fa%0Ab", "Calendar *"},
        {"vevent%2Fa%00b", "Calendar *"},
        {"vevent%2", "none"},
        {"VEVENT%2Fpersonal", "none"},
        {"vcalendar%2Fpersonal", "none"},
        {"%", "none"},
        {"%zz", "none"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(lab_map(l, cases[i][0], DP_CLASS_UNKNOWN),
                            cases[i][1]);
    }
}

static void an_unknown_map_falls_to_the_class(void **state)
{
    lab *l = *state;
    set(l, "5", "0", "Inbox", 2); /* but nobody said that it is whole */
    assert_string_equal(lab_map(l, "5", DP_CLASS_EMAIL), "Email *");
    assert_string_equal(lab_map(l, "5", DP_CLASS_UNKNOWN), "none");
    assert_string_equal(lab_map(l, "5", DP_CLASS_HIERARCHY), "none");
    know(l);
    assert_string_equal(lab_map(l, "5", DP_CLASS_UNKNOWN), "Email INBOX");
    assert_string_equal(lab_map(l, "6", DP_CLASS_NOTES), "Notes *");
}

static bool is_assumed(lab *l, const char *id, dp_class hint)
{
    dp_folder_topic t;
    dp_folder_map_topic(l->store, NULL, &l->who, S(id), hint, &t);
    return t.is_assumed;
}

static void which_is_assumed_where_nothing_else_says_it(void **state)
{
    lab *l = *state;
    set(l, "5", "0", "Inbox", 2);
    set(l, "6", "0", "Calendar", 8);
    assert_true(is_assumed(l, "5", DP_CLASS_EMAIL));
    assert_true(is_assumed(l, "6", DP_CLASS_CALENDAR));
    assert_false(is_assumed(l, "5", DP_CLASS_UNKNOWN)); /* blind anyway */
    assert_false(is_assumed(l, "S1a2b3", DP_CLASS_EMAIL));
    assert_false(is_assumed(l, "vevent%2Fpersonal", DP_CLASS_CALENDAR));
    assert_false(is_assumed(l, "mail%2F0123456789abcdef0123456789abcdef",
                            DP_CLASS_EMAIL));
    know(l);
    assert_false(is_assumed(l, "5", DP_CLASS_EMAIL));
    assert_false(is_assumed(l, "6", DP_CLASS_CALENDAR));
    assert_true(is_assumed(l, "7", DP_CLASS_EMAIL)); /* not in the list */
}

static void types_and_names_make_paths(void **state)
{
    lab *l = *state;
    know(l);
    set(l, "in", "0", "Posteingang", 2);
    set(l, "dr", "0", "Drafts", 3);
    set(l, "tr", "0", "Trash", 4);
    set(l, "se", "0", "Sent", 5);
    set(l, "p", "0", "Projects", 12);
    set(l, "p1", "p", "2026", 12);
    set(l, "p2", "p1", "M\xc3\xbcnchen", 1);
    set(l, "c", "0", "Calendar", 8);
    set(l, "c2", "0", "Work", 13);
    set(l, "k", "0", "Contacts", 9);
    set(l, "t", "0", "Tasks", 7);
    set(l, "n", "0", "Notes", 10);
    assert_string_equal(lab_map(l, "in", 0), "Email INBOX");
    assert_string_equal(lab_map(l, "dr", 0), "Email Drafts");
    assert_string_equal(lab_map(l, "tr", 0), "Email Trash");
    assert_string_equal(lab_map(l, "se", 0), "Email Sent");
    assert_string_equal(lab_map(l, "p", 0), "Email Projects");
    assert_string_equal(lab_map(l, "p2", 0),
                        "Email Projects/2026/M\xc3\xbcnchen");
    assert_string_equal(lab_map(l, "c", 0), "Calendar *");
    assert_string_equal(lab_map(l, "c2", DP_CLASS_EMAIL), "Calendar *");
    assert_string_equal(lab_map(l, "k", 0), "Contacts *");
    assert_string_equal(lab_map(l, "t", 0), "Tasks *");
    assert_string_equal(lab_map(l, "n", 0), "Notes *");
}

/* Z-Push calls whatever is configured for it `Sent`; the mailbox of that name
 * is then another folder, which is listed as well. */
static void a_special_folder_with_a_namesake_is_not_believed_its_name(
    void **state)
{
    lab *l = *state;
    know(l);
    set(l, "se", "0", "Sent", 5);
    set(l, "se1", "se", "2026", 12);
    set(l, "p", "0", "Projects", 12);
    set(l, "ps", "p", "Sent", 12); /* elsewhere: no namesake */
    assert_string_equal(lab_map(l, "se", 0), "Email Sent");
    assert_string_equal(lab_map(l, "se1", 0), "Email Sent/2026");
    set(l, "s2", "0", "Sent", 12);
    set(l, "s21", "s2", "2026", 12);
    assert_string_equal(lab_map(l, "se", 0), "Email *");
    assert_string_equal(lab_map(l, "se1", 0), "Email *");
    assert_string_equal(lab_map(l, "s2", 0), "Email Sent");
    assert_string_equal(lab_map(l, "s21", 0), "Email Sent/2026");
    assert_string_equal(lab_map(l, "ps", 0), "Email Projects/Sent");
}

static void nobody_can_know_outbox_recipients_and_type_18(void **state)
{
    lab *l = *state;
    know(l);
    set(l, "out", "0", "Outbox", 6);
    set(l, "ri", "0", "RecipientInfo", 19);
    set(l, "un", "0", "Unknown", 18);
    set(l, "jo", "0", "Journal", 11);
    assert_string_equal(lab_map(l, "out", DP_CLASS_EMAIL), "none");
    assert_string_equal(lab_map(l, "ri", DP_CLASS_CONTACTS), "none");
    assert_string_equal(lab_map(l, "un", DP_CLASS_EMAIL), "none");
    assert_string_equal(lab_map(l, "jo", DP_CLASS_UNKNOWN), "none");
    assert_string_equal(lab_map(l, "jo", DP_CLASS_CALENDAR), "Calendar *");
    assert_string_equal(lab_map(l, "RI", DP_CLASS_CONTACTS), "none");
}

static void names_that_could_lead_elsewhere_are_blind(void **state)
{
    lab *l = *state;
    static const char *const names[] = {
        "",      ".",      "..",     "a/b",  "../../etc",   "a.b",
        "a\x01", "a\nb",   "a\x7f",  "*",    "/guid/x",     ".hidden",
        "a\tb"};
    know(l);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        set(l, "x", "0", names[i], 12);
        assert_string_equal(lab_map(l, "x", 0), "none");
        set(l, "y", "x", "fine", 12); /* … and so does what is below */
        assert_string_equal(lab_map(l, "y", 0), "none");
    }
    dp_folder_map_set(l->store, NULL, &l->who, S("x"), S("0"),
                      dp_span_of("a\0b", 3), 12);
    assert_string_equal(lab_map(l, "x", 0), "none");
}

static void what_is_below_the_inbox_is_ambiguous(void **state)
{
    lab *l = *state;
    know(l);
    set(l, "in", "0", "INBOX", 2);
    set(l, "x", "in", "Archive", 12);
    set(l, "y", "x", "2026", 12);
    assert_string_equal(lab_map(l, "x", 0), "Email *");
    assert_string_equal(lab_map(l, "y", 0), "Email *");
    set(l, "z", "0", "inbox", 12);
    assert_string_equal(lab_map(l, "z", 0), "Email *");
}

/* The class topic is vouched for by the user's own mailboxes. */
static void other_peoples_folders_never_get_the_class_topic(void **state)
{
    lab *l = *state;
    static const char *const foreign[] = {"S1a2b3", "C1A2B3", "G00000",
                                          "Ifffff"};
    static const char *const own[] = {"U1a2b3", "F12345678", "C12345678",
                                      "S1a2b", "Szzzzz"};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_string_equal(lab_map(l, foreign[i], DP_CLASS_EMAIL), "none");
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        assert_string_equal(lab_map(l, own[i], DP_CLASS_EMAIL), "Email *");
    }
    know(l);
    set(l, "S1a2b3", "0", "Projects", 12); /* called like one of his own */
    assert_string_equal(lab_map(l, "S1a2b3", DP_CLASS_EMAIL), "none");
    set(l, "s", "0", "shared", 12);
    set(l, "b", "s", "bob@example.com", 12);
    set(l, "p", "b", "Projects", 12);
    assert_string_equal(lab_map(l, "s", DP_CLASS_EMAIL), "Email shared");
    assert_string_equal(lab_map(l, "p", DP_CLASS_EMAIL), "none");
    set(l, "mail%2Fshared%2Fbob", "0", "Projects", 12);
    assert_string_equal(lab_map(l, "mail%2Fshared%2Fbob", DP_CLASS_EMAIL),
                        "none");
}

static void rings_and_gaps_and_depths_are_blind(void **state)
{
    lab *l = *state;
    char id[16], parent[16];
    know(l);
    set(l, "a", "b", "one", 12);
    set(l, "b", "a", "two", 12);
    set(l, "self", "self", "me", 12);
    set(l, "orphan", "gone", "child", 12);
    set(l, "none", "", "child", 12);
    set(l, "cal", "0", "Calendar", 8);
    set(l, "odd", "cal", "below a calendar", 12);
    assert_string_equal(lab_map(l, "a", 0), "none");
    assert_string_equal(lab_map(l, "self", 0), "none");
    assert_string_equal(lab_map(l, "orphan", 0), "none");
    assert_string_equal(lab_map(l, "none", 0), "none");
    assert_string_equal(lab_map(l, "odd", 0), "none");
    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof(id), "d%d", i);
        snprintf(parent, sizeof(parent), i ? "d%d" : "0", i - 1);
        set(l, id, parent, "n", 12);
    }
    assert_string_equal(lab_map(l, "d2", 0), "Email n/n/n");
    assert_string_equal(lab_map(l, "d39", 0), "none");
}

static void a_path_is_never_too_long(void **state)
{
    lab *l = *state;
    char name[DP_TOPIC_FOLDER_MAX + 2];
    know(l);
    memset(name, 'n', sizeof(name));
    name[600] = 0;
    set(l, "a", "0", name, 12);
    set(l, "b", "a", name, 12);
    assert_int_equal(strlen(lab_map(l, "a", 0)), 6 + 600);
    assert_string_equal(lab_map(l, "b", 0), "none");
    memset(name, 'n', sizeof(name));
    name[DP_TOPIC_FOLDER_MAX] = 0;
    set(l, "c", "0", name, 12);
    assert_int_equal(strlen(lab_map(l, "c", 0)), 6 + DP_TOPIC_FOLDER_MAX);
    name[DP_TOPIC_FOLDER_MAX] = 'n';
    name[DP_TOPIC_FOLDER_MAX + 1] = 0;
    set(l, "d", "0", name, 12);
    assert_string_equal(lab_map(l, "d", 0), "none");
}

static void folders_come_and_go(void **state)
{
    lab *l = *state;
    unsigned type = 0;
    know(l);
    set(l, "x", "0", "Old", 12);
    set(l, "x", "0", "New", 12);
    assert_string_equal(lab_map(l, "x", 0), "Email New");
    assert_true(dp_folder_map_type(l->store, NULL, &l->who, S("x"), &type));
    assert_int_equal(type, 12);
    assert_int_equal(dp_folder_map_del(l->store, NULL, &l->who, S("x")),
                     APR_SUCCESS);
    assert_int_equal(dp_folder_map_del(l->store, NULL, &l->who, S("x")),
                     APR_SUCCESS);
    assert_string_equal(lab_map(l, "x", DP_CLASS_EMAIL), "Email *");
    assert_false(dp_folder_map_type(l->store, NULL, &l->who, S("x"), &type));
    set(l, "x", "0", "New", 12);
    set(l, "y", "0", "Other", 12);
    dp_who other = l->who;
    other.device = S("appl123");
    dp_folder_map_set(l->store, NULL, &other, S("x"), S("0"), S("His"), 12);
    assert_int_equal(dp_folder_map_clear(l->store, NULL, &l->who),
                     APR_SUCCESS);
    assert_string_equal(lab_map(l, "x", 0), "none");
    assert_string_equal(lab_map(l, "y", 0), "none");
    assert_true(dp_folder_map_type(l->store, NULL, &other, S("x"), &type));
}

static void what_one_response_taught_can_be_unlearnt(void **state)
{
    lab *l = *state;
    char id[16];
    know(l);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "%d", i);
        dp_folder_map_learn(l->store, NULL, &l->who, S(id), S("0"), S(id), 12,
                            i % 2 ? 111 : 222);
    }
    assert_int_equal(dp_folder_map_unlearn(l->store, NULL, &l->who, 111),
                     APR_SUCCESS);
    assert_string_equal(lab_map(l, "98", 0), "Email 98");
    assert_string_equal(lab_map(l, "99", 0), "none");
}

#define OTHERS "mail%2Fa139c21dfa82036bd80c000083ecc375"
#define GUID   "guid/a139c21dfa82036bd80c000083ecc375"

static void what_others_share_is_marked_once_it_was_listed(void **state)
{
    lab *l = *state;
    know(l);
    assert_string_equal(lab_map(l, OTHERS, 0), "Email /" GUID);
    set(l, OTHERS, "0", "Own", 12);
    assert_string_equal(lab_map(l, OTHERS, 0), "Email /" GUID);
    set(l, OTHERS, "mail%2Fshared%2Fbob", "Projects", 12);
    assert_string_equal(lab_map(l, OTHERS, 0), "Email /listed/" GUID);
    set(l, OTHERS, "mail%2F00000000000000000000000000000001", "P", 12);
    assert_string_equal(lab_map(l, OTHERS, 0), "Email /" GUID);
    set(l, "mail%2F00000000000000000000000000000001", "mail%2Fshared", "Bob",
        12);
    assert_string_equal(lab_map(l, OTHERS, 0), "Email /listed/" GUID);
    /* another spelling was not listed */
    assert_string_equal(lab_map(l, "mail/a139c21dfa82036bd80c000083ecc375", 0),
                        "Email /" GUID);
    assert_string_equal(lab_map(l, "vevent%2Fbob_team", 0),
                        "Calendar bob_team");
    set(l, "vevent%2Fbob_team", "vevent%2Fpersonal", "Team", 13);
    set(l, "vevent%2Fown", "vevent%2Fpersonal", "Own", 13);
    assert_string_equal(lab_map(l, "vevent%2Fbob_team", 0),
                        "Calendar /listed/bob_team");
    assert_string_equal(lab_map(l, "vevent%2Fown", 0), "Calendar own");
    dp_hier_state h = {.is_map_known = 0};
    dp_hier_state_put(l->store, NULL, &l->who, &h);
    assert_string_equal(lab_map(l, OTHERS, 0), "Email /" GUID);
    assert_string_equal(lab_map(l, "vevent%2Fbob_team", 0),
                        "Calendar bob_team");
}

static void a_ring_of_shared_folders_ends(void **state)
{
    lab *l = *state;
    know(l);
    set(l, OTHERS, OTHERS, "Ring", 12);
    assert_string_equal(lab_map(l, OTHERS, 0), "Email /" GUID);
}

static void a_status_7_is_remembered(void **state)
{
    lab *l = *state;
    dp_hier_state_announced(l->store, NULL, &l->who, dp_mark_at(9, 90), l->now_us);
    assert_int_equal(lab_hier(l).announced.seq, 90);
    assert_int_equal(lab_hier(l).announced_at_us, l->now_us);
}

static void ids_that_are_too_long_are_refused(void **state)
{
    lab *l = *state;
    char id[DP_COLLECTION_ID_MAX + 2];
    memset(id, 'i', sizeof(id));
    id[DP_COLLECTION_ID_MAX] = 0;
    know(l);
    set(l, id, "0", "Long", 12);
    assert_string_equal(lab_map(l, id, 0), "Email Long");
    id[DP_COLLECTION_ID_MAX] = 'i';
    id[DP_COLLECTION_ID_MAX + 1] = 0;
    assert_int_equal(dp_folder_map_set(l->store, NULL, &l->who, S(id), S("0"),
                                       S("Long"), 12),
                     APR_EINVAL);
    assert_string_equal(lab_map(l, id, DP_CLASS_EMAIL), "Email *");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAB_RAM(sogos_ids_say_what_they_are),
        LAB_BOTH(an_unknown_map_falls_to_the_class),
        LAB_BOTH(which_is_assumed_where_nothing_else_says_it),
        LAB_BOTH(types_and_names_make_paths),
        LAB_BOTH(
            a_special_folder_with_a_namesake_is_not_believed_its_name),
        LAB_RAM(nobody_can_know_outbox_recipients_and_type_18),
        LAB_RAM(names_that_could_lead_elsewhere_are_blind),
        LAB_RAM(what_is_below_the_inbox_is_ambiguous),
        LAB_BOTH(other_peoples_folders_never_get_the_class_topic),
        LAB_BOTH(rings_and_gaps_and_depths_are_blind),
        LAB_RAM(a_path_is_never_too_long),
        LAB_BOTH(folders_come_and_go),
        LAB_BOTH(what_one_response_taught_can_be_unlearnt),
        LAB_BOTH(what_others_share_is_marked_once_it_was_listed),
        LAB_RAM(a_ring_of_shared_folders_ends),
        LAB_BOTH(a_status_7_is_remembered),
        LAB_RAM(ids_that_are_too_long_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
