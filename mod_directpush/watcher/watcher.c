#include "watcher/watcher.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/bus_link.h"
#include "bus/topic_name.h"
#include "watcher/dav.h"
#include "watcher/lock.h"
#include "watcher/maildir.h"
#include "watcher/ready.h"

/* How long one turn may ask for what was asked for before. */
#define ASK_TURN_US ((dp_time_us)2000)

/* How long stopping may go on with that; systemd waits for 90 s. */
#define STOP_US (20 * DP_SECOND_US)

static bool fail(char *problem, size_t cap, const char *what, const char *why,
                 const char *remedy)
{
    snprintf(problem, cap, "%s: %s%s%s", what, why, *remedy ? ": " : "",
             remedy);
    return false;
}

/* --- directories and locks */

static bool make_dir(const char *dir, mode_t mode, gid_t gid, char *problem,
                     size_t cap)
{
    if (mkdir(dir, mode) == 0) {
        if (gid != (gid_t)-1 && chown(dir, (uid_t)-1, gid) != 0) {
            return fail(problem, cap, dir, strerror(errno),
                        "can't give it to the group");
        }
        return true;
    }
    if (errno != EEXIST) {
        return fail(problem, cap, dir, strerror(errno),
                    "make it, or start directpushd by systemd, which does");
    }
    return true;
}

static bool take_locks(dp_watcher *w, char *problem, size_t cap)
{
    const dp_conf *conf = w->conf;
    if (!make_dir(conf->runtime_dir, 0750, conf->gid, problem, cap)
        || !make_dir(conf->state_dir, 0700, (gid_t)-1, problem, cap)) {
        return false;
    }
    w->locks[0] = dp_lock_take(conf->runtime_dir, problem, cap);
    if (w->locks[0] < 0) {
        return false;
    }
    if (strcmp(conf->runtime_dir, conf->state_dir) != 0) {
        w->locks[1] = dp_lock_take(conf->state_dir, problem, cap);
        return w->locks[1] >= 0;
    }
    return true;
}

/* --- the bus */

static void bus_path(const dp_conf *conf, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%s", conf->runtime_dir, DP_BUS_FILE_NAME);
}

/* The group may be another than when the bus was made. */
static void give_bus_to_group(const dp_watcher *w, const char *path)
{
    if (w->conf->gid != (gid_t)-1
        && lchown(path, (uid_t)-1, w->conf->gid) != 0) {
        dp_log(DP_LOG_ERROR,
               "%s: can't give it to the group %s: %s; httpd can't read it "
               "unless directpushd is a member of that group",
               path, w->conf->group, strerror(errno));
    }
}

/* Carry on with the file of an earlier process, if the state knows it. */
static bool reopen_bus(dp_watcher *w, const char *path)
{
    dp_bus_problem trouble;
    if (dp_bus_reopen(&w->bus, path, &trouble) != APR_SUCCESS) {
        if (trouble != DP_BUS_MISSING) {
            dp_log(DP_LOG_NOTICE, "%s: %s: a new one is made", path,
                   dp_bus_problem_text(trouble));
        }
        return false;
    }
    const dp_bus_map *map = dp_bus_writer_map(w->bus);
    if (map->header->instance != dp_state_instance(w->state)) {
        dp_log(DP_LOG_NOTICE,
               "%s: not the one that %s belongs to: a new one is made", path,
               w->conf->state_dir);
        dp_bus_close(&w->bus, true);
        return false;
    }
    if (map->topic_cap != w->conf->topics
        || map->journal_cap != w->conf->journal) {
        dp_log(DP_LOG_WARN,
               "%s has %u topics and a journal of %u; other sizes count when "
               "it is made anew: after a reboot, or stop directpushd, remove "
               "it and start again (every device syncs once)",
               path, map->topic_cap, map->journal_cap);
    }
    dp_bus_raise_head(w->bus, dp_state_ceiling(w->state));
    give_bus_to_group(w, path);
    return true;
}

static bool create_bus(dp_watcher *w, const char *path, char *problem,
                       size_t cap)
{
    dp_bus_create_args args = {
        .path = path,
        .topic_cap = w->conf->topics,
        .journal_cap = w->conf->journal,
        .group = w->conf->gid,
    };
    apr_status_t rv = dp_bus_create(&w->bus, &args);
    if (rv != APR_SUCCESS) {
        char remedy[192];
        snprintf(remedy, sizeof(remedy),
                 "it needs room for %llu bytes and permission to create files",
                 (unsigned long long)(w->conf->topics + w->conf->journal) * 64
                     + 4096);
        if (rv == EPERM && w->conf->gid != (gid_t)-1) {
            snprintf(remedy, sizeof(remedy),
                     "make directpushd's user a member of the group %.64s, or "
                     "set `group` to the group of Apache's user",
                     w->conf->group);
        }
        return fail(problem, cap, path, strerror(rv), remedy);
    }
    return true;
}

