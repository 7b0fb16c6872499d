"""What may be vouched for: nothing that nobody looks at, however it came about,
and no change is forgotten because its folder goes by another topic now."""
import os

import pytest

from dp.limits import FewDescriptors
from dp.maildir import Maildir
from dp.process import wait_until

pytest_plugins = "dp_watcher"

POLLED = "/Maildir\"\n watch = \"poll\"\n poll_interval = 2 }\n#"
TRIED_AGAIN = "%u/Maildir\" poll_interval = 1 }\n#"


def reloaded(rig, *conf):
    rig.watcher.more = list(conf)
    before = rig.watcher.output().count("read again")
    rig.watcher.reload()
    wait_until(lambda: rig.watcher.output().count("read again") > before)


# --- topics that are shared

def test_folders_that_get_topics_of_their_own_keep_their_changes(make_rig):
    """They shared one; then there was room. A restart brings each back."""
    rig = make_rig(conf=["user_topics = 1"])
    rig.allow("user_topics")
    box = rig.maildir()
    names = ["F%d" % i for i in range(8)]
    for name in names:
        box.create(name)
    rig.watch()
    shared = [rig.watch(folder=name) for name in names]
    assert len({topic.slot for topic in shared}) == 1
    reloaded(rig, "user_topics = 300")
    topics = [rig.watch(folder=name) for name in names]
    assert len({topic.slot for topic in topics}) == len(names)
    mark = rig.bus.head
    for name, topic in zip(names, topics):
        box.deliver("hello", folder=name)
        topic.wait("new")
    told = rig.bus.head
    assert rig.watcher.stop() == 0
    rig.watcher.start()
    for name, slot in [(name, topic.slot) for name, topic in zip(names,
                                                                 topics)]:
        topic = rig.watch(folder=name)
        assert topic.slot == slot
        assert not topic.is_clean(mark), (name, topic.view, mark)
        assert topic.is_clean(told), (name, topic.view, told)


def test_what_shares_a_topic_has_to_be_there(make_rig):
    """A name that nobody has seen may be a mistake in somebody's mapping."""
    rig = make_rig(conf=["user_topics = 1"])
    rig.allow("user_topics")
    box = rig.maildir().create("There")
    rig.watch()
    there = rig.watch(folder="There")
    assert "no folder of that name" in rig.refused("alice", "Nowhere")
    rig.refused("alice", "With.Dot")
    box.create("Nowhere")
    rig.barrier()
    assert rig.watch(folder="Nowhere").slot == there.slot


def test_a_name_that_found_no_room_is_found_when_there_is_some(make_rig):
    """Children look a topic up by the name that they ask for."""
    rig = make_rig(conf=["topics = 64"])
    rig.allow("nearly full")
    alice, bob = rig.maildir().create("Sub"), rig.maildir("bob")
    sub = rig.watch(folder="Sub")
    for i in range(20):
        bob.create("F%d" % i)
        rig.watch("bob", "/guid/" + bob.guid("F%d" % i))
    users = 0
    while rig.ask("watch", "c%d" % users, "Email", "*")[0] == "ok":
        users += 1
    name = "/guid/" + alice.guid("Sub")
    full = rig.watcher.status()["topics_used"]
    assert rig.watch(folder=name).slot == sub.slot
    assert rig.watcher.status()["topics_used"] == full
    bob.remove("F0")
    wait_until(lambda: rig.watcher.status()["topics_used"] < full)
    less = rig.watcher.status()["topics_used"]
    for _ in range(2):
        assert rig.watch(folder=name).slot == sub.slot
        assert rig.watcher.status()["topics_used"] == less + 1


# --- the class topic

def test_a_maildir_that_goes_takes_its_class_topic_with_it(rig):
    rig.maildir()
    all_ = rig.watch(folder="*")
    os.rename(os.path.join(rig.mail, "alice"), os.path.join(rig.mail, "away"))
    wait_until(lambda: not all_.view.is_vouched)
    rig.barrier()
    assert not all_.view.is_vouched
    os.rename(os.path.join(rig.mail, "away"), os.path.join(rig.mail, "alice"))
    all_.wait_vouched()


def test_the_class_hears_of_a_folder_that_lost_its_guid(rig):
    """Both in one batch: who asked by GUID asks again, the others are told."""
    box = rig.maildir().create("Sub")
    by_guid = rig.watch(folder="/guid/" + box.guid("Sub"))
    all_ = rig.watch(folder="*")
    mark = rig.bus.head
    rig.watcher.freeze()
    box.write_uidlist(box.dir("Sub"), "0123456789abcdef" * 2)
    box.deliver("hello", folder="Sub")
    rig.watcher.thaw()
    wait_until(lambda: not by_guid.is_current)
    rig.barrier()
    assert not all_.is_clean(mark), all_.view


def test_a_folder_behind_a_symbolic_link_is_in_no_class_topic(rig):
    """Dovecot follows it; we don't, so nobody vouches for all folders."""
    rig.allow("symbolic link")
    box, other = rig.maildir(), rig.maildir("other").create("Shared")
    all_ = rig.watch(folder="*")
    folders = rig.watch(folder="*", class_="Hierarchy")
    mark = rig.bus.head
    os.symlink(other.dir("Shared"), box.dir("Linked"))
    folders.wait("new")
    rig.barrier()
    other.deliver("hello", folder="Shared")
    rig.barrier()
    assert not all_.is_clean(mark), all_.view
    assert not all_.view.is_vouched
    assert rig.ask("watch", "alice", "Email", "Linked")[0] == "no"
    os.unlink(box.dir("Linked"))
    all_.wait_vouched()


