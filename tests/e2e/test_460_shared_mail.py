"""Mail folders that others share, and public ones, through SOGo and Dovecot:
the owner's mail wakes the phone of who sees the folder, at once; what can't be
mapped, or was not listed to that phone, is blind."""
import os
import pwd

import pytest

from dp.process import wait_until
from dp.stack.site import sharing_lines

HOUR = {"DirectPushFallbackInterval": "3600s 3600s", "DirectPushQuiet": "1s",
        "DirectPushPace": "0s"}


@pytest.fixture
def site(make_stack_site, stack):
    return make_stack_site(maildir_lines=sharing_lines(stack),
                           httpd=dict(tune=HOUR))


def share(site, owner, friend, *boxes):
    site.stack.track(owner, boxes)
    with site.stack.imap(owner) as client:
        for box in boxes:
            status, answer = client.setacl('"%s"' % box, friend, "lrswite")
            assert status == "OK", answer


def id_of(phone, name):
    """The id of the one folder that is shown by that name."""
    phone.foldersync()
    (found,) = [i for i, f in phone.folders.items() if f["name"] == name]
    return found


def published(site):
    return site.watcher.status()["published_new"]


def deliver(site, owner, box):
    """A mail; back when the watcher has told of it."""
    before = published(site)
    subject = site.deliver(owner, mailbox=box)
    wait_until(lambda: published(site) > before, "told")
    return subject


def brings(phone, ping, folder, subject):
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [folder])
    phone.sync_until_done(folder)
    assert subject in phone.subjects(folder)


@pytest.mark.parametrize("box,shown,others", [
    ("Projects", "Projects", ()),
    ("Projects/2026", "2026", ("Projects",)),
    ("A&-B", "A&B", ()),
    ("INBOX", None, ("Projects",))], ids=["box", "nested", "escaped", "inbox"])
def test_a_mail_in_a_shared_folder(site, box, shown, others):
    owner, friend = site.user(), site.user()
    share(site, owner, friend, *others, box)
    phone = site.phone(friend)
    folder = id_of(phone, shown or "User " + owner)
    phone.sync_until_done("INBOX", folder)
    ping = site.hold(phone, [folder])
    subject = deliver(site, owner, box.replace("&-", "&"))
    brings(phone, ping, folder, subject)


def public_folder(site, name):
    """A public mailbox in which everybody may do everything."""
    root = os.path.join(site.stack.dovecot.where, "public", "." + name)
    mail = pwd.getpwnam("mail")
    for path in (root, root + "/cur", root + "/new", root + "/tmp"):
        os.mkdir(path, 0o700)
        os.chown(path, mail.pw_uid, mail.pw_gid)
    with open(root + "/dovecot-acl", "w") as f:
        f.write("anyone lrwstipekxa\n")
        os.fchown(f.fileno(), mail.pw_uid, mail.pw_gid)


def test_a_mail_in_a_public_folder(site):
    writer, reader = site.user(), site.user()
    public_folder(site, "News")
    site.stack.track(reader, ["Public/News"])
    phone = site.phone(reader)
    folder = id_of(phone, "News")
    phone.sync_until_done("INBOX", folder)
    ping = site.hold(phone, [folder])
    with site.stack.imap(writer) as client:
        status, answer = client.append(
            "Public/News", None, None, b"Subject: news\r\n\r\nbody\r\n")
        assert status == "OK", answer
    brings(phone, ping, folder, "news")


def friends_phone(site, *boxes):
    """An owner, a friend, his phone in step with the first of these boxes.
    @return (owner, friend, phone, folder)"""
    owner, friend = site.user(), site.user()
    share(site, owner, friend, *boxes)
    phone = site.phone(friend)
    folder = id_of(phone, boxes[0])
    phone.sync_until_done("INBOX", folder)
    return owner, friend, phone, folder


