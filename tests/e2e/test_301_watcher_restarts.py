"""directpushd stopped, killed and started again: what a phone hears of it, and
what it must not miss. Each mark stands for a phone that has synced."""
import os
import shutil
import signal

import pytest

from dp.process import wait_until

pytest_plugins = "dp_watcher"


def stored(rig):
    """Wait until the cursors on disk are as new as what is watched."""
    path = os.path.join(rig.watcher.state_dir, "cursors.mdb")
    rig.barrier()
    before = os.stat(path).st_mtime_ns
    rig.barrier()
    wait_until(lambda: os.stat(path).st_mtime_ns > before)
    before = os.stat(path).st_mtime_ns
    rig.barrier()
    wait_until(lambda: os.stat(path).st_mtime_ns > before)


def down(rig, how):
    if how == "stopped":
        assert rig.watcher.stop() == 0
        assert rig.bus.alive_us == 0
        assert not os.path.exists(rig.watcher.socket)
    else:
        stored(rig)
        rig.watcher.kill()


def up(rig):
    rig.watcher.start()


HOW = pytest.mark.parametrize("how", ["stopped", "killed"])


@HOW
def test_nothing_happened_and_nobody_hears_of_it(rig, how):
    box = rig.maildir().create("Sub").create("Küche")
    box.deliver("hello")
    box.deliver("hello", folder="Sub")
    topics = [rig.watch(), rig.watch(folder="Sub"), rig.watch(folder="*"),
              rig.watch(folder="Küche"),
              rig.watch(folder="*", class_="Hierarchy")]
    box.deliver("one more")
    topics[0].wait("new")
    marks = [rig.bus.head] * len(topics)
    instance, head = rig.bus.instance, rig.bus.head
    down(rig, how)
    up(rig)
    for topic, mark in zip(topics, marks):
        topic.wait_vouched()
        assert topic.is_clean(mark), (topic.view, mark)
    assert rig.bus.instance == instance and rig.bus.head > head
    status = rig.watcher.status()
    assert status["vouched_again"] >= len(topics)
    topics[0].settle()
    box.deliver("and on it goes")
    topics[0].wait("new")


def test_a_start_that_is_cut_short_costs_nobody_a_sync(rig):
    """What was watched is asked for again bit by bit."""
    topics = []
    for i in range(150):
        rig.maildir("u%d" % i)
        topics.append(rig.watch("u%d" % i))
    mark = topics[-1].mark()
    rig.watcher.stop()
    rig.watcher.spawn()
    wait_until(lambda: os.path.exists(rig.watcher.socket), "control socket")
    assert rig.watcher.stop() == 0
    rig.watcher.start()
    for topic in topics:
        topic.wait_vouched()
        assert topic.is_clean(mark), topic.view


@HOW
@pytest.mark.parametrize("what, kind", [
    ("deliver", "new"), ("flags", "other"), ("expunge", "new"),
    ("copy", "new"), ("come and gone", "other"), ("flags and back", "other"),
    ("seen", "other")])
def test_what_happened_meanwhile_is_told(rig, how, what, kind):
    box = rig.maildir().create("Sub")
    mail = box.deliver("hello")
    box.select()
    inbox, sub, all_ = rig.watch(), rig.watch(folder="Sub"), rig.watch(
        folder="*")
    mark, from_ = rig.bus.head, inbox.view.watched_from
    down(rig, how)
    for topic in (inbox, sub, all_):
        topic.settle()
    if what == "deliver":
        box.deliver("new")
    elif what == "flags":
        box.set_flags(mail, "F")
    elif what == "expunge":
        box.delete(mail)
    elif what == "copy":
        box.copy(mail, "INBOX")
    elif what == "come and gone":  # a phone may have seen it in between
        box.delete(box.deliver("short"))
    elif what == "flags and back":
        path = box.locate(mail)
        os.rename(path, path + "S")
        os.rename(path + "S", path)
    elif what == "seen":
        box.set_flags(mail, "S")
    up(rig)
    inbox.wait_vouched()
    all_.wait_vouched()
    assert kind in inbox.kinds() and kind in all_.kinds()
    assert inbox.view.watched_from == from_  # the rest is still proven
    assert not inbox.is_clean(mark) and not all_.is_clean(mark)
    assert inbox.is_clean(rig.bus.head)
    sub.wait_vouched()
    assert sub.is_clean(mark)


