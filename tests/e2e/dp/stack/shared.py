"""One stack for all tests of a session, however many processes run them.

A keeper process starts the servers when the first test wants them and ends
them when the session does, also when that is killed. Tests share the servers
and never a user: Stack.user() makes a new one.
"""
import contextlib
import fcntl
import imaplib
import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from ..process import free_ports, wait_until
from ..wire import GENEROUS
from .servers import (DOMAIN, PASSWORD, Dovecot, Memcached, Postgres, Sogo)

SUPERUSER = "push"
BOXES = ("INBOX", "Drafts", "Sent", "Trash", "Junk", "Templates")
STARTING_TAKES = 180  # seconds, on a machine that is busy otherwise
# shared and public folders, for who asks for them
NAMESPACES = """
mail_plugins = acl
protocol imap {{
mail_plugins = acl imap_acl
}}
plugin {{
acl = vfile
acl_shared_dict = file:{w}/shared-mailboxes
}}
namespace shared {{
type = shared
separator = /
prefix = shared/%%u/
location = maildir:{w}/mail/%%n/Maildir
subscriptions = no
list = children
}}
namespace public {{
type = public
separator = /
prefix = Public/
location = maildir:{w}/public
subscriptions = no
list = children
}}
"""


def session_dir():
    """Where this session's stack is. Its name has the pid of the process that
    the session is: under xdist, the one above the workers."""
    pid = (os.getppid() if "PYTEST_XDIST_WORKER" in os.environ
           else os.getpid())
    return os.path.join(tempfile.gettempdir(), "dp-stack-%d" % pid), pid


