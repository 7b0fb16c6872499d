"""Folders of others: a GUID that was listed to a device is looked for in the
public Maildir and in those of who shares something with its user, nowhere
else; see topic_name.h for `/listed/`."""
import os

import pytest

from dp_watcher import make_rig  # noqa: F401

FOREIGN = "0123456789abcdef" * 2


class Sharing:
    """A rig with Alice's folder Team, and a file of who shares what."""

    def __init__(self, make_rig, **kw):
        self.rig = make_rig(start=False, **kw)
        self.dict = os.path.join(self.rig.where, "dict")
        self.public = os.path.join(self.rig.where, "public")
        self.rig.watcher.maildir_lines = [
            'public = "%s"' % self.public, 'shared_dict = "%s"' % self.dict]
        self.alice = self.rig.maildir("alice")
        self.alice.create("Team")
        self.rig.maildir("bob")
        self.says()

    def says(self, *lines):
        with open(self.dict, "w") as f:
            for line in lines:
                f.write("shared/shared-boxes/%s\n1\n" % line)

    def listed(self, folder="Team"):
        return "/listed/guid/" + self.alice.guid(folder)


@pytest.fixture
def sharing(make_rig):  # noqa: F811
    return Sharing(make_rig)


@pytest.mark.parametrize("line", ["user/bob/alice", "group/sales/alice",
                                  "group/a/b/alice", "anyone/alice"])
def test_what_the_file_says(sharing, line):
    sharing.says("user/carol/dave", "user/bob/nobody", line)
    rig = sharing.rig.start()
    team = rig.watch("bob", sharing.listed())
    sharing.alice.deliver("hello", folder="Team")
    team.wait("new")
    assert rig.watch("alice", "Team").slot == team.slot


def test_the_inbox_of_another(sharing):
    sharing.says("user/bob/alice")
    rig = sharing.rig.start()
    inbox = rig.watch("bob", sharing.listed("INBOX"))
    sharing.alice.deliver("hello")
    inbox.wait("new")


@pytest.mark.parametrize("lines", [
    (), ("user/carol/alice",), ("user/alice/bob",), ("user/bob/",),
    ("user/bob",), ("alice",), ("user/bob/..",), ("user/bob/alice/",),
    ("",), ("user/bob/" + "x" * 2000,)])
def test_what_the_file_does_not_say_is_not_looked_for(sharing, lines):
    sharing.says(*lines)
    rig = sharing.rig.start()
    assert "GUID" in rig.refused("bob", sharing.listed())


def test_an_id_alone_tells_nothing_of_others(sharing):
    sharing.says("user/bob/alice")
    rig = sharing.rig.start()
    alias = sharing.listed().replace("/listed", "")
    assert "GUID" in rig.refused("bob", alias)
    rig.watch("bob", sharing.listed())
    assert "GUID" in rig.refused("bob", alias)
    assert rig.watch("alice", alias).is_current


def test_the_file_is_read_anew(sharing):
    rig = sharing.rig.start()
    assert "GUID" in rig.refused("bob", sharing.listed())
    sharing.says("user/bob/alice")
    assert rig.watch("bob", sharing.listed()).is_current


def test_there_is_no_such_file(sharing):
    os.unlink(sharing.dict)
    sharing.rig.allow("shared folders are not watched")
    rig = sharing.rig.start()
    for _ in range(3):
        assert "GUID" in rig.refused("bob", sharing.listed())
    assert rig.watcher.output().count("shared folders are not watched") == 1
    sharing.says("user/bob/alice")
    assert rig.watch("bob", sharing.listed()).is_current


def test_names_with_and_without_the_default_domain(make_rig):  # noqa: F811
    sharing = Sharing(make_rig, template="%n/Maildir",
                      default_domain="example.org")
    sharing.says("user/bob/alice@EXAMPLE.org")
    rig = sharing.rig.start()
    one = rig.watch("bob@example.org", sharing.listed())
    sharing.says("user/bob@example.org/alice")
    assert rig.watch("bob", sharing.listed()).slot == one.slot


def test_a_public_folder(sharing):
    public = type(sharing.alice)(sharing.public)
    public.create("News")
    rig = sharing.rig.start()
    news = rig.watch("bob", "/listed/guid/" + public.guid("News"))
    other = rig.watch("alice", "/listed/guid/" + public.guid("News"))
    assert other.slot == news.slot
    public.deliver("hello", folder="News")
    news.wait("new")
    assert "GUID" in rig.refused("bob", "/guid/" + public.guid("News"))
    assert "GUID" in rig.refused("bob", "/listed/guid/" + FOREIGN)
    before = news.mark()
    rig.watcher.restart()
    again = rig.watch("bob", "/listed/guid/" + public.guid("News"))
    assert again.is_clean(before)


def test_nobody_is_called_like_the_public_folders(sharing):
    rig = sharing.rig.start()
    assert rig.ask("watch", "/public", "Email", "INBOX")[0] == "no"


def test_a_folder_that_is_renamed_is_found_again(sharing):
    sharing.says("user/bob/alice")
    rig = sharing.rig.start()
    alias = sharing.listed()
    team = rig.watch("bob", alias)
    sharing.alice.rename("Team", "Staff")
    rig.barrier()
    assert not team.is_current
    staff = rig.watch("bob", alias)
    sharing.alice.deliver("hello", folder="Staff")
    staff.wait("new")


def test_a_reload_takes_other_places(sharing):
    sharing.says("user/bob/alice")
    sharing.rig.watcher.maildir_lines = []
    rig = sharing.rig.start()
    assert "GUID" in rig.refused("bob", sharing.listed())
    rig.watcher.maildir_lines = ['shared_dict = "%s"' % sharing.dict]
    rig.watcher.reload()
    rig.barrier()
    assert rig.watch("bob", sharing.listed()).is_current
