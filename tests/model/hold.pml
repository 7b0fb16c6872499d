/* hold: is a held Ping over a published change always answered?
 *
 * Children with a keeper's thread each, connections with a worker each, one
 * writer of the bus, one device that sends its Pings over any connection. What
 * happens under the set's lock is taken in the steps in which it reads the
 * bus, since the writer takes no lock; what happens without is taken in its
 * own steps. Memory is sequentially consistent here: that the orders of bus_abi.h
 * suffice is ThreadSanitizer's business (tests/unit/test_bus_threads.c).
 *
 *   CHILDREN, SEATS  seat s is a connection of child s % CHILDREN
 *   CHANGES          published changes of the topic
 *   PINGS            that the device sends
 *   BEATS            heartbeats that end
 *   SPURIOUS         connections that the MPM gives back for nothing
 *   CRASHES          of the watcher, at any step of it (1 at most)
 *   MOVES            the topic gives its slot to another, and gets a new one
 *
 * The journal has two records. Nothing rescues a lost wake-up here: the tick
 * comes only when it has something to do (liveness, doubt), so that what is
 * proven is "in milliseconds", not "in a second". Checked:
 *
 *   - Status 1 is never said over a change that was published before the last
 *     look began;
 *   - when nothing moves any more, no hold stands over a change or a vouching
 *     above its mark, none is stuck in another state, and of one device at
 *     most one is held (unless a child was lapped: then an older one may wait
 *     for its heartbeat).
 *
 * Every run ends, so the second says that every held Ping over a published
 * change is answered; cycles without progress are not searched for.
 *
 * Not here: the polite end of connections (ENDING, CLOSING, SHUT), timers of
 * look.c but the heartbeat, another bus file, and what a mark is worth
 * (promise.pml).
 */
#include "model.h"

#ifndef CHILDREN
#define CHILDREN 1
#endif
#ifndef SEATS
#define SEATS 1
#endif
#ifndef CHANGES
#define CHANGES 2
#endif
#ifndef PINGS
#define PINGS 2
#endif
#ifndef BEATS
#define BEATS 1
#endif
#ifndef SPURIOUS
#define SPURIOUS 1
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef MOVES
#define MOVES 0
#endif

#define SLOTS   (1 + MOVES)
#define NO_SLOT 9

/* --- hold/hold_states.def */
#define DP_HOLD_STATE(name, help) name,
mtype = {
#include "../../mod_directpush/hold/hold_states.def"
    NO_HOLD
};
#undef DP_HOLD_STATE

mtype = { CHANGED, VOUCHED, PINGED };

/* --- the bus (bus/bus_abi.h); topic 1 is ours, 2 another's */
byte head = 1;
byte t_key[SLOTS], t_gen[SLOTS], t_changed[SLOTS], t_from[SLOTS];
byte j_seq[2], j_slot[2], j_arg[2];
mtype j_kind[2];
byte published;          /* ghost: newest change that `head` covers */
bool lost_ping;          /* ghost: a Ping was journalled that some child may
                            not have read: lapped, or the writer died */

/* --- the writer (bus/bus_write.c, watcher/) */
bool is_up = 1, dies;
byte w_head = 1, w_slot; /* its counter; where the topic is */
byte changes = CHANGES, crashes = CRASHES, moves = MOVES;
byte to_tell;            /* arrival of a Ping to be journalled */

/* --- a child (hold/keeper_private.h, hold_set.h) */
typedef child {
    bool is_locked, is_alive = 1, has_doubt, is_behind;
    bool is_asleep, wake, nudge;
    byte next = 2;       /* cursor */
    byte slot = NO_SLOT, gen; /* dp_topic.ref; as long as a hold names it */
};
child child_[CHILDREN];
#define C(s) child_[(s) % CHILDREN]

/* --- a connection and its hold (hold/hold.h, apache/park.h) */
typedef seat {
    mtype state = NO_HOLD;
    byte mark, arrival, number;
    bool is_watching, is_ending, is_over, has_timer, is_ready;
    byte verdict;
    byte request;        /* number of a Ping to be read */
    bool is_sent;        /* the clerk finishes */
    bool is_spurious;    /* the MPM gives it back */
};
seat s_[SEATS];

/* --- the device */
byte pings = PINGS, number, at, its_mark = 1, arrivals, waits_for;
byte beats = BEATS, spurious = SPURIOUS;
bool is_calm;            /* nothing is begun any more */

