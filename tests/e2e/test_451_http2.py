"""Pings over HTTP/2 and everybody else: whoever is beyond the bounds is asked to
come over HTTP/1.1, and other requests always find a worker."""
import shutil
import subprocess
import time

import h2.errors
import h2.events
import h2.settings
import pytest

from dp import wbxml
from dp.http2 import H2
from dp.phone import WBXML_TYPE
from dp.process import wait_until
from dp.wire import GENEROUS
from test_109_http2 import Curl


@pytest.fixture
def make_h2(make_site):
    def make(*main, **httpd):
        site = make_site(httpd=dict(
            modules=["http2"], protocols="h2 http/1.1", main=list(main),
            site=['Alias "/page" "%s"' % __file__], **httpd))
        return site
    return make


def in_step(site, *users):
    return [site.in_step(user=u) for u in users or ("alice",)]


def test_the_setting_is_told_at_start(make_h2):
    assert len(make_h2().httpd.grep("HTTP/2 is offered")) >= 1


def test_without_http2_nothing_is_told(make_site):
    assert not make_site().httpd.grep("HTTP/2 is offered")


@pytest.mark.parametrize("client", ["curl", "h2"])
def test_who_must_come_over_http_1_1_is_parked_there(make_h2, client):
    site = make_h2("DirectPushMaxBlocking 0")
    phone, = in_step(site)
    if client == "h2":
        c = H2(site)
        assert c.wait(c.ping(phone)) == (
            "reset", h2.errors.ErrorCodes.HTTP_1_1_REQUIRED)
        assert c.get() == 200
        c.close()
        return
    ping = Curl(site, phone, 600)
    site.wait_held(1)
    assert site.httpd.metric("blocking") == 0
    site.mails().deliver("one")
    said, _ = ping.process.communicate(timeout=GENEROUS)
    assert said == "1.1 200"
    with open(ping.out, "rb") as f:
        assert wbxml.PingAnswer(f.read()).status == 2


def test_who_does_not_understand_gets_to_the_backend(make_h2):
    """The second Ping over the same HTTP/2 connection is not refused again."""
    site = make_h2("DirectPushMaxBlocking 0")
    phone, = in_step(site)
    since = site.backend.mark()
    c = H2(site)
    assert c.wait(c.ping(phone))[0] == "reset"
    assert c.answer(c.ping(phone, 2)).status in (1, 2)
    assert site.backend.count(since, cmd="Ping") == 1
    c.close()


def test_other_streams_and_connections_find_a_worker(make_h2):
    """More Pings than may be held, on one connection and on many; pages load
    on each of them and on new ones."""
    site = make_h2("DirectPushMaxBlocking 1000", "DirectPushMaxPassed 2",
                   children=1, threads=16)
    phones = [site.in_step(user=u) for u in ("alice", "bob") for _ in range(6)]
    for phone in phones:
        phone.hang_up()  # a new connection occupies a worker, too
    one = H2(site)
    streams = [one.ping(p) for p in phones[:5]]
    wait_until(lambda: (one.pump(0.05), site.held() == 2)[1], "two are held")
    assert one.get() == 200
    others = []
    for phone in phones[5:]:
        c = H2(site)
        c.ping(phone)
        others.append(c)
    # half of the threads may hold
    wait_until(lambda: site.held() == 8, lambda: "8 held; %d" % site.held())
    for c in others + [one]:
        assert c.get() == 200
    new = H2(site)
    assert new.get() == 200
    assert site.httpd.get("/server-status").status == 200
    site.mails().deliver("for alice")
    held = [s for s in streams if s not in one.done]
    assert held
    for s in held:
        assert one.answer(s).status == 2
    for c in others + [one, new]:
        c.close()
    site.wait_held(0)


def test_what_arrived_over_http2_is_not_announced_again(make_h2):
    site = make_h2()
    phone, = in_step(site)
    c = H2(site)
    for i in range(2):
        ping = c.ping(phone)
        site.wait_held(1)
        site.mails().deliver("mail %d" % i)
        assert c.answer(ping).status == 2
        status, body = c.wait(c.sync(phone))
        answer = wbxml.SyncAnswer(body)
        got = answer.collections[phone.id("INBOX")]
        assert got["adds"]
        phone.keys[phone.id("INBOX")] = got["key"]
    before = site.httpd.metric("answered_changes")
    ping = c.ping(phone)
    site.wait_held(1)
    c.pump(2.5)  # longer than an announcement waits for news of an arrival
    assert ping not in c.done
    assert site.httpd.metric("answered_changes") == before
    site.mails().deliver("another")
    assert c.answer(ping).status == 2
    c.close()


def test_what_probably_arrived_over_http2_is_confirmed_at_the_end(make_h2):
    """Never Status 1 over what no Sync has shown to have arrived."""
    site = make_h2()
    phone, = in_step(site)
    c = H2(site)
    ping = c.ping(phone)
    site.wait_held(1)
    site.mails().deliver("new")
    assert c.answer(ping).status == 2
    got = wbxml.SyncAnswer(c.wait(c.sync(phone))[1]).collections
    phone.keys[phone.id("INBOX")] = got[phone.id("INBOX")]["key"]
    assert c.answer(c.ping(phone, 2)).folders == [phone.id("INBOX")]
    c.wait(c.sync(phone))  # with the new key
    assert c.answer(c.ping(phone, 2)).status == 1
    c.close()


def test_what_was_reset_over_http2_is_announced_again(make_h2):
    """A phone that gives a Sync up resets its stream, and goes on on the same
    connection: its next request there does not show that it has the answer. Its
    Ping says so at its end."""
    site = make_h2()
    phone, = in_step(site)
    c = H2(site)
    ping = c.ping(phone)
    site.wait_held(1)
    mail = site.mails().deliver("new")
    assert c.answer(ping).status == 2
    done = site.httpd.metric("marks")
    window = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
    c.c.update_settings({window: 0}) # nothing of the body will be read
    stream = c.sync(phone)
    until = time.monotonic() + GENEROUS
    while site.httpd.metric("marks") == done:
        assert time.monotonic() < until, "the Sync is not answered"
        c.pump(0.1)
    assert not c.body.get(stream)
    c.c.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
    c.c.update_settings({window: 65535})
    answer = c.answer(c.ping(phone, 2))
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")]), mail
    c.close()


@pytest.mark.skipif(not shutil.which("nghttp"), reason="no nghttp here")
def test_nghttp(make_h2):
    site = make_h2()
    phone, = in_step(site)
    body = site.where + "/ping"
    with open(body, "wb") as f:
        f.write(phone.ping_body(["INBOX"], 2))
    headers = []
    for k, v in phone.headers(True):
        if k != "Host":
            headers += ["-H", "%s: %s" % (k.lower(), v)]
    done = subprocess.run(
        ["nghttp", "-d", body, "-H", ":method: POST",
         "-H", ":authority: mail.example.test", "-H",
         "content-type: " + WBXML_TYPE] + headers
        + ["https://127.0.0.1:%d%s" % (site.httpd.tls_port,
                                       phone.target("Ping"))],
        stdout=subprocess.PIPE, timeout=GENEROUS, check=True)
    assert wbxml.PingAnswer(done.stdout).status == 1
