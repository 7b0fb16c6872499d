/* promise: is what the module believes of a device true?
 *
 * One device, one folder, one topic. Steps are whole actions of the code
 * (hold.pml looks inside those of holds): a change of the mailbox, a turn of
 * the watcher, a Sync's beginning, the backend's answer, its end, a look at
 * the Ping. All orders of them are tried, with
 *
 *   MAILS     changes that come from elsewhere
 *   UPLOADS   changes that the device itself makes (6.4, 6.6)
 *   CRASHES   of the watcher, each followed by a restart (3.8)
 *   LOSSES    the source gives the topic up (3.4, 7)
 *   LOST      Syncs that the device gives up or that fail, responses that do
 *             not arrive
 *   MORE      responses with MoreAvailable
 *   BUSES     restarts with a new bus
 *   SPARE     Syncs that nobody asked for
 *   PROMPT    a backend that never lags, and DirectPushBackendLag 0
 *   ANY_PART  one that may show the newer of two changes first
 *   KINDS     changes are new items, or others (flags, deletions); without it
 *             all of them are new items
 *   EXTRAS    items that come down though they have not changed
 *
 * The mailbox is the set of its changes, a bit each, in order. `told` is what
 * the bus accounts for: published, or there when vouching began. The promise
 * (design.md 3): a collection that a look finds clean has nothing told that
 * the device does not have; and when all is quiet, all is told, or waits for the
 * end of the heartbeat, which is for flags and deletions only. How quickly is no
 * matter here: times are but "younger than DirectPushBackendLag, or not".
 *
 * Not here: the hierarchy, several folders, class topics, blind collections'
 * clocks (blind is an allowed rest), likely_seq, proofs.
 */
#include "model.h"

#ifndef MAILS
#define MAILS 2
#endif
#ifndef UPLOADS
#define UPLOADS 0
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef LOST
#define LOST 1
#endif
#ifndef MORE
#define MORE 1
#endif
#ifndef BUSES
#define BUSES 0
#endif
#ifndef SPARE
#define SPARE 1
#endif

#ifndef EXTRAS
#define EXTRAS 0
#endif

#define FIRST(k) ((1 << (k)) - 1) /* the first k changes */

/* --- the mailbox and time */
byte mail_n;             /* changes so far */
byte ripe;               /* those that the backend shows for certain */
byte own;                /* those that the device made */
byte is_add;             /* those that are new items */
byte extras = EXTRAS;
byte mails = MAILS, uploads = UPLOADS, crashes = CRASHES, losses = LOSSES;
byte lost = LOST, more = MORE, buses = BUSES, spare = SPARE;

/* --- the bus (bus/bus_abi.h): one topic */
byte head = 1, changed, changed_new, watched_from = UNWATCHED;
byte count, others;      /* new items, since vouching began; other changes */
bool is_young;           /* changed_at is less than BackendLag ago … */
byte stamp;              /* … and stands for this seq */
byte news;               /* what was published … */
byte told;               /* … and all that the bus accounts for */

/* --- the watcher (watcher/emit.c, state.c, watcher.c) */
mtype = { DOWN, UNPLACED, PLACED, READY };
mtype watcher = DOWN;
byte seen;               /* changes whose events it has read */
byte counted;            /* … and that are in the counts */
bool is_vouched, has_pending, is_restored;
byte storing;            /* 0 not, 1 drained, 2 flushed */
byte old_cursor, old_from;
bool has_record;         /* in cursors.mdb */
byte record_cursor, record_changed;

/* --- the device, and what it said last */
mtype = { IDLE, SYNCING, ARRIVING, PINGING };
mtype device = IDLE;
byte has;                /* changes that it has */
byte key = 1;            /* its SyncKey: 1 + what the backend knows it has */
bool must_sync = 1;

/* --- an exchange (observe/learn.c); 1: one that the device gave up */
typedef exchange {
    bool is_on, is_answered, was_young, is_more, has_commands, is_kept_back;
    bool is_other;       /* `start` is of another bus */
    byte start, key, stamp, told, after, own, extra, ripe
};
exchange x[2];
bool is_late;            /* x[1] began before one that has ended */
bool is_arrived;         /* the response of `prov` is acknowledged */
bool goes_down;          /* the response on its way earns `prov` */
byte down_has, down_key;
byte upload;             /* to be published (6.4) */
bool is_moving;          /* its marks are still to be moved: from this change */
byte moved_prev, moved_to;

