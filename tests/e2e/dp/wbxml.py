"""WBXML as ActiveSync uses it: an encoder and a decoder.

Written from MS-ASWBXML (code pages, tokens) and the WBXML 1.3 format, not from
the C code, so that the product and its tests cannot share one mistake.

A document is a tree of `Node`s. A node's name is `Page:Tag` ("Ping:Folder");
tags of tables that are not spelt out below are called `tok_XX`.

    >>> doc = ping_request(480, [("5", "Email")])
    >>> doc.hex()
    '03016a00000d4548033438300001494a4b033500014c03456d61696c0001010101'
    >>> decode(doc).find("Ping:HeartbeatInterval").text
    '480'
"""

HEADER = b"\x03\x01\x6a\x00"  # version 1.3, unknown public id, UTF-8, no strings

SWITCH_PAGE, END, ENTITY, STR_I, LITERAL = 0x00, 0x01, 0x02, 0x03, 0x04
STR_T, OPAQUE = 0x83, 0xC3
HAS_CONTENT, HAS_ATTRIBUTES = 0x40, 0x80
DEPTH_MAX = 32  # real documents stay below about 15


class WbxmlError(ValueError):
    """The bytes are no WBXML of ActiveSync; `offset` says where it shows."""

    def __init__(self, what, offset):
        super().__init__("%s at byte %d" % (what, offset))
        self.offset = offset


def _from(first, names):
    """Tokens in a row from `first`; `-` leaves one out."""
    return {first + i: name for i, name in enumerate(names.split())
            if name != "-"}


