"""DirectPushDAV: what CalDAV and CardDAV clients change through the same
Apache is announced at once, to the phones that it concerns and to no other.
The DAV server here is a few lines that answer what they are told to."""
import base64
import http.server
import os
import shutil
import subprocess
import threading

import pytest

from dp.httpd import Vhost
from dp.wire import Pending, http_request

EVENT = (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\n"
         b"SUMMARY:lunch\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
TASK = EVENT.replace(b"VEVENT", b"VTODO")
CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bob\r\nEND:VCARD\r\n"
HOME = "/SOGo/dav/alice/Calendar/personal/"


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self._body()
        if body is None:
            self.close_connection = True
            return
        self.server.seen.append((self.command, self.path, body))
        self.send_response(self.server.status)
        for pair in self.server.headers:
            self.send_header(*pair)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def _body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while True:
                n = int(self.rfile.readline() or b"0", 16)
                body += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return body
        n = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(n)
        return body if len(body) == n else None

    def log_message(self, *_):
        pass


class DavServer:
    def __init__(self):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                    Answering)
        self.http.daemon_threads = True
        self.http.seen, self.http.status, self.http.headers = [], 201, []
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def seen(self):
        return self.http.seen

    def answers(self, status, *headers):
        self.http.status, self.http.headers = status, list(headers)

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def dav():
    server = DavServer()
    yield server
    server.stop()


def site_with(make_site, dav, on=True, **httpd):
    site = make_site(start=False, httpd=dict(
        tune={"DirectPushFallbackInterval": "600s 3600s"}, **httpd))
    site.backend.start()
    site.vhosts = [Vhost("mail.example.test", site.backend.port, directives=[
        'ProxyPass "/" "http://127.0.0.1:%d/" retry=0' % dav.port,
        "ProxyPreserveHost On"] + ([
            "<Location />", "DirectPushDAV On", "</Location>"] if on else []))]
    return site.start()


@pytest.fixture
def davsite(make_site, dav):
    return site_with(make_site, dav)


def ask(site, method, path, body=b"", user="alice", headers=(), chunked=False):
    """@return the status"""
    wire = site.httpd.endpoint(True).connect()
    login = "%s:%s" % (user, site.users.get(user, "wrong"))
    lines = [("Host", "mail.example.test"),
             ("Authorization", "Basic " + base64.b64encode(
                 login.encode()).decode())] + list(headers)
    if body and not chunked:
        lines.append(("Content-Length", str(len(body))))
    try:
        wire.send(http_request(method, path, lines, body, chunked))
        return Pending(wire, method).wait().status
    finally:
        wire.close()


FOLDERS = {"Calendar": "Personal Calendar", "Contacts": "Personal Address Book",
           "Tasks": "Personal Tasks"}


def pim_ping(site, phone, *classes):
    """A held Ping on INBOX and folders of these classes, which are in step:
    nobody vouches for them, so each is announced once."""
    names = [phone.id(FOLDERS[c]) for c in classes]
    folders = [(phone.id("INBOX"), "Email")] + list(zip(names, classes))
    for _ in range(6):
        ping = phone.start_ping(folders, 600)
        if ping.is_held(0.7):
            return ping
        answer = ping.answer()
        if answer.status == 7:
            phone.foldersync()
        else:
            phone.sync_until_done(*answer.folders)
    raise AssertionError("no Ping is held; the last answer is %r" % answer)


def pim_phone(site, *classes, user="alice", **kw):
    phone = site.phone(user, **kw)
    phone.foldersync()
    phone.sync_until_done("INBOX", *[phone.id(FOLDERS[c]) for c in classes])
    return phone, pim_ping(site, phone, *classes)


def told(phone, ping, *classes):
    """Exactly these are named, by this answer and, where several topics are
    published one after the other, by the next ones; then all is quiet."""
    wanted = {phone.id(FOLDERS[c]) for c in classes}
    folders = [(phone.id("INBOX"), "Email")] + [
        (phone.id(FOLDERS[c]), c) for c in ALL]
    named = set()
    while True:
        answer = ping.answer()
        assert answer.status == 2 and set(answer.folders) <= wanted, answer
        named |= set(answer.folders)
        if named == wanted:
            return
        phone.sync_until_done(*answer.folders)
        ping = phone.start_ping(folders, 600)


