"""With the module and without: two Apaches in front of one SOGo, two users with
the same mail, and one phone each that does the same. Every exchange is
identical, after decoding, but for dates and what names the user."""
import gzip
import hashlib
import imaplib
import re

import pytest

from dp import wbxml
from dp.process import wait_until
from dp.stack.site import mail
from dp.wire import Pending, http_request

WHEN = imaplib.Time2Internaldate(1_790_000_000)
SIZES = [0, 20, 3000, 200_000]
# code page 15: Search, Store, Name "GAL", Query
SEARCH = b"\3\1\x6a\0\0\x0f\x45\x47\x48\3GAL\0\1\x49\3nobody-of-that-name\0" \
         b"\1\1\1"
# of folders and of one FolderSync: SOGo makes new ones
NAMES = re.compile(rb"[0-9a-f]{32}|\w+_[0-9a-f]+_[0-9a-f]+_[0-9a-f]+")
DATES = ("date",)
# Where httpd compresses: whether it does so with a small body, and how that is
# framed, depends on how much of it came from the backend at one time.
FRAMING = ("content-length", "transfer-encoding", "content-encoding", "vary")


class Side:
    """A user, his phone, and one Apache. @param site  StackSite"""

    def __init__(self, site, user):
        self.site, self.user = site, user
        self.names = {}
        self.compresses = False  # does httpd?
        self.phone = site.phone(user, device_id="samephone0001")

    def masked(self, data):
        """Bytes with what names this user replaced, by order of meeting."""
        def name(match):
            return b"<%d>" % self.names.setdefault(match.group(),
                                                   len(self.names))
        data = re.sub(rb"Port \d+", b"Port", NAMES.sub(name, data))
        return re.sub(rb"\b%s\b" % self.user.encode(), b"<user>", data)

    def seen(self, response):
        """What a phone sees of a response, to be compared."""
        headers = []
        for name, value in response.headers:
            lower = name.lower()
            if self.compresses and lower in FRAMING:
                continue
            if lower in DATES:
                value = "*"
            headers.append((lower, self.masked(value.encode("latin-1"))))
        clear = self.masked(response.clear if response.body else b"")
        return (response.status, response.reason, sorted(headers),
                clear)


@pytest.fixture
def sides(make_stack_site):
    """sides(**arguments of StackSite) -> Side with, Side without."""
    def make(**kw):
        sites = [make_stack_site(with_module=on, **kw)
                 for on in (True, False)]
        users = [sites[0].user(), sites[0].user()]
        while len(users[-2]) != len(users[-1]):
            users.append(sites[0].user())
        for user in users[-2:]:
            sites[1].users[user] = sites[0].users[user]
        return [Side(s, u) for s, u in zip(sites, users[-2:])]
    return make


def append(side, *messages):
    with side.site.stack.imap(side.user) as client:
        for one in messages:
            assert client.append("INBOX", "", WHEN, one)[0] == "OK"


