"""The dav source and servers that are slow, gone, hostile or wrong: nothing is
lost, nothing is made up, nobody is hammered, and the log says what to do."""
import os
import subprocess
import time

import pytest

from dav_server import BOMB, DavServer
from dp.process import built, wait_until

pytest_plugins = "dp_watcher"


@pytest.fixture
def server():
    server = DavServer()
    yield server
    server.stop()


@pytest.fixture
def make_rig(server, make_rig):
    """A server that ends before directpushd would be a trouble, rightly."""
    return make_rig


def section(rig_dir, server, interval=1, **more):
    path = os.path.join(rig_dir, "dav.password")
    with open(path, "w") as f:
        f.write("secret\n")
    os.chmod(path, 0o600)
    more.setdefault("user", "push")
    more.setdefault("password_file", path)
    return ("dav { url = \"http://127.0.0.1:%d/dav/%%u/\"\n interval = %d\n"
            % (server.port, interval)
            + "".join(' %s = "%s"\n' % pair for pair in more.items()) + "}")


@pytest.fixture
def dav(make_rig, server):
    rig = make_rig(start=False)
    rig.watcher.more.append(section(rig.where, server))
    rig.server = server
    return rig.start()


def rounds(server, n=2):
    """Wait until so many looks more have begun."""
    before = server.looks()
    wait_until(lambda: server.looks() >= before + n, "rounds of looks")


def test_a_change_is_told_once_and_to_the_right_ones(dav, server):
    server.homes["Calendar"]["team"] = "x"
    personal = dav.watch("alice", "personal", "Calendar")
    team = dav.watch("alice", "team", "Calendar")
    tasks = dav.watch("alice", "*", "Tasks")
    contacts = dav.watch("alice", "*", "Contacts")
    server.change("team")
    team.wait("new")
    tasks.wait("new")
    rounds(server, 3)
    assert not team.kinds() and not tasks.kinds()
    assert not personal.kinds() and not contacts.kinds()
    server.change(home="Contacts")
    contacts.wait("new")
    assert not team.kinds()


def test_a_second_is_looked_at_again_when_it_is_over(dav, server):
    server.homes["Calendar"]["personal"] = str(int(time.time()) - 100)
    server.items = []
    t = dav.watch("alice", "*", "Calendar")
    server.items = [("/a/1.ics", "1")]
    server.change(tag=str(int(time.time())))
    t.wait("new")
    server.items = [("/a/1.ics", "1"), ("/a/2.ics", "1")]  # the same second
    t.wait("new")
    wait_until(lambda: dav.watcher.status()["dav_collections_unsettled"] == 0,
               "settled")
    rounds(server)
    assert not t.kinds()


@pytest.mark.parametrize("most", [1, 0])
def test_a_change_behind_the_end_of_a_list_that_is_cut_off_is_told(dav, server,
                                                                   most):
    server.homes["Calendar"]["personal"] = str(int(time.time()) - 1000)
    server.items, server.most = [], most
    t = dav.watch("alice", "*", "Calendar")
    for n in range(1, 4):
        server.items = [("/a/%d.ics" % i, "1") for i in range(n)]
        server.change(tag=str(int(time.time()) - 900 + n))
        t.wait("new")
        wait_until(lambda: dav.watcher.status()["dav_collections_unsettled"]
                   == 0, "settled")
    rounds(server)
    assert not t.kinds() and t.view.is_vouched


def test_a_publish_and_its_change_are_one_announcement(dav, server):
    t = dav.watch("alice", "*", "Calendar")
    for _ in range(5):
        server.change()
        answer = dav.ask("publish", "alice", "Calendar", "*", "new")
        assert answer[0] == "ok" and answer[1] == answer[2]
        t.wait("new")
        rounds(server)
        assert not t.kinds()


def test_a_publish_during_a_look_is_looked_at_again(dav, server):
    t = dav.watch("alice", "*", "Calendar")
    for _ in range(20):  # at any moment of the rounds
        for _ in range(5):
            server.change()
            dav.ask("publish", "alice", "Calendar", "*", "new")
        t.wait("new")
    rounds(server)
    t.settle()
    rounds(server)
    assert not t.kinds()


def test_a_publish_that_no_look_shows_is_announced(dav, server):
    t = dav.watch("alice", "*", "Calendar")
    dav.watcher.publish("alice", "*", "Calendar")
    t.wait("new")


def test_a_publish_is_announced_though_the_server_hangs(dav, server):
    t = dav.watch("alice", "*", "Calendar")
    server.hangs = True
    dav.watcher.publish("alice", "*", "Calendar")
    t.wait("new")
    server.hangs = False
    server.released.set()


HOSTILE = [
    ((503, [], ""), "the server answers 503"),
    ((429, [("Retry-After", "1")], ""), "the server answers 429"),
    ((302, [("Location", "http://elsewhere.test/")], ""),
     "redirects to http://elsewhere.test/"),
    ((207, [], BOMB), "document type declaration"),
    ((207, [], "<html>sign in</html>"), "no DAV multistatus"),
    ((200, [], "hello"), "status 207"),
    ((207, [], "<" * 100000), "can't be used"),
    ((404, [], ""), "there is nothing"),
]