/* dp_hold_transit(), with the caller's compare done */
inline move(s, goes)
{
    assert(0
#define DP_HOLD_MOVE(a, b) || (s_[s].state == a && goes == b)
#include "../../mod_directpush/hold/hold_states.def"
#undef DP_HOLD_MOVE
    );
    s_[s].state = goes
}

inline lock(s)   { atomic { !C(s).is_locked -> C(s).is_locked = 1 } }
inline unlock(s) { C(s).is_locked = 0 }

/* dp_hold_set_nudge_locked(): due now */
inline end_sleep(s)
{
    if
    :: C(s).is_asleep -> C(s).is_asleep = 0; C(s).nudge = 1
    :: else
    fi
}

/* bus_read.c dp_bus_find() */
inline find(s)
{
    C(s).slot = NO_SLOT; C(s).gen = 0;
    if
    :: t_key[0] == 1 && !(t_gen[0] & 1) -> C(s).slot = 0; C(s).gen = t_gen[0]
#if MOVES > 0
    :: t_key[1] == 1 && !(t_gen[1] & 1) -> C(s).slot = 1; C(s).gen = t_gen[1]
#endif
    :: else
    fi
}

#define IS_CURRENT(s) (C(s).slot != NO_SLOT && \
                       (WITHOUT(gen_ignored) || t_gen[C(s).slot] == C(s).gen))

/* --- dp_hold_set_look_locked(): hold/look.c, bus_read.c dp_bus_look().
 * The caller has: verdict, changed, from, told, is_current. */
inline decide(s, is_final)
{
    verdict = 0;
    if
    :: WITHOUT(no_last_look) &&
       (is_final || s_[s].is_ending || s_[s].is_over) -> verdict = 1
    :: else ->
        if
        :: is_current && C(s).is_alive && from != UNWATCHED &&
           MAX(changed, from) > s_[s].mark -> verdict = 2
        :: is_current && (!C(s).is_alive || from == UNWATCHED) &&
           changed > s_[s].mark && WITH(dead_is_blind) -> verdict = 2
        :: else ->
            if
            :: is_final || s_[s].is_ending || s_[s].is_over -> verdict = 1
            :: else
            fi
        fi
    fi;
    s_[s].verdict = verdict
}

inline read_and_decide(s, is_final)
{
    atomic { told = published; is_current = IS_CURRENT(s) }
    if
    :: is_current ->
        changed = t_changed[C(s).slot];
        from = t_from[C(s).slot]
    :: else
    fi;
    atomic {
        is_current = is_current && IS_CURRENT(s);
        decide(s, is_final)
    }
}

inline look(s, is_final)
{
    read_and_decide(s, is_final);
#if MOVES > 0
    if
    :: atomic { verdict == 1 && !is_current -> find(s) };
        if
        :: IS_CURRENT(s) -> C(s).has_doubt = 1; read_and_decide(s, is_final)
        :: else
        fi
    :: else
    fi;
#endif
    atomic {
        /* design.md 3: no Status 1 over a published change. What has no
         * slot, or one that nobody vouches for since, is blind. */
        assert(verdict != 1 || told <= s_[s].mark ||
               (MOVES > 0 && (!is_current || from == UNWATCHED)));
        if
        :: verdict == 0 -> s_[s].has_timer = 1
        :: else
        fi;
        changed = 0; from = 0; told = 0; is_current = 0
    }
}

/* hold_set.c dp_hold_set_consider_locked() */
inline consider(s)
{
    if
    :: s_[s].is_watching &&
       (s_[s].state == HELD ||
        (s_[s].state == PARKING && WITH(parking_passed_over))) ->
        look(s, 0);
        if
        :: atomic { verdict != 0 && s_[s].state == PARKING &&
                    WITH(parking_passed_over) ->
            move(s, KICKED) }
        :: atomic { verdict != 0 && s_[s].state == HELD ->
            move(s, ANSWERING);
            s_[s].is_ready = 1;
            if
            :: WITH(nudge_omitted) -> end_sleep(s)
            :: else
            fi }
        :: else
        fi;
        verdict = 0
    :: else
    fi
}

#if CHILDREN == 1 && SEATS == 2
#define NOBODY_WATCHES(s) (!s_[0].is_watching && !s_[1].is_watching)
#define IS_OTHER_OLDER(s) (s_[1 - s].is_watching && \
                           s_[1 - s].arrival < s_[s].arrival && \
                           !s_[1 - s].is_ending)
