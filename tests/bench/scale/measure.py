"""One site, so many phones: what it needs while they wait, how fast it tells
them. Everything comes out as raw numbers: kB, seconds, and what the load says.
"""
import math
import time

from common.progress import say

from .load import Load, LoadFailed
from .nchan import Nchan
from .ours import Ours
from .wire import quiet_answer

# So many phones are on their way to waiting at a time: fewer than there are
# workers in Apache, which closes idle connections when all are busy.
LOAD = ["--rate", "1000000", "--inflight", "32"]

# nchan's workers tell each other of those who wait; a storm just after they came
# would wait for that.
REST = "idle=2"


class Looks:
    """What is looked at while the load pauses."""

    def __init__(self, site, plan, idle_s=0):
        self.site, self.rest_s, self.idle_s = site, plan.rest_s, idle_s
        self.out = {}

    def _memory(self, name):
        time.sleep(self.rest_s)
        self.out[name] = {server: u.memory_kb()
                          for server, u in self.site.usage().items()}

    def base(self):
        self._memory("base")

    def fresh(self):
        self._memory("fresh")
        if self.idle_s:
            say("    idle for %d s" % self.idle_s)
            self.out["idle"] = self._idle()

    def after(self):
        self._memory("after")

    def _idle(self):
        usage = self.site.usage()
        before = {server: u.cpu_s() for server, u in usage.items()}
        began = time.monotonic()
        time.sleep(self.idle_s)
        took = time.monotonic() - began
        return {"seconds": took,
                "cpu": {server: (u.cpu_s() - before[server]) / took
                        for server, u in usage.items()}}


def _steps(plan, n):
    """Warm up; wait; wake some; storms, after each of which all wait again."""
    return (["hold=%d" % plan.warm, "pause=base", "hold=%d" % n,
             "pause=fresh", "wake=%d" % plan.wakes]
            + [REST, "storm", "hold=%d" % n] * plan.storms
            + ["pause=after", "quit"])


def _sorted_out(results):
    """Results by what they are for; those of a run that ended early, too."""
    out = {"storms": []}
    holds = [r for r in results if r["step"] == "hold"]
    if len(holds) > 1:
        out["ramp"] = holds[1]
    out["again"] = holds[2:]
    for result in results:
        if result["step"] == "wake":
            out["wake"] = result
        elif result["step"] == "storm":
            out["storms"].append(result)
    return out


def _with_site(site, work):
    """@param work  takes the site, fills a dict; what goes wrong is in there,
    as `errors`, and the run goes on"""
    out = {}
    try:
        site.start()
        work(out)
    except (AssertionError, OSError, LoadFailed) as e:
        out["errors"] = [str(e)]
    finally:
        failures = site.stop()
        site.remove()
    if failures:
        out["errors"] = out.get("errors", []) + failures
    for error in out.get("errors", []):
        say("    FAILED: " + error)
    return out


class Bench:
    """Of one run. @param where  a directory for the sites
    @param certificate, mail  what they have in common"""

    def __init__(self, plan, where, certificate, mail):
        self.plan, self.where = plan, where
        self.certificate, self.mail = certificate, mail

    def site(self, side, n, *per_user):
        if side == "ours":
            return Ours(self.where, self.certificate, self.mail, self.plan, n,
                        *per_user)
        return Nchan(self.where, self.certificate, self.plan, *per_user)

    def waiting(self, side, transport, n):
        """n phones wait. @return what was measured"""
        say("  %s, %s: %d phones" % (side, transport, n))
        site = self.site(side, n)

        def work(out):
            idle = self.plan.is_idle_measured(transport, n)
            looks = Looks(site, self.plan, self.plan.idle_s if idle else 0)
            load = Load(site.where, n, _steps(self.plan, n),
                        LOAD + site.arguments(transport),
                        {"base": looks.base, "fresh": looks.fresh,
                         "after": looks.after})
            try:
                load.run()
            finally:
                out.update(_sorted_out(load.results))
                out.update(looks.out)
        return _with_site(site, work)

    def crowd(self, side, transport):
        """One change is told to all. @return what the load says"""
        n = self.plan.crowd_n
        say("  %s, %s: %d phones of one user" % (side, transport, n))
        site = self.site(side, n, n)

        def work(out):
            load = Load(site.where, n, ["hold=%d" % n, REST, "storm"]
                        * self.plan.storms + ["quit"],
                        LOAD + site.arguments(transport))
            try:
                load.run()
            finally:
                out.update(n=n, **_sorted_out(load.results))
        return _with_site(site, work)

    def expiring(self, ramp):
        """Pings that end without news, and are asked again at once. The first
        ones are so long that none ends before all wait; they are followed by
        such of a second. @param ramp  new phones per second, as known"""
        n = self.plan.expire_n
        say("  ours: the Pings of %d phones end, and are asked again" % n)
        site = self.site("ours", n)
        first_s = math.ceil(2 * n / ramp) + 10

        def work(out):
            load = Load(site.where, n, [
                "hold=%d" % n, "heartbeat=1", "expire=%d" % (
                    first_s + self.plan.expire_s), "quit"],
                LOAD + ["--heartbeat", str(first_s)]
                + site.arguments("plain"))
            load.run()
            out.update(n=n, first_s=first_s, results=load.results, progress=[
                p for p in load.progress if p["step"] == "expire"])
        return _with_site(site, work)

    def bytes_of_quiet_answer(self):
        """@return dict: bytes of an answer without news"""
        say("  ours: bytes of an answer")
        site = self.site("ours", 1)
        return _with_site(site, lambda out: out.update(quiet_answer(site)))

    def run(self):
        out = {"waiting": {}, "crowd": {}}
        for transport in self.plan.transports:
            for n in self.plan.sizes:
                for side in ("ours", "nchan"):
                    out["waiting"].setdefault(transport, {}).setdefault(
                        str(n), {})[side] = self.waiting(side, transport, n)
        for transport in self.plan.transports:
            out["crowd"][transport] = {side: self.crowd(side, transport)
                                       for side in ("ours", "nchan")}
        ramp = out["waiting"]["plain"][str(self.plan.expire_n)]["ours"].get(
            "ramp")
        out["expiring"] = (self.expiring(ramp["per_second"]) if ramp
                           else {"errors": ["no phones waited before"]})
        out["answer"] = self.bytes_of_quiet_answer()
        return out


def _sites(run):
    """(side, where it was, what was measured) of all sites of a run."""
    for transport, sizes in run["waiting"].items():
        for n, sides in sizes.items():
            for side, one in sides.items():
                yield side, "%s, %s phones" % (transport, n), one
    for transport, sides in run["crowd"].items():
        for side, one in sides.items():
            yield side, "%s, phones of one user" % transport, one
    for name in ("expiring", "answer"):
        yield "ours", name, run[name]


def all_errors(raw, side):
    """Of one side in all runs, with where they happened."""
    return ["run %d, %s, %s: %s" % (i + 1, side, where, error)
            for i, run in enumerate(raw["runs"])
            for whose, where, one in _sites(run) if whose == side
            for error in one.get("errors", [])]
