"""What single things cost a phone: bytes of TLS and packets, both ways. They
are counted by the kernel for the phone's connection."""
import collections

from .crowd import CLASSES, Crowd, Handset, Traffic
from .deliveries import Rename
from .phases import Probe, say

# SOGo makes anything shorter this long
SHORTEST = {"with": 2, "without": 10}


def _per_one(traffic, n):
    return {"bytes": traffic.bytes / n, "packets": traffic.packets / n}


def _minus(a, b):
    return Traffic(a.bytes - b.bytes, a.packets - b.packets)


def ended_pings(rig, plan):
    """A Ping that ends with "nothing changed", and the next one.
    @return {side: {bytes, packets}}"""
    say("what a phone pays: Pings that end with nothing")
    handsets = {side: Handset(rig.phone(side == "with"), SHORTEST[side])
                for side in ("with", "without")}
    wanted = {"with": plan.cycles, "without": 1}
    crowd = Crowd()
    crowd.add(*handsets.values())
    marks = {side: {} for side in handsets}

    def is_over():
        for side, handset in handsets.items():
            if handset.state == "ping":
                n = handset.counts["ping status 1"]
                marks[side].setdefault(n, (handset.counts["ping status 2"],
                                           handset.traffic()))
        return all(_undisturbed(marks[side], wanted[side])
                   for side in handsets)
    assert crowd.run(is_over, plan.settle_s), [h.counts for h in
                                               handsets.values()]
    crowd.leave()
    return {side: _per_one(_undisturbed(marks[side], n), n)
            for side, n in wanted.items()}


def _undisturbed(seen, n):
    """Traffic of n Pings in a row that nothing else came between, or None.
    @param seen  {Pings that ended so far: (announcements, Traffic)}"""
    for first in range(1, max(seen, default=0) - n + 1):
        begin, end = seen[first], seen[first + n]
        if begin[0] == end[0]:
            return _minus(end[1], begin[1])
    return None


def empty_syncs(rig, plan):
    """A Sync with nothing new on a connection that is up."""
    probe = Probe(rig, True)
    handset = Handset(probe.phone)
    probe.sync()
    before = handset.traffic()
    for _ in range(plan.cycles):
        probe.sync()
    out = _per_one(_minus(handset.traffic(), before), plan.cycles)
    probe.phone.close()
    return out


def scheduled_syncs(rig, plan):
    """A Sync of all folders by a phone that connects for it, resuming TLS.
    @return {"nothing": ..., "a mail": ...}"""
    say("what a phone pays: scheduled Syncs")
    phone = rig.phone(False)
    phone.foldersync()
    phone.sync_until_done(*CLASSES)
    phone.hang_up()
    phone.endpoint = rig.endpoint(False, resuming=True)
    handset, deliver = Handset(phone), Rename(rig)
    out = collections.defaultdict(lambda: Traffic(0, 0))
    _scheduled_sync(handset)  # full: there is nothing to resume yet
    for kind in ("nothing", "a mail") * plan.cycles:
        if kind == "a mail":
            deliver(handset)
        before = len(phone.items.get(phone.id("INBOX"), {}))
        one = _scheduled_sync(handset)
        brought = len(phone.items.get(phone.id("INBOX"), {})) - before
        assert brought == (kind == "a mail"), (kind, brought)
        out[kind] = Traffic(out[kind].bytes + one.bytes,
                            out[kind].packets + one.packets)
    return {kind: _per_one(sum_, plan.cycles) for kind, sum_ in out.items()}


def _scheduled_sync(handset):
    phone = handset.phone
    wire = phone.connect()
    phone.sync(*CLASSES)
    out = handset.traffic()
    phone.endpoint.tls.session = wire.tls.session
    phone.hang_up()
    return out
