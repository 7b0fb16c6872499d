"""Mails that come to the Maildirs all the while, one user after another, and
what directpushd says of them."""
import collections
import threading
import time

from dp.maildir import Maildir
from dp.watcher import Control

# Longer than directpushd takes to see a mail: the next change that it tells of
# is that mail. A user gets the next one no earlier.
APART_S = 2


def now_us():
    return time.monotonic_ns() // 1000


class Mails:
    """Of one user: (delivered, published) in microseconds, oldest first;
    published is None as long as nobody has said so."""

    def __init__(self):
        self.all = []

    def add(self, at_us):
        self.all.append([at_us, None])

    def published(self, at_us):
        for mail in self.all:
            if mail[1] is None and mail[0] <= at_us:
                mail[1] = at_us
                return

    @property
    def last_us(self):
        return self.all[-1][0] if self.all else 0

    def is_uncovered(self, synced_us, asked_us):
        """Was one that came after this Sync was asked for published when this
        Ping was?"""
        for delivered, published in reversed(self.all):
            if delivered <= synced_us:
                return False
            if published is not None and published < asked_us:
                return True
        return False


class Post:
    """@param mail  of scale.ours
    @param users  how many there are
    @param per_second  mails"""

    def __init__(self, mail, users, per_second):
        self.boxes = [Maildir(mail.pattern.replace("%u", "user%d" % i),
                              guid=False) for i in range(users)]
        self.mails = collections.defaultdict(Mails)
        self.wait_s = max(1 / per_second, APART_S / users)
        self.delivered = 0
        self._next = 0
        self._comes = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._control = None
        self._threads = []

    def start(self, socket):
        self._control = Control(socket, timeout=None)
        self._control.say("follow")
        self._threads = [threading.Thread(target=self._deliver),
                         threading.Thread(target=self._follow)]
        for thread in self._threads:
            thread.start()

    def come(self):
        self._comes.set()

    def rest(self):
        """No mail comes after this."""
        self._comes.clear()
        with self._lock:
            pass

    def _deliver(self):
        while not self._over.wait(self.wait_s):
            if not self._comes.wait(0.1):
                continue
            with self._lock:
                if self._comes.is_set():
                    self._one()

    def _one(self):
        user = self._next % len(self.boxes)
        self._next += 1
        self.boxes[user].deliver(data=b"Subject: one more\n\n")
        # after the rename: a Sync that was asked for later has it
        self.mails[user].add(now_us())
        self.delivered += 1

    def _follow(self):
        while True:
            line = self._control.line()
            if line is None:
                return
            if len(line) >= 5 and line[2:5] == ["Email", "INBOX", "new"]:
                self.mails[int(line[1][len("user"):])].published(now_us())

    def stop(self):
        """After directpushd has ended, which ends the following."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._control:
            self._control.close()
