"""Maildirs of many users, below one directory: MAIL/u000000/{tmp,new,cur}."""
import os
import shutil

PARTS = ("tmp", "new", "cur")


def user(number):
    """As load_user() in load.c."""
    return "u%06d" % number


class Tree:
    def __init__(self, where):
        self.mail = os.path.join(where, "mail")
        os.mkdir(self.mail)
        self.n = 0

    def grow(self, n):
        for i in range(self.n, n):
            home = "%s/%s" % (self.mail, user(i))
            os.mkdir(home)
            for part in PARTS:
                os.mkdir(home + "/" + part)
        self.n = max(self.n, n)

    def remove(self):
        shutil.rmtree(self.mail)


def most_users():
    """How many Maildirs the kernel's limit has room for: three watches each,
    and some for what else runs here."""
    with open("/proc/sys/fs/inotify/max_user_watches") as f:
        return (int(f.read()) - 10000) // 3
