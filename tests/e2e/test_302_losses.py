"""When the kernel can't tell us all: overflows, limits, network file systems,
directories that can't be read."""
import os
import subprocess

import pytest

from dp.process import Process, built, wait_until

pytest_plugins = "dp_watcher"

POLLED = "/Maildir\"\n watch = \"poll\"\n poll_interval = 1 }\n#"


def overflow(rig, box):
    """More events than the kernel keeps, while nobody reads them."""
    with open("/proc/sys/fs/inotify/max_queued_events") as f:
        limit = int(f.read())
    rig.watcher.freeze()
    new = os.path.join(box.path, "new")
    for i in range(limit // 2 + 100):
        path = os.path.join(new, "%d.flood" % (i % 4096))
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)


def test_an_overflow_vouches_for_everything_afresh(rig):
    rig.allow("overflowed")
    box = rig.maildir().create("Sub")
    rig.maildir("bob")
    topics = [rig.watch(), rig.watch(folder="Sub"), rig.watch(folder="*"),
              rig.watch("bob"), rig.watch(folder="*", class_="Hierarchy")]
    mark = rig.bus.head
    overflow(rig, box)
    box.create("Unseen")
    box.deliver("unseen", folder="Unseen")
    box.deliver("hello")
    rig.watcher.thaw()
    wait_until(lambda: rig.watcher.status()["inotify_overflows"] > 0)
    for topic in topics:
        wait_until(lambda: topic.view.is_vouched
                   and topic.view.watched_from > mark)
    rig.barrier()
    topics[2].settle()
    box.deliver("seen", folder="Unseen")
    topics[2].wait("new")
    assert rig.watcher.output().count("overflowed") == 1


def test_polling_sees_the_same(make_rig):
    rig = make_rig(template="%u" + POLLED)
    # what closes the template's section is behind the comment sign
    box = rig.maildir().create("Sub")
    mail = box.deliver("hello")
    box.select()
    inbox, sub = rig.watch(), rig.watch(folder="Sub")
    all_, folders = rig.watch(folder="*"), rig.watch(folder="*",
                                                     class_="Hierarchy")
    assert rig.watcher.status()["folders_polled"] >= 2
    box.deliver("new", folder="Sub")
    sub.wait("new")
    assert inbox.kinds() == []
    box.set_flags(mail, "F")
    inbox.wait("other")
    box.create("More")
    folders.wait("new")
    wait_until(lambda: all_.view.is_vouched)
    rig.watch(folder="More").settle()
    all_.settle()
    box.deliver("new", folder="More")
    all_.wait("new")
    mark = rig.bus.head
    box.remove("Sub")
    folders.wait("new")
    wait_until(lambda: not sub.is_clean(mark))


def test_polling_is_quiet_when_nothing_happens(make_rig):
    rig = make_rig(template="%u" + POLLED)
    rig.maildir().deliver("hello")
    topics = [rig.watch(), rig.watch(folder="*"),
              rig.watch(folder="*", class_="Hierarchy")]
    scans = rig.watcher.status()["scans"]
    wait_until(lambda: rig.watcher.status()["scans"] > scans + 3)
    assert [t.kinds() for t in topics] == [[], [], []]


def test_a_polled_maildir_that_comes_later(make_rig):
    rig = make_rig(template="%u" + POLLED)
    inbox = rig.watch("carol", vouched=False)
    mark = rig.bus.head
    box = rig.maildir("carol")
    wait_until(lambda: inbox.view.is_vouched and not inbox.is_clean(mark))
    mark = rig.bus.head
    box.deliver("hello")
    # new, or afresh when the first look came before cur/ was made
    wait_until(lambda: not inbox.is_clean(mark))


