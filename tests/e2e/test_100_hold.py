"""A Ping is held at no cost, and answered when mail comes."""
import pytest

from dp import wbxml
from dp.wire import Pending

BOTH = pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])


@BOTH
def test_a_mail_ends_the_held_ping_and_the_next_one_follows(site, tls):
    """The main job: hold, wake, Sync, hold again, all on one connection."""
    phone, ping = site.held_phone(tls=tls)
    connections = len(phone.wires)
    for subject in ("first", "second", "third"):
        site.mails().deliver(subject)
        answer = ping.answer()
        assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
        assert [m["Subject"] for m in phone.sync_until_done("INBOX")] == [
            subject]
        ping = phone.start_ping(["INBOX"], 600)
        assert ping.is_held()
    assert len(phone.wires) == connections
    assert site.backend.count(cmd="Ping") == 0


def test_a_held_ping_occupies_no_worker(site):
    pings = [site.held_phone()[1] for _ in range(5)]
    site.wait_held(5)
    site.wait_until(lambda: site.httpd.busy_workers() == 0, "no worker busy")
    assert not any(p.is_answered() for p in pings)


@BOTH
def test_the_response_is_the_shortest_correct_one(site, tls):
    phone, ping = site.held_phone(tls=tls)
    site.mails().deliver("one")
    response = ping.response()
    assert response.status == 200
    assert response.get("Content-Type") == "application/vnd.ms-sync.wbxml"
    assert response.get("Content-Length") == str(len(response.body))
    assert not response.is_chunked and not response.get("Content-Encoding")
    assert "private" in response.get("Cache-Control")
    assert response.get("Date") and not response.closes
    assert response.body == wbxml.encode(wbxml.P(
        "Ping", wbxml.P("Status", 2), wbxml.P("Folders", wbxml.P(
            "Folder", phone.id("INBOX")))))


def test_nothing_happens_and_the_heartbeat_ends_with_status_1(site):
    phone = site.in_step()
    for _ in range(2):
        ping = phone.start_ping(["INBOX"], 2)
        answer = ping.answer()
        assert answer.status == 1 and not answer.folders
        assert ping.response().body == wbxml.encode(
            wbxml.P("Ping", wbxml.P("Status", 1)))
    assert not phone.wire.is_ended


def test_every_changed_folder_is_named_and_no_other(site):
    phone, ping = site.held_phone("INBOX", "Sent", "Trash")
    site.watcher.freeze()
    site.mails().deliver("one", "Sent")
    site.mails().deliver("two", "Trash")
    site.watcher.thaw()
    named = set(ping.answer().folders)
    # the watcher may tell one a moment before the other
    if len(named) < 2:
        named |= set(phone.ping(["INBOX", "Sent", "Trash"], 600).folders)
    assert named == {phone.id("Sent"), phone.id("Trash")}


def test_a_folder_that_the_ping_does_not_name_does_not_wake_it(site):
    phone, ping = site.held_phone("INBOX")
    site.mails().deliver("one", "Sent")
    assert ping.is_held(1)
    site.mails().deliver("two")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_subfolders_and_names_beyond_ascii(make_site):
    site = make_site(folders=("Projects", "Projects/2026", "Grüße & Küsse"))
    phone, ping = site.held_phone("Projects/2026", "Grüße & Küsse")
    site.mails().deliver("one", "Grüße & Küsse")
    assert ping.answer().folders == [phone.id("Grüße & Küsse")]
    phone.sync_until_done("Grüße & Küsse")
    ping = site.hold(phone, ["Projects/2026", "Grüße & Küsse"])
    site.mails().deliver("one", "Projects/2026")
    assert ping.answer().folders == [phone.id("Projects/2026")]


@pytest.mark.site(id_style="zpush", guid=False)
def test_ids_that_say_nothing_are_learnt_from_foldersync(site):
    phone, ping = site.held_phone("INBOX", "Sent")
    site.mails().deliver("one", "Sent")
    assert ping.answer().folders == [phone.id("Sent")]
    assert site.backend.count(cmd="Ping") == 0