#define IS_OTHER_NEWER(s) (s_[1 - s].is_watching && \
                           s_[1 - s].arrival > s_[s].arrival)
#else
#define NOBODY_WATCHES(s) (!s_[s].is_watching)
#endif

chan reply = [2] of { byte };

/* topics.c: a topic without items is freed */
inline forget_topic(s)
{
    if
    :: NOBODY_WATCHES(s) -> C(s).slot = NO_SLOT; C(s).gen = 0
    :: else
    fi
}

inline free(s)
{
    s_[s].state = NO_HOLD; s_[s].is_watching = 0; s_[s].is_ending = 0;
    s_[s].is_over = 0; s_[s].has_timer = 0; s_[s].mark = 0;
    s_[s].arrival = 0; s_[s].number = 0; s_[s].verdict = 0;
    verdict = 0;
    forget_topic(s)
}

/* What a worker says of a hold that it owns; then the hold is gone. */
inline answer(s)
{
    if
    :: s_[s].number == waits_for -> reply ! verdict
    :: else
    fi;
    free(s)
}

/* ------------------------------------------------------------ the workers */

/* keeper_worker.c dp_keeper_worker_park() */
inline link(s)
{
    if
    :: NOBODY_WATCHES(s) -> find(s)
    :: else
    fi;
    s_[s].is_watching = 1
}

/* apache/park.c */
proctype worker(byte s)
{
    byte verdict, changed, from, told;
    bool is_current;
    mtype was;
end:
    do
    /* a Ping: apache/ping.c make_hold() */
    :: atomic { s_[s].request != 0 && s_[s].state == NO_HOLD ->
        s_[s].number = s_[s].request;
        s_[s].request = 0;
        s_[s].mark = its_mark;
        arrivals++;
        s_[s].arrival = arrivals;
        s_[s].state = PARKING };
        if
        :: WITHOUT(compare_before_link) ->
            lock(s);
            atomic { find(s); is_current = 0 };
            look(s, 0);
            unlock(s);
            lock(s);
            atomic { link(s) }
        :: else ->
            lock(s);
            atomic { link(s) }
        fi;
#if CHILDREN == 1 && SEATS == 2
        if
        :: atomic { IS_OTHER_OLDER(s) -> s_[1 - s].is_ending = 1 };
            consider(1 - s)
        :: atomic { IS_OTHER_NEWER(s) -> s_[s].is_ending = 1 }
        :: else
        fi;
#endif
        if
        :: WITH(compare_before_link) -> look(s, 0)
        :: else
        fi;
        atomic {
            to_tell = MAX(to_tell, s_[s].arrival);
            s_[s].is_watching = (verdict == 0);
            C(s).is_locked = 0;
            if
            :: verdict != 0 -> answer(s)
            :: else -> goto park
            fi
        }

    /* the MPM gives the connection back; dp_hold_set_worker_take() waits */
    :: atomic { (s_[s].request != 0 || s_[s].is_spurious) &&
                (s_[s].state == HELD || s_[s].state == IDLE) &&
                !C(s).is_locked ->
        s_[s].is_spurious = 0;
        was = s_[s].state;
        move(s, TAKEN) };
        if
        :: atomic { was == IDLE -> free(s); was = 0 }
        :: atomic { was == HELD -> was = 0 };
            if
            :: s_[s].request != 0 -> goto ends
            :: else
            fi;
            /* dp_keeper_worker_repark() */
            lock(s);
            atomic { move(s, PARKING) };
            if
            :: WITH(repark_unseen) -> look(s, 0)
            :: else
            fi;
            atomic {
                s_[s].is_watching = (verdict == 0);
                C(s).is_locked = 0;
                if
                :: verdict != 0 -> answer(s)
                :: else -> goto park
                fi
            }
        fi
    od;

park: /* park(): peek, then CONN_STATE_ASYNC_WAITIO */
    if
    :: atomic { s_[s].request != 0 && !C(s).is_locked -> move(s, TAKEN) };
        goto ends
    :: s_[s].request == 0
    fi;
    /* suspend_connection(), dp_keeper_worker_held() */
    if
    :: atomic { s_[s].state == PARKING -> move(s, HELD) }
    :: else ->
        lock(s);
        atomic { move(s, HELD) };
        if
        :: WITH(kicked_ignored) -> consider(s)
        :: else
        fi;
        unlock(s)
    fi;
    goto end;

ends: /* dp_keeper_worker_end(DP_CAUSE_NEXT) */
    lock(s);
    s_[s].is_ending = 1;
    look(s, 1);
    atomic { C(s).is_locked = 0; answer(s) };
    goto end
}