/* --- what is stored of the device (device/coll_state.h) */
byte mark, prov, old_key, new_key, announced, announced_n, useless_n;
byte mark_count, prov_count; /* `count` at that mark, plus one; 0 unknown */
byte mark_others, prov_others, mark_doubt, prov_doubt;
byte more_adds, more_others;
byte doubted;            /* doubt_until_us: what is shown when it is over */
#define LAST  1          /* dp_doubt */
#define QUIET 2
bool mark_is_other, prov_is_other, announced_is_other;
bool lag;                /* lag_until_us */

/* --- its Ping (hold/hold.h) */
byte h_mark, h_announced, h_announced_n, h_linked;
byte h_doubt;
bool h_lag, must_look;

inline changed_something() { must_look = (device == PINGING) }

/* ---------------------------------------------------------------- writer */

#define COUNT_OF(set) \
    (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1))
#define MANY 16

/* bus/bus_write.c dp_bus_publish */
inline publish(what, adds, rest)
{
    count = count + adds;
    others = others + rest;
    head++;
    changed = head;
    changed_new = ((adds) != 0 -> head : changed_new);
    is_young = 1;
    stamp = head;
    news = news | ((what) & ~told);
    told = told | (what);
    changed_something()
}

#define UNCOUNTED (FIRST(seen) & ~FIRST(counted))

/* watcher/emit.c publish_collected */
inline flush()
{
    if
    :: has_pending ->
        has_pending = 0;
        publish(FIRST(seen), COUNT_OF(UNCOUNTED & is_add),
                COUNT_OF(UNCOUNTED & ~is_add));
        counted = seen
    :: else
    fi
}

inline drop_record()
{
    has_record = 0; record_cursor = 0; record_changed = 0
}

/* watcher/emit.c vouch_restored, dp_emit_vouch; design.md 3.4, 3.8 */
inline vouch()
{
    if
    :: is_restored ->
        if
        :: old_cursor != seen && WITH(cursor_unread) ->
            publish(FIRST(seen),
                    ((FIRST(seen) & ~FIRST(old_cursor) & is_add) -> MANY : 0),
                    MANY)
        :: else
        fi;
        head++;
        watched_from = old_from
    :: else ->
        if
        :: WITH(vouch_without_seq) -> head++
        :: else
        fi;
        watched_from = head;
        count = 0;
        drop_record();
        if
        :: WITH(vouched_is_old) -> is_young = 1; stamp = head
        :: else
        fi
    fi;
    told = told | FIRST(seen);
    counted = seen;
    is_restored = 0;
    old_cursor = 0; old_from = 0;
    is_vouched = 1;
    changed_something()
}

/* watcher/emit.c dp_emit_lost, bus/bus_write.c dp_bus_unvouch */
inline unvouch()
{
    is_vouched = 0;
    head++;
    if
    :: WITH(unwatched_is_clean) -> watched_from = UNWATCHED
    :: else
    fi;
    changed_something()
}

/* watcher/emit.c put_all */
inline put()
{
    has_record = 1;
    record_cursor = seen;
    record_changed = changed
}

/* no crash to come: nobody will read it */
inline forget_record()
{
    if
    :: crashes == 0 -> drop_record()
    :: else
    fi
}

