"""What a trace says of each phone: what was lost, reset, not told."""
import collections

# What a failure is called; see load_device.h. A reset is told apart.
LOST = ("connect", "tls", "lost", "timeout", "http", "status", "denied",
        "refused")
RESET = ("reset", "stale-reset")
NEW = ("connected", "resumed")
ASKED = ("FolderSync", "Sync", "Ping")


class Trace:
    """The file of `directpush-device --trace`, read as it grows."""

    def __init__(self, path):
        self.path, self._at = path, 0

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
    """@param n  phones
    @param per_user  of them
    @param mails  {user: post.Mails}"""

    def __init__(self, trace, n, per_user, mails):
        self.trace, self.n, self.per_user = trace, n, per_user
        self.mails = mails
        self.pending = [(None, 0)] * n  # what was asked for, when
        self.synced_us = [0] * n  # when the last Sync that came was asked for

    def _mails_of(self, device):
        return self.mails[device // self.per_user]

    def look(self, span):
        """Take in what is new."""
        for at_us, device, what, closes in self.trace.read():
            span.counts[what] += 1
            if what in ASKED:
                self.pending[device] = (what, at_us)
            elif what in NEW:
                span.connected.append(at_us)
            elif what in LOST or what in RESET:
                span.troubles.append((device, at_us, what,
                                      self.pending[device][0]))
            else:
                self._answer(span, at_us, device, what, closes)

    def _answer(self, span, at_us, device, what, closes):
        asked, asked_us = self.pending[device]
        mails = self._mails_of(device)
        if what == "done" and asked == "Sync":
            self.synced_us[device] = asked_us
        elif what == "nothing":
            if closes:
                span.drained.append(at_us)
            if mails.is_uncovered(self.synced_us[device], asked_us):
                span.wrong.append((device, at_us))
        elif what == "told" and mails.last_us <= self.synced_us[device]:
            span.needless += 1

    def not_told(self):
        """Devices without a Sync after the last mail of their user."""
        return [d for d in range(self.n)
                if self.synced_us[d] <= self._mails_of(d).last_us]
