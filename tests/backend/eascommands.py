"""The ActiveSync commands of the fixture backend, over a MailStore.

Sync state is per (user, device): for each collection what the device has
after the newest SyncKey and after the one before, so that a lost answer is
sent again. All of it is in memory. Two styles copy what two real servers do
where they differ: "sogo" and "zpush" (see tests/captures).
"""
import random
import secrets
import threading
import time
import uuid

from dp import wbxml
from mailstore import StoreError, parse

A = wbxml.page("AirSync")
F = wbxml.page("FolderHierarchy")
P = wbxml.page("Ping")
B = wbxml.page("AirSyncBase")
E = wbxml.page("Email")
M = wbxml.page("Move")
G = wbxml.page("GetItemEstimate")
S = wbxml.page("Settings")
V = wbxml.page("Provision")
I = wbxml.page("ItemOperations")

POLL_S = 0.2
FILTER_DAYS = {"1": 1, "2": 3, "3": 7, "4": 14, "5": 30, "6": 90, "7": 180}


class HttpError(Exception):
    def __init__(self, status, reason="", headers=()):
        super().__init__(status)
        self.status, self.reason, self.headers = status, reason, headers


class GlobalStatus(Exception):
    """A Status directly under the root, and nothing else."""

    def __init__(self, status, limit=None):
        super().__init__(status)
        self.status, self.limit = status, limit


class KeyedState:
    """What a device has, after its newest key and after the one before."""

    def __init__(self):
        self.uuid = str(uuid.uuid4())
        self.counter = 0
        self.current = (None, None)
        self.previous = (None, None)

    def base(self, key):
        """What the device has that sends `key`: a copy, or None. The previous
        key means that our last answer was lost."""
        if key == self.current[0]:
            return dict(self.current[1])
        if key is not None and key == self.previous[0]:
            self.current, self.previous = self.previous, (None, None)
            return dict(self.current[1])
        return None

    def advance(self, snapshot):
        """@return the new key"""
        self.counter += 1
        self.previous = self.current
        self.current = ("{%s}%d" % (self.uuid, self.counter), snapshot)
        return self.current[0]

    @property
    def key(self):
        return self.current[0]

    def amend(self, uid, value):
        """The device knows this without being told."""
        for _, snapshot in (self.current, self.previous):
            if snapshot is not None:
                if value is None:
                    snapshot.pop(uid, None)
                else:
                    snapshot[uid] = value


class Device:
    def __init__(self, user, id_):
        self.user, self.id = user, id_
        self.lock = threading.RLock()
        self.policy_key = 0
        self.is_provisioned = False
        self.hierarchy = KeyedState()
        self.collections = {}
        self.client_ids = {}     # (collection, ClientId) -> uid
        self.last_sync = None    # nodes of the last full request, by id
        self.ping_heartbeat = None
        self.ping_folders = None
        self.hanging = 0         # number of the newest Ping or hanging Sync

    def state(self, id_):
        return self.collections.setdefault(id_, KeyedState())