static bool is_no_alias(void *ctx, dp_bus_ref ref, uint32_t flags)
{
    return !(flags & DP_BUS_TOPIC_ALIAS);
}

/* A topic that nobody claims goes. The others are nobody's word any more: what
 * the bus says of them was true when its writer died. */
static bool is_claimed(void *ctx, dp_bus_ref ref, uint32_t flags)
{
    dp_watcher *w = ctx;
    bool has_want = dp_wants_at_slot(w->wants, ref.slot) != NULL;
    if (has_want) {
        dp_bus_unvouch(w->bus, ref);
    }
    return has_want || flags & DP_BUS_TOPIC_ALIAS;
}

static bool open_bus(dp_watcher *w, char *problem, size_t cap)
{
    char path[4096];
    bus_path(w->conf, path, sizeof(path));
    w->state = dp_state_open(w->conf->state_dir);
    if (!reopen_bus(w, path)) {
        if (!create_bus(w, path, problem, cap)) {
            return false;
        }
        w->wanted = dp_wanted_take(w->conf->state_dir);
    }
    const dp_bus_map *map = dp_bus_writer_map(w->bus);
    dp_state_begin(w->state, map->header->instance, dp_bus_head(map));
    return true;
}

/* --- what was asked for before */

typedef struct restoring {
    dp_watcher *w;
    dp_time_us now_us;
} restoring;

/* The record counts if the topic is at least as new as when it was stored: an
 * older bus file would not know of changes that readers may have missed. */
static void restore_one(void *ctx, const dp_state_record *r)
{
    restoring *all = ctx;
    dp_watcher *w = all->w;
    const dp_bus_map *map = dp_bus_writer_map(w->bus);
    dp_time_us age_us = all->now_us - r->renewed_us;
    dp_hash key = dp_topic_key(map->header->hash_key, dp_span_str(r->user),
                               r->class, dp_span_str(r->folder));
    dp_bus_ref ref = dp_bus_find(map, key);
    if (ref.slot == DP_BUS_NO_SLOT || age_us < 0
        || age_us > DP_LINK_WATCH_EXPIRY_S * DP_SECOND_US) {
        return;
    }
    dp_bus_view view = dp_bus_look(map, ref);
    dp_want *want = dp_wants_restore(w->wants, r->user, r->class, r->folder);
    dp_want_renew(w->wants, want, r->renewed_us);
    want->old_cursor = r->cursor;
    if (view.changed >= r->changed && view.watched_from != DP_BUS_UNWATCHED) {
        want->is_restored = want->is_stored = true;
        want->old_watched_from = view.watched_from;
    }
}

/* When all wants are there: a name that was an alias once and is a topic now
 * is the topic's. */
static void restore_aliases(void *ctx, const dp_state_record *r)
{
    dp_watcher *w = ((restoring *)ctx)->w;
    dp_want *want = dp_wants_find(w->wants, r->user, r->class, r->folder);
    for (unsigned i = 0; want && i < r->aliases_n; i++) {
        dp_want_add_alias(w->wants, want, r->alias_user[i],
                          r->alias_folder[i]);
    }
}

static dp_source *source_for(dp_watcher *w, dp_class c)
{
    for (size_t i = 0; i < w->sources_n; i++) {
        if (w->sources[i]->ops->offers(w->sources[i], c)) {
            return w->sources[i];
        }
    }
    return NULL;
}

typedef struct want_list {
    dp_want **wants;
    size_t n;
} want_list;

static void collect(void *ctx, dp_want *want)
{
    want_list *list = ctx;
    list->wants[list->n++] = want;
}

/* A topic that was listed to a device has one name where somebody watches its
 * class, and another where nobody does (watcher_ask.c): that of before ends. */
static bool is_of_before(const dp_want *want, const dp_source *source)
{
    if (source) {
        return dp_topic_listed(dp_span_str(want->folder)).n != 0;
    }
    for (const dp_want_alias *a = want->aliases; a; a = a->next) {
        if (dp_topic_listed(dp_span_str(a->folder)).n
            && strcmp(a->folder, want->folder) != 0) {
            return true;
        }
    }
    return false;
}