def test_flags_copies_and_deletions_wake_too(site):
    mails = site.mails()
    one = mails.deliver("one")
    mails.deliver("two")
    phone, ping = site.held_phone("INBOX", "Sent")
    mails.set_flags(one, "S")
    assert ping.answer().folders == [phone.id("INBOX")]
    phone.sync_until_done("INBOX")
    ping = site.hold(phone, ["INBOX", "Sent"])
    mails.copy(one, "Sent")
    assert ping.answer().folders == [phone.id("Sent")]
    phone.sync_until_done("Sent")
    ping = site.hold(phone, ["INBOX", "Sent"])
    mails.delete(one)
    assert ping.answer().folders == [phone.id("INBOX")]


def test_two_phones_of_one_user_are_both_woken(site):
    one, ping1 = site.held_phone()
    two, ping2 = site.held_phone(tls=False)
    other, ping3 = site.held_phone(user="bob")
    site.wait_held(3)
    site.mails().deliver("one")
    assert ping1.answer().folders == [one.id("INBOX")]
    assert ping2.answer().folders == [two.id("INBOX")]
    assert ping3.is_held()
    site.mails("bob").deliver("two")
    assert ping3.answer().folders == [other.id("INBOX")]


@BOTH
@pytest.mark.parametrize("how", ["close", "abort", "half_close"])
def test_hanging_up_frees_the_hold_at_once(site, tls, how):
    phone, ping = site.held_phone(tls=tls)
    site.wait_held(1)
    getattr(phone.wire, how)()
    site.wait_held(0)
    site.wait_until(lambda: site.httpd.metric("hung_up") == 1, "counted")
    # and the phone starts over
    phone.connect()
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().status == 2


def test_only_close_notify_frees_the_hold_too(site):
    phone, ping = site.held_phone(tls=True)
    phone.wire.send_close_notify()
    site.wait_held(0)


def test_the_access_log_tells_the_true_story(site):
    phone, ping = site.held_phone()
    assert ping.is_held(1)
    site.mails().deliver("one")
    response = ping.response()
    # it is written after the answer is on its way
    site.wait_until(lambda: site.httpd.access(
        cmd="Ping", port=phone.wire.port, vhost="mail.example.test",
        status=200, bytes=len(response.body), outcome="changes"), "its line")
    assert max(e["us"] for e in site.httpd.access(
        cmd="Ping", outcome="changes")) >= 1_000_000


def test_a_thousand_pings_on_one_tls_connection(site):
    """With stock MaxKeepAliveRequests (100). Each is answered for a change."""
    phone, ping = site.held_phone()
    wire = phone.wire
    with site.watcher.control() as control:
        for i in range(1000):
            assert control.ask("publish", "alice", "Email", "INBOX",
                               "new")[0] == "ok"
            assert ping.answer().status == 2, i
            ping = phone.start_ping(["INBOX"], 600)
    assert phone.wire is wire and not wire.is_ended
    assert len(site.httpd.wait_access(
        n=1000, cmd="Ping", status=200, port=wire.port)) >= 1000


def test_other_requests_still_count_towards_maxkeepaliverequests(make_site):
    site = make_site(httpd=dict(max_keepalive=10))
    phone = site.synced_phone()
    site.wait_until(lambda: phone.sync("INBOX").response.closes,
                    "a response with Connection: close")


def test_keepalive_ends_after_an_answer_as_after_any_other(make_site):
    """KeepAliveTimeout counts from our answer, and the end is polite."""
    site = make_site(httpd=dict(keepalive_timeout=1))
    for tls in (True, False):
        phone, ping = site.held_phone(tls=tls)
        assert ping.is_held(2)  # the hold itself is not cut by it
        site.mails().deliver("one")
        assert ping.answer().status == 2
        assert phone.wire.ended() and phone.wire.ended_politely
        phone.wire.half_close()
        assert not phone.wire.was_reset


def test_timeout_does_not_cut_a_hold(make_site):
    site = make_site(httpd=dict(timeout=2))
    for tls in (True, False):
        phone, ping = site.held_phone(tls=tls, heartbeat=8)
        assert ping.is_held(5)
        assert ping.answer().status == 1
        assert phone.sync("INBOX").is_empty and not phone.wire.is_ended


@pytest.mark.slow
def test_timeout_5_does_not_cut_a_hold_of_30_s(make_site):
    site = make_site(httpd=dict(timeout=5))
    phone, ping = site.held_phone(heartbeat=30)
    assert ping.is_held(20)
    assert ping.answer().status == 1


