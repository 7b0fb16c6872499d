"""No change is answered by Status 1 and none is waited through, whenever it
comes. Every test here states one moment."""
import threading
import time

import pytest

from dp import wbxml
from dp.phone import PendingPing
from dp.wire import Pending


def announced(site, phone, ping, mail, folder="INBOX", **more):
    """It is told, and the Sync that follows brings it."""
    site.told(phone, folder, ping, mail, **more)
    phone.sync_until_done(folder)


# --- around a Sync ---

def test_a_change_before_the_sync_that_brings_it_is_not_told_again(site):
    phone = site.in_step()
    with site.published():
        site.mails().deliver("one")
    assert len(phone.sync_until_done("INBOX")) == 1
    assert phone.start_ping(["INBOX"], 600).is_held(1)


@pytest.mark.parametrize("gate", ["gate_before", "gate_headers", "gate_body"])
def test_a_change_during_a_sync_is_told(site, gate):
    """After the request reached the backend, before the phone has its end.
    With gate_before the Sync brings it, so telling is allowed but no duty."""
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", times=1, **{gate: "g"})
    pending = phone.start_sync("INBOX")
    site.backend.wait_at_gate("g")
    mail = site.mails().deliver("two")
    site.backend.open("g")
    phone.take_sync(pending.wait())
    ping = phone.start_ping(["INBOX"], 600)
    if gate != "gate_before":
        announced(site, phone, ping, mail)
        ping = site.hold(phone)
    elif ping.is_answered(1):
        phone.sync_until_done("INBOX")
        ping = site.hold(phone)
    assert phone.subjects() == ["one", "two"]
    assert ping.is_held(1)


def test_a_change_between_sync_and_ping_is_told_at_once(site):
    phone = site.in_step()
    assert phone.sync("INBOX").is_empty
    site.mails().deliver("one")
    answer = phone.ping(["INBOX"], 600)
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])


def test_a_change_while_no_ping_is_there_is_told_at_once(site):
    """The phone was away, its connection is gone."""
    phone = site.in_step()
    phone.hang_up()
    site.mails().deliver("one")
    assert phone.ping(["INBOX"], 600).status == 2


def test_a_change_in_one_folder_while_another_is_synchronised(site):
    phone = site.in_step("INBOX", "Sent")
    with site.published(2):
        site.mails().deliver("one", "Sent")
        site.mails().deliver("two")
    phone.sync_until_done("INBOX")
    answer = phone.ping(["INBOX", "Sent"], 600)
    assert (answer.status, answer.folders) == (2, [phone.id("Sent")])


def test_a_sync_that_has_more_leaves_the_folder_dirty(site):
    phone = site.in_step()
    for i in range(5):
        site.mails().deliver("mail %d" % i)
    answer = phone.sync("INBOX", window=2)
    assert answer.collections[phone.id("INBOX")]["more"]
    answer = phone.ping(["INBOX"], 600)
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])


def test_a_sync_without_getchanges_leaves_the_folder_dirty(site):
    site.mails().deliver("old")
    phone = site.in_step()
    site.mails().deliver("new")
    phone.sync("INBOX", get_changes=0)
    assert phone.ping(["INBOX"], 600).status == 2
    phone.sync("INBOX", commands={"INBOX": [
        phone.change_read(phone.item("INBOX", "old"))]})
    assert phone.ping(["INBOX"], 600).status == 2


def test_a_sync_that_omits_the_folder_leaves_it_dirty(site):
    """Z-Push leaves collections out, for more than one reason."""
    phone = site.in_step("INBOX", "Sent")
    site.backend.set(omit_unchanged=True)
    site.backend.control(freeze="alice")
    site.mails().deliver("one", "Sent")
    site.backend.control(thaw="alice")
    site.mails().deliver("two")
    phone.sync_until_done("INBOX")
    assert phone.id("Sent") in phone.ping(["INBOX", "Sent"], 600).folders


@pytest.mark.parametrize("rule", [
    dict(cut=True), dict(reset=True), dict(status=500), dict(status=503),
    dict(wbxml_status=5), dict(wbxml_status=16),
    dict(body_hex="03016a00454e0331"), dict(body_hex="00" * 50),
    dict(length=7), dict(cut=True, chunked=True),
    dict(cut=True, gzip=True)], ids=lambda r: "-".join(
        "%s=%s" % p for p in r.items()))
