"""A phone: one device of one user, as the specification describes it.

It keeps its sync keys, folders and mails, uses one connection until that ends,
and leaves every single step to the test.

    phone.sync_until_done("INBOX")
    ping = phone.start_ping(["INBOX"], heartbeat=600)
    assert ping.is_held(0.5)
    mails.deliver("hello")
    assert ping.answer().status == 2
"""
import base64
import itertools
import struct
import urllib.parse

from . import wbxml
from .wire import (ConnectionLost, GENEROUS, NoAnswer, Pending, Wire,
                   http_request)

__all__ = ["Phone", "PendingPing", "Endpoint", "ConnectionLost", "NoAnswer",
           "base64_query", "GENEROUS"]

PATH = "/Microsoft-Server-ActiveSync"
WBXML_TYPE = "application/vnd.ms-sync.wbxml"

COMMAND_CODES = {
    "Sync": 0, "SendMail": 1, "SmartForward": 2, "SmartReply": 3,
    "GetAttachment": 4, "FolderSync": 9, "FolderCreate": 10,
    "FolderDelete": 11, "FolderUpdate": 12, "MoveItems": 13,
    "GetItemEstimate": 14, "MeetingResponse": 15, "Search": 16,
    "Settings": 17, "Ping": 18, "ItemOperations": 19, "Provision": 20,
    "ResolveRecipients": 21, "ValidateCert": 22}

_device_numbers = itertools.count(1)


class Endpoint:
    """Where a server is: `tls` is an ssl.SSLContext or None; `name` is the
    virtual host, for Host and SNI."""

    def __init__(self, port, name="mail.example.test", tls=None,
                 host="127.0.0.1"):
        self.address = (host, port)
        self.name = name
        self.tls = tls

    def connect(self, **kw):
        return Wire(self.address, self.tls, self.name, **kw)


def base64_query(cmd, device_id, device_type="SmartPhone", version="14.1",
                 policy_key=None, user=None, locale=0x0409, parameters=()):
    """The query of [MS-ASHTTP] 2.2.1.1.1.1: one base64 value.
    @param device_id  str (ASCII) or bytes
    @param parameters  further (tag, value bytes)"""
    if isinstance(device_id, str):
        device_id = device_id.encode("ascii")
    out = bytes([int(version.replace(".", "")), COMMAND_CODES[cmd]])
    out += struct.pack("<H", locale)
    out += bytes([len(device_id)]) + device_id
    if policy_key is None:
        out += b"\0"
    else:
        out += b"\4" + struct.pack("<I", policy_key)
    out += bytes([len(device_type)]) + device_type.encode("ascii")
    for tag, value in parameters:
        out += bytes([tag, len(value)]) + value
    if user is not None:
        out += bytes([8, len(user)]) + user.encode("utf-8")
    return base64.b64encode(out).decode("ascii")


class PendingPing:
    """A Ping under way."""

    def __init__(self, pending):
        self.pending = pending
        self.wire = pending.wire

    def is_held(self, seconds=0.3):
        return self.pending.is_held(seconds)

    def is_answered(self, within=0):
        return self.pending.is_answered(within)

    def response(self, timeout=GENEROUS):
        return self.pending.wait(timeout)

    def answer(self, timeout=GENEROUS):
        """@return wbxml.PingAnswer; it must be a 200 with a body."""
        response = self.pending.wait(timeout)
        assert response.status == 200, (response, response.body[:300])
        assert response.body, "a Ping answer without a body"
        return wbxml.PingAnswer(response.clear)


