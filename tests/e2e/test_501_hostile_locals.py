"""Hostile processes on the same machine: at the control socket, at the bus file,
and with the rights of an Apache child, which may lie to directpushd but neither
stop it, nor fill it, nor keep it from others, nor read what is not Apache's."""
import os
import signal
import socket
import subprocess

import pytest

from dp import sanitizers
from dp.process import wait_until

pytest_plugins = "dp_watcher"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

WWW, NOBODY = 33, 65534

# What a hostile process begins with: argv is the socket's path, then the rest.
BEGIN = """
import os, socket, sys, time
os.setgroups([]); os.setgid(%(gid)d); os.setuid(%(uid)d)
path = sys.argv[1]
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s
def say(what):
    print(what, flush=True)
"""


class Hostile:
    """A process of another user that runs `text`; its lines are what it says."""

    def __init__(self, text, path, uid=WWW, gid=WWW):
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-c", BEGIN % dict(uid=uid, gid=gid) + text,
             path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def lines(self):
        return self.process.stdout.read().splitlines()


@pytest.fixture
def open_rig(make_rig):
    """A rig whose directories others can enter, as /run/directpush."""
    def make(**kw):
        rig = make_rig(group="www-data", **kw)
        os.chmod(rig.where, 0o755)
        os.chmod(rig.watcher.runtime_dir, 0o755)
        return rig
    return make