class Stack:
    """The servers at `where`, whoever has started them."""

    def __init__(self, where):
        self.where = where
        with open(os.path.join(where, "ports.json")) as f:
            self.ports = json.load(f)
        self.postgres = Postgres(self._path("pg"), self.ports["pg"])
        self.memcached = Memcached(self._path("mc"), self.ports["mc"])
        mail = self._path("dovecot")
        self.dovecot = Dovecot(mail, self.ports["imap"], self.ports["lmtp"],
                               extra=NAMESPACES.format(w=mail))
        self.sogo = self.another_sogo("sogo", self.ports["sogo"], 8)

    def _path(self, name):
        return os.path.join(self.where, name)

    def another_sogo(self, name, port=None, workers=4, settings=None):
        """A sogod over the same mail and database, not started yet: for tests
        that stop it, or want other settings. The caller stops it."""
        return Sogo(self._path(name), port or free_ports(1)[0], self.postgres,
                    self.memcached, self.dovecot, workers, settings)

    # --- as the keeper ---

    @classmethod
    def start(cls, where):
        os.makedirs(where, 0o755, exist_ok=True)
        os.chmod(where, 0o755)
        names = ("pg", "mc", "imap", "lmtp", "sogo")
        with open(os.path.join(where, "ports.json"), "w") as f:
            json.dump(dict(zip(names, free_ports(len(names)))), f)
        stack = cls(where)
        stack.postgres.start()
        stack._make_database()
        stack.memcached.start()
        stack.dovecot.start()
        stack._make_public()
        stack.sogo.start()
        stack._add_user(SUPERUSER, PASSWORD)
        return stack

    def stop(self):
        for server in (self.sogo, self.dovecot, self.memcached, self.postgres):
            server.stop()

    def _make_database(self):
        sql = self.postgres.sql
        sql("create role sogo login password 'sogo'", "postgres")
        sql("create database sogo owner sogo encoding 'UTF8' "
            "template template0", "postgres")
        sql("create table sogo_users(c_uid varchar(128) primary key, c_name "
            "varchar(128), c_password varchar(128), c_cn varchar(128), "
            "mail varchar(128)); alter table sogo_users owner to sogo")

    def _make_public(self):
        mail = pwd.getpwnam("mail")
        path = os.path.join(self.dovecot.where, "public")
        os.mkdir(path, 0o700)
        os.chown(path, mail.pw_uid, mail.pw_gid)
        path = os.path.join(self.dovecot.where, "shared-mailboxes")
        open(path, "a").close()
        os.chown(path, mail.pw_uid, mail.pw_gid)
        os.chmod(self.dovecot.where, 0o777)  # the dictionary is rewritten

    # --- users ---

    def _add_user(self, name, password):
        quoted = password.replace("'", "''")
        self.postgres.sql(
            "insert into sogo_users values ('%s','%s','%s','User %s','%s@%s')"
            % (name, name, quoted, name, name, DOMAIN))
        self.dovecot.set_password(name, password)

    @contextlib.contextmanager
    def _lock(self):
        with open(self._path("lock"), "w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield

    def user(self, password=PASSWORD):
        """A new user with the usual mailboxes. @return name"""
        with self._lock():
            path = self._path("users")
            n = os.path.getsize(path) if os.path.exists(path) else 0
            with open(path, "a") as f:
                f.write(".")
            name = "u%d" % (n + 1)
            self._add_user(name, password)
        self.track(name, BOXES, password)
        return name

    def set_password(self, user, password):
        """At SOGo and Dovecot, from now on. SOGo keeps what it has accepted
        in memcached, which forgets all."""
        self.postgres.sql(
            "update sogo_users set c_password = '%s' where c_uid = '%s'" % (
                password.replace("'", "''"), user))
        self.dovecot.set_password(user, password)
        wait_until(lambda: self.accepts(user, password), "the new password")
        self.forget_cached()

    def accepts(self, user, password):
        """Does Dovecot?"""
        try:
            with self.imap(user, password):
                return True
        except imaplib.IMAP4.error:
            return False

    def forget_cached(self):
        """Empty memcached."""
        with socket.create_connection(("127.0.0.1",
                                       self.memcached.port)) as s:
            s.sendall(b"flush_all\r\n")
            assert s.recv(100).startswith(b"OK")

    # --- mail ---

    @contextlib.contextmanager
    def imap(self, user, password=PASSWORD):
        """An IMAP client, signed in."""
        client = imaplib.IMAP4("127.0.0.1", self.dovecot.port,
                               timeout=GENEROUS)
        try:
            client.login(user, password)
            yield client
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                client.logout()

    def track(self, user, boxes, password=PASSWORD):
        """Make the mailboxes, and have Dovecot keep mod-sequences in them:
        without that SOGo never sees a change there.
        @param boxes  names as IMAP has them (modified UTF-7)"""
        with self.imap(user, password) as client:
            for box in boxes:
                quoted = '"%s"' % box
                client.create(quoted)
                client._simple_command("SELECT", quoted, "(CONDSTORE)")
                client.state = "SELECTED"
                client.unselect()

    # --- calendars and address books ---

    def synchronize(self, user, owner, *paths):
        """Tick "Synchronize" of what the user has subscribed to: SOGo lists
        it to phones from then on. @param paths  Calendar/personal, …"""
        (text,) = self.postgres.sql("select c_settings from sogo_user_profile "
                                    "where c_uid = '%s'" % user)
        settings = json.loads(text)
        for path in paths:
            settings.setdefault(path.split("/")[0], {}).setdefault(
                "FolderSynchronize", {})["%s:%s" % (owner, path)] = 1
        self.postgres.sql(
            "update sogo_user_profile set c_settings = '%s' where c_uid = '%s'"
            % (json.dumps(settings).replace("'", "''"), user))
        self.forget_cached()

    def maildir(self, user):
        return os.path.join(self.dovecot.mail_root, user, "Maildir")


# --- the keeper, and who asks for it ---

def keep(where, session_pid):
    """Run the stack until the session or SIGTERM ends it."""
    asked = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(asked[1], b"."))
    session = os.pidfd_open(session_pid)
    stack, is_up = None, False
    try:
        stack = Stack.start(where)
        is_up = True
        with open(os.path.join(where, "ready"), "w") as f:
            f.write("yes")
        select.select([asked[0], session], [], [])
    finally:
        if stack is None and os.path.exists(os.path.join(where, "ports.json")):
            stack = Stack(where)
        if stack is not None:
            stack.stop()
        if is_up and not os.environ.get("DP_KEEP"):
            shutil.rmtree(where, ignore_errors=True)


def shared_stack():
    """The stack of this session, started if it isn't yet."""
    where, session_pid = session_dir()
    os.makedirs(where, 0o755, exist_ok=True)
    os.chmod(where, 0o755)
    out = os.path.join(where, "keeper.out")
    pid_file = os.path.join(where, "keeper.pid")
    with open(os.path.join(where, "starting"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(pid_file):
            tests = os.path.join(os.path.dirname(__file__), "..", "..")
            with open(out, "ab") as f:
                keeper = subprocess.Popen(
                    [sys.executable, "-m", "dp.stack.shared", where,
                     str(session_pid)], stdin=subprocess.DEVNULL, stdout=f,
                    stderr=f, cwd=tests, start_new_session=True)
            with open(pid_file, "w") as f:
                f.write(str(keeper.pid))
            wait_until(lambda: os.path.exists(os.path.join(where, "ready"))
                       or keeper.poll() is not None, "the stack is up",
                       STARTING_TAKES)
    assert os.path.exists(os.path.join(where, "ready")), open(out).read()
    return Stack(where)


def end_session():
    """In the process that the session is: end the stack, if there is one."""
    where, _ = session_dir()
    try:
        with open(os.path.join(where, "keeper.pid")) as f:
            pid = int(f.read())
        keeper = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    select.select([keeper], [], [], GENEROUS)
    os.close(keeper)


if __name__ == "__main__":
    keep(sys.argv[1], int(sys.argv[2]))