PAGES = {
    0: ("AirSync", _from(0x05, """
        Sync Responses Add Change Delete Fetch SyncKey ClientId ServerId Status
        Collection Class Version CollectionId GetChanges MoreAvailable
        WindowSize Commands Options FilterType Truncation RTFTruncation
        Conflict Collections ApplicationData DeletesAsMoves NotifyGUID
        Supported SoftDelete MIMESupport MIMETruncation Wait Limit Partial
        ConversationMode MaxItems HeartbeatInterval""")),
    1: ("Contacts", _from(0x05, """
        Anniversary AssistantName AssistantTelephoneNumber Birthday Body
        BodySize BodyTruncated Business2PhoneNumber BusinessCity
        BusinessCountry BusinessPostalCode BusinessState BusinessStreet
        BusinessFaxNumber BusinessPhoneNumber CarPhoneNumber Categories
        Category Children Child CompanyName Department Email1Address
        Email2Address Email3Address FileAs FirstName Home2PhoneNumber HomeCity
        HomeCountry HomePostalCode HomeState HomeStreet HomeFaxNumber
        HomePhoneNumber JobTitle LastName MiddleName MobilePhoneNumber
        OfficeLocation OtherCity OtherCountry OtherPostalCode OtherState
        OtherStreet PagerNumber RadioPhoneNumber Spouse Suffix Title WebPage
        YomiCompanyName YomiFirstName YomiLastName - Picture Alias
        WeightedRank""")),
    2: ("Email", _from(0x05, """
        Attachment Attachments AttName AttSize Att0id AttMethod - Body BodySize
        BodyTruncated DateReceived DisplayName DisplayTo Importance
        MessageClass Subject Read To Cc From ReplyTo AllDayEvent Categories
        Category DtStamp EndTime InstanceType BusyStatus Location
        MeetingRequest Organizer RecurrenceId Reminder ResponseRequested
        Recurrences Recurrence Type Until Occurrences Interval DayOfWeek
        DayOfMonth WeekOfMonth MonthOfYear StartTime Sensitivity TimeZone
        GlobalObjId ThreadTopic MIMEData MIMETruncated MIMESize InternetCPID
        Flag Status ContentClass FlagType CompleteTime
        DisallowNewTimeProposal""")),
    3: ("AirNotify", {}),
    4: ("Calendar", _from(0x05, """
        Timezone AllDayEvent Attendees Attendee Email Name Body BodyTruncated
        BusyStatus Categories Category - DtStamp EndTime Exception Exceptions
        Deleted ExceptionStartTime Location MeetingStatus OrganizerEmail
        OrganizerName Recurrence Type Until Occurrences Interval DayOfWeek
        DayOfMonth WeekOfMonth MonthOfYear Reminder Sensitivity Subject
        StartTime UID""")),
    5: ("Move", _from(0x05, """
        MoveItems Move SrcMsgId SrcFldId DstFldId Response Status DstMsgId""")),
    6: ("GetItemEstimate", _from(0x05, """
        GetItemEstimate Version Collections Collection Class CollectionId
        DateTime Estimate Response Status""")),
    7: ("FolderHierarchy", _from(0x05, """
        Folders Folder DisplayName ServerId ParentId Type Response Status
        ContentClass Changes Add Delete Update SyncKey FolderCreate
        FolderDelete FolderUpdate FolderSync Count Version""")),
    8: ("MeetingResponse", _from(0x05, """
        CalendarId CollectionId MeetingResponse RequestId Request Result Status
        UserResponse - InstanceId - ProposedStartTime ProposedEndTime
        SendResponse""")),
    9: ("Tasks", {}),
    10: ("ResolveRecipients", {}),
    11: ("ValidateCert", {}),
    12: ("Contacts2", {}),
    13: ("Ping", _from(0x05, """
        Ping AutdState Status HeartbeatInterval Folders Folder Id Class
        MaxFolders""")),
    14: ("Provision", _from(0x05, """
        Provision Policies Policy PolicyType PolicyKey Data Status RemoteWipe
        EASProvisionDoc DevicePasswordEnabled
        AlphanumericDevicePasswordRequired RequireStorageCardEncryption
        PasswordRecoveryEnabled DocumentBrowseEnabled AttachmentsEnabled
        MinDevicePasswordLength MaxInactivityTimeDeviceLock
        MaxDevicePasswordFailedAttempts MaxAttachmentSize
        AllowSimpleDevicePassword DevicePasswordExpiration
        DevicePasswordHistory AllowStorageCard AllowCamera
        RequireDeviceEncryption AllowUnsignedApplications
        AllowUnsignedInstallationPackages MinDevicePasswordComplexCharacters
        AllowWiFi AllowTextMessaging AllowPOPIMAPEmail AllowBluetooth
        AllowIrDA RequireManualSyncWhenRoaming AllowDesktopSync
        MaxCalendarAgeFilter AllowHTMLEmail MaxEmailAgeFilter
        MaxEmailBodyTruncationSize MaxEmailHTMLBodyTruncationSize
        RequireSignedSMIMEMessages RequireEncryptedSMIMEMessages
        RequireSignedSMIMEAlgorithm RequireEncryptionSMIMEAlgorithm
        AllowSMIMEEncryptionAlgorithmNegotiation AllowSMIMESoftCerts
        AllowBrowser AllowConsumerEmail AllowRemoteDesktop
        AllowInternetSharing UnapprovedInROMApplicationList ApplicationName
        ApprovedApplicationList Hash AccountOnlyRemoteWipe""")),
    15: ("Search", {}),
    16: ("GAL", {}),
    17: ("AirSyncBase", _from(0x05, """
        BodyPreference Type TruncationSize AllOrNone - Body Data
        EstimatedDataSize Truncated Attachments Attachment DisplayName
        FileReference Method ContentId ContentLocation IsInline NativeBodyType
        ContentType Preview BodyPartPreference BodyPart Status""")),
    18: ("Settings", _from(0x05, """
        Settings Status Get Set Oof OofState StartTime EndTime OofMessage
        AppliesToInternal AppliesToExternalKnown AppliesToExternalUnknown
        Enabled ReplyMessage BodyType DevicePassword Password
        DeviceInformation Model IMEI FriendlyName OS OSLanguage PhoneNumber
        UserInformation EmailAddresses SmtpAddress UserAgent EnableOutboundSMS
        MobileOperator PrimarySmtpAddress Accounts Account AccountId
        AccountName UserDisplayName SendDisabled -
        RightsManagementInformation""")),
    19: ("DocumentLibrary", {}),
    20: ("ItemOperations", _from(0x05, """
        ItemOperations Fetch Store Options Range Total Properties Data Status
        Response Version Schema Part EmptyFolderContents DeleteSubFolders
        UserName Password Move DstFldId ConversationId MoveAlways""")),
    21: ("ComposeMail", _from(0x05, """
        SendMail SmartForward SmartReply SaveInSentItems ReplaceMime - Source
        FolderId ItemId LongId InstanceId MIME ClientId Status AccountId -
        Forwardees Forwardee ForwardeeName ForwardeeEmail""")),
    22: ("Email2", _from(0x05, """
        UmCallerID UmUserNotes UmAttDuration UmAttOrder ConversationId
        ConversationIndex LastVerbExecuted LastVerbExecutionTime ReceivedAsBcc
        Sender CalendarType IsLeapMonth AccountId FirstDayOfWeek
        MeetingMessageType""")),
    23: ("Notes", _from(0x05, """
        Subject MessageClass LastModifiedDate Categories Category""")),
    24: ("RightsManagement", {}),
    25: ("Find", {}),
}