/* apache/loop_answer.c let_go() */
proctype clerk(byte s)
{
end:
    do
    :: atomic { s_[s].is_sent && !C(s).is_locked ->
        s_[s].is_sent = 0;
        move(s, IDLE) }
    od
}

/* ------------------------------------------------------------- the keeper */

/* f of each connection of this child */
#if SEATS / CHILDREN == 2
#define EACH(f) f(0); f(1)
#define ANY(f)  (f(0) || f(1))
#else
#define EACH(f) f(c)
#define ANY(f)  (f(c))
#endif

#define IS_READY(s) (s_[s].is_ready)
#define IS_DUE(s)   (s_[s].has_timer && s_[s].is_over)
#define IS_OF_SLOT(s) (child_[c].slot == slot && s_[s].is_watching)
#define IS_OLDER(s) \
    (s_[s].is_watching && s_[s].arrival < arg && !s_[s].is_ending)
#define IS_OVERTAKEN(s) \
    (!s_[s].is_watching && s_[s].arrival != 0 && s_[s].arrival < arg)
#define MUST_TICK (child_[c].is_alive != is_up || \
                   (child_[c].has_doubt && WITH(doubt_ignored)))

inline consider_of_slot(s)
{
    if
    :: IS_OF_SLOT(s) -> consider(s)
    :: else
    fi
}

inline end_older(s)
{
    if
    :: atomic { IS_OLDER(s) -> s_[s].is_ending = 1 }; consider(s)
    :: else
    fi
}

inline expire(s)
{
    if
    :: atomic { IS_DUE(s) -> s_[s].has_timer = 0 }; consider(s)
    :: else
    fi
}

/* apache/loop_answer.c dp_answer_loop() */
inline answer_if_ready(s)
{
    if
    :: atomic { IS_READY(s) && !child_[c].is_locked ->
        s_[s].is_ready = 0;
        s_[s].is_watching = 0;
        s_[s].has_timer = 0;
        forget_topic(s) };
        atomic {
            if
            :: s_[s].number == waits_for -> reply ! s_[s].verdict
            :: else
            fi;
            s_[s].is_sent = 1 }
    :: !IS_READY(s)
    fi
}

/* keeper.c answer_ready() */
inline answer_ready()
{
    if
    :: ANY(IS_READY) -> EACH(answer_if_ready)
    :: else
    fi
}

inline consider_all()
{
    lock(c);
    EACH(consider);
    unlock(c)
}

/* keeper.c handle_event() */
inline handle_event()
{
    if
    :: kind == CHANGED || kind == VOUCHED ->
        lock(c);
#if MOVES > 0
        atomic {
            if
            :: kind == VOUCHED ->
                child_[c].has_doubt = 1;
                if /* topics.c dp_topics_appeared() */
                :: !NOBODY_WATCHES(c) && child_[c].slot == NO_SLOT &&
                   t_key[slot] == 1 -> find(c)
                :: else
                fi
            :: else
            fi
        };
#endif
        EACH(consider_of_slot);
        unlock(c)
    :: kind == PINGED && ANY(IS_OLDER) && WITH(newer_stays) ->
        lock(c);
        EACH(end_older);
        unlock(c)
    /* The older one is not linked yet, and dp_keeper_worker_park() looks for
     * newer ones of its own child only: it stays for its heartbeat. */
    :: kind == PINGED && IS_OVERTAKEN(c) -> lost_ping = 1
    :: else
    fi
}