proctype watcher_turns()
{
end:
    do
    :: atomic { watcher == READY && seen < mail_n && !storing -> /* an event */
        seen++;
        has_pending = is_vouched }
    :: atomic { watcher == READY && has_pending && !storing -> flush() }
    /* store_some(): sample and drain; flush; put */
    :: atomic { watcher == READY && is_vouched && !storing && crashes > 0 &&
                (!has_record || record_cursor != seen ||
                    record_changed != changed) ->
        if
        :: seen < mail_n -> seen = mail_n; has_pending = 1
        :: else
        fi;
        if
        :: WITHOUT(cursor_before_publish) -> put()
        :: else
        fi;
        storing = 1 }
    :: atomic { storing == 1 -> flush(); storing = 2 }
    :: atomic { storing == 2 -> put(); storing = 0 }

    /* killed: the bus stays as it is */
    :: atomic { watcher != DOWN && crashes > 0 ->
        crashes--;
        watcher = DOWN;
        is_vouched = 0; has_pending = 0; is_restored = 0; storing = 0;
        old_cursor = 0; old_from = 0; seen = 0; counted = 0;
        changed_something() }
    /* watcher.c open_bus(), restore(): the head is raised, nobody's word
     * counts any more; of what there is no record the slot is given back */
    :: atomic { watcher == DOWN ->
        head++;
        if
        :: has_record && changed >= record_changed &&
           watched_from != UNWATCHED ->
            is_restored = 1;
            old_cursor = record_cursor;
            old_from = watched_from
        :: !has_record -> changed = 0; changed_new = 0; count = 0; others = 0; is_young = 0
        :: else
        fi;
        unvouch();
        watched_from = UNWATCHED;
        forget_record();
        watcher = UNPLACED }
#if BUSES > 0
    /* reopen_bus() refuses, create_bus() */
    :: atomic { watcher == DOWN && buses > 0 ->
        buses--;
        head = 1; changed = 0; changed_new = 0; count = 0; others = 0; is_young = 0; watched_from = UNWATCHED;
        drop_record();
        mark_is_other = (mark != 0); prov_is_other = (prov != 0);
        announced_is_other = (announced != 0);
        x[0].is_other = x[0].is_on; x[1].is_other = x[1].is_on;
        /* dp_hold_set_rebind_locked(), fit_to_bus() */
        h_mark = (WITHOUT(other_instance) -> h_mark : 0);
        h_announced = 0; h_announced_n = 0; h_linked = head;
        watcher = UNPLACED;
        changed_something() }
#endif
    /* maildir_folder.c: place the watch, then read; events since then follow */
    :: atomic { watcher == UNPLACED && WITH(scan_before_watch) ->
        watcher = PLACED }
    :: atomic { watcher == PLACED && WITH(scan_before_watch) ->
        seen = mail_n; watcher = READY; vouch() }
    :: atomic { watcher == UNPLACED && WITHOUT(scan_before_watch) ->
        seen = mail_n; watcher = PLACED }
    :: atomic { watcher == PLACED && WITHOUT(scan_before_watch) ->
        watcher = READY; vouch(); seen = mail_n /* no events of these */ }

    /* dp_emit_lost(), dp_emit_suspend() */
    :: atomic { watcher == READY && is_vouched && !storing && losses > 0 ->
        losses--;
        flush();
        old_from = watched_from;
        unvouch();
        if
        :: old_from = 0; drop_record()
        :: is_restored = 1; old_cursor = seen; put()
        fi;
        forget_record();
        watcher = UNPLACED }
    od
}

/* ----------------------------------------------------------- the mailbox */

proctype elsewhere()
{
end:
    do
    :: atomic { mails > 0 ->
        mails--; is_add = is_add | (1 << mail_n); mail_n++ }
#ifdef KINDS
    :: atomic { mails > 0 -> mails--; mail_n++ }
#endif
    /* what was told is no longer young: the backend shows it */
    :: atomic { is_young || ripe != told ->
        is_young = 0;
        ripe = told;
        must_look = (device == PINGING && (must_look || h_lag || h_doubt == QUIET)) }
    od
}

/* ------------------------------------------------- observe/learn_marks.c */

inline forget_marks()
{
    mark = 0; prov = 0; old_key = 0; new_key = 0; is_arrived = 0;
    mark_is_other = 0; prov_is_other = 0;
    mark_count = 0; prov_count = 0; mark_others = 0; prov_others = 0;
    mark_doubt = 0; prov_doubt = 0
}

inline forget_prov()
{
    prov = 0; prov_is_other = 0; prov_count = 0; prov_others = 0;
    prov_doubt = 0; is_arrived = 0
}

/* dp_coll_state_deliver() */
inline deliver()
{
    mark = prov; mark_is_other = prov_is_other; mark_count = prov_count;
    mark_others = prov_others; mark_doubt = prov_doubt;
    forget_prov();
    if
    :: new_key != 0 -> old_key = 0
    :: else
    fi
}

inline bind_keys(o, n)
{
    old_key = o;
    new_key = ((n) == (o) -> 0 : (n))
}