def messages():
    """Mails of several sizes, the last one with an attachment."""
    out = [mail("mail %d" % size, "twin", "line\n" * (size // 5))
           for size in SIZES]
    out.append(mail("attached", "twin", "see there\n",
                    attachment=bytes(range(256)) * 400))
    return out


def compare(sides, step, what):
    """The step on both sides. @return responses"""
    print(what)
    responses = [step(side.phone) for side in sides]
    seen = [side.seen(r) for side, r in zip(sides, responses)]
    for name, a, b in zip(("status", "reason", "headers", "body"), *seen):
        assert a == b, "%s: %s with the module, without it:\n%r\n%r" % (
            what, name, a, b)
    return responses


def both(sides, what, step, take=None):
    """compare(), and the phones take what they got."""
    responses = compare(sides, step, what)
    for side, response in zip(sides, responses):
        if take:
            take(side.phone, response)
    return responses


def take_folders(phone, response):
    answer = wbxml.FoldersAnswer(response.clear)
    assert answer.status == 1
    phone.hierarchy_key = answer.key
    for f in answer.adds:
        phone.folders[f["id"]] = dict(f)


def folders_step(phone):
    return phone.request("FolderSync",
                         wbxml.foldersync_request(phone.hierarchy_key))


def sync_step(*folders, **kw):
    return lambda phone: phone.request("Sync", phone.sync_body(*folders, **kw))


def raw(phone, method, target, headers=(), body=b"", auth=True, **kw):
    """Any request, on the phone's connection."""
    wire = phone.connection()
    wire.send(http_request(method, target,
                           phone.headers(bool(body), auth) + list(headers),
                           body, **kw))
    return Pending(wire, method).wait()


def estimate(phone):
    E = wbxml.page("GetItemEstimate")
    id_ = phone.id("INBOX")
    return phone.request("GetItemEstimate", wbxml.encode(
        E("GetItemEstimate", E("Collections", E(
            "Collection", wbxml.A("SyncKey", phone.keys[id_]),
            E("CollectionId", id_))))))


def settings(phone):
    S = wbxml.page("Settings")
    return phone.request("Settings", wbxml.encode(S("Settings", S(
        "DeviceInformation", S("Set", S("Model", "twin"))))))


def fetch(phone, subject):
    """The whole mail by ItemOperations."""
    I, B = wbxml.page("ItemOperations"), wbxml.page("AirSyncBase")
    return phone.request("ItemOperations", wbxml.encode(I(
        "ItemOperations", I(
            "Fetch", I("Store", "Mailbox"),
            wbxml.A("CollectionId", phone.id("INBOX")),
            wbxml.A("ServerId", phone.item("INBOX", subject)),
            I("Options", B("BodyPreference", B("Type", 4)))))), timeout=300)


def send_mail(phone):
    C = wbxml.page("ComposeMail")
    return phone.request("SendMail", wbxml.encode(C(
        "SendMail", C("ClientId", "refused"), C("MIME", wbxml.Opaque(
            b"From: twin@example.org\r\nTo: no one\r\n\r\nHi\r\n")))))


def move(phone):
    return phone.request("MoveItems", wbxml.move_request(
        [(phone.item("INBOX", "mail 20"), phone.id("INBOX"),
          phone.id("Trash"))]))


def expecting(phone):
    """With Expect: 100-continue: the body goes when that came."""
    body = phone.sync_body("INBOX")
    wire = phone.connection()
    request = phone.bytes_of("Sync", body, [("Expect", "100-continue")])
    wire.send(request[:-len(body)])
    start = len(wire.received)
    wait_until(lambda: (wire.pump(0.1), b"\r\n\r\n" in
                        wire.received[start:])[1], "100 Continue")
    assert wire.received[start:].startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.send(body)
    return Pending(wire).wait()


def without_password(phone):
    phone.connect()
    return phone.request("FolderSync", wbxml.foldersync_request("0"),
                         with_auth=False)


def wrong_password(cmd, body):
    def step(phone):
        right, phone.password = phone.password, "wrong"
        try:
            return phone.request(cmd, body)
        finally:
            phone.password = right
    return step


def session(sides):
    """The scripted session."""
    both(sides, "OPTIONS", lambda p: p.options())
    both(sides, "OPTIONS, no login", lambda p: p.options(with_auth=False))
    both(sides, "FolderSync", folders_step, take_folders)
    both(sides, "FolderSync again", folders_step)
    for _ in range(4):
        both(sides, "Sync", sync_step("INBOX", window=2),
             lambda p, r: p.take_sync(r))
    for side in sides:
        assert len(side.phone.subjects()) == len(SIZES) + 1
    both(sides, "Sync, whole bodies", sync_step("INBOX", key="0",
                                                body_bytes=1 << 20))
    both(sides, "Sync of more folders", sync_step("Sent", "Trash"),
         lambda p, r: p.take_sync(r))
    both(sides, "estimate", estimate)
    for subject in ("mail 3000", "attached"):
        both(sides, "fetch " + subject, lambda p: fetch(p, subject))
    both(sides, "Settings", settings)
    both(sides, "Search", lambda p: p.request("Search", SEARCH))
    both(sides, "SendMail", send_mail)
    both(sides, "MoveItems", move)
    both(sides, "Sync after it", sync_step("INBOX"),
         lambda p, r: p.take_sync(r))
    both(sides, "read", lambda p: p.request("Sync", p.sync_body(
        "INBOX", commands={"INBOX": [
            p.change_read(p.item("INBOX", "mail 3000"))]})),
        lambda p, r: p.take_sync(r))
    both(sides, "delete", lambda p: p.request("Sync", p.sync_body(
        "INBOX", commands={"INBOX": [
            p.delete(p.item("INBOX", "mail 0"))]})),
        lambda p, r: p.take_sync(r))
    both(sides, "chunked", lambda p: p.request(
        "Sync", p.sync_body("INBOX"), chunked=True))
    both(sides, "compressed request", lambda p: p.request(
        "Sync", gzip.compress(p.sync_body("INBOX"), mtime=0),
        [("Content-Encoding", "gzip")]))
    both(sides, "100-continue", expecting)
    for method in ("HEAD", "GET", "PUT", "DELETE", "PROPFIND"):
        both(sides, method, lambda p: raw(p, method, p.target("Sync")))
    both(sides, "no Cmd", lambda p: raw(p, "POST", p.path))
    both(sides, "unknown Cmd", lambda p: raw(
        p, "POST", p.target("NoSuchThing"), body=b"\3\1\x6a\0"))
    both(sides, "base64 nonsense", lambda p: raw(p, "POST", p.path + "?AA=="))
    both(sides, "no body", lambda p: p.request("FolderSync"))
    both(sides, "cut body", lambda p: p.request(
        "Sync", p.sync_body("INBOX")[:-9]))
    both(sides, "no WBXML", lambda p: p.request("Sync", b"<xml/>"))
    both(sides, "bad key", sync_step("INBOX", key="no-such-key"))
    both(sides, "unknown folder", lambda p: p.request(
        "Sync", wbxml.sync_request([wbxml.sync_collection(
            "mail%2Fnobody-knows", "0")])))
    both(sides, "no password", without_password)
    for cmd, body in (("FolderSync", wbxml.foldersync_request("0")),
                      ("Ping", wbxml.ping_request(60, [("x", "Email")]))):
        both(sides, "wrong password, " + cmd, wrong_password(cmd, body))
    both(sides, "Sync in the end", sync_step("INBOX"),
         lambda p, r: p.take_sync(r))


# sogod never says 100 Continue: mod_proxy shall not wait for it
NO_WAITING = ["Proxy100Continue Off"]
DEFLATE = ["AddOutputFilterByType DEFLATE text/html application/"
           "vnd.ms-sync.wbxml"]


@pytest.mark.parametrize("lines,headers", [
    ([], []), ([], [("Accept-Encoding", "gzip, deflate")]),
    (DEFLATE, [("Accept-Encoding", "gzip, deflate, br")])],
    ids=["plain", "gzip offered", "gzip by httpd"])
def test_a_phones_session_is_the_same(sides, lines, headers):
    two = sides(directives=NO_WAITING + lines)
    wanted = messages()
    for side in two:
        side.compresses = bool(lines)
        append(side, *wanted)
        side.phone.extra_headers = list(headers)
        side.site.httpd.allow("AH0", "ModSecurity")
    session(two)


@pytest.mark.parametrize("mb", [
    10, pytest.param(50, marks=pytest.mark.slow)])
def test_a_large_attachment(sides, mb):
    """Fetched whole, and given up in the middle, after which all goes on."""
    two = sides()
    large = mail("large", "twin", attachment=bytes(range(256)) * (mb << 12))
    hashes = []
    for side in two:
        side.site.httpd.allow("AH01110|AH00898|AH02609")
        append(side, large)
        phone = side.phone
        phone.foldersync()
        phone.sync_until_done("INBOX")
        response = fetch(phone, "large")
        assert response.status == 200 and len(response.clear) > mb << 20
        hashes.append(hashlib.sha256(side.masked(response.clear)).digest())
    assert hashes[0] == hashes[1]


def aborted_sync(phone):
    """A Sync whose phone leaves in the middle of the answer."""
    phone.connect(rcvbuf=4096)
    phone.start("Sync", phone.sync_body("INBOX", body_bytes=3 << 20))
    start = len(phone.wire.received)
    wait_until(lambda: (phone.wire.pump(0.1),
                        len(phone.wire.received) > start)[1], "some of it")
    assert len(phone.wire.received) - start < 2 << 20
    phone.abort()
    phone.connect()


def test_a_phone_that_leaves_in_the_middle_of_a_sync(sides):
    """It asks for the same once more, and gets the same."""
    two = sides()
    for side in two:
        side.site.httpd.allow("AH01110|AH00898|AH02609|AH10")
        side.phone.foldersync()
        side.phone.sync_until_done("INBOX")
    wanted = mail("long", "twin", "0123456789abcdef\n" * 150_000)
    for side in two:
        append(side, wanted)
        aborted_sync(side.phone)
    both(two, "once more", sync_step("INBOX", body_bytes=3 << 20),
         lambda p, r: p.take_sync(r))
    for side in two:
        assert side.phone.subjects() == ["long"]
    ours = two[0]
    ping = ours.site.hold(ours.phone)
    append(ours, wanted)
    ours.site.told(ours.phone, ping=ping)


def test_an_aborted_sync_counts_for_nothing(sides):
    """What the phone has not got is told by its next Ping."""
    (ours, _) = sides()
    ours.phone = ours.site.in_step(user=ours.user)
    append(ours, mail("long", "twin", "0123456789abcdef\n" * 150_000))
    aborted_sync(ours.phone)
    answer = ours.site.first_answer(ours.phone, ["INBOX"])
    assert answer.status == 2
    ours.phone.sync_until_done("INBOX")
    assert ours.phone.subjects() == ["long"]
