"""The table: a row for each figure, with target, ours, nchan, and the ratio."""
import os
import time

from common.tables import columns, table, version

from . import targets

NAMES = {"plain": "plain", "tls": "TLS 1.3"}
HEAD = ["row", "target", "ours", "nchan", "ratio"]
NONE = "–"


def about(plan):
    """What is needed to understand the numbers."""
    return {"cpus": os.cpu_count(), "date": time.strftime("%Y-%m-%d"),
            "sizes": plan.sizes, "transports": list(plan.transports),
            "runs": plan.runs, "quick": plan.quick, "warm": plan.warm,
            "children": plan.children, "storms": plan.storms,
            "wakes": plan.wakes, "idle_s": plan.idle_s,
            "expire_n": plan.expire_n, "crowd_n": plan.crowd_n,
            "per_user": {str(n): plan.per_user(n) for n in plan.sizes},
            "versions": {p: version(p) for p in (
                "apache2-bin", "nginx", "libnginx-mod-nchan")}}


def _number(value, form="%.0f"):
    if value is None:
        return NONE
    return "{:,.0f}".format(value) if form == "%.0f" else form % value


class Row:
    """@param ours, nchan  lists of figures; None for what is missing
    @param target  a Target, or None
    @param judged  which of the figures it is about; all of them"""

    def __init__(self, what, ours, nchan=None, target=None, form="%.0f",
                 judged=slice(None), has_ratio=True):
        self.what, self.target, self.form = what, target, form
        self.ours, self.nchan = ours, nchan or [None] * len(ours)
        self.judged = judged
        self.ratios = [o / n if has_ratio and o is not None and n else None
                       for o, n in zip(self.ours, self.nchan)]

    def verdict(self):
        """@return "missed", "unknown", or None when it is met or there is
        none"""
        if self.target is None:
            return None
        figures = (self.ratios if self.target.is_ratio
                   else self.ours)[self.judged]
        if any(f is None for f in figures):
            return "unknown"
        return None if self.target.is_met(figures) else "missed"

    def _words(self, values, form):
        if all(v is None for v in values):
            return NONE
        return " / ".join(_number(v, form) for v in values)

    def cells(self):
        return [self.what, self.target.text() if self.target else "",
                self._words(self.ours, self.form),
                self._words(self.nchan, self.form),
                self._words(self.ratios, "%.2f")]


def _each(figures):
    for transport in figures.transports:
        for n in figures.sizes:
            yield transport, n, "%s, %s" % (NAMES[transport],
                                            "{:,}".format(n))


def _judged_size(figures, wanted=50000):
    """The size that the targets are about, or the next one there is."""
    return min(figures.sizes, key=lambda n: abs(n - wanted))


def _memory_rows(f):
    for transport, n, words in _each(f):
        both = [[f.memory_kb(side, transport, n, when)
                 for when in ("fresh", "after")] for side in ("ours", "nchan")]
        yield Row("KB per hold, %s: fresh / after %s" % (
            words, "three storms" if f.about["storms"] == 3 else "a storm"),
            *both, form="%.1f", target=targets.MEMORY_KB[transport]
            if n == _judged_size(f) else None)
    n = f.sizes[-1]
    yield Row("... and in directpushd, %s" % "{:,}".format(n), [
        f.memory_kb("ours", "plain", n, when, "directpushd")
        for when in ("fresh", "after")], form="%.1f")


def _wake_rows(f):
    for transport, n, words in _each(f):
        both = [[f.wake_us(side, transport, n, q)
                 for q in ("p50", "p99", "p99.9", "max")]
                for side in ("ours", "nchan")]
        yield Row("wake of one among %s, µs: p50 / p99 / p99.9 / max" % (
            "{:,}, {}".format(n, NAMES[transport])), *both,
            judged=slice(1, 2), target=targets.WAKE_P99_US
            if n == _judged_size(f) else None)
    for transport in f.transports:
        yield Row("... p50 among %s to that among %s, %s" % (
            "{:,}".format(f.sizes[-1]), "{:,}".format(f.sizes[0]),
            NAMES[transport]), [f.flatness("ours", transport)],
            [f.flatness("nchan", transport)], form="%.2f",
            target=targets.FLATNESS if transport == "plain" else None)