def undone_after_a_start(rig, box, topic, is_the_moment, is_open):
    """Restart, until a mail that came has gone again within a moment.
    @param is_the_moment  () -> the start has got so far, and is frozen there
    @param is_open  () -> it was not too late then
    @return the bus's head of before"""
    for _ in range(20):
        assert rig.watcher.stop() == 0
        mark = rig.bus.head
        rig.watcher.spawn()
        wait_until(is_the_moment, every=0)
        rig.watcher.freeze()
        was_open = is_open()
        if was_open:
            box.delete(box.deliver("short"))
        rig.watcher.thaw()
        topic.wait_vouched()
        if was_open:
            break
    assert was_open
    rig.barrier()
    return mark


def test_what_was_undone_while_only_the_class_was_watched_is_told(rig):
    """After a start topics are asked for one after the other: a user's class
    may be watched for some milliseconds, and his INBOX for it, before the
    INBOX's own topic is."""
    users = []
    for i in range(400):
        user = "u%d" % i
        box = rig.maildir(user)
        inbox = rig.watch(user)
        if i % 10 == 0:
            users.append((rig.watch(user, folder="*"), inbox, box))
    # they are asked for by their slots: one with some others in between
    class_, inbox, box = min(
        users, key=lambda u: abs(u[1].slot - u[0].slot - 20000))
    bus = rig.bus
    mark = undone_after_a_start(
        rig, box, inbox,
        # both are vouched for as they were left, then neither, then one
        lambda: bus.view(class_.slot).is_vouched
        and (not bus.view(inbox.slot).is_vouched
             or os.path.exists(rig.watcher.socket)),
        lambda: not bus.view(inbox.slot).is_vouched)
    assert not inbox.is_clean(mark)


def is_told_of(rig, directory):
    """Has the watcher an inotify watch there?"""
    what = " ino:%x " % os.stat(directory).st_ino
    fds = "/proc/%d/fdinfo" % rig.watcher.pid
    for fd in os.listdir(fds):
        with open(os.path.join(fds, fd)) as f:
            if what in f.read():
                return True
    return False


@pytest.mark.parametrize("folder", ["INBOX", "*"])
def test_what_was_undone_while_the_folder_was_read_is_told(rig, folder):
    """After a start a large folder is read bit by bit."""
    box = rig.maildir()
    mail = box.deliver("hello")
    box.select()
    cur, path = box.dir() + "/cur", box.locate(mail)
    for i in range(20000):
        os.link(path, "%s/%d.copy:2,S" % (cur, i))
    topic = rig.watch(folder=folder)
    mark = undone_after_a_start(
        rig, box, topic,
        lambda: os.path.exists(rig.watcher.socket) and is_told_of(rig, cur),
        lambda: not topic.view.is_vouched)
    assert not topic.is_clean(mark)


@HOW
def test_folders_that_came_and_went_meanwhile(rig, how):
    box = rig.maildir().create("Stays").create("Goes").create("Replaced")
    folders = rig.watch(folder="*", class_="Hierarchy")
    stays, goes = rig.watch(folder="Stays"), rig.watch(folder="Goes")
    replaced = rig.watch(folder="Replaced")
    mark = rig.bus.head
    down(rig, how)
    box.remove("Goes")
    os.rename(box.dir("Replaced"), box.dir("Elsewhere"))
    box.create("Replaced").create("Comes")
    up(rig)
    for topic in (folders, stays, goes, replaced):
        topic.wait_vouched()
    assert stays.is_clean(mark)
    for topic in (folders, goes, replaced):
        assert not topic.is_clean(mark)


@HOW
def test_guids_are_remembered_and_checked(rig, how):
    box = rig.maildir().create("A").create("B")
    name = "/guid/" + box.guid("A")
    a, b = rig.watch(folder=name), rig.watch(folder="/guid/" + box.guid("B"))
    mark = rig.bus.head
    down(rig, how)
    box.rename("A", "C")
    up(rig)
    b.wait_vouched()
    assert b.is_clean(mark)
    wait_until(lambda: not a.is_current, "its name leads elsewhere now")
    c = rig.watch(folder=name)
    assert c.slot == rig.watch(folder="C").slot


def test_a_watcher_killed_at_any_moment_tells_all(rig):
    """Kill it between a delivery and whatever it does about it."""
    box = rig.maildir()
    inbox = rig.watch()
    for _ in range(8):
        mark = rig.bus.head
        box.deliver("hello")
        rig.watcher.kill()
        up(rig)
        if not inbox.is_current:  # killed before it was ever stored
            inbox = rig.watch()
        inbox.wait_vouched()
        wait_until(lambda: not inbox.is_clean(mark))


def test_a_bus_removed_beneath_a_running_watcher_is_said(rig):
    rig.allow("was removed")
    box = rig.maildir()
    inbox = rig.watch()
    bus = rig.bus
    os.unlink(rig.watcher.bus)
    wait_until(lambda: "was removed" in rig.watcher.output())
    before = bus.head
    box.deliver("hello")
    wait_until(lambda: bus.head > before)
    assert bus.view(inbox.slot).changed > before


