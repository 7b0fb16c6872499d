"""The control socket: who may speak, what is answered, and that nobody can
block it. And the program's own manners: arguments, signals, configuration."""
import os
import socket
import subprocess
import time

import pytest

from dp.process import built, wait_until

pytest_plugins = "dp_watcher"

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def raw(rig, data, until=b"\n"):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(rig.watcher.socket)
        s.sendall(data)
        got = b""
        while until not in got:
            more = s.recv(65536)
            if not more:
                break
            got += more
        return got


def test_a_child_introduces_itself(rig):
    assert rig.ask("hello", "module", "1") == ["ok", str(rig.bus.instance)]
    assert rig.ask("hello", "module", "1", "12345")[0] == "ok"
    assert rig.ask("hello", "module", "2")[0] == "no"


@pytest.mark.parametrize("line", [
    b"\n", b"nonsense\n", b"watch\n", b"watch\ta\tEmail\n", b"watch\t%zz\tE\tI\n",
    b"watch\ta\tb\tc\td\te\tf\tg\n", b"publish\talice\tEmail\tINBOX\tmaybe\n",
    b"publish\talice\tUnknown\tINBOX\n", b"\xff\xfe\x00\n", b"wake\r\n",
    b"publish\t..\tEmail\tINBOX\n", b"publish\talice\tEmail\t../x\n"])
def test_what_is_no_request_is_answered_no(rig, line):
    answer = raw(rig, line)
    assert answer.startswith(b"no\t") and answer.endswith(b"\n")


def test_a_line_without_end_is_hung_up_on(rig):
    with pytest.raises(ConnectionResetError):
        raw(rig, b"x" * 10000)
    assert rig.watcher.answers()


def test_requests_may_come_in_pieces_and_in_bunches(rig):
    rig.maildir()
    bunch = b"watch\talice\tEmail\tINBOX\n" * 300
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(rig.watcher.socket)
        for i in range(0, len(bunch), 7):
            s.send(bunch[i:i + 7])
        s.shutdown(socket.SHUT_WR)
        got = all_of(s)
    assert got.count(b"ok\t") == 300, set(got.split(b"\n"))


def all_of(s):
    got = b""
    while True:
        more = s.recv(65536)
        if not more:
            return got
        got += more


@pytest.mark.parametrize("line", [b"nonsense\n", b"status\n",
                                  b"watch\talice\tEmail\tINBOX\n"])
@pytest.mark.parametrize("is_small", [False, True])
def test_who_asks_much_and_hangs_up_gets_all_answers(rig, line, is_small):
    """More than the socket takes at once, read only after the hang-up."""
    rig.maildir()
    # status says much: written singly, its answers stop the reading too soon
    asked = 100 if is_small and line == b"status\n" else 1000
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(rig.watcher.socket)
        if is_small:
            for _ in range(asked):
                s.sendall(line)
        else:
            s.sendall(line * asked)
        s.shutdown(socket.SHUT_WR)
        assert rig.watcher.answers()
        got = all_of(s)
    end = b".\n" if line == b"status\n" else b"\n"
    assert got.count(end) == asked


def test_who_does_not_read_answers_is_not_read_from(rig):
    rig.maildir()
    with socket.socket(socket.AF_UNIX) as s:
        s.setblocking(False)
        s.connect(rig.watcher.socket)
        sent = 0
        try:
            while sent < 100 << 20:
                sent += s.send(b"watch\tx\tNothing\tINBOX\n" * 100)
        except BlockingIOError:
            pass
        for _ in range(5):
            assert rig.watcher.answers()
        wait_until(lambda: not would_send(s), "the watcher stops reading")
        assert sent < 100 << 20
    rig.watch()


def would_send(s):
    try:
        return s.send(b"watch\tx\tNothing\tINBOX\n" * 100) > 0
    except BlockingIOError:
        return False


def test_wakes_that_are_not_read_block_nobody(rig):
    box = rig.maildir()
    inbox = rig.watch()
    with rig.watcher.control() as wake:
        assert wake.ask("wake") == ["ok"]
        for _ in range(3000):
            rig.ask("publish", "alice", "Email", "INBOX")
        inbox.settle()
        box.deliver("hello")
        inbox.wait("new")
        assert wake.file.read(1) == b"w"


def test_a_follower_that_does_not_read_is_hung_up_on(rig):
    rig.maildir()
    rig.watch()
    with rig.watcher.control() as follower, rig.watcher.control() as c:
        follower.say("follow")
        before = rig.watcher.status()["connections"]
        line = b"publish\talice\tEmail\tINBOX\n" * 200

        def publish():
            c.sock.sendall(line)
            for _ in range(200):
                c.line()
            return rig.watcher.status()["connections"] < before
        wait_until(publish, every=0)