inline match_key(sent)
{
    if
    :: sent != old_key && sent != new_key && WITH(old_key_keeps) ->
        forget_marks()
    :: sent == new_key && prov != 0 -> deliver()
    :: sent == old_key && sent != new_key && prov != 0 &&
       WITH(old_key_keeps) ->
        forget_prov();
        bind_keys(sent, 0)
    :: else
    fi
}

#define START_IS_NEWER(i) \
    (mark == 0 || mark_is_other != x[i].is_other || x[i].start > mark)
/* seq_of() */
#define MARK_SEQ(i) ((mark_is_other == x[i].is_other) -> mark : 0)
#define IS_IN_BUS(i) (!x[i].is_other && watched_from != UNWATCHED)
#define NEWEST_TOLD ((watched_from == UNWATCHED || WITHOUT(vouched_is_old)) \
                     -> changed : MAX(changed, watched_from))
#define BROUGHT(i) (x[i].after & ~(x[i].key - 1) & ~x[i].own)
#define HAS_BROUGHT(i) (BROUGHT(i) != 0 || x[i].extra != 0)
/* all_adds(), all_others(): with those that came before, with MoreAvailable */
#define ADDS(i)   (more_adds + COUNT_OF(BROUGHT(i) & is_add))
#define OTHERS(i) (more_others + COUNT_OF(BROUGHT(i) & ~is_add) + x[i].extra)
#define HAS_ANY(i) (ADDS(i) + OTHERS(i) > 0)

/* is_counted() */
#define IS_COUNTED(i) \
    (IS_IN_BUS(i) && mark_count != 0 && MARK_SEQ(i) >= watched_from && \
     count + 1 >= mark_count)
#define HAS_ALL_ADDS(i) \
    (!x[i].has_commands && IS_COUNTED(i) && ADDS(i) == count + 1 - mark_count)
/* doubt_of_others() */
#define DOUBT(i) \
    ((others == mark_others && OTHERS(i) == 0) \
         -> ((changed <= changed_new || changed <= MARK_SEQ(i)) -> 0 : LAST) \
         : ((OTHERS(i) == others - mark_others) -> LAST : QUIET))

/* 3.3. What nobody vouches for just now may have been given up in between. */
#define WAS_YOUNG(i) ((x[i].stamp == stamp) -> x[i].was_young : 1)
/* DirectPushBackendLag 0, and a backend for which that is right */
#ifdef PROMPT
#define IS_OLD(i) 1
#else
#define IS_OLD(i) (!WAS_YOUNG(i))
#endif
#define IS_SEEN(i) (NEWEST_TOLD <= x[i].start)
#define IS_SETTLED(i) (IS_IN_BUS(i) && IS_SEEN(i) && IS_OLD(i))
#define IS_YOUNG(i) \
    (WITH(no_backend_lag) && !x[i].is_other && !IS_OLD(i) && \
     ((watched_from == UNWATCHED) \
         -> WITH(unwatched_is_no_lag) \
         : (NEWEST_TOLD > MARK_SEQ(i) || mark_doubt != 0) && IS_SEEN(i)))
#define IS_DOUBT_ONLY(i) \
    (mark_doubt != 0 && !HAS_ANY(i) && IS_IN_BUS(i) && \
     NEWEST_TOLD <= MARK_SEQ(i))

/* judge() */
inline judge(i)
{
    w_doubt = ((IS_SETTLED(i) || (doubted & ~x[i].ripe) == 0 ||
                WITHOUT(doubt_forgotten)) -> 0 : mark_doubt);
    if
    :: IS_YOUNG(i) && !IS_DOUBT_ONLY(i) ->
        if
        :: WITHOUT(brought_is_all) -> w_lags = !HAS_ANY(i); w_doubt = 0
        :: else ->
            w_lags = !(HAS_ANY(i) && HAS_ALL_ADDS(i));
            w_new = (!w_lags && DOUBT(i) != 0);
            w_doubt = MAX(w_doubt, DOUBT(i))
        fi
    :: else ->
        if
        :: IS_IN_BUS(i) && !IS_SEEN(i) && HAS_ANY(i) && HAS_ALL_ADDS(i) &&
           MAX(w_doubt, DOUBT(i)) != QUIET ->
            w_all = 1;
            w_new = (DOUBT(i) != 0);
            w_doubt = MAX(w_doubt, DOUBT(i))
        :: else
        fi
    fi
}

