"""Maildirs as mail servers write them: the tests' mail delivery agent.

Folders are Maildir++: INBOX is the directory itself, `Projects/2026` is
`.Projects.2026`. With `guid` a folder has the dovecot-uidlist that Dovecot
writes, whose first line carries the GUID in SOGo's folder ids.
"""
import base64
import email.message
import email.utils
import itertools
import os
import secrets
import shutil
import time

_numbers = itertools.count(1)


def utf7_encode(name):
    """Modified UTF-7 of a folder name (RFC 3501, 5.1.3)."""
    out, run = [], []

    def flush():
        if run:
            data = "".join(run).encode("utf-16-be")
            out.append("&" + base64.b64encode(data).decode().rstrip("=")
                       .replace("/", ",") + "-")
            run.clear()
    for ch in name:
        if 0x20 <= ord(ch) <= 0x7E:
            flush()
            out.append("&-" if ch == "&" else ch)
        else:
            run.append(ch)
    flush()
    return "".join(out)


def message(subject="hello", sender="Sender <sender@example.org>",
            to="alice@example.org", body="It is only a test.\n", size=0):
    """Bytes of an RFC 5322 message; `size` pads the body to that many."""
    m = email.message.EmailMessage()
    m["From"], m["To"], m["Subject"] = sender, to, subject
    m["Date"] = email.utils.formatdate()
    m["Message-ID"] = "<%s@example.org>" % secrets.token_hex(12)
    if size > len(body):
        body += ("x" * 70 + "\n") * ((size - len(body)) // 71 + 1)
    m.set_content(body)
    return m.as_bytes()


class Delivered:
    """A mail in a Maildir: `at` is the monotonic time right after the rename
    that made it visible (`began` right before); `path` is where it is now."""

    def __init__(self, path, began, at):
        self.path, self.began, self.at = path, began, at

    @property
    def base(self):
        return os.path.basename(self.path).split(":")[0]

    def __repr__(self):
        return "<mail %s>" % self.path


class Maildir:
    def __init__(self, path, guid=True, owner=None):
        """Create it unless it is there.
        @param guid  write dovecot-uidlist files
        @param owner  (uid, gid) of what is made, or None"""
        self.path = os.path.abspath(path)
        self.with_guid = guid
        self.owner = owner
        self._make(self.path)

    def _own(self, path):
        if self.owner:
            os.chown(path, *self.owner)

    def _make(self, path):
        """Who sees it, by its cur/, sees its GUID as well."""
        for sub in ("", "tmp", "new", "cur"):
            where = os.path.join(path, sub)
            if not os.path.isdir(where):
                os.makedirs(where, 0o755)
                self._own(where)
            uidlist = os.path.join(path, "dovecot-uidlist")
            if self.with_guid and not os.path.exists(uidlist):
                self.write_uidlist(path, secrets.token_hex(16))

    def write_uidlist(self, path, guid):
        """As Dovecot does it: a new file renamed over the old."""
        name = os.path.join(path, "dovecot-uidlist")
        with open(name + ".tmp", "w") as f:
            f.write("3 V%d N1 G%s\n" % (time.time(), guid))
        self._own(name + ".tmp")
        os.rename(name + ".tmp", name)

    def dir(self, folder="INBOX"):
        """The directory of a folder, `/` between its components."""
        if folder.upper() == "INBOX":
            return self.path
        return os.path.join(self.path, "." + ".".join(
            utf7_encode(part) for part in folder.split("/")))

    def guid(self, folder="INBOX"):
        """The GUID in the folder's dovecot-uidlist, or None."""
        try:
            with open(os.path.join(self.dir(folder), "dovecot-uidlist")) as f:
                for word in f.readline().split():
                    if word.startswith("G"):
                        return word[1:]
        except FileNotFoundError:
            pass
        return None

    # --- folders ---

    def create(self, folder):
        """Make a folder (and nothing else)."""
        self._make(self.dir(folder))
        return self

    def rename(self, folder, to):
        """Rename it and those beneath it, as Dovecot does."""
        old, new = os.path.basename(self.dir(folder)), os.path.basename(
            self.dir(to))
        for name in os.listdir(self.path):
            if name == old or name.startswith(old + "."):
                os.rename(os.path.join(self.path, name),
                          os.path.join(self.path, new + name[len(old):]))

    def remove(self, folder):
        shutil.rmtree(self.dir(folder))

    def folders(self):
        return ["INBOX"] + sorted(
            n[1:].replace(".", "/") for n in os.listdir(self.path)
            if n.startswith(".") and os.path.isdir(
                os.path.join(self.path, n, "cur")))

    # --- mails ---

    def _name(self):
        return "%d.M%06dP%dQ%d.test" % (time.time(), time.time_ns() // 1000
                                      % 1000000, os.getpid(), next(_numbers))

    def prepare(self, subject="hello", folder="INBOX", data=None, **kw):
        """A mail in tmp/, whole and on its way; `commit` delivers it."""
        where = self.dir(folder)
        tmp = os.path.join(where, "tmp", self._name())
        with open(tmp, "wb") as f:
            f.write(message(subject, **kw) if data is None else data)
            f.flush()
        self._own(tmp)
        return tmp

    def commit(self, tmp):
        """The rename into new/. @return Delivered"""
        target = os.path.join(os.path.dirname(os.path.dirname(tmp)), "new",
                              os.path.basename(tmp))
        began = time.monotonic()
        os.rename(tmp, target)
        return Delivered(target, began, time.monotonic())

    def deliver(self, subject="hello", folder="INBOX", data=None, **kw):
        """What an MDA does: write to tmp/, rename to new/.
        @return Delivered"""
        return self.commit(self.prepare(subject, folder, data, **kw))

    def mails(self, folder="INBOX"):
        """Paths of all mails of a folder."""
        where = self.dir(folder)
        return [os.path.join(where, sub, name) for sub in ("new", "cur")
                for name in sorted(os.listdir(os.path.join(where, sub)))]

    def locate(self, mail):
        """Path of a delivered mail, whatever its flags are by now."""
        base = mail.base if isinstance(mail, Delivered) else \
            os.path.basename(mail).split(":")[0]
        where = os.path.dirname(os.path.dirname(
            mail.path if isinstance(mail, Delivered) else mail))
        for sub in ("cur", "new"):
            for name in os.listdir(os.path.join(where, sub)):
                if name.split(":")[0] == base:
                    return os.path.join(where, sub, name)
        raise FileNotFoundError(base)

    def set_flags(self, mail, flags="S"):
        """Flags of a mail, as an IMAP server stores them (S seen, F flagged, R
        answered, D draft, T deleted): a rename within or into cur/."""
        path = self.locate(mail)
        where = os.path.dirname(os.path.dirname(path))
        name = os.path.basename(path).split(":")[0]
        target = os.path.join(where, "cur", name + ":2," + "".join(
            sorted(set(flags))))
        began = time.monotonic()
        os.rename(path, target)
        moved = Delivered(target, began, time.monotonic())
        if isinstance(mail, Delivered):
            mail.path = target
        return moved

    def select(self, folder="INBOX"):
        """An IMAP client opens the folder: new/ is emptied into cur/."""
        where = self.dir(folder)
        for name in os.listdir(os.path.join(where, "new")):
            os.rename(os.path.join(where, "new", name),
                      os.path.join(where, "cur", name.split(":")[0] + ":2,"))

    def delete(self, mail):
        """Expunge. @return monotonic time after it"""
        os.unlink(self.locate(mail))
        return time.monotonic()

    def copy(self, mail, folder):
        """COPY by an IMAP server: tmp/ and then cur/, never new/."""
        path = self.locate(mail)
        where = self.dir(folder)
        flags = os.path.basename(path).partition(":2,")[2]
        name = self._name()
        tmp = os.path.join(where, "tmp", name)
        shutil.copyfile(path, tmp)
        self._own(tmp)
        target = os.path.join(where, "cur", name + ":2," + flags)
        began = time.monotonic()
        os.rename(tmp, target)
        return Delivered(target, began, time.monotonic())
