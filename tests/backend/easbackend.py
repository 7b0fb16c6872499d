#!/usr/bin/python3
"""An Exchange ActiveSync server over Maildirs, for tests and the demo.

THIS IS A FIXTURE. It speaks enough ActiveSync for a phone to see its mail,
keeps all state in memory, stores passwords in clear text, and misbehaves when
told to. Never let it near the Internet or real mail.

    easbackend.py --mail-root DIR --users FILE [--port 8080]

DIR/USER/Maildir are the mailboxes; FILE has a line `user:password` for each
user. The control URL, on loopback only, is /_control:

    GET  /_control             state: settings, rules, gates, requests open
    GET  /_control/log?since=N all requests from number N on
    POST /_control             a JSON object, see Control below
"""
import argparse
import base64
import gzip
import hashlib
import http.server
import json
import os
import select
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
import urllib.parse
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "e2e"))

from dp import wbxml  # noqa: E402
from eascommands import Commands, HttpError  # noqa: E402
from mailstore import MailStore  # noqa: E402

PATH = "/microsoft-server-activesync"
GATE_MAX_S = 120    # a forgotten gate opens by itself
BODY_KEPT = 65536   # bytes of a request body that the log keeps
BODY_MAX = 512 << 20
VERSIONS = "2.5,12.0,12.1,14.0,14.1"
COMMANDS = ("Sync,SendMail,SmartForward,SmartReply,FolderSync,FolderCreate,"
            "FolderDelete,FolderUpdate,MoveItems,GetItemEstimate,Settings,"
            "Ping,ItemOperations,Provision")
CODES = {0: "Sync", 1: "SendMail", 2: "SmartForward", 3: "SmartReply",
         4: "GetAttachment", 9: "FolderSync", 10: "FolderCreate",
         11: "FolderDelete", 12: "FolderUpdate", 13: "MoveItems",
         14: "GetItemEstimate", 15: "MeetingResponse", 16: "Search",
         17: "Settings", 18: "Ping", 19: "ItemOperations", 20: "Provision",
         21: "ResolveRecipients", 22: "ValidateCert"}
TAGS = {0: "attachmentname", 1: "collectionid", 3: "itemid", 4: "longid",
        5: "parentid", 6: "occurrence", 7: "options", 8: "user"}
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized",
           403: "Forbidden", 404: "Not Found",
           449: "Retry after sending a PROVISION command",
           500: "Internal Server Error", 501: "Not Implemented",
           502: "Bad Gateway", 503: "Service Unavailable"}

DEFAULTS = {
    "id_style": "sogo",         # or "zpush": ids and habits of that server
    "omit_unchanged": False,    # leave unchanged collections out of answers
    "never_empty_sync": False,  # no empty 200 for "nothing new"
    "require_provision": False, # 449 without a valid policy key
    "ping_interval": 1.0,       # seconds between two looks of a Ping
    "ping_heartbeat": [1, 3540],
    "sync_heartbeat": [1, 3540],
    "max_folders": 300,
    "select_moves": True,       # looking at a folder empties new/ into cur/
    "lag": 0.0,                 # seconds until a new mail, or flag, shows
    "restless": 0.0,            # how likely a mail that has not changed goes
                                # down with those that have
    "keepalive": True,          # False: close after each answer, as sogod
}


