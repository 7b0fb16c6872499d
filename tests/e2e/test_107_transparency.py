"""What passes by is not changed, not delayed and not kept."""
import hashlib

import pytest

from dp import sanitizers, wbxml
from dp.httpd import EAS, Vhost
from dp.wire import ConnectionLost

CODINGS = [{}, dict(chunked=True), dict(gzip=True), dict(deflate=True),
           dict(gzip=True, chunked=True), dict(trickle=[100, 0.005]),
           dict(headers={"X-MS-RP": "14.1", "Set-Cookie": "a=b"})]


def names(rule):
    return "-".join(rule) or "as is"


@pytest.mark.parametrize("rule", CODINGS, ids=names)
def test_a_response_arrives_as_the_backend_sent_it(site, rule):
    """And is understood: the folder is clean afterwards."""
    phone = site.in_step()
    site.mails().deliver("one", size=3000)
    site.told(phone)  # else the watcher might come with it after the Sync
    site.backend.misbehave(cmd="Sync", times=1, **rule)
    response = phone.request("Sync", phone.sync_body("INBOX",
                                                     body_bytes=2500))
    seen = site.backend.last(cmd="Sync")
    assert hashlib.sha256(response.body).hexdigest() == seen["response_sha"]
    coding = "gzip" if "gzip" in rule else (
        "deflate" if "deflate" in rule else None)
    assert response.get("Content-Encoding") == coding
    for name, value in rule.get("headers", {}).items():
        assert response.get(name) == value
    phone.take_sync(response)
    assert phone.subjects() == ["one"]
    assert phone.start_ping(["INBOX"], 600).is_held(0.7)


