"""conf/directpushd.service.in. There is no systemd on the test machines, so its
words are checked by systemd-analyze, and the ExecStart line is run as they say:
user, groups, capabilities, umask, limits and system calls, read from the unit.

Not verified by this: what systemd makes of mounts (ProtectSystem, ProtectHome,
InaccessiblePaths, Private…, Protect…) and of seccomp rules that look at
arguments (RestrictAddressFamilies, RestrictNamespaces, RestrictSUIDSGID,
RestrictRealtime, MemoryDenyWriteExecute, LockPersonality)."""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from dav_server import DavServer
from dp.maildir import Maildir
from dp.process import REPO, Process, built, wait_until
from dp.watcher import Control
from dp_watcher import Bus

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("systemd-analyze"),
    reason="needs root and systemd-analyze")

OWN, ALICE = 61998, 61999  # of users that need not exist
WRAPPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dp",
                       "filtered.py")


def unit_text(sbindir, sysconfdir):
    with open(os.path.join(REPO, "conf", "directpushd.service.in")) as f:
        return f.read().replace("@sbindir@", sbindir).replace(
            "@sysconfdir@", sysconfdir)


def unit(sbindir="/usr/sbin", sysconfdir="/etc"):
    """{key: [values]} of the unit's [Service] section."""
    out, section = {}, ""
    for line in unit_text(sbindir, sysconfdir).splitlines():
        if line.startswith("["):
            section = line
        elif "=" in line and line[0] != "#" and section == "[Service]":
            key, _, value = line.partition("=")
            out.setdefault(key, []).append(value)
    return out