def test_all_who_see_a_folder_hear_of_a_mail(site):
    owner, friend, phone, folder = friends_phone(site, "Projects")
    other = site.user()
    share(site, owner, other, "Projects")
    phones = [phone, site.phone(owner), site.phone(other)]
    pings = []
    for p in phones:
        assert id_of(p, "Projects") == folder
        p.sync_until_done("INBOX", folder)
        pings.append(site.hold(p, [folder]))
    subject = deliver(site, owner, "Projects")
    for p, ping in zip(phones, pings):
        brings(p, ping, folder, subject)


def test_what_another_client_has_read(site):
    owner, friend, phone, folder = friends_phone(site, "Projects")
    deliver(site, owner, "Projects")
    ping = site.hold(phone, [folder])
    with site.stack.imap(owner) as client:
        client.select("Projects")
        client.store("1", "+FLAGS", "(\\Seen)")
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [folder])
    phone.sync_until_done(folder)
    (mail,) = phone.items[folder].values()
    assert mail["Read"] == "1"


def test_the_owner_renames_the_folder(site):
    """Dovecot no longer shows it to the friend then, and his phone does not
    know: in its next Ping it is the folder of its list all the same."""
    owner, friend, phone, folder = friends_phone(site, "Projects")
    site.hold(phone, [folder])
    with site.stack.imap(owner) as client:
        assert client.rename("Projects", "Plans")[0] == "OK"
    ping = held_at_last(phone, folder)
    deliver(site, owner, "Plans")
    site.told(phone, folder, ping=ping)


def test_a_restart_of_directpushd(site):
    owner, friend, phone, folder = friends_phone(site, "Projects")
    site.hold(phone, [folder])
    site.httpd.allow_absence()
    site.watcher.stop()
    subject = site.deliver(owner, mailbox="Projects")
    site.watcher.start()
    site.told(phone, folder, folders=[folder])
    phone.sync_until_done(folder)
    assert subject in phone.subjects(folder)


def held_at_last(phone, *folders):
    """A Ping that is held, of a phone that syncs only what is in its list."""
    for _ in range(8):
        ping = phone.start_ping([(f, "Email") for f in folders], 600)
        if ping.is_held(0.7):
            return ping
        answer = ping.answer()
        if answer.status == 7:
            phone.foldersync()
        for f in answer.folders:
            if f in phone.folders:
                phone.sync_until_done(f)
    raise AssertionError("not held")


def test_an_id_that_a_phone_made_up_tells_nothing(site):
    owner, friend, phone, folder = friends_phone(site, "Projects")
    ping = site.hold(phone, [folder])
    stranger = site.phone(site.user())
    stranger.foldersync()
    stranger.sync_until_done("INBOX")
    spying = held_at_last(stranger, folder)
    subject = deliver(site, owner, "Projects")
    brings(phone, ping, folder, subject)
    assert spying.is_held(1)


def test_a_folder_that_is_no_longer_shown(site):
    owner, friend, phone, folder = friends_phone(site, "Projects", "Others")
    with site.stack.imap(owner) as client:
        assert client.deleteacl("Projects", friend)[0] == "OK"
    site.stack.forget_cached()
    phone.foldersync()
    assert folder not in phone.folders
    ping = held_at_last(phone, folder, phone.id("INBOX"))
    deliver(site, owner, "Projects")
    assert ping.is_held(1)
    subject = deliver(site, friend, "INBOX")
    answer = ping.answer()
    assert answer.status == 2 and phone.id("INBOX") in answer.folders
    phone.sync_until_done("INBOX")
    assert subject in phone.subjects("INBOX")


def test_without_the_file_of_who_shares_what_it_is_blind(make_stack_site):
    site = make_stack_site(httpd=dict(tune={
        "DirectPushFallbackInterval": "3s 3600s", "DirectPushPace": "0s"}))
    owner, friend, phone, folder = friends_phone(site, "Projects")
    subject = site.deliver(owner, mailbox="Projects")
    site.told(phone, folder, folders=[folder])
    phone.sync_until_done(folder)
    assert subject in phone.subjects(folder)
    hex_ = folder[len("mail%2F"):]
    for alias in ("/guid/", "/listed/guid/"):
        said = site.watcher.ctl("verify", friend, "Email", alias + hex_,
                                check=False)
        assert said.returncode and "no folder of this user" in (
            said.stdout + said.stderr), said
