"""Medians of the runs, out of the raw numbers."""
import statistics


def _median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def _got(what, *path):
    for name in path:
        if what is None or name not in what:
            return None
        what = what[name]
    return what


def _rate(sites):
    """Median of the storms in which nobody was left out."""
    return _median([s["per_second"] for one in sites
                    for s in _got(one, "storms") or [] if not s["missing"]])


class Figures:
    """What is None was not measured, or failed in every run.
    @param raw  as `phones --json` writes it"""

    def __init__(self, raw):
        self.raw = raw
        self.about = raw["about"]
        self.sizes = self.about["sizes"]
        self.transports = self.about["transports"]
        self.warm = self.about["warm"]

    def _each(self, side, transport, n):
        return [_got(run, "waiting", transport, str(n), side)
                for run in self.raw["runs"]]

    def _of(self, side, transport, n, *path):
        return _median([_got(one, *path)
                        for one in self._each(side, transport, n)])

    def memory_kb(self, side, transport, n, when, server=None):
        """Of one phone that waits, beyond the first ones.
        @param when  "fresh" or "after" the storms"""
        server = server or {"ours": "apache", "nchan": "nginx"}[side]
        values = []
        for one in self._each(side, transport, n):
            before = _got(one, "base", server, "Pss")
            now = _got(one, when, server, "Pss")
            if before is not None and now is not None:
                values.append((now - before) / (n - self.warm))
        return _median(values)

    def wake_us(self, side, transport, n, which):
        """@param which  "p50", "p99", "p99.9", "max" """
        return self._of(side, transport, n, "wake", "us", which)

    def woken(self, side, transport, n):
        """(answered after their change, of how many), of all runs"""
        wakes = [one["wake"] for one in self._each(side, transport, n)
                 if _got(one, "wake")]
        if not wakes:
            return None
        return (sum(w["n"] for w in wakes),
                sum(w["n"] + w["missing"] for w in wakes))

    def flatness(self, side, transport):
        """Median wake with the most phones to that with the fewest."""
        few, most = (self.wake_us(side, transport, n, "p50")
                     for n in (self.sizes[0], self.sizes[-1]))
        return most / few if few and most else None

    def storm(self, side, transport, n):
        """Answers per second."""
        return _rate(self._each(side, transport, n))

    def crowd(self, side, transport):
        """Answers per second when one change is told to all."""
        return _rate([_got(run, "crowd", transport, side)
                      for run in self.raw["runs"]])

    def ramp(self, side, transport, n):
        """New phones per second."""
        return self._of(side, transport, n, "ramp", "per_second")

    def idle_percent(self, side, n):
        """Of one core; directpushd included."""
        values = []
        for one in self._each(side, "plain", n):
            cpu = _got(one, "idle", "cpu")
            if cpu is not None:
                values.append(100 * sum(cpu.values()))
        return _median(values)

    def expiring(self):
        """Pings that ended and were asked again, per second, when all first
        ones, which were longer, had ended."""
        values = []
        for run in self.raw["runs"]:
            seen = [(p["seconds"], p["expired"])
                    for p in _got(run, "expiring", "progress") or []
                    if p["seconds"] > run["expiring"]["first_s"]]
            if len(seen) > 1:
                first, last = seen[0], seen[-1]
                values.append((last[1] - first[1]) / (last[0] - first[0]))
        return _median(values)

    def answer_bytes(self):
        return _median([_got(run, "answer", "bytes")
                        for run in self.raw["runs"]])