class Commands:
    def __init__(self, store, settings, users):
        self.store, self.settings, self.users = store, settings, users
        self.devices = {}
        self.lock = threading.Lock()

    def device(self, user, id_):
        with self.lock:
            key = (user, id_.lower())
            if key not in self.devices:
                self.devices[key] = Device(user, id_)
            return self.devices[key]

    def run(self, ctx):
        """@param ctx  user, device, cmd, version, body, query, is_gone()
        @return bytes of the body"""
        command = getattr(self, "do_" + ctx.cmd.lower(), None)
        if command is None:
            raise HttpError(501, "Command not implemented by this fixture")
        if (self.settings["require_provision"]
                and ctx.cmd not in ("Provision", "Ping")
                and (not ctx.device.is_provisioned
                     or ctx.policy_key != ctx.device.policy_key)):
            raise HttpError(449, "Retry after sending a PROVISION command")
        return command(ctx)

    @property
    def is_sogo(self):
        return self.settings["id_style"] == "sogo"

    def _root(self, ctx, name):
        try:
            root = wbxml.decode(ctx.body)
        except wbxml.WbxmlError as e:
            raise HttpError(400, "Undecodable body") from e
        if root.name != name:
            raise HttpError(400, "Root element is %s" % root.name)
        return root

    # --- folders ---

    def _hierarchy(self, user):
        return {f.id: (f.parent, f.name, f.type)
                for f in self.store.folders(user).values()}

    def do_foldersync(self, ctx):
        key = self._root(ctx, "FolderHierarchy:FolderSync").get("SyncKey")
        dev = ctx.device
        with dev.lock:
            now = self._hierarchy(ctx.user)
            if key == "0":
                dev.hierarchy = KeyedState()
                base = {}
            else:
                base = dev.hierarchy.base(key)
                if base is None:
                    return wbxml.encode(F("FolderSync", F("Status", 9)))
            changes = []
            for id_, (parent, name, type_) in now.items():
                if base.get(id_) != (parent, name, type_):
                    changes.append(F(
                        "Update" if id_ in base else "Add",
                        F("ServerId", id_), F("ParentId", parent),
                        F("DisplayName", name), F("Type", type_)))
            changes += [F("Delete", F("ServerId", id_))
                        for id_ in base if id_ not in now]
            if changes or key == "0":
                key = dev.hierarchy.advance(now)
            for id_ in list(dev.collections):
                if id_ not in now:
                    del dev.collections[id_]
        return wbxml.encode(F("FolderSync", F("Status", 1), F("SyncKey", key),
                              F("Changes", F("Count", len(changes)),
                                changes)))

    def _folder_command(self, ctx, name, work):
        root = self._root(ctx, "FolderHierarchy:" + name)
        dev = ctx.device
        with dev.lock:
            if dev.hierarchy.base(root.get("SyncKey")) is None:
                return wbxml.encode(F(name, F("Status", 9)))
            try:
                id_ = work(root)
            except StoreError as e:
                return wbxml.encode(F(name, F("Status", e.status)))
            except OSError:
                return wbxml.encode(F(name, F("Status", 6)))
            base = dev.hierarchy.base(root.get("SyncKey"))
            now = self._hierarchy(ctx.user)
            touched = root.get("ServerId") or id_
            # only this command's effect is known to the device; what else
            # has changed comes with its next FolderSync
            if touched in now:
                base[touched] = now[touched]
            else:
                base.pop(touched, None)
                dev.collections.pop(touched, None)
            key = dev.hierarchy.advance(base)
        return wbxml.encode(F(name, F("Status", 1), F("SyncKey", key),
                              None if name != "FolderCreate"
                              else F("ServerId", id_)))

    def do_foldercreate(self, ctx):
        return self._folder_command(ctx, "FolderCreate", lambda r: (
            self.store.create(ctx.user, r.get("ParentId"),
                              r.get("DisplayName"))))

    def do_folderupdate(self, ctx):
        return self._folder_command(ctx, "FolderUpdate", lambda r: (
            self.store.update(ctx.user, r.get("ServerId"), r.get("ParentId"),
                              r.get("DisplayName"))))

    def do_folderdelete(self, ctx):
        return self._folder_command(ctx, "FolderDelete", lambda r: (
            self.store.delete(ctx.user, r.get("ServerId"))))

    # --- what has changed ---

    def _now(self, user, folder, filter_type="0"):
        """({uid: mark}, {uid: Mail or node}): marks differ when a device
        should be told."""
        if folder.kind != "mail":
            items = self.store.pim_view(user, folder.id)
            return ({u: s for u, (s, _) in items.items()},
                    {u: n for u, (_, n) in items.items()})
        view = self.store.view(user, folder.path)
        if filter_type in FILTER_DAYS:
            oldest = time.time() - FILTER_DAYS[filter_type] * 86400
            view = {u: m for u, m in view.items() if m.time >= oldest}
        return ({u: ("S" in m.flags, "F" in m.flags)
                 for u, m in view.items()}, view)

    def _differs(self, user, device, folder, filter_type="0"):
        state = device.state(folder.id)
        return (state.key is not None and state.current[1]
                != self._now(user, folder, filter_type)[0])

    def _data(self, folder, item, size=512, is_change=False):
        """ApplicationData of an item."""
        if folder.kind != "mail":
            return A("ApplicationData", item.content)
        read = E("Read", int("S" in item.flags))
        flag = (E("Flag", E("Status", 2)) if "F" in item.flags
                else E("Flag"))
        if is_change:
            return A("ApplicationData", read, flag)
        m = parse(self.store.read(item) or b"")
        text = m["text"]
        return A("ApplicationData", E("To", m["to"]), E("From", m["from"]),
                 E("Subject", m["subject"]), E("DateReceived", m["date"]),
                 E("Importance", 1), read, E("MessageClass", "IPM.Note"),
                 E("InternetCPID", 65001), flag,
                 B("Body", B("Type", 1),
                   B("EstimatedDataSize", len(text)),
                   B("Truncated", int(len(text) > size)),
                   B("Data", text[:size])))

    # --- Sync ---

    def do_sync(self, ctx):
        dev = ctx.device
        try:
            request = self._sync_request(ctx)
        except GlobalStatus as e:
            return self._sync_status(e)
        wait = request.get("Wait")
        heartbeat = request.get("HeartbeatInterval")
        until = None
        try:
            if wait is not None:
                if not wait.isdigit() or not 1 <= int(wait) <= 59:
                    raise GlobalStatus(14, 59)
                until = time.monotonic() + int(wait) * 60
            elif heartbeat is not None:
                low, high = self.settings["sync_heartbeat"]
                if not heartbeat.isdigit() or not (
                        low <= int(heartbeat) <= high):
                    raise GlobalStatus(14, high)
                until = time.monotonic() + int(heartbeat)
            with dev.lock:
                dev.hanging += 1
                number = dev.hanging
                result = self._sync_round(ctx, request)
            while result is None and until is not None:
                if (time.monotonic() >= until or dev.hanging != number
                        or ctx.is_gone()):
                    break
                time.sleep(POLL_S)
                with dev.lock:
                    if dev.hanging == number:
                        result = self._sync_round(ctx, request, True)
        except GlobalStatus as e:
            return self._sync_status(e)
        if result is not None:
            return wbxml.encode(result)
        if ctx.version >= 12.1 and not self.settings["never_empty_sync"]:
            return b""
        return wbxml.encode(A("Sync", A("Collections", [
            self._unchanged(dev, c) for c in request.all("Collections",
                                                         "Collection")])))

    @staticmethod
    def _sync_status(e):
        return wbxml.encode(A("Sync", A("Status", e.status),
                              None if e.limit is None
                              else A("Limit", e.limit)))

    def _sync_request(self, ctx):
        """The request's root, an empty or partial one completed from the last."""
        dev = ctx.device
        if not ctx.body:
            if self.is_sogo or dev.last_sync is None or ctx.version < 12.1:
                raise GlobalStatus(13)
            nodes = []
            for id_, node in dev.last_sync.items():
                node = wbxml.A("Collection", [
                    c for c in node.content if c.name not in (
                        "AirSync:SyncKey", "AirSync:Commands")])
                node.content.insert(0, A("SyncKey", dev.state(id_).key))
                nodes.append(node)
            return A("Sync", A("Collections", nodes))
        root = self._root(ctx, "AirSync:Sync")
        nodes = root.all("Collections", "Collection")
        if root.find("Partial") is not None:
            if self.is_sogo or dev.last_sync is None:
                raise GlobalStatus(13)
            given = {n.get("CollectionId") for n in nodes}
            nodes = nodes + [n for i, n in dev.last_sync.items()
                             if i not in given]
            old = [c for c in root.content if c.name not in (
                "AirSync:Collections", "AirSync:Partial")]
            root = A("Sync", A("Collections", nodes), old)
        if not nodes:
            raise GlobalStatus(4)
        dev.last_sync = {n.get("CollectionId"): n for n in nodes}
        return root

    def _sync_round(self, ctx, request, is_again=False):
        """All collections once. @return the answer's root, None when there is
        nothing to tell"""
        dev, folders = ctx.device, self.store.folders(ctx.user)
        budget = int(request.get("WindowSize", default="100000"))
        out, told = [], False
        for node in request.all("Collections", "Collection"):
            id_ = self._collection_id(node, folders)
            folder = folders.get(id_)
            if folder is None:
                if self.is_sogo:
                    continue
                raise GlobalStatus(12)
            answer, used = self._sync_collection(ctx, node, folder, budget,
                                                 is_again)
            budget -= used
            if answer is None:
                if not self.settings["omit_unchanged"]:
                    out.append(self._unchanged(dev, node))
            else:
                told = True
                out.append(answer)
        if not told:
            return None
        return A("Sync", A("Collections", out))

    @staticmethod
    def _collection_id(node, folders):
        id_ = node.get("CollectionId")
        if id_ is None:  # AirSync 1.0 and 2.0 name only a class
            wanted = {"Email": 2, "Calendar": 8, "Contacts": 9, "Tasks": 7}
            for f in folders.values():
                if f.type == wanted.get(node.get("Class")):
                    return f.id
        return id_

    def _frame(self, id_, kind, key, status, *rest):
        class_ = "Email" if kind == "mail" else kind
        return A("Collection", A("Class", class_) if self.is_sogo else None,
                 A("SyncKey", key), A("CollectionId", id_),
                 A("Status", status), *rest)

    def _unchanged(self, dev, node):
        folders = self.store.folders(dev.user)
        id_ = self._collection_id(node, folders)
        kind = folders[id_].kind if id_ in folders else "mail"
        return self._frame(id_, kind, dev.state(id_).key, 1)

    def _sync_collection(self, ctx, node, folder, budget, is_again):
        """@return (answer or None when there is nothing to tell, items used
        of the global window)"""
        dev, key = ctx.device, node.get("SyncKey")
        state = dev.state(folder.id)
        if key == "0":
            state = dev.collections[folder.id] = KeyedState()
            return self._frame(folder.id, folder.kind, state.advance({}),
                               1), 0
        base = state.base(key)
        if base is None:
            return self._frame(folder.id, folder.kind, key, 3), 0
        commands = node.find("Commands")
        had_commands = commands is not None and bool(commands.children)
        responses = []
        if had_commands and not is_again:
            responses = self._apply(ctx, node, folder, base, commands)
        wants = node.get("GetChanges")
        if wants is None:
            wants = not had_commands
        else:
            wants = wants.strip() != "0"
        filter_type = node.get("Options", "FilterType", default="0")
        window = min(int(node.get("WindowSize", default="100")), 512, budget)
        sent, more = [], False
        if wants:
            sent, more = self._changes(node, folder, ctx.user, base, window,
                                       filter_type)
        if not sent and not more and not (had_commands and not is_again):
            return None, 0
        return self._frame(
            folder.id, folder.kind, state.advance(base), 1,
            A("MoreAvailable") if more else None,
            A("Commands", sent) if sent else None,
            A("Responses", responses) if responses else None), len(sent)

    def _changes(self, node, folder, user, base, window, filter_type):
        """Server commands for what differs from `base`, which follows."""
        marks, items = self._now(user, folder, filter_type)
        size = int(node.get("Options", "BodyPreference", "TruncationSize",
                            default="512"))
        sent = []
        todo = [("Delete", u) for u in base if u not in marks]
        todo += [("Add", u) for u in marks if u not in base]
        todo += [("Change", u) for u in marks
                 if u in base and marks[u] != base[u]]
        if todo and random.random() < self.settings["restless"]:
            todo += [("Change", u) for u in marks
                     if u in base and marks[u] == base[u]][:1]
        for kind, uid in todo[:window]:
            if kind == "Delete":
                gone = folder.kind != "mail" or uid not in self.store.view(
                    user, folder.path)
                sent.append(A("Delete" if gone else "SoftDelete",
                              A("ServerId", uid)))
                base.pop(uid)
            else:
                sent.append(A(kind, A("ServerId", uid), self._data(
                    folder, items[uid], size, kind == "Change")))
                base[uid] = marks[uid]
        return sent, len(todo) > window

    def _apply(self, ctx, node, folder, base, commands):
        """The client's own changes. @return nodes of Responses"""
        responses = []
        as_moves = node.get("DeletesAsMoves", default="1").strip() != "0"
        for command in commands.children:
            kind = command.name.split(":")[1]
            uid = command.get("ServerId")
            if kind == "Add":
                responses.append(self._client_add(ctx, folder, base, command))
                continue
            item = (self.store.view(ctx.user, folder.path)
                    if folder.kind == "mail"
                    else self.store.pim_view(ctx.user, folder.id)).get(uid)
            status = 1 if item is not None else 8
            if kind == "Fetch":
                data = None
                if item is not None:
                    data = self._data(folder, item if folder.kind == "mail"
                                      else item[1], 1 << 20)
                responses.append(A("Fetch", A("ServerId", uid),
                                   A("Status", status), data))
            elif kind == "Change":
                if item is not None:
                    self._client_change(ctx, folder, base, uid, item, command)
                if self.is_sogo or status != 1:
                    responses.append(A("Change", A("ServerId", uid),
                                       A("Status", status)))
            elif kind == "Delete":
                base.pop(uid, None)
                if item is not None:
                    self._client_delete(ctx, folder, uid, item, as_moves)
                elif not self.is_sogo:
                    pass  # gone already: what the client wanted
        return responses

    def _client_add(self, ctx, folder, base, command):
        dev = ctx.device
        client_id = command.get("ClientId")
        data = command.find("ApplicationData")
        uid = dev.client_ids.get((folder.id, client_id))
        if uid is None:
            if folder.kind == "mail":
                m = ("Subject: %s\r\nFrom: %s\r\nTo: %s\r\n\r\n%s" % (
                    data.get("Subject", default=""),
                    data.get("From", default=ctx.user),
                    data.get("To", default=""),
                    data.get("Body", "Data", default="")))
                name = self.store.deliver(ctx.user, folder.path,
                                          m.encode("utf-8", "replace"), "DS")
                uid = self.store.uid_of(ctx.user, folder.path, name)
            else:
                uid = self.store.pim_put(ctx.user, folder.id, data)
            dev.client_ids[folder.id, client_id] = uid
        marks, _ = self._now(ctx.user, folder)
        if uid in marks:
            base[uid] = marks[uid]
        return A("Add", A("ClientId", client_id), A("ServerId", uid),
                 A("Status", 1))

    def _client_change(self, ctx, folder, base, uid, item, command):
        data = command.find("ApplicationData")
        if folder.kind != "mail":
            self.store.pim_put(ctx.user, folder.id, data, uid)
            base[uid] = self.store.pim_view(ctx.user, folder.id)[uid][0]
            return
        flags = item.flags
        read, flag = data.get("Email:Read"), data.find("Email:Flag")
        if read is not None:
            flags = self.store.set_flag(item, "S", read == "1")
        if flag is not None:
            flags = self.store.set_flag(item, "F", flag.get("Status") == "2")
        if flags is not None and uid in base:
            base[uid] = ("S" in flags, "F" in flags)

    def _client_delete(self, ctx, folder, uid, item, as_moves):
        if folder.kind != "mail":
            self.store.pim_delete(ctx.user, folder.id, uid)
            return
        trash = next((f for f in self.store.folders(ctx.user).values()
                      if f.type == 4), None)
        if as_moves and trash is not None and trash.id != folder.id:
            self.store.move(ctx.user, item, trash.path)
        else:
            self.store.expunge(item)

    # --- Ping: a poll, as honest and as slow as that of real backends ---

    def do_ping(self, ctx):
        dev = ctx.device
        request = None
        try:
            request = wbxml.decode(ctx.body) if ctx.body else None
        except wbxml.WbxmlError:
            pass  # counts as an empty one, in SOGo and Z-Push
        if request is not None and request.name == "AirSync:Sync":
            return self.do_sync(ctx)  # SOGo goes by the root element
        with dev.lock:
            if request is not None:
                heartbeat = request.get("HeartbeatInterval")
                if heartbeat is not None:
                    if not heartbeat.isdigit():
                        return self._ping_answer(4)
                    dev.ping_heartbeat = int(heartbeat)
                folders = [f.get("Id") for f in request.all("Folders",
                                                            "Folder")]
                if folders:
                    dev.ping_folders = folders
            dev.hanging += 1
            number = dev.hanging
            heartbeat, folders = dev.ping_heartbeat, dev.ping_folders
        if heartbeat is None or not folders:
            return self._ping_answer(3)
        low, high = self.settings["ping_heartbeat"]
        if not low <= heartbeat <= high:
            return self._ping_answer(5, P("HeartbeatInterval",
                                          low if heartbeat < low else high))
        if len(folders) > self.settings["max_folders"]:
            return self._ping_answer(6, P("MaxFolders",
                                          self.settings["max_folders"]))
        until = time.monotonic() + heartbeat
        while True:
            known = self.store.folders(ctx.user)
            changed = []
            with dev.lock:
                if (dev.hierarchy.key is not None and dev.hierarchy.current[1]
                        != self._hierarchy(ctx.user)):
                    return self._ping_answer(7)
                for id_ in folders:
                    folder = known.get(id_)
                    if folder is None:
                        if self.is_sogo:
                            continue
                        return self._ping_answer(7)
                    filter_type = "0"
                    if dev.last_sync and id_ in dev.last_sync:
                        filter_type = dev.last_sync[id_].get(
                            "Options", "FilterType", default="0")
                    if (dev.state(id_).key is None and not self.is_sogo) \
                            or self._differs(ctx.user, dev, folder,
                                             filter_type):
                        changed.append(id_)
            if changed:
                return self._ping_answer(2, P("Folders", [
                    P("Folder", i) for i in changed]))
            left = until - time.monotonic()
            if left <= 0 or dev.hanging != number or ctx.is_gone():
                return self._ping_answer(1)
            end = time.monotonic() + min(left, self.settings["ping_interval"])
            while time.monotonic() < end and dev.hanging == number \
                    and not ctx.is_gone():
                time.sleep(max(0, min(POLL_S, end - time.monotonic())))

    @staticmethod
    def _ping_answer(status, *more):
        return wbxml.encode(P("Ping", P("Status", status), *more))

    # --- the rest, as far as phones need it ---

    def do_moveitems(self, ctx):
        out = []
        folders = self.store.folders(ctx.user)
        for move in self._root(ctx, "Move:MoveItems").all("Move"):
            uid = move.get("SrcMsgId")
            source = folders.get(move.get("SrcFldId"))
            target = folders.get(move.get("DstFldId"))
            status, new = 1, None
            if target is None or target.kind != "mail":
                status = 2
            elif source is not None and source.id == target.id:
                status = 4
            elif source is not None and source.kind == "mail":
                mail = self.store.view(ctx.user, source.path).get(uid)
                if mail is not None:
                    new = self.store.move(ctx.user, mail, target.path)
                if new is not None:
                    status = 3
                    with ctx.device.lock:
                        ctx.device.state(source.id).amend(uid, None)
                        ctx.device.state(target.id).amend(
                            new, ("S" in mail.flags, "F" in mail.flags))
            out.append(M("Response", M("SrcMsgId", uid), M("Status", status),
                         None if new is None else M("DstMsgId", new)))
        return wbxml.encode(M("MoveItems", out))

    def do_getitemestimate(self, ctx):
        folders = self.store.folders(ctx.user)
        out = []
        for node in self._root(ctx, "GetItemEstimate:GetItemEstimate").all(
                "Collections", "Collection"):
            id_ = node.get("CollectionId")
            state = ctx.device.state(id_)
            if id_ not in folders:
                status, n = 2, None
            else:
                base = state.base(node.get("SyncKey"))
                if base is None:
                    status, n = 4, None
                else:
                    now, _ = self._now(ctx.user, folders[id_])
                    status = 1
                    n = sum(1 for u in set(base) | set(now)
                            if base.get(u) != now.get(u))
            out.append(G("Response", G("Status", status), G(
                "Collection", G("CollectionId", id_),
                None if n is None else G("Estimate", n))))
        return wbxml.encode(G("GetItemEstimate", out))

    def do_settings(self, ctx):
        root = self._root(ctx, "Settings:Settings")
        out = [S("Status", 1)]
        if root.find("DeviceInformation") is not None:
            out.append(S("DeviceInformation", S("Status", 1)))
        if root.find("UserInformation") is not None:
            out.append(S("UserInformation", S("Status", 1), S("Get", S(
                "EmailAddresses", S("SmtpAddress", "%s@example.org"
                                    % ctx.user)))))
        if root.find("Oof") is not None:
            out.append(S("Oof", S("Status", 1)))
        return wbxml.encode(S("Settings", out))

    def do_provision(self, ctx):
        policy = self._root(ctx, "Provision:Provision").find("Policies",
                                                            "Policy")
        dev = ctx.device
        key = None if policy is None else policy.get("PolicyKey")
        if key is None:
            dev.policy_key = secrets.randbelow(1 << 31) + 1
            document = V("Data", V("EASProvisionDoc",
                                   V("DevicePasswordEnabled", 0)))
        else:
            if not key.isdigit() or int(key) != dev.policy_key:
                return wbxml.encode(V("Provision", V("Status", 1), V(
                    "Policies", V("Policy", V(
                        "PolicyType", "MS-EAS-Provisioning-WBXML"),
                        V("Status", 5)))))
            dev.policy_key = secrets.randbelow(1 << 31) + 1
            dev.is_provisioned = True
            document = None
        return wbxml.encode(V("Provision", V("Status", 1), V("Policies", V(
            "Policy", V("PolicyType", "MS-EAS-Provisioning-WBXML"),
            V("Status", 1), V("PolicyKey", dev.policy_key), document))))

    def do_sendmail(self, ctx):
        """To Sent, and to the INBOX of those recipients whom we know."""
        save = ctx.query.get("saveinsent", "").upper() == "T"
        mime = ctx.body
        if not (ctx.content_type or "").startswith("message/rfc822"):
            try:
                root = wbxml.decode(ctx.body)
            except wbxml.WbxmlError as e:
                raise HttpError(400, "Undecodable body") from e
            save = root.find("SaveInSentItems") is not None
            mime = root.get("MIME", default="").encode("utf-8",
                                                       "surrogateescape")
        if save:
            sent = next((f for f in self.store.folders(ctx.user).values()
                         if f.type == 5), None)
            if sent is not None:
                self.store.deliver(ctx.user, sent.path, mime, "S")
        for address in parse(mime)["to"].split(","):
            name = address.strip().split("<")[-1].rstrip("> ").split("@")[0]
            if name in self.users.names():
                self.store.deliver(name, "INBOX", mime)
        return b""

    do_smartreply = do_sendmail
    do_smartforward = do_sendmail

    def do_itemoperations(self, ctx):
        out = []
        folders = self.store.folders(ctx.user)
        for node in self._root(ctx,
                               "ItemOperations:ItemOperations").children:
            id_ = node.get("AirSync:CollectionId")
            folder = folders.get(id_)
            kind = node.name.split(":")[1]
            if kind == "Fetch":
                uid = node.get("AirSync:ServerId")
                mail = None
                if folder is not None and folder.kind == "mail":
                    mail = self.store.view(ctx.user, folder.path).get(uid)
                out.append(I("Fetch", I("Status", 6 if mail is None else 1),
                             A("CollectionId", id_), A("ServerId", uid),
                             None if mail is None else I(
                                 "Properties", self._data(
                                     folder, mail, 1 << 20).content)))
            elif kind == "EmptyFolderContents":
                if folder is not None and folder.kind == "mail":
                    for mail in self.store.view(ctx.user,
                                                folder.path).values():
                        self.store.expunge(mail)
                out.append(I("EmptyFolderContents",
                             I("Status", 2 if folder is None else 1),
                             A("CollectionId", id_)))
        return wbxml.encode(I("ItemOperations", I("Status", 1),
                              I("Response", out)))
