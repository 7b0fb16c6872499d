"""The maildir source: what is a change, what is none, and of which folder."""
import os
import shutil
import sys

import pytest

from dp import filtered
from dp.process import wait_until

pytest_plugins = "dp_watcher"


def test_delivery_is_new(rig):
    box = rig.maildir()
    inbox = rig.watch()
    box.deliver("hello")
    assert inbox.wait("new") == ["new"]
    v = inbox.view
    assert v.changed == v.changed_new > v.watched_from


def test_selecting_a_folder_wakes_nobody(rig):
    box = rig.maildir()
    inbox = rig.watch()
    for i in range(20):
        box.deliver("mail %d" % i)
    wait_until(lambda: rig.watcher.status()["published_new"] > 0)
    rig.barrier()
    inbox.settle()
    box.select()
    rig.barrier()
    assert inbox.kinds() == []


def test_flags_and_expunge_are_other(rig):
    box = rig.maildir()
    mail = box.deliver("hello")
    box.select()
    inbox = rig.watch()
    box.set_flags(mail, "S")
    assert set(inbox.wait("other")) == {"other"}
    box.delete(mail)
    assert set(inbox.wait("other")) == {"other"}


def test_flags_set_while_selecting_are_other(rig):
    box = rig.maildir()
    inbox = rig.watch()
    mail = box.deliver("hello")
    inbox.wait("new")
    box.set_flags(mail, "S")  # from new/ to cur/ in one step
    assert set(inbox.wait("other")) == {"other"}


def test_copy_into_cur_is_new(rig):
    box = rig.maildir().create("Archive")
    mail = box.deliver("hello")
    archive = rig.watch(folder="Archive")
    box.copy(mail, "Archive")
    assert "new" in archive.wait("new")


def test_append_is_one_new(rig):
    box = rig.maildir()
    inbox = rig.watch()
    mail = box.deliver("hello")
    os.rename(mail.path, os.path.join(box.path, "cur", mail.base + ":2,"))
    inbox.wait("new")
    rig.barrier()
    assert "other" not in inbox.kinds() and "new" not in inbox.kinds()


def test_link_and_unlink_is_a_move_too(rig):
    box = rig.maildir()
    inbox = rig.watch()
    mail = box.deliver("hello")
    inbox.wait("new")
    os.link(mail.path, os.path.join(box.path, "cur", mail.base + ":2,"))
    os.unlink(mail.path)
    rig.barrier()
    assert inbox.kinds() == []


def test_a_mail_moved_out_of_new_is_other(rig):
    box = rig.maildir()
    mail = box.deliver("hello")
    inbox = rig.watch()
    os.rename(mail.path, os.path.join(rig.where, "elsewhere"))
    inbox.wait("other")


def test_folders_do_not_disturb_each_other(rig):
    box = rig.maildir().create("Projects/2026").create("Körbe & Co")
    inbox = rig.watch()
    projects = rig.watch(folder="Projects/2026")
    baskets = rig.watch(folder="Körbe & Co")
    box.deliver("hello", folder="Projects/2026")
    projects.wait("new")
    assert inbox.kinds() == baskets.kinds() == []
    box.deliver("hello", folder="Körbe & Co")
    baskets.wait("new")
    assert inbox.kinds() == []


def test_a_wake_byte_for_a_batch_of_changes(rig):
    box = rig.maildir()
    inbox = rig.watch()
    with rig.watcher.control() as wake:
        assert wake.ask("wake") == ["ok"]
        box.deliver("hello")
        assert wake.file.read(1) == b"w"
        assert inbox.kinds() == ["new"]  # published before the wake


def test_a_folder_that_never_was_is_refused(rig):
    rig.maildir()
    assert "no folder .Nowhere" in rig.refused("alice", "Nowhere")


def test_classes_without_a_source_are_refused(rig):
    rig.maildir()
    for class_ in ("Calendar", "Contacts", "Tasks", "Notes"):
        assert "no source" in rig.refused("alice", "*", class_)
    assert "class" in rig.refused("alice", "*", "Nonsense")
    assert "*" in rig.refused("alice", "INBOX", "Hierarchy")


@pytest.mark.parametrize("user", [
    "..", ".", "a/b", "../alice", "", "alice\x00", "a\nb", "x" * 321,
    "..@example.com", "alice@..", "@", "alice@", "alice@a/b"])
def test_hostile_users_are_refused(make_rig, user):
    rig = make_rig(template="%d/%n/Maildir", default_domain="example.com")
    assert rig.refused(user)
    assert rig.watcher.status()["maildirs"] == 0


@pytest.mark.parametrize("folder", [
    "..", "../bob", "a/../../b", "/etc", "", "a//b", "a\x00", "new.x", ".x",
    "x" * 1025, "a" * 300, "/guid/xyz", "\x01"])
def test_hostile_folders_are_refused(rig, folder):
    rig.maildir()
    assert rig.refused("alice", folder)


