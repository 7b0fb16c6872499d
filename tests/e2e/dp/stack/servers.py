"""Each server as a private instance: own port, own state, ended by its pid.

They outlive the process that starts them (a session of tests has several), so
none is a child of ours; Server.stop() ends them.
"""
import os
import pwd
import glob
import signal
import socket
import subprocess
import tempfile
import time

from ..process import wait_until
from ..wire import GENEROUS

DOMAIN = "example.org"
PASSWORD = "secret"
SOGO_CONF = "/etc/sogo/sogo.conf"


def is_open(port):
    """Does somebody listen there?"""
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def as_user(name):
    """The beginning of a command line that runs as this user."""
    group = pwd.getpwnam(name).pw_gid
    return ["setpriv", "--reuid", name, "--regid", str(group),
            "--init-groups", "--"]


def descendants(pid):
    """Pids of the children of a process, and theirs."""
    out = []
    for child in _children(pid):
        out += [child] + descendants(child)
    return out


def _children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(p) for p in f.read().split()]
    except FileNotFoundError:
        return []


def _is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(argv, **kw):
    """A command that must work. Its output goes through a file: daemons that
    it leaves behind keep that open. @return its output"""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out,
                              stderr=out, timeout=GENEROUS, **kw)
        out.seek(0)
        text = out.read()
    assert done.returncode == 0, "%s:\n%s" % (" ".join(argv), text)
    return text