static const char *ask(dp_source *source, dp_want *want)
{
    if (is_of_before(want, source)) {
        return "it has another name now";
    }
    return source ? source->ops->ask(source, want) : NULL;
}

static void ask_again(dp_watcher *w, dp_want *want)
{
    dp_source *source = source_for(w, want->class);
    const char *why = ask(source, want);
    if (!source) { /* it may be published for, and is not vouched for */
        dp_bus_unvouch(w->bus, want->ref);
    }
    if (why) {
        dp_log(DP_LOG_DEBUG, "%s %s %s: %s", want->user->name,
               dp_class_name(want->class), want->folder, why);
        dp_want_end(w->wants, &want);
    }
}

/* Watch again what is wanted: a slice, while children are served. Of what they
 * ask for themselves nothing is left to do. @return true: there is more */
static bool ask_some(dp_watcher *w)
{
    const uint32_t cap = dp_bus_writer_map(w->bus)->topic_cap;
    dp_time_us end_us = dp_clock_mono_us() + ASK_TURN_US;
    while (w->ask_slot < cap) {
        dp_want *want = dp_wants_at_slot(w->wants, w->ask_slot++);
        if (want && !want->source) {
            ask_again(w, want);
            if (dp_clock_mono_us() > end_us) {
                break;
            }
        }
    }
    return w->ask_slot < cap;
}

/* The same where nothing else is left of before but names. */
static bool watch_some(dp_watcher *w)
{
    dp_span user, folder;
    dp_class class;
    dp_bus_ref ref;
    dp_time_us end_us = dp_clock_mono_us() + ASK_TURN_US;
    while (w->wanted && dp_clock_mono_us() < end_us) {
        if (!dp_wanted_next(w->wanted, &user, &class, &folder)) {
            dp_wanted_free(&w->wanted);
            break;
        }
        const char *why = dp_watcher_watch(w, user, class, folder, &ref);
        if (why) {
            dp_log(DP_LOG_DEBUG, "%.*s %s %.*s: %s", (int)user.n,
                   (const char *)user.p, dp_class_name(class), (int)folder.n,
                   (const char *)folder.p, why);
        }
    }
    return w->wanted != NULL;
}

static void restore(dp_watcher *w)
{
    restoring all = {w, dp_clock_mono_us()};
    dp_bus_sweep(w->bus, is_no_alias, w); /* the records have them */
    dp_state_each(w->state, restore_one, &all);
    dp_state_each(w->state, restore_aliases, &all);
    dp_bus_sweep(w->bus, is_claimed, w);
    w->ask_slot = 0; /* from here ask_some() goes on */
    if (dp_wants_n(w->wants) > 0) {
        dp_log(DP_LOG_INFO, "carrying on with %zu topics",
               dp_wants_n(w->wants));
    }
}

/* --- hooks */

static void want_ending(void *ctx, dp_want *want)
{
    dp_watcher *w = ctx;
    dp_emit_ending(w->emit, want);
}

static void emit_line(void *ctx, uint64_t seq, const dp_want *want,
                      dp_emit_kind kind)
{
    dp_watcher *w = ctx;
    if (w->control) {
        dp_control_follow_line(w->control, seq, want, kind);
    }
}

static void emit_moved(void *ctx)
{
    dp_watcher *w = ctx;
    if (w->control) {
        dp_control_wake(w->control);
    }
}

static bool loop_work(void *ctx)
{
    dp_watcher *w = ctx;
    bool has_more = ask_some(w) | watch_some(w);
    for (size_t i = 0; i < w->sources_n; i++) {
        has_more |= w->sources[i]->ops->step(w->sources[i]);
    }
    dp_emit_flush(w->emit);
    return has_more;
}

static void loop_after(void *ctx)
{
    dp_watcher *w = ctx;
    dp_emit_flush(w->emit);
    if (w->control) {
        dp_control_after_turn(w->control);
    }
}

/* Whoever has the bus mapped goes on; whoever comes finds none. */
static void see_that_the_bus_is_there(dp_watcher *w)
{
    char path[4096];
    struct stat st;
    const dp_bus_map *map = dp_bus_writer_map(w->bus);
    bus_path(w->conf, path, sizeof(path));
    if (stat(path, &st) == 0 && st.st_ino == map->ino) {
        dp_log_over(&w->bus_is_gone);
    }
    else if (dp_log_first(&w->bus_is_gone)) {
        dp_log(DP_LOG_ERROR,
               "%s was removed or replaced: children of Apache that start now "
               "find no bus; restart directpushd, and see who cleans there",
               path);
    }
}