def test_publish_answers_with_the_change_before(rig):
    rig.maildir()
    inbox = rig.watch()
    first = rig.ask("publish", "alice", "Email", "INBOX")
    second = rig.ask("publish", "alice", "Email", "INBOX", "other")
    assert first[0] == second[0] == "ok"
    assert second[2] == first[1] and int(second[1]) > int(first[1])
    assert inbox.kinds() == ["new", "other"]
    assert inbox.view.changed_new == int(first[1])
    unknown = rig.ask("publish", "alice", "Calendar", "personal")
    assert unknown == ["ok", str(int(second[1]) + 1), "0"]


def test_publish_by_guid_reaches_the_folder(rig):
    box = rig.maildir().create("Sub")
    name = "/guid/" + box.guid("Sub")
    sub = rig.watch(folder=name)
    assert rig.ask("publish", "alice", "Email", name)[0] == "ok"
    assert sub.kinds() == ["new"]


def test_pings_and_forgets_are_journalled(rig):
    bus, before = rig.bus, rig.bus.head
    with rig.watcher.control() as c:
        c.say("ping", "0123456789abcdef" * 2, "77")
        c.say("ping", "short", "77")
        assert c.ask("forget", "alice", "device")[0] == "ok"
        assert c.ask("forget", "alice")[0] == "ok"
    assert [kind for _, kind, _ in bus.records(before)] == [
        "ping", "forget", "forget"]


def test_follow_tells_each_change_with_its_folder(rig):
    box = rig.maildir()
    rig.watch()
    with rig.watcher.control() as c:
        c.say("follow")
        wait_until(lambda: rig.watcher.status()["connections"] >= 2)
        box.deliver("hello")
        seq, user, class_, folder, kind = c.line()
        assert (user, class_, folder, kind) == ("alice", "Email", "INBOX",
                                                "new")
        assert int(seq) <= rig.bus.head


# --- who may speak ---

