"""Other people's modules: with mod_security2, mod_evasive, mod_log_forensic,
mod_logio, mod_unique_id, mod_deflate and mod_remoteip loaded, each Ping leaves
exactly one complete record in every log, whatever becomes of it."""
import collections
import os
import re

import pytest

from dp import wbxml
from dp.process import wait_until
from dp.wire import ConnectionLost
from test_109_http2 import Curl

RECOMMENDED = "/etc/modsecurity/modsecurity.conf-recommended"
MODULES = ["unique_id", "log_forensic", "security2", "evasive20", "remoteip"]
NOT_EVASIVE = [m for m in MODULES if m != "evasive20"]
MPMS = pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
ANSWERED = [("changes", 200), ("heartbeat", 200), ("newer-ping", 200)]


def security_lines(where):
    """Debian's recommended rules, enforced, and everything audited."""
    conf = os.path.join(where, "modsecurity.conf")
    data = os.path.join(where, "modsecurity")
    os.mkdir(data)
    os.chmod(data, 0o777)
    with open(RECOMMENDED) as f:
        text = f.read()
    text = re.sub(r"(?m)^(SecAuditLog|SecDataDir|SecTmpDir|SecAuditEngine|"
                  r"SecRuleEngine) .*$", "", text)
    text = text.replace("unicode.mapping", os.path.join(
        os.path.dirname(RECOMMENDED), "unicode.mapping"))
    with open(conf, "w") as f:
        f.write(text)
    return ['Include "%s"' % conf, "SecRuleEngine On", "SecAuditEngine On",
            'SecAuditLog "%s/audit.log"' % where, 'SecDataDir "%s"' % data,
            'SecTmpDir "%s"' % data]


