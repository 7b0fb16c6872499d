"""Requests in any shape: what is a Ping is held, what is not goes to the
backend with its body intact, and nothing is lost or mixed up on the way."""
import hashlib
import urllib.parse

import pytest

from dp import wbxml
from dp.phone import PendingPing, base64_query
from dp.wire import Pending, http_request

PATH = "/Microsoft-Server-ActiveSync"


def sha(body):
    return hashlib.sha256(body).hexdigest()


def raw(phone, target, body=b"", headers=()):
    """A request with a target of the test's own. @return Pending"""
    wire = phone.connection()
    wire.send(http_request("POST", target, phone.headers(bool(body))
                           + list(headers), body))
    return Pending(wire)


# --- shapes of a Ping ---

@pytest.mark.parametrize("step", [1, 17])
def test_a_ping_may_arrive_byte_by_byte(site, step):
    phone = site.in_step()
    data = phone.bytes_of("Ping", phone.ping_body(["INBOX"], 600))
    assert phone.wire.send_slowly(data, step, 0.001)
    ping = PendingPing(Pending(phone.wire))
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().status == 2


def test_a_ping_in_chunks_and_with_expect(site):
    phone = site.in_step()
    body = phone.ping_body(["INBOX"], 600)
    ping = PendingPing(phone.start("Ping", body, chunked=True))
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    ping = PendingPing(phone.start("Ping", body, headers=[
        ("Expect", "100-continue")]))
    assert not ping.is_answered(0.5)
    site.mails().deliver("two")
    assert ping.answer().status == 2
    assert site.backend.count(cmd="Ping") == 0


@pytest.mark.parametrize("target", [
    PATH + "?Cmd=Ping&User={user}&DeviceId={device}&DeviceType=X",
    PATH + "?User={user}&DeviceId={device}&DeviceType=X&Cmd=Ping",
    PATH + "?cmd=Ping&user={user}&deviceid={device}&devicetype=X",
    PATH.lower() + "?Cmd=Ping&DeviceId={device}&DeviceType=X",
    PATH.upper() + "?Cmd=Ping&DeviceId={device}&DeviceType=X",
    PATH + "/?Cmd=Ping&DeviceId={device}&DeviceType=X",
    PATH + "/default.eas?Cmd=Ping&DeviceId={device}&DeviceType=X",
    PATH + "?Cmd=Ping&User=DOMAIN%5C{user}&DeviceId={device}&DeviceType=X",
])
def test_all_spellings_of_the_url_are_one_device(site, target):
    phone = site.in_step()
    ping = PendingPing(raw(phone, target.format(
        user=phone.user, device=phone.device_id),
        phone.ping_body(["INBOX"], 600)))
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    assert site.backend.count(cmd="Ping") == 0


def test_the_base64_query_names_the_same_device(site):
    """Also with its padding escaped, and with the id's bytes in place of its
    text."""
    phone = site.in_step(device_id="0123456789abcdef0123456789abcdeF")
    body = phone.ping_body(["INBOX"], 600)
    for device in (phone.device_id, phone.device_id.upper()):
        for escape in (False, True):
            query = base64_query("Ping", device, policy_key=7)
            if escape:
                query = urllib.parse.quote(query, safe="")
            ping = PendingPing(raw(phone, PATH + "?" + query, body))
            assert ping.is_held()
            site.mails().deliver("one")
            assert ping.answer().folders == [phone.id("INBOX")]
            phone.sync_until_done("INBOX")
            site.hold(phone)
            phone.connect()
    assert site.backend.count(cmd="Ping") == 0


@pytest.mark.site(id_style="zpush", guid=False)
def test_a_phone_that_speaks_base64_only(site):
    phone, ping = site.held_phone(query="base64")
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_no_two_ids_are_taken_for_one(site):
    """16 raw bytes are their hex; another phone's id stays another's."""
    one = site.in_step(device_id="a1b2")
    two, ping = site.held_phone(device_id="a1b3")
    ping1 = one.start_ping(["INBOX"], 600)
    assert ping1.is_held() and ping.is_held()


