"""The judge: was every device told of every change?

It reads the history of one round, which ends in a calm, when all devices show
what the mailboxes have, or have not within a generous time. It knows nothing
of Apache, watcher and bus.

  missed   a device that does not show, at the end of the calm, what has
           changed in a folder that it Pings for; or that was answered a Ping,
           sent long after the change and with nothing broken since, in which
           the folder was not named
  needless a wake whose Sync brought nothing, of folders that the device has
           not changed itself meanwhile. Told apart from it, and not held
           against the bound: the first look after something was taken away
           without which nobody can know (a fault that `forgets`); the first
           look at a folder that nobody watched before, where what was there
           may be as young as the watch; what was named as the heartbeat ended,
           when the device is awake anyway; and folders that share a topic,
           where tables are too small, or where it was lost which collection is
           which folder
"""
import statistics

from history import PingSeen, SyncSeen

# After which a Ping's answer has to name the folder: the watcher of a loaded
# machine has told by then.
TOLD_WITHIN_S = 10

# DirectPushBackendLag, and time to vouch again: a Sync that begins sooner after
# a fault need not prove anything.
LOOK_AGAIN_S = 2

# A Ping is answered so much sooner than its heartbeat ends (policy/heartbeat.c),
# and a little more.
def early_s(heartbeat):
    return min(heartbeat / 30, 2) + 0.1


