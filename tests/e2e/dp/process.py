"""Processes that tests start, and end by their own pid; waiting for things."""
import ctypes
import os
import signal
import socket
import subprocess
import time

from .wire import GENEROUS

REPO = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..",
                                    ".."))


def build_dir():
    """Where make has put the programs: $DP_BUILD_DIR or _build."""
    return os.environ.get("DP_BUILD_DIR", os.path.join(REPO, "_build"))


def built(*names, build=None):
    """A file of the build, or of another one.
    @raise AssertionError naming it when missing"""
    path = os.path.join(build or build_dir(), *names)
    assert os.path.exists(path), (
        "%s is not built; run make, or set DP_BUILD_DIR" % path)
    return path


def wait_until(condition, what="condition", timeout=GENEROUS, every=0.02):
    """Wait until `condition()` is true. @return its value"""
    until = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError("not within %s s: %s" % (
                timeout, what() if callable(what) else what))
        time.sleep(every)


def free_ports(n):
    """n free ports of loopback; another process may take them meanwhile."""
    socks = [socket.socket() for _ in range(n)]
    try:
        for s in socks:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in socks]
    finally:
        for s in socks:
            s.close()


_libc = ctypes.CDLL(None)


def _end_with_parent():
    """In the child: SIGTERM when the thread that started it ends, so that a
    test run that is killed leaves no server behind."""
    _libc.prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG


class Process:
    """A child in the foreground. Its output goes to a file; it ends with us."""

    when_ended = []  # functions that are called with the file of its output

    def __init__(self, argv, output, env=None, **kw):
        self.argv = argv
        self.output_file = output
        with open(output, "ab") as out:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, env=env,
                preexec_fn=_end_with_parent, **kw)
        self.pid = self.popen.pid

    @property
    def is_running(self):
        return self.popen.poll() is None

    @property
    def exit_status(self):
        return self.popen.poll()

    def output(self):
        with open(self.output_file, errors="replace") as f:
            return f.read()

    def signal(self, number):
        if self.is_running:
            self.popen.send_signal(number)

    def wait(self, timeout=GENEROUS):
        return self.popen.wait(timeout)

    def stop(self, number=15, timeout=30):
        """Signal and wait; SIGKILL when that doesn't help.
        @return exit status, or None when it had to be killed"""
        if self.is_running:
            self.popen.send_signal(18)  # SIGCONT: it may have been stopped
            self.popen.send_signal(number)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(timeout)
                return None
        for look_at in self.when_ended:
            look_at(self.output_file)
        return self.popen.returncode
