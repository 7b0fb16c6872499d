"""While a Ping waits its request is given back; the response and the log are as
if it had been kept, and it is kept where another module needs it."""
import os
import re

import pytest

from dp.process import wait_until
from dp.wire import Pending

# all that has a fixed value in a sequence of requests that is always the same
FORMAT = ("%h|%l|%u|%r|%>s|%b|%{User-Agent}i|%{Host}i|%{FLAG}e|"
          "%{directpush-outcome}n|%m|%U|%q|%H|%v|%V|%A|%a|%X|%k|"
          "%{Content-Type}o|%{Content-Length}o|%{Content-Type}i|"
          "%{Cache-Control}o|%p")
KEEP = "Header set X-Kept whole"
NOTICE = r"requests of held Pings are kept whole for the sake of"


def logged_site(make_site, *lines, **httpd):
    s = make_site(start=False, httpd=httpd)
    s.httpd_args["main"] = [
        'SetEnvIf Request_URI "Active(Sync)" FLAG=is-$1',
        'CustomLog "%s/full.log" "%s" env=FLAG' % (s.where, FORMAT)]
    s.httpd_args["site"] = list(lines)
    s.start()
    return s


def log_of(site, n):
    """The last n lines about Pings, without what differs between sites."""
    def lines():
        try:
            with open(os.path.join(site.where, "full.log")) as f:
                return [line.strip() for line in f if "Cmd=Ping" in line]
        except FileNotFoundError:
            return []
    got = wait_until(lambda: len(lines()) >= n and lines(),
                     lambda: "%d Pings logged: %r" % (n, lines()))
    return [re.sub(r"DeviceId=\w+", "DeviceId=", line) for line in got[-n:]]


def pings(site, tls=True):
    """Changes, heartbeat, the next request, gone. @return the responses"""
    phone, ping = site.held_phone(tls=tls)
    phone.endpoint.name += ":8443"  # of its next requests' Host
    out = []
    site.mails().deliver("one")
    out.append(ping.response())
    phone.sync_until_done("INBOX")
    out.append(phone.start_ping(["INBOX"], 2).response())
    ping = phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    phone.foldersync()
    out.append(ping.response())
    phone.start_ping(["INBOX"], 600)
    site.wait_held(1)
    phone.hang_up()
    site.wait_held(0)
    return out


def test_it_can_be_kept_always(make_site):
    site = make_site(httpd=dict(site=["DirectPushKeepRequests always"]))
    for response in pings(site):
        assert response.get("Server"), response.headers
    assert not site.httpd.grep(NOTICE)


@pytest.mark.parametrize("tls", [True, False])
def test_the_log_is_as_if_it_were_kept(make_site, tls):
    seen = []
    for lines in ([], [KEEP]):
        site = logged_site(make_site, *lines)
        if lines:
            site.httpd.allow(NOTICE)
        responses = pings(site, tls)
        assert [r.get("X-Kept") for r in responses] == \
            ["whole" if lines else None] * 3
        seen.append((log_of(site, 4), [len(r.body) for r in responses]))
        assert bool(site.httpd.grep(NOTICE)) == bool(lines)
    given_back, kept = seen
    assert given_back == kept
    outcomes = [line.split("|")[9] for line in given_back[0]]
    assert outcomes == ["changes", "heartbeat", "request", "gone"]


def test_the_answer_is_short(make_site):
    site = make_site()
    phone, ping = site.held_phone()
    site.mails().deliver("one")
    changed = ping.response()
    assert sorted(k.lower() for k, _ in changed.headers) == [
        "cache-control", "content-length", "content-type", "date"]
    phone.sync_until_done("INBOX")
    for _ in range(2):  # and the connection goes on
        nothing = phone.start_ping(["INBOX"], 2).response()
        assert nothing.body == bytes.fromhex("03016a00000d45470331000101")
        assert len(nothing.raw_head) + len(nothing.body) <= 160
        assert nothing.port == changed.port and not nothing.closes


@pytest.mark.parametrize("line, stays", [
    (b"Connection: keep-alive\r\n", True), (b"", False)])
def test_http_1_0_hears_what_it_has_to(make_site, line, stays):
    site = make_site()
    site.httpd.allow(NOTICE)
    phone = site.in_step()
    data = phone.bytes_of("Ping", phone.ping_body(["INBOX"], 2)).replace(
        b" HTTP/1.1\r\n", b" HTTP/1.0\r\n" + line, 1)
    wire = phone.connection()
    wire.send(data)
    response = Pending(wire).wait()
    assert response.body[:4] == bytes.fromhex("03016a00")
    assert "keep-alive" == response.get("Connection", "").lower() if stays \
        else response.closes


def test_a_client_that_wants_no_more(make_site):
    site = make_site()
    phone = site.in_step()
    ping = phone.start("Ping", phone.ping_body(["INBOX"], 2),
                       [("Connection", "close")])
    assert ping.wait().closes
    assert ping.wire.ended_politely or ping.wire.ended()


def test_passwords_are_not_kept(make_site):
    """What is kept of a request is not its Authorization."""
    site = make_site(start=False)
    site.httpd_args["main"] = [
        # as is usual in front of FPM
        'SetEnvIf Authorization "(.+)" HTTP_AUTHORIZATION=$1',
        'CustomLog "%s/secret.log" "%%U%%q %%{Authorization}i '
        '%%{HTTP_AUTHORIZATION}e"' % site.where]
    site.start()
    pings(site)
    path = os.path.join(site.where, "secret.log")
    said = wait_until(lambda: (lambda got: len(got) >= 4 and got)(
        [line.split() for line in open(path) if "Cmd=Ping" in line]),
        "four Pings logged")
    assert {word for line in said[-4:] for word in line[1:]} == {"-"}


@pytest.mark.parametrize("line", ["", KEEP], ids=["given back", "kept"])
def test_a_large_head_is_logged_as_it_came(make_site, line):
    """Texts of more than 64 KiB, a thousand fields, empty and repeated ones."""
    site = make_site(start=False)
    path = os.path.join(site.where, "head.log")
    site.httpd_args["main"] = [
        "LimitRequestFieldSize 70000", "LimitRequestFields 0",
        'CustomLog "%s" "%%r|%%{X-Long}i|%%{X-Empty}i|%%{X-Twice}i|'
        '%%{X-Byte}i|%%{X-999}i"' % path]
    site.httpd_args["site"] = [line]
    site.start()
    if line:
        site.httpd.allow(NOTICE)
    phone = site.in_step()
    ping = phone.start("Ping", phone.ping_body(["INBOX"], 2), [
        ("X-Long", "x" * 69000), ("X-Empty", ""), ("X-Twice", "a"),
        ("X-Byte", "\xe4"), ("x-twice", "b")]
        + [("X-%d" % i, "v" * 100 + str(i)) for i in range(1000)])
    assert ping.wait().status == 200
    logged, = wait_until(lambda: [
        said for said in open(path) if "|xxx" in said and said[-1] == "\n"],
                        "it is logged, to its end")
    assert logged.rstrip().split("|")[1:] == [
        "x" * 69000, "", "a, b", "\\xe4", "v" * 100 + "999"]