class Users:
    """Names and passwords; a login is taken as `DOMAIN\\user`, `user@domain`
    or `user`, in any case."""

    def __init__(self, passwords):
        self.passwords = dict(passwords)

    @classmethod
    def load(cls, file):
        passwords = {}
        with open(file, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                line = line.rstrip("\r\n")
                if not line.strip() or line.startswith("#"):
                    continue
                name, colon, password = line.partition(":")
                if not colon or not name:
                    raise ValueError("%s, line %d: expected `user:password`"
                                     % (file, number))
                passwords[name.lower()] = password
        if not passwords:
            raise ValueError("%s names no user; write lines like "
                             "`alice:secret`" % file)
        return cls(passwords)

    def names(self):
        return set(self.passwords)

    def check(self, authorization):
        """@return the mailbox user, or None"""
        kind, _, value = (authorization or "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            login, _, password = base64.b64decode(value).partition(b":")
        except ValueError:
            return None
        login = login.decode("utf-8", "replace").lower().rpartition("\\")[2]
        for name in (login, login.partition("@")[0]):
            if name in self.passwords:
                if self.passwords[name].encode() == password:
                    return name
                return None
        return None


class Control:
    """Settings, misbehaviour, the log: all that tests switch and read.

    POST takes any of
      set: {name: value}     settings, see DEFAULTS
      rules: [rule, …]       replaces all rules; add_rule: one more
      clear: true            no rules; all gates open
      open: name or [names]  opens gates
      freeze / thaw: user    that user's folders look as now / as they are
      user: {name: password or null}
      pim_add: {user, class, subject}   an entry in Calendar, Contacts, Tasks
      forget_device: {user, device}     as after a loss of state
      forget_log: true
      end_holds: true        Pings and hanging Syncs end as if superseded

    A rule is an object. `cmd` (a name, a list, or absent for all), `user`,
    `device` say what it applies to, `times` how often (default: always). The
    first rule that fits applies. Its effects:
      status: N              this HTTP status, no body; `headers` too
      wbxml_status: N        200 with this Status alone under the root
      body_hex: "…"          200 with these bytes
      empty: true            200 without a body
      gate_before: name      wait until opened, before looking at anything
      gate_headers: name     … before the status line, answer made already
      gate_body: name        … in the middle of the body
      pause_headers: s       wait so long before the status line
      trickle: [n, s]        body in pieces of n bytes with pauses of s
      chunked, gzip, deflate: true
      length: N              add N to the true Content-Length, then close
      cut: true              send half the body, close
      reset: true            the same with a reset
      huge: N                N more bytes in one item of a Sync answer
      headers: {name: value}
      ignore: true           don't run the command (with status 200: no body)
    """

    def __init__(self, store, users, settings):
        self.store, self.users, self.settings = store, users, settings
        self.lock = threading.Condition()
        self.rules = []
        self.gates = {}    # name -> is open
        self.waiting = {}  # name -> number of requests there
        self.log = []
        self.numbers = 0
        self.commands = None

    def state(self):
        with self.lock:
            return {"settings": dict(self.settings), "rules": self.rules,
                    "gates": self.gates, "waiting": self.waiting,
                    "open": [e for e in self.log if not e["done"]],
                    "requests": len(self.log)}

    def post(self, wish):
        known = {"set", "rules", "add_rule", "clear", "open", "freeze",
                 "thaw", "user", "pim_add", "forget_device", "forget_log",
                 "end_holds"}
        unknown = set(wish) - known
        if unknown:
            raise ValueError("unknown: %s; known are %s" % (
                ", ".join(sorted(unknown)), ", ".join(sorted(known))))
        for name in wish.get("set", {}):
            if name not in self.settings:
                raise ValueError("no setting %s; there are %s" % (
                    name, ", ".join(sorted(self.settings))))
        with self.lock:
            self.settings.update(wish.get("set", {}))
            self.store.lag = float(self.settings["lag"])
            self.store.select_moves = self.settings["select_moves"]
            self.store.id_style = self.settings["id_style"]
            if wish.get("clear"):
                self.rules = []
                self.gates = {name: True for name in self.waiting}
            if "rules" in wish:
                self.rules = list(wish["rules"])
            if "add_rule" in wish:
                self.rules.append(wish["add_rule"])
            for rule in wish.get("rules", []) + [wish.get("add_rule", {})]:
                for key in ("gate_before", "gate_headers", "gate_body"):
                    if key in rule:
                        self.gates[rule[key]] = False
            names = wish.get("open", [])
            for name in [names] if isinstance(names, str) else names:
                self.gates[name] = True
            for name, password in wish.get("user", {}).items():
                if password is None:
                    self.users.passwords.pop(name, None)
                else:
                    self.users.passwords[name] = password
            if wish.get("forget_log"):
                self.log = [e for e in self.log if not e["done"]]
            self.lock.notify_all()
        if "freeze" in wish:
            self.store.freeze(wish["freeze"])
        if "thaw" in wish:
            self.store.thaw(wish["thaw"])
        if "pim_add" in wish:
            self._pim_add(**{("class_" if k == "class" else k): v
                             for k, v in wish["pim_add"].items()})
        if "forget_device" in wish:
            who = wish["forget_device"]
            self.commands.devices.pop((who["user"], who["device"].lower()),
                                      None)
        if wish.get("end_holds"):
            for device in list(self.commands.devices.values()):
                with device.lock:
                    device.hanging += 1
        return self.state()

    def _pim_add(self, user, class_, subject):
        for folder in self.store.folders(user).values():
            if folder.kind == class_:
                tag = {"Calendar": "Calendar:Subject",
                       "Contacts": "Contacts:FileAs"}.get(
                           class_, "Tasks:tok_20")
                self.store.pim_put(user, folder.id, wbxml.Node(
                    "AirSync:ApplicationData", wbxml.Node(tag, subject)))
                return
        raise ValueError("no collection of class %s" % class_)

    def rule_for(self, entry):
        with self.lock:
            for rule in self.rules:
                cmds = rule.get("cmd")
                cmds = [cmds] if isinstance(cmds, str) else cmds
                if ((cmds is None or entry["cmd"] in cmds)
                        and rule.get("user", entry["user"]) == entry["user"]
                        and rule.get("device", entry["device"]).lower()
                        == entry["device"].lower()
                        and rule.get("times", -1) != 0):
                    if rule.get("times", -1) > 0:
                        rule["times"] -= 1
                    return dict(rule)
        return {}

    def pass_gate(self, name, is_gone):
        """Wait at a gate until it is open, or the client has left."""
        if name is None:
            return
        until = time.monotonic() + GATE_MAX_S
        with self.lock:
            self.gates.setdefault(name, False)
            self.waiting[name] = self.waiting.get(name, 0) + 1
            self.lock.notify_all()
            while (not self.gates.get(name, True)
                   and time.monotonic() < until and not is_gone()):
                self.lock.wait(0.05)
            self.waiting[name] -= 1

    def begin(self, entry):
        with self.lock:
            self.numbers += 1
            entry["n"] = self.numbers
            self.log.append(entry)

    def answers(self, entry, status):
        """Before the first byte leaves: who has the answer finds it here."""
        with self.lock:
            entry["status"] = status

    def done(self, entry, **what):
        with self.lock:
            entry.update(what, done=True, ended=time.monotonic())


class Huge:
    """A body of which one part is `n` bytes that are made as they are sent."""
    BLOCK = (b"0123456789abcdef" * 4096)

    def __init__(self, before, n, after):
        self.before, self.n, self.after = before, n, after

    def __len__(self):
        return len(self.before) + self.n + len(self.after)

    def pieces(self):
        yield self.before
        left = self.n
        while left > 0:
            yield self.BLOCK[:left]
            left -= len(self.BLOCK)
        yield self.after


def enlarge(body, n):
    """Put an item with an n byte body into the answer of a Sync."""
    if not body:
        return body
    mark = b"\xffhere comes the large part\xff"
    root = wbxml.decode(body)
    collection = root.find("Collections", "Collection")
    commands = collection.find("Commands")
    if commands is None:
        commands = wbxml.A("Commands")
        collection.add(commands)
    B = wbxml.page("AirSyncBase")
    commands.add(wbxml.A(
        "Add", wbxml.A("ServerId", "huge"), wbxml.A(
            "ApplicationData", wbxml.Node("Email:Subject", "huge"),
            B("Body", B("Type", 4), B("Data", wbxml.Opaque(mark))))))
    encoded = wbxml.encode(root)
    at = encoded.index(mark)
    head = encoded[:at - 1 - len(wbxml.mb_u_int32(len(mark)))]
    return Huge(head + b"\xc3" + wbxml.mb_u_int32(n), n,
                encoded[at + len(mark):])


class Context:
    """One command: who, what, and whether the client is still there."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "easbackend (a test fixture)"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format, *args):
        if self.server.is_verbose:
            super().log_message(format, *args)

    # --- requests ---

    def parse_query(self, query):
        """{lower case name: value} of either form; {} when it is neither."""
        query = urllib.parse.unquote(query) if "&" not in query and \
            "=" not in query.rstrip("=") and "%" in query else query
        if "&" not in query and "cmd=" not in query.lower():
            try:
                return self._parse_base64(base64.b64decode(query,
                                                           validate=True))
            except (ValueError, IndexError, struct.error):
                return {}
        out = {}
        for name, value in urllib.parse.parse_qsl(
                query, keep_blank_values=True):
            out.setdefault(name.lower(), value)
        return out

    @staticmethod
    def _parse_base64(data):
        out = {"version": "%d.%d" % divmod(data[0], 10),
               "cmd": CODES[data[1]]}
        pos = 4

        def field():
            nonlocal pos
            n = data[pos]
            value = data[pos + 1:pos + 1 + n]
            if len(value) != n:
                raise ValueError("cut")
            pos += 1 + n
            return value
        device = field()
        out["deviceid"] = device.decode() if device.isalnum() else device.hex()
        key = field()
        if len(key) not in (0, 4):
            raise ValueError("policy key")
        if key:
            out["policykey"] = str(struct.unpack("<I", key)[0])
        out["devicetype"] = field().decode("latin-1")
        while pos < len(data):
            tag = TAGS.get(data[pos], "tag%d" % data[pos])
            pos += 1
            out[tag] = field().decode("utf-8", "replace")
        return out

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            out = bytearray()
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return bytes(out)
                out += self.rfile.read(size)
                self.rfile.readline()
                if len(out) > BODY_MAX:
                    raise ValueError("body too large")
        n = int(self.headers.get("Content-Length") or 0)
        if n > BODY_MAX:
            raise ValueError("body too large")
        body = self.rfile.read(n)
        if len(body) != n:
            raise ConnectionResetError("request body cut")
        return body

    def is_gone(self):
        """Has the client hung up? (Its next request does not count.)"""
        try:
            if not select.select([self.connection], [], [], 0)[0]:
                return False
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def do_GET(self):
        if self.path.startswith("/_control"):
            return self.control(None)
        return self.plain(405, "This is the fixture backend of "
                          "mod_directpush's tests; it speaks ActiveSync.\n")

    def do_POST(self):
        try:
            body = self.read_body()
        except (ValueError, OSError):
            self.close_connection = True
            return None
        if self.path.startswith("/_control"):
            return self.control(body)
        return self.eas(body)

    def do_OPTIONS(self):
        return self.eas(self.read_body())

    def plain(self, status, text, type_="text/plain"):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", type_)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def control(self, body):
        control = self.server.control
        if self.client_address[0] != "127.0.0.1" \
                or "X-Forwarded-For" in self.headers:
            return self.plain(403, "only from this machine\n")
        url = urllib.parse.urlsplit(self.path)
        try:
            if body is None:
                if url.path == "/_control/log":
                    since = int(dict(urllib.parse.parse_qsl(
                        url.query)).get("since", "0"))
                    with control.lock:
                        answer = json.dumps([e for e in control.log
                                             if e["n"] >= since])
                else:
                    answer = json.dumps(control.state())
            else:
                answer = json.dumps(control.post(json.loads(body)))
        except (ValueError, KeyError, TypeError) as e:
            return self.plain(400, "%s\n" % e)
        return self.plain(200, answer + "\n", "application/json")

    # --- ActiveSync ---

    def eas(self, body):
        server, control = self.server, self.server.control
        url = urllib.parse.urlsplit(self.path)
        query = self.parse_query(url.query)
        auth = self.headers.get("Authorization")
        user = server.users.check(auth)
        is_options = self.command == "OPTIONS"
        entry = {
            "user": user, "auth": None if auth is None else
            hashlib.sha256(auth.encode("latin-1")).hexdigest()[:16],
            "method": self.command, "path": url.path, "query": url.query,
            "cmd": "OPTIONS" if is_options else query.get("cmd", ""),
            "device": query.get("deviceid", ""),
            "version": query.get("version") or self.headers.get(
                "MS-ASProtocolVersion", "2.5"),
            "headers": [[k, v] for k, v in self.headers.items()
                        if k.lower() != "authorization"],
            "body_len": len(body),
            "body_sha": hashlib.sha256(body).hexdigest(),
            "body_hex": body.hex() if len(body) <= BODY_KEPT else None,
            "port": self.client_address[1],
            "began": time.monotonic(), "done": False}
        control.begin(entry)
        rule = control.rule_for(entry)
        try:
            control.pass_gate(rule.get("gate_before"), self.is_gone)
            status, reason, headers, out = self.answer(entry, rule, query,
                                                       body)
            self.reply(entry, rule, status, reason, headers, out)
        except (ConnectionError, OSError) as e:
            self.close_connection = True
            control.done(entry, error=str(e) or type(e).__name__)
        except Exception as e:  # a bug of the fixture: tell it loudly
            control.done(entry, error=repr(e))
            self.close_connection = True
            raise

    def answer(self, entry, rule, query, body):
        """@return (status, reason, headers, body)"""
        server = self.server
        headers = []
        if "status" in rule:
            status = rule["status"]
            if status == 401:
                headers.append(("WWW-Authenticate", 'Basic realm="fixture"'))
            return status, REASONS.get(status, "Told To"), headers, b""
        path = entry["path"].lower().rstrip("/")
        if path.endswith("/default.eas"):
            path = path[:-len("/default.eas")]
        if path != server.path:
            return 404, "Not Found", headers, b""
        if entry["user"] is None:
            return 401, "Unauthorized", [
                ("WWW-Authenticate", 'Basic realm="fixture"')], b""
        if entry["cmd"] == "OPTIONS":
            return 200, "OK", [
                ("MS-ASProtocolVersions", VERSIONS),
                ("MS-ASProtocolCommands", COMMANDS),
                ("Public", "OPTIONS,POST"), ("Allow", "OPTIONS,POST")], b""
        if not entry["cmd"] or not entry["device"]:
            return 400, "Cmd or DeviceId is missing", headers, b""
        if rule.get("ignore"):
            return 200, "OK", headers, b""
        ctx = Context()
        ctx.user, ctx.cmd, ctx.body, ctx.query = (entry["user"], entry["cmd"],
                                                  body, query)
        ctx.content_type = self.headers.get("Content-Type")
        ctx.device = server.commands.device(ctx.user, entry["device"])
        try:
            ctx.version = float(entry["version"])
        except ValueError:
            ctx.version = 2.5
        key = query.get("policykey") or self.headers.get("X-MS-PolicyKey")
        ctx.policy_key = int(key) if key and key.isdigit() else 0
        ctx.is_gone = self.is_gone
        try:
            if self.headers.get("Content-Encoding", "").lower() == "gzip":
                ctx.body = gzip.decompress(body)
            out = server.commands.run(ctx)
        except HttpError as e:
            return e.status, e.reason or REASONS.get(e.status, ""), \
                list(e.headers), b""
        except (ValueError, zlib.error, EOFError) as e:
            return 400, "Bad Request: %s" % str(e).replace("\n", " "), \
                headers, b""
        if "wbxml_status" in rule:
            roots = {"Sync": "AirSync:Sync", "Ping": "Ping:Ping",
                     "MoveItems": "Move:MoveItems",
                     "GetItemEstimate": "GetItemEstimate:GetItemEstimate",
                     "Settings": "Settings:Settings",
                     "Provision": "Provision:Provision"}
            root = roots.get(ctx.cmd, "FolderHierarchy:" + ctx.cmd)
            out = wbxml.encode(wbxml.Node(root, wbxml.Node(
                root.split(":")[0] + ":Status", rule["wbxml_status"])))
        if "body_hex" in rule:
            out = bytes.fromhex(rule["body_hex"])
        if rule.get("empty"):
            out = b""
        if "huge" in rule and ctx.cmd == "Sync":
            out = enlarge(out, rule["huge"])
        return 200, "OK", headers, out

    def reply(self, entry, rule, status, reason, headers, out):
        control, settings = self.server.control, self.server.settings
        if "pause_headers" in rule:
            time.sleep(rule["pause_headers"])
        control.pass_gate(rule.get("gate_headers"), self.is_gone)
        pieces, length = self.coded(rule, out, headers)
        if settings["id_style"] == "sogo" and status == 200 \
                and entry["cmd"] != "OPTIONS":
            headers += [("MS-ASProtocolVersions", VERSIONS),
                        ("MS-ASProtocolCommands", COMMANDS)]
        if len(out):
            headers.append(("Content-Type", "application/vnd.ms-sync.wbxml"))
        headers += [("Cache-Control", "private")]
        headers += list(rule.get("headers", {}).items())
        chunked = (rule.get("chunked") or length is None) and (
            self.request_version != "HTTP/1.0")
        breaks = rule.get("cut") or rule.get("reset") or rule.get("length")
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif length is not None:
            headers.append(("Content-Length",
                            str(length + rule.get("length", 0))))
        if breaks or not settings["keepalive"] or (
                not chunked and length is None):
            headers.append(("Connection", "close"))
            self.close_connection = True
        control.answers(entry, status)
        self.send_response_only(status, reason)
        self.send_header("Server", self.version_string())
        self.send_header("Date", self.date_time_string())
        self.send_header("MS-Server-ActiveSync", "14.1")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        sha, sent = self.send_body(rule, pieces, length, chunked)
        if rule.get("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            self.server.to_reset.add(self.connection.fileno())
        control.done(entry, status=status, response_len=sent,
                     response_sha=sha, clear_len=len(out))

    def coded(self, rule, out, headers):
        """The body's pieces after Content-Encoding, and their length."""
        pieces = out.pieces() if isinstance(out, Huge) else iter([out])
        if not len(out) or not (rule.get("gzip") or rule.get("deflate")):
            return pieces, len(out)
        coding = "gzip" if rule.get("gzip") else "deflate"
        headers.append(("Content-Encoding", coding))

        def squeeze():
            z = zlib.compressobj(1, zlib.DEFLATED,
                                 31 if coding == "gzip" else 15)
            for piece in pieces:
                data = z.compress(piece)
                if data:
                    yield data
            yield z.flush()
        if isinstance(out, Huge):
            return squeeze(), None
        data = b"".join(squeeze())
        return iter([data]), len(data)

    def send_body(self, rule, pieces, length, chunked):
        """@return (sha256, bytes) of the body as sent, without chunking"""
        sha, sent = hashlib.sha256(), 0
        stop = length // 2 if length and (rule.get("cut") or rule.get(
            "reset")) else None
        middle = (length or 0) // 2 if "gate_body" in rule else None
        step, pause = rule.get("trickle", (None, 0))

        def put(data):
            nonlocal sent
            if not data:
                return
            sha.update(data)
            sent += len(data)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data)
                             if chunked else data)
            if step or "gate_body" in rule:
                self.wfile.flush()

        for piece in pieces:
            if middle is not None and sent <= middle < sent + len(piece):
                first = middle - sent
                put(piece[:first])
                piece = piece[first:]
                self.wfile.flush()
                self.server.control.pass_gate(rule["gate_body"],
                                              self.is_gone)
                middle = None
            if stop is not None and sent + len(piece) > stop:
                put(piece[:stop - sent])
                break
            if step:
                for i in range(0, len(piece), step):
                    put(piece[i:i + step])
                    time.sleep(pause)
            else:
                put(piece)
        else:
            if chunked and not rule.get("cut") and not rule.get("reset"):
                self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        return sha.hexdigest(), sent


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, address, mail_root, users, path=PATH, pim=True,
                 settings=None, is_verbose=False):
        self.settings = dict(DEFAULTS, **(settings or {}))
        self.users = users
        self.path = path.lower().rstrip("/")
        self.is_verbose = is_verbose
        template = mail_root if "%" in mail_root else os.path.join(
            mail_root, "%u", "Maildir")
        store = MailStore(template, self.settings["id_style"], pim)
        self.control = Control(store, users, self.settings)
        self.commands = Commands(store, self.settings, users)
        self.control.commands = self.commands
        self.to_reset = set()
        super().__init__(address, Handler)

    def shutdown_request(self, request):
        if request.fileno() in self.to_reset:
            self.to_reset.discard(request.fileno())
            self.close_request(request)  # no FIN first
        else:
            super().shutdown_request(request)

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)  # looks up no names
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def arguments(argv):
    p = argparse.ArgumentParser(
        description="A fixture: ActiveSync over Maildirs, for the tests and "
        "the demo of mod_directpush. Not for real use.")
    p.add_argument("--mail-root", required=True, metavar="DIR",
                   help="holds USER/Maildir; or a pattern with %%u, %%n, %%d")
    p.add_argument("--users", required=True, metavar="FILE",
                   help="lines of user:password")
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=0, help="0: any free one")
    p.add_argument("--port-file", metavar="FILE",
                   help="write the port there once it listens")
    p.add_argument("--path", default="/Microsoft-Server-ActiveSync")
    p.add_argument("--id-style", choices=("sogo", "zpush", "horde"), default="sogo",
                   help="what folder ids look like")
    p.add_argument("--no-pim", action="store_true",
                   help="no calendar, tasks and contacts in the folder list")
    p.add_argument("-v", "--verbose", action="store_true",
                   help="a line for each request")
    return p.parse_args(argv)