static void sign_due(void *ctx)
{
    dp_watcher *w = ctx;
    dp_time_us now_us = dp_clock_mono_us();
    see_that_the_bus_is_there(w);
    dp_bus_sign(w->bus, now_us);
    dp_ready_alive();
    dp_loop_at(w->loop, &w->sign, now_us + DP_LINK_ALIVE_EVERY_US);
}

/* --- start and stop */

static dp_source *make_maildir(dp_watcher *w)
{
    return dp_maildir_new(w->loop, w->emit,
                          dp_bus_writer_map(w->bus)->header->hash_key,
                          w->conf);
}

static dp_source *make_dav(dp_watcher *w)
{
    return dp_dav_new(w->loop, w->emit, w->wants,
                      dp_bus_writer_map(w->bus)->header->hash_key,
                      &w->conf->dav);
}

/* The section is_on of a dp_conf at `is_on` makes it be there. */
static const struct {
    const char *name;
    size_t is_on;
    dp_source *(*make)(dp_watcher *w);
} kinds[] = {
    {"maildir", offsetof(dp_conf, maildir.is_on), make_maildir},
    {"dav", offsetof(dp_conf, dav.is_on), make_dav},
};

#define KINDS_N (sizeof(kinds) / sizeof(kinds[0]))

static bool is_on(const dp_watcher *w, size_t kind)
{
    return *(const bool *)(const void *)((const char *)w->conf
                                         + kinds[kind].is_on);
}

static dp_source *source_named(const dp_watcher *w, const char *name)
{
    for (size_t i = 0; i < w->sources_n; i++) {
        if (strcmp(w->sources[i]->ops->name, name) == 0) {
            return w->sources[i];
        }
    }
    return NULL;
}

/* Those that are configured and not there yet. */
static void add_sources(dp_watcher *w)
{
    for (size_t i = 0; i < KINDS_N; i++) {
        if (is_on(w, i) && !source_named(w, kinds[i].name)) {
            DP_ASSERT(w->sources_n < DP_SOURCES_MAX);
            w->sources[w->sources_n++] = kinds[i].make(w);
        }
    }
}

static void make_parts(dp_watcher *w)
{
    dp_wants_limits limits = {w->conf->user_topics};
    w->wants = dp_wants_new(w->loop, w->bus, &limits);
    w->emit = dp_emit_new(w->loop, w->bus, w->wants, w->state);
    dp_wants_on_end(w->wants, want_ending, w);
    dp_wants_on_view(w->wants, dp_watcher_view_of, w);
    dp_emit_set_hooks(w->emit, &(dp_emit_hooks){emit_line, emit_moved, w});
    add_sources(w);
    dp_loop_set_hooks(w->loop, &(dp_loop_hooks){loop_work, loop_after, w});
}

bool dp_watcher_start(dp_watcher *w, dp_conf *conf, char *problem, size_t cap)
{
    *w = (dp_watcher){.conf = conf, .locks = {-1, -1}};
    w->started_us = dp_clock_mono_us();
    w->loop = dp_loop_new();
    w->sign = (dp_loop_timer){.due = sign_due, .ctx = w};
    dp_log_set_level(conf->log_level);
    if (!take_locks(w, problem, cap) || !open_bus(w, problem, cap)) {
        dp_watcher_stop(w);
        return false;
    }
    make_parts(w);
    restore(w);
    w->control = dp_control_open(w, problem, cap);
    if (!w->control) {
        dp_watcher_stop(w);
        return false;
    }
    sign_due(w); /* from now on what it says is true */
    return true;
}

