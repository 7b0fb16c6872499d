/* learn_marks: what the end of a Sync does to one collection's state.
 *
 * Pure: a state and the news go in, a state comes out. The rules are those of
 * design.md 3.1 to 3.3 and 6.6, and of eas-protocol 4.6. First what the
 * request's SyncKey says about the marks of before, then what its response is
 * worth. tests/prop/test_learn_model.c plays a phone and a bad network against
 * them.
 */
#include "base/dp_mutant.h"
#include "observe/learn_private.h"

static const dp_mark no_mark;

static void forget_marks(dp_coll_state *st)
{
    st->mark = no_mark;
    st->prov = no_mark;
    st->prov_token = 0;
    st->prov_old_key = 0;
    st->prov_new_key = 0;
}

static void bind_keys(dp_coll_state *st, uint64_t old_key, uint64_t new_key)
{
    st->prov_old_key = old_key;
    st->prov_new_key = new_key == old_key ? 0 : new_key;
}

static void withdraw(dp_coll_state *st, uint64_t key)
{
    st->prov = no_mark;
    st->prov_token = 0;
    bind_keys(st, key, 0); /* `mark` is of the state that it went back to */
}

/* The device holds `key`. Does what we believe of it fit? */
static void match_key(dp_coll_state *st, uint64_t key, bool is_zero)
{
    bool is_old = key && key == st->prov_old_key;
    bool is_new = key && key == st->prov_new_key;
    if (is_zero || (!is_old && !is_new && !DP_MUTANT(old_key_keeps))) {
        forget_marks(st); /* starts over, or is where we never saw it */
    }
    else if (st->prov.instance && is_new) {
        dp_coll_state_deliver(st, st->prov_token);
    }
    else if (st->prov.instance && !DP_MUTANT(old_key_keeps)) {
        withdraw(st, key); /* lost; or the keys are one: no telling */
    }
}

static bool is_newer(dp_mark a, dp_mark than)
{
    return a.instance && (a.instance != than.instance || a.seq > than.seq);
}

/* The mark's seq in the line of files that the Sync began in, or 0. It may be
 * above `start`: an upload of the device has moved it. */
static uint64_t seq_of(dp_mark m, const dp_mark_news *news)
{
    return m.instance == news->start.instance ? m.seq : 0;
}

/* Its doubt, likewise. */
static dp_doubt doubt_of(dp_mark m, const dp_mark_news *news)
{
    return seq_of(m, news) ? (dp_doubt)m.doubt : DP_DOUBT_NONE;
}

/* What came, by this Sync and those before it, which said that more was available. */
static uint32_t all_adds(const dp_coll_state *st, const dp_mark_news *news)
{
    return st->more_adds + news->brought_adds;
}

static uint32_t all_others(const dp_coll_state *st, const dp_mark_news *news)
{
    return st->more_others + news->brought_others;
}

static bool has_any(const dp_coll_state *st, const dp_mark_news *news)
{
    return all_adds(st, news) + all_others(st, news) > 0;
}

/* No number of changes. */
#define TOO_MANY (UINT32_MAX / 4)

static uint32_t at_most_too_many(uint32_t n)
{
    return n < TOO_MANY ? n : TOO_MANY;
}

/* May something have come that nobody has published? What the client sent
 * itself; or what it wants to see from now on, of more days than before. */
static bool has_foreign(const dp_mark_news *news)
{
    return news->has_commands || news->has_other_filter;
}

/* One of several Syncs that bring what one could not. */
static void count_more(dp_coll_state *st, const dp_mark_news *news)
{
    st->more_adds = at_most_too_many(
        all_adds(st, news) + (has_foreign(news) ? TOO_MANY : 0));
    st->more_others = at_most_too_many(all_others(st, news));
}

/* Whatever had changed when the request went out is shown by the backend. */
static bool is_old_enough(const dp_mark_news *news)
{
    return news->began_us - news->changed_at_us >= news->backend_lag_us;
}

/* Published so shortly before the request went out that the backend may not
 * have shown it yet (3.3); what was there when vouching began is as young as
 * that. Also where the topic has been given up since: the watcher may take it
 * up again, and say that nothing happened meanwhile. */
static bool is_young(const dp_coll_state *st, const dp_mark_news *news)
{
    bool was_given_up = news->was_given_up && !DP_MUTANT(unwatched_is_no_lag);
    bool is_open = news->newest > seq_of(st->mark, news)
                   || doubt_of(st->mark, news);
    bool is_new = is_open && news->newest <= news->start.seq;
    return !DP_MUTANT(no_backend_lag)
           && (was_given_up || (news->is_vouched && is_new))
           && !is_old_enough(news);
}

/* Changes of another topic (the folder map has changed) are no measure. */
static void count_in(dp_coll_state *st, const dp_mark_news *news)
{
    if (st->counted.slot != news->ref.slot || st->counted.gen != news->ref.gen) {
        st->counted = news->ref;
        st->mark.adds_1 = st->prov.adds_1 = 0;
    }
}

