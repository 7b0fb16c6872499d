"""Mails for phones that wait, and how long until each phone knows: until the
first answer to a Ping that names the folder, or to a Sync that has the mail.

A mail is there when its file is renamed into new/. That is done here, so that
the moment is known exactly; or by Dovecot, from the moment on in which its
LMTP server has got the last byte.
"""
import itertools
import socket
import time

from dp.stack.site import mail
from dp.wire import GENEROUS

from .crowd import Delivery

# Announcements to a phone are DirectPushPace (5 s) apart
RESTED = 6
_numbers = itertools.count(1)


def _subject():
    return "mail %d" % next(_numbers)


class Rename:
    """As any mail delivery agent does."""

    def __init__(self, rig):
        self.rig = rig

    def __call__(self, handset):
        subject, user = _subject(), handset.phone.user
        maildir = self.rig.maildirs[user]
        prepared = maildir.prepare(data=mail(subject, user))
        delivery = Delivery(handset, subject, 0)
        handset.deliveries.append(delivery)
        delivery.began = maildir.commit(prepared).began
        return delivery


class Lmtp:
    """Over Dovecot's LMTP server. Its reply is read with the next mail."""

    def __init__(self, rig):
        self.sock = socket.create_connection(
            ("127.0.0.1", rig.stack.dovecot.lmtp_port), GENEROUS)
        self.file = self.sock.makefile("rb")
        self._expect(b"220")
        self._say(b"LHLO localhost", b"250")
        self.is_first = True

    def _expect(self, code):
        line = self.file.readline()
        while line[3:4] == b"-":
            line = self.file.readline()
        assert line.startswith(code), line

    def _say(self, line, code):
        self.sock.sendall(line + b"\r\n")
        self._expect(code)

    def __call__(self, handset):
        if not self.is_first:
            self._expect(b"250")
        self.is_first = False
        subject, user = _subject(), handset.phone.user
        self._say(b"MAIL FROM:<bob@example.org>", b"250")
        self._say(b"RCPT TO:<%s@example.org>" % user.encode(), b"250")
        self._say(b"DATA", b"354")
        text = mail(subject, user).replace(b"\n", b"\r\n") + b".\r\n"
        delivery = Delivery(handset, subject, 0)
        handset.deliveries.append(delivery)
        delivery.began = time.monotonic()
        self.sock.sendall(text)
        return delivery

    def close(self):
        self.file.close()
        self.sock.close()


def _until_told(crowd, out, n, seconds, tick):
    def is_over():
        return len(out) >= n and all(d.told is not None for d in out)
    crowd.run(is_over, seconds, tick)
    return out


def to_each_in_turn(crowd, deliver, n, pause, random):
    """Each phone of the crowd gets its next mail a random time after its Ping
    began. @param pause  (shortest, longest) of that time
    @return n deliveries, all told"""
    out, due = [], {}

    def tick():
        now = time.monotonic()
        for handset in crowd.pinging():
            if handset.deliveries or len(out) >= n:
                continue
            since, at = due.get(handset, (None, 0))
            if since != handset.since:
                at = handset.since + random.uniform(*pause)
                due[handset] = handset.since, at
            if now >= at:
                out.append(deliver(handset))
    seconds = (n / len(crowd.handsets) + 1) * (pause[1] + 2 * GENEROUS)
    return _until_told(crowd, out, n, seconds, tick)


def one_after_another(crowd, deliver, n, spacing, bound, random):
    """So many mails, `spacing` seconds apart, to one phone after the other,
    whatever they are about, but for those that were told of something within
    RESTED seconds. @return n deliveries; some may not be told after `bound`
    seconds from the last on"""
    handsets = list(crowd.handsets)
    random.shuffle(handsets)
    out, state = [], {"due": time.monotonic()}

    def tick():
        now = time.monotonic()
        if len(out) >= n or now < state["due"]:
            return
        for handset in handsets:
            if not handset.deliveries and now - handset.told_at > RESTED:
                handsets.remove(handset)
                handsets.append(handset)
                out.append(deliver(handset))
                state["due"] = now + spacing
                return
    return _until_told(crowd, out, n, n * max(spacing, RESTED / len(handsets))
                       + bound, tick)
