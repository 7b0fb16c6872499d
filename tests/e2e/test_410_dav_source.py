"""Calendar, Tasks and Contacts of the real SOGo: what is changed at sogod, past
Apache, wakes the phones that wait for it; once, and whatever happens."""
import base64
import http.client
import time
import uuid

import pytest

from dp.process import wait_until

EVENTS, TASKS, CARDS = ("vevent%2Fpersonal", "vtodo%2Fpersonal",
                        "vcard%2Fpersonal")
EVENT = ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//dp//EN\r\nBEGIN:VEVENT"
         "\r\nUID:%s\r\nDTSTAMP:20261124T000000Z\r\nDTSTART:20261201T100000Z"
         "\r\nDTEND:20261201T110000Z\r\nSUMMARY:%s\r\nEND:VEVENT\r\n"
         "END:VCALENDAR\r\n")
TASK = ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//dp//EN\r\nBEGIN:VTODO\r\n"
        "UID:%s\r\nDTSTAMP:20261124T000000Z\r\nSUMMARY:%s\r\nEND:VTODO\r\n"
        "END:VCALENDAR\r\n")
CARD = ("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%s\r\nFN:%s\r\nN:Doe;Jo;;;\r\n"
        "END:VCARD\r\n")


@pytest.fixture
def site(make_stack_site):
    return make_stack_site(dav=["interval = 1"])


class Client:
    """A CalDAV client of a user, past Apache."""

    def __init__(self, site, user, port=None):
        self.port, self.user = port or site.sogo.port, user
        self.password = site.users[user]

    def _say(self, method, path, text=None):
        to = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        secret = "%s:%s" % (self.user, self.password)
        to.request(method, "/SOGo/dav/%s/%s" % (self.user, path), text, {
            "Authorization": "Basic "
            + base64.b64encode(secret.encode()).decode(),
            "Content-Type": "text/vcard" if "VCARD" in (text or "")
            else "text/calendar"})
        answer = to.getresponse()
        answer.read()
        to.close()
        assert answer.status // 100 == 2, (method, path, answer.status)

    def put(self, text=EVENT, item=None, home="Calendar/personal"):
        """@return the item's name"""
        item = item or str(uuid.uuid4())
        self._say("PUT", "%s/%s.ics" % (home, item),
                  text % (item, "at %f" % time.time()))
        return item

    def delete(self, item, home="Calendar/personal"):
        self._say("DELETE", "%s/%s.ics" % (home, item))


def told(site):
    """How much has been announced."""
    return site.watcher.status()["published_new"]


def settled(site):
    """Wait until no tag's second may still be going on, and a round more."""
    wait_until(lambda: site.watcher.status()["dav_collections_unsettled"] == 0,
               "settled")
    before = site.watcher.status()["dav_looks"]
    wait_until(lambda: site.watcher.status()["dav_looks"] > before + 1,
               "a round")


@pytest.mark.parametrize("folder,text,home", [
    (EVENTS, EVENT, "Calendar/personal"), (TASKS, TASK, "Calendar/personal"),
    (CARDS, CARD, "Contacts/personal")], ids=["event", "task", "card"])
def test_a_change_past_apache_wakes_the_phone(site, folder, text, home):
    user = site.user()
    client = Client(site, user)
    client.put(text, home=home)  # SOGo's own first one, see eas-protocol
    phone, ping = site.held_phone(folder, user=user)
    item = client.put(text, home=home)
    site.told(phone, folder, ping=ping)
    phone.sync_until_done(folder)
    ping = site.hold(phone, (folder,))
    client.delete(item, home)
    site.told(phone, folder, ping=ping)


def test_two_changes_in_one_second_are_two(site):
    user = site.user()
    client = Client(site, user)
    client.put()
    site.held_phone(EVENTS, user=user)
    settled(site)
    wait_until(lambda: time.time() % 1 < 0.1, "a second begins", every=0.005)
    before = told(site)
    client.put()
    wait_until(lambda: told(site) > before, "the first is told")
    between = told(site)
    client.put()  # in the same second, or the next: told either way
    wait_until(lambda: told(site) > between, "the second is told")
    settled(site)
    at_the_end = told(site)
    settled(site)
    assert told(site) == at_the_end


def test_a_quiet_server_announces_nothing(site):
    user = site.user()
    Client(site, user).put()
    site.held_phone(EVENTS, user=user)
    settled(site)
    before = site.watcher.status()
    for _ in range(3):
        settled(site)
    after = site.watcher.status()
    assert after["published_new"] == before["published_new"], {
        name: (before.get(name), value) for name, value in after.items()
        if before.get(name) != value}


def test_a_server_that_ends_and_returns(make_stack_site, stack):
    sogo = stack.another_sogo("dav-%s" % uuid.uuid4().hex[:8])
    sogo.start()
    try:
        site = make_stack_site(dav=["interval = 1"], sogo=sogo)
        user = site.user()
        client = Client(site, user)
        client.put()
        phone, ping = site.held_phone(EVENTS, user=user)
        settled(site)
        sogo.stop()
        wait_until(lambda: site.watcher.status()["dav_homes_in_trouble"],
                   "seen to be gone")
        sogo.start()
        wait_until(lambda: not site.watcher.status()["dav_homes_in_trouble"],
                   "seen to be back")
        client.put()
        site.told(phone, EVENTS, ping=ping)
    finally:
        sogo.stop()


def test_a_restart_of_directpushd(site):
    user = site.user()
    client = Client(site, user)
    client.put()
    phone, _ = site.held_phone(EVENTS, user=user)
    settled(site)
    site.httpd.allow_absence()
    site.watcher.stop()
    client.put()
    site.watcher.start()
    site.told(phone, EVENTS, folders=[EVENTS])


def test_a_publish_and_the_round_are_one_announcement(site):
    user = site.user()
    client = Client(site, user)
    client.put()
    site.held_phone(EVENTS, user=user)
    settled(site)
    before = told(site)
    client.put()
    site.watcher.publish(user, "*", "Calendar")
    wait_until(lambda: told(site) > before, "told")
    settled(site)
    assert told(site) == before + 1


def test_a_user_whom_sogo_does_not_know_is_not_watched(make_stack_site):
    """It answers with an empty address book, which would never change."""
    site = make_stack_site(dav=["interval = 1"],
                           dav_path="/SOGo/dav/%u@elsewhere.test/")
    user = site.user()
    with site.watcher.control() as control:
        answer = control.ask("watch", user, "Contacts", "*")
        assert answer[0] == "ok", answer
        wait_until(lambda: "SOGo does not know this user"
                   in site.watcher.output(), "it is said")
        assert control.ask("verify", user, "Contacts", "*")[0] == "no"
    (line,) = [x for x in site.watcher.output().splitlines()
               if "SOGo does not know" in x]
    assert "elsewhere.test/Contacts/" in line and "%n" in line


def test_sogo_takes_its_own_name_in_any_case(make_stack_site):
    site = make_stack_site(dav=["interval = 1"], dav_path="/SOGO/dav/%u/")
    user = site.user()
    client = Client(site, user)
    client.put(CARD, home="Contacts/personal")
    phone, ping = site.held_phone(CARDS, user=user)
    client.put(CARD, home="Contacts/personal")
    site.told(phone, CARDS, ping=ping)