proctype keeper(byte c)
{
    byte verdict, changed, from, told, h, slot, arg;
    bool is_current, ok;
    mtype kind;
    do
    :: /* sleep_ms(), wait_for_something() */
        atomic { !child_[c].is_locked ->
            child_[c].is_asleep = !(ANY(IS_READY) ||
                                    (child_[c].is_behind &&
                                     WITH(behind_ignored))) };
end:
        atomic { !child_[c].is_asleep || child_[c].wake || child_[c].nudge ||
                 ANY(IS_DUE) || MUST_TICK ->
            child_[c].is_asleep = 0;
            child_[c].nudge = 0;
            child_[c].wake = child_[c].wake && WITHOUT(wake_read_late) };

        /* follow_bus(), one record of it; bus_read.c dp_bus_catch_up() */
        atomic {
            child_[c].is_behind = 0;
            h = head;
            if
            :: child_[c].next == h + 1 -> h = 0; goto caught_up
            :: else ->
                child_[c].is_behind = 1;
                ok = (child_[c].next <= h && h - child_[c].next < 2 &&
                      j_seq[child_[c].next % 2] == child_[c].next)
            fi };
        if
        :: atomic { ok ->
            kind = j_kind[child_[c].next % 2];
            slot = j_slot[child_[c].next % 2];
            arg = j_arg[child_[c].next % 2] };
            ok = (j_seq[child_[c].next % 2] == child_[c].next)
        :: else
        fi;
        if
        :: atomic { ok -> child_[c].next++; ok = 0; h = 0 };
            handle_event()
        :: atomic { else -> child_[c].next = h + 1; h = 0; lost_ping = 1;
                    child_[c].has_doubt = MOVES > 0 };
            if
            :: WITH(lapped_unseen) -> consider_all()
            :: else
            fi;
            if
            :: WITHOUT(lapped_head_late) -> child_[c].next = head + 1
            :: else
            fi
        fi;
caught_up:
        atomic {
            kind = 0; slot = 0; arg = 0;
            child_[c].wake = child_[c].wake && WITH(wake_read_late) };
        answer_ready();

        /* dp_hold_set_expire_locked() */
        if
        :: ANY(IS_DUE) ->
            lock(c);
            EACH(expire);
            unlock(c);
            answer_ready()
        :: else
        fi;

        /* keeper_link.c dp_keeper_loop_tick() */
        if
        :: atomic { child_[c].is_alive != is_up && !child_[c].is_locked ->
            child_[c].is_alive = is_up };
            if
            :: WITH(alive_unseen) -> consider_all()
            :: else
            fi;
            answer_ready()
        :: child_[c].is_alive == is_up
        fi
#if MOVES > 0
        ;
        /* mend_locked(), mend_topic() */
        if
        :: child_[c].has_doubt && WITH(doubt_ignored) ->
            child_[c].has_doubt = 0;
            lock(c);
            if
            :: atomic { !IS_CURRENT(c) -> find(c) };
                unlock(c);
                if
                :: child_[c].slot != NO_SLOT -> consider_all()
                :: else
                fi
            :: else -> unlock(c)
            fi;
            answer_ready()
        :: else
        fi
#endif
    od
}

/* ------------------------------------------------------------- the writer */

inline write_record(what, where, about)
{
    j_seq[w_head % 2] = 0;
    atomic { j_kind[w_head % 2] = what;
             j_slot[w_head % 2] = where;
             j_arg[w_head % 2] = about;
             j_seq[w_head % 2] = w_head }
}

/* emit.c dp_emit_flush(), control.c dp_control_wake() */
inline wake_all()
{
    atomic {
        child_[0].wake = child_[0].wake || child_[0].is_alive;
#if CHILDREN > 1
        child_[1].wake = child_[1].wake || child_[1].is_alive;
#endif
        skip
    }
}

inline publish_head()
{
    atomic { head = w_head;
             published = (t_key[w_slot] == 1 -> MAX(published, t_changed[w_slot])
                          : published) }
}

/* bus_write.c set_watched_from() */
inline vouch(where, seq)
{
    w_head++;
    t_from[where] = seq;
    write_record(VOUCHED, where, 0);
    publish_head();
    wake_all()
}

#if MOVES > 0
/* bus_topics.c hand_over(): alike for a new owner and for none */
inline hand_over(where, who)
{
    t_gen[where] = t_gen[where] | 1;
    atomic { t_key[where] = who; t_changed[where] = 0 };
    t_from[where] = UNWATCHED;
    t_gen[where] = t_gen[where] + 1
}
#endif

