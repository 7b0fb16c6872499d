#include "watcher/dav.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/topic_name.h"
#include "watcher/log.h"

/* What was announced so lately covers a `publish` that finds nothing more. */
#define FRESH_US (5 * DP_SECOND_US)

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

/* --- telling */

static dp_dav_topic *topic_for(const dp_dav_box *box, dp_class c,
                               const char *folder)
{
    dp_dav_topic *t = box->topics;
    while (t && (t->want->class != c || strcmp(t->want->folder, folder) != 0)) {
        t = t->next;
    }
    return t;
}

static bool is_whole(const dp_want *want)
{
    return strcmp(want->folder, DP_TOPIC_WHOLE_CLASS) == 0;
}

/* What the look found covers what was said before it began, no more. */
static void cover(dp_dav_topic *t)
{
    if (t->hint == DP_DAV_HINT_LOOKED) {
        t->hint = DP_DAV_HINT_NONE;
    }
}

static void announce(dp_dav_topic *t, bool is_new)
{
    dp_dav *s = t->box->source;
    t->changed_us = dp_clock_mono_us();
    cover(t);
    s->changes_n++;
    dp_emit_change(s->emit, t->want, is_new);
}

/* The folder's own topic, or its class's; the bus hands one on to the other. */
static void tell_of(dp_dav_box *box, dp_class c, const char *name)
{
    dp_dav_topic *all = topic_for(box, c, DP_TOPIC_WHOLE_CLASS);
    dp_dav_topic *t = topic_for(box, c, name);
    if (t) {
        announce(t, true);
    }
    if (all && t) {
        all->changed_us = t->changed_us; /* the bus hands it on */
        cover(all);
    }
    else if (all) {
        announce(all, true);
    }
}

static const dp_class classes[] = {DP_CLASS_CALENDAR, DP_CLASS_TASKS,
                                   DP_CLASS_CONTACTS};

unsigned dp_dav_kind_of(dp_class c)
{
    return c == DP_CLASS_CALENDAR   ? DP_DAV_EVENTS
           : c == DP_CLASS_TASKS    ? DP_DAV_TASKS
           : c == DP_CLASS_CONTACTS ? DP_DAV_CONTACTS
                                    : 0;
}

static void tell_changes(dp_dav_box *box)
{
    for (dp_dav_coll *c = box->home.first; c; c = c->next) {
        for (size_t i = 0; c->has_changed && i < 3; i++) {
            if (c->kinds & dp_dav_kind_of(classes[i])) {
                tell_of(box, classes[i], c->name);
            }
        }
        c->has_changed = false;
    }
}

/* One came or went: the class has changed, and the phone's list of folders. */
static void tell_list(dp_dav_box *box)
{
    const dp_want_user *user = dp_wants_user(box->source->wants, box->user);
    for (size_t i = 0; i < 3; i++) {
        dp_dav_topic *all = topic_for(box, classes[i], DP_TOPIC_WHOLE_CLASS);
        if (all) {
            announce(all, true);
        }
    }
    if (user && user->classes[DP_CLASS_HIERARCHY]) {
        dp_emit_change(box->source->emit, user->classes[DP_CLASS_HIERARCHY],
                       true);
    }
}

/* --- vouching */

void dp_dav_box_fill(const dp_dav_box *box, dp_want *want)
{
    dp_span url = dp_span_str(box->url);
    dp_cursor cursor = {
        .identity = dp_hash_spans(box->source->hash_key, &url, 1).w[0]};
    unsigned kind = dp_dav_kind_of(want->class);
    for (const dp_dav_coll *c = box->home.first; c; c = c->next) {
        if (c->kinds & kind
            && (is_whole(want) || strcmp(c->name, want->folder) == 0)) {
            dp_span spans[] = {dp_span_str(c->name), dp_span_str(c->base_tag)};
            cursor.names +=
                dp_hash_spans(box->source->hash_key, spans, 2).w[0];
            cursor.count++;
        }
    }
    want->cursor = cursor;
}