class Phone:
    def __init__(self, endpoint, user="alice", password="secret",
                 device_id=None, device_type="SmartPhone", version="14.1",
                 query="plain", user_param=None, path=PATH,
                 agent="dp-phone/1.0", extra_headers=(), keep_alive=True):
        """@param query  "plain" or "base64"
        @param keep_alive  False: a new connection for each request, for a
                           server that closes after its answer without a word
        @param user_param  the User of the query; None: the login's name"""
        self.endpoint = endpoint
        self.user, self.password = user, password
        self.device_id = device_id or "testphone%08d" % next(_device_numbers)
        self.device_type = device_type
        self.version = version
        self.query_form = query
        self.user_param = user if user_param is None else user_param
        self.path = path
        self.agent = agent
        self.extra_headers = list(extra_headers)
        self.keep_alive = keep_alive
        self.policy_key = None
        self.wire = None
        self.wires = []  # all there were
        self.forget()

    def forget(self):
        """Like an account set up anew."""
        self.hierarchy_key = "0"
        self.folders = {}   # id -> {id, parent, name, type}
        self.keys = {}      # collection id -> SyncKey
        self.items = {}     # collection id -> {server id: fields}

    # --- connection ---

    def connect(self, **kw):
        """A new connection, the old one is left to itself."""
        self.wire = self.endpoint.connect(**kw)
        self.wires.append(self.wire)
        return self.wire

    def connection(self):
        """The connection in use, a new one if that has ended or will."""
        if self.wire is not None:
            self.wire.pump(0)
        if (self.wire is None or not self.keep_alive
                or not self.wire.is_open or self.wire.is_ended
                or self.wire.said_close):
            self.connect()
        return self.wire

    def hang_up(self):
        if self.wire is not None:
            self.wire.close()

    def abort(self):
        if self.wire is not None:
            self.wire.abort()

    def close(self):
        for wire in self.wires:
            wire.close()

    # --- requests ---

    def authorization(self):
        return "Basic " + base64.b64encode(
            ("%s:%s" % (self.user, self.password)).encode("utf-8")).decode()

    def target(self, cmd):
        if self.query_form == "base64":
            return self.path + "?" + base64_query(
                cmd, self.device_id, self.device_type, self.version,
                self.policy_key, self.user_param or None)
        pairs = [("Cmd", cmd), ("User", self.user_param),
                 ("DeviceId", self.device_id),
                 ("DeviceType", self.device_type)]
        return self.path + "?" + "&".join(
            "%s=%s" % (k, urllib.parse.quote(v, safe=""))
            for k, v in pairs if v is not None and v != "")

    def headers(self, has_body, with_auth=True):
        out = [("Host", self.endpoint.name), ("User-Agent", self.agent)]
        if with_auth and self.user is not None:
            out.append(("Authorization", self.authorization()))
        if self.query_form == "plain":
            out.append(("MS-ASProtocolVersion", self.version))
            if self.policy_key is not None:
                out.append(("X-MS-PolicyKey", str(self.policy_key)))
        if has_body:
            out.append(("Content-Type", WBXML_TYPE))
        return out + self.extra_headers

    def bytes_of(self, cmd, body=b"", headers=(), with_auth=True,
                 chunked=False):
        """The request as it goes over the wire."""
        return http_request(
            "POST", self.target(cmd),
            self.headers(bool(body), with_auth) + list(headers), body, chunked)

    def start(self, cmd, body=b"", headers=(), with_auth=True, wire=None,
              chunked=False):
        """Send a request and return at once. @return Pending"""
        wire = wire or self.connection()
        wire.send(self.bytes_of(cmd, body, headers, with_auth, chunked))
        return Pending(wire)

    def request(self, cmd, body=b"", headers=(), timeout=GENEROUS, **kw):
        """Send a request and wait. @return Response"""
        return self.start(cmd, body, headers, **kw).wait(timeout)

    def pipeline(self, requests):
        """Several requests, (cmd, body) each, in one segment (and one TLS
        record). @return their Pendings"""
        wire = self.connection()
        wire.send(b"".join(self.bytes_of(c, b) for c, b in requests))
        return [Pending(wire) for _ in requests]

    def options(self, with_auth=True, timeout=GENEROUS):
        wire = self.connection()
        wire.send(http_request("OPTIONS", self.path,
                               self.headers(False, with_auth)))
        return Pending(wire, "OPTIONS").wait(timeout)

    # --- commands ---

    def provision(self):
        """Both exchanges of a Provision; keeps the policy key."""
        V = wbxml.page("Provision")

        def policy(*more):
            return wbxml.encode(V("Provision", V("Policies", V(
                "Policy", V("PolicyType", "MS-EAS-Provisioning-WBXML"),
                *more))))
        for is_second in (False, True):
            more = ((V("PolicyKey", self.policy_key), V("Status", 1))
                    if is_second else ())
            response = self.request("Provision", policy(*more))
            assert response.status == 200, response
            root = wbxml.decode(response.clear)
            self.policy_key = int(root.get("Policies", "Policy", "PolicyKey"))
        return self.policy_key

    def foldersync(self, key=None):
        """FolderSync with the current key; learns the folders.
        @return wbxml.FoldersAnswer"""
        response = self.request("FolderSync", wbxml.foldersync_request(
            self.hierarchy_key if key is None else key))
        assert response.status == 200, (response, response.body[:300])
        answer = wbxml.FoldersAnswer(response.clear)
        answer.response = response
        if answer.status == 1:
            if (self.hierarchy_key if key is None else key) == "0":
                self.folders.clear()
            self.hierarchy_key = answer.key
            for f in answer.adds + answer.updates:
                self.folders.setdefault(f["id"], {}).update(
                    {k: v for k, v in f.items() if v is not None})
            for id_ in answer.deletes:
                self.folders.pop(id_, None)
                self.keys.pop(id_, None)
        return answer

    def id(self, folder):
        """CollectionId of a folder: by DisplayName path, or the id itself."""
        if folder in self.folders:
            return folder
        for f in self.folders.values():
            if self.path_of(f).lower() == folder.lower():
                return f["id"]
        if not self.folders:
            self.foldersync()
            if self.folders:
                return self.id(folder)
        return folder

    def path_of(self, f):
        names = [f["name"]]
        while f["parent"] in self.folders:
            f = self.folders[f["parent"]]
            names.insert(0, f["name"])
        return "/".join(names)

    def _folder_command(self, cmd, body):
        response = self.request(cmd, body)
        assert response.status == 200, response
        answer = wbxml.FoldersAnswer(response.clear)
        if answer.status == 1:
            self.hierarchy_key = answer.key
        return answer

    def folder_create(self, name, parent="0", type_=12):
        answer = self._folder_command(
            "FolderCreate", wbxml.foldercreate_request(
                self.hierarchy_key, parent, name, type_))
        if answer.status == 1:
            self.folders[answer.server_id] = {
                "id": answer.server_id, "parent": parent, "name": name,
                "type": type_}
        return answer

    def folder_update(self, folder, name, parent="0"):
        id_ = self.id(folder)
        answer = self._folder_command(
            "FolderUpdate", wbxml.folderupdate_request(
                self.hierarchy_key, id_, parent, name))
        if answer.status == 1:
            self.folders[id_].update(name=name, parent=parent)
        return answer

    def folder_delete(self, folder):
        id_ = self.id(folder)
        answer = self._folder_command(
            "FolderDelete", wbxml.folderdelete_request(self.hierarchy_key,
                                                       id_))
        if answer.status == 1:
            self.folders.pop(id_, None)
        return answer

    def sync_body(self, *folders, commands=None, key=None, wait=None,
                  heartbeat=None, partial=False, **per_collection):
        """Body of a Sync of these folders with the keys we hold.
        @param commands  {folder: [nodes of Commands]}"""
        commands = commands or {}
        per_collection.setdefault("window", 100)
        per_collection.setdefault("body_bytes", 512)
        return wbxml.sync_request(
            [wbxml.sync_collection(
                self.id(f), self.keys.get(self.id(f), "0")
                if key is None else key,
                commands=commands.get(f, ()), **per_collection)
             for f in folders],
            wait=wait, heartbeat=heartbeat, partial=partial)

    def sync(self, *folders, timeout=GENEROUS, apply=True, **kw):
        """One Sync. @param apply  False: as if its answer had been lost.
        @return wbxml.SyncAnswer, with `response`"""
        response = self.request("Sync", self.sync_body(*folders, **kw),
                                timeout=timeout)
        answer = self.take_sync(response, apply)
        if apply:
            self._take_commands(kw.get("commands") or {})
        return answer

    def _take_commands(self, commands):
        """What the phone has told the server is so here as well."""
        for folder, nodes in commands.items():
            items = self.items.setdefault(self.id(folder), {})
            for node in nodes:
                server_id = node.get("ServerId")
                if node.name == "AirSync:Delete":
                    items.pop(server_id, None)
                elif node.name == "AirSync:Change" and server_id in items:
                    items[server_id].update(wbxml.item_fields(
                        node.find("ApplicationData")))

    def start_sync(self, *folders, **kw):
        return self.start("Sync", self.sync_body(*folders, **kw))

    def take_sync(self, response, apply=True):
        """Make the answer of a Sync our state."""
        assert response.status == 200, (response, response.body[:300])
        answer = wbxml.SyncAnswer(response.clear)
        answer.response = response
        if apply:
            for id_, c in answer.collections.items():
                if c["status"] == 3:
                    self.keys[id_] = "0"
                    self.items.pop(id_, None)
                if c["status"] != 1:
                    continue
                self.keys[id_] = c["key"]
                items = self.items.setdefault(id_, {})
                items.update(c["adds"])
                for server_id, fields in c["changes"].items():
                    items.setdefault(server_id, {}).update(fields)
                for server_id in c["deletes"]:
                    items.pop(server_id, None)
        return answer

    def sync_until_done(self, *folders, rounds=50, **kw):
        """Sync until nothing is left, key 0 first where we have none.
        @return fields of all items that were added, in their order"""
        new = []
        for folder in folders or ("INBOX",):
            for _ in range(rounds):
                primed = self.keys.get(self.id(folder), "0") != "0"
                answer = self.sync(folder, **kw)
                assert answer.status in (None, 1), answer
                one = answer.collections.get(self.id(folder))
                if one:
                    new += one["adds"].values()
                if primed and (one is None or (one["status"] == 1
                                               and not one["more"])):
                    break
            else:
                raise AssertionError("no end of Sync of %s" % folder)
        return new

    def subjects(self, folder="INBOX"):
        """Subjects of the mails that the phone has of this folder."""
        return sorted(i.get("Subject")
                      for i in self.items.get(self.id(folder), {}).values())

    def item(self, folder, subject):
        """Server id of the mail with this subject."""
        for server_id, fields in self.items[self.id(folder)].items():
            if fields.get("Subject") == subject:
                return server_id
        raise KeyError(subject)

    def change_read(self, server_id, read=True):
        """A node for `commands`: mark as read or unread."""
        return wbxml.A("Change", wbxml.A("ServerId", server_id), wbxml.A(
            "ApplicationData", wbxml.Node("Email:Read", int(read))))

    def delete(self, server_id):
        """A node for `commands`."""
        return wbxml.A("Delete", wbxml.A("ServerId", server_id))

    def move(self, server_id, source, target):
        """MoveItems of one. @return (SrcMsgId, status, DstMsgId)"""
        response = self.request("MoveItems", wbxml.move_request(
            [(server_id, self.id(source), self.id(target))]))
        assert response.status == 200, response
        moved = wbxml.move_answer(response.clear)[0]
        if moved[1] == 3:
            fields = self.items.get(self.id(source), {}).pop(server_id, None)
            if fields is not None:
                self.items.setdefault(self.id(target), {})[moved[2]] = fields
        return moved

    # --- Ping ---

    def ping_body(self, folders=None, heartbeat=None, class_="Email"):
        if folders is not None:
            folders = [f if isinstance(f, tuple) else (self.id(f), class_)
                       for f in folders]
        return wbxml.ping_request(heartbeat, folders)

    def start_ping(self, folders=None, heartbeat=None, class_="Email",
                   headers=()):
        """Send a Ping; with neither argument its body is empty.
        @param folders  names, ids, or (id, class) pairs"""
        return PendingPing(self.start(
            "Ping", self.ping_body(folders, heartbeat, class_), headers))

    def ping(self, folders=None, heartbeat=None, timeout=GENEROUS, **kw):
        """Send a Ping and wait. @return wbxml.PingAnswer"""
        return self.start_ping(folders, heartbeat, **kw).answer(timeout)