def test_a_sync_that_failed_proves_nothing(site, rule):
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", times=1, **rule)
    try:
        phone.request("Sync", phone.sync_body("INBOX"))
    except Exception:
        phone.connect()
    site.httpd.allow("AH01110", "AH00898", "AH02609", "prematurely")
    answer = phone.ping(["INBOX"], 600)
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    assert len(phone.sync_until_done("INBOX")) == 1


def test_a_sync_whose_response_the_phone_never_got(site):
    """It left while the response was on its way, and comes back with the old
    key after a Ping."""
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", gate_body="g", times=1)
    phone.start_sync("INBOX")
    site.backend.wait_at_gate("g")
    phone.abort()
    site.backend.open("g")
    site.backend.wait_idle()
    phone.connect()
    answer = phone.ping(["INBOX"], 600)
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    assert len(phone.sync_until_done("INBOX")) == 1
    assert site.hold(phone).is_held(1)


def test_a_response_that_waits_in_a_full_socket_is_not_delivered(make_site):
    """The backend has said all, Apache has taken all, the phone read
    nothing and left."""
    site = make_site(httpd=dict(main=["SendBufferSize 65536"]))
    phone = site.in_step(tls=False)
    site.mails().deliver("one", size=30000)
    phone.hang_up()
    phone.connect(rcvbuf=2304)
    phone.start("Sync", phone.sync_body("INBOX", body_bytes=25000))
    site.backend.wait_for(cmd="Sync", done=True, clear_len=site.backend.last(
        cmd="Sync")["clear_len"])
    phone.wire.sock.close()
    phone.wire.is_open = False
    phone.connect()
    answer = phone.ping(["INBOX"], 600)
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    assert len(phone.sync_until_done("INBOX")) == 1


def test_a_sync_with_the_previous_key_withdraws_the_mark(site):
    """The response arrived in full, and the phone lost it all the same."""
    phone = site.in_step()
    with site.published():
        site.mails().deliver("one")
    phone.sync("INBOX", apply=False)
    ping = phone.start_ping(["INBOX"], 600)
    ping.is_answered(0.3)
    phone.connect()
    answer = phone.sync("INBOX", window=1, get_changes=0)  # the old key again
    assert answer.is_empty
    site.told(phone)
    assert len(phone.sync_until_done("INBOX")) == 1


def test_a_sync_that_met_a_lagging_backend_is_followed_by_another(make_site):
    """The Sync brings nothing, though a mail is there: the next Ping names the
    folder again, once, when the backend has had its time."""
    site = make_site(httpd=dict(tune={"DirectPushBackendLag": "3s"}))
    phone, ping = site.held_phone(quiet=4)
    site.backend.control(freeze="alice")
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert phone.sync("INBOX").is_empty
    ping = phone.start_ping(["INBOX"], 600)
    site.backend.control(thaw="alice")
    assert ping.answer().status == 2
    assert len(phone.sync_until_done("INBOX")) == 1
    ping = site.hold(phone)
    assert ping.is_held(4)


def test_a_change_that_sync_never_shows_is_announced_a_few_times_only(
        make_site):
    """FilterType hides it from the phone: the loop guard."""
    site = make_site(httpd=dict(tune={"DirectPushBackendLag": "1s"}))
    phone, ping = site.held_phone(quiet=2)
    with site.watcher.control() as control:
        control.ask("publish", "alice", "Email", "INBOX", "other")
    for n in range(4):
        if not ping.is_answered(4):
            break
        assert ping.answer().status == 2
        assert phone.sync("INBOX").is_empty
        ping = phone.start_ping(["INBOX"], 600)
    else:
        pytest.fail("announced without end")
    assert 1 <= n <= 2
    site.mails().deliver("real")
    assert ping.answer().status == 2


