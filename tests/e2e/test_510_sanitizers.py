"""What a build for a sanitizer reports is seen: dp/sanitizers.py."""
import os
import signal

import pytest

from dp import sanitizers
from dp.process import wait_until

pytestmark = pytest.mark.skipif(not sanitizers.library(),
                                reason="no build for a sanitizer")


def seen(pid):
    """The report that would fail this test, of a process that crashes."""
    os.kill(pid, signal.SIGSEGV)
    wait_until(lambda: not os.path.exists("/proc/%d" % pid), "it has ended")
    (report,) = sanitizers.reports()
    return report


def test_of_a_child_of_apache(site):
    site.httpd.allow("exit signal Abort", "AddressSanitizer:DEADLYSIGNAL")
    assert "AddressSanitizer: SEGV" in seen(site.httpd.children()[0])


def test_of_directpushd(make_site):
    site = make_site(httpd=False)
    watcher = site.watcher.process.popen
    os.kill(watcher.pid, signal.SIGSEGV)
    assert watcher.wait(60) == -signal.SIGABRT
    (report,) = sanitizers.reports()
    assert "AddressSanitizer: SEGV" in report
    assert "dp_loop" in report, "with names"
    assert "DEADLYSIGNAL" in site.watcher.output()
    os.truncate(site.watcher.process.output_file, 0)


def test_of_a_program_that_has_no_place_for_it(tmp_path):
    said = tmp_path / "said.out"
    said.write_text("x.c:1: runtime error: index 9 out of bounds\n")
    sanitizers.look_at(str(said))
    assert sanitizers.reports() == [said.read_text()]