inline credit(i)
{
    if
    :: IS_COUNTED(i) && !x[i].has_commands &&
       ADDS(i) <= count + 1 - mark_count ->
        e_count = e_count + ADDS(i)
    :: else
    fi
}

/* earned() */
inline earn(i)
{
    e_seq = (w_all -> NEWEST_TOLD : x[i].start);
    if /* hides_an_add() */
    :: IS_IN_BUS(i) && NEWEST_TOLD > x[i].start && !HAS_ALL_ADDS(i) &&
       changed_new > MARK_SEQ(i) && changed_new > watched_from &&
       changed_new <= e_seq ->
        e_seq = changed_new - 1
    :: else
    fi;
    if
    :: !IS_IN_BUS(i) -> e_count = 0; e_others = 0
    :: IS_IN_BUS(i) && NEWEST_TOLD <= e_seq ->
        e_count = count + 1; e_others = others
    :: IS_IN_BUS(i) && NEWEST_TOLD > e_seq && IS_COUNTED(i) ->
        e_count = mark_count; e_others = mark_others;
        credit(i)
    :: else -> e_count = 0; e_others = 0
    fi
}

inline take_mark(i)
{
    mark = e_seq; mark_is_other = x[i].is_other;
    mark_count = e_count; mark_others = e_others; mark_doubt = e_doubt
}

inline count_useless(i, n)
{
    if
    :: n == 0 || !START_IS_NEWER(i) -> skip
    :: else ->
        useless_n++;
        if
        :: useless_n < 2 -> skip
        :: else ->
            if
            :: x[i].is_kept_back -> announced_n = n; useless_n = 2
            :: else ->
                w_all = 0;
                e_doubt = w_doubt;
                earn(i);
                take_mark(i);
                mark = (WITHOUT(guard_to_now) -> head : mark);
                useless_n = 0
            fi
        fi
    fi
}

inline take_provisional(i, is_of_other)
{
    if
    :: IS_IN_BUS(i) && changed <= MARK_SEQ(i) ->
        mark = 0; mark_count = 0; mark_others = 0; mark_doubt = 0
    :: else
    fi;
    useless_n = 0;
    is_arrived = 0;
    prov = e_seq; prov_is_other = is_of_other;
    prov_count = e_count; prov_others = e_others; prov_doubt = e_doubt;
    if
    :: WITH(firm_early) -> goes_down = (i == 0)
    :: else -> deliver()
    fi
}

inline complete(i)
{
    byte n = announced_n;
    byte w_doubt, e_seq, e_count, e_others, e_doubt;
    bool w_lags, w_all, w_new;
    announced_n = 0;
    lag = 0;
    is_moving = (WITHOUT(made_meanwhile) -> is_moving : 0);
    judge(i);
    doubted = (w_new -> told : doubted);
    if
    :: w_lags ->
        lag = 1;
        announced = MAX(changed,
                        (watched_from == UNWATCHED -> 0 : watched_from));
        announced_is_other = 0;
        if
        :: HAS_BROUGHT(i) ->
            if
            :: MARK_SEQ(i) != 0 ->
                e_seq = mark; e_count = mark_count; e_others = mark_others;
                e_doubt = mark_doubt;
                credit(i)
            :: else -> e_seq = 1
            fi;
            take_provisional(i, 0)
        :: else
        fi
    :: !w_lags && HAS_BROUGHT(i) ->
        e_doubt = w_doubt;
        earn(i);
        take_provisional(i, x[i].is_other)
    :: !w_lags && !HAS_BROUGHT(i) &&
       (x[i].has_commands || x[i].is_kept_back) &&
       WITH(kept_back_counts) ->
        count_useless(i, n)
    :: else ->
        useless_n = 0;
        if
        :: START_IS_NEWER(i) ->
            e_doubt = w_doubt;
            earn(i);
            take_mark(i)
        :: !START_IS_NEWER(i) && MARK_SEQ(i) != 0 -> mark_doubt = w_doubt
        :: else
        fi
    fi;
    n = 0; w_doubt = 0; e_seq = 0; e_count = 0; e_others = 0; e_doubt = 0;
    w_lags = 0; w_all = 0; w_new = 0
}

inline count_more(i)
{
    if
    :: x[i].is_more && !x[i].has_commands ->
        more_adds = ADDS(i);
        more_others = OTHERS(i)
    :: x[i].is_more && x[i].has_commands -> more_adds = MANY * 2
    :: else -> more_adds = 0; more_others = 0
    fi
}

