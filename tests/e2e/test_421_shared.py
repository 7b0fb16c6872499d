"""Other people's mail folders through SOGo and Dovecot: nothing in the user's
own Maildir may vouch for them, so a Ping over one is never wrongly clean."""
import pytest


@pytest.fixture
def site(make_stack_site):
    return make_stack_site(httpd=dict(tune={
        "DirectPushFallbackInterval": "3s 3600s", "DirectPushQuiet": "1s"}))


def shared_with(site, owner, friend, box):
    site.stack.track(owner, [box])
    with site.stack.imap(owner) as client:
        status, answer = client.setacl(box, friend, "lrswite")
        assert status == "OK", answer
    with site.stack.imap(friend) as client:
        status, answer = client.subscribe("shared/%s/%s" % (owner, box))
        assert status == "OK", answer


def test_a_mail_to_the_owner_reaches_who_shares_the_folder(site):
    owner, friend = site.user(), site.user()
    shared_with(site, owner, friend, "Projects")
    phone = site.phone(friend)
    phone.foldersync()
    shown = phone.folders
    theirs = [i for i in shown if "Projects" in phone.path_of(shown[i])]
    assert theirs, shown
    phone.sync_until_done("INBOX", *theirs)
    subject = site.deliver(owner, mailbox="Projects")
    for _ in range(8):
        answer = phone.ping([(theirs[0], "Email")], 60)
        if answer.status == 7:
            phone.foldersync()
            continue
        assert answer.status == 2, answer
        phone.sync_until_done(theirs[0])
        if subject in phone.subjects(theirs[0]):
            break
    assert subject in phone.subjects(theirs[0])