def test_a_link_out_of_the_base_is_refused(rig):
    outside = os.path.join(rig.where, "outside")
    os.makedirs(os.path.join(outside, "Maildir", "new"))
    os.symlink(outside, os.path.join(rig.mail, "mallory"))
    rig.allow("mallory")
    assert "link" in rig.refused("mallory")
    box = rig.maildir("bob")
    os.symlink("/etc", os.path.join(box.path, ".Etc"))
    assert rig.refused("bob", "Etc")


def test_uidlists_that_are_no_files_are_passed_over(rig):
    box = rig.maildir(guid=False)
    os.mkfifo(os.path.join(box.path, "dovecot-uidlist"))
    assert "GUID" in rig.refused("alice", "/guid/" + "a" * 32)


def test_the_default_domain_joins_two_spellings(make_rig):
    rig = make_rig(template="%d/%n/Maildir", default_domain="example.com")
    os.makedirs(os.path.join(rig.mail, "example.com"))
    rig.maildir("example.com/alice")
    rig.maildir("example.com/bob")
    short = rig.watch("alice")
    long = rig.watch("alice@Example.COM")
    bob = rig.watch("bob@example.com")
    assert (short.slot, short.gen) == (long.slot, long.gen)
    assert bob.slot != short.slot


def test_a_guid_is_another_name_of_a_folder(rig):
    box = rig.maildir().create("Sub")
    inbox = rig.watch()
    assert rig.watch(folder="/guid/" + box.guid()).slot == inbox.slot
    sub = rig.watch(folder="/guid/" + box.guid("Sub"))
    assert sub.slot == rig.watch(folder="Sub").slot != inbox.slot
    assert "GUID" in rig.refused("alice", "/guid/" + "f" * 32)


def test_a_guid_follows_its_folder_when_that_is_renamed(rig):
    box = rig.maildir().create("Old")
    name = "/guid/" + box.guid("Old")
    old = rig.watch(folder=name)
    box.rename("Old", "New")
    wait_until(lambda: not old.is_current, "the old slot is given back")
    new = rig.watch(folder=name)
    assert new.slot == rig.watch(folder="New").slot
    box.deliver("hello", folder="New")
    new.wait("new")


def test_a_guid_that_changes_in_place_ends_the_topic(rig):
    box = rig.maildir().create("Sub")
    sub = rig.watch(folder="/guid/" + box.guid("Sub"))
    by_name = rig.watch()
    box.write_uidlist(box.dir("Sub"), "0123456789abcdef" * 2)
    wait_until(lambda: not sub.is_current)
    assert by_name.is_current
    assert "GUID" in rig.refused("alice", "/guid/" + "e" * 32)
    assert rig.watch(folder="/guid/" + "0123456789abcdef" * 2)


# --- the folder list ---

def test_folders_that_come_and_go_change_the_hierarchy(rig):
    box = rig.maildir()
    folders = rig.watch(folder="*", class_="Hierarchy")
    box.create("One")
    folders.wait("new")
    box.rename("One", "Two")
    folders.wait("new")
    rig.barrier()
    folders.settle()
    box.deliver("hello", folder="Two")
    box.deliver("hello")
    rig.barrier()
    assert folders.kinds() == []
    box.remove("Two")
    folders.wait("new")


def test_a_rename_gives_both_names_a_fresh_start(rig):
    box = rig.maildir().create("A").create("B")
    a, b = rig.watch(folder="A"), rig.watch(folder="B")
    mark = rig.bus.head
    box.remove("B")
    b.wait("vouch")
    box.rename("A", "B")
    a.wait("vouch")
    wait_until(lambda: b.view.watched_from > mark
               and b.view.watched_from > a.view.watched_from - 10)
    assert not a.is_clean(mark) and not b.is_clean(mark)
    rig.barrier()
    b.settle()
    box.deliver("hello", folder="B")
    b.wait("new")


# --- the whole class ---

def test_the_class_topic_covers_all_folders_present_and_future(rig):
    box = rig.maildir().create("A")
    all_ = rig.watch(folder="*")
    box.deliver("hello", folder="A")
    all_.wait("new")
    mark = all_.mark()
    box.create("B")
    wait_until(lambda: all_.view.is_vouched
               and all_.view.watched_from > mark)
    rig.barrier()
    all_.settle()
    box.deliver("hello", folder="B")
    all_.wait("new")
    mail = box.deliver("hello")
    all_.wait("new")
    box.delete(mail)
    all_.wait("other")


def test_a_folder_asked_for_by_itself_changes_its_class_too(rig):
    box = rig.maildir().create("A")
    a = rig.watch(folder="A")
    all_ = rig.watch(folder="*")
    assert a.view.class_slot == all_.slot
    a.settle()
    all_.settle()
    box.deliver("hello", folder="A")
    a.wait("new")
    assert all_.wait("new") == ["new"]


def test_further_folders_share_their_users_topic(make_rig):
    rig = make_rig(conf=["user_topics = 2"])
    rig.allow("user_topics")
    box = rig.maildir()
    for name in ("A", "B", "C", "D"):
        box.create(name)
    a, b = rig.watch(folder="A"), rig.watch(folder="B")
    c, d = rig.watch(folder="C"), rig.watch(folder="D")
    assert c.slot == d.slot not in (a.slot, b.slot)
    c.settle()
    box.deliver("hello", folder="D")
    c.wait("new")
    assert rig.watcher.output().count("user_topics") == 1