@pytest.mark.parametrize("says,line", HOSTILE, ids=[h[1] for h in HOSTILE])
def test_a_server_that_fails_and_recovers(dav, server, says, line):
    dav.allow(line)
    t = dav.watch("alice", "*", "Calendar")
    mark = t.mark()
    server.says = says
    wait_until(lambda: not t.view.is_vouched, "no longer vouched for")
    rounds(server)
    assert dav.watcher.output().count(line) == 1
    assert "secret" not in dav.watcher.output()
    server.says = None
    t.wait_vouched()
    assert t.is_clean(mark)  # nothing happened meanwhile
    t.settle()
    server.says = says
    wait_until(lambda: not t.view.is_vouched, "no longer vouched for")
    server.change()
    server.says = None
    t.wait("new")
    assert not t.is_clean(mark)


def test_wrong_passwords_are_not_tried_again_and_again(dav, server):
    dav.allow("the server answers 401")
    t = dav.watch("alice", "*", "Calendar")
    server.says = (401, [], "")
    wait_until(lambda: not t.view.is_vouched, "no longer vouched for")
    tried = server.looks()
    dav.watcher.publish("alice", "*", "Calendar")
    other = dav.watch("bob", "*", "Calendar", vouched=False)
    wait_until(lambda: server.looks("bob") == 1, "bob is tried")
    assert server.looks("alice") == tried
    server.says = None
    dav.watcher.reload()  # the administrator has seen to it
    t.wait_vouched()
    other.wait_vouched()


def test_a_server_that_is_gone(dav, server):
    dav.allow("dav: ")
    t = dav.watch("alice", "*", "Calendar")
    mark = t.mark()
    server.stop()
    wait_until(lambda: not t.view.is_vouched, "no longer vouched for")
    server.start()
    t.wait_vouched()
    assert t.is_clean(mark)


def test_a_restart_misses_nothing_and_makes_nothing_up(dav, server):
    t = dav.watch("alice", "*", "Calendar")
    mark = t.mark()
    dav.watcher.restart()
    t.wait_vouched()
    assert t.is_clean(mark)
    dav.watcher.stop()
    server.change()
    dav.watcher.start()
    t.wait_vouched()
    assert not t.is_clean(mark)


def test_collections_come_and_go(dav, server):
    dav.maildir("alice")
    all_ = dav.watch("alice", "*", "Calendar")
    hierarchy = dav.watch("alice", "*", "Hierarchy")
    server.homes["Calendar"]["team"] = "x"
    all_.wait("new")
    hierarchy.wait("new")
    team = dav.watch("alice", "team", "Calendar")
    del server.homes["Calendar"]["team"]
    wait_until(lambda: not team.view.is_vouched, "no longer vouched for")
    hierarchy.wait("new")
    assert all_.view.is_vouched


def test_the_owners_change_is_looked_for_at_the_subscriber(make_rig, server):
    rig = make_rig(start=False)
    rig.watcher.more.append(section(rig.where, server, interval=3600))
    rig.start()
    server.homes["Calendar"]["alice_personal"] = "x"
    rig.watch("alice", "*", "Calendar")
    bob = rig.watch("bob", "alice_personal", "Calendar")
    server.change("alice_personal")
    rig.watcher.publish("alice", "*", "Calendar")
    bob.wait("new")


def test_only_those_who_are_asked_for_are_looked_at(dav, server):
    dav.watch("alice", "*", "Calendar")
    rounds(server)
    assert not server.looks("Contacts") and not server.looks("bob")


def test_credentials_of_each_user(make_rig, server):
    rig = make_rig(start=False)
    path = os.path.join(rig.where, "credentials")
    with open(path, "w") as f:
        f.write("alice:pass1\nbob:pass2\n")
    os.chmod(path, 0o600)
    text = section(rig.where, server, credentials=path)
    rig.watcher.more.append("\n".join(
        line for line in text.splitlines()
        if "user =" not in line and "password_file" not in line))
    rig.allow("there is no password for this user")
    rig.start()
    rig.watch("alice", "*", "Calendar")
    rig.watch("bob", "*", "Calendar")
    assert len({auth for _, _, auth in server.seen}) == 2
    rig.watch("carol", "*", "Calendar", vouched=False)
    wait_until(lambda: "there is no password" in rig.watcher.output(),
               "the line about carol")
    assert not server.looks("carol")


def test_verify_and_status_tell_how_it_is(dav, server):
    dav.watch("alice", "personal", "Calendar")
    said = dav.watcher.ctl("verify", "alice", "Calendar", "personal")
    assert "asked every 1 seconds" in said.stdout
    status = dav.watcher.status()
    assert status["dav_homes"] == 1 and status["dav_collections"] == 1


