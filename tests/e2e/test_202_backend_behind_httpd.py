"""Backend and phone with an Apache between them that has no mod_directpush:
what is ours to change later must be there without us first."""
import hashlib

import pytest

from dp import wbxml
from dp.wire import ConnectionLost, Pending


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def phone(make_site, request):
    site = make_site(with_module=False)
    phone = site.phone(tls=request.param)
    phone.site = site
    return phone


def test_a_day_in_the_life_of_a_phone(phone):
    site = phone.site
    assert "Ping" in phone.options().get("MS-ASProtocolCommands")
    phone.foldersync()
    site.mails().deliver("one")
    phone.sync_until_done("INBOX")
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held(0.5)
    site.mails().deliver("two")
    assert ping.answer().folders == [phone.id("INBOX")]
    phone.sync_until_done("INBOX")
    assert phone.subjects() == ["one", "two"]
    assert len(phone.wires) == 1
    seen = site.httpd.wait_access(n=1, cmd="Ping")
    assert seen[0]["port"] == phone.wire.port and seen[0]["status"] == 200


def test_pipelined_requests_go_through(phone):
    phone.foldersync()
    phone.sync("INBOX")
    pendings = phone.pipeline([("FolderSync", wbxml.foldersync_request("0")),
                               ("Sync", phone.sync_body("INBOX"))])
    assert pendings[1].wait().status == 200
    assert wbxml.FoldersAnswer(pendings[0].response.body).status == 1


@pytest.mark.parametrize("coding", [{}, dict(chunked=True), dict(gzip=True)])
def test_bodies_arrive_as_they_were_sent(make_site, coding):
    site = make_site(with_module=False)
    phone = site.phone()
    phone.sync("INBOX")
    site.mails().deliver("one", size=100000)
    site.backend.misbehave(cmd="Sync", **coding)
    response = phone.request("Sync", phone.sync_body("INBOX",
                                                     body_bytes=90000))
    assert hashlib.sha256(response.body).hexdigest() == \
        site.backend.last(cmd="Sync")["response_sha"]
    assert len(response.clear) > 90000
    body = b"\0" * 3_000_000
    phone.request("Sync", body)
    assert site.backend.last(cmd="Sync")["body_sha"] == \
        hashlib.sha256(body).hexdigest()


def test_a_cut_response_reaches_the_phone_as_cut(make_site):
    site = make_site(with_module=False)
    phone = site.phone()
    phone.sync("INBOX")
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", cut=True, times=1)
    with pytest.raises(ConnectionLost):
        phone.sync("INBOX")
    site.httpd.allow("AH01110|AH00898|AH02609|prematurely")
    assert len(phone.sync_until_done("INBOX")) == 1


def test_two_hosts_have_two_backends(make_site):
    site = make_site(with_module=False, backends=2)
    site.backends[1].control(user={"alice": "other"})
    assert site.phone(vhost="mail.example.test").foldersync().status == 1
    other = site.phone(vhost="other.example.test")
    assert other.request("FolderSync",
                         wbxml.foldersync_request("0")).status == 401
    assert other.request("FolderSync", wbxml.foldersync_request(
        "0")).status == 401
    assert site.backends[1].count(status=401) == 2
    assert site.backends[0].count() == 1


def test_a_held_ping_without_us_occupies_a_worker(make_site):
    site = make_site(with_module=False)
    phone = site.synced_phone()
    before = site.httpd.busy_workers()
    ping = phone.start_ping(["INBOX"], 600)
    site.backend.wait_for(cmd="Ping")
    assert site.httpd.busy_workers() == before + 1
    assert not ping.is_answered()


@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_restarts_and_logs_of_each_mpm(make_site, mpm):
    site = make_site(with_module=False, httpd=dict(mpm=mpm))
    phone = site.synced_phone()
    assert site.httpd.scoreboard()["ServerMPM"] == mpm
    site.httpd.graceful()
    assert phone.sync("INBOX").is_empty
    site.httpd.restart()
    assert phone.sync("INBOX").is_empty
    assert site.httpd.configtest()[0] == 0
    status, output = site.httpd.configtest("Nonsense on")
    assert status != 0 and "Nonsense" in output


def test_an_unexpected_error_line_would_be_noticed(make_site):
    site = make_site(with_module=False)
    site.backend.stop()
    phone = site.phone()
    assert phone.request("Ping").status == 503
    assert site.httpd.unexpected()
    site.httpd.allow("AH00957|AH01114|AH00959")
    assert not site.httpd.unexpected()


def test_tls_ends_politely_or_not_as_asked(make_site):
    site = make_site(with_module=False, httpd=dict(keepalive_timeout=1))
    phone = site.synced_phone()
    assert phone.wire.gone()
    assert phone.wire.ended_politely
    wire = phone.connect()
    wire.send(phone.bytes_of("Sync", phone.sync_body("INBOX")))
    assert Pending(wire).wait().status == 200
    wire.half_close()
    assert wire.gone()