static void end_all(dp_watcher *w, const dp_source *of)
{
    want_list list = {calloc(dp_wants_n(w->wants) + 1, sizeof(dp_want *)), 0};
    DP_ASSERT(list.wants);
    dp_wants_each(w->wants, collect, &list);
    for (size_t i = 0; i < list.n; i++) {
        dp_want *want = list.wants[i];
        if (!of || want->source == of) {
            dp_want_end(w->wants, &want);
        }
    }
    free(list.wants);
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* These are what the process stands on. */
static void keep_directories(dp_conf *to, dp_conf *from)
{
    if (!is_same_text(to->runtime_dir, from->runtime_dir)
        || !is_same_text(to->state_dir, from->state_dir)) {
        dp_log(DP_LOG_WARN, "%s: runtime_dir and state_dir count after a "
                            "restart only", to->file);
    }
    char *runtime_dir = to->runtime_dir, *state_dir = to->state_dir;
    to->runtime_dir = from->runtime_dir;
    to->state_dir = from->state_dir;
    from->runtime_dir = runtime_dir;
    from->state_dir = state_dir;
}

static void remove_source(dp_watcher *w, dp_source *source)
{
    size_t i = 0;
    end_all(w, source);
    while (w->sources[i] != source) {
        i++;
    }
    w->sources[i]->ops->close(&w->sources[i]);
    w->sources[i] = w->sources[--w->sources_n];
}

/* Asked for while nobody watched their class; now somebody may. */
static void ask_unwatched(dp_watcher *w)
{
    want_list list = {calloc(dp_wants_n(w->wants) + 1, sizeof(dp_want *)), 0};
    DP_ASSERT(list.wants);
    dp_wants_each(w->wants, collect, &list);
    for (size_t i = 0; i < list.n; i++) {
        dp_want *want = list.wants[i];
        dp_source *source = want->source ? NULL : source_for(w, want->class);
        if (source && ask(source, want)) {
            dp_want_end(w->wants, &want);
        }
    }
    free(list.wants);
}

static void reload_sources(dp_watcher *w)
{
    for (size_t i = 0; i < KINDS_N; i++) {
        dp_source *source = source_named(w, kinds[i].name);
        if (source && is_on(w, i)) {
            source->ops->reload(source, w->conf);
        }
        else if (source) {
            remove_source(w, source);
        }
    }
    add_sources(w);
    ask_unwatched(w);
}

void dp_watcher_reload(dp_watcher *w, dp_conf *conf)
{
    dp_conf *old = w->conf;
    dp_wants_limits limits = {conf->user_topics};
    keep_directories(conf, old);
    w->conf = conf;
    dp_log_set_level(conf->log_level);
    dp_wants_set_limits(w->wants, &limits);
    dp_control_set_group(w->control);
    char path[512];
    bus_path(conf, path, sizeof(path));
    give_bus_to_group(w, path);
    if (!is_same_text(conf->default_domain, old->default_domain)) {
        end_all(w, NULL); /* users are other users now: children ask again */
    }
    reload_sources(w);
    dp_emit_flush(w->emit);
    dp_conf_free(&old);
}

static void touch(void *ctx, dp_want *want)
{
    dp_watcher *w = ctx;
    if (want->is_vouched) {
        dp_emit_touch(w->emit, want);
    }
}

/* For a start with another bus. */
static void keep_names(dp_watcher *w)
{
    int err = dp_wanted_write(w->conf->state_dir, w->wants, dp_clock_mono_us());
    if (err) {
        dp_log(DP_LOG_NOTICE,
               "%s: the names of what is watched can't be written there: %s; "
               "after a boot some devices sync twice",
               w->conf->state_dir, strerror(err));
    }
}

/* Who is not vouched for yet, soon after a start, would sync for nothing after
 * the next one. */
static void finish_work(dp_watcher *w)
{
    dp_time_us end_us = dp_clock_mono_us() + STOP_US;
    while (loop_work(w) && dp_clock_mono_us() < end_us) {
    }
}

void dp_watcher_stop(dp_watcher *w)
{
    if (w->control) {
        dp_control_close(&w->control);
        finish_work(w);
        keep_names(w);
    }
    if (w->emit) { /* every cursor as new as can be: a short absence is free */
        dp_wants_each(w->wants, touch, w);
        dp_emit_store(w->emit);
    }
    if (w->bus) {
        dp_bus_close(&w->bus, true);
    }
    for (size_t i = 0; i < w->sources_n; i++) {
        w->sources[i]->ops->close(&w->sources[i]);
    }
    if (w->emit) {
        dp_wants_free(&w->wants); /* they are in emit's lists */
        dp_emit_free(&w->emit);
    }
    if (w->state) {
        dp_state_close(&w->state);
    }
    dp_wanted_free(&w->wanted);
    dp_loop_free(&w->loop);
    for (int i = 0; i < 2; i++) {
        if (w->locks[i] >= 0) {
            close(w->locks[i]);
        }
    }
}