/* dp_learn_marks(), learn_sync.c judge() */
inline conclude(i)
{
    goes_down = 0;
    if
    :: i == 1 && is_late -> skip
    :: else ->
        if
        :: WITHOUT(mark_at_end) -> x[i].start = head
        :: else
        fi;
        if
        :: x[i].key != new_key -> more_adds = 0; more_others = 0
        :: else
        fi;
        match_key(x[i].key);
        if
        :: !x[i].is_more || WITHOUT(more_is_done) -> complete(i)
        :: else
        fi;
        count_more(i);
        bind_keys(x[i].key, x[i].after + 1)
    fi;
    is_late = (i == 0 && x[1].is_on)
}

inline end_exchange(i)
{
    x[i].is_on = 0; x[i].is_answered = 0; x[i].was_young = 0;
    x[i].is_more = 0; x[i].has_commands = 0; x[i].is_kept_back = 0;
    x[i].is_other = 0; x[i].start = 0; x[i].key = 0; x[i].stamp = 0;
    x[i].told = 0; x[i].after = 0; x[i].own = 0; x[i].extra = 0;
    x[i].ripe = 0
}

/* ------------------------------------------------------------ the backend */

/* It shows a first part of the mailbox, all of it that is old enough, and
 * remembers by the key what the device was given (SOGo's way). PROMPT: all of
 * it. ANY_PART: younger ones before older ones, too. */
inline answer(i)
{
    byte shown;
#ifdef PROMPT
    shown = FIRST(mail_n);
#else
#ifdef ANY_PART
    byte at;
    do
    :: at < mail_n -> shown = shown | (1 << at); at++
    :: at < mail_n -> at++
    :: at == mail_n -> break
    od;
    at = 0;
#else
    do
    :: shown < mail_n -> shown++
    :: break
    od;
    shown = FIRST(shown);
#endif
#endif
    shown = shown | ripe | own;
    if
    :: x[i].is_kept_back -> x[i].after = (x[i].key - 1) | x[i].own
    :: !x[i].is_kept_back -> x[i].after = (x[i].key - 1) | shown
    fi;
    shown = 0;
#if EXTRAS > 0
    if
    :: extras > 0 -> extras--; x[i].extra = 1
    :: skip
    fi;
#endif
    /* MoreAvailable: the first of several */
    if
    :: more > 0 && HAS_BROUGHT(i) && !x[i].is_kept_back ->
        more--;
        x[i].is_more = 1;
        if
        :: (x[i].key - 1) & 1 -> x[i].after = (x[i].key - 1) | 2
        :: else -> x[i].after = (x[i].key - 1) | 1
        fi;
        x[i].after = x[i].after | x[i].own
    :: skip
    fi;
    x[i].is_answered = 1
}

/* ------------------------------------------------- the device, the module */

/* The module's dp_exchange_begin(): the head, before the request goes on */
inline begin(uploads_one)
{
    device = SYNCING;
    must_sync = 0;
    x[0].is_on = 1;
    x[0].start = head;
    x[0].key = key;
    x[0].stamp = stamp;
    x[0].was_young = is_young;
    x[0].told = told;
    x[0].ripe = ripe;
    if
    :: uploads_one ->
        uploads--;
        own = own | (1 << mail_n);
#ifdef KINDS
        if
        :: is_add = is_add | (1 << mail_n)
        :: skip
        fi;
#else
        is_add = is_add | (1 << mail_n);
#endif
        has = has | (1 << mail_n);
        x[0].own = 1 << mail_n;
        mail_n++;
        x[0].has_commands = 1;
        if
        :: x[0].is_kept_back = 1
        :: skip
        fi
    :: else
    fi
}

/* dp_exchange_published(); 6.4. A Sync that has ended since has made marks
 * beside this change. */
inline move_marks()
{
    byte from = moved_prev;
    if
    :: watched_from != UNWATCHED ->
        from = MAX(moved_prev, watched_from);
        from = (WITHOUT(own_unchecked) -> 0 : from);
        if
        :: !mark_is_other && mark != 0 && mark >= from && mark < moved_to ->
            mark = moved_to
        :: else
        fi;
        if
        :: !prov_is_other && prov != 0 && prov >= from && prov < moved_to ->
            prov = moved_to
        :: else
        fi
    :: else
    fi;
    from = 0; moved_prev = 0; moved_to = 0
}

