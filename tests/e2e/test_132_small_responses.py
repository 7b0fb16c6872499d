"""A phone's small responses are written at once and in one piece; what is large
or comes in parts goes on as it comes."""
import hashlib

import pytest

from dp import wbxml
from dp.wire import Pending

BOTH = pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])


class Pieces:
    """How many records, or segments, the peer's bytes come in."""

    def __init__(self, wire):
        self.n, self._of = 0, wire.tls or wire.sock
        if wire.tls:
            wire.tls = self
        else:
            wire.sock = self

    def _counted(self, data):
        self.n += bool(data)
        return data

    def read(self, n):
        return self._counted(self._of.read(n))

    def recv(self, n):
        return self._counted(self._of.recv(n))

    def __getattr__(self, name):
        return getattr(self._of, name)


@BOTH
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_half_of_a_small_response_is_not_held_back(site, tls, chunked):
    """The backend pauses: its first bytes are with the phone."""
    phone = site.in_step(tls=tls)
    site.backend.misbehave(cmd="FolderSync", gate_body="g", times=1,
                           chunked=chunked)
    start = len(phone.wire.received)
    pending = phone.start("FolderSync", wbxml.foldersync_request("0"))
    site.backend.wait_at_gate("g")
    site.wait_until(lambda: (phone.wire.pump(0.1), b"\r\n\r\n" in
                             phone.wire.received[start:])[1],
                    "the response's head")
    assert not pending.is_answered()
    site.backend.open("g")
    assert pending.wait().status == 200


@BOTH
@pytest.mark.parametrize("status", [204, 304, 401, 500])
def test_a_response_without_a_body_arrives_and_the_connection_goes_on(
        site, tls, status):
    phone = site.in_step(tls=tls)
    wire = phone.wire
    site.backend.misbehave(cmd="Sync", times=1, status=status)
    response = phone.request("Sync", phone.sync_body("INBOX"))
    assert response.status == status
    if not response.closes:
        assert phone.foldersync().status == 1
        assert phone.wire is wire


@BOTH
def test_large_and_small_responses_by_turns(site, tls):
    """Through a phone that reads slowly."""
    phone = site.in_step(tls=tls)
    phone.connect(rcvbuf=4096)
    for size in (100, 4000, 300_000, 100, 5000, 9000, 200):
        with site.published():
            site.mails().deliver("of %d" % size, size=size)
        response = phone.request("Sync", phone.sync_body(
            "INBOX", body_bytes=400_000))
        seen = site.backend.last(cmd="Sync")
        assert hashlib.sha256(response.body).hexdigest() == \
            seen["response_sha"]
        phone.take_sync(response)
    assert phone.start_ping(["INBOX"], 600).is_held(0.5)


@BOTH
def test_requests_that_came_together_are_answered_in_order(site, tls):
    phone = site.in_step(tls=tls)
    body = wbxml.foldersync_request("0")
    wire, since = phone.wire, site.backend.mark()
    wire.send(phone.bytes_of("FolderSync", body) * 3)
    answers = [Pending(wire).wait() for _ in range(3)]
    assert [a.status for a in answers] == [200] * 3
    sent = [e["response_sha"] for e in site.backend.requests(since)]
    assert [hashlib.sha256(a.body).hexdigest() for a in answers] == sent


@BOTH
def test_our_own_answers_are_one_piece(site, tls):
    """At once, by a worker (Status 5) and later, by the keeper."""
    phone = site.in_step(tls=tls)
    phone.foldersync()
    pieces = Pieces(phone.wire)
    assert phone.ping(["INBOX"], 99999).status == 5
    assert pieces.n == 1
    ping = site.hold(phone)
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert pieces.n == 2
