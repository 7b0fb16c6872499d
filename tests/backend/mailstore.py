"""Maildirs as the fixture backend sees them: folders, ids, mails, changes.

One `MailStore` for all users. What an ActiveSync command sees is a *view*: the
list of mails of a folder at one moment. Two switches make the view lag behind
the files, as that of real backends does:

  lag     mails that this backend has not shown yet stay hidden, and others
          keep the flags that it has shown, until the file has been so for so
          many seconds
  frozen  the folder keeps looking as it did when the switch was set

Like Dovecot, looking at a folder empties new/ into cur/ (`select_moves`).
"""
import base64
import email
import email.header
import email.policy
import email.utils
import os
import re
import secrets
import shutil
import threading
import time

INBOX = "INBOX"
TYPES = {"inbox": 2, "drafts": 3, "trash": 4, "deleted messages": 4,
         "sent": 5, "sent messages": 5, "outbox": 6}
TYPE_USER_MAIL = 12


def utf7_encode(name):
    """Modified UTF-7 of RFC 3501, 5.1.3."""
    def run(match):
        data = base64.b64encode(match.group().encode("utf-16-be"))
        return "&" + data.decode().rstrip("=").replace("/", ",") + "-"
    return re.sub("[^\x20-\x7e]+", run, name.replace("&", "&-"))


def utf7_decode(name):
    def run(match):
        if not match.group(1):
            return "&"
        data = match.group(1).replace(",", "/")
        data += "=" * (-len(data) % 4)
        return base64.b64decode(data).decode("utf-16-be")
    try:
        return re.sub("&([^-]*)-", run, name)
    except ValueError:
        return name


class StoreError(Exception):
    """A folder command that can't be done; `status` is that of FolderCreate
    and its like."""

    def __init__(self, status, what):
        super().__init__(what)
        self.status = status


class Folder:
    """id, path (`Projects/2026`), name (last component), parent (id), type,
    kind ("mail" or the class of a collection that is kept in memory)."""

    def __init__(self, id_, path, parent, type_, kind="mail"):
        self.id, self.path, self.parent = id_, path, parent
        self.name = path.rsplit("/", 1)[-1]
        self.type, self.kind = type_, kind


class Mail:
    """uid (of this backend), base (file name without flags), flags, file."""
    __slots__ = ("uid", "base", "flags", "file", "time")

    def __init__(self, uid, base, flags, file, time_):
        self.uid, self.base, self.flags = uid, base, flags
        self.file, self.time = file, time_