_PAGE_OF = {name: number for number, (name, _) in PAGES.items()}
_TOKEN_OF = {(number, tag): token for number, (_, tags) in PAGES.items()
             for token, tag in tags.items()}


class Opaque(bytes):
    """Content that stands as OPAQUE (MIME bodies, ConversationId)."""


class Node:
    """One element: `name` is "Page:Tag", `content` a list of nodes, str (STR_I)
    and Opaque. A node without content is an empty tag; one with an empty
    string in its content has a content bit, an empty string and an END."""

    def __init__(self, name, *content):
        self.name = name
        self.content = []
        self.add(*content)

    def add(self, *content):
        for one in content:
            if one is None:
                continue
            if isinstance(one, (list, tuple)):
                self.add(*one)
            elif isinstance(one, (Node, str, Opaque)):
                self.content.append(one)
            elif isinstance(one, bytes):
                self.content.append(Opaque(one))
            else:
                self.content.append(str(one))
        return self

    @property
    def children(self):
        return [c for c in self.content if isinstance(c, Node)]

    @property
    def text(self):
        """All text in it; OPAQUE counts as UTF-8."""
        return "".join(c if isinstance(c, str) else
                       c.decode("utf-8", "surrogateescape")
                       for c in self.content if not isinstance(c, Node))

    def all(self, *path):
        """The nodes at `path` beneath this one: names or bare tags."""
        found = [self]
        for step in path:
            found = [c for node in found for c in node.children
                     if c.name == step or c.name.split(":")[1] == step]
        return found

    def find(self, *path):
        """The first node at `path`, or None."""
        return next(iter(self.all(*path)), None)

    def get(self, *path, default=None):
        """Text of the first node at `path`."""
        node = self.find(*path)
        return default if node is None else node.text

    def walk(self):
        yield self
        for child in self.children:
            yield from child.walk()

    def __eq__(self, other):
        return (isinstance(other, Node) and self.name == other.name
                and self.content == other.content)

    def __repr__(self):
        return "%s(%s)" % (self.name, ", ".join(
            repr(c) if isinstance(c, Node) or len(c) < 80
            else repr(c[:60]) + "…" for c in self.content))


def page(name):
    """A maker of nodes of one page: `P = page("Ping"); P("Status", 1)`."""
    number = _PAGE_OF[name]
    tags = set(PAGES[number][1].values())

    def make(tag, *content):
        if tag not in tags:
            raise KeyError("%s has no tag %s" % (name, tag))
        return Node("%s:%s" % (name, tag), *content)
    return make


def _code(name):
    """(page, token) of a node's name."""
    page_name, tag = name.split(":")
    number = _PAGE_OF[page_name]
    if tag.startswith("tok_"):
        return number, int(tag[4:], 16)
    return number, _TOKEN_OF[number, tag]


def mb_u_int32(value):
    """7 bits a byte, most significant first, top bit: more follow."""
    out = [value & 0x7F]
    while value > 0x7F:
        value >>= 7
        out.insert(0, 0x80 | value & 0x7F)
    return bytes(out)


def encode(root, header=HEADER):
    """Bytes of a document; pages are switched only where needed."""
    out = bytearray(header)
    current = 0

    def element(node):
        nonlocal current
        number, token = _code(node.name)
        if number != current:
            out.extend((SWITCH_PAGE, number))
            current = number
        if not node.content:
            out.append(token)
            return
        out.append(token | HAS_CONTENT)
        for one in node.content:
            if isinstance(one, Node):
                element(one)
            elif isinstance(one, Opaque):
                out.append(OPAQUE)
                out.extend(mb_u_int32(len(one)))
                out.extend(one)
            else:
                data = one.encode("utf-8", "surrogateescape")
                if b"\0" in data:
                    raise ValueError("a string with NUL needs Opaque")
                out.append(STR_I)
                out.extend(data)
                out.append(0)
        out.append(END)

    element(root)
    return bytes(out)