def test_elements_in_any_order_and_text_as_opaque(site):
    phone = site.in_step()
    P = wbxml.P
    inbox = phone.id("INBOX")
    for root in (
            P("Ping", P("Folders", P("Folder", P("Class", "Email"),
                                     P("Id", inbox))),
              P("HeartbeatInterval", 600)),
            P("Ping", P("HeartbeatInterval", wbxml.Opaque(b"600")),
              P("Folders", P("Folder", P("Id", wbxml.Opaque(inbox.encode())),
                             P("Class", "Email")))),
            P("Ping", P("HeartbeatInterval", "60", "0"), P("Folders", P(
                "Folder", P("Id", inbox[:9], inbox[9:])))),
            P("Ping", P("AutdState", "x"), P("HeartbeatInterval", 600),
              wbxml.Node("Ping:tok_1F", P("Id", "?")),
              P("Folders", P("Folder", P("Id", inbox), P("Class", "Email"))))):
        ping = PendingPing(phone.start("Ping", wbxml.encode(root)))
        assert ping.is_held(0.2), root
        site.mails().deliver("one")
        assert ping.answer().folders == [inbox], root
        phone.sync_until_done("INBOX")
        site.hold(phone)
        phone.connect()
    assert site.backend.count(cmd="Ping") == 0


# --- pipelines ---

def test_requests_in_the_pings_own_segment(site):
    """A Ping with the next request right behind it: the phone has given up
    on the Ping, so it is answered at once, and then the next one."""
    phone = site.in_step()
    ping, sync = phone.pipeline([
        ("Ping", phone.ping_body(["INBOX"], 600)),
        ("Sync", phone.sync_body("INBOX"))])
    assert wbxml.PingAnswer(ping.wait().clear).status == 1
    assert sync.wait().body == b""
    with site.published():
        site.mails().deliver("one")
    ping, sync = phone.pipeline([
        ("Ping", phone.ping_body(["INBOX"], 600)),
        ("Sync", phone.sync_body("INBOX"))])
    assert wbxml.PingAnswer(ping.wait().clear).status == 2
    assert len(phone.take_sync(sync.wait()).collections[
        phone.id("INBOX")]["adds"]) == 1
    assert not phone.wire.is_ended


def test_two_pings_in_one_segment(site):
    phone = site.in_step()
    body = phone.ping_body(["INBOX"], 600)
    first, second = phone.pipeline([("Ping", body), ("Ping", body)])
    assert wbxml.PingAnswer(first.wait().clear).status == 1
    assert second.is_held(0.5)
    site.mails().deliver("one")
    assert wbxml.PingAnswer(second.wait().clear).status == 2


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_request_while_the_ping_is_held(site, tls):
    """On the same connection, some time later."""
    phone, ping = site.held_phone(tls=tls)
    sync = phone.start_sync("INBOX")
    assert ping.answer().status == 1
    assert sync.wait().body == b""
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().status == 2


def test_a_request_right_behind_a_change(site):
    """The change and the phone's next request race: Status 2, or Status 1
    that was right when it was given; then the Sync brings the mail."""
    phone, ping = site.held_phone()
    for i in range(20):
        if i % 2:
            sync = phone.start_sync("INBOX")
            site.mails().deliver("mail %d" % i)
        else:
            site.mails().deliver("mail %d" % i)
            sync = phone.start_sync("INBOX")
        assert ping.answer().status in (1, 2)
        phone.take_sync(sync.wait())
        phone.sync_until_done("INBOX")
        ping = site.hold(phone, quiet=0.1)
    assert len(phone.subjects()) == 20
    assert not phone.wire.is_ended


def test_three_connections_of_one_phone(site):
    """Sync and FolderSync go on elsewhere while the Ping is held."""
    phone, ping = site.held_phone()
    held_on = phone.wire
    phone.connect()
    phone.foldersync()
    assert phone.sync("INBOX").is_empty
    assert ping.is_held(0.3)
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert not held_on.is_ended


def test_half_a_request_behind_the_ping(site):
    """Then the rest of it."""
    phone, ping = site.held_phone(tls=False)
    data = phone.bytes_of("Sync", phone.sync_body("INBOX"))
    phone.wire.send(data[:100])
    assert ping.answer().status == 1
    phone.wire.send(data[100:])
    assert Pending(phone.wire).wait().status == 200


