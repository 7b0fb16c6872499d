"""Backends that fail, lie or hang, and requests with strange names: passed
through as they are, no mark moves, and the log stays short."""
import urllib.parse

import pytest

from dp import wbxml
from dp.wire import ConnectionLost

# what mod_proxy says of such backends, in its own words
PROXY_SAYS = ("AH01110", "AH00898", "AH02609", "AH01102", "AH01097",
              "AH01084", "AH00524", "AH01114", "AH00957", "AH00959",
              "prematurely")


def our_warnings(site):
    """Lines of ours in the error log that want to be read; those of the start
    (capacity, watched classes) do not count."""
    return [line for line in site.httpd.errors(
        ("warn", "error", "crit", "alert", "emerg"))
        if "[directpush:" in line and "capacity" not in line]


def told_of_the_mail(site, phone):
    """The mail that the failed Sync was to bring is announced, and a Sync
    that works brings it."""
    site.backend.behave()
    phone.connect()
    answer = phone.ping(["INBOX"], 600)
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    assert len(phone.sync_until_done("INBOX")) == 1
    assert site.hold(phone).is_held()


@pytest.mark.parametrize("cmd", ["Sync", "FolderSync", "Ping"])
@pytest.mark.parametrize("status", [500, 501, 502, 503])
def test_an_error_is_passed_and_moves_nothing(site, cmd, status):
    phone = site.in_step()
    site.mails().deliver("one")
    since = site.backend.mark()
    site.backend.misbehave(cmd=cmd, status=status, headers={"X-Why": "told"})
    who = phone
    if cmd == "Ping":  # passed for want of proof
        who = site.phone()
    body = {"Sync": phone.sync_body("INBOX"), "Ping": phone.ping_body(
        ["INBOX"], 600), "FolderSync": wbxml.foldersync_request("0")}[cmd]
    for _ in range(5):
        response = who.request(cmd, body)
        assert response.status == status and response.get("X-Why") == "told"
        who.connect()
    assert site.backend.count(since, cmd=cmd) == 5
    assert len(our_warnings(site)) <= 1
    told_of_the_mail(site, phone)


def test_503_keeps_its_retry_after(site):
    phone = site.in_step()
    site.backend.misbehave(cmd="Sync", status=503,
                           headers={"Retry-After": "77"})
    response = phone.request("Sync", phone.sync_body("INBOX"))
    assert (response.status, response.get("Retry-After")) == (503, "77")


@pytest.mark.parametrize("rule", [
    dict(cut=True), dict(reset=True), dict(length=100), dict(length=-20),
    dict(cut=True, gzip=True), dict(cut=True, chunked=True)],
    ids=lambda r: "-".join("%s=%s" % p for p in r.items()))
def test_a_body_that_ends_otherwise_than_it_said(site, rule):
    """Half-way closed, or with a Content-Length that lies."""
    site.httpd.allow(*PROXY_SAYS)
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", **rule)
    for _ in range(3):
        try:
            phone.sync("INBOX", apply=False)
        except (ConnectionLost, AssertionError, ValueError, EOFError,
                IndexError):
            pass  # as the backend sent it: nothing for a phone to read
        phone.connect()
    assert len(our_warnings(site)) <= 1
    told_of_the_mail(site, phone)


def sync_answer(phone):
    """That the phone is up to date in INBOX, whole and well-formed."""
    A = wbxml.A
    id_ = phone.id("INBOX")
    return wbxml.encode(A("Sync", A("Collections", A(
        "Collection", A("SyncKey", phone.keys[id_]), A("CollectionId", id_),
        A("Status", 1)))))


def test_wbxml_cut_short_proves_nothing(site):
    """With a Content-Length that is right: only the whole document counts."""
    phone = site.in_step()
    site.mails().deliver("one")
    whole = sync_answer(phone)
    for n in list(range(1, len(whole), 7)) + [len(whole) - 1]:
        site.backend.control(rules=[dict(cmd="Sync",
                                         body_hex=whole[:n].hex())])
        response = phone.request("Sync", phone.sync_body("INBOX"))
        assert response.body == whole[:n]
    assert len(our_warnings(site)) <= 1
    told_of_the_mail(site, phone)


def test_the_same_document_whole_is_believed(site):
    """So that the test above tests what it says."""
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", body_hex=sync_answer(phone).hex())
    phone.request("Sync", phone.sync_body("INBOX"))
    assert site.hold(phone).is_held()


