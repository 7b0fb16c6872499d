"""Mails that come to the Maildirs all the while, one user after another, and
what directpushd says of them."""
import collections
import math
import threading
import time

from dp.maildir import Maildir
from dp.watcher import Control

# Longer than directpushd takes to see a mail: the next change that it tells of
# is that mail. A user gets the next one no earlier.
APART_S = 2


def now_us():
    return time.monotonic_ns() // 1000


class One:
    """A mail: it was not there before `began_us`, and is from `at_us` on. Between
    the two, which may be long on a busy machine, phones may have been told of
    it already."""

    def __init__(self, began_us):
        self.began_us, self.at_us = began_us, math.inf
        self.published_us = None  # as long as nobody has said so

    def is_had(self, told_us, synced_us):
        """By a phone for whose last Sync the backend looked then, and whose
        last Ping that told of something had ended then."""
        return (synced_us > self.at_us
                or self.began_us <= told_us < synced_us)


class Mails:
    """Of one user, oldest first."""

    def __init__(self):
        self.all = []
        self._unpublished = 0

    def published(self, at_us):
        if self._unpublished < len(self.all):
            self.all[self._unpublished].published_us = at_us
            self._unpublished += 1

    def are_had(self, told_us, synced_us):
        return not self.all or self.all[-1].is_had(told_us, synced_us)

    def is_published(self, told_us, synced_us, asked_us):
        """Was one that the phone does not have published when it asked?"""
        for one in reversed(self.all):
            if one.is_had(told_us, synced_us):
                return False
            if one.published_us is not None and one.published_us < asked_us:
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
        tmp = self.boxes[user].prepare(data=b"Subject: one more\n\n")
        one = One(now_us())
        # before it is there: what is said of it may come first
        self.mails[user].all.append(one)
        self.boxes[user].commit(tmp)
        one.at_us = now_us()
        self.delivered += 1

    def _follow(self):
        while True:
            line = self._control.line()
            if line is None:
                return
            if len(line) >= 5 and line[2:5] == ["Email", "INBOX", "new"]:
                self.mails[int(line[1][len("user"):])].published(now_us())

    def write(self, path):
        """For whoever looks into what went wrong, beside the trace."""
        with open(path, "w") as f:
            for user, mails in sorted(self.mails.items()):
                for one in mails.all:
                    f.write("%d user%d %d %s\n" % (
                        one.began_us, user, one.at_us, one.published_us))

    def stop(self):
        """After directpushd has ended, which ends the following."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._control:
            self._control.close()