def analyze(tmp_path, *arguments):
    path = tmp_path / "directpushd.service"
    path.write_text(unit_text(os.path.dirname(built("directpushd")), "/etc"))
    return subprocess.run(["systemd-analyze", "--no-pager", *arguments,
                           str(path)], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


def test_systemd_takes_every_line(tmp_path):
    done = analyze(tmp_path, "--man=no", "verify")
    ours = [line for line in done.stdout.splitlines() if "directpushd" in line]
    assert done.returncode == 0 and not ours, done.stdout


def test_little_is_left_open(tmp_path):
    """Of 100. What is left: the network, its group, other users' mailboxes, and
    what containers do not bear."""
    done = analyze(tmp_path, "security", "--offline=yes", "--threshold=28")
    assert done.returncode == 0, done.stdout


def syscalls(groups):
    """The calls of systemd's groups, such as @system-service."""
    out = set()
    for name in groups:
        if not name.startswith("@"):
            out.add(name)
            continue
        done = subprocess.run(["systemd-analyze", "--no-pager",
                               "syscall-filter", name], text=True,
                              stdout=subprocess.PIPE, check=True)
        out |= syscalls([line.strip() for line in done.stdout.splitlines()[1:]
                         if line.strip() and line.strip()[0] != "#"])
    return out


def allowed_syscalls(lines):
    """As systemd.exec(5) says: the first makes it a list of what is allowed;
    then these are added, and those with ~ taken out, in order."""
    assert not lines[0].startswith("~")
    allowed = syscalls(["@default"])
    for line in lines:
        if line.startswith("~"):
            allowed -= syscalls(line[1:].split())
        else:
            allowed |= syscalls(line.split())
    return allowed


class Service:
    """directpushd as the unit starts it. @param without  keys of it to drop
    @param action  what a system call that is not allowed leads to"""

    def __init__(self, without=(), action="kill"):
        self.where = tempfile.mkdtemp(prefix="dp-unit-")
        os.chmod(self.where, 0o755)
        shutil.copy(built("directpushd"), self.where)
        self.unit = {k: v for k, v in unit(self.where, self.where).items()
                     if k not in without}
        self.action = action
        self.run, self.state = (os.path.join(self.where, d)
                                for d in ("run", "state"))
        for path, mode in ((self.run, "RuntimeDirectoryMode"),
                           (self.state, "StateDirectoryMode")):
            os.mkdir(path)
            os.chmod(path, int(self.unit[mode][0], 8))
            os.chown(path, OWN, OWN)
        self.socket = os.path.join(self.run, "control.sock")
        self.conf = os.path.join(self.where, "directpush", "directpushd.conf")
        os.mkdir(os.path.dirname(self.conf))
        self.lines = ['runtime_dir = "%s"' % self.run,
                      'state_dir = "%s"' % self.state, 'group = "www-data"',
                      'maildir { path = "%s/home/%%u/Maildir" }' % self.where]
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.where, "notify"))
        os.chown(os.path.join(self.where, "notify"), OWN, OWN)
        self.notify.setblocking(False)
        self.process = None

    def setpriv(self):
        """What User, SupplementaryGroups and the rest are to setpriv(1)."""
        def caps(key):
            names = " ".join(self.unit.get(key, [])).split()
            return ",".join(["-all"] + ["+" + n[4:].lower() for n in names])
        words = ["setpriv", "--reuid=%d" % OWN, "--regid=%d" % OWN,
                 "--groups=" + ",".join(self.unit["SupplementaryGroups"]),
                 "--inh-caps=" + caps("AmbientCapabilities"),
                 "--ambient-caps=" + caps("AmbientCapabilities"),
                 "--bounding-set=" + caps("CapabilityBoundingSet")]
        if self.unit.get("NoNewPrivileges") == ["yes"]:
            words.append("--no-new-privs")
        return words

    def start(self):
        with open(self.conf, "w") as f:
            f.write("\n".join(self.lines) + "\n")
        os.chown(self.conf, 0, OWN)
        os.chmod(self.conf, 0o640)
        command = self.unit["ExecStart"][0].split()
        if "SystemCallFilter" in self.unit:
            names = os.path.join(self.where, "syscalls")
            with open(names, "w") as f:
                f.write("\n".join(sorted(allowed_syscalls(
                    self.unit["SystemCallFilter"]))))
            shutil.copy(WRAPPER, self.where)
            command = ["/usr/bin/python3",
                       os.path.join(self.where, "filtered.py"), names,
                       self.action] + command
        env = dict(os.environ, WATCHDOG_USEC="30000000",
                   NOTIFY_SOCKET=os.path.join(self.where, "notify"))
        self.process = Process(["prlimit", "--core=" + self.unit["LimitCORE"][0],
                                "--nofile=%d" % self.descriptors(), "--"]
                               + self.setpriv() + command, self.output_file(),
                               env=env, cwd="/",
                               umask=int(self.unit["UMask"][0], 8))
        return self

    def descriptors(self):
        """As the unit says, as far as this machine lets us."""
        return min(int(self.unit["LimitNOFILE"][0]),
                   resource.getrlimit(resource.RLIMIT_NOFILE)[1])

    def output_file(self):
        return os.path.join(self.where, "directpushd.out")

    def output(self):
        return self.process.output()

    def ready(self):
        """Type=notify: systemd waits for this."""
        def is_ready():
            try:
                return b"READY=1" in self.notify.recv(4096)
            except BlockingIOError:
                assert self.process.is_running, self.output()
        wait_until(is_ready, self.output)
        return self

    def ask(self, *fields):
        with Control(self.socket) as control:
            return control.ask(*fields)

    def status(self, key):
        with open("/proc/%d/status" % self.process.pid) as f:
            return re.search(r"^%s:\s*(.*)$" % key, f.read(), re.M)[1]

    def mailbox(self, user, uid=ALICE):
        """A Maildir that only its owner may enter, home included."""
        home = os.path.join(self.where, "home", user)
        box = Maildir(os.path.join(home, "Maildir"))
        for path in [home] + [p for p, _, _ in os.walk(home)]:
            os.chown(path, uid, uid)
            os.chmod(path, 0o700)
        return box

    def remove(self):
        if self.process:
            self.process.stop()
        self.notify.close()
        shutil.rmtree(self.where, ignore_errors=True)


@pytest.fixture
def make_service():
    made = []

    def make(**kw):
        made.append(Service(**kw))
        return made[-1]
    yield make
    for service in made:
        service.remove()


def announced(service, user, folder="INBOX", class_="Email"):
    """Watch it. @return whether something has changed since"""
    answer = service.ask("watch", user, class_, folder)
    assert answer[0] == "ok", (answer, service.output())
    slot = int(answer[1])
    bus = Bus(os.path.join(service.run, "bus"))
    wait_until(lambda: bus.view(slot).is_vouched, service.output)
    mark = bus.head
    return lambda: bus.view(slot).changed > mark


