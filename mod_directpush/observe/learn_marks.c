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
    st->mark_count = 0;
    st->prov = no_mark;
    st->prov_count = 0;
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
    st->prov_count = 0;
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

/* Published so shortly before the request went out that the backend may not
 * have shown it yet (3.3); what was there when vouching began is as young as
 * that. Also where the topic has been given up since: the watcher may take it
 * up again, and say that nothing happened meanwhile. */
static bool is_young(const dp_coll_state *st, const dp_mark_news *news)
{
    bool was_given_up = news->was_given_up && !DP_MUTANT(unwatched_is_no_lag);
    bool is_new = news->newest > seq_of(st->mark, news)
                  && news->newest <= news->start.seq;
    return !DP_MUTANT(no_backend_lag)
           && (was_given_up || (news->is_vouched && is_new))
           && news->began_us - news->changed_at_us < news->backend_lag_us;
}

/* Changes of another topic (the folder map has changed) are no measure. */
static void count_in(dp_coll_state *st, const dp_mark_news *news)
{
    if (st->counted.slot != news->ref.slot || st->counted.gen != news->ref.gen) {
        st->counted = news->ref;
        st->mark_count = st->prov_count = 0;
    }
}

/* Is it known how many changes there were since the mark? */
static bool is_counted(const dp_coll_state *st, const dp_mark_news *news)
{
    return news->is_vouched && news->is_counted && st->mark_count
           && seq_of(st->mark, news) >= news->watched_from
           && news->changes_n + 1 >= st->mark_count;
}

/* As many new items came down as have changed since the mark: none of them is
 * still to come. More of them: some have not changed, and may have come in the
 * place of one that has. So may what the client itself sent. */
static bool has_brought_all(const dp_coll_state *st, const dp_mark_news *news)
{
    if (DP_MUTANT(brought_is_all)) {
        return news->brought_n > 0;
    }
    return news->brought_n > 0 && !news->has_other && !news->has_commands
           && is_counted(st, news)
           && news->brought_n == news->changes_n + 1 - st->mark_count;
}

static bool is_lagging(const dp_coll_state *st, const dp_mark_news *news)
{
    return is_young(st, news) && !has_brought_all(st, news);
}

/* For a mark at `start`: what came after that is in the count already, how much
 * of it nobody knows. So the number of before stays: too many then seem to be
 * new, never too few. */
static uint32_t count_at_start(const dp_coll_state *st,
                               const dp_mark_news *news)
{
    if (!news->is_vouched || !news->is_counted) {
        return 0;
    }
    if (news->newest <= news->start.seq) {
        return news->changes_n + 1;
    }
    return is_counted(st, news) ? st->mark_count : 0;
}

/* Announced, completed, and neither items nor a mark: twice in a row is what
 * some phones take for a broken server (6.6). Where the backend may have kept
 * its changes back the mark must not jump over them: it is then as if there
 * had been no Sync, so that a phone which sends the same in vain each time is
 * told after doubling times. */
static void count_useless(dp_coll_state *st, const dp_mark_news *news,
                          uint32_t announced_n)
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
    st->mark_count = count_at_start(st, news);
    st->mark = news->start;
    if (DP_MUTANT(guard_to_now) && news->newest > st->mark.seq) {
        st->mark.seq = news->newest;
    }
    st->useless_n = 0;
}

/* Items are on their way: the mark is provisional. One that was ahead of what
 * has just come down was wrong, and does not serve meanwhile. */
static void take_provisional(dp_coll_state *st, const dp_mark_news *news,
                             dp_mark mark, uint32_t count)
{
    if (news->is_vouched && news->changed <= seq_of(st->mark, news)) {
        st->mark = no_mark;
        st->mark_count = 0;
    }
    st->prov = mark;
    st->prov_count = count;
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
    if (!news->brought_n || !news->start.instance) {
        return false;
    }
    uint64_t seq = seq_of(st->mark, news);
    take_provisional(st, news,
                     (dp_mark){news->start.instance, seq ? seq : 1},
                     seq ? st->mark_count : 0);
    return true;
}

/* @return true when a provisional mark was made */
static bool complete(dp_coll_state *st, const dp_mark_news *news)
{
    uint32_t announced_n = st->announced_n;
    st->synced_at_us = news->now_us;
    st->announced_n = 0;
    st->lag_until_us = 0;
    if (is_lagging(st, news)) { /* once more, when it no longer lags */
        st->lag_until_us = news->changed_at_us + news->backend_lag_us;
        st->announced = (dp_mark){news->start.instance, news->newest};
        return leave_mark(st, news);
    }
    if (news->brought_n) {
        if (!news->start.instance) {
            st->useless_n = 0;
            return false;
        }
        take_provisional(st, news, news->start, count_at_start(st, news));
        return true;
    }
    if ((news->has_commands || news->is_kept_back)
        && !DP_MUTANT(kept_back_counts)) {
        count_useless(st, news, announced_n);
    }
    else {
        st->useless_n = 0;
        if (is_newer(news->start, st->mark)) {
            /* Nothing to lose on the way: firm at once. */
            st->mark_count = count_at_start(st, news);
            st->mark = news->start;
        }
    }
    return false;
}

bool dp_learn_marks(dp_coll_state *st, const dp_mark_news *news)
{
    bool is_provisional = false;
    if (news->began_us < st->asked_at_us) {
        /* The device had given it up: it has asked again since, and that has
         * told where it is. */
        return false;
    }
    st->asked_at_us = news->began_us;
    match_key(st, news->key_hash, news->key_is_zero);
    if (news->is_gone) {
        forget_marks(st);
    }
    if (news->is_answered) {
        count_in(st, news);
        if (news->is_completed) {
            is_provisional = complete(st, news);
        }
        bind_keys(st, news->key_is_zero ? 0 : news->key_hash,
                  news->new_key_hash);
    }
    return is_provisional;
}
