"""What happened: at the mailboxes, to each device, and which faults there were.

The judge reads nothing else. Times are time.monotonic(), in seconds.
"""
import contextlib
import itertools
import threading
import time


class Change:
    """One change of one mail: a device that waits for its folder has to learn
    of it.
    kind   "add", "read", "unread" or "delete" (of this folder)
    began  right before it became visible; `at` right after
    by     id of the device that made it, or None: made at the mailbox"""

    def __init__(self, n, user, path, kind, subject, began, at, by):
        self.n, self.user, self.path, self.kind = n, user, path, kind
        self.subject, self.began, self.at, self.by = subject, began, at, by

    def __repr__(self):
        return "change %d: %s %s in %s of %s%s" % (
            self.n, self.kind, self.subject, self.path, self.user,
            ", by " + self.by if self.by else "")

    def is_seen(self, folders):
        """@param folders  {path: {subject: is read}}, what a device shows of
        these; of others nothing is seen, deletions neither"""
        if self.path not in folders:
            return False
        mails = folders[self.path]
        if self.kind == "delete":
            return self.subject not in mails
        if self.kind == "add":
            return self.subject in mails
        return mails.get(self.subject) == (self.kind == "read")


class PingSeen:
    """A Ping of a device that was answered."""

    def __init__(self, sent, got, status, named, asked, heartbeat):
        self.sent, self.got, self.status = sent, got, status
        self.heartbeat = heartbeat  # s
        self.named, self.asked = named, asked  # sets of paths


class SyncSeen:
    """A Sync that a device completed. `shows` is what it shows after it, of the
    folders of that Sync; `brought` those with something from the server;
    `told` when a Ping's answer named each of these, for those that one did and
    that are in step now; `waited` all those that one had named."""

    def __init__(self, sent, got, shows, brought, told, waited, is_own):
        self.sent, self.got, self.shows = sent, got, shows
        self.brought, self.told, self.waited = brought, told, waited
        self.is_own = is_own


class Fault:
    def __init__(self, name, began, forgets=False, forgets_maps=False):
        self.name, self.began, self.ended = name, began, None
        self.forgets, self.forgets_maps = forgets, forgets_maps  # faults.py


class History:
    def __init__(self):
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        self.began = time.monotonic()
        self.changes = []
        self.faults = []
        self.seen = {}       # device id -> [PingSeen or SyncSeen]

    def changed(self, user, path, kind, subject, began, at, by=None):
        with self.lock:
            self.changes.append(Change(next(self.numbers), user, path, kind,
                                       subject, began, at, by))

    def saw(self, device, what):
        with self.lock:
            self.seen.setdefault(device, []).append(what)

    @contextlib.contextmanager
    def fault(self, name, forgets=False, forgets_maps=False):
        """While the block runs and heals, this is broken."""
        one = Fault(name, time.monotonic(), forgets, forgets_maps)
        with self.lock:
            self.faults.append(one)
        try:
            yield one
        finally:
            one.ended = time.monotonic()
