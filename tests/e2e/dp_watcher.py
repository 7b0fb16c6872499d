"""A directpushd on temporary directories, and the bus as Python reads it: from
the drawing in bus_abi.h, so that both sides cannot share one mistake."""
import mmap
import os
import shutil
import struct
import tempfile

import pytest

from dp.maildir import Maildir
from dp.process import wait_until
from dp.watcher import Watcher

UNWATCHED = 2 ** 64 - 1
NEVER = None

HEADER = struct.Struct("=8sII QQQQ II 32s 16s")
SLOT = struct.Struct("=16sQQQqIIII")
RECORD = struct.Struct("=QIIII16sQQQ")
HEAD_OFF = 128  # head, alive, forget_seq, replaced, pid, used, watched
KINDS = {1: "new", 2: "other", 3: "vouch", 4: "ping", 5: "forget"}


class View:
    """A topic at one moment."""

    def __init__(self, raw):
        (self.key, self.changed, self.changed_new, self.watched_from,
         self.changed_at_us, self.gen, self.class_slot, self.renewed_s,
         self.flags) = SLOT.unpack(raw)
        self.changed_new &= 2 ** 48 - 1  # above it the count of others

    @property
    def is_vouched(self):
        return self.watched_from != UNWATCHED

    def __repr__(self):
        return "<changed %d new %d from %s gen %d>" % (
            self.changed, self.changed_new,
            self.watched_from if self.is_vouched else "-", self.gen)


class Bus:
    """The file as it is now."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.map = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
        (self.magic, self.abi, self.abi_bytes, self.instance, self.size,
         self.topics_off, self.journal_off, self.topic_cap, self.journal_cap,
         self.hash_key, self.boot_id) = HEADER.unpack(
             self.map[:HEADER.size])
        assert self.magic == b"DPBUS\r\n\x01"

    def word(self, index):
        return struct.unpack_from("=Q", self.map, HEAD_OFF + 8 * index)[0]

    @property
    def head(self):
        return self.word(0)

    @property
    def alive_us(self):
        return self.word(1)

    def view(self, slot):
        at = self.topics_off + 64 * slot
        return View(self.map[at:at + 64])

    def records(self, after):
        """Journal records with larger seqs: [(seq, kind, slot)]."""
        out = []
        for seq in range(after + 1, self.head + 1):
            at = self.journal_off + 64 * (seq % self.journal_cap)
            got, kind, slot = RECORD.unpack(self.map[at:at + 64])[:3]
            if got == seq:
                out.append((seq, KINDS[kind], slot))
        return out


class Topic:
    """A topic that was asked for. `seen` is where its changes are counted
    from."""

    def __init__(self, rig, slot, gen):
        self.rig, self.slot, self.gen = rig, slot, gen
        self.settle()

    @property
    def view(self):
        return self.rig.bus.view(self.slot)

    @property
    def is_current(self):
        return self.view.gen == self.gen

    def settle(self):
        """Forget what has changed so far."""
        self.seen = self.rig.bus.head
        return self

    def kinds(self):
        """What was published of it since settle()."""
        return [kind for _, kind, slot in self.rig.bus.records(self.seen)
                if slot == self.slot]

    def wait(self, kind):
        """Wait for a record of that kind, and settle()."""
        wait_until(lambda: kind in self.kinds(),
                   lambda: "%s of slot %d, there is %s, %r" % (
                       kind, self.slot, self.kinds(), self.view))
        kinds = self.kinds()
        self.settle()
        return kinds

    def wait_vouched(self):
        wait_until(lambda: self.view.is_vouched and self.is_current,
                   lambda: "vouched for: %r" % self.view)
        return self.view.watched_from

    def mark(self):
        """A mark that makes it clean now."""
        return self.rig.bus.head

    def is_clean(self, mark):
        v = self.view
        return (self.is_current and v.watched_from <= mark
                and v.changed <= mark)


class Rig:
    """A watcher, its mailboxes, and everybody's topics."""

    def __init__(self, template="%u/Maildir", **kw):
        self.where = tempfile.mkdtemp(prefix="dp-w-")
        self.mail = os.path.join(self.where, "mail")
        os.mkdir(self.mail)
        kw.setdefault("group", None)
        self.watcher = Watcher(self.where, os.path.join(self.mail, template),
                               **kw)
        self.allowed = []

    def start(self):
        self.watcher.start()
        return self

    @property
    def bus(self):
        return Bus(self.watcher.bus)

    def maildir(self, user="alice", **kw):
        return Maildir(os.path.join(self.mail, user, "Maildir"), **kw)

    def ask(self, *fields):
        with self.watcher.control() as control:
            return control.ask(*fields)

    def watch(self, user="alice", folder="INBOX", class_="Email",
              vouched=True):
        """@return Topic, vouched for"""
        answer = self.ask("watch", user, class_, folder)
        assert answer[0] == "ok", answer
        topic = Topic(self, int(answer[1]), int(answer[2]))
        if not vouched:
            return topic
        topic.wait_vouched()
        return topic.settle()

    def refused(self, user, folder="INBOX", class_="Email"):
        """@return the reason"""
        answer = self.ask("watch", user, class_, folder)
        assert answer[0] == "no", answer
        return answer[1]

    def barrier(self):
        """All that happened before has been seen by the watcher: a topic of
        its own changes after it."""
        box = self.maildir("barrier")
        topic = self.watch("barrier")
        box.deliver("barrier")
        topic.wait("new")

    def allow(self, text):
        """A log line that is expected."""
        self.allowed.append(text)

    def troubles(self):
        return [line for line in self.watcher.output().splitlines()
                if ("error:" in line or "warning:" in line
                    or "Sanitizer" in line or "broken:" in line)
                and not any(a in line for a in self.allowed)]

    def finish(self):
        status = self.watcher.stop()
        troubles = self.troubles()
        output = self.watcher.output()
        shutil.rmtree(self.where, ignore_errors=True)
        assert not troubles, troubles
        assert status in (0, None, -9), output


@pytest.fixture
def make_rig():
    rigs = []

    def make(start=True, **kw):
        rig = Rig(**kw)
        rigs.append(rig)
        return rig.start() if start else rig
    yield make
    for rig in rigs:
        rig.finish()


@pytest.fixture
def rig(make_rig):
    return make_rig()