def main(argv=None):
    args = arguments(argv)

    def fail(text):
        sys.stderr.write("easbackend: %s\n" % text)
        return 1
    try:
        users = Users.load(args.users)
    except (OSError, ValueError) as e:
        return fail(e)
    if "%" not in args.mail_root and not os.path.isdir(args.mail_root):
        return fail("%s is no directory; make it, with USER/Maildir for each "
                    "user" % args.mail_root)
    try:
        server = Server((args.host, args.port), args.mail_root, users,
                        args.path, not args.no_pim,
                        {"id_style": args.id_style}, args.verbose)
    except OSError as e:
        return fail("cannot listen on %s port %d: %s" % (args.host, args.port,
                                                         e.strerror))
    for name in sorted(users.names()):
        root = server.commands.store.root(name)
        if not os.path.isdir(os.path.join(root, "cur")):
            sys.stderr.write("easbackend: note: %s of user %s is no Maildir "
                             "(yet)\n" % (root, name))
    port = server.server_address[1]
    if args.port_file:
        with open(args.port_file + ".tmp", "w") as f:
            f.write("%d\n" % port)
        os.rename(args.port_file + ".tmp", args.port_file)
    if args.verbose or not args.port_file:
        sys.stderr.write("easbackend: listening on http://%s:%d%s\n"
                         % (args.host, port, args.path))

    def stop(signum, frame):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, stop)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
