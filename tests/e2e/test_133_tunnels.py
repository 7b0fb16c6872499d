"""A proxy in front reuses its connections: one over which a phone's request
came may carry something else next, which does not speak HTTP any more."""
import socket
import threading

import pytest

from dp.wire import http_request


class Talker:
    """Switches protocols, and then says what it is told to."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.peers = []
        self.came = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            got = b""
            while b"\r\n\r\n" not in got:
                got += peer.recv(65536)
            peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\n"
                         b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            self.peers.append(peer)
            self.came.set()

    def close(self):
        self._listener.close()
        for peer in self.peers:
            peer.close()


@pytest.fixture
def talker():
    t = Talker()
    yield t
    t.close()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("after", ["nothing", "a phone"])
def test_a_tunnel_over_a_phones_connection(make_site, talker, tls, after):
    site = make_site(httpd=dict(modules=["proxy_wstunnel"], site=[
        'ProxyPass "/talk" "http://127.0.0.1:%d/talk" upgrade=websocket'
        % talker.port]))
    phone = site.phone(tls=tls)
    if after == "a phone":
        assert phone.foldersync().status == 1
    else:
        phone.connect()
    wire = phone.wire
    start = len(wire.received)
    wire.send(http_request("GET", "/talk", [
        ("Host", "mail.example.test"), ("Upgrade", "websocket"),
        ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
    assert talker.came.wait(20)
    site.wait_until(lambda: (wire.pump(0.1), b"\r\n\r\n" in
                             wire.received[start:])[1], "the switch")
    for word in (b"one", b"two", b"three"):
        talker.peers[0].sendall(word)
        site.wait_until(lambda: (wire.pump(0.1),
                                 wire.received.endswith(word))[1],
                        "the other side's " + word.decode())
    wire.send(b"and back")
    assert talker.peers[0].recv(100) == b"and back"
