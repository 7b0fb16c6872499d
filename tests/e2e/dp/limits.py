"""Limits of a process that runs."""
import os
import re
import subprocess

from dp.process import wait_until


class FewDescriptors:
    """While the block runs the process can open `spare` more at most, or none
    at all (0)."""

    def __init__(self, pid, spare):
        self.pid, self.spare = pid, spare

    def _limit(self, n):
        """@param n  a number, or "" for the hard limit"""
        wait_until(lambda: self._is_limited(n), "the limit is set", every=0.01)

    def _is_limited(self, n):
        """As the process's own user, who may, unless it is just becoming that
        user; a process that has ended has enough."""
        try:
            uid, gid = os.stat("/proc/%d" % self.pid)[4:6]
            if not n:
                with open("/proc/%d/limits" % self.pid) as f:
                    n = re.search(r"Max open files +\S+ +(\d+)",
                                  f.read()).group(1)
        except (FileNotFoundError, ProcessLookupError):
            return True
        return subprocess.run(
            ["setpriv", "--reuid=%d" % uid, "--regid=%d" % gid,
             "--clear-groups", "prlimit",
             "--pid=%d" % self.pid, "--nofile=%s:" % n],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False).returncode == 0

    def __enter__(self):
        try:
            now = len(os.listdir("/proc/%d/fd" % self.pid))
        except FileNotFoundError:
            return
        self._limit(now + self.spare if self.spare else 3)

    def __exit__(self, *_):
        self._limit("")
