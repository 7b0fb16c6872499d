"""The real stack is up, and the main job works in front of it."""
import pytest


@pytest.fixture
def site(make_stack_site):
    return make_stack_site()


def test_hold_wake_and_sync(site):
    """A mail delivered by Dovecot wakes the phone, and SOGo's Sync has it."""
    phone, ping = site.held_phone(user=site.user())
    subject = site.deliver(phone.user)
    site.told(phone, ping=ping)
    phone.sync_until_done()
    assert subject in phone.subjects()
    site.hold(phone)


def test_sogo_has_nothing_to_do_while_phones_wait(site):
    phones = [site.held_phone(user=site.user())[0] for _ in range(3)]
    assert site.held() == len(phones)
    assert not [r for r in site.httpd.access(cmd="Ping")
                if r["outcome"] == "passed"]
