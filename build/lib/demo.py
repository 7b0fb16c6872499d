"""The demonstration of build/quickstart: a private site, a phone, a mail.

Everything lives in one temporary folder and on loopback. What it starts it
ends by its own pid. $DP_BUILD_DIR has the programs.
"""
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time

REPO = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(REPO, "tests", "e2e"))

from dp.httpd import Certificate  # noqa: E402
from dp.maildir import message  # noqa: E402
from dp.process import built, wait_until  # noqa: E402
from dp.site import Site, temp_dir  # noqa: E402

USER = "alice"
SUBJECT = "Lunch at noon?"
LIMIT_S = 60     # for each step; a working machine needs a fraction of it
PACE_S = 5       # DirectPushPace: announcements to one phone are that far apart
# The demonstration runs with the module's own defaults, not the tests'.
DEFAULTS = dict.fromkeys(("DirectPushHeartbeat", "DirectPushPace",
                          "DirectPushQuiet", "DirectPushBackendLag"))


class Failed(Exception):
    """A step did not work; the text tells people what was expected."""


class Device:
    """directpush-device as a process; its events, with the time that each was
    read (monotonic, the clock of the delivery)."""

    def __init__(self, site, password, user=USER):
        self.errors = os.path.join(site.where, "phone.log")
        with open(self.errors, "w") as errors:
            self.popen = subprocess.Popen(
                self.command(site, user) + ["--json"], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, text=True,
                env=dict(os.environ, DIRECTPUSH_PASSWORD=password),
                start_new_session=True)
        self.events = queue.Queue()
        self.last_answer_at = time.monotonic()
        self.last = None
        threading.Thread(target=self._read, daemon=True).start()

    @staticmethod
    def command(site, user=USER):
        # an id of its own: directpush-device run by hand is another phone
        return [built("directpush-device"), "--device-id", "quickstart",
                "--ca", site.certificate.cert,
                "https://localhost:%d" % site.httpd.tls_port, user]

    def _read(self):
        for line in self.popen.stdout:
            self.events.put((time.monotonic(), json.loads(line)))
        self.events.put((time.monotonic(), None))

    def next(self, within):
        """The next event, or None when none came in that time."""
        try:
            at, event = self.events.get(timeout=max(0, within))
        except queue.Empty:
            return None
        if event is None:
            raise Failed("the phone ended: exit status %s"
                         % self.popen.wait())
        if event["event"] in ("woken", "answered"):
            self.last_answer_at = at
        event["at"] = at
        self.last = event
        return event

    def until(self, name, what):
        """The next event of that name, those before are passed over."""
        end = time.monotonic() + LIMIT_S
        seen = []
        while True:
            event = self.next(end - time.monotonic())
            if event is None:
                raise Failed("%s did not happen within %d s; the phone saw: %s"
                             % (what, LIMIT_S, ", ".join(seen) or "nothing"))
            if event["event"] == name:
                return event
            seen.append(event["event"])

    def stop(self):
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


def say(text="", *values):
    print(text % values if values else text, flush=True)


def step(number, text, *values):
    say("\n%d  " % number + text, *values)


def show(text, *values):
    say("     " + text, *values)


def server_version():
    said = subprocess.run(["/usr/sbin/apache2", "-v"], text=True,
                          stdout=subprocess.PIPE).stdout
    return said.splitlines()[0].partition(": ")[2]


def start(site):
    step(1, "Private servers in %s", site.where)
    site.start()
    show("%s, event MPM: https://localhost:%d", server_version(),
         site.httpd.tls_port)
    show("directpushd watches %s", site.watcher.maildir)
    show("tests/backend/easbackend.py, the ActiveSync backend: port %d",
         site.backend.port)


def sign_in(device):
    step(2, "A phone (directpush-device) signs in and synchronises")
    connected = device.until("connected", "the phone's connection")
    show("%s, connection #%d", connected["tls"], connected["connection"])
    folders = device.until("foldersync", "FolderSync")
    show("%d folders; it watches %s", folders["folders_n"], ", ".join(
        f["name"] for f in folders["folders"] if f["watched"]))


def hold(site, device):
    """Until a Ping is held that nothing was announced over just now."""
    step(3, "Its Ping is held")
    ping = device.until("ping", "the first Ping")
    end = time.monotonic() + LIMIT_S
    while True:
        # what was announced at first, because nobody had vouched for it yet
        # or to be sure of the folder list, is behind us
        event = device.next(device.last_answer_at + PACE_S + 0.5
                            - time.monotonic())
        if event is not None and event["event"] == "ping":
            ping = event
        if event is None and device.last is ping and site.held() == 1:
            break
        if time.monotonic() > end:
            raise Failed("no Ping is held: %d held, the last event is %r"
                         % (site.held(), device.last))
    show("for up to %d s: connection #%d, request %d", ping["heartbeat"],
         ping["connection"], ping["request"])
    wait_until(lambda: site.httpd.busy_workers() == 0,
               "Apache's workers are free while the Ping is held", LIMIT_S)
    show("held by Apache: %d; workers busy with it: %d; Pings at the "
         "backend: %d", site.held(), site.httpd.busy_workers(),
         site.backend.count(cmd="Ping"))
    return ping