def test_the_section_comes_and_goes_with_a_reload(make_rig, server):
    rig = make_rig(start=False)
    rig.start()
    with rig.watcher.control() as control:
        assert control.ask("watch", "alice", "Calendar", "*")[0] == "no"
    rig.watcher.more.append(section(rig.where, server))
    rig.watcher.reload()
    wait_until(lambda: rig.ask("watch", "alice", "Calendar", "*")[0] == "ok",
               "taken")
    rig.watch("alice", "*", "Calendar")
    rig.watcher.more.pop()
    rig.watcher.reload()
    wait_until(lambda: rig.ask("watch", "alice", "Calendar", "*")[0] == "no",
               "given up")


@pytest.mark.parametrize("lines,problem", [
    ('url = "ftp://x/%u/"', "expected https://HOST/PATH/"),
    ('url = "https://x/dav/"', "%u or %n"),
    ('url = "https://me:pw@x/%u/"', "no password in it"),
    ('url = "https://x/%u/"', "either user and password_file"),
    ('url = "https://x/%u/"\nuser = "p"\npassword_file = "/nowhere/p"',
     "/nowhere/p: No such file"),
    ('user = "p"', "expected url"),
    ('url = "https://x/%u/"\ninterval = 0', "from 1 to 86400"),
    ('url = "https://x/%u/"\ncalendars = "/abs"', "a path below url"),
    ('url = "https://x/%u/"\nnonsense = 1', "expected url, calendars"),
])
def test_mistakes_in_the_section(make_rig, lines, problem):
    rig = make_rig(start=False)
    rig.watcher.more.append("dav {\n%s\n}" % lines)
    rig.watcher.write()
    done = subprocess.run([built("directpushd"), "-t", "-c", rig.watcher.conf],
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 1
    assert problem in done.stdout and len(done.stdout.splitlines()) == 1


def test_secrets_that_others_may_read_are_refused(make_rig, server):
    rig = make_rig(start=False)
    rig.watcher.more.append(section(rig.where, server))
    os.chmod(os.path.join(rig.where, "dav.password"), 0o644)
    rig.watcher.write()
    done = subprocess.run([built("directpushd"), "-t", "-c", rig.watcher.conf],
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 1 and "chmod 0640" in done.stdout
    assert "secret" not in done.stdout


# --- what nobody looks at, and what nobody saw

def test_a_collection_without_a_tag_is_in_no_class_topic(dav, server):
    """Its changes can't be seen: who waits for all waits for it, too."""
    server.homes["Calendar"]["web"] = ""
    all_ = dav.watch("alice", "*", "Calendar", vouched=False)
    personal = dav.watch("alice", "personal", "Calendar")
    rounds(server)
    assert not all_.view.is_vouched
    del server.homes["Calendar"]["web"]
    all_.wait_vouched()
    server.homes["Calendar"]["web"] = ""
    wait_until(lambda: not all_.view.is_vouched)
    assert personal.view.is_vouched


@pytest.mark.parametrize("is_down", [False, True],
                         ids=["server is there", "server was down, too"])
@pytest.mark.parametrize("what", ["comes", "goes", "nothing"])
def test_the_folder_list_of_a_restarted_directpushd(dav, server, what,
                                                    is_down):
    """A calendar that came or went while nobody looked changes the phone's
    list of folders."""
    dav.maildir()
    dav.allow("refused")
    dav.allow("phones sync at")
    server.homes["Calendar"]["team"] = "x"
    folders = dav.watch(folder="*", class_="Hierarchy")
    personal = dav.watch("alice", "personal", "Calendar")
    dav.watch("alice", "personal", "Contacts")
    rounds(server)
    mark = dav.bus.head
    if is_down:
        server.stop()
        wait_until(lambda: not personal.view.is_vouched)
    assert dav.watcher.stop() == 0
    if what == "comes":
        server.homes["Calendar"]["new"] = "x"
    elif what == "goes":
        del server.homes["Calendar"]["team"]
    if is_down:
        server.released.clear()
        server.start()
    dav.watcher.start()
    personal = dav.watch("alice", "personal", "Calendar")
    folders.wait_vouched()
    rounds(server)
    assert folders.is_clean(mark) == (what == "nothing"), (folders.view, mark)


def test_a_new_calendar_is_told_also_where_there_is_no_maildir(dav, server):
    folders = dav.watch("bob", "*", "Hierarchy", vouched=False)
    dav.watch("bob", "personal", "Calendar")
    server.homes["Calendar"]["new"] = "x"
    folders.wait("new")


def test_a_reload_while_the_server_answers(make_rig, server, monkeypatch):
    """Both in one turn of the loop: what the turn still has for the old
    connection must find memory. Freed memory is filled with 0xa5 here."""
    monkeypatch.setenv("MALLOC_PERTURB_", "90")
    rig = make_rig(start=False)
    rig.watcher.more.append(section(rig.where, server))
    rig.start()
    t = rig.watch("alice", "personal", "Calendar")
    for _ in range(3):
        server.released.clear()
        server.hangs = True
        wait_until(lambda: server.waiting, "a look is under way")
        rig.watcher.freeze()
        rig.watcher.reload()
        server.hangs = False
        server.released.set()
        wait_until(lambda: not server.waiting, "the answer is sent")
        rig.watcher.thaw()
        t.wait_vouched()
        rounds(server)
    assert rig.watcher.process.is_running
