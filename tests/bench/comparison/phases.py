"""What is measured while phones wait: how it is for one more phone, what the
servers need, when a phone that waits knows of a mail. Everything comes out as
raw numbers in seconds, bytes and MiB; None for what did not come in the time
that it was given."""
import collections
import random
import time

from common.progress import say
from dp.wire import Pending, http_request

from .crowd import Crowd
from .deliveries import Lmtp, Rename, one_after_another, to_each_in_turn
from .rig import WORKERS

# DirectPushPace: two announcements to a phone are 5 s apart
PAUSE = (5.5, 6)


class Plan:
    """How much of everything. Quick: only whether it works."""

    def __init__(self, quick):
        self.phones = (3, 6) if quick else (3, 30, 300)
        self.probes = 4 if quick else 30       # requests of one more phone
        self.reference = 3 if quick else 40    # the same, with nobody waiting
        self.blocks = 1 if quick else 4        # of probes: all wait, nobody
        self.idle_s = 3 if quick else 20       # for the use of processor
        self.idle_most_s = 3 if quick else 60  # ... with the most phones
        self.bound_s = 5 if quick else 30      # for who may have to wait long
        self.sorting_s = 5                     # who gets one of the workers
        self.mails = 3 if quick else 30
        self.mails_most = 4 if quick else 60   # with the module
        self.spacing_s = 0.3                   # of mails to many phones
        self.cycles = 1 if quick else 3        # Pings that end unheard
        self.settle_s = 60 if quick else 240


# --- one more phone ---

class Probe:
    """One more phone, with a connection that is up."""

    def __init__(self, rig, is_with):
        self.phone = rig.phone(is_with)
        self.phone.foldersync()
        self.phone.sync_until_done("INBOX")

    def options(self):
        began = time.monotonic()
        assert self.phone.options().status == 200
        return time.monotonic() - began

    def sync(self):
        began = time.monotonic()
        answer = self.phone.sync("INBOX")
        assert answer.is_empty, answer
        return time.monotonic() - began

    def both(self, n):
        """@return {"options": [s], "sync": [s]}"""
        pairs = [(self.options(), self.sync()) for _ in range(n)]
        return {"options": [p[0] for p in pairs],
                "sync": [p[1] for p in pairs]}

    def start(self, name):
        """Either, without waiting. @return Pending"""
        if name == "sync":
            return self.phone.start_sync("INBOX")
        wire = self.phone.connect()
        wire.send(http_request("OPTIONS", self.phone.path,
                               self.phone.headers(False)))
        return Pending(wire, "OPTIONS")


def reference(rig, plan):
    """Nobody waits: Apache with and without the module, by turns."""
    say("nobody waits: OPTIONS and Sync, %d each" % plan.reference)
    probes = {"with": Probe(rig, True), "without": Probe(rig, False)}
    out = {side: {"options": [], "sync": []} for side in probes}
    for side in ("with", "without") * plan.reference:
        for name, values in probes[side].both(1).items():
            out[side][name] += values
    for probe in probes.values():
        probe.phone.close()
    return out


# --- phones wait ---

def idle(rig, is_with, crowd, seconds, tick=lambda: None):
    """Nothing happens but the servers' own work.
    @return memory_mib and cpu (cores) of each server"""
    usage = rig.usage(is_with)
    before = {name: u.cpu_s() for name, u in usage.items()}
    began, busy = time.monotonic(), []

    def look():
        busy.append(rig.sogo.workers_busy())
        tick()
    crowd.run(lambda: False, seconds, look)
    took = time.monotonic() - began
    return {"memory_mib": {name: u.pss_mib() for name, u in usage.items()},
            "cpu": {name: (u.cpu_s() - before[name]) / took
                    for name, u in usage.items()},
            "seconds": took, "requests_at_sogo": sum(busy) / len(busy)}


