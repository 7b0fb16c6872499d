"""A device that behaves as phones do, over a bad network.

It Pings; is told; syncs what was named, and Pings again. Whatever fails it
tries again, with what it believes. What it sees goes to the history.
"""
import os
import random
import select
import ssl
import threading
import time

from dp import wbxml
from dp.phone import ConnectionLost, NoAnswer, Phone
from dp.wire import Pending

from history import PingSeen, SyncSeen

MAIL_TYPES = (2, 12)  # INBOX, and what a user has made
PATIENCE_S = 90       # for an answer that is not a Ping's
ECHO_S = 10           # what a device has changed itself comes back to it
LOSSES = ("cut_request", "cut_response", "deaf")  # habits of the network


class Gone(Exception):
    """The connection, or the server, or we."""


class Device(threading.Thread):
    """@param endpoint  () -> dp.phone.Endpoint
    @param habits  {name: chance per step}"""

    def __init__(self, history, endpoint, user, password, id_, seed, habits):
        super().__init__(name=id_, daemon=True)
        self.history, self.endpoint, self.id = history, endpoint, id_
        self.rng = random.Random(seed)
        self.habits = habits
        self.phone = Phone(endpoint(), user, password, device_id=id_,
                           version=self.rng.choice(("14.1", "14.1", "12.1")),
                           query=self.rng.choice(("plain", "base64")))
        self.phone.folders = {}
        self.lock = threading.Lock()  # of what it shows
        self.woken, self.wake = os.pipe()
        self.over = False
        self.calm = threading.Event()   # it behaves well
        self.is_reached = False         # nothing gets lost on the way
        self.wants = None               # what the main program asks for
        self.shown = {}                 # {path: {subject: is read}}
        self.has_folders = False
        self.todo = set()               # collection ids to sync
        self.told = {}                  # collection id -> when it was named
        self.uploaded = {}              # … when it has itself changed it
        self.ping_sent = None           # while one is out: when it went
        self.asked = None               # folders and heartbeat of the last

    # --- for the main program ---

    def poke(self, what=None):
        """It stops waiting. @param what  "cut" its connection first"""
        self.wants = what
        os.write(self.wake, b"x")

    def end(self):
        self.over = True
        self.poke()

    def shows(self):
        with self.lock:
            return {p: dict(m) for p, m in self.shown.items()}

    def start_over(self):
        """As a user who sets the account up anew."""
        self.wants = "forget"
        os.write(self.wake, b"x")

    # --- one request ---

    def _chance(self, habit):
        return (not self.calm.is_set()
                and not (self.is_reached and habit in LOSSES)
                and self.rng.random() < self.habits.get(habit, 0))

    def _rest(self, seconds):
        select.select([self.woken], [], [], seconds)
        self._heed()

    def _heed(self):
        """What the main program wants."""
        while select.select([self.woken], [], [], 0)[0]:
            os.read(self.woken, 64)
        want, self.wants = self.wants, None
        if want == "cut" and self.phone.wire is not None:
            self._drop()
            raise Gone("cut")
        if want == "forget":
            self.phone.forget()
            self.has_folders, self.asked = False, None

    def _drop(self):
        """The connection ends, one way or the other."""
        if self.phone.wire is not None:
            if self.rng.random() < 0.5:
                self.phone.abort()
            else:
                self.phone.hang_up()
        self.phone.wires.clear()
        self.phone.wire = None

    def _send(self, cmd, body):
        wire = self.phone.connection()
        wire.record = False
        del self.phone.wires[:-1]
        data = self.phone.bytes_of(cmd, body)
        if self._chance("cut_request"):
            wire.send(data[:self.rng.randrange(len(data))])
            self._drop()
            raise Gone("half a request")
        wire.send(data)
        wire.sent.clear()
        return Pending(wire)

    def _wait(self, pending, seconds):
        """@return the response; None when somebody pokes us or time is up"""
        until = time.monotonic() + seconds
        poll = select.poll()
        poll.register(pending.wire.sock, select.POLLIN)
        poll.register(self.woken, select.POLLIN)
        while not pending.is_answered(0):
            if pending.wire.is_ended:
                raise ConnectionLost(pending.wire, b"")
            left = until - time.monotonic()
            if left <= 0:
                return None
            if self.woken in dict(poll.poll(left * 1000)):
                self._heed()
                if self.over:
                    return None
        return pending.response

    def _ask(self, cmd, body):
        """Send and wait. @return the body of its 200"""
        pending = self._send(cmd, body)
        if self._chance("cut_response"):
            self._rest(self.rng.choice((0, 0.001, 0.01, 0.1)))
            self._drop()
            raise Gone("the response got lost")
        response = self._wait(pending, PATIENCE_S)
        if response is None:
            self._drop()
            raise Gone("no response")
        return self._read(response)

    def _read(self, response):
        if response.status != 200:
            wait = float(response.get("Retry-After") or 0.2)
            self._rest(min(wait, 3))
            raise Gone("HTTP %d" % response.status)
        return response

    # --- a life ---

    def run(self):
        while not self.over:
            try:
                self._heed()
                self._step()
            except (ConnectionLost, NoAnswer, OSError, ssl.SSLError,
                    Gone):
                self.ping_sent = None
                self._drop()
                self._pause()
        self._drop()
        os.close(self.wake)
        os.close(self.woken)

    def _pause(self):
        try:
            self._rest(self.rng.uniform(0, 0.2))
        except Gone:
            pass

    def _step(self):
        if not self.has_folders:
            self._folder_sync()
        fresh = {i for i in self._collections()
                 if self.phone.keys.get(i, "0") == "0"}
        if fresh:
            self._sync(fresh)
        self.todo &= set(self._collections())
        if fresh | self.todo:
            self._sync(fresh | self.todo)
        elif self._chance("upload"):
            self._upload()
        elif self._chance("sync"):
            self._sync({self.rng.choice(self._collections())})
        elif self._chance("tunnel"):
            self._tunnel()
        else:
            self._ping()

    def _collections(self):
        return sorted(i for i, f in self.phone.folders.items()
                      if f["type"] in MAIL_TYPES)

    def _path(self, id_):
        return self.phone.path_of(self.phone.folders[id_])

    def _folder_sync(self):
        answer = wbxml.FoldersAnswer(self._ask(
            "FolderSync", wbxml.foldersync_request(
                self.phone.hierarchy_key)).clear)
        if answer.status != 1:
            self.phone.hierarchy_key = "0"
            return
        if self.phone.hierarchy_key == "0":
            self.phone.folders.clear()
        self.phone.hierarchy_key = answer.key
        for f in answer.adds + answer.updates:
            self.phone.folders.setdefault(f["id"], {}).update(
                {k: v for k, v in f.items() if v is not None})
        for id_ in answer.deletes:
            self.phone.folders.pop(id_, None)
            self.phone.keys.pop(id_, None)
            self.phone.items.pop(id_, None)
        self.has_folders = True
        self._show()

    def _show(self):
        """What the user sees now."""
        with self.lock:
            self.shown = {
                self._path(i): {
                    m.get("Subject"): m.get("Read") == "1"
                    for m in self.phone.items.get(i, {}).values()}
                for i in self._collections()}

    def _sync(self, ids, commands=None, **kw):
        """One Sync of these, told or not."""
        ids = sorted(ids)
        sent = time.monotonic()
        keys = {i: self.phone.keys.get(i, "0") for i in ids}
        response = self._ask("Sync", self.phone.sync_body(
            *ids, window=self.rng.choice((2, 100, 100)),
            commands=commands, **kw))
        answer = self.phone.take_sync(response)
        if answer.status not in (None, 1):
            self.has_folders = False  # such as 12: the folders have changed
            if answer.status not in (4, 5, 16):
                self._rest(0.05)
            return None
        self._took(ids, keys, answer, sent, commands)
        return answer

    def _took(self, ids, keys, answer, sent, commands):
        told, brought, done = {}, set(), []
        waits = {self._path(i) for i in ids if i in self.told}
        for id_ in ids:
            one = answer.collections.get(id_)
            if one and one["status"] != 1:
                if one["status"] != 3:
                    self.has_folders = False
                continue
            if one and (one["adds"] or one["changes"] or one["deletes"]):
                brought.add(self._path(id_))
            if (commands or (one and one["more"]) or keys[id_] == "0"):
                continue
            self.todo.discard(id_)
            if id_ in self.told:
                told[self._path(id_)] = self.told.pop(id_)
            done.append(id_)
        if commands:
            self.phone._take_commands(commands)
        own = {self._path(i) for i in done
               if sent - self.uploaded.get(i, 0) < ECHO_S}
        self._show()
        shows = self.shows()
        self.history.saw(self.id, SyncSeen(
            sent, time.monotonic(), {self._path(i): shows[self._path(i)]
                                     for i in ids}, brought, told, waits,
            own))

    def _upload(self):
        """Read or unread, or deleted, by the user of this device."""
        ids = [i for i in self._collections() if self.phone.items.get(i)]
        if not ids:
            return
        id_ = self.rng.choice(ids)
        server_id = self.rng.choice(sorted(self.phone.items[id_]))
        mail = self.phone.items[id_][server_id]
        subject, path = mail.get("Subject"), self._path(id_)
        began = time.monotonic()
        if self.rng.random() < 0.7:
            is_read = mail.get("Read") != "1"
            kind = "read" if is_read else "unread"
            node = self.phone.change_read(server_id, is_read)
        else:
            kind, node = "delete", self.phone.delete(server_id)
        kw = {"deletes_as_moves": False}
        if self.rng.random() < 0.5:
            kw["get_changes"] = True
        self.uploaded[id_] = began
        self.todo.add(id_)  # if its answer gets lost: as phones try it again
        answer = self._sync({id_}, {id_: [node]}, **kw)
        self.todo.discard(id_)
        one = answer and answer.collections.get(id_)
        if one and one["status"] == 1:
            self.history.changed(self.phone.user, path, kind, subject, began,
                                 time.monotonic(), self.id)
        if kw.get("get_changes") and one and one["more"]:
            self.todo.add(id_)

    def _tunnel(self):
        """No network for a while; the connection does not know it."""
        until = time.monotonic() + self.rng.uniform(0.2, 3)
        while (time.monotonic() < until and not self.over
               and not self.calm.is_set()):
            self._rest(until - time.monotonic())
        if self.rng.random() < 0.5:
            self._drop()

    # --- Ping ---

    def _ping(self):
        ids = self._collections()
        heartbeat = (600 if self.calm.is_set()
                     else self.rng.choice((2, 5, 20, 600)))
        body = self.phone.ping_body(ids, heartbeat)
        if self.asked and set(self.asked) == set(ids) and self._chance(
                "empty_ping"):
            body = b""
        sent = time.monotonic()
        pending = self._send("Ping", body)
        self.ping_sent = sent
        response = self._wait(pending, heartbeat + 120)
        self.ping_sent = None
        if response is None:  # poked: somebody wants us to ask again
            if self._chance("pipeline"):
                return
            self._drop()
            raise Gone("given up")
        if self._chance("deaf"):
            self._drop()
            raise Gone("did not hear it")
        answer = wbxml.PingAnswer(self._read(response).clear)
        self._heard(answer, ids, sent, heartbeat)

    def _heard(self, answer, ids, sent, heartbeat):
        now = time.monotonic()
        named = set(answer.folders or ()) & set(ids)
        self.history.saw(self.id, PingSeen(
            sent, now, answer.status, {self._path(i) for i in named},
            {self._path(i) for i in ids}, heartbeat))
        self.asked = ids if answer.status in (1, 2) else None
        if answer.status == 2:
            self.todo |= named
            for id_ in named:
                self.told.setdefault(id_, now)
        elif answer.status == 7:
            self.has_folders = False
        elif answer.status not in (1, 3, 5):
            self._rest(0.2)