def test_as_the_unit_says_a_delivery_is_announced(make_service):
    """Into a Maildir of mode 0700 of another user, in a home of that mode; and
    of the dav section; after a reload and a restart. A system call that the
    unit does not allow would end it here, though there it only fails."""
    service = make_service()
    box = service.mailbox("alice")
    dav = DavServer()
    password = os.path.join(service.where, "dav.password")
    with open(password, "w") as f:
        f.write("secret\n")
    os.chown(password, 0, OWN)
    os.chmod(password, 0o640)
    service.start().ready()

    assert service.status("Uid").split() == [str(OWN)] * 4
    assert service.status("NoNewPrivs") == "1"
    assert service.status("Seccomp") == "2"
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(service.status(name), 16) == 1 << 2, "CAP_DAC_READ_SEARCH"
    with open("/proc/%d/limits" % service.process.pid) as f:
        limits = f.read()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
    n = service.descriptors()
    assert re.search(r"^Max open files +%d +%d " % (n, n), limits, re.M), limits

    told = announced(service, "alice")
    box.deliver("hello")
    wait_until(told, service.output)

    # others' sight of it: the group's, nobody else's
    www = int(subprocess.check_output(["getent", "group", "www-data"],
                                      text=True).split(":")[2])
    for name, mode in (("bus", 0o640), ("control.sock", 0o660)):
        st = os.stat(os.path.join(service.run, name))
        assert (st.st_mode & 0o777, st.st_uid, st.st_gid) == (mode, OWN, www)

    service.lines.append(
        'dav { url = "http://localhost:%d/dav/%%u/"\n interval = 1\n '
        'user = "push"\n password_file = "%s" }' % (dav.port, password))
    with open(service.conf, "w") as f:
        f.write("\n".join(service.lines) + "\n")
    service.process.signal(signal.SIGHUP)
    wait_until(lambda: "read again" in service.output(), service.output)
    told = announced(service, "alice", "personal", "Calendar")
    dav.change()
    wait_until(told, service.output)

    told = announced(service, "alice")
    assert service.process.stop() == 0, service.output()
    box.deliver("while it is away")
    service.start().ready()
    wait_until(told, service.output)
    assert "error:" not in service.output()
    dav.stop()


def test_without_its_capability_it_says_what_is_missing(make_service):
    """So the one above is not in vain."""
    service = make_service(without=["AmbientCapabilities"])
    service.mailbox("alice")
    service.start().ready()
    assert int(service.status("CapEff"), 16) == 0
    answer = service.ask("watch", "alice", "Email", "INBOX")
    said = service.ask("verify", "alice", "Email", "INBOX")
    assert "ermission" in answer[1] + said[1] + service.output(), (answer, said)


PROBE = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
for name, call in (("mount", lambda: libc.mount(b"x", b"/", b"tmpfs", 0, 0)),
                   ("ptrace", lambda: libc.ptrace(0, 0, 0, 0)),
                   ("setuid", lambda: libc.setuid(os.getuid())),
                   ("nice", lambda: libc.setpriority(0, 0, 1)),
                   ("chroot", lambda: libc.chroot(b"/")),
                   ("swapoff", lambda: libc.swapoff(b"/x"))):
    rv = call()
    print(name, rv, errno.errorcode.get(ctypes.get_errno()))
"""


def test_the_filter_of_these_tests_filters(tmp_path):
    """What would be allowed without it fails with EPERM, the unit's word."""
    u = unit()
    assert u["SystemCallErrorNumber"] == ["EPERM"]
    names = tmp_path / "syscalls"
    names.write_text("\n".join(allowed_syscalls(u["SystemCallFilter"])))
    done = subprocess.run([sys.executable, WRAPPER, str(names), "EPERM",
                           "/usr/bin/python3", "-c", PROBE], text=True,
                          stdout=subprocess.PIPE, check=True)
    assert len(done.stdout.splitlines()) == 6
    for line in done.stdout.splitlines():
        assert line.endswith("-1 EPERM"), done.stdout
    done = subprocess.run([sys.executable, WRAPPER, str(names), "kill",
                           "/usr/bin/python3", "-c", PROBE])
    assert done.returncode == -signal.SIGSYS
