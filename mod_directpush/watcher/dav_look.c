/* One look at a home: its requests, what their answers mean, and when the next
 * one is due. */
#include "watcher/dav_box.h"

#include <stdio.h>
#include <string.h>

#include "bus/topic_name.h"
#include "watcher/log.h"

/* Between looks at a change whose second may still be going on. */
#define SECOND_OVER_US (250 * 1000)

#define RETRY_MIN_US    (5 * DP_SECOND_US)
#define RETRY_MAX_US    (600 * DP_SECOND_US)
/* Servers lock accounts out after a few wrong passwords. */
#define DENIED_MIN_US   (300 * DP_SECOND_US)
#define DENIED_MAX_US   (3600 * DP_SECOND_US)
#define RETRY_AFTER_MAX 3600

static const char list_body[] =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
    "<D:propfind xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\" "
    "xmlns:S=\"http://calendarserver.org/ns/\"><D:prop><D:resourcetype/>"
    "<S:getctag/><D:sync-token/><C:supported-calendar-component-set/>"
    "</D:prop></D:propfind>";

static void schedule(dp_dav_box *box, dp_time_us in_us)
{
    dp_loop_at(box->source->loop, &box->due, dp_clock_mono_us() + in_us);
}

static void end_look(dp_dav_box *box, dp_time_us next_us)
{
    box->is_looking = false;
    box->detailed = NULL;
    dp_dav_detail_forget(box);
    schedule(box, next_us);
    if (box->wants_again && !box->trouble) {
        box->wants_again = false;
        dp_dav_box_look_soon(box, true);
    }
    dp_dav_look_over(box->source);
}

/* One line per cause: of the server, or of this user. */
static void log_trouble(dp_dav_box *box, dp_dav_trouble trouble,
                        const char *why, const char *remedy)
{
    dp_dav *s = box->source;
    bool is_of_user = trouble == DP_DAV_DENIED || trouble == DP_DAV_ABSENT;
    if (is_of_user ? box->trouble != trouble
                   : dp_log_first(&s->trouble[trouble])) {
        dp_log(DP_LOG_WARN,
               "dav: %s: %s: %s; phones sync at Apache's fallback interval "
               "until it works again",
               box->url, why, remedy);
    }
}

static dp_time_us back_off(const dp_dav_box *box, dp_dav_trouble trouble)
{
    bool is_denied = trouble == DP_DAV_DENIED;
    dp_time_us us = is_denied ? DENIED_MIN_US
                    : box->source->conf.interval_us < RETRY_MIN_US
                        ? box->source->conf.interval_us
                        : RETRY_MIN_US;
    dp_time_us max_us = is_denied ? DENIED_MAX_US : RETRY_MAX_US;
    for (unsigned i = 1; i < box->failures_n && us < max_us; i++) {
        us *= 2;
    }
    return us < max_us ? us : max_us;
}

static void fail(dp_dav_box *box, dp_dav_trouble trouble, const char *why,
                 const char *remedy, long long retry_after_s)
{
    box->failures_n++;
    box->source->failures_n++;
    log_trouble(box, trouble, why, remedy);
    dp_dav_tell_changes(box);
    dp_dav_tell_hinted(box, false);
    dp_dav_suspend_all(box, why);
    box->trouble = trouble;
    dp_time_us wait_us = back_off(box, trouble);
    if (retry_after_s > RETRY_AFTER_MAX) {
        retry_after_s = RETRY_AFTER_MAX;
    }
    if (retry_after_s * DP_SECOND_US > wait_us) {
        wait_us = retry_after_s * DP_SECOND_US;
    }
    box->until_us = dp_clock_mono_us() + wait_us;
    end_look(box, wait_us);
}

static void well_again(dp_dav_box *box)
{
    dp_dav *s = box->source;
    if (box->trouble) {
        bool is_first = box->trouble == DP_DAV_DENIED
                        || box->trouble == DP_DAV_ABSENT
                        || s->trouble[box->trouble].times;
        if (is_first) {
            dp_log(DP_LOG_NOTICE, "dav: %s: answers again", box->url);
        }
        dp_log_over(&s->trouble[box->trouble]);
    }
    box->trouble = DP_DAV_FINE;
    box->failures_n = 0;
    box->until_us = 0;
}

static void finish(dp_dav_box *box)
{
    dp_time_us next_us = box->source->conf.interval_us;
    bool was_known = box->home.is_known;
    bool is_begun = dp_dav_home_end(&box->home);
    well_again(box);
    if (is_begun && !was_known) {
        dp_dav_tell_begun(box);
    }
    if (is_begun) {
        for (dp_dav_topic *t = box->topics; t; t = t->next) {
            dp_dav_box_vouch(box, t);
        }
        dp_dav_tell_changes(box);
        if (box->home.has_list_changed) {
            dp_dav_tell_list(box);
        }
        dp_dav_tell_hinted(box, true);
    }
    if (is_begun && dp_dav_home_waits(&box->home, ~0u, NULL)) {
        next_us = SECOND_OVER_US;
    }
    else if ((!is_begun || dp_dav_home_is_open(&box->home))
             && next_us > DP_SECOND_US) {
        next_us = DP_SECOND_US;
    }
    end_look(box, next_us);
}