def test_without_a_sync_in_between_repeats_slow_down(make_site):
    """The first repeat comes at once, later ones are held for a while; a new
    change is told at once."""
    site = make_site(httpd=dict(tune={"DirectPushPace": "2s"}))
    phone, ping = site.held_phone()
    site.mails().deliver("one")
    assert ping.answer().status == 2
    first = phone.start_ping(["INBOX"], 600)
    assert first.answer().status == 2
    second = phone.start_ping(["INBOX"], 600)
    assert second.is_held(1)
    assert second.answer().status == 2
    third = phone.start_ping(["INBOX"], 3)
    answer = third.answer()
    assert answer.status == 2, "never Status 1 over a change"


# --- around the Ping ---

def test_a_change_while_the_ping_is_parked(site):
    """At every moment of parking: deliveries race with arriving Pings."""
    phone = site.in_step()
    mails = site.mails()
    for i in range(60):
        ready = mails.prepare("mail %d" % i)
        delay = (i % 20) * 0.0001
        done = []

        def deliver():
            until = time.monotonic() + delay
            while time.monotonic() < until:
                pass
            done.append(mails.commit(ready))
        thread = threading.Thread(target=deliver)
        body = phone.ping_body(["INBOX"], 600)
        thread.start()
        ping = phone.start("Ping", body)
        thread.join()
        answer = wbxml.PingAnswer(ping.wait().clear)
        assert answer.status == 2, i
        phone.sync_until_done("INBOX")
    assert len(phone.subjects()) == 60


def test_a_change_while_the_ping_is_parked_again_after_a_spurious_wake(site):
    """A part of a TLS record wakes the MPM and holds no request."""
    phone, ping = site.held_phone(tls=True)
    wire = phone.wire
    record = wire.encrypt(phone.bytes_of("Sync", phone.sync_body("INBOX")))
    mails = site.mails()
    for i in range(3):
        wire.send_below_tls(record[i:i + 1])
        assert ping.is_held(0.3)
    ready = mails.prepare("one")
    wire.send_below_tls(record[3:4])
    mails.commit(ready)
    assert ping.answer().status == 2
    wire.send_below_tls(record[4:])
    response = Pending(wire).wait()
    assert len(wbxml.SyncAnswer(response.clear).collections[
        phone.id("INBOX")]["adds"]) == 1


def test_a_change_at_the_very_end_of_the_heartbeat(site):
    """Deliveries in a tight row across the moment when Status 1 is due."""
    phone = site.in_step()
    mails = site.mails()
    ends = None
    for attempt in range(12):
        ping = phone.start_ping(["INBOX"], 2)
        began = ping.pending.sent_at
        if ends is None:
            assert ping.answer().status == 1
            ends = ping.pending.answered_at - began  # when it is due here
            continue
        ready = mails.prepare("mail %d" % attempt)
        target = began + ends + (attempt - 6) * 0.0005
        while time.monotonic() < target:
            time.sleep(max(0, min(0.05, target - time.monotonic() - 0.001)))
        mail = mails.commit(ready)
        # due in the same moment, and read by a machine that may be busy
        announced(site, phone, ping, mail, apart=5)
    assert len(phone.subjects()) == 11


def test_a_change_while_the_older_ping_is_superseded(site):
    """Two Pings of one device, a mail in the same moment: one of the two
    names it."""
    phone, older = site.held_phone()
    mails = site.mails()
    for i in range(20):
        ready = mails.prepare("mail %d" % i)
        phone.connect()
        data = phone.bytes_of("Ping", phone.ping_body(["INBOX"], 600))
        if i % 2:
            mails.commit(ready)
            phone.wire.send(data)
        else:
            phone.wire.send(data)
            mails.commit(ready)
        newer = PendingPing(Pending(phone.wire))
        assert older.answer().status in (1, 2)
        assert newer.answer().status == 2, i
        phone.sync_until_done("INBOX")
        older = site.hold(phone)


def test_a_change_while_draining(site):
    """Deliveries during a graceful restart."""
    phones = [site.held_phone() for _ in range(6)]
    site.httpd.process.signal(10)  # SIGUSR1
    with site.published():
        site.mails().deliver("one")
    may_be_early = [ping.is_answered() for _, ping in phones]
    for (phone, ping), is_early in zip(phones, may_be_early):
        answer = ping.answer()
        if answer.status == 1 and is_early:
            answer = phone.ping(["INBOX"], 600)
        assert answer.status == 2
        assert not phone.wire.was_reset