# Loaded into directpushd: while the file is there, reading a part of a
# directory takes longer than it does, as on a slow network file system.
SLOW = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    va_list l;
    va_start(l, number);
    long a = va_arg(l, long), b = va_arg(l, long), c = va_arg(l, long);
    long d = va_arg(l, long);
    va_end(l);
    if (!next) {
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    }
    if (number == SYS_getdents64 && access(getenv("DP_SLOW"), F_OK) == 0) {
        usleep(400000);
    }
    return next(number, a, b, c, d);
}
"""


def test_a_scan_that_takes_longer_than_the_interval_ends(make_rig, tmp_path,
                                                         monkeypatch):
    source, library, slow = (str(tmp_path / name)
                             for name in ("slow.c", "slow.so", "slow"))
    with open(source, "w") as f:
        f.write(SLOW)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"],
                   check=True)
    rig = make_rig(start=False, template="%u" + POLLED)
    box, other = rig.maildir(), rig.maildir("bob")
    for i in range(1000):  # more than what is read at once
        box.deliver("mail %d" % i)
    box.select()
    with monkeypatch.context() as m:
        m.setenv("DP_SLOW", slow)
        m.setenv("LD_PRELOAD", library)
        m.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "")
                 + ":verify_asan_link_order=0")
        rig.start()
    inbox, others = rig.watch(), rig.watch("bob")
    mark = rig.bus.head
    with open(slow, "w"):
        pass
    box.deliver("hello")
    other.deliver("hello")
    wait_until(lambda: not inbox.is_clean(mark) and not others.is_clean(mark),
               lambda: "told: %r, %r" % (inbox.view, others.view))
    assert inbox.kinds() == ["new"] and others.kinds() == ["new"]


def in_namespace(rig, limit, value):
    """directpushd where the kernel gives it less. @return Process or None"""
    rig.watcher.write()
    script = ("echo %d >/proc/sys/user/%s && exec %s -c %s"
              % (value, limit, built("directpushd"), rig.watcher.conf))
    rig.watcher.process = Process(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script],
        os.path.join(rig.where, "directpushd.out"))
    wait_until(lambda: rig.watcher.answers()
               or not rig.watcher.process.is_running)
    if not rig.watcher.process.is_running:
        said, rig.watcher.process = rig.watcher.output(), None
        pytest.skip("no user namespaces here: " + said)


@pytest.mark.parametrize("limit, value, sysctl", [
    ("max_inotify_watches", 12, "max_user_watches"),
    ("max_inotify_instances", 0, "max_user_instances")])
def test_beyond_the_kernels_limit_folders_are_polled(make_rig, limit, value,
                                                     sysctl):
    rig = make_rig(start=False, template="%u/Maildir\" poll_interval = 1 }\n#")
    rig.allow("fs.inotify." + sysctl)
    box = rig.maildir()
    for i in range(6):
        box.create("F%d" % i)
    in_namespace(rig, limit, value)
    topics = [rig.watch(folder="F%d" % i) for i in range(6)]
    assert rig.watcher.status()["folders_polled"] > 0
    for i, topic in enumerate(topics):
        box.deliver("hello", folder="F%d" % i)
        topic.wait("new")
    lines = [x for x in rig.watcher.output().splitlines() if sysctl in x]
    assert len(lines) == 1 and "sysctl -w" in lines[0]


def test_beyond_the_limit_the_way_is_polled_where_the_rest_is_watched(
        make_rig):
    """Bob's Maildir is Alice's, which is watched; his own directory, with the
    link to it, found no room."""
    rig = make_rig(start=False, template="%u/Maildir\" poll_interval = 1 }\n#")
    rig.allow("fs.inotify.max_user_watches")
    path = rig.maildir().path
    bob = os.path.join(rig.mail, "bob")
    os.mkdir(bob)
    link = os.path.join(bob, "Maildir")
    os.symlink("../alice/Maildir", link)
    in_namespace(rig, "max_inotify_watches",
                 len(os.path.realpath(path).split("/")) + len(("new", "cur")))
    rig.watch("alice")
    assert "max_user_watches" not in rig.watcher.output()
    topic = rig.watch("bob")
    assert "max_user_watches" in rig.watcher.output()
    mark = rig.bus.head
    os.rename(link, link + ".old")
    rig.maildir("bob").deliver("hello")
    wait_until(lambda: not topic.is_clean(mark), lambda: repr(topic.view))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another")
def test_a_maildir_that_cannot_be_read_is_said_once_and_tried_again(make_rig):
    rig = make_rig(start=False, template="%u/Maildir\" poll_interval = 1 }\n#")
    rig.allow("not watched")
    for user in ("alice", "bob"):
        os.chmod(rig.maildir(user).path, 0o700)
    os.chmod(rig.where, 0o755)
    for path in (rig.watcher.runtime_dir, rig.watcher.state_dir):
        os.chown(path, 65534, 65534)
    rig.watcher.write()
    rig.watcher.process = Process(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         built("directpushd"), "-c", rig.watcher.conf],
        os.path.join(rig.where, "directpushd.out"))
    wait_until(rig.watcher.answers)
    assert "permission" in rig.refused("alice")
    assert "permission" in rig.refused("bob")
    lines = [x for x in rig.watcher.output().splitlines() if "error:" in x]
    assert len(lines) == 1 and "CAP_DAC_READ_SEARCH" in lines[0]
    os.chmod(os.path.join(rig.mail, "alice", "Maildir"), 0o755)
    inbox = rig.watch()
    rig.maildir().deliver("hello")
    inbox.wait("new")
    mark = rig.bus.head
    os.chmod(os.path.join(rig.mail, "alice", "Maildir"), 0)
    os.rename(os.path.join(rig.mail, "alice"), os.path.join(rig.mail, "a"))
    os.rename(os.path.join(rig.mail, "a"), os.path.join(rig.mail, "alice"))
    wait_until(lambda: not inbox.view.is_vouched)
    os.chmod(os.path.join(rig.mail, "alice", "Maildir"), 0o755)
    wait_until(lambda: inbox.view.is_vouched and inbox.is_current)
    assert not inbox.is_clean(mark)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_an_unmounted_maildir_is_vouched_for_no_more(make_rig):
    rig = make_rig()
    where = os.path.join(rig.mail, "alice")
    os.mkdir(where)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs",
                           where], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        pytest.skip("can't mount here: " + done.stderr)
    try:
        rig.maildir()
        inbox = rig.watch()
        mark = rig.bus.head
    finally:
        subprocess.run(["umount", where], check=True)
    wait_until(lambda: not inbox.is_clean(mark))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_full_disk_is_said_once_and_nothing_is_missed(make_rig):
    rig = make_rig(start=False)
    state = rig.watcher.state_dir
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs",
                           state], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        pytest.skip("can't mount here: " + done.stderr)
    try:
        rig.allow("cursors.mdb")
        rig.allow("/seq")
        rig.start()
        box = rig.maildir()
        for i in range(1, 1500):
            rig.maildir("alice%d" % i)
            rig.watch("alice%d" % i)
        inbox = rig.watch()
        wait_until(lambda: "room" in rig.watcher.output())
        box.deliver("hello")
        inbox.wait("new")
        mark = rig.bus.head
        rig.watcher.kill()
        box.deliver("unseen")
        rig.watcher.start()
        if inbox.is_current:
            wait_until(lambda: not inbox.is_clean(mark))
        inbox = rig.watch()
        assert not inbox.is_clean(mark)
        rig.watcher.stop()
    finally:
        subprocess.run(["umount", state], check=True)