proctype writer()
{
    byte old_from, told;
again:
    {
end:
        do
        :: atomic { changes > 0 && !is_calm -> changes--; w_head++ };
            /* bus_write.c dp_bus_publish() */
            if
            :: WITHOUT(head_before_topic) -> head = w_head
            :: else
            fi;
            t_changed[w_slot] = w_head;
            write_record(CHANGED, w_slot, 0);
            if
            :: WITHOUT(wake_before_head) -> wake_all(); publish_head()
            :: else -> publish_head(); wake_all()
            fi
        :: atomic { to_tell != 0 -> w_head++; told = to_tell; to_tell = 0 };
            write_record(PINGED, NO_SLOT, told);
            atomic { told = 0; head = w_head };
            wake_all()
#if MOVES > 0
        :: atomic { moves > 0 && !is_calm -> moves-- };
            /* the watch ends (want.c): published, then the slot goes */
            vouch(0, UNWATCHED);
            hand_over(0, 0);
            hand_over(0, 2);
            if
            :: vouch(0, w_head)
            :: skip /* nobody watches the other one */
            fi;
            hand_over(1, 1);
            w_slot = 1;
            vouch(1, w_head)
#endif
        od
    } unless { dies };
    /* hung up: children see that. bus_topics.c dp_bus_topics_repair(), then
     * dp_bus_raise_head(), watcher.c is_claimed() */
    atomic { dies = 0; is_up = 0; told = 0 };
    if
    :: skip
    :: goto stays_away
    fi;
    atomic {
        w_head = MAX(head, MAX(t_changed[0],
                               (t_from[0] == UNWATCHED -> 0 : t_from[0])));
        w_head = MAX(w_head, MAX(j_seq[0], j_seq[1])) + 1;
        publish_head();
        old_from = t_from[0] };
    vouch(0, UNWATCHED);
    is_up = 1;
    if
    :: atomic { old_from != UNWATCHED -> skip };
        vouch(0, old_from) /* dp_bus_vouch_again() */
    :: vouch(0, w_head)
    fi;
    old_from = 0;
    goto again;

stays_away:
    false
}

/* ------------------------------------------------- the device, and chance */

inline send_ping()
{
    pings--;
    number++;
    waits_for = number;
    if
    :: at = 0
#if SEATS > 1
    :: at = 1
#endif
    fi;
    s_[at].request = number
}

proctype device()
{
    byte got;
    atomic { send_ping() };
end:
    do
    :: atomic { reply ? got ->
        waits_for = 0;
        if
        :: got == 2 -> its_mark = head /* a Sync, whole */
        :: else
        fi;
        got = 0;
        if
        :: pings > 0 -> send_ping()
        :: else
        fi }
    /* it does not wait */
    :: atomic { pings > 0 && !is_calm && waits_for != 0 && empty(reply) ->
        send_ping() }
    od
}

proctype chance()
{
    byte i;
    do
    :: atomic { beats > 0 ->
        if
        :: i = 0
#if SEATS > 1
        :: i = 1
#endif
        fi;
        if
        :: s_[i].is_watching && !s_[i].is_over -> beats--; s_[i].is_over = 1
        :: else
        fi;
        i = 0 }
    :: atomic { spurious > 0 && s_[0].state == HELD && !s_[0].is_spurious ->
        spurious--; s_[0].is_spurious = 1 }
    :: atomic { crashes > 0 -> crashes--; dies = 1 }
    :: is_calm = 1; break
    od
}

/* ---------------------------------------------------- when nothing moves */

#define IS_AT_REST(s) \
    (s_[s].state == NO_HOLD || s_[s].state == HELD || s_[s].state == IDLE)
#define IS_TOLD_ALL(s) \
    (s_[s].state != HELD || \
     (t_changed[w_slot] <= s_[s].mark && \
      (t_from[w_slot] == UNWATCHED || t_from[w_slot] <= s_[s].mark)))

init {
    atomic {
        PICK_MUTANT;
        t_key[0] = 1; t_gen[0] = 2; t_from[0] = 1;
#if MOVES > 0
        t_from[1] = UNWATCHED;
#endif
        run writer(); run device(); run chance();
        run worker(0); run clerk(0);
#if SEATS > 1
        run worker(1); run clerk(1);
#endif
        run keeper(0)
#if CHILDREN > 1
        ; run keeper(1)
#endif
    };
    timeout;
    assert(is_calm && !child_[0].is_locked);
    assert(IS_AT_REST(0) && IS_TOLD_ALL(0));
#if SEATS > 1
    assert(IS_AT_REST(1) && IS_TOLD_ALL(1));
    assert(lost_ping || s_[0].state != HELD || s_[1].state != HELD)
#endif
}
