"""Phones by `directpush-device --devices`: generations of them. Each waits, is
told of changes, sees heartbeats end; a new generation of the same devices comes
while the old one waits: its Pings are the newer ones, or the old one has hung
up just before.
"""
import os
import signal

from scale.load import Load, LoadFailed

from .site import PER_USER

# Fewer on their way to waiting than there are workers in Apache, which closes
# idle connections when all are busy.
INFLIGHT = 24


class Crowd:
    """@param site  soak.site.Site
    @param n  phones
    @param rounds  of each generation: heartbeats end, a change for all
    @param expire_s  seconds of each round in which Pings of a second end and
    are asked again
    @param first_s  the Pings after a change are so long: until all wait again
    @param at_rest  called in each round, when all wait for long"""

    def __init__(self, site, n, rounds, expire_s, first_s, at_rest=None):
        self.site, self.n, self.rounds = site, n, rounds
        self.expire_s, self.first_s = expire_s, first_s
        self.at_rest = at_rest or (lambda: None)

    def _steps(self):
        held = ["heartbeat=%d" % self.first_s, "hold=%d" % self.n]
        ends = ["heartbeat=1", "expire=%d" % (self.first_s + self.expire_s),
                "heartbeat=3540", "expire=3", "hold=%d" % self.n]
        one = held + ends + ["pause=rest", "storm"]
        return one * self.rounds + ["hold=%d" % self.n, "pause=last", "quit"]

    def generation(self, is_followed):
        """@param is_followed  the same devices come anew while this one waits:
        it is stopped meanwhile, so that it does not answer back"""
        load = self._load(self._steps(), {
            "rest": self.at_rest,
            "last": lambda: is_followed and self._newer(load)})
        self._run(load)

    def _run(self, load):
        try:
            load.run()
        except LoadFailed as e:
            raise AssertionError("%s\n%s" % (e, "\n".join(
                map(str, load.results))))
        lost = [r for r in load.results if r.get("missing")]
        assert not lost, lost

    def _load(self, steps, at_pause):
        return Load(self.site.where, self.n, steps, [
            "--rate", "1000000", "--inflight", str(INFLIGHT), "--per-user",
            str(PER_USER), "--publish", self.site.watcher.socket,
            self.site.url, "user%d"], at_pause)

    def _newer(self, load):
        """Pings on new connections, which hang up."""
        pids = _tree(load.process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            self._run(self._load(["hold=%d" % self.n, "quit"], {}))
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def _tree(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [pid] + [int(p) for p in f.read().split()]