def test_a_full_table_folds_as_well(make_rig):
    rig = make_rig(conf=["topics = 64"])
    rig.allow("nearly full")
    box = rig.maildir()
    slots = set()
    for i in range(60):
        box.create("F%d" % i)
    for i in range(60):
        topic = rig.watch(folder="F%d" % i)
        slots.add(topic.slot)
    assert len(slots) == 49  # three quarters, and the class
    box.deliver("hello", folder="F59")
    topic.wait("new")
    assert rig.watcher.output().count("nearly full") == 1


# --- Maildirs that come and go ---

def test_a_maildir_that_is_created_later(rig):
    """Nobody vouches for it before: the path may be wrong."""
    inbox = rig.watch("carol", vouched=False)
    folders = rig.watch("carol", "*", "Hierarchy", vouched=False)
    everything = rig.watch("carol", "*", vouched=False)
    mark = rig.bus.head
    rig.barrier()
    for topic in (inbox, folders, everything):
        assert not topic.view.is_vouched
    assert rig.watcher.output().count("no Maildir there yet") == 1
    assert rig.watcher.ctl("verify", "carol", "Email", "INBOX",
                           check=False).returncode == 1
    box = rig.maildir("carol").create("Sub")
    wait_until(lambda: inbox.view.is_vouched and not inbox.is_clean(mark))
    wait_until(lambda: folders.view.is_vouched
               and not folders.is_clean(mark))
    everything.wait_vouched()
    rig.barrier()
    inbox.settle()
    box.deliver("hello")
    inbox.wait("new")
    rig.watch("carol", "Sub")


def test_a_maildir_moved_away_is_vouched_for_no_more(rig):
    box = rig.maildir().create("Sub")
    inbox, sub = rig.watch(), rig.watch(folder="Sub")
    everything = rig.watch(folder="*")
    os.rename(os.path.join(rig.mail, "alice"), os.path.join(rig.mail, "gone"))
    for topic in (inbox, sub, everything):
        wait_until(lambda: not topic.view.is_vouched)
    mark = rig.bus.head
    os.rename(os.path.join(rig.mail, "gone"), os.path.join(rig.mail, "alice"))
    for topic in (inbox, sub, everything):
        wait_until(lambda: topic.view.is_vouched)
        assert not topic.is_clean(mark)
    rig.barrier()
    inbox.settle()
    box.deliver("hello")
    inbox.wait("new")


def test_a_maildir_replaced_by_another_is_looked_at_again(rig):
    box = rig.maildir()
    inbox = rig.watch()
    mark = rig.bus.head
    shutil.rmtree(box.path)
    box = rig.maildir()
    wait_until(lambda: not inbox.is_clean(mark) and inbox.view.is_vouched)
    rig.barrier()
    inbox.settle()
    box.deliver("hello")
    inbox.wait("new")


def test_cur_replaced_by_another_is_looked_at_again(rig):
    box = rig.maildir()
    inbox = rig.watch()
    mark = rig.bus.head
    os.rename(os.path.join(box.path, "cur"), os.path.join(box.path, "was"))
    os.mkdir(os.path.join(box.path, "cur"))
    wait_until(lambda: not inbox.is_clean(mark) and inbox.view.is_vouched)
    rig.barrier()
    inbox.settle()
    mail = box.deliver("hello")
    inbox.wait("new")
    box.set_flags(mail)
    inbox.wait("other")
    box.set_flags(mail, "FS")
    inbox.wait("other")


def test_a_big_folder_is_vouched_for_when_it_is_scanned(rig):
    box = rig.maildir()
    cur = os.path.join(box.path, "cur")
    for i in range(30000):
        os.close(os.open(os.path.join(cur, "1.M%d.h:2,S" % i),
                         os.O_CREAT | os.O_WRONLY))
    inbox = rig.watch()
    box.deliver("hello")
    inbox.wait("new")
    with rig.watcher.control() as c:
        assert "30001 messages" in c.ask("verify", "alice", "Email",
                                         "INBOX")[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="filters as root")
@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_without_openat2_mailboxes_are_watched_too(make_rig, tmp_path, error):
    """Linux before 5.6, and containers whose filter does not know it."""
    names = tmp_path / "names"
    names.write_text("openat2")
    rig = make_rig(wrapper=[sys.executable, filtered.__file__, str(names),
                            "without-" + error])
    box = rig.maildir().create("Archive")
    topics = {"INBOX": rig.watch(), "Archive": rig.watch(folder="Archive")}
    for name, topic in topics.items():
        box.deliver("hello", name)
        topic.wait("new")
    hierarchy = rig.watch(class_="Hierarchy", folder="*")
    box.create("Later")
    hierarchy.wait("new")
    # links are not followed
    os.makedirs(os.path.join(rig.where, "outside", "Maildir", "new"))
    os.symlink(os.path.join(rig.where, "outside"),
               os.path.join(rig.mail, "mallory"))
    rig.allow("mallory")
    assert "link" in rig.refused("mallory")
