"""What happens at the mailboxes, without any phone: deliveries, flags,
deletions, moves, folders that are renamed, deleted and made again.

One `Box` per user. The files of the Maildir are the truth; that of which mail
is which (name of the file -> subject) is kept here.
"""
import contextlib
import itertools
import os
import shutil
import threading
import time

from dp.maildir import Maildir

_numbers = itertools.count(1)
MAILS_MAX = 12  # of a folder: a Sync's cost is not what this is about


def until_it_works(work, tries=200):
    """The backend moves new/ to cur/ as it looks: a name may be another by
    now. @return what `work` does, or None when it never could"""
    for _ in range(tries):
        try:
            return work()
        except FileNotFoundError:
            time.sleep(0.001)
    return None


class Box:
    def __init__(self, history, user, root, rng):
        self.history, self.user, self.rng = history, user, rng
        self.lock = threading.RLock()
        self.maildir = Maildir(root)
        self.subjects = {}     # base of the file's name -> subject
        self.touched = set()   # subjects that changed in this round
        for folder in ("Work", "Lists", "Lists/Linux"):
            self.maildir.create(folder)

    def new_round(self, history):
        with self.lock:
            self.history = history
            self.touched.clear()

    # --- the truth ---

    def shows(self):
        """{path: {subject: is read}} as the files are now."""
        with self.lock:
            out = {}
            for path in self.maildir.folders():
                mails = out[path] = {}
                for file in until_it_works(
                        lambda p=path: self.maildir.mails(p)) or ():
                    base, _, flags = os.path.basename(file).partition(":2,")
                    if base in self.subjects:
                        mails[self.subjects[base]] = "S" in flags
            return out

    def _mails(self, path):
        return [m for m in until_it_works(
            lambda: self.maildir.mails(path)) or ()
            if os.path.basename(m).split(":")[0] in self.subjects]

    def _subject(self, file):
        return self.subjects[os.path.basename(file).split(":")[0]]

    def _noted(self, kind, path, subject, began, at=None):
        self.touched.add(subject)
        self.history.changed(self.user, path, kind, subject, began,
                             at or time.monotonic())

    # --- changes ---

    def change(self):
        """One at random."""
        with self.lock:
            path = self.rng.choice(self.maildir.folders())
            mails = self._mails(path)
            # once a round: what is taken back at once tells nothing
            fit = [m for m in mails if self._subject(m) not in self.touched]
            if len(mails) >= MAILS_MAX and fit:
                self.delete(path, self.rng.choice(fit))
            elif not fit or self.rng.random() < 0.55:
                self.deliver(path)
            else:
                what = self.rng.choice(("flag", "flag", "delete", "move"))
                getattr(self, what)(path, self.rng.choice(fit))

    def deliver(self, path):
        with self.lock:
            subject = "%s-%d" % (self.user, next(_numbers))
            tmp = self.maildir.prepare(subject, path)
            self.subjects[os.path.basename(tmp)] = subject
            mail = self.maildir.commit(tmp)
            self._noted("add", path, subject, mail.began, mail.at)

    def flag(self, path, file):
        def work():
            at = self.maildir.locate(file)
            flags = os.path.basename(at).partition(":2,")[2]
            is_read = "S" not in flags
            return is_read, self.maildir.set_flags(
                at, flags + "S" if is_read else flags.replace("S", ""))
        done = until_it_works(work)
        if done:
            self._noted("read" if done[0] else "unread", path,
                        self._subject(file), done[1].began, done[1].at)

    def delete(self, path, file):
        began = time.monotonic()
        if until_it_works(lambda: self.maildir.delete(file) or True):
            self._noted("delete", path, self._subject(file), began)

    def move(self, path, file):
        to = self.rng.choice(self.maildir.folders())
        if to == path:
            return
        began = time.monotonic()

        def work():
            at = self.maildir.locate(file)
            os.rename(at, os.path.join(self.maildir.dir(to), "cur",
                                       os.path.basename(at).split(":")[0]
                                       + ":2," + os.path.basename(at)
                                       .partition(":2,")[2]))
            return True
        if until_it_works(work):
            self._noted("delete", path, self._subject(file), began)
            self._noted("add", to, self._subject(file), began)

    # --- folders ---

    def folder_change(self):
        """One of them is renamed, or deleted and at times made again at once;
        or there is a new one."""
        with self.lock:
            paths = [p for p in self.maildir.folders()
                     if p.startswith("Dyn")]
            what = self.rng.choice(("create", "rename", "remove", "recreate"))
            if not paths or (what == "create" and len(paths) < 3):
                self._create("Dyn%d" % next(_numbers))
                return
            path = self.rng.choice(paths)
            if what == "rename":
                self._moved_folder(path, "Dyn%d" % next(_numbers))
            else:
                self._remove(path)
                if what == "recreate":
                    self._create(path)

    def _create(self, path):
        self.maildir.create(path)
        self.deliver(path)

    def _moved_folder(self, path, to):
        until_it_works(lambda: self.maildir.rename(path, to))

    def _remove(self, path):
        """Renamed out of sight first."""
        trash = self.maildir.path + ".trash"
        gone = [os.path.basename(m).split(":")[0] for m in self._mails(path)]
        os.rename(self.maildir.dir(path), trash)
        shutil.rmtree(trash, ignore_errors=True)
        for base in gone:
            self.subjects.pop(base, None)

    def overflow(self):
        """More events than the kernel's queue has room for, of a file that is
        no mail, in a folder that is watched."""
        where = self.maildir.dir("INBOX") + "/cur"
        names = [where + "/.one", where + "/.two"]
        with contextlib.suppress(FileExistsError):
            os.close(os.open(names[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        with open("/proc/sys/fs/inotify/max_queued_events") as f:
            n = int(f.read())
        for i in range(n // 2 + 64):
            os.rename(names[i % 2], names[1 - i % 2])
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