# --- what is no Ping ---

@pytest.mark.parametrize("name, body", [
    ("garbage", b"x" * 5), ("xml", b"<?xml version='1.0'?><Ping/>"),
    ("zeros", bytes(500)), ("header only", wbxml.HEADER),
    ("cut", wbxml.ping_request(480, [("5", "Email")])[:-1]),
    ("cut early", wbxml.ping_request(480, [("5", "Email")])[:9]),
    ("more behind", wbxml.ping_request(480, [("5", "Email")]) + b"\1"),
    ("deep", wbxml.HEADER + b"\0\x0d\x45" + b"\x49" * 10000),
    ("endless string", wbxml.HEADER + b"\0\x0d\x45\x48\3" + b"4" * 200000),
    ("endless opaque", wbxml.HEADER + b"\0\x0d\x45\x48\xc3\x8f\xff\xff\xff"
     b"\x7f" + b"4" * 1000),
    ("string table", b"\3\1\x6a\4abc\0\0\x0d\x45\1"),
    ("sync", wbxml.sync_request([wbxml.sync_collection("5", "0")])),
    ("foldersync", wbxml.foldersync_request("0")),
    ("10 MB", wbxml.HEADER + b"\0\x0d" + bytes(range(256)) * 40960),
], ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_ping_goes_to_the_backend_intact(site, name, body):
    phone = site.in_step()
    since = site.backend.mark()
    response = phone.request("Ping", body)
    seen = site.backend.requests(since, cmd="Ping")
    if len(body) > 1 << 20 and not seen:
        assert response.status == 413
    else:
        assert [e["body_sha"] for e in seen] == [sha(body)]
        site.backend.wait_idle()
        seen = site.backend.requests(since, cmd="Ping")
        assert response.status == seen[0]["status"]
        assert sha(response.body) == seen[0]["response_sha"]
    # nothing was learnt from it, nothing is in the way of the real one
    ping = site.hold(phone)
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


@pytest.mark.parametrize("query", [
    "", "Cmd=", "Cmd=Ping", "Cmd=Pong&DeviceId=x", "DeviceId=x",
    "Cmd=Ping&DeviceId=", "Cmd=Ping&DeviceId=" + "x" * 3000,
    "jRIJBBBBQkNE", "jRIJBA==", "jBIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5kcm9",
    "====", "%", "%zz", "&&&&", "jRIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5k_-",
])
def test_damaged_queries_go_to_the_backend(site, query):
    phone = site.phone()
    phone.foldersync()
    body = phone.ping_body(["INBOX"], 1)
    since = site.backend.mark()
    response = raw(phone, PATH + "?" + query, body).wait()
    (seen,) = site.backend.requests(since)
    assert (seen["body_sha"], seen["query"]) == (sha(body), query)
    site.backend.wait_idle()
    assert response.status == site.backend.requests(since)[0]["status"]


def test_other_methods_and_paths_are_not_ours(site):
    phone = site.in_step()
    assert phone.options().get("MS-ASProtocolVersions")
    wire = phone.connection()
    wire.send(http_request("GET", phone.target("Ping"), phone.headers(False)))
    assert Pending(wire, "GET").wait().status == 405
    response = raw(phone, "/elsewhere?Cmd=Ping&DeviceId=x",
                   phone.ping_body(["INBOX"], 600)).wait()
    assert response.status in (403, 404)


def test_an_unknown_command_goes_to_the_backend(site):
    phone = site.phone()
    for command in ("ResolveRecipients", "Nonsense"):
        assert raw(phone, PATH + "?Cmd=%s&DeviceId=x&User=alice" % command,
                   b"abc").wait().status == 501


def test_a_request_body_that_is_cut_off_harms_nobody(site):
    site.httpd.allow("AH01095", "AH01084", "AH01097")  # mod_proxy's
    phone, ping = site.held_phone(tls=False)
    other = site.phone(tls=False)
    data = phone.bytes_of("Ping", phone.ping_body(["INBOX"], 600))
    other.connect().send(data[:-5])
    other.hang_up()
    other.connect().send(data[:-5])
    other.abort()
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().status == 2
