"""A CalDAV server that misbehaves as told, with whole-second tags like SOGo's,
for what no real server does on demand."""
import http.server
import ssl
import threading
import time

RESPONSE = (
    '<D:response><D:href>%s</D:href><D:propstat><D:status>HTTP/1.1 200 OK'
    '</D:status><D:prop><D:resourcetype><D:collection/>%s</D:resourcetype>'
    '<S:getctag>%s</S:getctag><D:sync-token>%s</D:sync-token></D:prop>'
    '</D:propstat></D:response>')
ITEM = ('<D:response><D:href>%s</D:href><D:propstat><D:prop><D:getetag>%s'
        '</D:getetag></D:prop><D:status>HTTP/1.1 200 OK</D:status>'
        '</D:propstat></D:response>')
CUT = ('<D:response><D:href>%s</D:href><D:status>HTTP/1.1 507 Insufficient '
       'Storage</D:status><D:error><D:number-of-matches-within-limits/>'
       '</D:error></D:response>')  # RFC 6578, 3.6
MULTISTATUS = (
    '<?xml version="1.0"?><D:multistatus xmlns:D="DAV:" '
    'xmlns:C="urn:ietf:params:xml:ns:caldav" '
    'xmlns:A="urn:ietf:params:xml:ns:carddav" '
    'xmlns:S="http://calendarserver.org/ns/">%s</D:multistatus>')
BOMB = ('<?xml version="1.0"?><!DOCTYPE D [<!ENTITY a "aaaaaaaaaa">'
        + "".join('<!ENTITY %s "%s">' % (b, ("&%s;" % a) * 10)
                  for a, b in zip("abcdefgh", "bcdefghi"))
        + ']><D:multistatus xmlns:D="DAV:"><D:response><D:href>&i;</D:href>'
        '</D:response></D:multistatus>')


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server.of
        server.seen.append((self.command, self.path,
                            self.headers.get("Authorization")))
        if server.hangs:
            server.waiting += 1
            server.released.wait()
            self.answer()
            server.waiting -= 1
        else:
            self.answer()

    def answer(self):
        server = self.server.of
        status, headers, body = server.answer(self.command, self.path)
        body = body.encode()
        self.send_response(status)
        for pair in headers:
            self.send_header(*pair)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    do_PROPFIND = do_REPORT = do_GET = do

    def log_message(self, *_):
        pass


class DavServer:
    """Collections {home: {name: tag}}; `says` (status, headers, body) instead
    of all that. `items`: what a REPORT lists, or None: not offered; `most`:
    so many of them, the rest is cut off (0: 507 instead)."""

    def __init__(self):
        self.homes = {"Calendar": {"personal": "tag-1"},
                      "Contacts": {"personal": "tag-1"}}
        self.items, self.says, self.hangs = None, None, False
        self.most = None
        self.seen, self.waiting = [], 0  # hanging ones
        self.released = threading.Event()
        self.port = 0
        self.start()

    def start(self):
        """Anew, after stop(): on the same port."""
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", self.port),
                                                    Handler)
        self.http.daemon_threads = True
        self.http.of = self
        self.http.handle_error = lambda *_: None  # hang-ups are wanted
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def use_tls(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        self.http.socket = context.wrap_socket(
            self.http.socket, server_side=True, do_handshake_on_connect=False)

    def answer(self, method, path):
        if self.says:
            return self.says
        parts = path.strip("/").split("/")  # dav, USER, home, name
        xml = ("Content-Type", "text/xml")
        collections = self.homes.get(parts[2], {}) if len(parts) > 2 else {}
        if method == "REPORT":
            if self.items is None:
                return 501, [], ""
            tag, items = collections[parts[3]], list(self.items)
            is_cut = self.most is not None and len(items) > self.most
            if is_cut and not self.most:
                return 507, [], ""
            responses = "".join(ITEM % pair for pair in items[:self.most])
            if is_cut:
                responses += CUT % path
                tag = "after the first %d" % self.most
            return 207, [xml], MULTISTATUS % (
                responses + "<D:sync-token>%s</D:sync-token>" % tag)
        kind = "<C:calendar/>" if parts[2] == "Calendar" else "<A:addressbook/>"
        return 207, [xml], MULTISTATUS % "".join(
            RESPONSE % (path + name + "/", kind, tag, tag)
            for name, tag in list(collections.items()))

    def change(self, name="personal", home="Calendar", tag=None):
        self.homes[home][name] = tag or "tag-%d" % time.monotonic_ns()

    def looks(self, what="Calendar"):
        return sum(what in path for _, path, _ in list(self.seen))

    def stop(self):
        self.released.set()
        self.http.shutdown()
        self.http.server_close()