class MailStore:
    def __init__(self, path_template, id_style="sogo", pim=True):
        """@param path_template  Maildir of a user, %u for the user
        @param id_style  "sogo" (mail%2F<guid>), "zpush" (8 hex digits) or
                         "horde" (a letter in front of them)
        @param pim  offer an (empty) calendar, task list and address book"""
        self.path_template = path_template
        self.id_style = id_style
        self.pim = pim
        self.select_moves = True
        self.lag = 0.0
        self.flags = {}         # base -> flags as shown last
        self.frozen = {}        # user -> {folder path: view}
        self.lock = threading.RLock()
        self.ids = {}           # (user, folder path) -> random id
        self.uids = {}          # (user, key of folder) -> {base: uid}
        self.highest = {}       # (user, folder path) -> uid given last there
        self.pim_items = {}     # (user, collection id) -> {uid: (stamp, node)}
        self.pim_stamp = 0

    def root(self, user):
        """%u is the user, %n and %d its parts, as in Dovecot."""
        local, _, domain = user.partition("@")
        return (self.path_template.replace("%u", user).replace("%n", local)
                .replace("%d", domain))

    # --- folders ---

    def dir(self, user, path):
        if path == INBOX:
            return self.root(user)
        return os.path.join(self.root(user), "." + ".".join(
            utf7_encode(p) for p in path.split("/")))

    def guid(self, user, path):
        try:
            with open(os.path.join(self.dir(user, path), "dovecot-uidlist"),
                      encoding="ascii", errors="replace") as f:
                for word in f.readline().split():
                    if word[0] == "G":
                        return word[1:]
        except OSError:
            pass
        return None

    def folder_id(self, user, path):
        with self.lock:
            if self.id_style == "sogo":
                guid = self.guid(user, path)
                return "mail%2F" + (guid or utf7_encode(path).replace(
                    "%", "%25").replace("/", "%2F"))
            return self._opaque_id((user, path), "F")

    def _opaque_id(self, key, letter):
        if key not in self.ids:
            self.ids[key] = (letter if self.id_style == "horde" else "") \
                + secrets.token_hex(4)
        return self.ids[key]

    def paths(self, user):
        root = self.root(user)
        try:
            names = os.listdir(root)
        except OSError:
            return []
        found = [utf7_decode(n[1:].replace(".", "/"))
                 for n in names if n.startswith(".") and len(n) > 1
                 and os.path.isdir(os.path.join(root, n, "cur"))]
        return [INBOX] + sorted(found)

    def folders(self, user):
        """{id: Folder}, INBOX first."""
        paths = self.paths(user)
        ids = {p: self.folder_id(user, p) for p in paths}
        out = {}
        for p in paths:
            parent = ids.get(p.rpartition("/")[0], "0")
            out[ids[p]] = Folder(ids[p], p, parent,
                                 TYPES.get(p.lower(), TYPE_USER_MAIL))
        if self.pim:
            sogo = self.id_style == "sogo"
            for id_, name, type_, kind in (
                    ("vevent%2Fpersonal", "Personal Calendar", 8, "Calendar"),
                    ("vtodo%2Fpersonal", "Personal Tasks", 7, "Tasks"),
                    ("vcard%2Fpersonal", "Personal Address Book", 9,
                     "Contacts")):
                if not sogo:
                    with self.lock:
                        id_ = self._opaque_id(
                            (user, "\0" + name),
                            {"Contacts": "A"}.get(kind, kind[0]))
                out[id_] = Folder(id_, name, "0", type_, kind)
        return out

    def _path_beneath(self, user, parent, name):
        if not name or "/" in name or name in (".", ".."):
            raise StoreError(10, "bad name %r" % name)
        if "." in name:
            raise StoreError(10, "Maildir++ has no `.` in a name")
        if parent in ("0", None):
            return name
        folder = self.folders(user).get(parent)
        if folder is None or folder.kind != "mail":
            raise StoreError(5, "no parent %s" % parent)
        return name if folder.path == INBOX else folder.path + "/" + name

    def create(self, user, parent, name):
        """@return id of the new folder"""
        path = self._path_beneath(user, parent, name)
        where = self.dir(user, path)
        if os.path.exists(where):
            raise StoreError(2, "%s exists" % path)
        like = os.stat(self.root(user))
        for sub in ("", "tmp", "new", "cur"):
            os.mkdir(os.path.join(where, sub), 0o755)
            os.chown(os.path.join(where, sub), like.st_uid, like.st_gid)
        if self.id_style == "sogo":
            with open(os.path.join(where, "dovecot-uidlist"), "w") as f:
                f.write("3 V%d N1 G%s\n" % (time.time(),
                                            secrets.token_hex(16)))
        return self.folder_id(user, path)

    def _mail_folder(self, user, id_):
        folder = self.folders(user).get(id_)
        if folder is None:
            raise StoreError(4, "no folder %s" % id_)
        if folder.kind != "mail" or folder.type != TYPE_USER_MAIL:
            raise StoreError(3, "%s is a special folder" % folder.path)
        return folder

    def update(self, user, id_, parent, name):
        """Rename, with those beneath."""
        folder = self._mail_folder(user, id_)
        path = self._path_beneath(user, parent, name)
        if os.path.exists(self.dir(user, path)):
            raise StoreError(2, "%s exists" % path)
        old = os.path.basename(self.dir(user, folder.path))
        new = os.path.basename(self.dir(user, path))
        root = self.root(user)
        for n in sorted(os.listdir(root)):
            if n == old or n.startswith(old + "."):
                os.rename(os.path.join(root, n),
                          os.path.join(root, new + n[len(old):]))
        with self.lock:
            for key in [k for k in self.ids if k[0] == user]:
                was = key[1]
                if was == folder.path or was.startswith(folder.path + "/"):
                    self.ids[user, path + was[len(folder.path):]] = \
                        self.ids.pop(key)
            for key in [k for k in self.uids if k[0] == user]:
                if (key[1] + "/").startswith(folder.path + "/"):
                    self.uids[user, path + key[1][len(folder.path):]] = \
                        self.uids.pop(key)

    def delete(self, user, id_):
        folder = self._mail_folder(user, id_)
        base = os.path.basename(self.dir(user, folder.path))
        root = self.root(user)
        for n in os.listdir(root):
            if n == base or n.startswith(base + "."):
                shutil.rmtree(os.path.join(root, n))
        with self.lock:
            for key in [k for k in self.ids if k[0] == user]:
                if (key[1] + "/").startswith(folder.path + "/"):
                    del self.ids[key]

    # --- mails ---

    def view(self, user, path):
        """{uid: Mail} of a folder, as this backend sees it now."""
        with self.lock:
            frozen = self.frozen.get(user, {})
            if path in frozen:
                return frozen[path]
            return self._look(user, path)

    def freeze(self, user):
        """From now on the user's folders look as they look now."""
        with self.lock:
            self.frozen.pop(user, None)
            self.frozen[user] = {p: self._look(user, p)
                                 for p in self.paths(user)}

    def thaw(self, user):
        with self.lock:
            self.frozen.pop(user, None)

    def _look(self, user, path):
        where = self.dir(user, path)
        uids = self.uids.setdefault((user, self.guid(user, path) or path), {})
        out = {}
        for sub in ("new", "cur"):
            try:
                names = sorted(os.listdir(os.path.join(where, sub)))
            except OSError:
                continue
            for name in names:
                if name.startswith("."):
                    continue
                file = os.path.join(where, sub, name)
                base, _, flags = name.partition(":2,")
                try:
                    st = os.stat(file)
                    is_young = self.lag and time.time() - max(
                        st.st_mtime, st.st_ctime) < self.lag
                    if base not in uids:
                        if is_young:
                            continue
                        uids[base] = self._next_uid(user, path, uids)
                    if sub == "new" and self.select_moves:
                        # as Dovecot does when a client opens the folder
                        to = os.path.join(where, "cur", base + ":2," + flags)
                        os.rename(file, to)
                        file = to
                except OSError:
                    continue  # moved or deleted between listing and looking
                uid = str(uids[base])
                flags = "".join(sorted(flags))
                if is_young:
                    flags = self.flags.setdefault(base, flags)
                else:
                    self.flags[base] = flags
                out[uid] = Mail(uid, base, flags, file, st.st_mtime)
        return out

    def current_file(self, mail):
        """Where a mail's file is now; views may be old. None: gone."""
        if os.path.exists(mail.file):
            return mail.file
        where = os.path.dirname(os.path.dirname(mail.file))
        for sub in ("cur", "new"):
            try:
                for name in os.listdir(os.path.join(where, sub)):
                    if name.split(":")[0] == mail.base:
                        return os.path.join(where, sub, name)
            except OSError:
                pass
        return None

    def read(self, mail):
        file = self.current_file(mail)
        if file is None:
            return None
        with open(file, "rb") as f:
            return f.read()

    def set_flag(self, mail, flag, is_on):
        """@return the new flags, or None when the mail is gone"""
        file = self.current_file(mail)
        if file is None:
            return None
        where = os.path.dirname(os.path.dirname(file))
        flags = set(os.path.basename(file).partition(":2,")[2])
        (flags.add if is_on else flags.discard)(flag)
        flags = "".join(sorted(flags))
        target = os.path.join(where, "cur", mail.base + ":2," + flags)
        if file != target:
            os.rename(file, target)
        self.flags[mail.base] = flags  # one's own are there at once
        return flags

    def move(self, user, mail, target_path):
        """@return uid in the target, or None when the mail is gone"""
        file = self.current_file(mail)
        if file is None:
            return None
        flags = os.path.basename(file).partition(":2,")[2]
        target = os.path.join(self.dir(user, target_path), "cur",
                              mail.base + ":2," + flags)
        os.rename(file, target)
        return self.uid_of(user, target_path, mail.base)

    def expunge(self, mail):
        file = self.current_file(mail)
        if file is not None:
            os.unlink(file)
        return file is not None

    def deliver(self, user, path, data, flags=None):
        """A new mail; with flags it is appended to cur/, else delivered to
        new/. @return its base name"""
        where = self.dir(user, path)
        base = "%d.M%06dP%d.%s" % (time.time(), time.time_ns() // 1000
                                   % 1000000, os.getpid(),
                                   secrets.token_hex(4))
        tmp = os.path.join(where, "tmp", base)
        with open(tmp, "wb") as f:
            f.write(data)
        like = os.stat(where)
        os.chown(tmp, like.st_uid, like.st_gid)
        if flags is None:
            os.rename(tmp, os.path.join(where, "new", base))
        else:
            os.rename(tmp, os.path.join(where, "cur", base + ":2," + flags))
        return base

    def uid_of(self, user, path, base):
        with self.lock:
            uids = self.uids.setdefault(
                (user, self.guid(user, path) or path), {})
            if base not in uids:
                uids[base] = self._next_uid(user, path, uids)
            return str(uids[base])

    def _next_uid(self, user, path, uids):
        """Never twice in a folder of this name, though it is made anew, nor in
        this folder, though it has another name now."""
        uid = max([self.highest.get((user, path), 0), *uids.values()]) + 1
        self.highest[user, path] = uid
        return uid

    # --- collections in memory ---

    def pim_view(self, user, id_):
        """{uid: (stamp, node)}; the stamp grows with each change."""
        with self.lock:
            return dict(self.pim_items.get((user, id_), {}))

    def pim_put(self, user, id_, node, uid=None):
        with self.lock:
            items = self.pim_items.setdefault((user, id_), {})
            uid = uid or secrets.token_hex(6) + ".ics"
            self.pim_stamp += 1
            items[uid] = (self.pim_stamp, node)
            return uid

    def pim_delete(self, user, id_, uid):
        with self.lock:
            return self.pim_items.get((user, id_), {}).pop(uid, None)


def header(message, name):
    """A header as text, or "" - hostile mails included."""
    try:
        return str(email.header.make_header(email.header.decode_header(
            str(message.get(name, ""))))).replace("\0", "")
    except (ValueError, LookupError, AttributeError):
        return str(message.get(name, "")).replace("\0", "")


def parse(data):
    """{subject, from, to, date (ISO), text} of a message."""
    m = email.message_from_bytes(data, policy=email.policy.compat32)
    date = None
    try:
        date = email.utils.parsedate_to_datetime(m.get("Date", ""))
    except (ValueError, TypeError, IndexError):
        pass
    stamp = date.timestamp() if date else 0
    text = ""
    for part in m.walk():
        if part.get_content_type() == "text/plain":
            text = (part.get_payload(decode=True) or b"").decode(
                part.get_content_charset("utf-8") if _known(part) else "utf-8",
                "replace")
            break
    return {"subject": header(m, "Subject"), "from": header(m, "From"),
            "to": header(m, "To"),
            "date": time.strftime("%Y-%m-%dT%H:%M:%S.000Z",
                                  time.gmtime(stamp)),
            "text": text.replace("\0", "")}


def _known(part):
    try:
        "".encode(part.get_content_charset("utf-8"))
        return True
    except LookupError:
        return False