@pytest.mark.parametrize("body", [
    b"<html>Internal error</html>", b"\x03\x01\x6a\x00" + b"\x45" * 5000,
    b"\x03\x01\x6a\x00\xff\xff\xff", b"\0" * 3000,
    b"\x03\x01\x6a\x00\x45\xc3\xff\xff\xff\xff\x0f"],
    ids=["html", "deep", "tokens", "zeros", "opaque"])
def test_nonsense_in_place_of_wbxml(site, body):
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd=["Sync", "FolderSync"], body_hex=body.hex())
    for _ in range(3):
        assert phone.request("Sync",
                             phone.sync_body("INBOX")).body == body
        assert phone.request("FolderSync", wbxml.foldersync_request(
            "0")).body == body
    assert len(our_warnings(site)) <= 1
    told_of_the_mail(site, phone)


def test_a_backend_that_hangs(site):
    """A Sync without an answer, given up by the phone: no mark, and its Ping
    meanwhile is held by us as before."""
    site.httpd.allow(*PROXY_SAYS)
    phone, ping = site.held_phone()
    site.backend.misbehave(cmd="Sync", gate_before="g")
    other = site.phone(device_id=phone.device_id)
    pending = other.start("Sync", phone.sync_body("INBOX"))
    site.backend.wait_at_gate("g")
    assert ping.is_held() and not pending.is_answered()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    other.abort()
    told_of_the_mail(site, phone)


def test_a_backend_that_is_away(site):
    """503 of httpd for what passes, and Pings are still held."""
    site.httpd.allow(*PROXY_SAYS)
    phone, ping = site.held_phone()
    other = site.phone(device_id=phone.device_id)
    site.backend.stop()
    for _ in range(3):
        assert other.request("Sync", phone.sync_body(
            "INBOX")).status in (502, 503)
        other.connect()
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    assert len(our_warnings(site)) <= 1


# --- names ---

@pytest.mark.parametrize("id_", ["x" * 256, "\u00fc" * 100, "a\"b\\c\nd",
                                 "%00%0a%2F", "../../etc/passwd", " "],
                         ids=["long", "umlauts", "quotes", "escapes", "path",
                              "blank"])
def test_a_collection_id_that_nobody_knows(site, id_):
    """It is blind; the others of the Ping go on, and it is echoed as it
    came."""
    phone = site.in_step()
    folders = [(phone.id("INBOX"), "Email"), (id_, "Email")]
    for _ in range(4):  # twice, and again once its class is vouched for
        ping = phone.start_ping(folders, 600)
        if not ping.is_answered(0.4):
            break
        answer = ping.answer()
        assert answer.status == 2 and answer.folders == [id_]
    assert ping.is_held()
    site.mails().deliver("one")
    assert phone.id("INBOX") in ping.answer().folders
    assert our_warnings(site) == []


def test_a_collection_id_of_10_kb(site):
    """Longer than any server's: Status 4, and nothing of it is kept."""
    phone, ping = site.held_phone()
    for size in (257, 10240):
        other = site.phone(device_id=phone.device_id)
        answer = other.ping([("x" * size, "Email")], 600)
        assert answer.status == 4
    assert ping.is_held()
    again = site.phone(device_id=phone.device_id).start_ping()
    assert again.is_held()  # empty: the parameters are those of before
    assert our_warnings(site) == []


@pytest.mark.parametrize("device", [
    "a%00b", "a%0ab%0d%1b[31m", "%22quoted%22", "%c3%bc%c3%a4", "%ff%fe",
    "x" * 128, "x" * 129, "x" * 300, "..%2f..%2fetc", "%3Cscript%3E", "%", ""],
    ids=lambda d: d[:16] or "none")
def test_a_device_id_of_strange_bytes(site, device):
    """Passed to the backend, or held as any other device; never in a log as
    it came, and nobody else's."""
    phone, ping = site.held_phone()
    strange = site.phone()
    strange.target = lambda cmd: (
        "%s?Cmd=%s&User=alice&DeviceId=%s&DeviceType=x%%0ay"
        % (strange.path, cmd, device))
    site.backend.set(ping_interval=0.1)
    for cmd, body in (("FolderSync", wbxml.foldersync_request("0")),
                      ("Sync", phone.sync_body("INBOX", key="0")),
                      ("Ping", phone.ping_body(["INBOX"], 1))):
        response = strange.request(cmd, body)
        assert response.status in (200, 400, 404, 500)
        if response.get("Connection") == "close":
            strange.connect()
    assert ping.is_held()
    raw = urllib.parse.unquote_to_bytes(device)
    if any(b < 32 for b in raw):
        with open(site.httpd.error_log, "rb") as f:
            assert raw not in f.read()
        with open(site.httpd.access_log, "rb") as f:
            assert raw not in f.read()
    assert our_warnings(site) == []
