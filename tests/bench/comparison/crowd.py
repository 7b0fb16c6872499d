"""Many phones that behave as phones do, in one thread.

A Handset pings, is told, syncs what it was told of, and pings again; it comes
back after an error. The Crowd waits for all of them at once. When an answer
was complete is noted before anything else is done with it.
"""
import collections
import contextlib
import select
import socket
import struct
import time

from dp.phone import ConnectionLost, NoAnswer
from dp.wbxml import FoldersAnswer, PingAnswer, foldersync_request

CLASSES = {"INBOX": "Email", "Personal Calendar": "Calendar",
           "Personal Address Book": "Contacts"}
COMES_BACK_AFTER = 5  # seconds, when it was refused or cut off

Traffic = collections.namedtuple("Traffic", "bytes packets")


def traffic(sock):
    """What a TCP connection has carried so far, both ways: bytes of TLS, and
    packets (Linux' struct tcp_info)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    acked, received, out, in_ = struct.unpack_from("=QQII", info, 120)
    return Traffic(acked + received, out + in_)


class Delivery:
    """A mail on its way: `began` and `told` on the monotonic clock."""

    def __init__(self, handset, subject, began):
        self.handset, self.subject, self.began = handset, subject, began
        self.told = None

    @property
    def took(self):
        return None if self.told is None else self.told - self.began


class Handset:
    """@param phone  dp.phone.Phone
    @param heartbeat  of its Pings; the phones of a crowd wait longer than any
                      measurement takes"""

    def __init__(self, phone, heartbeat=1680):
        self.phone, self.heartbeat = phone, heartbeat
        self.state = "away"   # away, folders, sync, ping
        self.todo = []        # folders to sync before the next Ping
        self.pending = None
        self.again_at = None  # comes back at this time
        self.since = 0.0      # of the Ping that waits
        self.deliveries = []  # that it does not know of yet
        self.counts = collections.Counter()
        self.rounds = collections.Counter()  # Syncs of each folder
        self.told_at = 0.0    # of something, at last

    # --- what it does next ---

    def arrive(self):
        """Sign in, or go on where it was."""
        self.again_at = None
        if not self.phone.folders:
            self._ask_for_folders()
        else:
            self.todo = self.todo or [f for f in CLASSES
                                      if self.rounds[f] < 2]
            self._go_on()

    def leave(self):
        self.state, self.again_at, self.pending = "away", None, None
        self.phone.hang_up()
        self.phone.wire = None

    def _go_on(self):
        if self.todo:
            self.state = "sync"
            self._start(lambda: self.phone.start_sync(*self.todo))
        else:
            self.state = "ping"
            folders = [(self.phone.id(f), class_)
                       for f, class_ in CLASSES.items()]
            self._start(lambda: self.phone.start_ping(
                folders, self.heartbeat).pending)
            self.since = time.monotonic()

    def _ask_for_folders(self):
        self.state = "folders"
        self._start(lambda: self.phone.start("FolderSync", foldersync_request(
            self.phone.hierarchy_key)))

    def _start(self, request):
        try:
            self.pending = request()
        except (OSError, ConnectionLost, NoAnswer):
            self._refused("unreachable")

    def _refused(self, why):
        self.counts[why] += 1
        self.pending = None
        self.phone.hang_up()
        self.phone.wire = None
        self.again_at = time.monotonic() + COMES_BACK_AFTER

    # --- what it hears ---

    def step(self):
        """Take what is there. @return True when an answer was complete"""
        if self.pending is None:
            return False
        try:
            if not self.pending.is_answered(0):
                if self.pending.wire.is_ended:
                    self._refused("cut off")
                return False
        except OSError:
            self._refused("cut off")
            return False
        response, heard_at = self.pending.response, self.pending.answered_at
        self.pending = None
        if response.status != 200:
            self._refused("status %d" % response.status)
        elif self.state == "ping":
            self._hear_ping(PingAnswer(response.clear), heard_at)
        elif self.state == "sync":
            self._hear_sync(response, heard_at)
        else:
            self._hear_folders(response)
        return True

    def _hear_ping(self, answer, heard_at):
        self.counts["ping status %d" % answer.status] += 1
        if answer.status == 2:
            self.told_at = heard_at
            names = {self.phone.id(f): f for f in CLASSES}
            self.todo = [names.get(f, f) for f in answer.folders]
            if "INBOX" in self.todo:
                self._told(heard_at, self.deliveries)
            self._go_on()
        elif answer.status == 7:
            self.told_at = heard_at
            self._ask_for_folders()
        else:
            if answer.status == 5:
                self.heartbeat = answer.heartbeat
            self._go_on()

    def _told(self, heard_at, deliveries):
        for delivery in list(deliveries):
            delivery.told = heard_at
            self.deliveries.remove(delivery)

    def _hear_sync(self, response, heard_at):
        answer = self.phone.take_sync(response)
        brought, left = set(), []
        for folder in self.todo:
            one = answer.collections.get(self.phone.id(folder))
            self.rounds[folder] += 1
            if one is not None:
                brought |= {i.get("Subject") for i in one["adds"].values()}
            if self.rounds[folder] == 1 or (one is not None and (
                    one["status"] != 1 or one["more"])):
                left.append(folder)
        self.counts["syncs"] += 1
        self.counts["mails"] += len(brought)
        self._told(heard_at, [d for d in self.deliveries
                              if d.subject in brought])
        self.todo = left
        self._go_on()

    def _hear_folders(self, response):
        answer = FoldersAnswer(response.clear)
        self.phone.hierarchy_key = answer.key
        for f in answer.adds + answer.updates:
            self.phone.folders.setdefault(f["id"], {}).update(
                {k: v for k, v in f.items() if v is not None})
        for id_ in answer.deletes:
            self.phone.folders.pop(id_, None)
        self.arrive()

    # --- what it costs ---

    def traffic(self):
        """Of its present connection."""
        wire = self.phone.wire
        return Traffic(0, 0) if wire is None else traffic(wire.sock)


class Crowd:
    """Handsets, and one loop for all. run() is left when its condition holds;
    nothing of the crowd happens outside of it."""

    def __init__(self, at_once=6):
        """@param at_once  so many sign in at a time"""
        self.at_once = at_once
        self.handsets = []
        self._arriving = []
        self._poll = select.poll()
        self._by_fd = {}
        self._fd_of = {}

    def add(self, *handsets):
        """They sign in, a few at a time, as the loop runs."""
        self.handsets += handsets
        self._arriving += handsets

    def leave(self):
        """All go, without a word to the server but the end of TLS."""
        for handset in self.handsets:
            self._forget(handset)
            handset.leave()
        out, self.handsets, self._arriving = self.handsets, [], []
        return out

    def pinging(self):
        return [h for h in self.handsets
                if h.state == "ping" and h.pending is not None]

    def all_ping(self):
        return len(self.pinging()) == len(self.handsets)

    def _forget(self, handset):
        fd = self._fd_of.pop(handset, None)
        if fd is not None and self._by_fd.get(fd) is handset:
            del self._by_fd[fd]
            with contextlib.suppress(KeyError):
                self._poll.unregister(fd)

    def _watch(self, handset):
        wire = handset.phone.wire
        fd = (wire.sock.fileno() if wire is not None and wire.is_open
              and not wire.is_ended and handset.pending is not None else None)
        if fd != self._fd_of.get(handset):
            self._forget(handset)
            if fd is not None:
                self._poll.register(fd, select.POLLIN)
                self._by_fd[fd], self._fd_of[handset] = handset, fd

    def have_arrived(self):
        return not self._arriving

    def _arrivals(self):
        """Those whose turn it is come, or come back."""
        if self._arriving:
            busy = sum(h.state in ("folders", "sync") for h in self.handsets)
            while self._arriving and busy < self.at_once:
                handset = self._arriving.pop(0)
                handset.arrive()
                self._watch(handset)
                busy += handset.state in ("folders", "sync")
        now = time.monotonic()
        for handset in self.handsets:
            if handset.again_at is not None and handset.again_at <= now:
                handset.arrive()
                self._watch(handset)

    def run(self, until, seconds, tick=None, step=0.05):
        """@param until  condition, looked at after whatever happens
        @param tick  called as often, before it; may deliver mails
        @return is the condition true; False when the time is over"""
        end = time.monotonic() + seconds
        while True:
            self._arrivals()
            if tick is not None:
                tick()
            if until():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            for fd, _ in self._poll.poll(min(left, step) * 1000):
                handset = self._by_fd.get(fd)
                if handset is not None:
                    handset.step()
                    self._watch(handset)

    def stay(self, seconds):
        """Just go on for so long."""
        self.run(lambda: False, seconds)

    def settle(self, seconds, quiet=3):
        """Until all have pinged for `quiet` seconds and been told nothing.
        @raise AssertionError"""
        def is_quiet():
            now = time.monotonic()
            return self.all_ping() and all(
                now - h.since >= quiet for h in self.handsets)
        assert self.run(is_quiet, seconds), (
            "%d of %d phones ping after %d s; %r" % (
                len(self.pinging()), len(self.handsets), seconds,
                sum((h.counts for h in self.handsets),
                    collections.Counter())))