/* Is it known how many changes there were since the mark? */
static bool is_counted(const dp_coll_state *st, const dp_mark_news *news)
{
    return news->is_vouched && news->is_counted && st->mark.adds_1
           && seq_of(st->mark, news) >= news->watched_from
           && news->adds_n + 1 >= st->mark.adds_1;
}

/* As many new items came down as there were since the mark: none of them is
 * still to come. More of them: some are no news, and may have come in the place
 * of one that is. So may what the client itself sent. */
static bool has_all_adds(const dp_coll_state *st, const dp_mark_news *news)
{
    return !has_foreign(news) && is_counted(st, news)
           && all_adds(st, news) == news->adds_n + 1 - st->mark.adds_1;
}

/* The same of Changes and Deletes: that is likely, and no more. Two of them may
 * be of one item, some of one that has not changed at all; one that changed
 * twice comes once. */
static dp_doubt doubt_of_others(const dp_coll_state *st,
                                const dp_mark_news *news)
{
    uint16_t others = (uint16_t)(news->others_n - st->mark.others);
    uint32_t came = all_others(st, news);
    if (!others && !came) { /* and what counts as none is none */
        bool is_new = news->changed <= news->changed_new
                      || news->changed <= seq_of(st->mark, news);
        return is_new ? DP_DOUBT_NONE : DP_DOUBT_LAST;
    }
    return came == others ? DP_DOUBT_LAST : DP_DOUBT_QUIET;
}

/* Nothing is in question but what a doubtful mark covers. */
static bool is_doubt_only(const dp_coll_state *st, const dp_mark_news *news)
{
    return doubt_of(st->mark, news) && !has_any(st, news)
           && news->newest <= seq_of(st->mark, news);
}

/* What a completed Sync is worth. */
typedef struct worth {
    bool is_lagging; /* it may have been too early for some change */
    bool is_all;     /* all that has changed by now has come, later than it
                        began as well; `doubt` is NONE or LAST */
    bool is_doubtful; /* of what has come there is a doubt */
    dp_doubt doubt;   /* of the mark that it earns; also one of before */
} worth;

static worth judge(const dp_coll_state *st, const dp_mark_news *news)
{
    bool is_seen = news->newest <= news->start.seq;
    bool is_settled = news->is_vouched && is_seen && is_old_enough(news);
    bool is_over = is_settled || news->began_us >= st->doubt_until_us
                   || DP_MUTANT(doubt_forgotten);
    dp_doubt before = is_over ? DP_DOUBT_NONE : doubt_of(st->mark, news);
    worth w = {.doubt = before};
    bool is_counted = has_any(st, news) && has_all_adds(st, news);
    dp_doubt now = is_counted ? doubt_of_others(st, news) : DP_DOUBT_QUIET;
    dp_doubt both = now > before ? now : before;
    if (is_young(st, news) && !is_doubt_only(st, news)) {
        bool is_lax = DP_MUTANT(brought_is_all);
        w.is_lagging = is_lax ? !has_any(st, news) : !is_counted;
        w.is_doubtful = is_counted && now != DP_DOUBT_NONE;
        w.doubt = is_lax ? DP_DOUBT_NONE : both;
    }
    else if (!is_seen && is_counted && both != DP_DOUBT_QUIET) {
        w.is_all = true;
        w.is_doubtful = now != DP_DOUBT_NONE;
        w.doubt = both;
    }
    return w;
}

/* Count what has come, for the next Sync. More new items than there were: some
 * are no news, and none is counted; too many then seem to be new, never too few.
 * Of others some may be no news whatever their number. */
static void credit(dp_mark *m, const dp_coll_state *st,
                   const dp_mark_news *news)
{
    if (!is_counted(st, news) || has_foreign(news)
        || all_adds(st, news) > news->adds_n + 1 - st->mark.adds_1) {
        return;
    }
    m->adds_1 += all_adds(st, news);
}

/* A new item that was there when the Sync began may have been too young for it.
 * How young, a change since then has hidden: that is to be announced, but it
 * may be one that waits for company. */
static bool hides_an_add(const dp_coll_state *st, const dp_mark_news *news,
                         uint64_t seq)
{
    return news->is_vouched && news->newest > news->start.seq
           && news->changed_new > seq_of(st->mark, news)
           && news->changed_new > news->watched_from
           && news->changed_new <= seq && !has_all_adds(st, news);
}

/* The mark that a Sync earns: the bus when it began, or what has come. What
 * else came after that is in the counts already, how much of it nobody knows. */
static dp_mark earned(const dp_coll_state *st, const dp_mark_news *news,
                      const worth *w)
{
    dp_mark m = dp_mark_at(news->start.instance,
                           w->is_all ? news->newest : news->start.seq);
    m.doubt = (uint8_t)w->doubt;
    if (hides_an_add(st, news, m.seq)) {
        m.seq = news->changed_new - 1;
    }
    if (!news->is_vouched || !news->is_counted) {
        return m;
    }
    if (news->newest <= m.seq) {
        m.adds_1 = news->adds_n + 1;
        m.others = news->others_n;
    }
    else if (is_counted(st, news)) {
        m.adds_1 = st->mark.adds_1;
        m.others = st->mark.others;
        credit(&m, st, news);
    }
    return m;
}

