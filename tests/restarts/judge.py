"""What a trace says of each phone: what was lost, reset, not told."""
import collections

# What a failure is called; see load_device.h. A reset is told apart, and who
# found no connection within 40 s had asked for nothing yet.
LOST = ("lost", "timeout", "http", "status", "denied", "refused")
RESET = ("reset", "stale-reset")
UNCONNECTED = ("connect", "tls")
NEW = ("connected", "resumed")
ASKED = ("FolderSync", "Sync", "Ping")


class Trace:
    """A file of `--trace`, of the phones or the backend, read as it grows."""

    def __init__(self, path):
        self.path, self._at = path, 0
        open(path, "w").close()

    def read(self):
        """Lines that are new: (microseconds, device, what, does it close)."""
        with open(self.path) as f:
            f.seek(self._at)
            text = f.read()
        whole = text.rfind("\n") + 1
        self._at += len(text[:whole])
        for line in text[:whole].splitlines():
            part = line.split(" ")
            yield int(part[0]), int(part[1]), part[2], len(part) > 3


class Span:
    """What happened between two looks."""

    def __init__(self):
        self.counts = collections.Counter()
        self.wrong = []      # (device, answered at) over a published mail
        self.troubles = []   # (device, at, what, during)
        self.needless = 0    # Syncs that were asked for without a mail
        self.drained = []    # when a Ping was ended without news
        self.connected = []  # when

    def sum(self, names):
        return sum(self.counts[name] for name in names)


class Judge:
    """@param trace  of the phones
    @param syncs  of the backend
    @param n  phones
    @param per_user  of them
    @param mails  {user: post.Mails}"""

    def __init__(self, trace, syncs, n, per_user, mails):
        self.trace, self.syncs = trace, syncs
        self.n, self.per_user, self.mails = n, per_user, mails
        self.pending = [(None, 0)] * n  # what was asked for, when
        self.looked_us = [[] for _ in range(n)]  # when the backend did, later
        self.synced_us = [0] * n  # when it did for the last that was answered
        self.told_us = [0] * n    # when the last Ping told of something

    def _mails_of(self, device):
        return self.mails[device // self.per_user]

    def _has_all(self, device):
        return self._mails_of(device).are_had(self.told_us[device],
                                              self.synced_us[device])

    def look(self, span):
        """Take in what is new."""
        news = list(self.trace.read())
        for at_us, device, _, _ in self.syncs.read():  # it is before its answer
            self.looked_us[device].append(at_us)
        for at_us, device, what, closes in news:
            span.counts[what] += 1
            if what in ASKED:
                self.pending[device] = (what, at_us)
            elif what in NEW:
                span.connected.append(at_us)
            elif what in UNCONNECTED:
                pass
            elif what in LOST or what in RESET:
                span.troubles.append((device, at_us, what,
                                      self.pending[device][0]))
            else:
                self._answer(span, at_us, device, what, closes)

    def _answer(self, span, at_us, device, what, closes):
        asked, asked_us = self.pending[device]
        looked_us = self.looked_us[device]
        if what == "done" and asked == "Sync":
            while looked_us and looked_us[0] < at_us:
                self.synced_us[device] = looked_us.pop(0)
        elif what == "nothing":
            if closes:
                span.drained.append(at_us)
            if self._mails_of(device).is_published(
                    self.told_us[device], self.synced_us[device], asked_us):
                span.wrong.append((device, at_us))
        elif what == "told":
            span.needless += self._has_all(device)
            self.told_us[device] = at_us

    def not_told(self):
        """Devices that do not have the last mail of their user."""
        return [d for d in range(self.n) if not self._has_all(d)]