static bool is_there(const dp_dav_box *box, const dp_want *want)
{
    const dp_dav_coll *c = dp_dav_home_find(&box->home, want->folder);
    return is_whole(want) || (c && c->kinds & dp_dav_kind_of(want->class));
}

void dp_dav_box_vouch(dp_dav_box *box, dp_dav_topic *t)
{
    if (!box->home.is_known || box->trouble) {
        return;
    }
    if (!is_there(box, t->want)) {
        dp_emit_lost(box->source->emit, t->want, "no such collection");
        t->want->is_restored = false;
    }
    else if (!t->want->is_vouched) {
        dp_dav_box_fill(box, t->want);
        dp_emit_vouch(box->source->emit, t->want);
    }
}

static void suspend_all(dp_dav_box *box, const char *why)
{
    for (dp_dav_topic *t = box->topics; t; t = t->next) {
        dp_dav_box_fill(box, t->want);
        dp_emit_suspend(box->source->emit, t->want, why);
    }
}

/* --- hints */

static void tell_hinted(dp_dav_box *box, bool only_looked)
{
    dp_time_us now_us = dp_clock_mono_us();
    for (dp_dav_topic *t = box->topics; t; t = t->next) {
        if (t->hint == DP_DAV_HINT_NONE
            || (only_looked && t->hint != DP_DAV_HINT_LOOKED)) {
            continue;
        }
        if (only_looked
            && dp_dav_home_waits(&box->home, dp_dav_kind_of(t->want->class),
                                 is_whole(t->want) ? NULL : t->want->folder)) {
            t->hint = DP_DAV_HINT_WAITS; /* told when its second is over */
            continue;
        }
        /* the look began after it was said, and found what was announced */
        bool is_covered =
            only_looked && now_us - t->changed_us < FRESH_US && t->changed_us;
        t->hint = DP_DAV_HINT_NONE;
        if (!is_covered) {
            announce(t, t->is_new);
        }
    }
}

static void hints_late(void *ctx)
{
    tell_hinted(ctx, false);
}

/* --- the look */

static void schedule(dp_dav_box *box, dp_time_us in_us)
{
    dp_loop_at(box->source->loop, &box->due, dp_clock_mono_us() + in_us);
}