def mails(crowd, deliver, n, plan, pause, seed):
    """n mails for phones that wait.
    @param pause  of a small crowd: how long after a Ping began
    @return latency ([s or None]), and what they made the phones do"""
    rand = random.Random(seed)
    handsets = list(crowd.handsets)
    before = [(h.traffic(), h.counts.copy(), h.phone.wire) for h in handsets]
    if len(handsets) <= WORKERS:
        out = to_each_in_turn(crowd, deliver, n, pause, rand)
    else:
        out = one_after_another(crowd, deliver, n, plan.spacing_s,
                                plan.bound_s, rand)
    if all(d.told is not None for d in out):
        crowd.settle(plan.settle_s, 1)
    counts = sum((h.counts - b[1] for h, b in zip(handsets, before)),
                 collections.Counter())
    carried = [h.traffic() for h in handsets]
    for h in handsets:
        h.deliveries.clear()
    return {"latency": [d.took for d in out], "counts": dict(counts),
            "bytes": sum(c.bytes - b[0].bytes
                         for c, b in zip(carried, before)),
            "packets": sum(c.packets - b[0].packets
                           for c, b in zip(carried, before)),
            "on_one_connection": all(h.phone.wire is b[2]
                                     for h, b in zip(handsets, before))}


def with_module(rig, plan, n, is_most):
    """n phones wait at the module."""
    say("%d phones, with the module: they sign in" % n)
    site = rig.start(True)
    crowd = Crowd()
    crowd.add(*rig.first_handsets(n, True))
    crowd.settle(plan.settle_s)
    site.wait_held(n)
    probe = Probe(rig, True)
    seconds = plan.idle_most_s if is_most else plan.idle_s
    say("... idle for %d s" % seconds)
    out = idle(rig, True, crowd, seconds)
    assert site.held() == n, "%d of %d" % (site.held(), n)
    out.update(probe.both(plan.probes))
    count = plan.mails_most if is_most else plan.mails
    say("... %d mails" % count)
    out["rename"] = mails(crowd, Rename(rig), count, plan, PAUSE, n)
    lmtp = Lmtp(rig)
    out["lmtp"] = mails(crowd, lmtp, plan.mails if is_most else WORKERS,
                        plan, PAUSE, n)
    lmtp.close()
    if is_most:
        say("... Syncs of one more phone, by turns with nobody waiting")
        out["by_turns"] = by_turns(plan, site, crowd, probe)
    crowd.leave()
    probe.phone.close()
    rig.end(True)
    return out


def by_turns(plan, site, crowd, probe):
    """Blocks of Syncs of one more phone: all others wait, nobody does, ..."""
    out = {"held": [], "none": []}
    n = len(crowd.handsets)
    for _ in range(plan.blocks):
        site.wait_held(n)
        out["held"] += probe.both(plan.probes // 2)["sync"]
        handsets = crowd.leave()
        site.wait_held(0)
        out["none"] += probe.both(plan.probes // 2)["sync"]
        crowd.add(*handsets)
        crowd.settle(plan.settle_s, 1)
    return out


def without(rig, plan, n):
    """n phones wait at SOGo, or for it."""
    say("%d phones, SOGo alone" % n)
    rig.start(False)
    probes = {name: Probe(rig, False) for name in ("options", "sync")}
    crowd = Crowd(at_once=n)
    crowd.add(*rig.first_handsets(n, False))
    if n <= WORKERS:
        crowd.settle(plan.settle_s)
    else:  # most of them get no worker
        crowd.run(crowd.have_arrived, plan.settle_s)
        crowd.stay(plan.sorting_s)
    say("... idle for %d s" % plan.bound_s)
    began = time.monotonic()
    pendings = {name: probe.start(name) for name, probe in probes.items()}
    out = idle(rig, False, crowd, plan.bound_s, lambda: [
        p.is_answered(0) for p in pendings.values()])
    for name, pending in pendings.items():
        at = pending.answered_at
        out[name] = [None if at is None else at - began]
    for probe in probes.values():
        probe.phone.close()
    say("... %d mails" % plan.mails)
    # SOGo looks every 10 s: any moment of these
    out["rename"] = mails(crowd, Rename(rig), plan.mails, plan, (0, 10), n)
    crowd.leave()
    rig.end(False)
    rig.restart_sogo()
    return out
