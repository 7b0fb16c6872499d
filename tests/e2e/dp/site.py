"""A whole site: Maildirs, backend, watcher, Apache, and phones."""
import contextlib
import os
import shutil
import tempfile
import time

from .backend import Backend
from .httpd import Httpd, Vhost
from .maildir import Maildir
from .phone import Endpoint, Phone
from .process import wait_until
from .watcher import Watcher

USERS = {"alice": "secret", "bob": "hunter2", "carol": "s3cret:with colon"}


def temp_dir():
    """A directory that the server's children can enter."""
    where = tempfile.mkdtemp(prefix="dp-e2e-")
    os.chmod(where, 0o755)
    return where


class Site:
    """@param users  {name: password}; each has a Maildir with INBOX and
                     `folders`
    @param watcher  "running", "absent" (never there), or None (no file of it)
    @param backends  how many, each with its own virtual host
    @param mailbox  directory of a user in the watcher's pattern
    @param guid  do the Maildirs have dovecot-uidlist files
    @param httpd  False: no Apache; otherwise arguments of Httpd"""

    def __init__(self, certificate, users=None, id_style="sogo", guid=True,
                 folders=("Drafts", "Sent", "Trash"), watcher="running",
                 watcher_conf=(), default_domain=None, backends=1,
                 with_module=True, httpd=None, backend_args=(), start=True,
                 vhosts=None, mailbox="%u"):
        self.where = temp_dir()
        self.certificate = certificate
        self.users = dict(USERS if users is None else users)
        self.mail_root = os.path.join(self.where, "mail")
        os.mkdir(self.mail_root)
        self.maildirs = {}
        for name in self.users:
            self.maildirs[name] = Maildir(
                os.path.join(self.mail_root, name, "Maildir"), guid)
            for folder in folders:
                self.maildirs[name].create(folder)
        self.phones = []
        self.failures = []
        self.backends = []
        self.watcher_mode = watcher
        self.watcher = Watcher(
            self.where, os.path.join(self.mail_root, mailbox, "Maildir"),
            conf=watcher_conf, default_domain=default_domain)
        self.httpd = None
        for i in range(backends):
            self.backends.append(Backend(
                self.where, self.mail_root, self.users, id_style,
                name=str(i or ""), arguments=backend_args))
        self.httpd_args = dict(httpd or {}) if httpd is not False else None
        self.with_module = with_module
        self.vhosts = vhosts
        if start:
            try:
                self.start()
            except BaseException:
                self.stop()
                raise

    def start(self):
        for backend in self.backends:
            if backend.process is None:
                backend.start()
        if self.with_module and self.watcher_mode == "running":
            self.watcher.start()
        if self.httpd_args is not None:
            names = ["mail.example.test", "other.example.test",
                     "third.example.test"]
            vhosts = self.vhosts or [
                Vhost(names[i], b.port) for i, b in enumerate(self.backends)]
            self.httpd = Httpd(
                self.where, self.certificate, vhosts,
                with_module=self.with_module,
                runtime_dir=self.watcher.runtime_dir,
                state_dir=os.path.join(self.where, "devices"),
                **self.httpd_args).start()
        return self

    @property
    def backend(self):
        return self.backends[0]

    def mails(self, user="alice"):
        return self.maildirs[user]

    def phone(self, user="alice", tls=True, vhost=None, direct=False, **kw):
        """A phone of this user. @param direct  past Apache, to the backend"""
        if direct or self.httpd is None:
            endpoint = Endpoint(self.backend.port)
        else:
            endpoint = self.httpd.endpoint(tls, vhost)
        kw.setdefault("password", self.users.get(user, "wrong"))
        phone = Phone(endpoint, user, **kw)
        self.phones.append(phone)
        return phone

    def synced_phone(self, *folders, user="alice", **kw):
        """A phone that has everything of these folders (INBOX)."""
        phone = self.phone(user, **kw)
        answer = phone.foldersync()
        assert answer.status == 1, answer
        phone.sync_until_done(*(folders or ("INBOX",)))
        return phone

    # --- what most tests of the product begin with ---

    def hold(self, phone, folders=("INBOX",), heartbeat=600, quiet=0.4):
        """A Ping of this phone that is held, with nothing left to announce:
        what Pings announce before that is synchronised, as phones do.
        @return PendingPing"""
        for _ in range(20):
            ping = phone.start_ping(list(folders), heartbeat)
            self._let_watch(phone.user, folders, lambda: ping.is_answered(0))
            if not ping.is_answered(quiet):
                return ping
            answer = ping.answer()
            assert answer.status in (2, 7), answer
            if answer.status == 7:
                phone.foldersync()
            else:
                phone.sync_until_done(*answer.folders)
        raise AssertionError("no Ping is held; the last answer is %r" % answer)

    def _let_watch(self, user, folders, is_over=lambda: False):
        """What the module has just asked the watcher for is watched, on a busy
        machine after a while only: ten seconds for what can be watched, one
        for whom it does not watch at all, or under another name.
        @return they are watched"""
        topics = [("Hierarchy", "*")] + [("Email", f) for f in folders
                                         if f == "INBOX"]
        since = time.monotonic()
        try:
            with self.watcher.control() as control:
                while not is_over():
                    said = {control.ask("verify", user, *topic)[0]
                            for topic in topics}
                    if said == {"ok"}:
                        return True
                    if time.monotonic() > since + (1 if "no" in said else 10):
                        break
                    time.sleep(0.005)
        except (AttributeError, TypeError, OSError):
            pass  # no watcher in this test, or not now
        return False

    def first_answer(self, phone, folders, heartbeat=600, **kw):
        """The answer to a Ping, after what the folder list has to say: a phone
        whose hierarchy nobody watched so far is told Status 7 once."""
        for _ in range(3):
            answer = phone.ping(folders, heartbeat, **kw)
            if answer.status != 7:
                return answer
            phone.foldersync()
        raise AssertionError("Status 7 again and again")

    @contextlib.contextmanager
    def published(self, changes=1):
        """Changes that the watcher has told of at the end of the block. What
        begins after it is about a change that is known.
        @param changes  how many topics change within the block"""
        before = self.watcher.status()["published_new"]
        yield
        wait_until(lambda: self.watcher.status()["published_new"]
                   >= before + changes, "the watcher has told of it")

    def told(self, phone, folder="INBOX", ping=None, mail=None, folders=None,
             apart=0.005):
        """The promise: the answer to this Ping, or to the next one, names the
        folder. Status 7 may come first where the folder list is in doubt. A
        Status 1 must have been given before the change.
        @param ping  the Ping that waits, or None to send one
        @param mail  the change, as maildir.deliver() returned it
        @param apart  a Status 1 that was read so many seconds after the change
        may still have been given before it
        @return the answer with Status 2"""
        folders = list(folders or [folder])
        ping = ping or phone.start_ping(folders, 600)
        for _ in range(4):
            answer = ping.answer()
            if answer.status == 2:
                assert phone.id(folder) in answer.folders, answer
                return answer
            assert answer.status in (1, 7), answer
            if answer.status == 1:
                assert mail and ping.pending.answered_at <= mail.at + apart, \
                    "Status 1 over a change"
            else:
                phone.foldersync()
            ping = phone.start_ping(folders, 600)
        raise AssertionError("not told; the last answer is %r" % answer)

    def let_be(self, phone, folders, ids):
        """Pings that name some of these, which the phone does not synchronise,
        and after a few times no more: 1, 2, 4 and 8 s lie between the last.
        @return the PendingPing that is held"""
        for _ in range(12):
            ping = phone.start_ping(list(folders), 600)
            if not ping.is_answered(16):
                return ping
            answer = ping.answer()
            assert answer.status == 2, answer
            assert set(answer.folders) <= set(ids), answer
        raise AssertionError("named for ever: %r" % answer)

    def start_pings(self, phones, folders=("INBOX",), heartbeat=600):
        """Pings of many phones at once, all held. httpd closes idle keep-alive
        connections when all its workers are busy, maybe with a phone's next
        request on the way: that phone tries again, as phones do.
        @return their PendingPings"""
        pings = [p.start_ping(list(folders), heartbeat) for p in phones]

        def all_held():
            for i, phone in enumerate(phones):
                pings[i].wire.pump(0)
                if pings[i].wire.is_ended and not pings[i].is_answered():
                    pings[i] = phone.start_ping(list(folders), heartbeat)
            return self.held() == len(phones)
        wait_until(all_held, lambda: "%d held; there are %d" % (
            len(phones), self.held()))
        return pings

    def held_phone(self, *folders, heartbeat=600, quiet=0.4, **kw):
        """A phone that is in step, and its held Ping.
        @param quiet  longer than DirectPushBackendLag, if that is not 0
        @return (Phone, PendingPing)"""
        folders = folders or ("INBOX",)
        phone = self.synced_phone(*folders, **kw)
        if self._let_watch(phone.user, folders):
            # now that somebody vouches for them: else one Status 7 is due,
            # and may be put off by DirectPushPace
            phone.foldersync()
            phone.sync_until_done(*folders)
        return phone, self.hold(phone, folders, heartbeat, quiet)

    def in_step(self, *folders, **kw):
        """A phone whose Pings would be held: one was, and has been ended by
        leaving; the phone is on a new connection."""
        phone, _ = self.held_phone(*folders, **kw)
        held = self.held()
        phone.hang_up()
        wait_until(lambda: self.held() < held, "the hold is gone")
        phone.connect()
        return phone

    def held(self):
        """Pings that the module holds now."""
        return self.httpd.metric("held")

    def wait_held(self, n):
        wait_until(lambda: self.held() == n,
                   lambda: "%d held; there are %d" % (n, self.held()))

    def stop(self):
        """End everything; collects what went wrong in `failures`."""
        for phone in self.phones:
            phone.close()
        for backend in self.backends:  # no worker shall wait for one
            if backend.process is not None and backend.process.is_running:
                backend.control(clear=True, end_holds=True)
        if self.httpd is not None:
            try:
                self.httpd.stop()
            except AssertionError as e:
                self.failures.append(str(e))
            self.failures += self.httpd.unexpected()
            traces = self.httpd.backtraces()
            if traces:
                with open(os.path.join(self.where, "gdb.out"), "w") as f:
                    f.write(traces)
        self.watcher.stop()
        for backend in self.backends:
            backend.stop()
            if backend.process is not None and backend.output():
                self.failures.append("backend: " + backend.output())

    def logs(self):
        """What to read when a test has failed."""
        out = []
        for name in sorted(os.listdir(self.where)):
            path = os.path.join(self.where, name)
            if name.endswith((".log", ".out")) and os.path.getsize(path):
                with open(path, errors="replace") as f:
                    out.append((name, f.read()[-12000:]))
        return out

    def remove(self):
        if os.environ.get("DP_KEEP"):
            print("kept: " + self.where)
        else:
            shutil.rmtree(self.where, ignore_errors=True)

    wait_until = staticmethod(wait_until)
