"""A device that did its FolderSync before the module was there, at a server
whose ids say nothing: Z-Push, Horde. The class of its collections is all that
its Pings tell, and it is pushed to by that, without being told to start over.
"""
import pytest

from dp.process import wait_until

MAIL = ("INBOX", "Sent")
ALL = MAIL + ("Personal Calendar",)


class Existing:
    """Such a device. @param statuses  of the Pings that were answered"""

    def __init__(self, site):
        self.site = site
        self.phone = site.phone(direct=True)  # past Apache
        self.phone.foldersync()
        self.phone.sync_until_done(*ALL)
        self.phone.close()
        self.phone.endpoint = site.httpd.endpoint(True)
        self.key = self.phone.hierarchy_key
        self.phone.foldersync()  # brings nothing
        assert self.phone.hierarchy_key == self.key
        self.phone.sync_until_done(*ALL)
        self.statuses = []

    def ids(self, *names):
        return {self.phone.id(n) for n in names}

    def start_ping(self, names=ALL):
        return self.phone.start_ping(
            [(self.phone.id(n), "Calendar" if "Calendar" in n else "Email")
             for n in names], 600)

    def take(self, ping):
        """Do what the answer asks for. @return it"""
        answer = ping.answer()
        self.statuses.append(answer.status)
        if answer.status == 7:
            self.phone.foldersync()
        else:
            assert answer.status == 2, answer
            self.phone.sync_until_done(*answer.folders)
        return answer

    def hold(self, names=ALL, watched="*"):
        """A Ping with nothing left to announce.
        @param watched  what the watcher has of the mailbox then"""
        for _ in range(8):
            ping = self.start_ping(names)
            wait_until(lambda: ping.is_answered(0)
                       or self._is_watched(watched), "it is watched")
            if not ping.is_answered(0.5):
                return ping
            self.take(ping)
        raise AssertionError("no Ping is held: %r" % self.statuses)

    def _is_watched(self, folder):
        with self.site.watcher.control() as control:
            return control.ask("verify", "alice", "Email", folder)[0] == "ok"

    def announced(self):
        return self.site.httpd.metric("answered_changes")


@pytest.fixture(params=["zpush", "horde"])
def make_opaque(make_site, request):
    def make(interval="600s 3600s"):
        return make_site(id_style=request.param, guid=False, httpd=dict(
            tune={"DirectPushFallbackInterval": interval}))
    return make


def test_a_mail_in_any_folder_wakes_what_is_of_its_class(make_opaque):
    """Each change once, also that in a folder which the Ping does not name."""
    site = make_opaque()
    device = Existing(site)
    ping = device.hold()
    assert device.statuses.count(7) <= 1
    for folder in ("INBOX", "Sent", "Drafts"):
        before, known = device.announced(), len(device.statuses)
        site.mails().deliver("to " + folder, folder)
        answer = device.take(ping)
        assert answer.status == 2
        assert set(answer.folders) == device.ids(*MAIL)
        ping = device.hold()
        assert device.statuses[known:] == [2]
        assert device.announced() == before + 1
    assert device.phone.subjects("INBOX") == ["to INBOX"]
    assert device.phone.subjects("Sent") == ["to Sent"]
    assert device.phone.hierarchy_key == device.key
    assert site.backend.count(cmd="Ping") == 0


def test_a_calendars_change_wakes_calendars_alone(make_opaque):
    site = make_opaque()
    device = Existing(site)
    ping = device.hold()
    site.watcher.publish("alice", "*", "Calendar")
    answer = device.take(ping)
    assert answer.status == 2
    assert set(answer.folders) == device.ids("Personal Calendar")
    device.hold()


def test_a_folder_list_from_the_beginning_makes_it_precise(make_opaque):
    site = make_opaque()
    device = Existing(site)
    device.hold()
    device.phone.forget()
    device.phone.foldersync()
    device.phone.sync_until_done(*ALL)
    ping = device.hold(MAIL, "Sent")
    for folder in ("Sent", "INBOX"):
        with site.published():
            site.mails().deliver("for nobody", "Drafts")
        site.mails().deliver("to " + folder, folder)
        answer = device.take(ping)
        assert answer.status == 2
        assert set(answer.folders) == device.ids(folder)
        ping = device.hold(MAIL, "Sent")


def test_what_may_be_somebody_elses_is_asked_for_at_the_interval(make_opaque):
    """Nothing is known of such a folder, whatever its class topic says: the
    phone syncs all of them at once, and no more often than that."""
    site = make_opaque("600s 5s")
    device = Existing(site)
    ping = device.hold(MAIL)
    before = site.httpd.metric("answered_changes")
    at = []
    for _ in range(3):
        answer = device.take(ping)
        assert answer.status == 2
        assert set(answer.folders) == device.ids(*MAIL)
        at.append(ping.pending.answered_at)
        ping = device.start_ping(MAIL)
    assert all(b - a >= 4.5 for a, b in zip(at, at[1:])), at
    assert site.httpd.metric("answered_changes") == before + 3


def test_what_is_known_is_not(make_opaque, make_site):
    """By the folder list, and by SOGo's ids."""
    site = make_opaque("600s 3s")
    device = Existing(site)
    device.phone.forget()
    device.phone.foldersync()
    device.phone.sync_until_done(*MAIL)
    ping = device.hold(MAIL, "Sent")
    sogo = Existing(make_site(httpd=dict(
        tune={"DirectPushFallbackInterval": "600s 3s"})))
    other = sogo.hold(MAIL, "INBOX")
    assert ping.is_held(5) and other.is_held(5)
