"""Passwords, and the key under which proofs are kept: in no log at its most
talkative level, in no file, not at the control socket, and not in the memory of
directpushd, which a core of it would be. Of Apache's own memory nothing is said
here: httpd has each request's Authorization in it, and writes no cores unless
CoreDumpDirectory tells it to."""
import base64
import os
import re
import subprocess

import pytest

from dav_server import DavServer
from dp.process import built, wait_until
from test_104_devices import twin

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PASSWORDS = {"alice": "xyzzy-4lice-pl ugh", "bob": "frobozz:B0b/ä+="}
WRONG = "wr0ng-quux-guess"
DAV = "dav-zork-S3cret"


def spellings(user, password):
    """How it may come to lie somewhere."""
    for charset in ("utf-8", "latin-1"):
        text = password.encode(charset)
        yield text
        yield base64.b64encode(user.encode() + b":" + text)
        yield text.hex().encode()


def all_spellings():
    out = {s for user, password in PASSWORDS.items()
           for s in spellings(user, password)}
    return out | set(spellings("alice", WRONG))


def memory(pid, writable=True):
    """(path, bytes) of a process's mappings."""
    with open("/proc/%d/maps" % pid) as f:
        maps = f.read().splitlines()
    with open("/proc/%d/mem" % pid, "rb") as mem:
        for line in maps:
            m = re.match(r"(\w+)-(\w+) r(.)(.)(.) \S+ \S+ \S+\s*(.*)", line)
            if not m or (writable and m[3] != "w"):
                continue
            start, end = int(m[1], 16), int(m[2], 16)
            try:
                mem.seek(start)
                yield m[6], m[5], mem.read(end - start)
            except (OSError, OverflowError, ValueError):
                continue  # [vvar] and the like


def files(site):
    """What directpushd and Apache have written."""
    names = [os.path.join(site.where, f) for f in (
        "error.log", "access.log", "directpushd.out", "run/bus")]
    for d in ("devices", "watcher"):
        for where, _, found in os.walk(os.path.join(site.where, d)):
            names += [os.path.join(where, f) for f in found]
    return names


def content(path):
    with open(path, "rb") as f:
        return f.read()


def proof_key(site):
    """32 bytes at the begin of the memory that Apache's children share, there
    twice (dp_shared.proof_key, dp_recent.key)."""
    for _, sharing, data in memory(site.httpd.pid):
        head = data[:4096]
        for at in range(0, 512, 4) if sharing == "s" else ():
            key = head[at:at + 32]
            # what stands around it is mostly zero
            if (len(set(key)) > 16 and not key.isascii()
                    and b"\0\0\0\0" not in key
                    and head.find(key, at + 32) >= 0):
                return key
    raise AssertionError("no proof key found")


@pytest.fixture
def dav():
    server = DavServer()
    yield server
    server.stop()


@pytest.mark.unsanitized("shadows of memory are 20 TB")
def test_no_secret_lies_about(make_site, dav, tmp_path):
    password = tmp_path / "dav.password"
    password.write_text(DAV + "\n")
    password.chmod(0o600)
    site = make_site(
        users=PASSWORDS, httpd=dict(log_level="debug directpush:trace8"),
        watcher_conf=['log_level = "debug"',
                      'dav { url = "http://127.0.0.1:%d/dav/%%u/"' % dav.port,
                      'interval = 1', 'user = "push"',
                      'password_file = "%s" }' % password])
    site.httpd.allow("directpush:")
    follower = subprocess.Popen(
        [built("directpushctl"), "-s", site.watcher.socket, "follow"],
        stdout=subprocess.PIPE)

    # all that happens to a password: right, wrong, changed, over TLS and not
    phone, ping = site.held_phone()
    other, other_ping = site.held_phone(user="bob", tls=False)
    guesser = twin(site, phone, password=WRONG)
    for command in ("Ping", "Sync", "FolderSync"):
        assert guesser.request(command, phone.sync_body("INBOX")).status == 401
    calendar = [("vevent%2Fpersonal", "Calendar")]
    planner = site.synced_phone(user="bob")
    planner.start_ping(calendar, 600)
    wait_until(lambda: dav.looks() > 1)
    site.mails().deliver("hello")
    assert ping.answer().folders == [phone.id("INBOX")]
    site.backend.control(user={"alice": None})
    assert phone.request("Sync", phone.sync_body("INBOX")).status == 401
    site.backend.control(user={"alice": PASSWORDS["alice"]})
    site.watcher.ctl("forget", "bob")
    assert other_ping.answer().status in (1, 2)
    since = site.backend.mark()
    other.start_ping(["INBOX"], 600)  # unproven now: the backend's
    site.backend.wait_for(since, cmd="Ping", user="bob")
    phone.sync_until_done("INBOX")
    held = site.hold(phone)

    # the memory of a process that has never seen one
    pid = site.watcher.pid
    pages = b"".join(data for _, _, data in memory(pid))
    assert DAV.encode() in pages, "so this is where it would be"
    for secret in all_spellings():
        assert secret not in pages
    key = proof_key(site)
    assert key not in pages

    said = site.watcher.ctl("status", "--json").stdout.encode()
    said += site.httpd.get("/directpush-status").body
    said += site.httpd.get("/directpush-status?metrics").body
    assert held.is_held()
    site.backend.control(clear=True, end_holds=True)
    site.httpd.stop()
    site.watcher.stop()
    said += follower.communicate()[0]
    assert b"alice" in said, "the follower saw something"

    names = files(site)
    assert any("devices" in n for n in names)
    assert any("watcher" in n for n in names)
    dav_spellings = set(spellings("push", DAV))
    for name, text in [("what is said", said)] + [(n, content(n))
                                                  for n in names]:
        for secret in all_spellings() | dav_spellings | {key, key[:16],
                                                         key[16:]}:
            assert secret not in text, (name, secret)