class Records:
    """What the logs say of the Pings of this site."""

    def __init__(self, site):
        self.site, self.where = site, site.where

    def text(self, name):
        try:
            with open(os.path.join(self.where, name), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def ids(self):
        """Of each Ping in the access log: unique id, peer, bytes, outcome."""
        found = [line.split("\t") for line in
                 self.text("ids.log").splitlines()]
        return [dict(zip(("id", "peer", "status", "in", "out", "outcome"), f))
                for f in found if "Cmd=Ping" in f[6]]

    def audits(self):
        """Of each audit record: (unique id, sections in their order)."""
        out = []
        for line in self.text("audit.log").splitlines():
            m = re.fullmatch(r"--[0-9a-f]+-([A-Z])--", line)
            if m and m.group(1) == "A":
                out.append(["", "A"])
            elif m:
                out[-1][1] += m.group(1)
            elif out and out[-1] == ["", "A"]:
                out[-1][0] = line.partition("] ")[2].split()[0]
        return out

    def forensic(self):
        """{forensic id: "+-"} of Pings."""
        pings, marks = set(), collections.defaultdict(str)
        for line in self.text("forensic.log").splitlines():
            id_ = line[1:].split("|")[0]
            marks[id_] += line[0]
            if line[0] == "+" and "Cmd=Ping" in line:
                pings.add(id_)
        return {k: marks[k] for k in pings}

    def wait(self, n):
        """Until there are n Pings in the access log. @return ids()"""
        return wait_until(
            lambda: (lambda i: len(i) >= n and i)(self.ids()),
            lambda: "%d Pings logged: %r" % (n, self.ids()))

    def check(self, n):
        """n Pings, each with one complete record everywhere."""
        self.wait(n)
        pings = self.ids()
        assert len(pings) == n, pings
        unique = [p["id"] for p in pings]
        assert len(set(unique)) == n and "-" not in unique, pings
        audits = [a for a in self.audits() if a[0] in unique]
        assert sorted(a[0] for a in audits) == sorted(unique), audits
        for _, parts in audits:
            assert parts[0] == "A" and parts[-1] == "Z", audits
            assert parts.count("A") == parts.count("Z") == 1, audits
        forensic = self.forensic()
        assert sorted(forensic.values()) == ["+-"] * n, forensic
        assert len(self.site.httpd.access(cmd="Ping")) == n


def with_modules(make_site, modules=NOT_EVASIVE, main=(), site=(), **httpd):
    """A site with all of them. @return (Site, Records)"""
    s = make_site(start=False, httpd=dict(
        modules=modules + httpd.pop("modules", []), **httpd))
    lines = ['ForensicLog "%s/forensic.log"' % s.where,
             'CustomLog "%s/ids.log" "%%{UNIQUE_ID}e\\t%%a\\t%%>s\\t%%I\\t%%O'
             '\\t%%{directpush-outcome}n\\t%%U%%q"' % s.where]
    s.httpd_args["main"] = lines + security_lines(s.where) + list(main)
    s.httpd_args["site"] = list(site)
    s.start()
    s.httpd.allow(r"ModSecurity for Apache.* configured", "ModSecurity: ")
    return s, Records(s)


def pings_of_all_kinds(site):
    """@return how many Pings were sent, one after the other"""
    phone, ping = site.held_phone()
    site.mails().deliver("one")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    ping = phone.start_ping(["INBOX"], 2)
    assert ping.answer().status == 1
    before = phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    phone.connect()
    newer = phone.start_ping(["INBOX"], 600)  # from another connection
    assert before.answer().status == 1
    site.wait_held(1)
    phone.foldersync()                        # on the same connection
    assert newer.answer().status in (1, 2)
    ping = phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    phone.hang_up()
    site.wait_held(0)
    phone.connect()
    ping = phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    phone.abort()
    site.wait_held(0)
    phone.connect()
    site.backend.misbehave(cmd="Ping", times=1, status=503)
    assert phone.request("Ping", wbxml.ping_request(
        600, [("mail%2Fnobody-knows", "Email")])).status in (200, 503)
    assert phone.request("Ping", b"\3\1\x6a\0nonsense").status in (
        200, 400, 503)


@MPMS
def test_one_record_of_each_ping_in_every_log(make_site, mpm):
    site, records = with_modules(make_site, mpm=mpm, children=2, threads=8)
    pings_of_all_kinds(site)
    wait_until(lambda: len(records.forensic()) == len(records.ids()) and
               set(records.forensic().values()) == {"+-"},
               lambda: "all ended: %r %r" % (records.forensic(),
                                             records.ids()))
    n = len(records.forensic())
    records.check(n)
    outcomes = {(p["outcome"], int(p["status"])) for p in records.ids()}
    assert outcomes.issuperset(ANSWERED), outcomes
    assert [o for o in outcomes if o[0] == "gone"], outcomes


def test_http2_streams_leave_one_record_too(make_site):
    site, records = with_modules(make_site, modules=NOT_EVASIVE + ["http2"],
                                 protocols="h2 http/1.1")
    phone = site.in_step()
    before = len(records.wait(1))
    assert Curl(site, phone, 2).answer().status == 1
    ping = Curl(site, phone, 600)
    site.wait_held(1)
    site.mails().deliver("one")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    ping = Curl(site, phone, 600)
    site.wait_held(1)
    ping.kill()
    site.wait_held(0)
    records.check(before + 3)
    assert records.ids()[-1]["status"] == "499"


def test_a_graceful_restart_with_pings_held(make_site):
    """Each is answered or cut, once, and the modules go on."""
    site, records = with_modules(make_site)
    phones = [site.in_step(device_id="restart%d" % i) for i in range(4)]
    before = len(records.ids())
    pings = site.start_pings(phones)
    for _ in range(2):
        site.httpd.graceful()
    for ping in pings:
        assert ping.answer().status in (1, 2, 7)
    records.check(before + len(pings))
    phones[0].connect()
    site.hold(phones[0])


def test_every_byte_is_counted_where_it_belongs(make_site):
    """mod_logio: a held Ping on a connection with others before and after.
    httpd itself counts a byte twice that it peeked at: one where a connection
    was kept alive, another if the next request is there so soon."""
    site, records = with_modules(make_site)
    phone = site.in_step(tls=False)
    phone.foldersync()
    connections = len(phone.wires)
    sent, received = [], []
    before = len(records.ids())
    for i in range(3):
        start = len(phone.connection().sent), len(phone.wire.received)
        ping = phone.start_ping(["INBOX"], 600 if i else 2)
        if i:
            site.wait_held(1)
            site.mails().deliver("mail %d" % i)
        assert ping.answer().status == (2 if i else 1)
        sent.append(len(phone.wire.sent) - start[0])
        received.append(len(phone.wire.received) - start[1])
        phone.sync_until_done("INBOX")
    assert len(phone.wires) == connections
    pings = records.wait(before + 3)[before:]
    assert all(int(p["in"]) - n in (1, 2) for p, n in zip(pings, sent))
    assert [int(p["out"]) for p in pings] == received


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_the_address_is_the_phones(make_site, tls):
    """mod_remoteip, for each way in which a held Ping ends."""
    site, records = with_modules(make_site, main=[
        "RemoteIPHeader X-Forwarded-For", "RemoteIPInternalProxy 127.0.0.1"])
    phone = site.in_step(tls=tls, extra_headers=[
        ("X-Forwarded-For", "198.51.100.7")])
    assert phone.ping(["INBOX"], 2).status == 1
    ping = phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    site.mails().deliver("one")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    n = len(records.ids())
    phone.hang_up()
    assert {p["peer"] for p in records.wait(n + 1)} == {"198.51.100.7"}


@pytest.mark.parametrize("filters", ["DEFLATE", "BROTLI_COMPRESS;DEFLATE"])
def test_our_answer_is_not_compressed_and_all_is_understood(make_site,
                                                            filters):
    """Also where everything else is: it would grow."""
    site, _ = with_modules(make_site, modules=NOT_EVASIVE + ["brotli"],
                           site=["SetOutputFilter " + filters])
    site.mails().deliver("large", size=20000)
    phone = site.synced_phone(extra_headers=[("Accept-Encoding",
                                              "gzip, deflate, br")])
    response = phone.request("Sync", phone.sync_body("INBOX", key="0"))
    assert response.get("Content-Encoding") == "gzip"
    phone.keys.clear()
    phone.sync_until_done("INBOX")
    ping = site.hold(phone)
    site.mails().deliver("one")
    for expected in (2, 1):
        response = ping.response()
        assert wbxml.PingAnswer(response.body).status == expected
        assert response.get("Content-Encoding") is None
        assert response.get("Content-Length") == str(len(response.body))
        phone.sync_until_done("INBOX")
        ping = phone.start_ping(["INBOX"], 2)


def test_a_rule_of_mod_security_comes_first(make_site):
    """What it refuses is neither held nor passed on, and is logged once."""
    site, records = with_modules(make_site, main=[
        'SecRule REQUEST_HEADERS:X-Test "@streq refuse" '
        '"id:1,phase:2,deny,status:403"'])
    phone, ping = site.held_phone()
    n = len(records.ids())
    other = site.phone(device_id=phone.device_id)
    other.folders = phone.folders
    other.extra_headers = [("X-Test", "refuse")]
    since = site.backend.mark()
    assert other.request("Ping", other.ping_body(["INBOX"], 600)).status == 403
    assert other.request("Sync", phone.sync_body("INBOX")).status == 403
    assert ping.is_held(0.5)
    assert not site.backend.requests(since)
    phone.hang_up()
    records.check(n + 2)


@pytest.mark.parametrize("phase", [3, 4])
def test_a_rule_of_mod_security_refuses_our_answer(make_site, phase):
    """In the thread that answers: an error, once, and nothing breaks."""
    site, records = with_modules(make_site, main=[
        "SecResponseBodyMimeType application/vnd.ms-sync.wbxml",
        'SecRule REQUEST_HEADERS:X-Test "@streq answer" '
        '"id:1,phase:%d,deny,status:403"' % phase])
    phone = site.in_step()
    n = len(records.ids())
    phone.extra_headers = [("X-Test", "answer")]
    response = None
    ping = phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    site.mails().deliver("one")
    try:
        response = ping.response()
    except ConnectionLost:
        pass
    assert response is None or response.status == 403
    records.check(n + 1)
    phone.extra_headers = []
    phone.connect()
    phone.sync_until_done("INBOX")
    site.hold(phone)


def behind_one_address(site, n):
    """n phones of a household, all woken by the same mail, Sync and Ping.
    @return statuses of the answers to all they sent then"""
    phones = [site.held_phone(device_id="house%d" % i)[0] for i in range(n)]
    site.wait_held(n)
    site.mails().deliver("one")
    site.wait_held(0)
    out = []
    for phone in phones:
        for _ in range(3):
            out.append(phone.request(
                "Sync", phone.sync_body("INBOX")).status)
    return out


def test_mod_evasive_with_the_documented_lines_blocks_nobody(make_site):
    site, _ = with_modules(make_site, modules=MODULES, main=[
        "DOSPageCount 300", "DOSSiteCount 500", "DOSPageInterval 1"])
    assert set(behind_one_address(site, 8)) == {200}
    assert not site.httpd.access(status=403)


def test_what_mod_evasive_refuses_harms_nobody_else(make_site):
    """As Debian ships it: more than two requests a second from one address
    and it answers 403 for ten seconds. Held Pings, and proofs, stay."""
    site, records = with_modules(make_site, modules=MODULES, children=1,
                                 main=["DOSPageCount 300"])
    site.httpd.allow("client denied", "Blacklisting|blacklisted")
    phone, ping = site.held_phone()
    n = len(records.ids())
    site.httpd.main = [line.replace("DOSPageCount 300", "DOSPageCount 2")
                       for line in site.httpd.main]
    site.httpd.graceful()
    assert ping.answer().status in (1, 2)
    phone.connect()
    ping = phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    other = site.phone(device_id=phone.device_id)
    statuses = [other.request("OPTIONS").status for _ in range(8)]
    assert 403 in statuses, statuses
    assert ping.is_held(0.5)
    phone.hang_up()
    records.check(n + 2)