def test_a_change_while_the_watcher_restarts(site):
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    site.watcher.stop()
    mail = site.mails().deliver("one")
    site.watcher.start()
    announced(site, phone, ping, mail)
    assert site.hold(phone).is_held(1)


def test_a_change_while_the_watcher_is_killed(site):
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    site.watcher.kill()
    mail = site.mails().deliver("one")
    site.watcher.start()
    announced(site, phone, ping, mail)


def test_nothing_changed_while_the_watcher_restarted(site):
    """The cursor proves it: nobody is woken."""
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    site.watcher.restart()
    assert ping.is_held(2)
    site.mails().deliver("one")
    assert ping.answer().status == 2


# --- the phone's own changes ---

def test_the_phones_own_upload_does_not_wake_it_for_ever(site):
    """It may cost one Sync, never a loop."""
    site.mails().deliver("one")
    phone = site.in_step()
    phone.sync("INBOX", commands={"INBOX": [
        phone.change_read(phone.item("INBOX", "one"))]})
    ping = site.hold(phone)
    assert ping.is_held(1)
    assert site.backend.count(cmd="Ping") == 0


def test_an_upload_of_one_phone_wakes_the_other(site):
    site.mails().deliver("one")
    one = site.in_step("INBOX", "Trash")
    two, ping = site.held_phone("INBOX", "Trash")
    one.sync("INBOX", commands={"INBOX": [
        one.change_read(one.item("INBOX", "one"))]})
    assert ping.answer().folders == [two.id("INBOX")]
    two.sync_until_done("INBOX", "Trash")
    ping = site.hold(two, ["INBOX", "Trash"])
    one.move(one.item("INBOX", "one"), "INBOX", "Trash")
    named = set(ping.answer().folders)
    if len(named) < 2:
        named |= set(two.ping(["INBOX", "Trash"], 600).folders)
    assert named == {two.id("INBOX"), two.id("Trash")}


def test_a_foreign_change_during_the_phones_own_upload_is_told(site):
    """(seq, prev): the uploader's mark must not jump over it."""
    site.mails().deliver("one")
    phone = site.in_step()
    site.backend.misbehave(cmd="Sync", gate_headers="g", times=1)
    pending = phone.start_sync("INBOX", commands={"INBOX": [
        phone.change_read(phone.item("INBOX", "one"))]})
    site.backend.wait_at_gate("g")
    mail = site.mails().deliver("two")
    site.backend.open("g")
    phone.take_sync(pending.wait())
    announced(site, phone, phone.start_ping(["INBOX"], 600), mail)
    assert phone.subjects() == ["one", "two"]


# --- waiting for company ---

def test_a_burst_is_one_wake(make_site):
    """DirectPushPace: after an announcement the next one waits."""
    site = make_site(httpd=dict(tune={"DirectPushPace": "3s"}))
    phone, ping = site.held_phone()
    # the pace may still run from getting in step: the first may wait
    site.mails().deliver("first")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    ping = phone.start_ping(["INBOX"], 600)
    for i in range(5):
        site.mails().deliver("burst %d" % i)
    assert ping.is_held(1)
    assert ping.answer().status == 2
    assert len(phone.sync_until_done("INBOX")) == 5


def test_what_waits_for_company_is_told_at_the_heartbeats_end(make_site):
    site = make_site(httpd=dict(tune={"DirectPushQuiet": "60s"}))
    mail = site.mails().deliver("one")
    phone = site.in_step()
    ping = phone.start_ping(["INBOX"], 3)
    site.mails().set_flags(mail, "S")
    assert ping.is_held(1)
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])


def test_new_mail_does_not_wait_and_takes_the_flags_along(make_site):
    site = make_site(httpd=dict(tune={"DirectPushQuiet": "600s"}))
    mail = site.mails().deliver("one")
    phone, ping = site.held_phone("INBOX", "Sent")
    site.mails().set_flags(mail, "S")
    assert ping.is_held(1)
    site.mails().deliver("two", "Sent")
    assert set(ping.answer().folders) == {phone.id("INBOX"),
                                          phone.id("Sent")}