static void end_look(dp_dav_box *box, dp_time_us next_us)
{
    box->is_looking = false;
    box->detailed = NULL;
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
    tell_changes(box);
    tell_hinted(box, false);
    suspend_all(box, why);
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
    bool is_begun = dp_dav_home_end(&box->home);
    well_again(box);
    if (is_begun) {
        for (dp_dav_topic *t = box->topics; t; t = t->next) {
            dp_dav_box_vouch(box, t);
        }
        tell_changes(box);
        if (box->home.has_list_changed) {
            tell_list(box);
        }
        tell_hinted(box, true);
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

static void ask_detail(dp_dav_box *box);

static void next_detail(dp_dav_box *box)
{
    box->detailed = dp_dav_home_next_detail(&box->home);
    if (box->detailed) {
        ask_detail(box);
    }
    else {
        finish(box);
    }
}

typedef struct summing {
    const uint8_t *hash_key;
    uint64_t sum;
} summing;

static bool add_item(void *ctx, const dp_dav_response *r)
{
    summing *s = ctx;
    s->sum = dp_dav_detail_add(s->sum, s->hash_key, r);
    return true;
}

static void detail_done(void *ctx, const dp_dav_answer *a)
{
    dp_dav_box *box = ctx;
    char token[DP_DAV_TEXT_MAX];
    summing all = {box->source->hash_key, DP_DAV_NO_DETAIL};
    box->fetch = NULL;
    box->source->running_n--;
    bool is_broken = (a->error && !a->is_too_long) || a->status == 401
                     || a->status == 429 || a->status >= 500;
    if (is_broken && !is_answer(box, a)) {
        return;
    }
    if (!a->is_too_long && a->status == 207
        && !dp_dav_read(a->body, a->body_n, add_item, &all, token)) {
        dp_dav_home_detail(&box->home, box->detailed, all.sum, token);
    }
    else {
        dp_dav_home_no_detail(&box->home, box->detailed);
    }
    next_detail(box);
}

static bool has_collections(dp_dav_box *box, const dp_dav_answer *a)
{
    box->home.known_floor_us = dp_dav_clock_floor(
        &box->source->clock, a->date_s, dp_clock_mono_us(), a->elapsed_us);
    return dp_dav_home_listed(&box->home, a->date_s, a->elapsed_us);
}

static void list_done(void *ctx, const dp_dav_answer *a)
{
    dp_dav_box *box = ctx;
    box->fetch = NULL;
    box->source->running_n--;
    if (!is_answer(box, a)) {
        return;
    }
    char why[512];
    const char *wrong =
        a->status != 207
            ? "it is no DAV multistatus (status 207)"
            : dp_dav_read(a->body, a->body_n, dp_dav_home_take, &box->home,
                          NULL);
    if (wrong) {
        snprintf(why, sizeof(why), "the answer can't be used: %s", wrong);
        fail(box, DP_DAV_NONSENSE, why,
             "see that url names a CalDAV or CardDAV server", 0);
    }
    else if (!has_collections(box, a)) {
        fail(box, DP_DAV_ABSENT, "there is no collection in it",
             "see that directpushd's credentials may read this user's home "
             "(SOGo: SOGoSuperUsernames)", 0);
    }
    else {
        next_detail(box);
    }
}

/* @return false after fail() */
static bool ask(dp_dav_box *box, const char *method, const char *url,
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
    ask(box, "PROPFIND", box->url, list_body, list_done);
}

/* A segment of a path. @return bytes */
static size_t escape(char *out, size_t cap, const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~@";
    size_t n = 0;
    for (; *name && n + 4 < cap; name++) {
        if (strchr(plain, *name)) {
            out[n++] = *name;
        }
        else {
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*name);
        }
    }
    out[n] = '\0';
    return n;
}

static void escape_xml(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (; *text && n + 7 < cap; text++) {
        if (strchr("<>&\"'", *text)) {
            n += (size_t)snprintf(out + n, 7, "&#%d;", *text);
        }
        else {
            out[n++] = *text;
        }
    }
    out[n] = '\0';
}

static void ask_detail(dp_dav_box *box)
{
    char name[DP_TOPIC_FOLDER_MAX * 3 + 8], token[DP_DAV_TEXT_MAX * 6];
    char url[8192], body[DP_DAV_TEXT_MAX * 6 + 512];
    escape(name, sizeof(name), box->detailed->name);
    escape_xml(token, sizeof(token), box->detailed->base_token);
    snprintf(url, sizeof(url), "%s%s/", box->url, name);
    snprintf(body, sizeof(body),
             "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
             "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>%s"
             "</D:sync-token><D:sync-level>1</D:sync-level><D:prop>"
             "<D:getetag/></D:prop></D:sync-collection>",
             token);
    box->source->details_n++;
    ask(box, "REPORT", url, body, detail_done);
}

/* --- life */

static void look_due(void *ctx)
{
    dp_dav_box_look_soon(ctx, false);
}

void dp_dav_box_look_soon(dp_dav_box *box, bool is_urgent)
{
    dp_dav *s = box->source;
    if (box->is_looking) {
        box->wants_again |= is_urgent;
        return;
    }
    if (box->until_us > dp_clock_mono_us()) {
        return; /* its timer is set */
    }
    dp_list_del(&box->job);
    dp_list_add(is_urgent ? &s->urgent : &s->queue, &box->job);
    dp_dav_look_over(s);
}

void dp_dav_box_abandon(dp_dav_box *box, const char *why)
{
    if (box->fetch) {
        dp_dav_fetch_cancel(&box->fetch);
        box->source->running_n--;
    }
    box->is_looking = box->wants_again = false;
    box->detailed = NULL;
    tell_changes(box);
    tell_hinted(box, false);
    suspend_all(box, why);
}

static dp_hash key_of(const dp_dav *s, const char *user, unsigned which)
{
    dp_span spans[] = {dp_span_str(user), dp_span_of(&which, sizeof(which))};
    return dp_hash_spans(s->hash_key, spans, 2);
}

dp_dav_box *dp_dav_box_find(const dp_dav *s, const char *user, unsigned which)
{
    dp_map_node *n = dp_map_get(&s->boxes, key_of(s, user, which));
    return n ? DP_DAV_OWNER(n, dp_dav_box, by_name) : NULL;
}

/* The user's home: the template with %u, %n, %d, escaped. */
static bool url_of(const dp_dav *s, const char *user, unsigned which, char *out,
                   size_t cap)
{
    const char *at = s->conf.url;
    const char *domain = strchr(user, '@');
    char local[DP_TOPIC_USER_MAX + 1];
    size_t n = 0;
    snprintf(local, sizeof(local), "%.*s",
             (int)(domain ? domain - user : (ptrdiff_t)strlen(user)), user);
    for (; *at && n + 4 < cap; at++) {
        if (*at != '%' || !strchr("und%", at[1]) || !at[1]) {
            out[n++] = *at;
            continue;
        }
        at++;
        if (*at == 'd' && !domain) {
            return false;
        }
        const char *value = *at == 'u' ? user : *at == 'n' ? local
                            : *at == 'd' ? domain + 1 : "%";
        n += escape(out + n, cap - n, value);
    }
    out[n] = '\0';
    const char *home = which == 0 ? s->conf.calendars : s->conf.contacts;
    return n + strlen(home) < cap && strcpy(out + n, home);
}

dp_dav_box *dp_dav_box_get(dp_dav *s, const char *user, unsigned which)
{
    char url[4096];
    dp_dav_box *box = dp_dav_box_find(s, user, which);
    if (box) {
        return box;
    }
    if (!url_of(s, user, which, url, sizeof(url))) {
        snprintf(s->answer, sizeof(s->answer),
                 "%s has no domain, and url has %%d in it (default_domain in "
                 "directpushd.conf)",
                 user);
        return NULL;
    }
    box = calloc(1, sizeof(*box));
    DP_ASSERT(box);
    box->source = s;
    box->which = which;
    box->user = strdup(user);
    box->url = strdup(url);
    DP_ASSERT(box->user && box->url);
    box->home.kinds = which == 0 ? DP_DAV_EVENTS | DP_DAV_TASKS
                                 : DP_DAV_CONTACTS;
    box->due = (dp_loop_timer){.due = look_due, .ctx = box};
    box->late = (dp_loop_timer){.due = hints_late, .ctx = box};
    dp_list_init(&box->job);
    dp_map_put(&s->boxes, &box->by_name, key_of(s, user, which));
    return box;
}

bool dp_dav_box_readdress(dp_dav_box *box)
{
    char url[4096];
    if (!url_of(box->source, box->user, box->which, url, sizeof(url))) {
        return false;
    }
    if (strcmp(url, box->url) != 0) {
        free(box->url);
        box->url = strdup(url);
        DP_ASSERT(box->url);
        dp_dav_home_clear(&box->home); /* another place: nothing is known */
    }
    box->trouble = DP_DAV_FINE;
    box->failures_n = 0;
    box->until_us = 0;
    return true;
}

void dp_dav_box_free(dp_dav_box *box)
{
    dp_dav *s = box->source;
    dp_dav_box_abandon(box, "ended");
    dp_list_del(&box->job);
    dp_loop_cancel(s->loop, &box->due);
    dp_loop_cancel(s->loop, &box->late);
    dp_dav_home_clear(&box->home);
    dp_map_del(&s->boxes, &box->by_name);
    free(box->user);
    free(box->url);
    free(box);
}
