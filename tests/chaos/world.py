"""The site that chaos plays with: real Apache with TLS, real directpushd, the
test backend, Maildirs, devices. All of it is drawn from the seed.
"""
import concurrent.futures
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

from dp.httpd import Certificate
from dp.process import wait_until
from dp.site import Site, temp_dir

from device import Device
from mailbox import Box

CALM_S = 90      # a limit for a condition
DISKS = (("run", "24m"), ("watcher", "8m"), ("devices", "48m"))
HABITS = {"upload": 0.08, "sync": 0.03, "tunnel": 0.02, "deaf": 0.02,
          "cut_request": 0.01, "cut_response": 0.03, "empty_ping": 0.3,
          "pipeline": 0.3}
ENVIRONMENT = threading.Lock()  # one process has but one
# what httpd says when we kill its children
EXPECTED = r"exit signal (Killed|Terminated) \(|AH00052.*\((9|15)\)"


def few_topics(users):
    """A table with room for a class topic and a folder list of each user, but
    not for all of their folders."""
    n = 256
    while n < 8 * users:
        n *= 2
    return n


class World:
    """@param size  devices
    @param with_clock  libfaketime is loaded into directpushd and Apache"""

    def __init__(self, seed, size, with_clock=False):
        rng = self.rng = random.Random(seed)
        self.seed = seed
        self.over = threading.Event()
        # servers end with the thread that started them: these stay
        self.hands = concurrent.futures.ThreadPoolExecutor(8)
        self.saved = {}
        self.was_cut = False  # httpd was told to end at once
        self.mounted = []
        users = {"u%03d" % i: "pw%d" % i for i in range(max(1, size // 2))}
        self.settings = {
            "id_style": rng.choice(("sogo", "zpush", "horde")),
            "journal": rng.choice((64, 64, 65536)),
            "topics": rng.choice((65536,) * 7 + (few_topics(len(users)),)),
            "user_topics": rng.choice((300,) * 7 + (4,)),
            # as the defaults are to each other, but shorter
            "pace": rng.choice(("2s",) * 7 + ("0s",)),
            "quiet": rng.choice(("2s", "4s")),
            "children": rng.choice((2, 3)),
            "never_empty_sync": rng.random() < 0.3,
            "omit_unchanged": rng.random() < 0.1}
        s = self.settings
        self.is_coarse = (s["topics"] < 16 * len(users)
                          or s["user_topics"] < 16)
        self.disk = temp_dir()
        self.certificate = Certificate(self.disk)
        self.site = Site(
            self.certificate, users, s["id_style"], folders=(), start=False,
            watcher_conf=["journal = %d" % s["journal"],
                          "topics = %d" % s["topics"],
                          "user_topics = %d" % s["user_topics"]],
            httpd={"children": s["children"], "threads": 12,
                   "tune": {"DirectPushPace": s["pace"],
                            "DirectPushQuiet": s["quiet"],
                            "DirectPushBackendLag": "1s",
                            "DirectPushDrain": "2s",
                            "DirectPushFallbackInterval": "1h 1h",
                            "DirectPushProvoke": "200"},
                   "max_keepalive": 0, "log_level": "notice"})
        self.watcher, self.backend = self.site.watcher, self.site.backend
        self.clock_file = os.path.join(self.disk, "clock")
        self.with_clock = with_clock
        self.step_clock(0)
        self.boxes = [Box(None, u, self.site.maildirs[u].path,
                          random.Random("%s %s" % (seed, u))) for u in users]
        self.devices = []

    # --- parts ---

    @property
    def httpd(self):
        return self.site.httpd

    def _mount(self):
        for name, size in DISKS:
            where = os.path.join(self.site.where, name)
            os.makedirs(where, exist_ok=True)
            done = subprocess.run(["mount", "-t", "tmpfs", "-o",
                                   "size=%s,mode=755" % size, "none", where],
                                  stderr=subprocess.DEVNULL)
            if done.returncode == 0:
                self.mounted.append(where)

    @contextlib.contextmanager
    def _faked_clock(self):
        """Programs that are started in this block have the stepped clock."""
        faked = {} if not self.with_clock else {
            "LD_PRELOAD": self.with_clock, "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_TIMESTAMP_FILE": self.clock_file,
            "FAKETIME_CACHE_DURATION": "1", "FAKETIME_NO_CACHE": "0"}
        with ENVIRONMENT:
            old = {k: os.environ.get(k) for k in faked}
            os.environ.update(faked)
            try:
                yield
            finally:
                for key, value in old.items():
                    if value is None:
                        os.environ.pop(key, None)
                    else:
                        os.environ[key] = value

    def step_clock(self, seconds):
        with open(self.clock_file + ".new", "w") as f:
            f.write("%+d" % seconds)
        os.rename(self.clock_file + ".new", self.clock_file)

    def start_watcher(self):
        """As systemd does it: again, until it runs."""
        def runs():
            with self._faked_clock():
                self.watcher.spawn()
            wait_until(lambda: self.watcher.answers()
                       or not self.watcher.process.is_running,
                       "directpushd answers or gives up")
            return self.watcher.process.is_running
        wait_until(runs, lambda: "directpushd runs: "
                   + self.watcher.output()[-2000:], every=0.2)

    def await_watcher(self):
        wait_until(self.watcher.answers, lambda: "directpushd answers: "
                   + self.watcher.output()[-2000:])

    def start_httpd(self):
        with self._faked_clock():
            self.httpd.start()

    def stop_httpd(self, number):
        """At once, phones or not."""
        children = self.httpd.children()
        self.was_cut = True
        self.httpd.process.signal(signal.SIGCONT)
        self.httpd.process.signal(number)
        if number == signal.SIGKILL:
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        self.httpd.process.wait()
        wait_until(lambda: not any(os.path.exists("/proc/%d" % p)
                                   for p in children), "children are gone")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.httpd.where, "httpd.pid"))

    def start(self, history):
        self._mount()
        for box in self.boxes:
            box.history = history
        self.backend.start()  # it compares its clock with the times of files
        with self._faked_clock():
            self.site.start()
        self.httpd.allow(r".*")  # errors are what faults are for
        self.backend.set(never_empty_sync=self.settings["never_empty_sync"],
                         omit_unchanged=self.settings["omit_unchanged"])

    def start_devices(self, history, size):
        users = sorted(self.site.users)
        for i in range(size):
            user = users[i % len(users)]
            is_plain = self.rng.random() < 0.2
            device = Device(
                history, lambda p=is_plain: self.httpd.endpoint(not p), user,
                self.site.users[user], "dev%03d" % i,
                "%s %d" % (self.seed, i), HABITS)
            self.devices.append(device)
            device.start()

    # --- copies of state, for a fault that puts an old one back ---

    def save(self):
        """Now and then, while all is in order."""
        for name, path in (("bus", self.watcher.bus),
                           ("cursors", self.watcher.state_dir),
                           ("devices", self.httpd.state_dir)):
            copy = os.path.join(self.disk, name)
            if os.path.isdir(path):
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(path, copy, copy_function=shutil.copy2)
            else:
                shutil.copy2(path, copy)
            self.saved[name] = copy

    def put_back(self, name, path):
        copy = self.saved.get(name)
        if copy is None:
            return
        owner = os.stat(path)
        if not os.path.isdir(copy):
            shutil.copy2(copy, path + ".old")
            os.chown(path + ".old", owner.st_uid, owner.st_gid)
            os.rename(path + ".old", path)
            return
        for file in os.listdir(copy):
            where = os.path.join(path, file)
            shutil.copy2(os.path.join(copy, file), where)
            os.chown(where, owner.st_uid, owner.st_gid)

    # --- are all in step? ---

    def behind(self, which=None):
        """{device id: (what it shows, what is there)} of those not in step."""
        out, truth = {}, {}
        for box in self.boxes:
            truth[box.user] = box.shows()
        for d in self.devices:
            if which is None or d.id in which:
                shows = d.shows()
                if shows != truth[d.phone.user]:
                    out[d.id] = (shows, truth[d.phone.user])
        return out

    def calm(self, seconds=CALM_S):
        """All is in order, nothing changes: wait until all devices show what
        there is. @return behind()"""
        for d in self.devices:
            d.calm.set()
        until = time.monotonic() + seconds
        behind = self.behind()
        while behind and time.monotonic() < until:
            time.sleep(0.05)
            behind = self.behind(behind)
            behind = behind or self.behind()
        return behind

    def settle(self, rest_s=3, seconds=CALM_S):
        """Wait until each device has had a Ping out for so long."""
        def is_settled():
            now = time.monotonic()
            return all(d.ping_sent and now - d.ping_sent > rest_s
                       for d in self.devices)
        wait_until(is_settled, "all Pings are held", seconds)

    def turmoil(self):
        for d in self.devices:
            d.calm.clear()

    def crashes(self):
        """What must not be in the log whatever happens. One is httpd's own: a
        child that is told to end at once, close_worker_sockets(), races with
        its workers (dp/httpd.py, settle)."""
        self.httpd.allowed = [EXPECTED]
        bad = [line for line in self.httpd.unexpected()
               if re.search(r"exit signal|Assertion|AddressSanitizer|"
                            r"runtime error|DP_ASSERT", line)]
        traces = self.httpd.backtraces() if bad else ""
        if (self.was_cut and all("Segmentation fault" in x for x in bad)
                and (not traces or "close_worker_sockets" in traces)):
            for line in bad:
                print("not counted: " + line)
            return []
        return bad + ([traces] if traces else [])

    def stop(self):
        self.over.set()
        for d in self.devices:
            d.end()
        for d in self.devices:
            d.join(30)
        try:
            self.site.stop()
        finally:
            self.hands.shutdown()
            for where in reversed(self.mounted):
                subprocess.run(["umount", where], check=False)

    def remove(self):
        shutil.rmtree(self.disk, ignore_errors=True)
        self.site.remove()