@pytest.mark.parametrize("size", [0, 1, 13, 5000, 3_000_000])
def test_a_request_arrives_as_the_phone_sent_it(site, size):
    body = (bytes(i * 7 % 256 for i in range(256)) * (size // 256 + 1))[:size]
    phone = site.phone()
    phone.foldersync()
    for command in ("Sync", "SendMail", "ItemOperations"):
        since = site.backend.mark()
        phone.request(command, body)
        (seen,) = site.backend.requests(since)
        assert seen["body_sha"] == hashlib.sha256(body).hexdigest()


def test_request_headers_arrive_and_readable_codings_stay_allowed(site):
    """What we can't read (br, zstd) is taken out of Accept-Encoding."""
    phone = site.phone(extra_headers=[("Accept-Encoding",
                                       "br, gzip, deflate, zstd"),
                                      ("X-Own", "value")])
    phone.policy_key = 7
    phone.foldersync()
    headers = {k.lower(): v for k, v in site.backend.last()["headers"]}
    assert headers["x-own"] == "value"
    assert headers["x-ms-policykey"] == "7"
    assert headers["ms-asprotocolversion"] == "14.1"
    codings = {c.strip().split(";")[0]
               for c in headers["accept-encoding"].split(",")}
    assert "gzip" in codings
    assert not codings & {"br", "zstd"}


def test_errors_of_the_backend_are_the_backends_own(site):
    phone = site.in_step()
    for status in (401, 403, 404, 449, 500, 503):
        site.backend.misbehave(cmd="Sync", times=1, status=status,
                               headers={"X-Reason": "told to"})
        response = phone.request("Sync", phone.sync_body("INBOX"))
        assert response.status == status
        assert response.get("X-Reason") == "told to"
        phone.connect()
        phone.sync_until_done("INBOX")


def test_a_request_that_is_redirected_within_httpd(make_site):
    """By mod_rewrite in a directory, or an Action: the successor has neither
    the observer's filters nor the body of a Ping, unless it gets them."""
    site = make_site(start=False)
    site.backend.start()
    site.httpd_args["modules"] = ["rewrite"]
    site.vhosts = [Vhost("mail.example.test", None, directives=[
        'ProxyPass "/real" "http://127.0.0.1:%d%s" timeout=3700'
        % (site.backend.port, EAS),
        '<Location "%s">' % EAS, "RewriteEngine On",
        'RewriteRule .* /real [L]', "</Location>"])]
    site.start()
    phone = site.phone()
    body = wbxml.ping_request(600, [("mail%2Fnobody-knows", "Email")])
    phone.start("Ping", body)  # no proof: to the backend
    seen = site.backend.wait_for(cmd="Ping")
    assert seen[-1]["body_sha"] == hashlib.sha256(body).hexdigest()
    phone.connect()
    phone.foldersync()
    phone.sync_until_done("INBOX")
    ping = site.hold(phone)
    site.wait_held(1)
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_a_response_is_not_delayed_until_it_is_complete(site):
    """Half of it is sent, half is with the phone."""
    phone = site.in_step()
    site.mails().deliver("one", size=20000)
    site.backend.misbehave(cmd="Sync", gate_body="g", times=1)
    pending = phone.start("Sync", phone.sync_body("INBOX", body_bytes=18000))
    site.backend.wait_at_gate("g")
    start = phone.wire.read_at
    site.wait_until(lambda: (phone.wire.pump(0.1), len(phone.wire.received)
                             - start > 5000)[1], "the first half of the body")
    assert not pending.is_answered()
    site.backend.open("g")
    assert pending.wait().status == 200


def test_a_cut_response_is_cut_for_the_phone_too(site):
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", cut=True, times=1)
    site.httpd.allow("AH01110", "AH00898", "AH02609", "prematurely")
    with pytest.raises(ConnectionLost):
        phone.sync("INBOX")
    assert phone.ping(["INBOX"], 600).status == 2
    assert len(phone.sync_until_done("INBOX")) == 1


@pytest.mark.parametrize("rule", [{}, dict(chunked=True), dict(gzip=True)],
                         ids=names)
def test_a_sync_of_200_mb_costs_no_memory(make_site, rule):
    """A child grows by less than 1 MB."""
    site = make_site(httpd=dict(children=1, threads=4))
    phone = site.in_step()
    # what passing large bodies costs without us is warmed up first
    for _ in range(2):
        site.mails().deliver("warm")
        site.backend.misbehave(cmd="Sync", times=1, huge=20 << 20, **rule)
        phone.take_sync(phone.request("Sync", phone.sync_body("INBOX")))
    (child,) = site.httpd.children()
    before = site.httpd.rss_kb(child)
    with site.published():  # else it might come after the Sync
        site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", times=1, huge=200 << 20, **rule)
    response = phone.request("Sync", phone.sync_body("INBOX"), timeout=300)
    after = site.httpd.rss_kb(child)
    seen = site.backend.last(cmd="Sync")
    assert hashlib.sha256(response.body).hexdigest() == seen["response_sha"]
    assert seen["clear_len"] > 200 << 20
    assert after - before < 1024 or sanitizers.library(), (before, after)
    # and it was understood to its end
    phone.take_sync(response)
    assert phone.start_ping(["INBOX"], 600).is_held(0.7)


def test_a_large_upload_costs_no_memory(make_site):
    site = make_site(httpd=dict(children=1, threads=4))
    phone = site.in_step()
    body = wbxml.encode(wbxml.Node("ComposeMail:SendMail", wbxml.Node(
        "ComposeMail:MIME", wbxml.Opaque(b"x" * (50 << 20)))))
    phone.request("SendMail", body[:10 << 20])
    (child,) = site.httpd.children()
    before = site.httpd.rss_kb(child)
    since = site.backend.mark()
    assert phone.request("SendMail", body, timeout=300).status == 200
    grown = site.httpd.rss_kb(child) - before
    assert grown < 1024 or sanitizers.library()
    assert site.backend.requests(since)[0]["body_sha"] == \
        hashlib.sha256(body).hexdigest()


def test_a_hanging_sync_passes_and_its_mark_is_its_start(site):
    """Changes while it hangs are told, unless it brought them."""
    phone = site.in_step()
    pending = phone.start_sync("INBOX", heartbeat=2)
    assert phone.take_sync(pending.wait()).is_empty
    assert phone.start_ping(["INBOX"], 600).is_held(0.5)
    phone.connect()
    pending = phone.start_sync("INBOX", heartbeat=600)
    site.backend.wait_for(cmd="Sync", done=False)
    site.mails().deliver("one")
    phone.take_sync(pending.wait())
    assert phone.subjects() == ["one"]
    site.hold(phone)


def test_other_urls_are_none_of_our_business(site):
    """Also with DirectPush On for the whole host."""
    wire = site.phone().connect()
    from dp.wire import Pending, http_request
    wire.send(http_request("GET", "/nothing/here.html", [
        ("Host", "mail.example.test"), ("Accept-Encoding", "br")]))
    assert Pending(wire, "GET").wait().status in (403, 404)
