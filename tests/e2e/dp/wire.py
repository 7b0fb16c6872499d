"""One TCP or TLS connection of a phone, with full control, and HTTP/1.1 on it.

TLS runs over memory BIOs, so that a test decides which bytes leave in which
segment, can send close_notify without waiting, or drop the connection. Every
byte is kept: `sent` and `received` (clear text). How the peer ended it is in
`ends`: "close_notify", "eof", "reset", in the order of arrival.
"""
import select
import socket
import ssl
import struct
import time
import zlib

GENEROUS = 60  # seconds; a limit for conditions, never a measurement


def _is_readable(sock, within):
    """poll, not select: a load test has thousands of descriptors."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(within * 1000))


class NoAnswer(AssertionError):
    """Nothing, or not all, came in the time that a test allows."""


class ConnectionLost(Exception):
    """The peer ended the connection before the response was complete."""

    def __init__(self, wire, got):
        super().__init__("connection of port %s ended (%s) after %d bytes of "
                         "the response: %r" % (wire.port, wire.ends, len(got),
                                               bytes(got[:200])))
        self.ends = list(wire.ends)
        self.got = bytes(got)


class Wire:
    """A connection. `port` (ours) names it in the server's access log."""

    def __init__(self, address, tls=None, server_name=None, rcvbuf=None,
                 timeout=GENEROUS, record=True, source=None):
        """@param tls  an ssl.SSLContext, or None for plain
        @param rcvbuf  size of the receive buffer; small ones fill soon
        @param record  False for very large responses: `received` is then
                       emptied as responses are read
        @param source  our own address, such as 127.0.0.2"""
        self.sock = socket.socket(
            socket.AF_INET6 if ":" in address[0] else socket.AF_INET,
            socket.SOCK_STREAM)
        if source is not None:
            self.sock.bind((source, 0))
        if rcvbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self.sock.getsockname()[1]
        self.sent = bytearray()
        self.received = bytearray()
        self.record = record
        self.read_at = 0  # start of what no response has consumed
        self.queue = []   # Pendings that have no response yet, in order
        self.ends = []
        self.is_open = True  # on our side
        self.said_close = False  # its last response had Connection: close
        self.tls = None
        if tls is not None:
            self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = tls.wrap_bio(self._in, self._out,
                                    server_hostname=server_name)
            self._handshake(timeout)

    def _handshake(self, timeout):
        until = time.monotonic() + timeout
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill(until)
        self._flush()

    def _flush(self):
        data = self._out.read()
        if data:
            self.sock.sendall(data)

    def _fill(self, until):
        """Wait for bytes of the peer, give them to TLS. @raise NoAnswer"""
        left = max(0, until - time.monotonic())
        if not _is_readable(self.sock, left):
            raise NoAnswer("TLS handshake not finished")
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionLost(self, b"")
        self._in.write(data)

    # --- sending ---

    def send(self, data):
        """All of `data`; with TLS in as few records as possible."""
        self.sent += data
        if self.tls is None:
            self.sock.sendall(data)
            return
        self.tls.write(data)
        self._flush()

    def send_slowly(self, data, step, pause):
        """A slow sender: `step` bytes, then a pause, and so on. Stops when the
        peer ends the connection. @return True when all was sent"""
        for i in range(0, len(data), step):
            if self.ended(within=pause):
                return False
            try:
                self.send(data[i:i + step])
            except (BrokenPipeError, ConnectionResetError):
                self._end("reset")
                return False
        return True

    def send_below_tls(self, data):
        """Bytes that go out as they are, also on a TLS connection."""
        self.sock.sendall(data)

    def encrypt(self, data):
        """TLS records of `data`, not sent: for sending parts of a record."""
        self.tls.write(data)
        return self._out.read()

    def half_close(self):
        """We send no more, but still read."""
        if self.tls is not None:
            self._close_notify()
        self.sock.shutdown(socket.SHUT_WR)

    def _close_notify(self):
        try:
            self.tls.unwrap()
        except (ssl.SSLError, OSError):
            pass  # the answer to our close_notify is not there yet
        try:
            self._flush()
        except OSError:
            pass

    def send_close_notify(self):
        self._close_notify()

    def close(self):
        """Politely, as a phone does that has finished."""
        if self.is_open:
            self.is_open = False
            if self.tls is not None:
                self._close_notify()
            self.sock.close()

    def abort(self):
        """RST, as after a crash of the phone."""
        if self.is_open:
            self.is_open = False
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
            self.sock.close()

    # --- reading ---

    def _end(self, how):
        if how not in self.ends:
            self.ends.append(how)

    @property
    def is_ended(self):
        """The peer sends no more."""
        return bool(self.ends)

    @property
    def was_reset(self):
        return "reset" in self.ends

    @property
    def ended_politely(self):
        """Ended without a reset and, with TLS, after close_notify."""
        return (self.is_ended and not self.was_reset
                and (self.tls is None or self.ends[0] == "close_notify"))

    def pump(self, within):
        """Take in what comes, waiting up to `within` seconds for the first
        byte or the end. @return True when something came"""
        if "eof" in self.ends or "reset" in self.ends or not self.is_open:
            return False
        if not _is_readable(self.sock, max(0, within)):
            return False
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            self._end("reset")
            return True
        if not data:
            self._end("eof")
            return True
        if self.tls is None:
            self.received += data
            return True
        self._in.write(data)
        while True:
            try:
                clear = self.tls.read(1 << 20)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self._end("close_notify")
                break
            if not clear:
                self._end("close_notify")
                break
            self.received += clear
        try:
            self._flush()  # key updates, alerts
        except OSError:
            pass
        return True

    def ended(self, within=GENEROUS):
        """Has the peer ended the connection? Waits up to `within` seconds."""
        until = time.monotonic() + within
        while not self.is_ended:
            left = until - time.monotonic()
            if left <= 0 and within:
                break
            if not self.pump(left) and left <= 0:
                break
        return self.is_ended

    def gone(self, within=GENEROUS):
        """Ended for good: EOF or reset, not just close_notify."""
        until = time.monotonic() + within
        while not {"eof", "reset"} & set(self.ends):
            left = until - time.monotonic()
            if left <= 0:
                break
            self.pump(left)
        return bool({"eof", "reset"} & set(self.ends))

    def is_quiet(self, seconds):
        """Nothing comes and nothing ends for that long. For the one thing that
        can't be waited for: that an answer is *not* given."""
        before = len(self.received)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.pump(until - time.monotonic())
            if len(self.received) != before or self.is_ended:
                return False
        return True