class Verdict:
    def __init__(self):
        self.changes = 0   # made
        self.to_tell = 0   # (change, device)
        self.void = 0      # overtaken by another change before a device saw it
        self.missed = []   # texts
        self.delays = {}   # fault or "none" -> [seconds]
        self.wakes = self.needless = 0
        self.calm_wakes = self.calm_needless = 0  # of rounds without faults
        self.excused = {}  # why a wake that brought nothing is none: how often
        self.needless_by = {}
        self.forgot = []   # faults of rounds before that `forgets`
        self.synced = {}   # (device, path) -> when its last Sync began
        self.first = {}    # … when its first one did
        self.pings = {}    # Status -> how often

    def add(self, other):
        """The sums of another seed."""
        for name in ("changes", "to_tell", "void", "wakes", "needless",
                     "calm_wakes", "calm_needless"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.missed += other.missed
        for mine, its in ((self.delays, other.delays),
                          (self.pings, other.pings),
                          (self.excused, other.excused),
                          (self.needless_by, other.needless_by)):
            for key, value in its.items():
                mine[key] = mine[key] + value if key in mine else value

    def add_delay(self, names, seconds):
        for name in names or ["none"]:
            self.delays.setdefault(name, []).append(seconds)


def overlapping(faults, began, ended):
    return sorted({f.name for f in faults if f.began <= ended
                   and (f.ended is None or f.ended >= began)})


def judge_change(verdict, change, device, events, faults, left):
    """One change and one device. @param left  the device does not show it at
    the end of the calm"""
    verdict.to_tell += 1
    seen = next((e for e in events if isinstance(e, SyncSeen)
                 and e.got >= change.began and change.is_seen(e.shows)), None)
    if seen is None:
        if left:
            verdict.missed.append("%s: not shown by %s" % (change, device))
        else:
            verdict.void += 1
        return
    told = max(change.began, min(seen.got, seen.told.get(change.path,
                                                         seen.got)))
    verdict.add_delay(overlapping(faults, change.began, told),
                      told - change.at)
    for ping in events:
        if (isinstance(ping, PingSeen) and ping.status in (1, 2)
                and ping.sent > change.at + TOLD_WITHIN_S
                and ping.got < seen.sent and change.path in ping.asked
                and change.path not in ping.named
                and not overlapping(faults, change.at, ping.got)):
            verdict.missed.append(
                "%s: %s was answered Status %d without its folder %.1f s "
                "after it" % (change, device, ping.status,
                              ping.got - change.at))
            return


def excuse(verdict, device, sync, ping, faults):
    """Why a wake that brought nothing is not needless, or None.
    @param ping  the last one that was answered before it"""
    for path, told in sync.told.items():
        synced = verdict.synced.get((device, path), 0)
        if synced < verdict.first.get((device, path), 0) + LOOK_AGAIN_S:
            return "a folder was new to it"
        for f in verdict.forgot + [f for f in faults if f.forgets]:
            if f.began <= told and (f.ended is None
                                    or f.ended + LOOK_AGAIN_S > synced):
                return "state was lost"
    if (ping and ping.got - ping.sent
            > ping.heartbeat - early_s(ping.heartbeat)):
        return "the heartbeat ended"
    return None


def judge_wakes(verdict, device, events, faults, is_coarse):
    ping = None
    for e in events:
        if isinstance(e, PingSeen):
            verdict.pings[e.status] = verdict.pings.get(e.status, 0) + 1
            ping = e
            continue
        is_needless = not e.brought & e.waited
        why = None
        if is_needless:
            why = ("folders share a topic" if is_coarse else
                   excuse(verdict, device, e, ping, faults))
        for path in e.shows:
            verdict.first.setdefault((device, path), e.sent)
            verdict.synced[device, path] = e.sent
        if not e.told or e.is_own & set(e.told):
            continue
        if why:
            verdict.excused[why] = verdict.excused.get(why, 0) + 1
        if why or is_coarse:
            continue
        verdict.wakes += 1
        verdict.needless += is_needless
        if not faults:
            verdict.calm_wakes += 1
            verdict.calm_needless += is_needless
        if is_needless:
            for name in overlapping(faults, min(e.told.values()) - 5,
                                    e.got) or ["none"]:
                verdict.needless_by[name] = \
                    verdict.needless_by.get(name, 0) + 1


def judge_round(verdict, history, devices, behind, is_coarse=False,
                is_opaque=False):
    """@param devices  {device id: user}
    @param behind  {device id: (what it shows, what is)} of those that were not
                   in step at the end of the calm
    @param is_coarse  folders may share a topic
    @param is_opaque  … when a fault `forgets_maps`, and for ever: no id tells
                      its folder, and no device asks for all of them again"""
    is_coarse = is_coarse or (is_opaque and any(
        f.forgets_maps for f in verdict.forgot + history.faults))
    by_user = {}
    for change in history.changes:
        by_user.setdefault(change.user, []).append(change)
    verdict.changes += len(history.changes)
    for id_, user in devices.items():
        events = history.seen.get(id_, [])
        shows, truth = behind.get(id_, (None, None))
        for change in by_user.get(user, ()):
            if change.by != id_:
                judge_change(verdict, change, id_, events, history.faults,
                             shows is not None and change.is_seen(truth)
                             and not change.is_seen(shows))
        judge_wakes(verdict, id_, events, history.faults, is_coarse)
        if shows is not None and set(shows) != set(truth):
            verdict.missed.append("%s shows the folders %s; there are %s" % (
                id_, sorted(set(shows) - set(truth)),
                sorted(set(truth) - set(shows))))
        elif shows is not None:
            verdict.missed.append("%s is not in step: %s" % (
                id_, differences(shows, truth)))
    verdict.forgot += [f for f in history.faults if f.forgets]


def differences(shows, truth):
    out = []
    for path in truth:
        for subject in set(shows.get(path, {})) | set(truth[path]):
            a, b = shows[path].get(subject), truth[path].get(subject)
            if a != b:
                out.append("%s %s is %s there, %s here" % (
                    path, subject, b, a))
    return "; ".join(out[:4])


def report(verdict):
    """Lines for the person who runs it."""
    yield "%-28s %8s %9s %9s" % ("delay by fault", "changes", "median ms",
                                 "worst ms")
    for name, d in sorted(verdict.delays.items(),
                          key=lambda item: statistics.median(item[1])):
        yield "%-28s %8d %9.0f %9.0f" % (
            name, len(d), statistics.median(d) * 1000, max(d) * 1000)
    for name, n in sorted(verdict.needless_by.items(), key=lambda i: -i[1]):
        yield "needless with %s: %d" % (name, n)
    yield "Pings answered: " + ", ".join(
        "Status %d: %d" % pair for pair in sorted(verdict.pings.items()))
    yield "needless wakes: %d of %d (%.1f %%); in rounds without faults " \
        "%d of %d (%.1f %%)" % (
            verdict.needless, verdict.wakes,
            100 * verdict.needless / max(1, verdict.wakes),
            verdict.calm_needless, verdict.calm_wakes,
            100 * verdict.calm_needless / max(1, verdict.calm_wakes))
    for why, n in sorted(verdict.excused.items()):
        yield "  besides, with nothing to bring since %s: %d" % (why, n)
    yield "%d changes, %d times to be told, %d overtaken, %d missed" % (
        verdict.changes, verdict.to_tell, verdict.void, len(verdict.missed))