def _storm_rows(f):
    for transport, n, words in _each(f):
        yield Row("storm, %s, a change for each: answers per second" % words,
                  [f.storm("ours", transport, n)],
                  [f.storm("nchan", transport, n)],
                  target=targets.STORM[transport]
                  if n == _judged_size(f) else None)
    for transport in f.transports:
        yield Row("... %s, %s, one change for all" % (
            NAMES[transport], "{:,}".format(f.about["crowd_n"])),
            [f.crowd("ours", transport)], [f.crowd("nchan", transport)],
            target=targets.STORM[transport])


def _other_rows(f):
    most = f.sizes[-1]
    enough = f.about["expire_n"] > targets.EXPIRING.values[0]
    yield Row("expire and Ping again, %s phones of a second: per second"
              % "{:,}".format(f.about["expire_n"]), [f.expiring()],
              target=targets.EXPIRING if enough else None)
    yield Row("processor while %s wait, %% of a core" % "{:,}".format(most),
              [f.idle_percent("ours", most)], [f.idle_percent("nchan", most)],
              form="%.2f", target=targets.IDLE_PERCENT)
    for transport in f.transports:
        yield Row("ramp to %s, %s: phones per second" % (
            "{:,}".format(most), NAMES[transport]),
            [f.ramp("ours", transport, most)],
            [f.ramp("nchan", transport, most)], has_ratio=False)
    yield Row("bytes of an answer without news (Status 1), headers included",
              [f.answer_bytes()], target=targets.ANSWER_BYTES)


def rows(f):
    return [row for part in (_memory_rows, _wake_rows, _storm_rows,
                             _other_rows) for row in part(f)]


def _promise(f):
    """Each of those that were woken was told: in words."""
    for transport in f.transports:
        for n in f.sizes[-1:]:
            told = f.woken("ours", transport, n)
            yield "%s, %s held: %s random ones answered after their change." % (
                "{:,}".format(n), NAMES[transport],
                "%d of %d" % told if told else "none of the")


def sentences(f, errors=()):
    """What the table does not say."""
    a = f.about
    versions = a["versions"]
    out = ["Apache %s (%d children), nginx %s with nchan %s (%d workers), %d "
           "cores, %s; medians of %d run%s%s." % (
               versions["apache2-bin"], a["children"], versions["nginx"],
               versions["libnginx-mod-nchan"].partition("+")[0],
               a["children"], a["cpus"], a["date"], a["runs"],
               "" if a["runs"] == 1 else "s",
               ", of few of everything (--quick)" if a["quick"] else "")]
    out += _promise(f)
    out.append("KB per hold: PSS of all processes of the server, less what it "
               "had with the first %d phones, by the number of the others. "
               "Ramp: ours with FolderSync and two Syncs of each phone; nchan "
               "has nothing of the kind. A change for each: published one by "
               "one over one connection, to directpushd in its lines, to "
               "nginx as pipelined POSTs, which are its bound." % a["warm"])
    crowded = ["%s of %s" % (k, "{:,}".format(int(n)))
               for n, k in a["per_user"].items() if k > 1]
    if crowded:
        out.append("Phones of one user, for want of inotify watches: %s; one "
                   "else." % ", ".join(crowded))
    for verdict, words in (("missed", "Targets missed: %s."),
                           ("unknown", "Targets of which nothing is known: "
                            "%s.")):
        them = [r.what for r in rows(f) if r.verdict() == verdict]
        if them:
            out.append(words % "; ".join(them))
    return out + ["FAILED: " + e for e in errors]


def _table(f):
    return [HEAD] + [row.cells() for row in rows(f)]


def text(f, errors=()):
    """For a terminal."""
    return "\n\n".join([columns(_table(f)), "\n".join(sentences(f, errors))])


def markdown(f, errors=()):
    """For the README."""
    return "\n\n".join([table(_table(f)), "\n".join(sentences(f, errors))])