class Response:
    """Status line, headers (get() ignores case), body as sent on the wire with
    chunking undone, `clear` with gzip and deflate undone too."""

    def __init__(self, wire, status, reason, headers, body, raw_head,
                 is_chunked):
        self.wire, self.port = wire, wire.port
        self.status, self.reason = status, reason
        self.headers = headers
        self.body = body
        self.raw_head = raw_head
        self.is_chunked = is_chunked

    def get(self, name, default=None):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return default

    @property
    def clear(self):
        coding = self.get("Content-Encoding", "identity").lower()
        if coding in ("gzip", "x-gzip"):
            return zlib.decompress(self.body, 31)
        if coding == "deflate":
            return zlib.decompress(self.body)
        return self.body

    @property
    def closes(self):
        """Says that the connection ends after it."""
        return "close" in self.get("Connection", "").lower()

    def __repr__(self):
        return "<%d %s, %d bytes, port %d>" % (self.status, self.reason,
                                               len(self.body), self.port)


class Pending:
    """A request that was sent; its response comes in its turn on the wire."""

    def __init__(self, wire, method="POST"):
        self.wire = wire
        self.method = method
        self.sent_at = time.monotonic()
        self.answered_at = None
        self.response = None
        self._head = None
        self._body = bytearray()
        self._pos = None
        wire.queue.append(self)

    def _take(self):
        """Parse what is there. @return True when the response is complete"""
        if self.response is not None:
            return True
        wire = self.wire
        while wire.queue[0] is not self:
            if not wire.queue[0]._take():
                return False
        if self._head is None and not self._take_head():
            return False
        if not self._take_body():
            return False
        status, reason, headers, raw, chunked = self._head
        self.response = Response(wire, status, reason, headers,
                                 bytes(self._body), raw, chunked)
        self.answered_at = time.monotonic()
        wire.said_close = self.response.closes
        wire.read_at = self._pos
        wire.queue.pop(0)
        if not wire.record:
            del wire.received[:wire.read_at]
            wire.read_at = 0
        return True

    def _take_head(self):
        buf, start = self.wire.received, self.wire.read_at
        end = buf.find(b"\r\n\r\n", start)
        if end < 0:
            return False
        lines = bytes(buf[start:end]).decode("latin-1").split("\r\n")
        version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
        assert version.startswith("HTTP/1."), lines[0]
        headers = [tuple(p.strip() for p in line.split(":", 1))
                   for line in lines[1:]]
        if 100 <= int(status) < 200:
            self.wire.read_at = end + 4
            return self._take_head()
        get = {k.lower(): v for k, v in headers}
        chunked = "chunked" in get.get("transfer-encoding", "").lower()
        self._head = (int(status), reason, headers, bytes(buf[start:end + 4]),
                      chunked)
        self._pos = end + 4
        if chunked:
            self._length = "chunked"
        elif (self.method == "HEAD" or int(status) in (204, 304)):
            self._length = 0
        elif "content-length" in get:
            self._length = int(get["content-length"])
        else:
            self._length = "eof"
        return True

    def _take_body(self):
        buf, wire = self.wire.received, self.wire
        if self._length == "eof":
            if not wire.is_ended:
                return False
            self._body = bytearray(buf[self._pos:])
            self._pos = len(buf)
            return True
        if self._length != "chunked":
            if len(buf) - self._pos < self._length:
                return False
            self._body = bytearray(buf[self._pos:self._pos + self._length])
            self._pos += self._length
            return True
        while True:
            line = buf.find(b"\r\n", self._pos)
            if line < 0:
                return False
            size = int(bytes(buf[self._pos:line]).split(b";")[0], 16)
            if size == 0:
                end = buf.find(b"\r\n", line + 2)
                if end < 0:
                    return False
                if end == line + 2:
                    self._pos = end + 2
                    return True
                end = buf.find(b"\r\n\r\n", line + 2)  # trailers
                if end < 0:
                    return False
                self._pos = end + 4
                return True
            if len(buf) < line + 2 + size + 2:
                return False
            self._body += buf[line + 2:line + 2 + size]
            self._pos = line + 2 + size + 2

    def is_answered(self, within=0):
        """Complete response there? Waits up to `within` seconds."""
        until = time.monotonic() + within
        while not self._take():
            left = until - time.monotonic()
            if self.wire.is_ended or (not self.wire.pump(left) and left <= 0):
                return self._take()
        return True

    def wait(self, timeout=GENEROUS):
        """The response. @raise NoAnswer, ConnectionLost"""
        if self.is_answered(timeout):
            return self.response
        if self.wire.is_ended or not self.wire.is_open:
            raise ConnectionLost(self.wire,
                                 self.wire.received[self.wire.read_at:])
        raise NoAnswer("no complete response within %s s on port %d; so far "
                       "%r" % (timeout, self.wire.port, bytes(
                           self.wire.received[self.wire.read_at:][:200])))

    def is_held(self, seconds):
        """No answer and no end of the connection for that long."""
        return not self.is_answered() and self.wire.is_quiet(seconds)


def http_request(method, target, headers, body=b"", chunked=False):
    """Bytes of a request. `headers` is a list of pairs; Content-Length comes
    by itself unless one of them sets it."""
    lines = ["%s %s HTTP/1.1" % (method, target)]
    lines += ["%s: %s" % pair for pair in headers]
    given = {k.lower() for k, _ in headers}
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        step = 7
        body = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + step]),
                                           body[i:i + step])
                        for i in range(0, len(body), step)) + b"0\r\n\r\n"
    elif method == "POST" and "content-length" not in given:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