@HOW
def test_mail_that_comes_meanwhile_is_no_news_of_the_folder_list(rig, how):
    box = rig.maildir().create("Sub")
    inbox = rig.watch()
    folders = rig.watch(folder="*", class_="Hierarchy")
    mark = rig.bus.head
    down(rig, how)
    box.deliver("hello")
    box.write_uidlist(box.path, box.guid())
    up(rig)
    inbox.wait_vouched()
    folders.wait_vouched()
    assert folders.is_clean(mark) and not inbox.is_clean(mark)


def test_a_lost_bus_is_a_new_instance(rig):
    rig.maildir()
    inbox = rig.watch()
    old = rig.bus
    rig.watcher.stop()
    os.unlink(rig.watcher.bus)
    up(rig)
    assert rig.bus.instance != old.instance
    inbox = rig.watch()
    assert inbox.is_current


@pytest.mark.parametrize("damage", ["short", "garbage", "empty", "state",
                                    "other boot"])
def test_a_damaged_bus_is_made_anew(rig, damage):
    rig.maildir()
    rig.watch()
    instance = rig.bus.instance
    rig.watcher.stop()
    if damage == "state":
        os.unlink(os.path.join(rig.watcher.state_dir, "seq"))
    else:
        with open(rig.watcher.bus, "r+b") as f:
            if damage == "short":
                f.truncate(8192)
            elif damage == "empty":
                f.truncate(0)
            elif damage == "garbage":
                f.write(os.urandom(65536))
            elif damage == "other boot":
                f.seek(96)
                f.write(b"\1" * 16)
    up(rig)
    assert rig.bus.instance != instance
    rig.watch()


def test_an_older_bus_gives_no_seq_twice(rig):
    """A backup of the runtime directory is put back."""
    box = rig.maildir()
    inbox = rig.watch()
    rig.watcher.stop()
    shutil.copy(rig.watcher.bus, rig.watcher.bus + ".older")
    up(rig)
    inbox.wait_vouched()
    mark = rig.bus.head  # a phone that synced before the next mail
    inbox.settle()
    box.deliver("hello")
    inbox.wait("new")
    newest = rig.bus.head
    assert not inbox.is_clean(mark)
    rig.watcher.stop()
    os.rename(rig.watcher.bus + ".older", rig.watcher.bus)
    up(rig)
    assert rig.bus.head > newest
    inbox.wait_vouched()
    assert not inbox.is_clean(mark)
    assert not inbox.is_clean(newest)


def test_a_child_sees_that_a_new_file_has_the_name(rig):
    rig.maildir()
    rig.watch()
    old = rig.bus
    assert old.word(3) & 0xffffffff == 0
    rig.watcher.stop()
    os.unlink(os.path.join(rig.watcher.state_dir, "seq"))
    up(rig)
    assert old.word(3) & 0xffffffff == 1  # replaced
    assert old.alive_us == 0 and rig.bus.alive_us > 0


def test_a_second_one_is_refused_and_harms_nothing(rig):
    rig.maildir()
    inbox = rig.watch()
    first = rig.watcher.process
    rig.allow("another directpushd")
    second = rig.watcher.spawn()
    rig.watcher.process = first
    assert second.wait() == 1
    assert "pid %d" % first.pid in second.output()
    assert inbox.is_current and rig.watcher.status()["pid"] == first.pid
    box = rig.maildir()
    box.deliver("hello")
    inbox.wait("new")


def test_directories_are_made_when_they_are_missing(make_rig):
    rig = make_rig(start=False)
    for path in (rig.watcher.runtime_dir, rig.watcher.state_dir):
        shutil.rmtree(path)
    rig.start()
    assert os.stat(rig.watcher.state_dir).st_mode & 0o777 == 0o700
    assert os.stat(rig.watcher.bus).st_mode & 0o777 == 0o640
    assert os.stat(rig.watcher.socket).st_mode & 0o777 == 0o660


def test_no_room_for_the_bus_is_said(make_rig):
    rig = make_rig(start=False, conf=["topics = 16777216",
                                      "journal = 16777216"])
    rig.watcher.write()
    rig.allow("bus: ")
    import resource
    import subprocess
    from dp.process import built

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    done = subprocess.run([built("directpushd"), "-c", rig.watcher.conf],
                          stderr=subprocess.PIPE, text=True,
                          preexec_fn=small_files, restore_signals=False)
    assert done.returncode == 1
    assert "/bus: " in done.stderr and "room" in done.stderr
    assert os.listdir(rig.watcher.runtime_dir) == ["directpushd.lock"]