/* device/device.h dp_mark_seq() */
#define MARK_OF(m, is_other) \
    ((is_other && WITH(other_instance)) || m > head -> 0 : m)

/* apache/ping.c make_hold(), spec_folder() */
inline make_hold()
{
    device = PINGING;
    h_mark = MARK_OF(mark, mark_is_other);
    h_doubt = mark_doubt;
    h_announced = MARK_OF(announced, announced_is_other);
    h_announced_n = (announced != 0 && h_announced == 0 -> 0 : announced_n);
    h_lag = lag;
    h_linked = head
}

inline free_hold()
{
    h_mark = 0; h_doubt = 0; h_announced = 0; h_announced_n = 0; h_linked = 0; h_lag = 0;
    must_look = 0
}

/* hold/look.c */
#define IS_VOUCHED (watcher != DOWN && watched_from != UNWATCHED)
#define FROM_NOW ((watched_from == UNWATCHED || WITHOUT(watched_from_ignored)) \
                  -> 0 : watched_from)
#define NEWEST (IS_VOUCHED -> MAX(changed, FROM_NOW) : changed)
#define KNOWN_TO (h_mark != 0 -> h_mark \
                  : MAX((h_announced_n != 0 -> h_announced : 0), h_linked))
/* what has no mark is blind after two of them, not five: that is worse */
#define IS_BLIND ((!IS_VOUCHED && changed <= KNOWN_TO && !IS_BLIND_DOUBT) || \
                  (h_mark == 0 && h_announced_n > 1 && \
                      NEWEST <= h_announced))
#define IS_COVERED (IS_VOUCHED && h_mark != 0 && NEWEST <= h_mark)
#define IS_CLEAN (IS_COVERED && (h_doubt == 0 || WITHOUT(doubt_is_clean)))
/* blind_or_doubtful_wish() */
#define IS_BLIND_DOUBT (!IS_VOUCHED && h_mark != 0 && changed <= h_mark && \
                        h_doubt != 0)
/* doubtful_wish(): it waits for company, and the end of the heartbeat, or until
 * the change is old */
#define IS_DOUBTFUL ((IS_COVERED && !IS_CLEAN) || IS_BLIND_DOUBT)
#define IS_DOUBT_WAITING (IS_DOUBTFUL && (h_doubt == LAST || is_young))
/* dirty, but to be repeated when the backend no longer lags */
#define IS_WAITING (NEWEST == h_announced && h_announced_n == 0 && h_lag && \
                    is_young)

/* design.md 3: the promise. Where a younger change came down in the place of an
 * older one, the older one is for as long missed as the younger is untold. */
#ifdef ANY_PART
#define PROMISE ((told & ~has) == 0 || told != FIRST(mail_n))
#else
#define PROMISE ((told & ~has) == 0)
#endif

#define PROMISE_OF_ADDS ((told & ~has & is_add) == 0)

/* Status 2; apache/verdict.c, dp_coll_state_announced() */
inline announce()
{
    if
    :: announced != NEWEST || announced_is_other ->
        announced = NEWEST; announced_is_other = 0; announced_n = 0
    :: else
    fi;
    announced_n = (announced_n < 2 -> announced_n + 1 : 2);
    free_hold()
}

inline look(is_final)
{
    must_look = 0;
    if
    :: IS_CLEAN ->
        assert(is_vouched); /* somebody watches: it is more than a word */
        assert(PROMISE);
        if
        :: is_final -> device = IDLE; free_hold() /* Status 1 */
        :: else
        fi
    :: !IS_CLEAN && !IS_DOUBTFUL && IS_BLIND ->
#if CRASHES == 0 /* after a restart it may be another topic */
        assert(h_mark == 0 || (news & ~has) == 0); /* it stays published */
#endif
        if
        :: is_final -> device = IDLE; free_hold() /* Status 1 */
        :: else
        fi
    :: IS_DOUBT_WAITING && !is_final ->
        assert(PROMISE_OF_ADDS)
    :: !IS_COVERED && !IS_BLIND && IS_WAITING && !is_final -> skip
    :: else ->
        announce();
        device = IDLE;
        must_sync = 1;
        if
        :: lost > 0 -> lost--; must_sync = 0 /* it never hears of it */
        :: skip
        fi
    fi
}