/* Announced, completed, and neither items nor a mark: twice in a row is what
 * some phones take for a broken server (6.6). Where the backend may have kept
 * its changes back the mark must not jump over them: it is then as if there
 * had been no Sync, so that a phone which sends the same in vain each time is
 * told after doubling times. */
static void count_useless(dp_coll_state *st, const dp_mark_news *news,
                          const worth *w, uint32_t announced_n)
{
    if (!announced_n || !is_newer(news->start, st->mark)) {
        return;
    }
    if (++st->useless_n < 2) {
        return;
    }
    if (news->is_kept_back) {
        st->announced_n = announced_n;
        return;
    }
    st->mark = earned(st, news, &(worth){.doubt = w->doubt});
    if (DP_MUTANT(guard_to_now) && news->newest > st->mark.seq) {
        st->mark.seq = news->newest;
    }
    st->useless_n = 0;
}

/* Items are on their way: the mark is provisional. One that was ahead of what
 * has just come down was wrong, and does not serve meanwhile. */
static void take_provisional(dp_coll_state *st, const dp_mark_news *news,
                             dp_mark mark)
{
    if (news->is_vouched && news->changed <= seq_of(st->mark, news)) {
        st->mark = no_mark;
    }
    st->prov = mark;
    st->prov_token = news->token;
    st->useless_n = 0;
    if (DP_MUTANT(firm_early)) {
        dp_coll_state_deliver(st, st->prov_token);
    }
}

/* The Sync proves nothing. What it has brought has its own way to be known as
 * delivered: a mark that covers nothing new; the very first is below all
 * changes. @return true when a provisional mark was made */
static bool leave_mark(dp_coll_state *st, const dp_mark_news *news)
{
    if (!dp_mark_news_brought(news) || !news->start.instance) {
        return false;
    }
    dp_mark m = dp_mark_at(news->start.instance, 1);
    if (seq_of(st->mark, news)) {
        m = st->mark;
        credit(&m, st, news);
    }
    take_provisional(st, news, m);
    return true;
}

/* Nothing to lose on the way: firm at once. */
static void take_firm(dp_coll_state *st, const dp_mark_news *news,
                      const worth *w)
{
    st->useless_n = 0;
    if (is_newer(news->start, st->mark)) {
        st->mark = earned(st, news, w);
    }
    else if (seq_of(st->mark, news)) {
        st->mark.doubt = (uint8_t)w->doubt;
    }
}

/* @return true when a provisional mark was made */
static bool complete(dp_coll_state *st, const dp_mark_news *news)
{
    uint32_t announced_n = st->announced_n;
    worth w = judge(st, news);
    st->synced_at_us = news->now_us;
    st->announced_n = 0;
    st->lag_until_us = 0;
    if (w.is_doubtful) {
        st->doubt_until_us = news->changed_at_us + news->backend_lag_us;
    }
    if (w.is_lagging) { /* once more, when it no longer lags */
        st->lag_until_us = news->changed_at_us + news->backend_lag_us;
        st->announced = dp_mark_at(news->start.instance, news->newest);
        return leave_mark(st, news);
    }
    if (dp_mark_news_brought(news)) {
        if (!news->start.instance) {
            st->useless_n = 0;
            return false;
        }
        take_provisional(st, news, earned(st, news, &w));
        return true;
    }
    if ((news->has_commands || news->is_kept_back)
        && !DP_MUTANT(kept_back_counts)) {
        count_useless(st, news, &w, announced_n);
    }
    else {
        take_firm(st, news, &w);
    }
    return false;
}

/* FilterType: it stays what it was while a request does not say it. */
static bool is_other_filter(const dp_coll_state *st, const dp_mark_news *news)
{
    return news->filter && news->filter != st->filter;
}

bool dp_learn_marks(dp_coll_state *st, const dp_mark_news *told)
{
    dp_mark_news with_filter = *told;
    const dp_mark_news *news = &with_filter;
    bool is_provisional = false;
    if (news->began_us < st->asked_at_us) {
        /* The device had given it up: it has asked again since, and that has
         * told where it is. */
        return false;
    }
    st->asked_at_us = news->began_us;
    if (!news->key_hash || news->key_hash != st->prov_new_key) {
        st->more_adds = st->more_others = 0;
    }
    match_key(st, news->key_hash, news->key_is_zero);
    if (news->is_gone) {
        forget_marks(st);
    }
    with_filter.has_other_filter = is_other_filter(st, news);
    if (news->is_answered) {
        st->filter = news->filter ? news->filter : st->filter;
        count_in(st, news);
        if (news->is_completed) {
            is_provisional = complete(st, news);
        }
        if (news->has_more) {
            count_more(st, news);
        }
        else {
            st->more_adds = st->more_others = 0;
        }
        bind_keys(st, news->key_is_zero ? 0 : news->key_hash,
                  news->new_key_hash);
    }
    return is_provisional;
}