def wake(site, device):
    step(4, "A mail arrives: renamed from tmp/ into new/ of her Maildir")
    data = message(SUBJECT, "Bob <bob@example.org>", USER + "@example.org",
                   "The usual place.\n")
    mail = site.mails(USER).deliver(data=data)
    show("%s", mail.path)
    for line in data.decode().split("\n\n")[0].splitlines():
        if line.startswith(("From:", "Subject:")):
            show("    %s", line)
    woken = device.until("woken", "the wake-up after the delivery")
    folders = [f["name"] for f in woken["folders"]]
    ms = (woken["at"] - mail.began) * 1000
    step(5, "The phone is told after %.1f ms: %s", ms, ", ".join(folders))
    show("from the rename to the answer read at the phone, through TLS")
    if folders != ["INBOX"]:
        raise Failed("expected INBOX alone to be named")
    return ms


def sync(device):
    step(6, "It syncs")
    got = device.until("sync", "the Sync after the wake-up")
    titles = ["\"%s\" from %s" % (i["title"], i["from"])
              for i in got["items"] if i["op"] == "add"]
    show("%s: %d new: %s", got["name"], got["added"], ", ".join(titles))
    if SUBJECT not in [i["title"] for i in got["items"]]:
        raise Failed("the Sync did not bring the mail")


def hold_again(site, device, before):
    step(7, "Its next Ping is held, on the same connection")
    ping = device.until("ping", "the next Ping")
    wait_until(lambda: site.held() == 1, "the next Ping is held", LIMIT_S)
    show("connection #%d, request %d", ping["connection"], ping["request"])
    if ping["connection"] != before["connection"]:
        raise Failed("it is another connection")


def explain(site, password):
    say("\nIt goes on until Ctrl-C. Deliver a mail yourself, in another "
        "terminal (a phone is\ntold every %d s at most: DirectPushPace):\n",
        PACE_S)
    say("  d=%s; m=$(date +%%s%%N)\n"
        "  printf 'From: you@example.org\\nSubject: Hello\\n\\nIt works.\\n' "
        ">$d/tmp/$m && mv $d/tmp/$m $d/new/", site.mails(USER).path)
    say("\nA second phone, the watcher's changes as they come, and counters:"
        "\n")
    say("  DIRECTPUSH_PASSWORD=%s %s -d secondphone", password,
        " ".join(Device.command(site)))
    say("  %s -c %s follow", built("directpushctl"), site.watcher.conf)
    say("  curl http://127.0.0.1:%d/directpush-status\n",
        site.httpd.admin_port)


def describe(event):
    """An event of the phone as a line for people, or None."""
    name = event["event"]
    if name == "woken":
        return "woken after %s s: %s" % (event["after"], ", ".join(
            f["name"] for f in event["folders"]))
    if name == "sync":
        titles = ["\"%s\"" % i["title"] for i in event["items"]
                  if i["op"] == "add"]
        return "Sync of %s: %d new%s" % (event["name"], event["added"],
                                         ": " * bool(titles)
                                         + ", ".join(titles))
    if name == "ping":
        return "Ping held: connection #%d, request %d" % (
            event["connection"], event["request"])
    if name in ("answered", "lost", "retry", "error"):
        return "%s: %s" % (name, event.get("why") or event.get("text")
                           or "Status %s" % event.get("status"))
    return None


def follow(device):
    while True:
        event = device.next(3600)
        text = event and describe(event)
        if text:
            say("  %s  %s", time.strftime("%H:%M:%S"), text)


def report(site, error):
    say("\nThis did not work: %s\n", str(error) or repr(error))
    for name, text in site.logs():
        say("---- the end of %s", name)
        for line in text.splitlines()[-15:]:
            say("    %s", line)


def demonstrate(site, device_of, is_once, password):
    start(site)
    device = device_of()
    sign_in(device)
    before = hold(site, device)
    ms = wake(site, device)
    sync(device)
    hold_again(site, device, before)
    say("\nDone: held, woken after %.1f ms, synchronised, held again.", ms)
    if not is_once:
        explain(site, password)
        follow(device)


def main():
    is_once = "--once" in sys.argv[1:]

    def end(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    password = secrets.token_hex(4)
    keys = temp_dir()
    site, devices, status = None, [], 1

    def device_of():
        devices.append(Device(site, password))
        return devices[0]
    try:
        site = Site(Certificate(keys), users={USER: password}, start=False,
                    httpd={"tune": DEFAULTS, "children": 2, "threads": 25})
        demonstrate(site, device_of, is_once, password)
        status = 0
    except KeyboardInterrupt:
        say("\nStopping.")
        status = 130 if is_once else 0
    except (Failed, AssertionError, OSError) as error:
        if site is None:
            say("This did not work: %s", error)
        else:
            report(site, error)
    finally:
        # a second Ctrl-C shall not leave servers behind
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for device in devices:
            device.stop()
        if site is not None:
            site.stop()
            for failure in site.failures:
                say("at the end: %s", failure)
                status = status or 1
            shutil.rmtree(site.where, ignore_errors=True)
        shutil.rmtree(keys, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