class Server:
    """@param where  directory of this server; may exist already"""

    name = ""
    pid_name = "pid"

    def __init__(self, where, port):
        self.where, self.port = where, port
        self.pid_file = os.path.join(where, self.pid_name)
        self.log = os.path.join(where, self.name + ".log")

    @property
    def pid(self):
        """Of the running server, or None."""
        try:
            with open(self.pid_file) as f:
                pid = int(f.readline())
            return pid if _is_alive(pid) else None
        except (OSError, ValueError):
            return None

    def start(self):
        os.makedirs(self.where, 0o755, exist_ok=True)
        self._start()
        wait_until(lambda: is_open(self.port), lambda: "%s listens:\n%s" % (
            self.name, self.log_text()))
        return self

    def _start(self):
        raise NotImplementedError

    def log_text(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()[-4000:]
        except OSError:
            return ""

    def stop(self, number=signal.SIGTERM, patience=10):
        """Ends it and all that it started."""
        pid = self.pid
        if pid is None:
            return
        family = [pid] + descendants(pid)
        for p in reversed(family) if number == signal.SIGKILL else family[:1]:
            _kill(p, number)
        until = time.monotonic() + patience
        while any(map(_is_alive, family)) and time.monotonic() < until:
            time.sleep(0.02)
        for p in family:
            if _is_alive(p):
                _kill(p, signal.SIGKILL)
        wait_until(lambda: not any(map(_is_alive, family)), self.name + " ends")
        if os.path.exists(self.pid_file):
            os.unlink(self.pid_file)


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Postgres(Server):
    name = "postgres"
    pid_name = "data/postmaster.pid"

    @property
    def _bin(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        assert found, "PostgreSQL is missing: apt-get install postgresql"
        return found[-1]

    def _start(self):
        data = os.path.join(self.where, "data")
        if not os.path.exists(os.path.join(data, "PG_VERSION")):
            os.makedirs(data, 0o700)
            os.chown(self.where, pwd.getpwnam("postgres").pw_uid, -1)
            os.chown(data, pwd.getpwnam("postgres").pw_uid, -1)
            run(as_user("postgres") + [
                self._bin + "/initdb", "-D", data, "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", "-U", "postgres", "--no-sync"],
                cwd=self.where)
            with open(os.path.join(data, "postgresql.conf"), "a") as f:
                f.write("listen_addresses = '127.0.0.1'\nport = %d\n"
                        "unix_socket_directories = ''\nmax_connections = 400\n"
                        "fsync = off\n" % self.port)
        run(as_user("postgres") + [
            self._bin + "/pg_ctl", "-D", data, "-w", "-s", "-l",
            os.path.join(data, "log"), "start"], cwd=self.where)

    def stop(self, number=signal.SIGINT, patience=10):
        super().stop(number, patience)  # SIGINT: without waiting for clients

    def sql(self, text, database="sogo"):
        """@return lines, fields separated by |"""
        return run(as_user("postgres") + [
            self._bin + "/psql", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h",
            "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d",
            database, "-c", text], cwd="/").splitlines()


class Memcached(Server):
    name = "memcached"

    def _start(self):
        os.chmod(self.where, 0o777)
        run(["memcached", "-d", "-u", "nobody", "-l", "127.0.0.1", "-p",
             str(self.port), "-m", "64", "-P", self.pid_file])


class Dovecot(Server):
    """IMAP on `port`, LMTP on `lmtp_port`; Maildirs at mail/%n/Maildir;
    each user has a file of its own in users/, since Dovecot looks whether a
    file has changed only now and then.
    @param extra  further lines of dovecot.conf"""

    name = "dovecot"
    pid_name = "base/master.pid"

    def __init__(self, where, port, lmtp_port, extra=""):
        super().__init__(where, port)
        self.lmtp_port, self.extra = lmtp_port, extra
        self.mail_root = os.path.join(where, "mail")
        self.conf = os.path.join(where, "dovecot.conf")
        self.users = os.path.join(where, "users")

    def _boxes(self):
        return "".join("mailbox %s {\nspecial_use = \\%s\nauto = subscribe\n}\n"
                       % (b, b) for b in ("Drafts", "Sent", "Trash", "Junk"))

    def _text(self):
        return """
protocols = imap lmtp
listen = 127.0.0.1
base_dir = {w}/base
state_dir = {w}/base
log_path = {log}
info_log_path = {w}/info.log
default_internal_user = dovecot
default_login_user = dovenull
first_valid_uid = 1
first_valid_gid = 1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:{w}/mail/%n/Maildir
mail_max_userip_connections = 1000
default_process_limit = 1000
default_client_limit = 4000
postmaster_address = postmaster@example.org
hostname = localhost
passdb {{
driver = passwd-file
args = scheme=PLAIN username_format=%n {w}/users/%n
}}
userdb {{
driver = static
args = uid=mail gid=mail home={w}/mail/%n allow_all_users=yes
}}
namespace inbox {{
inbox = yes
separator = /
{boxes}}}
service imap-login {{
inet_listener imap {{
address = 127.0.0.1
port = {imap}
}}
inet_listener imaps {{
port = 0
}}
service_count = 0
}}
service imap {{
process_limit = 1000
}}
service lmtp {{
inet_listener lmtp {{
address = 127.0.0.1
port = {lmtp}
}}
}}
service auth {{
unix_listener auth-userdb {{
mode = 0666
}}
}}
service stats {{
unix_listener stats-writer {{
mode = 0666
}}
}}
{extra}
""".format(w=self.where, log=self.log, boxes=self._boxes(), imap=self.port,
           lmtp=self.lmtp_port, extra=self.extra)

    def _start(self):
        if not os.path.exists(self.mail_root):
            os.mkdir(self.mail_root, 0o700)
            mail = pwd.getpwnam("mail")
            os.chown(self.mail_root, mail.pw_uid, mail.pw_gid)
        os.makedirs(self.users, exist_ok=True)
        with open(self.conf, "w") as f:
            f.write(self._text())
        run(["dovecot", "-c", self.conf])

    def set_password(self, user, password):
        """For a new user, or a known one: who then waits until it counts."""
        path = os.path.join(self.users, user)
        with open(path + ".new", "w") as f:
            f.write("%s:{PLAIN}%s::::::\n" % (user, password))
        os.rename(path + ".new", path)

    def reload(self):
        """Take changed lines of `extra`."""
        with open(self.conf, "w") as f:
            f.write(self._text())
        run(["doveadm", "-c", self.conf, "reload"])

    def deliver(self, user, mail, mailbox="INBOX"):
        """By dovecot-lda. @param mail  bytes  @param mailbox  its name as
        people see it"""
        done = subprocess.run(
            as_user("mail") + [
                "/usr/lib/dovecot/dovecot-lda", "-c", self.conf, "-o",
                "log_path=/dev/stderr", "-o", "info_log_path=/dev/null", "-o",
                "lda_mailbox_autocreate=yes", "-d", user, "-m", mailbox],
            input=mail, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=GENEROUS, cwd="/")
        assert done.returncode == 0, done.stdout.decode()


class Sogo(Server):
    """sogod. It reads only /etc/sogo/sogo.conf: ours is mounted over that in
    a mount namespace of its own.
    @param settings  {name: value as it stands in sogo.conf}, on top of ours"""

    name = "sogo"

    def __init__(self, where, port, postgres, memcached, dovecot, workers=4,
                 settings=None):
        super().__init__(where, port)
        self.postgres, self.memcached = postgres, memcached
        self.dovecot, self.workers = dovecot, workers
        self.settings = dict(settings or {})

    def _settings(self):
        db = "postgresql://sogo:sogo@127.0.0.1:%d/sogo" % self.postgres.port
        out = {
            "WOPort": '"127.0.0.1:%d"' % self.port,
            "WOWorkersCount": self.workers, "WOListenQueueSize": 128,
            "WOWatchDogRequestTimeout": 60, "SxVMemLimit": 768,
            "WOPidFile": '"%s"' % self.pid_file,
            "WOLogFile": '"%s"' % self.log,
            "SOGoMailSpoolPath": '"%s/spool"' % self.where,
            "SOGoProfileURL": '"%s/sogo_user_profile"' % db,
            "OCSFolderInfoURL": '"%s/sogo_folder_info"' % db,
            "OCSSessionsFolderURL": '"%s/sogo_sessions_folder"' % db,
            "OCSEMailAlarmsFolderURL": '"%s/sogo_alarms_folder"' % db,
            "SOGoMemcachedHost": '"127.0.0.1:%d"' % self.memcached.port,
            "SOGoIMAPServer": '"imap://127.0.0.1:%d"' % self.dovecot.port,
            "SOGoSMTPServer": '"smtp://127.0.0.1:9"',
            "SOGoMailingMechanism": "smtp",
            "SOGoMailDomain": '"%s"' % DOMAIN, "SOGoLanguage": "English",
            "SOGoTimeZone": "UTC", "SOGoDraftsFolderName": "Drafts",
            "SOGoSentFolderName": "Sent", "SOGoTrashFolderName": "Trash",
            "SOGoJunkFolderName": "Junk",
            "SOGoVacationEnabled": "NO", "SOGoForwardEnabled": "NO",
            "SOGoSieveScriptsEnabled": "NO",
            "SOGoSuperUsernames": "(push)",
            "SOGoMaximumPingInterval": 3540, "SOGoMaximumSyncInterval": 3540,
            "SOGoInternalSyncInterval": 10,
            "SOGoUserSources":
                '({type = sql; id = directory; viewURL = "%s/sogo_users"; '
                "canAuthenticate = YES; isAddressBook = YES; displayName = "
                '"Directory"; userPasswordAlgorithm = plain;})' % db,
        }
        out.update(self.settings)
        return out

    def tool(self, *args):
        """sogo-tool with our sogo.conf. @return its output"""
        return run(["nsenter", "-m", "-t", str(self.pid), "--"]
                   + as_user("sogo") + ["sogo-tool"] + list(args), cwd="/")

    def _start(self):
        sogo = pwd.getpwnam("sogo")
        conf = os.path.join(self.where, "sogo.conf")
        for path in (self.where, os.path.join(self.where, "spool")):
            os.makedirs(path, exist_ok=True)
            os.chown(path, sogo.pw_uid, sogo.pw_gid)
        with open(conf, "w") as f:
            os.fchmod(f.fileno(), 0o640)
            os.fchown(f.fileno(), 0, sogo.pw_gid)
            f.write("{\n" + "".join("  %s = %s;\n" % pair for pair in
                                    self._settings().items()) + "}\n")
        with open(os.path.join(self.where, "sogo.out"), "ab") as out:
            subprocess.run(
                ["unshare", "-m", "--propagation", "private", "sh", "-c",
                 'mount --bind "$0" %s && exec "$@"' % SOGO_CONF, conf]
                + as_user("sogo") + [
                    "setsid", "/usr/sbin/sogod", "-WOWorkersCount",
                    str(self.workers), "-WOPidFile", self.pid_file,
                    "-WOLogFile", self.log, "-WOPort",
                    "127.0.0.1:%d" % self.port],
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8",
                     "HOME": self.where, "LOGNAME": "sogo", "USER": "sogo"},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.where, check=True, timeout=GENEROUS)

    def stop(self, number=signal.SIGTERM, patience=1):
        """Its workers take long to go, and have nothing to lose."""
        super().stop(number, patience)

    def workers_busy(self):
        """Workers that serve a request now: they have a connection of a client
        open on our port."""
        port = "%04X" % self.port
        with open("/proc/net/tcp") as f:
            rows = [line.split() for line in f.readlines()[1:]]
        return sum(1 for r in rows if r[1].endswith(":" + port)
                   and r[3] == "01")
