"""Graceful restarts while many phones wait and mails come: tests/restarts."""
import json
import os
import subprocess
import sys

import pytest

from dp.process import REPO, _end_with_parent

PROGRAM = os.path.join(REPO, "tests", "restarts", "restarts")


def restarts(tmp_path, *options):
    """@return what it has found; the test fails with what it says"""
    if os.geteuid() != 0:
        pytest.skip("Apache's children have to be another user's")
    found = str(tmp_path / "found.json")
    done = subprocess.run(
        [sys.executable, PROGRAM, "--json", found]
        + [str(o) for o in options], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, preexec_fn=_end_with_parent)
    assert done.returncode == 0, done.stdout
    with open(found) as f:
        return json.load(f)


def assert_was_played(found, phones, times):
    """What passes because nothing happened, does not."""
    rows = found["rows"][1:]
    assert len(rows) == times
    for before, row in zip([{"mails": 0}] + rows, rows):
        assert row["drained"] + row["told"] >= phones, "all were ended"
        assert row["connections"] >= phones, "and came back"
        assert row["mails"] > before["mails"], "and mails came meanwhile"


@pytest.mark.parametrize("transport", ["tls", "plain"])
def test_nothing_is_lost_when_it_restarts(tmp_path, transport):
    found = restarts(tmp_path, "--phones", 300, "--times", 3, "--drain", 3,
                     "--" + transport)
    assert_was_played(found, 300, 3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_with_ten_thousand_over_tls(tmp_path):
    assert_was_played(restarts(tmp_path), 10000, 20)