proctype phone_and_module()
{
end:
    do
    /* a Sync: because it was told, or for itself */
    :: atomic { device == IDLE && must_sync -> begin(0) }
    :: atomic { device == IDLE && !must_sync && spare > 0 -> spare--; begin(0) }
#if UPLOADS > 0
    :: atomic { device == IDLE && uploads > 0 -> begin(1) }
#endif
    :: atomic { x[0].is_on && !x[0].is_answered -> answer(0) }
    :: atomic { x[1].is_on && !x[1].is_answered -> answer(1) }
    /* given up before the end: the exchange goes on without a reader */
    :: atomic { x[0].is_on && !x[1].is_on && !x[0].has_commands && lost > 0 ->
        lost--;
        device = IDLE;
        x[1].is_on = 1; x[1].is_answered = x[0].is_answered;
        x[1].was_young = x[0].was_young; x[1].is_more = x[0].is_more;
        x[1].is_other = x[0].is_other; x[1].start = x[0].start;
        x[1].key = x[0].key; x[1].stamp = x[0].stamp;
        x[1].told = x[0].told; x[1].after = x[0].after;
        x[1].extra = x[0].extra; x[1].ripe = x[0].ripe;
        end_exchange(0);
        is_late = 0;
        if
        :: must_sync = 1
        :: skip
        fi }
    /* the backend fails: its key has told where the device is */
    :: atomic { x[0].is_on && !x[0].is_answered && !x[0].has_commands &&
                lost > 0 ->
        lost--;
        match_key(x[0].key);
        is_late = x[1].is_on;
        end_exchange(0);
        device = IDLE;
        if
        :: must_sync = 1
        :: skip
        fi }
    :: atomic { x[1].is_on && x[1].is_answered ->
        conclude(1); is_late = 0; end_exchange(1) }
    /* the response's last byte: dp_exchange_conclude(), then it leaves */
    :: atomic { x[0].is_on && x[0].is_answered ->
        conclude(0);
        upload = x[0].own;
        down_has = x[0].after; down_key = x[0].after + 1;
        must_sync = x[0].is_more;
        end_exchange(0);
        device = ARRIVING }
    :: atomic { device == ARRIVING ->
        has = has | down_has;
        key = down_key;
        down_has = 0; down_key = 0;
        is_arrived = is_arrived || goes_down;
        goes_down = 0;
        device = IDLE }
    :: atomic { device == ARRIVING && lost > 0 ->
        lost--;
        down_has = 0; down_key = 0; goes_down = 0;
        device = IDLE;
        if
        :: must_sync = 1
        :: must_sync = 0
        fi }
    /* apache/delivery.c: every byte is acknowledged */
    :: atomic { is_arrived ->
        deliver();
        if
        :: device == PINGING && !mark_is_other && mark > h_mark &&
           mark <= head ->
            h_mark = mark; h_doubt = mark_doubt; h_announced_n = 0;
            must_look = 1
        :: else
        fi }
    /* apache/passing.c publish_uploads() */
    :: atomic { upload != 0 ->
        if
        :: watcher != DOWN ->
            moved_prev = changed;
            publish(upload, ((upload & is_add) -> MANY : 0),
                    ((upload & is_add) -> MANY : 0));
            moved_to = head;
            is_moving = 1
        :: else
        fi;
        upload = 0 }
    :: atomic { is_moving -> is_moving = 0; move_marks() }
    :: atomic { device == IDLE && !must_sync -> make_hold(); look(0) }
    :: atomic { device == PINGING && must_look -> look(0) }
    /* heartbeat over, drained, superseded: the last look */
    :: atomic { device == PINGING && !must_look && spare > 0 ->
        spare--; look(1) }
    :: atomic { timeout ->
        assert(device == PINGING);
        assert(watcher == READY && told == FIRST(mail_n));
        assert(IS_CLEAN || IS_BLIND || IS_DOUBT_WAITING);
        assert(!IS_CLEAN || has == FIRST(mail_n));
        assert(!IS_DOUBT_WAITING || PROMISE_OF_ADDS);
        break }
    od
}

init {
    atomic {
        PICK_MUTANT;
        run watcher_turns(); run elsewhere(); run phone_and_module()
    }
}