def decode(data, depth_max=DEPTH_MAX):
    """The tree of a document. @raise WbxmlError"""
    data = bytes(data)
    pos = 0

    def byte(what):
        nonlocal pos
        if pos >= len(data):
            raise WbxmlError("ends within " + what, pos)
        pos += 1
        return data[pos - 1]

    def mb(what):
        value = 0
        for _ in range(5):
            b = byte(what)
            value = value << 7 | b & 0x7F
            if not b & 0x80:
                return value
        raise WbxmlError("number of more than five bytes", pos)

    if data[:len(HEADER)] != HEADER:
        raise WbxmlError("no header 03 01 6a 00", 0)
    pos = len(HEADER)
    current = 0
    root = None
    open_nodes = []
    while True:
        if root is not None and not open_nodes:
            if pos != len(data):
                raise WbxmlError("bytes after the end of the root", pos)
            return root
        at = pos
        token = byte("the document")
        if token == SWITCH_PAGE:
            current = byte("SWITCH_PAGE")
            if current not in PAGES:
                raise WbxmlError("page %d" % current, at)
        elif token == END:
            if not open_nodes:
                raise WbxmlError("END without a start", at)
            open_nodes.pop()
        elif token in (STR_I, OPAQUE):
            if not open_nodes:
                raise WbxmlError("text outside the root", at)
            if token == STR_I:
                end = data.find(b"\0", pos)
                if end < 0:
                    raise WbxmlError("string without end", at)
                one = data[pos:end].decode("utf-8", "surrogateescape")
                pos = end + 1
            else:
                size = mb("the length of OPAQUE")
                if pos + size > len(data):
                    raise WbxmlError("OPAQUE of %d bytes is cut" % size, at)
                one = Opaque(data[pos:pos + size])
                pos += size
            open_nodes[-1].content.append(one)
        elif token & HAS_ATTRIBUTES or token & 0x3F < 5:
            raise WbxmlError("token %02x has no place here" % token, at)
        else:
            name, tags = PAGES[current]
            number = token & 0x3F
            node = Node("%s:%s" % (name, tags.get(number,
                                                  "tok_%02X" % number)))
            if open_nodes:
                open_nodes[-1].content.append(node)
            elif root is None:
                root = node
            if token & HAS_CONTENT:
                if len(open_nodes) >= depth_max:
                    raise WbxmlError("deeper than %d" % depth_max, at)
                open_nodes.append(node)


# --- documents ---------------------------------------------------------------

A = page("AirSync")
P = page("Ping")
F = page("FolderHierarchy")
M = page("Move")


def ping_request(heartbeat=None, folders=None):
    """`folders`: (id, class) pairs or ids; class None leaves Class out. With
    neither the body is empty, as phones send it."""
    if heartbeat is None and folders is None:
        return b""
    root = P("Ping")
    if heartbeat is not None:
        root.add(P("HeartbeatInterval", heartbeat))
    if folders is not None:
        pairs = [f if isinstance(f, tuple) else (f, "Email") for f in folders]
        root.add(P("Folders", [
            P("Folder", P("Id", i), None if c is None else P("Class", c))
            for i, c in pairs]))
    return encode(root)


class PingAnswer:
    """status, folders (ids of Status 2), heartbeat (5), max_folders (6)."""

    def __init__(self, body):
        root = decode(body)
        if root.name != "Ping:Ping":
            raise WbxmlError("root is %s, not Ping" % root.name, 4)
        self.root = root
        self.status = int(root.get("Status"))
        self.folders = [f.text for f in root.all("Folders", "Folder")]
        value = root.get("HeartbeatInterval")
        self.heartbeat = None if value is None else int(value)
        value = root.get("MaxFolders")
        self.max_folders = None if value is None else int(value)

    def __repr__(self):
        return "PingAnswer(%r)" % self.root


def foldersync_request(key):
    return encode(F("FolderSync", F("SyncKey", key)))


def foldercreate_request(key, parent, name, type_=12):
    return encode(F("FolderCreate", F("SyncKey", key), F("ParentId", parent),
                    F("DisplayName", name), F("Type", type_)))


def folderupdate_request(key, id_, parent, name):
    return encode(F("FolderUpdate", F("SyncKey", key), F("ServerId", id_),
                    F("ParentId", parent), F("DisplayName", name)))


def folderdelete_request(key, id_):
    return encode(F("FolderDelete", F("SyncKey", key), F("ServerId", id_)))