@pytest.mark.parametrize("tls_main", [False, True])
def test_other_connections_keep_their_timeouts(make_site, tls_main):
    """Also with SSLEngine on in the main server."""
    site = make_site(httpd=dict(timeout=2, tls_main=tls_main))
    phone, ping = site.held_phone(heartbeat=600)
    slow = site.phone()
    slow.connect().send(b"POST /Microsoft-Server-ActiveSync HTTP/1.1\r\n")
    assert slow.wire.gone()
    after = site.phone()
    after.connect()
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().status == 2
    # and this connection is an ordinary one again
    wire = phone.wire
    wire.send(b"POST /Microsoft-Server-ActiveSync HTTP/1.1\r\n")
    assert wire.gone()


def test_a_phone_that_reads_nothing_delays_nobody(site):
    """Its answers pile up in a tiny receive buffer."""
    deaf = site.synced_phone(tls=False)
    site.hold(deaf)
    deaf.hang_up()
    deaf.connect(rcvbuf=2304)
    # ~4,000 answers of ~250 bytes, never read: fills both ends' buffers
    for _ in range(4000):
        try:
            deaf.wire.sock.settimeout(0.2)
            deaf.wire.send(deaf.bytes_of("Ping", deaf.ping_body(
                ["INBOX"], 999999)))
        except OSError:
            break
    phone, ping = site.held_phone()
    for i in range(3):
        site.mails().deliver("mail %d" % i)
        assert ping.answer().status == 2
        phone.sync_until_done("INBOX")
        ping = site.hold(phone)


def test_a_held_ping_whose_socket_is_full_is_dropped_alone(make_site):
    """The answer finds no room: its client has read none of the last ones."""
    site = make_site(httpd=dict(main=["SendBufferSize 4608"]))
    phones = [site.held_phone() for _ in range(3)]
    deaf = site.in_step(tls=False)
    refused = deaf.ping_body(["INBOX"], 999999)

    def fill(most):
        """Answers that it does not read, until there is no room, or `most`"""
        deaf.hang_up()
        deaf.connect(rcvbuf=2304)
        for n in range(most):
            before = site.httpd.metric("answered_heartbeat")
            deaf.wire.send(deaf.bytes_of("Ping", refused))
            try:
                site.wait_until(lambda: site.httpd.metric(
                    "answered_heartbeat") > before, "answered", timeout=1)
            except AssertionError:
                return n
        return most
    room = fill(2000)
    assert room < 2000

    def is_held_beneath(room):
        """There is room for fewer answers than `room`; how much a socket takes
        varies a little."""
        fill(room)
        deaf.wire.send(deaf.bytes_of("Ping", deaf.ping_body(["INBOX"], 600)))
        try:
            site.wait_until(lambda: site.held() == 4, "held", timeout=10)
            return True
        except AssertionError:
            return False
    assert any(is_held_beneath(room - n) for n in range(1, 6))
    site.mails().deliver("one")
    for phone, ping in phones:
        assert ping.answer().status == 2
    site.wait_held(0)


def test_many_holds_one_change_each(make_site):
    """40 phones of one user; every one is told, twice."""
    site = make_site(httpd=dict(children=2, threads=16, async_factor=400))
    phones = [site.synced_phone(tls=bool(i % 2)) for i in range(40)]
    for phone in phones:
        site.hold(phone, quiet=0.05)
        phone.hang_up()
    for subject in ("one", "two"):
        pings = site.start_pings(phones)
        site.wait_until(lambda: site.httpd.busy_workers() == 0,
                        "no worker busy")
        site.mails().deliver(subject)
        for phone, ping in zip(phones, pings):
            assert ping.answer().folders == [phone.id("INBOX")]
        for phone in phones:
            phone.connection()
            assert [m["Subject"] for m in phone.sync_until_done("INBOX")] == [
                subject]


def test_a_request_after_the_answer_is_served_as_ever(site):
    phone, ping = site.held_phone()
    site.mails().deliver("one")
    ping.answer()
    wire = phone.wire
    wire.send(phone.bytes_of("Sync", phone.sync_body("INBOX")))
    assert Pending(wire).wait().status == 200
    assert phone.options().status == 200
    assert phone.wire is wire