def test_a_link_to_a_file_is_no_folder(rig):
    """As Pigeonhole makes one to the active script, where home and Maildir are
    one directory."""
    box = rig.maildir()
    os.mkdir(os.path.join(box.path, "sieve"))
    with open(os.path.join(box.path, "sieve", "main.sieve"), "w") as f:
        f.write("keep;\n")
    link = os.path.join(box.path, ".dovecot.sieve")
    os.symlink("sieve/main.sieve", link)
    all_ = rig.watch(folder="*")
    folders = rig.watch(folder="*", class_="Hierarchy")
    os.unlink(link)
    os.symlink("sieve/main.sieve", link)
    os.symlink("sieve/none.sieve", os.path.join(box.path, ".none"))
    rig.barrier()
    assert folders.kinds() == [] and all_.kinds() == []
    assert all_.view.is_vouched


def test_a_link_to_a_folder_beside_it_is_followed(rig):
    box = rig.maildir().create("Sub")
    os.symlink(".Sub", box.dir("Same"))
    all_, same = rig.watch(folder="*"), rig.watch(folder="Same")
    box.deliver("hello", folder="Sub")
    same.wait("new")
    all_.wait("new")


def test_a_link_in_the_place_of_a_folder_that_was_gone(rig):
    rig.allow("symbolic link")
    box, other = rig.maildir().create("Sub"), rig.maildir("other").create("X")
    sub = rig.watch(folder="Sub")
    box.remove("Sub")
    sub.wait("vouch")
    os.symlink(other.dir("X"), box.dir("Sub"))
    rig.barrier()
    mark = rig.bus.head
    other.deliver("hello", folder="X")
    rig.barrier()
    assert not sub.is_clean(mark), sub.view


@pytest.mark.parametrize("name", [".B&d", ".K\u00fcche"],
                         ids=["no UTF-7", "plain UTF-8"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_a_directory_that_no_topic_can_name_is_in_no_class_topic(rig, name,
                                                                 is_first):
    """Whatever the mail server makes of it."""
    box = rig.maildir()
    where = os.path.join(box.path, name)
    if is_first:
        Maildir(where)
        all_ = rig.watch(folder="*", vouched=False)
        mark = rig.bus.head
    else:
        all_ = rig.watch(folder="*")
        Maildir(where)
        rig.barrier()
        mark = rig.bus.head
    Maildir(where).deliver("hello")
    rig.barrier()
    assert not all_.is_clean(mark), all_.view
    os.rename(where, os.path.join(rig.mail, "away"))
    all_.wait_vouched()
    mark = rig.bus.head
    box.deliver("hello")
    rig.barrier()
    assert not all_.is_clean(mark), all_.view


# --- polling

def test_what_comes_and_goes_between_two_looks_is_told(make_rig):
    """A phone may have seen it. That its cursor is stored in between changes
    nothing."""
    rig = make_rig(template="%u" + POLLED)
    cursors = os.path.join(rig.watcher.state_dir, "cursors.mdb")
    box = rig.maildir()
    box.deliver("stays")
    inbox, all_ = rig.watch(), rig.watch(folder="*")
    scans = rig.watcher.status()["scans"]
    wait_until(lambda: rig.watcher.status()["scans"] > scans)
    mark, before = rig.bus.head, os.stat(cursors).st_mtime_ns
    box.delete(box.deliver("short"))
    rig.ask("watch", "alice", "Email", "INBOX")
    rig.ask("watch", "alice", "Email", "*")
    wait_until(lambda: os.stat(cursors).st_mtime_ns > before, "stored")
    scans = rig.watcher.status()["scans"]
    wait_until(lambda: rig.watcher.status()["scans"] > scans + 1)
    rig.watcher.status()
    assert not inbox.is_clean(mark), inbox.view
    assert not all_.is_clean(mark), all_.view


# --- without descriptors

def test_without_descriptors_nothing_is_taken_for_absent(make_rig):
    rig = make_rig(template=TRIED_AGAIN)
    rig.allow("Too many open files")
    box = rig.maildir().create("Sub").create("New")
    os.rmdir(os.path.join(box.dir("New"), "new"))
    inbox, fresh = rig.watch(), rig.watch(folder="New")
    with rig.watcher.control() as control:
        control.status()
        with FewDescriptors(rig.watcher.pid, 0):
            asked = control.ask("watch", "alice", "Email", "Sub")
            os.mkdir(os.path.join(box.dir("New"), "new"))
            known = inbox.mark()
            box.deliver("after it")
            # told, or no longer vouched for, if it was just tried again
            wait_until(lambda: not inbox.is_clean(known),
                       lambda: "INBOX is not clean: %r" % inbox.view)
            mark = rig.bus.head
            if asked[0] == "ok":
                assert not rig.bus.view(int(asked[1])).is_vouched
            assert not fresh.is_clean(mark), fresh.view
    wait_until(lambda: rig.ask("watch", "alice", "Email", "Sub")[0] == "ok",
               "what could not be opened is tried again")
    sub = rig.watch(folder="Sub")
    fresh.wait_vouched()
    box.deliver("hello", folder="Sub")
    sub.wait("new")
    mark = rig.bus.head
    box.deliver("hello", folder="New")
    rig.barrier()
    assert not fresh.is_clean(mark), fresh.view


def test_without_descriptors_a_new_folder_is_not_overlooked(make_rig):
    rig = make_rig(template=TRIED_AGAIN)
    rig.allow("Too many open files")
    box = rig.maildir()
    all_ = rig.watch(folder="*")
    with FewDescriptors(rig.watcher.pid, 0):
        box.create("Late")
        wait_until(lambda: not all_.view.is_vouched)
    all_.wait_vouched()
    mark = rig.bus.head
    box.deliver("hello", folder="Late")
    rig.barrier()
    assert not all_.is_clean(mark), all_.view
