"""A device that did its FolderSync before the module was there, and has no
reason to do it again: SOGo's ids say which folder is meant."""
import pytest

QUIET = {"DirectPushQuiet": "1s", "DirectPushBackendLag": "0s"}


@pytest.fixture
def site(make_stack_site):
    return make_stack_site(httpd=dict(tune=QUIET))


def test_sogos_ids_teach_without_a_foldersync(site):
    user = site.user()
    phone = site.phone(user, direct=True)  # past Apache
    phone.foldersync()
    phone.sync_until_done("INBOX", "Sent")
    key, ids = phone.hierarchy_key, dict(phone.folders)

    phone.close()
    through = site.phone(user)
    phone.endpoint, phone.path = through.endpoint, through.path
    phone.foldersync(key)  # brings nothing
    assert phone.hierarchy_key == key and phone.folders == ids
    phone.sync_until_done("INBOX", "Sent")
    ping = site.hold(phone, ["INBOX"])
    site.deliver(user, mailbox="Sent")
    assert ping.is_held(1), "woken by another folder's mail"
    subject = site.deliver(user)
    site.told(phone, ping=ping)
    phone.sync_until_done()
    assert subject in phone.subjects()
