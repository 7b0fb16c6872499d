"""Mail through SOGo and Dovecot: what happens to a folder wakes the Pings that
name it, and no other; SOGo's ids are Dovecot's GUIDs."""
import smtplib

import pytest

from dp.maildir import utf7_encode as utf7
from dp.process import wait_until
from dp.stack.site import mail

QUIET = {"DirectPushQuiet": "3s", "DirectPushBackendLag": "0s"}
# as people see them; in IMAP they are modified UTF-7
ODD = ["Mit Leerzeichen", "Bücher & Zeitschriften", "Tom & Jerry/Größe M",
       "&", "日本"]


@pytest.fixture
def site(make_stack_site):
    return make_stack_site()


def make_boxes(site, user, *names):
    site.stack.track(user, [utf7(n) for n in names])


def two_phones(site, user, folder, other="INBOX"):
    """Both in step and held: one over `folder`, one over `other`.
    @return ((phone, ping), (phone, ping))"""
    one = site.held_phone(folder, user=user)
    two = site.held_phone(other, user=user)
    return one, two


def others_wait(ping):
    assert ping.is_held(0.5), "woken by another folder's change"


@pytest.mark.parametrize("folder", ODD)
def test_mail_filed_into_a_folder_wakes_who_names_it(site, folder):
    user = site.user()
    make_boxes(site, user, folder)
    (phone, ping), (_, other) = two_phones(site, user, folder)
    subject = site.deliver(user, mailbox=folder)
    site.told(phone, folder, ping=ping)
    phone.sync_until_done(folder)
    assert phone.subjects(folder) == [subject]
    others_wait(other)


def test_lmtp_delivery(site):
    user = site.user()
    (phone, ping), (_, other) = two_phones(site, user, "INBOX", "Sent")
    with smtplib.LMTP("127.0.0.1", site.stack.dovecot.lmtp_port) as lmtp:
        lmtp.sendmail("bob@example.org", [user + "@example.org"],
                      mail("over LMTP", user))
    site.told(phone, ping=ping)
    phone.sync_until_done()
    assert "over LMTP" in phone.subjects()
    others_wait(other)


def selected(client, box="INBOX"):
    status, _ = client.select('"%s"' % utf7(box))
    assert status == "OK"
    return client


def ok(answer):
    assert answer[0] == "OK", answer
    return answer


def test_append_copy_and_move_are_new_mail_in_their_target(site):
    user = site.user()
    make_boxes(site, user, "Ablage & Co")
    site.deliver(user, "to be filed")
    (phone, ping), (_, other) = two_phones(site, user, "Ablage & Co", "Drafts")
    target = '"%s"' % utf7("Ablage & Co")
    with site.stack.imap(user) as client:
        ok(client.append(target, "", None, mail("appended", user)))
        site.told(phone, "Ablage & Co", ping=ping)
        phone.sync_until_done("Ablage & Co")

        ping = site.hold(phone, ["Ablage & Co"])
        ok(selected(client).copy("1", target))
        site.told(phone, "Ablage & Co", ping=ping)
        phone.sync_until_done("Ablage & Co")

        ping = site.hold(phone, ["Ablage & Co"])
        ok(selected(client).uid("MOVE", "1", target))
        site.told(phone, "Ablage & Co", ping=ping)
        phone.sync_until_done("Ablage & Co")
    assert phone.subjects("Ablage & Co") == ["appended", "to be filed",
                                             "to be filed"]
    others_wait(other)


def test_flags_and_expunges_of_another_client_are_told_after_the_quiet(
        make_stack_site):
    site = make_stack_site(httpd={"tune": QUIET})
    user = site.user()
    site.deliver(user)
    (phone, ping), (_, other) = two_phones(site, user, "INBOX", "Sent")
    with site.stack.imap(user) as client:
        ok(selected(client).store("1", "+FLAGS", r"(\Flagged)"))
        assert ping.is_held(1), "flags wait for company"
        site.told(phone, ping=ping)
        phone.sync_until_done()

        ping = site.hold(phone)
        ok(client.store("1", "+FLAGS", r"(\Deleted)"))
        ok(client.expunge())
        site.told(phone, ping=ping)
        phone.sync_until_done()
    assert phone.subjects() == []
    others_wait(other)


def test_new_mail_does_not_wait_for_the_quiet(make_stack_site):
    site = make_stack_site(httpd={"tune": {"DirectPushQuiet": "1h"}})
    user = site.user()
    site.deliver(user)
    phone, ping = site.held_phone(user=user)
    with site.stack.imap(user) as client:
        ok(selected(client).store("1", "+FLAGS", r"(\Flagged)"))
        assert ping.is_held(0.5)
        site.deliver(user)
        site.told(phone, ping=ping)


def test_a_client_that_only_selects_wakes_nobody(site):
    user = site.user()
    phone, ping = site.held_phone(user=user)
    site.deliver(user)
    site.told(phone, ping=ping)
    phone.sync_until_done()
    ping = site.hold(phone)
    with site.stack.imap(user) as client:
        selected(client)  # new/ to cur/
        ok(client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER])"))
        client.unselect()
    others_wait(ping)


def test_a_new_imap_folder_leads_to_status_7(site):
    user = site.user()
    phone, ping = site.held_phone(user=user)
    make_boxes(site, user, "Brandneu")
    assert ping.answer().status == 7
    phone.foldersync()
    assert phone.id("Brandneu") in phone.folders
    phone.sync_until_done("Brandneu")
    ping = site.hold(phone, ["INBOX", "Brandneu"])
    site.deliver(user, mailbox="Brandneu")
    assert site.told(phone, "Brandneu", ping=ping,
                     folders=["INBOX", "Brandneu"]).folders == [
                         phone.id("Brandneu")]


def test_a_renamed_and_a_deleted_folder_lead_to_status_7(site):
    user = site.user()
    make_boxes(site, user, "Alt", "Weg")
    phone, ping = site.held_phone(user=user)
    with site.stack.imap(user) as client:
        ok(client.rename("Alt", "Neu"))
        assert ping.answer().status == 7
        phone.foldersync()
        ping = site.hold(phone)
        ok(client.delete("Weg"))
        assert ping.answer().status == 7
        phone.foldersync()
    names = {f["name"] for f in phone.folders.values()}
    assert "Neu" in names and not names & {"Alt", "Weg"}
    # the id of a renamed folder stays, and so does its push
    phone.sync_until_done("Neu")
    ping = site.hold(phone, ["Neu"])
    site.deliver(user, mailbox="Neu")
    site.told(phone, "Neu", ping=ping)


def test_what_a_phone_does_wakes_the_users_other_phone(site):
    user = site.user()
    subject = site.deliver(user)
    phone = site.in_step(user=user)
    other, ping = site.held_phone("INBOX", "Trash", user=user)
    phone.connect()
    phone.sync("INBOX", commands={"INBOX": [phone.change_read(
        phone.item("INBOX", subject))]})
    site.told(other, ping=ping, folders=["INBOX", "Trash"])
    other.sync_until_done("INBOX", "Trash")
    ping = site.hold(other, ["INBOX", "Trash"])
    assert phone.move(phone.item("INBOX", subject), "INBOX", "Trash")[1] == 3
    site.told(other, "Trash", ping=ping, folders=["INBOX", "Trash"])
    wait_until(lambda: other.sync_until_done("INBOX", "Trash") is not None
               and other.subjects("Trash") == [subject], "moved there as well")