ALL = ("Calendar", "Contacts", "Tasks")
CHANGES = [
    ("PUT", HOME + "1.ics", EVENT, (), ["Calendar"]),
    ("PUT", HOME + "1.ics", TASK, (), ["Tasks"]),
    ("DELETE", HOME + "1.ics", b"", (), ["Calendar", "Tasks"]),
    ("MOVE", HOME + "1.ics", b"",
     [("Destination", "https://mail.example.test" + HOME + "2.ics")],
     ["Calendar", "Tasks"]),
    ("COPY", "/SOGo/dav/bob/Calendar/personal/1.ics", b"",
     [("Destination", HOME + "2.ics")], ["Calendar", "Tasks"]),
    ("PROPPATCH", HOME + "1.ics", b"<x/>", (), ["Calendar", "Tasks"]),
    ("POST", HOME, EVENT, [("Content-Type", "text/calendar; charset=utf-8")],
     ["Calendar"]),
    ("PUT", "/SOGo/dav/alice/Contacts/personal/1.vcf", CARD, (),
     ["Contacts"]),
    ("PUT", "/remote.php/dav/calendars/alice/work/1.ics", EVENT, (),
     ["Calendar"]),
    ("PUT", "/remote.php/dav/addressbooks/users/alice/contacts/1.vcf", CARD,
     (), ["Contacts"]),
    ("DELETE", "/rpc.php/calendars/alice/abc/1.ics", b"", (),
     ["Calendar", "Tasks"]),
    ("PUT", "/radicale/alice/x/1", CARD, (), ["Contacts"]),
    ("DELETE", "/radicale/alice/x/1", b"", (), ALL),
]


@pytest.mark.parametrize("change", CHANGES,
                         ids=lambda c: "%s %s %s" % (c[0], c[1], c[4]))
def test_a_change_over_dav_wakes_the_phone(davsite, dav, change):
    method, path, body, headers, classes = change
    phone, ping = pim_phone(davsite, *ALL)
    assert ask(davsite, method, path, body, headers=headers) == 201
    assert dav.seen[-1] == (method, path, body)
    told(phone, ping, *classes)
    phone.sync_until_done(*[phone.id(FOLDERS[c]) for c in classes])
    assert pim_ping(davsite, phone, *ALL).is_held(0.5)


@pytest.mark.parametrize("method, path", [
    ("MKCALENDAR", "/SOGo/dav/alice/Calendar/new"),
    ("DELETE", "/SOGo/dav/alice/Calendar/old/"),
    ("PROPPATCH", HOME)])
def test_a_folder_that_comes_goes_or_is_renamed_is_told(davsite, method,
                                                         path):
    phone, ping = pim_phone(davsite, "Calendar")
    assert ask(davsite, method, path) == 201
    seen = set()
    for _ in range(3):
        answer = ping.answer()
        seen.add(answer.status)
        if answer.status == 7:
            break
        phone.sync_until_done(*answer.folders)
        ping = phone.start_ping([(phone.id("INBOX"), "Email"),
                                 (phone.id(FOLDERS["Calendar"]),
                                  "Calendar")], 600)
    assert 7 in seen


def test_what_the_backend_refuses_wakes_nobody(davsite, dav):
    _, ping = pim_phone(davsite, *ALL)
    for status in (401, 403, 404, 412, 423, 500, 503):
        dav.answers(status)
        assert ask(davsite, "PUT", HOME + "1.ics", EVENT) == status
    assert ping.is_held(0.5)
    assert davsite.httpd.metric("dav_published") == 0


def test_what_changes_nothing_wakes_nobody(davsite, dav):
    _, ping = pim_phone(davsite, *ALL)
    dav.answers(207)
    for method in ("GET", "PROPFIND", "REPORT", "OPTIONS"):
        assert ask(davsite, method, HOME + "1.ics") == 207
    assert ask(davsite, "POST", "/SOGo/so/alice/Calendar/x", b"a=b", headers=[
        ("Content-Type", "application/x-www-form-urlencoded")]) == 207
    assert ask(davsite, "PUT", "/remote.php/dav/files/alice/1.txt",
               b"text") == 207
    assert ping.is_held(0.5)