def as_user(rig, uid, gid, groups, *fields):
    """What another system user is answered."""
    text = ("import socket, os\n"
            "os.setgroups(%r); os.setgid(%d); os.setuid(%d)\n"
            "s = socket.socket(socket.AF_UNIX); s.settimeout(60)\n"
            "s.connect(%r)\n"
            "try: s.sendall(%r)\n"
            "except BrokenPipeError: pass\n"
            "print(s.recv(1000).decode(), end='')\n"
            % (groups, gid, uid, rig.watcher.socket,
               ("\t".join(fields) + "\n").encode()))
    done = subprocess.run(["/usr/bin/python3", "-c", text],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    return done.stdout or done.stderr


@ROOT
def test_group_members_may_ask_but_not_look_around(make_rig):
    rig = make_rig(group="www-data")
    os.chmod(rig.where, 0o755)
    os.chmod(rig.watcher.runtime_dir, 0o755)
    www = os.stat(rig.watcher.socket).st_gid
    rig.maildir()
    for gid, groups in ((www, []), (65534, [www])):
        assert as_user(rig, 65534, gid, groups, "watch", "alice", "Email",
                       "INBOX").startswith("ok\t")
        assert as_user(rig, 65534, gid, groups, "status").startswith("no\t")
        assert as_user(rig, 65534, gid, groups, "follow").startswith("no\t")
    assert "Permission" in as_user(rig, 65534, 65534, [], "hello", "module",
                                   "1")
    os.chmod(rig.watcher.socket, 0o666)  # by mistake
    assert as_user(rig, 65534, 65534, [], "hello", "module",
                   "1").startswith("no\t")


@ROOT
def test_a_user_has_so_many_connections(make_rig):
    rig = make_rig(group="www-data", conf=["connections = 3"])
    rig.allow("no more (connections)")
    os.chmod(rig.where, 0o755)
    os.chmod(rig.watcher.runtime_dir, 0o755)
    www = os.stat(rig.watcher.socket).st_gid
    text = ("import socket, os\n"
            "os.setgroups([]); os.setgid(%d); os.setuid(65534)\n"
            "keep = []\n"
            "for i in range(5):\n"
            "    s = socket.socket(socket.AF_UNIX); s.connect(%r)\n"
            "    s.settimeout(60); keep.append(s)\n"
            "    try: s.sendall(b'hello\\tmodule\\t1\\n')\n"
            "    except BrokenPipeError: pass\n"
            "    print(s.recv(100).decode()[:2])\n" % (www,
                                                      rig.watcher.socket))
    done = subprocess.run(["/usr/bin/python3", "-c", text], text=True,
                          stdout=subprocess.PIPE)
    assert done.stdout.split() == ["ok", "ok", "ok", "no", "no"]
    assert rig.watcher.answers()


# --- reload ---

def test_a_reload_keeps_watches(rig):
    box = rig.maildir()
    inbox = rig.watch()
    mark = rig.bus.head
    rig.watcher.more = ['log_level = "debug"']
    rig.watcher.reload()
    wait_until(lambda: "read again" in rig.watcher.output())
    assert inbox.is_clean(mark)
    box.deliver("hello")
    inbox.wait("new")


def test_a_broken_configuration_is_said_and_the_old_one_stays(rig):
    rig.allow("directpushd.conf:")
    box = rig.maildir()
    inbox = rig.watch()
    rig.watcher.more = ["nonsense = 1"]
    rig.watcher.reload()
    wait_until(lambda: "old configuration stays" in rig.watcher.output())
    box.deliver("hello")
    inbox.wait("new")


def test_another_path_is_another_mailbox(rig):
    rig.maildir().deliver("hello")
    inbox = rig.watch()
    mark = rig.bus.head
    elsewhere = os.path.join(rig.mail, "alice", "Elsewhere")
    rig.watcher.maildir = os.path.join(rig.mail, "%u", "Elsewhere")
    from dp.maildir import Maildir
    box = Maildir(elsewhere)
    rig.watcher.reload()
    wait_until(lambda: inbox.view.is_vouched and not inbox.is_clean(mark))
    rig.watcher.status()
    inbox.settle()
    box.deliver("hello")
    inbox.wait("new")
    assert rig.ask("verify", "alice", "Email", "INBOX")[1].count(elsewhere)


def test_sources_can_be_switched_off_and_on(rig):
    rig.maildir()
    inbox = rig.watch()
    template, rig.watcher.maildir = rig.watcher.maildir, None
    rig.watcher.reload()
    wait_until(lambda: not inbox.is_current)
    assert "no source" in rig.refused("alice")
    rig.watcher.maildir = template
    rig.watcher.reload()
    wait_until(lambda: rig.ask("watch", "alice", "Email", "INBOX")[0] == "ok")


def test_another_default_domain_is_other_users(make_rig):
    rig = make_rig(template="%d/%n/Maildir", default_domain="one.example")
    rig.maildir("one.example/alice")
    inbox = rig.watch("alice")
    rig.watcher.default_domain = "two.example"
    rig.watcher.reload()
    wait_until(lambda: not inbox.is_current)
    rig.maildir("two.example/alice")
    rig.watch("alice")


@pytest.mark.parametrize("line, expected", [
    ("nonsense = 1", ":3: no such option 'nonsense': expected runtime_dir"),
    ("topics = 100", ":3: topics = 100: expected a power of two"),
    ("topics = many", ":3: invalid integer value"),
    ("user_topics = 0", ":3: user_topics = 0: expected a number from 1"),
    ('group = "nobody here"', ":3: group = \"nobody here\": expected the name"),
    ('log_level = "loud"', ":3: log_level = \"loud\": expected error, warn"),
    ('runtime_dir = "run"', ":3: runtime_dir = \"run\": expected an absolute"),
    ('maildir { path = "/mail/%x" }', ":3: path = \"/mail/%x\": expected %u"),
    ('maildir { path = "/mail/all" }', ":3: path = \"/mail/all\": expected %u"),
    ('maildir { path = "mail/%u" }', ":3: path = \"mail/%u\": expected an abs"),
    ('maildir { network = "nfs" }', "expected poll or refuse"),
    ("maildir { }", ":3: maildir: expected path ="),
    ("topics 3", ":3: missing equal sign"),
    ('maildir { path = "/m/%u" }\nmaildir { path = "/m/%u" }',
     ":4: expected one maildir section")])
def test_mistakes_are_told_by_file_and_line(make_rig, line, expected):
    rig = make_rig(start=False)
    rig.watcher.maildir, rig.watcher.more = None, [line]
    rig.watcher.write()
    for argument in ("-t", "-F"):
        done = subprocess.run([built("directpushd"), argument, "-c",
                               rig.watcher.conf], stderr=subprocess.PIPE,
                              text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 1
        assert rig.watcher.conf + expected in done.stderr or (
            expected in done.stderr)
        assert len(done.stderr.splitlines()) == 1


def test_the_shipped_configurations_are_fine():
    root = os.path.join(os.path.dirname(__file__), "..", "..", "conf")
    for name in ("directpushd.conf", "directpushd-reference.conf"):
        done = subprocess.run([built("directpushd"), "-t", "-c",
                               os.path.join(root, name)],
                              stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text, expected", [
    ("", "nothing is watched"),
    ('maildir { path = "/var/nowhere/%u/Maildir" }',
     "/var/nowhere/ is not there")])
def test_what_is_hardly_meant_is_warned_of(tmp_path, text, expected):
    conf = tmp_path / "directpushd.conf"
    conf.write_text(text + "\n")
    done = subprocess.run([built("directpushd"), "-t", "-c", str(conf)],
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert expected in done.stdout
    assert "configuration is fine" in done.stdout


# --- directpushctl ---

def test_ctl_publishes_follows_and_verifies(rig):
    box = rig.maildir()
    inbox = rig.watch()
    follower = subprocess.Popen(
        [built("directpushctl"), "-s", rig.watcher.socket, "follow"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: rig.watcher.status()["connections"] >= 2)
    done = rig.watcher.ctl("publish", "alice", "Email", "INBOX", "other")
    assert "published as change" in done.stdout
    assert inbox.kinds() == ["other"]
    line = follower.stdout.readline().split()
    assert line[2:] == ["other", "alice", "Email", "INBOX"]
    done = rig.watcher.ctl("verify", "alice", "Email", "INBOX")
    assert ": watched: " in done.stdout and "Maildir" in done.stdout
    done = rig.watcher.ctl("verify", "alice", "Calendar", check=False)
    assert done.returncode == 1 and "no source" in done.stdout
    done = rig.watcher.ctl("verify", "alice", "Calender", check=False)
    assert done.returncode == 1 and "Email, Calendar" in done.stdout
    box.create("Sub")
    wait_until(lambda: "can be watched: " in rig.watcher.ctl(
        "verify", "alice", "Email", "Sub", check=False).stdout)
    assert rig.watcher.ctl("verify", "alice", "Email", "Sub").returncode == 0
    done = rig.watcher.ctl("verify", "alice", "Email", "Nothing", check=False)
    assert done.returncode == 1 and "no folder" in done.stdout
    done = rig.watcher.ctl("check")
    assert "alive" in done.stdout
    assert rig.watcher.ctl("forget", "alice", "phone").returncode == 0
    import json
    status = json.loads(rig.watcher.ctl("status", "--json").stdout)
    assert status["pid"] == rig.watcher.pid
    assert "topics_watched" in rig.watcher.ctl("status").stdout
    rig.watcher.stop()
    assert follower.wait(60) == 3
    assert "gone" in follower.stderr.read()


@pytest.mark.parametrize("arguments, status", [
    ([], 2), (["nonsense"], 2), (["publish", "alice"], 2), (["--help"], 0),
    (["--version"], 0), (["-x"], 2), (["status", "now"], 2)])
def test_ctl_tells_how_it_is_used(arguments, status):
    done = subprocess.run([built("directpushctl")] + arguments, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == status
    assert done.stdout or done.stderr


@pytest.mark.parametrize("arguments, told", [
    (["bogus"], ['no command "bogus"', "publish, status, follow, forget"]),
    (["publish", "alice"], ["too few", "directpushctl publish alice Email"]),
    (["forget"], ["too few", "directpushctl forget alice"]),
    (["check", "it"], ["too many arguments for check"]),
    (["publish", "alice", "Email", "INBOX", "bogus"], ["new or other"]),
    (["publish", "alice", "Calender", "*"], ["Email, Calendar"])])
def test_ctl_names_what_is_wrong(rig, arguments, told):
    done = rig.watcher.ctl(*arguments, check=False)
    assert done.returncode == 2
    for text in told:
        assert text in done.stderr


def test_ctl_says_that_nothing_is_known_of_whom_it_forgets(rig):
    rig.maildir()
    rig.watch()
    assert "Nothing was known" not in rig.watcher.ctl("forget", "alice").stdout
    done = rig.watcher.ctl("forget", "nosuch")
    assert done.returncode == 0 and "Nothing was known" in done.stdout
    assert "nosuch" in done.stdout.split("Nothing was known", 1)[1]


def test_ctl_says_what_to_do_without_a_watcher(rig):
    rig.watcher.stop()
    done = rig.watcher.ctl("status", check=False)
    assert done.returncode == 3 and "systemctl start" in done.stderr
    done = subprocess.run([built("directpushctl"), "-c", "/nonexistent",
                           "status"], text=True, stderr=subprocess.PIPE)
    assert done.returncode == 2 and "/nonexistent" in done.stderr


@ROOT
def test_ctl_says_who_may_use_the_socket(rig):
    os.chmod(rig.where, 0o755)
    os.chmod(rig.watcher.runtime_dir, 0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         built("directpushctl"), "-s", rig.watcher.socket, "status"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if "setpriv" in done.stderr and "ermission" in done.stderr:
        pytest.skip("another user can't run what is built here")
    assert done.returncode == 3 and "group" in done.stderr


def test_the_watcher_signs_that_it_lives(rig):
    first = rig.bus.alive_us
    wait_until(lambda: rig.bus.alive_us > first)
    assert abs(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6
               - rig.bus.alive_us) < 60e6