class FoldersAnswer:
    """Answer of FolderSync (adds, updates, deletes) and of FolderCreate,
    FolderUpdate, FolderDelete (server_id of the new one)."""

    def __init__(self, body):
        root = decode(body)
        self.root = root
        self.status = int(root.get("Status"))
        self.key = root.get("SyncKey")
        self.server_id = root.get("ServerId")
        count = root.get("Changes", "Count")
        self.count = None if count is None else int(count)

        def folder(node):
            return {"id": node.get("ServerId"), "parent": node.get("ParentId"),
                    "name": node.get("DisplayName"),
                    "type": int(node.get("Type", default="0"))}
        self.adds = [folder(n) for n in root.all("Changes", "Add")]
        self.updates = [folder(n) for n in root.all("Changes", "Update")]
        self.deletes = [n.get("ServerId") for n in root.all("Changes",
                                                            "Delete")]

    def __repr__(self):
        return "FoldersAnswer(%r)" % self.root


def sync_collection(id_, key, get_changes=None, window=None, filter_type=None,
                    deletes_as_moves=None, class_=None, commands=(),
                    body_bytes=None, options=True):
    """One Collection of a Sync request; None leaves an element out, `True` for
    get_changes is the empty element."""
    node = A("Collection")
    if class_ is not None:
        node.add(A("Class", class_))
    node.add(A("SyncKey", key), A("CollectionId", id_))
    if deletes_as_moves is not None:
        node.add(A("DeletesAsMoves", int(deletes_as_moves)))
    if get_changes is True:
        node.add(A("GetChanges"))
    elif get_changes is not None:
        node.add(A("GetChanges", int(get_changes)))
    if window is not None:
        node.add(A("WindowSize", window))
    inner = []
    if filter_type is not None:
        inner.append(A("FilterType", filter_type))
    if body_bytes is not None:
        B = page("AirSyncBase")
        inner.append(B("BodyPreference", B("Type", 1),
                       B("TruncationSize", body_bytes)))
    if inner and options:
        node.add(A("Options", inner))
    if commands:
        node.add(A("Commands", list(commands)))
    return node


def sync_request(collections, wait=None, heartbeat=None, window=None,
                 partial=False):
    root = A("Sync")
    if collections is not None:
        root.add(A("Collections", list(collections)))
    if wait is not None:
        root.add(A("Wait", wait))
    if heartbeat is not None:
        root.add(A("HeartbeatInterval", heartbeat))
    if window is not None:
        root.add(A("WindowSize", window))
    if partial:
        root.add(A("Partial"))
    return encode(root)


class SyncAnswer:
    """Answer of Sync: is_empty, status (global, or None) and collections, by
    id: {id, class, key, status, more, adds, changes, deletes, responses}."""

    def __init__(self, body):
        self.is_empty = len(body) == 0
        self.status = None
        self.collections = {}
        self.root = None
        if self.is_empty:
            return
        root = self.root = decode(body)
        if root.name != "AirSync:Sync":
            raise WbxmlError("root is %s, not Sync" % root.name, 4)
        status = root.get("Status")
        self.status = None if status is None else int(status)
        self.limit = root.get("Limit")
        for node in root.all("Collections", "Collection"):
            one = {
                "id": node.get("CollectionId"), "class": node.get("Class"),
                "key": node.get("SyncKey"),
                "status": int(node.get("Status", default="0")),
                "more": node.find("MoreAvailable") is not None,
                "adds": {}, "changes": {}, "deletes": [],
                "responses": node.find("Responses")}
            for kind, into in (("Add", "adds"), ("Change", "changes")):
                for item in node.all("Commands", kind):
                    one[into][item.get("ServerId")] = item_fields(
                        item.find("ApplicationData"))
            for kind in ("Delete", "SoftDelete"):
                one["deletes"] += [i.get("ServerId")
                                   for i in node.all("Commands", kind)]
            self.collections[one["id"]] = one

    def __repr__(self):
        return "SyncAnswer(%s)" % ("empty" if self.is_empty else self.root)


def item_fields(data):
    """ApplicationData as a dict of its leaves, by bare tag; the body's text is
    `Data`."""
    out = {}
    if data is not None:
        for node in data.walk():
            if not node.children:
                out.setdefault(node.name.split(":")[1], node.text)
    return out


def move_request(moves):
    """`moves`: (message id, from folder, to folder)."""
    return encode(M("MoveItems", [
        M("Move", M("SrcMsgId", m), M("SrcFldId", s), M("DstFldId", d))
        for m, s, d in moves]))


def move_answer(body):
    """[(SrcMsgId, status, DstMsgId)]; status 3 is success."""
    return [(r.get("SrcMsgId"), int(r.get("Status")), r.get("DstMsgId"))
            for r in decode(body).all("Response")]