def rss_kb(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(next(x for x in f if x.startswith("VmRSS")).split()[1])


def is_served(rig):
    """Another peer's publish is answered."""
    return rig.ask("publish", "alice", "Email", "INBOX")[0] == "ok"


# --- the control socket ---

def test_three_hundred_who_flood_delay_nobody_by_much(rig):
    """All have thousands of lines waiting when another one asks. How many of
    theirs come first is counted in the bus, of which each is one change."""
    rig.maildir()
    rig.watch()
    before = rig.bus.head
    rig.watcher.process.signal(signal.SIGSTOP)
    line = b"publish\tx\tNotes\ty\n"
    flooders = []
    for _ in range(300):
        s = socket.socket(socket.AF_UNIX)
        s.connect(rig.watcher.socket)
        s.setblocking(False)
        flooders.append(s)
        for _ in range(30):
            try:
                s.send(line * 100)
            except BlockingIOError:
                break
    with rig.watcher.control() as control:
        control.say("publish", "alice", "Email", "INBOX")
        rig.watcher.process.signal(signal.SIGCONT)
        answer = control.line()
    for s in flooders:
        s.close()
    assert answer[0] == "ok"
    # 5 ms of them in each of some turns, on whatever machine; each of them
    # that long in each turn would be a hundred times as many
    assert int(answer[1]) - before < 40000


def test_a_process_gets_not_all_that_its_user_gets(open_rig):
    rig = open_rig()
    rig.allow("gets no more: see what it is")
    text = """
keep, said = [], []
for i in range(100):
    s = connect(); keep.append(s)
    try: s.sendall(b"hello\\tmodule\\t1\\n")
    except BrokenPipeError: pass
    said.append(s.recv(100)[:2].decode())
say(" ".join(said))
time.sleep(600)
"""
    with Hostile(text, rig.watcher.socket) as first:
        said = first.line().split()
        assert said == ["ok"] * 64 + ["no"] * 36
        with Hostile(text, rig.watcher.socket) as second:
            assert second.line().split().count("ok") == 64
    assert rig.watcher.output().count("gets no more") == 1
    assert rig.watcher.status()["connections_refused"] == 72
    wait_until(lambda: rig.watcher.status()["connections"] == 1)


def test_invented_users_do_not_fill_the_table(make_rig):
    """In classes that nobody watches, and as mailboxes that are not there yet."""
    rig = make_rig(conf=["topics = 2048"])
    rig.allow("half of the table")
    rig.maildir("alice")
    with rig.watcher.control() as control:
        for i in range(1500):
            control.say("watch", "ghost%d" % i, "Hierarchy", "*")
            control.say("watch", "ghost%d" % i, "Notes", "x%d" % i)
            control.line(), control.line()
        assert "nobody vouches for" in control.ask(
            "watch", "another", "Hierarchy", "*")[1]
    assert rig.watcher.output().count("half of the table") == 1
    assert rig.watcher.status()["wants"] <= 1025
    inbox = rig.watch("alice")
    rig.maildir("alice").deliver("hello")
    inbox.wait("new")
    for i in range(100):
        rig.maildir("user%d" % i)
        rig.watch("user%d" % i)
    # it was watched, and is a real one's: it may stay when its mailbox goes
    assert rig.ask("watch", "user0", "Notes", "*")[0] == "no"
    assert rig.watcher.output().count("half of the table") == 1


GARBAGE = {
    "a line without end": "data = b'x' * 65536",
    "a bit of a line": "data = b'watch\\talice'; once = True",
    "NUL": "data = b'\\0' * 1000 + b'\\n'",
    "no UTF-8": "data = b'watch\\t\\xff\\xfe\\tEmail\\t\\xc3\\x28\\n' * 100",
    "escapes": "data = b'watch\\t%2e%2e%2f%00\\t%45mail\\t%\\n' * 100",
    "no newlines but returns": "data = b'status\\r' * 1000",
    "answers that nobody reads": "data = b'verify\\ta\\tEmail\\tINBOX\\n' * 100",
    "empty lines": "data = b'\\n' * 65536",
    "changes": "data = b'publish\\ta\\tEmail\\tINBOX\\n' * 100",
    "invented mailboxes": "data = b''.join(b'watch\\tghost%d\\tEmail\\t*\\n' % k"
                          " for k in range(1000))",
    "others' Pings": "data = b'ping\\t' + b'0123456789abcdef' * 2"
                     " + b'\\t18446744073709551615\\n'; data *= 100",
    "forgets": "data = b'forget\\talice\\n' * 100",
    "wakes": "data = b'wake\\n'; once = True",
}
FLOOD = """
import select
once = False
%s
keep = []
def again():
    try: s = connect()
    except OSError: return
    s.setblocking(False); keep.append(s)
for i in range(60): again()
for turn in range(60):
    for s in list(keep):
        try:
            if not once or turn == 0: s.send(data)
        except BlockingIOError: pass
        except OSError: keep.remove(s); s.close(); again()
say("full")
while True:
    for s in list(keep):
        try:
            if not once: s.send(data)
        except BlockingIOError: pass
        except OSError: keep.remove(s); s.close(); again()
    time.sleep(0.01)
"""


@pytest.mark.parametrize("what", list(GARBAGE))
def test_garbage_of_sixty_connections_harms_nobody(open_rig, what):
    rig = open_rig(conf=["topics = 2048"])
    rig.allow("half of the table")
    rig.allow("gets no more: see what it is")
    box = rig.maildir()
    inbox = rig.watch()
    inbox.settle()
    before = rss_kb(rig.watcher.pid)
    with Hostile(FLOOD % GARBAGE[what], rig.watcher.socket) as hostile:
        assert hostile.line() == "full", hostile.lines()
        for _ in range(20):
            assert is_served(rig)
        mark = rig.bus.head
        box.deliver("hello")
        wait_until(lambda: inbox.view.changed_new > mark)
        grown = rss_kb(rig.watcher.pid) - before
    # each peer: a line, answers up to twice 64 KB; and 1,000 mailboxes
    assert grown < 60 * 160 + 4096 or sanitizers.library(), \
        "%d KB more" % grown
    wait_until(lambda: rig.watcher.status()["connections"] == 1)
    said = len(rig.watcher.output().splitlines())
    assert said < 10, "%d lines in the log" % said


# --- files, memory, signals ---

TRY = """
import errno, mmap
def attempt(name, f):
    try: f()
    except OSError as e: say(name + " " + errno.errorcode[e.errno])
    else: say(name + " done")
run = os.path.dirname(path)
"""


def attempts(rig, uid, gid, tries):
    text = TRY + "pid = %d\nstate = %r\n" % (rig.watcher.pid,
                                             rig.watcher.state_dir)
    for name, code in tries.items():
        text += "attempt(%r, lambda: %s)\n" % (name, code)
    with Hostile(text, rig.watcher.socket, uid, gid) as hostile:
        return dict(line.rsplit(" ", 1) for line in hostile.lines())


COMMON = {
    "write bus": "open(run + '/bus', 'r+b')",
    "truncate bus": "os.truncate(run + '/bus', 0)",
    "remove bus": "os.unlink(run + '/bus')",
    "replace bus": "os.rename('/etc/hostname', run + '/bus')",
    "remove socket": "os.unlink(path)",
    "another bus": "open(run + '/bus.new', 'wb')",
    "a link": "os.symlink('/etc/passwd', run + '/bus.tmp')",
    "write state": "open(state + '/x', 'wb')",
    "memory": "open('/proc/%d/mem' % pid, 'rb')",
    "environment": "open('/proc/%d/environ' % pid, 'rb').read()",
    "descriptors": "os.listdir('/proc/%d/fd' % pid)",
    "kill": "os.kill(pid, 9)",
    "stop": "os.kill(pid, 19)",
}
REFUSED = {"EACCES", "EPERM", "EXDEV"}


def test_others_can_touch_nothing(open_rig):
    """Neither a stranger, who may not even look, nor a child of Apache."""
    rig = open_rig()
    rig.maildir()
    inbox = rig.watch()
    stranger = dict(COMMON, read="open(run + '/bus', 'rb')",
                    connect="connect()")
    got = attempts(rig, NOBODY, NOBODY, stranger)
    assert set(got) == set(stranger)
    assert not {k: v for k, v in got.items() if v not in REFUSED}

    child = dict(COMMON, read="open(run + '/bus', 'rb')", connect="connect()")
    got = attempts(rig, WWW, WWW, child)
    assert got.pop("read") == "done" and got.pop("connect") == "done"
    assert not {k: v for k, v in got.items() if v not in REFUSED}
    rig.maildir().deliver("hello")
    inbox.wait("new")


def test_what_is_kept_of_mailboxes_is_not_for_apache(open_rig):
    """Names of users and folders, in files that only directpushd reads."""
    rig = open_rig()
    rig.maildir()
    rig.watch()
    rig.watcher.stop()
    files = [os.path.join(rig.watcher.state_dir, f)
             for f in os.listdir(rig.watcher.state_dir)]
    assert files
    for path in files:
        assert os.stat(path).st_mode & 0o007 == 0, path
    rig.watcher.start()


def test_each_bus_has_a_key_of_its_own(make_rig):
    """Nobody can choose names that collide in the table, on another machine
    either."""
    keys = {make_rig().bus.hash_key for _ in range(3)}
    assert len(keys) == 3 and all(len(set(key)) > 8 for key in keys)


# --- a child that was taken over ---

LIAR = """
wake = connect(); wake.sendall(b"wake\\n")  # and never reads it
keep = [wake]
for i in range(20):
    s = connect(); s.setblocking(False); keep.append(s)
    s.send(b"hello\\tmodule\\t1\\n")
lies = [b"ping\\t" + os.urandom(16).hex().encode() + b"\\t99999999999999999\\n"
        for _ in range(200)]
lies += [b"publish\\tbob\\tEmail\\tINBOX\\n", b"publish\\tghost\\tNotes\\tx\\n"]
lies += [b"watch\\tghost%d\\tEmail\\t*\\n" % i for i in range(2000)]
at = 0
while True:
    for s in keep[1:]:
        try: s.send(b"".join(lies[at:at + 20]))
        except BlockingIOError: pass
    at = (at + 20) % len(lies)
    if at < 20: say("lied")
"""


def test_a_child_that_lies_keeps_no_news_from_others(make_site):
    site = make_site(watcher_conf=["topics = 4096"])
    phone, ping = site.held_phone()
    with Hostile(LIAR, site.watcher.socket) as liar:
        for _ in range(2):
            assert liar.line() == "lied"
        mail = site.mails().deliver("for alice")
        site.told(phone, "INBOX", ping=ping, mail=mail)
        other = site.synced_phone(user="carol")
        mail = site.mails("carol").deliver("for carol")
        site.told(other, "INBOX", mail=mail)
        assert site.watcher.answers()
    assert site.watcher.output().count("warning:") <= 1
