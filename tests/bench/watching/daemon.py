"""A directpushd of a given build that watches many topics: an INBOX and the
folder list of each user, as one phone each would ask for."""
import os
import time

from dp.process import Process
from dp.watcher import Watcher
from dp_watcher import UNWATCHED, Bus

from .tree import user

PATIENCE_S = 600

# unanswered `watch` lines; some of them wait for a scan
WINDOW = 200


def watched(bus):
    """topics_watched of its header"""
    return bus.word(4) >> 32


class Daemon(Watcher):
    """@param build  build directory whose directpushd it is"""

    def __init__(self, where, tree, build, topics):
        super().__init__(where, os.path.join(tree.mail, "%u"), group=None,
                         conf=["topics = %d" % topics,
                               "journal = 65536"])
        self.build = build

    def spawn(self):
        self.write()
        self.process = Process(
            [os.path.join(self.build, "directpushd"), "-c", self.conf, "-F"],
            os.path.join(self.where, "directpushd.out"))
        return self.process

    def ask_for(self, users):
        """Two topics of each of them. @return seconds until all are vouched
        for"""
        lines = [("watch", user(i), *what) for i in users
                 for what in (("Email", "INBOX"), ("Hierarchy", "*"))]
        began = time.monotonic()
        had = self.vouched()
        with self.control(timeout=PATIENCE_S) as control:
            for at in range(0, len(lines), WINDOW):
                some = lines[at:at + WINDOW]
                control.sock.sendall("".join(
                    "\t".join(x) + "\n" for x in some).encode())
                for line in some:
                    answer = control.line()
                    assert answer[0] == "ok", (line, answer)
        self.wait_vouched(had + len(lines))
        return time.monotonic() - began

    def vouched(self):
        """Topics that the bus says are vouched for."""
        return watched(Bus(self.bus))

    def wait_vouched(self, n):
        until = time.monotonic() + PATIENCE_S
        bus = Bus(self.bus)
        while watched(bus) < n or not bus.alive_us:
            assert self.process.is_running, self.output()
            assert time.monotonic() < until, (
                "%d of %d topics are vouched for" % (watched(bus), n))
            time.sleep(0.005)

    def marks(self):
        """{slot: (gen, watched_from, changed)} of all topics vouched for."""
        bus, out = Bus(self.bus), {}
        for slot in range(bus.topic_cap):
            v = bus.view(slot)
            if v.gen and not v.gen & 1 and v.watched_from != UNWATCHED \
                    and v.key != bytes(16):
                out[slot] = (v.gen, v.watched_from, v.changed)
        return out

    def restart_timed(self, n, end):
        """End it by `end` and start it again.
        @return seconds until it answers, and until `n` are vouched for"""
        end()
        began = time.monotonic()
        self.spawn()
        while not self.answers():
            assert self.process.is_running, self.output()
            time.sleep(0.005)
        answers = time.monotonic() - began
        self.wait_vouched(n)
        return answers, time.monotonic() - began

    def pss_kb(self):
        with open("/proc/%d/smaps_rollup" % self.pid) as f:
            return next(int(x.split()[1]) for x in f if x.startswith("Pss:"))

    def private_kb(self):
        """Without the bus, which all who map it share."""
        total = 0
        with open("/proc/%d/smaps_rollup" % self.pid) as f:
            for line in f:
                if line.startswith("Pss_Anon:"):
                    total += int(line.split()[1])
        return total

    def cpu_s(self):
        """Processor time so far: of one thread, in nanoseconds."""
        with open("/proc/%d/schedstat" % self.pid) as f:
            return int(f.read().split()[0]) / 1e9
