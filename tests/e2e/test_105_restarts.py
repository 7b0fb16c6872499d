"""Reloads, restarts, stops: no phone sees a reset, no change is lost."""
import signal

import pytest


def ended_politely(phone):
    """The server ends the connection, and the phone may still say goodbye
    without being answered by a reset."""
    assert phone.wire.ended()
    assert phone.wire.ended_politely, phone.wire.ends
    phone.wire.half_close()
    phone.wire.gone(5)
    assert not phone.wire.was_reset


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_graceful_restart_ends_every_hold_politely(make_site, tls):
    site = make_site(httpd=dict(tune={"DirectPushDrain": "2s"}))
    phones = [site.held_phone(tls=tls) for _ in range(10)]
    site.httpd.graceful()
    for phone, ping in phones:
        response = ping.response()
        assert ping.answer().status == 1
        assert response.closes
        ended_politely(phone)
    # and all are back, at the new generation
    pings = [site.hold(phone) for phone, _ in phones]
    site.mails().deliver("one")
    assert all(p.answer().status == 2 for p in pings)


def test_a_graceful_restart_leaves_what_is_not_held_alone(site):
    """A Sync under way is finished."""
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", gate_body="g", times=1)
    pending = phone.start_sync("INBOX")
    site.backend.wait_at_gate("g")
    site.httpd.graceful()
    site.backend.open("g")
    assert len(phone.take_sync(pending.wait()).collections[
        phone.id("INBOX")]["adds"]) == 1


def test_the_old_generation_goes_away(make_site):
    site = make_site(httpd=dict(tune={"DirectPushDrain": "1s"}))
    phones = [site.held_phone() for _ in range(4)]
    old = site.httpd.children()
    site.httpd.graceful()
    for phone, ping in phones:
        ping.answer()
    site.wait_until(lambda: not set(old) & set(site.httpd.children()),
                    "old children gone")


def test_graceful_restarts_in_a_row(make_site):
    site = make_site(httpd=dict(tune={"DirectPushDrain": "1s"}))
    phones = [site.synced_phone() for _ in range(4)]
    for i in range(4):
        pings = [site.hold(p) for p in phones]
        site.httpd.graceful()
        for ping in pings:
            assert ping.answer().status in (1, 2)
    pings = [site.hold(p) for p in phones]
    site.mails().deliver("one")
    assert all(p.answer().status == 2 for p in pings)


def test_a_graceful_stop_ends_every_hold_politely(make_site):
    site = make_site(httpd=dict(tune={"DirectPushDrain": "2s"}))
    phones = [site.held_phone(tls=bool(i % 2)) for i in range(6)]
    site.httpd.graceful_stop()
    for phone, ping in phones:
        assert ping.answer().status == 1
        ended_politely(phone)
    site.httpd.process.wait()


def test_a_plain_stop_is_quick_and_clean(site):
    """As apachectl stop: holds are cut or answered, nothing crashes."""
    phones = [site.held_phone() for _ in range(4)]
    site.httpd.process.signal(signal.SIGTERM)
    assert site.httpd.process.wait() == 0
    for phone, ping in phones:
        assert phone.wire.gone()


def test_a_restart_keeps_marks_and_proofs(site):
    """Nothing has changed: the phone's Ping is held at once, without a Sync
    and without the backend."""
    phone, ping = site.held_phone()
    site.httpd.restart()
    phone.connect()
    since = site.backend.mark()
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held(1)
    assert site.backend.count(since) == 0
    site.mails().deliver("one")
    assert ping.answer().status == 2


def test_a_change_while_httpd_is_down_is_told(site):
    phone, ping = site.held_phone()
    site.httpd.stop()
    site.mails().deliver("one")
    site.httpd.start()
    phone.connect()
    assert phone.ping(["INBOX"], 600).status == 2
    assert len(phone.sync_until_done("INBOX")) == 1


