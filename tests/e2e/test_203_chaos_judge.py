"""The judge of tests/chaos is judged itself: does it count what it should?"""
import os
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                             "chaos"))

from history import History, PingSeen, SyncSeen  # noqa: E402
from judge import TOLD_WITHIN_S, Verdict, judge_round  # noqa: E402

INBOX, WORK = "INBOX", "Work"
AT = 100.0            # of the change
LATE = AT + TOLD_WITHIN_S + 1


@pytest.fixture
def history():
    return History()


def judged(history, behind=None):
    verdict = Verdict()
    judge_round(verdict, history, {"dev1": "alice"}, behind or {})
    return verdict


def changes(history, kind, subject="mail", path=INBOX):
    history.changed("alice", path, kind, subject, AT - 0.01, AT)


def pings(history, sent, got, status=1, named=(), heartbeat=600):
    history.saw("dev1", PingSeen(sent, got, status, set(named), {INBOX, WORK},
                                 heartbeat))


def syncs(history, sent, shows, brought=(), told=None):
    told = told or {}
    history.saw("dev1", SyncSeen(sent, sent + 0.1, shows, set(brought), told,
                                 set(told), set()))


def test_a_change_that_is_told_and_shown_is_not_missed(history):
    changes(history, "add")
    pings(history, 90, 101, 2, [INBOX])
    syncs(history, 101, {INBOX: {"mail": False}}, [INBOX], {INBOX: 101.0})
    verdict = judged(history)
    assert (verdict.to_tell, verdict.void, verdict.missed) == (1, 0, [])
    assert verdict.delays == {"none": [1.0]}


def test_one_that_is_not_shown_at_the_end_is_missed(history):
    changes(history, "add")
    verdict = judged(history, {"dev1": ({INBOX: {}}, {INBOX: {"mail": False}})})
    assert verdict.missed


@pytest.mark.parametrize("kind, shows", [
    ("add", {"mail": False}), ("read", {"mail": True}), ("delete", {})])
def test_status_1_long_after_a_change_is_a_miss(history, kind, shows):
    changes(history, kind)
    syncs(history, LATE, {WORK: {}})  # says nothing of INBOX
    pings(history, LATE, LATE + 5)
    syncs(history, LATE + 9, {INBOX: shows}, [INBOX])
    assert len(judged(history).missed) == 1


def test_a_deletion_is_seen_where_the_mail_was(history):
    changes(history, "delete")
    syncs(history, AT + 1, {WORK: {}})
    syncs(history, AT + 3, {INBOX: {}}, [INBOX], {INBOX: AT + 2})
    assert judged(history).delays == {"none": [2.0]}


def test_what_was_overtaken_is_void(history):
    changes(history, "read")
    syncs(history, AT + 1, {INBOX: {}}, [INBOX])
    assert judged(history).void == 1