/* What an answer's status means. @return false after fail() */
static bool is_answer(dp_dav_box *box, const dp_dav_answer *a)
{
    char why[512];
    if (a->is_too_long) {
        fail(box, DP_DAV_NONSENSE, "the answer is too long",
             "see that url and the homes name a user's home", 0);
    }
    else if (a->error) {
        fail(box, DP_DAV_UNREACHABLE, a->error,
             "see that the server runs, and that url, and ca_file for its "
             "certificate, are right", 0);
    }
    else if (a->status == 401 || a->status == 403) {
        snprintf(why, sizeof(why), "the server answers %ld", a->status);
        fail(box, DP_DAV_DENIED, why,
             "see that directpushd's credentials are right and may read this "
             "user's home (SOGo: SOGoSuperUsernames)", a->retry_after_s);
    }
    else if (a->status == 429 || a->status >= 500) {
        snprintf(why, sizeof(why), "the server answers %ld", a->status);
        fail(box, DP_DAV_BUSY, why,
             "if it is overloaded by directpushd, lower requests_per_second "
             "or raise interval", a->retry_after_s);
    }
    else if (a->status >= 300 && a->status < 400) {
        snprintf(why, sizeof(why), "the server redirects to %s", a->location);
        fail(box, DP_DAV_REDIRECT, why,
             "redirects are not followed: name the place itself in url", 0);
    }
    else if (a->status == 404 || a->status == 410) {
        fail(box, DP_DAV_ABSENT, "there is nothing",
             "see that the user exists and url is right", 0);
    }
    else {
        return true;
    }
    return false;
}

bool dp_dav_is_broken(dp_dav_box *box, const dp_dav_answer *a)
{
    /* 507: the list is too long, RFC 6578 3.6; nothing is wrong with it */
    bool is_broken = (a->error && !a->is_too_long) || a->status == 401
                     || a->status == 429
                     || (a->status >= 500 && a->status != 507);
    return is_broken && !is_answer(box, a);
}

void dp_dav_detail_over(dp_dav_box *box)
{
    box->detailed = dp_dav_home_next_detail(&box->home);
    if (box->detailed) {
        dp_dav_detail_ask(box);
    }
    else {
        finish(box);
    }
}

static bool has_collections(dp_dav_box *box, const dp_dav_answer *a)
{
    box->home.known_floor_us = dp_dav_clock_floor(
        &box->source->clock, a->date_s, dp_clock_mono_us(), a->elapsed_us);
    return dp_dav_home_listed(&box->home, a->date_s, a->elapsed_us);
}

/* SOGo answers for users whom it does not know as for a user `anonymous`, with
 * an address book that is empty and stays so. */
static bool is_nobodys(const dp_dav_box *box, const dp_dav_response *r)
{
    static const char nobody[] = "/dav/anonymous/";
    return strstr(r->href, nobody) && !strstr(box->url, nobody);
}

typedef struct listing {
    dp_dav_box *box;
    bool is_nobodys;
} listing;

static bool take_listed(void *ctx, const dp_dav_response *r)
{
    listing *l = ctx;
    l->is_nobodys |= is_nobodys(l->box, r);
    return dp_dav_home_take(&l->box->home, r);
}

static void list_done(void *ctx, const dp_dav_answer *a)
{
    dp_dav_box *box = ctx;
    listing l = {.box = box};
    box->fetch = NULL;
    box->source->running_n--;
    if (!is_answer(box, a)) {
        return;
    }
    char why[512];
    const char *wrong =
        a->status != 207
            ? "it is no DAV multistatus (status 207)"
            : dp_dav_read(a->body, a->body_n, take_listed, &l, NULL);
    if (wrong) {
        snprintf(why, sizeof(why), "the answer can't be used: %s", wrong);
        fail(box, DP_DAV_NONSENSE, why,
             "see that url names a CalDAV or CardDAV server", 0);
    }
    else if (l.is_nobodys) {
        fail(box, DP_DAV_ABSENT, "SOGo does not know this user",
             "see that url has the user's name as SOGo has it: %u is the whole "
             "name, %n what is before the @", 0);
    }
    else if (!has_collections(box, a)) {
        fail(box, DP_DAV_ABSENT, "there is no collection in it",
             "see that directpushd's credentials may read this user's home "
             "(SOGo: SOGoSuperUsernames)", 0);
    }
    else {
        dp_dav_detail_over(box);
    }
}

bool dp_dav_ask(dp_dav_box *box, const char *method, const char *url,
                const char *body, dp_dav_done *done)
{
    char password[1024];
    const char *login =
        dp_dav_login(box->source, box->user, password, sizeof(password));
    if (!login) {
        fail(box, DP_DAV_DENIED, "there is no password for this user",
             "add a line USER:PASSWORD to the file that credentials names", 0);
        return false;
    }
    box->source->running_n++;
    dp_dav_spend(box->source);
    dp_dav_request r = {.method = method,
                        .url = url,
                        .depth = "1",
                        .body = body,
                        .user = login,
                        .password = password};
    box->fetch = dp_dav_fetch_start(box->source->fetcher, &r, done, box);
    explicit_bzero(password, sizeof(password));
    return true;
}

void dp_dav_box_look(dp_dav_box *box)
{
    box->is_looking = true;
    box->wants_again = false;
    box->source->looks_n++;
    dp_loop_cancel(box->source->loop, &box->due);
    for (dp_dav_topic *t = box->topics; t; t = t->next) {
        if (t->hint == DP_DAV_HINT_WAITS) {
            t->hint = DP_DAV_HINT_LOOKED;
        }
    }
    dp_dav_home_begin(&box->home);
    dp_dav_ask(box, "PROPFIND", box->url, list_body, list_done);
}