def test_a_recycled_child_ends_its_holds_politely(make_site):
    """MaxConnectionsPerChild."""
    site = make_site(httpd=dict(children=2, threads=4, max_per_child=8,
                                tune={"DirectPushDrain": "1s"}))
    phone, ping = site.held_phone()
    before = set(site.httpd.children())

    def busy():
        site.httpd.get("/server-status?auto")
        return ping.is_answered()
    site.wait_until(busy, "the child of the hold was recycled")
    assert ping.answer().status == 1
    assert not phone.wire.was_reset
    site.wait_until(lambda: set(site.httpd.children()) != before,
                    "the child has ended")
    # whichever child it comes to now may be near its end as well
    site.mails().deliver("one")
    answers = (phone.ping(["INBOX"], 600).status for _ in range(20))
    assert next(s for s in answers if s != 1) == 2


def test_a_crashed_child_loses_no_change(site):
    phone, ping = site.held_phone()
    other, others = site.held_phone()
    site.httpd.allow("exit signal", "AH00051", "AH00052")
    for pid in site.httpd.children():
        import os
        os.kill(pid, signal.SIGKILL)
    for p in (phone, other):
        assert p.wire.gone()
    site.mails().deliver("one")
    for p in (phone, other):
        p.connect()
        assert p.ping(["INBOX"], 600).status == 2
        assert len(p.sync_until_done("INBOX")) == 1
        assert site.hold(p).is_held()


def test_switched_off_and_reloaded_the_phones_go_back_to_the_backend(
        make_site):
    site = make_site(httpd=dict(tune={"DirectPushDrain": "1s"}))
    phone, ping = site.held_phone()
    for vhost in site.httpd.vhosts:
        vhost.on = False
    site.httpd.graceful()
    assert ping.answer().status == 1
    phone.connect()
    ping = phone.start_ping(["INBOX"], 600)
    site.backend.wait_for(cmd="Ping")
    site.mails().deliver("one")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    # what happened meanwhile is not taken for seen when it is on again
    site.mails().deliver("two")
    for vhost in site.httpd.vhosts:
        vhost.on = True
    site.httpd.graceful()
    phone.connect()
    assert phone.ping(["INBOX"], 600).status == 2
    assert phone.sync_until_done("INBOX")
    assert site.hold(phone).is_held()


def test_off_for_a_location_or_a_host_is_off_there_only(make_site):
    from dp.httpd import Vhost
    site = make_site(start=False, backends=2)
    for backend in site.backends:
        backend.start()
    site.vhosts = [Vhost("mail.example.test", site.backends[0].port),
                   Vhost("other.example.test", site.backends[1].port,
                         on=False)]
    site.start()
    phone, ping = site.held_phone()
    other = site.synced_phone(vhost="other.example.test")
    theirs = other.start_ping(["INBOX"], 600)
    site.backends[1].wait_for(cmd="Ping")
    site.mails().deliver("one")
    assert ping.answer().status == 2 and theirs.answer().status == 2
    assert site.backends[0].count(cmd="Ping") == 0


def test_the_device_store_was_wiped_while_httpd_was_down(site):
    """All of it may be lost at the price of one Sync."""
    import os
    import shutil
    phone, ping = site.held_phone()
    site.httpd.stop()
    site.mails().deliver("one")
    shutil.rmtree(os.path.join(site.where, "devices"))
    site.httpd.start()
    site.backend.set(ping_interval=0.1)
    phone.connect()
    answer = phone.ping(["INBOX"], 5)
    assert answer.status == 2
    assert len(phone.sync_until_done("INBOX")) == 1
    assert site.hold(phone).is_held()


def test_the_device_store_is_garbage(site):
    """One error that names it, and life goes on."""
    import os
    phone, ping = site.held_phone()
    site.httpd.stop()
    devices = os.path.join(site.where, "devices")
    for name in os.listdir(devices):
        if os.path.isfile(os.path.join(devices, name)):
            with open(os.path.join(devices, name), "wb") as f:
                f.write(b"garbage" * 1000)
    site.mails().deliver("one")
    site.httpd.allow("(?i)device store|lmdb|devices")
    site.httpd.start()
    phone.connect()
    site.backend.set(ping_interval=0.1)
    assert phone.ping(["INBOX"], 5).status == 2
    assert len(phone.sync_until_done("INBOX")) == 1
    assert site.hold(phone).is_held()