def test_another_users_phone_sleeps_on(davsite):
    bob, bobs = pim_phone(davsite, *ALL, user="bob")
    phone, ping = pim_phone(davsite, *ALL)
    ask(davsite, "PUT", HOME + "1.ics", EVENT)
    told(phone, ping, "Calendar")
    assert bobs.is_held(0.5)


def test_a_delegates_change_is_the_owners_too(davsite):
    bob, bobs = pim_phone(davsite, "Calendar", user="bob")
    ask(davsite, "PUT", "/SOGo/dav/alice/Calendar/bob_personal/1.ics", EVENT)
    told(bob, bobs, "Calendar")


def test_the_user_in_the_path_becomes_the_mailbox_user(davsite):
    phone, ping = pim_phone(davsite, "Calendar")
    ask(davsite, "PUT", "/SOGo/dav/%41lice/Calendar/personal/1.ics", EVENT)
    told(phone, ping, "Calendar")


def test_a_body_in_pieces_arrives_whole(davsite, dav):
    phone, ping = pim_phone(davsite, *ALL)
    body = EVENT.replace(b"lunch", b"x" * 200000)
    assert ask(davsite, "PUT", HOME + "1.ics", body, chunked=True) == 201
    assert dav.seen[-1][2] == body
    assert ping.answer().status == 2


def test_a_put_that_the_client_breaks_off_wakes_nobody(davsite, dav):
    phone, ping = pim_phone(davsite, *ALL)
    davsite.httpd.allowed.append(r"AH01095|AH01097|AH02609|AH10154|AH01086")
    wire = davsite.httpd.endpoint(True).connect()
    wire.send(http_request(
        "PUT", HOME + "1.ics", [("Host", "mail.example.test"),
                                ("Content-Length", "100000")], EVENT))
    wire.close()
    assert ping.is_held(0.7)
    assert not [s for s in dav.seen if s[0] == "PUT"]
    assert ask(davsite, "PUT", HOME + "1.ics", EVENT) == 201
    told(phone, ping, "Calendar")


def test_off_is_off(make_site, dav):
    site = site_with(make_site, dav, on=False)
    _, ping = pim_phone(site, "Calendar")
    assert ask(site, "PUT", HOME + "1.ics", EVENT) == 201
    assert ping.is_held(0.5)


def test_a_change_while_no_ping_is_held_is_told_by_the_next(davsite):
    phone, ping = pim_phone(davsite, "Calendar")
    phone.hang_up()
    davsite.wait_held(0)
    ask(davsite, "PUT", HOME + "1.ics", EVENT)
    phone.connect()
    ping = phone.start_ping([(phone.id(FOLDERS["Calendar"]), "Calendar")], 600)
    told(phone, ping, "Calendar")


def test_a_watcher_that_hangs_delays_no_answer_and_is_counted(davsite):
    _, ping = pim_phone(davsite, "Calendar")
    davsite.watcher.freeze()
    try:
        assert ask(davsite, "PUT", HOME + "1.ics", EVENT) == 201
        davsite.wait_until(
            lambda: davsite.httpd.metric("dav_lost") == 1,
            "it is counted")
    finally:
        davsite.watcher.thaw()
    assert ask(davsite, "PUT", HOME + "1.ics", EVENT) == 201
    assert ping.answer().status == 2


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_over_http2(make_site, dav):
    site = site_with(make_site, dav, modules=["http2"],
                     protocols="h2 http/1.1")
    phone, ping = pim_phone(site, *ALL)
    body = os.path.join(site.where, "event.ics")
    with open(body, "wb") as f:
        f.write(EVENT)
    port = site.httpd.tls_port
    out = subprocess.run(
        ["curl", "-sk", "--http2", "-T", body, "-u", "alice:secret",
         "--resolve", "mail.example.test:%d:127.0.0.1" % port, "-o",
         "/dev/null", "-w", "%{http_version} %{http_code}",
         "https://mail.example.test:%d%s1.ics" % (port, HOME)],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    assert out == "2 201"
    told(phone, ping, "Calendar")
