"""A client that speaks HTTP/2: streams of one connection."""
import socket
import ssl
import time

import h2.config
import h2.connection
import h2.errors
import h2.events

from . import wbxml
from .wire import GENEROUS


class H2:
    """One HTTP/2 connection, many streams.
    @param port  None: of the site's Apache, over TLS"""

    def __init__(self, site, name="mail.example.test", port=None):
        context = site.certificate.client()
        context.set_alpn_protocols(["h2"])
        self.name = name
        self.sock = context.wrap_socket(
            socket.create_connection(
                ("127.0.0.1", port or site.httpd.tls_port)),
            server_hostname=name)
        assert self.sock.selected_alpn_protocol() == "h2"
        self.c = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8"))
        self.c.initiate_connection()
        self.done = {}    # stream: (status, body) or ("reset", code)
        self.status, self.body = {}, {}
        self._out()

    def _out(self):
        self.sock.sendall(self.c.data_to_send())

    def request(self, method, path, headers=(), body=b""):
        stream = self.c.get_next_available_stream_id()
        self.c.send_headers(stream, [
            (":method", method), (":path", path), (":scheme", "https"),
            (":authority", self.name)] + [(k.lower(), v) for k, v in headers],
            end_stream=not body)
        if body:
            self.c.send_data(stream, body, end_stream=True)
        self._out()
        return stream

    def ping(self, phone, heartbeat=600):
        headers = [(k, v) for k, v in phone.headers(True) if k != "Host"]
        return self.request("POST", phone.target("Ping"), headers,
                            phone.ping_body(["INBOX"], heartbeat))

    def sync(self, phone):
        headers = [(k, v) for k, v in phone.headers(True) if k != "Host"]
        return self.request("POST", phone.target("Sync"), headers,
                            phone.sync_body("INBOX"))

    def pump(self, within):
        self.sock.settimeout(max(within, 0.001))
        try:
            data = self.sock.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        assert data, "the connection has ended"
        for e in self.c.receive_data(data):
            if isinstance(e, h2.events.ResponseReceived):
                self.status[e.stream_id] = int(dict(e.headers)[":status"])
            elif isinstance(e, h2.events.DataReceived):
                self.body[e.stream_id] = (self.body.get(e.stream_id, b"")
                                          + e.data)
                self.c.acknowledge_received_data(
                    e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded):
                self.done[e.stream_id] = (self.status[e.stream_id],
                                          self.body.get(e.stream_id, b""))
            elif isinstance(e, h2.events.StreamReset):
                self.done.setdefault(e.stream_id, ("reset", e.error_code))
        self._out()

    def wait(self, stream):
        until = time.monotonic() + GENEROUS
        while stream not in self.done:
            assert time.monotonic() < until, "no answer on the stream"
            self.pump(0.2)
        return self.done[stream]

    def answer(self, stream):
        status, body = self.wait(stream)
        assert status == 200, (status, body)
        return wbxml.PingAnswer(body)

    def get(self, path="/page"):
        """Webmail. @return status"""
        return self.wait(self.request("GET", path))[0]

    def reset(self, stream):
        """The phone gives up on this request alone."""
        self.c.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._out()

    def is_held(self, stream, seconds=0.3):
        until = time.monotonic() + seconds
        while stream not in self.done and time.monotonic() < until:
            self.pump(0.05)
        return stream not in self.done

    def close(self):
        self.sock.close()
