"""What breaks. Each fault is a function of the world; it breaks something, and
mends it before it returns, so that a round ends with everything in order.

`part` is what it takes for itself: two faults of the same part are not at the
same time. One that `forgets` takes something away without which nobody can know
that nothing has changed, or how much: each device then has to look, once. One
that `forgets_maps` takes away which collection is which folder.
"""
import glob
import os
import shutil
import signal
import threading

from dp.limits import FewDescriptors

FAULTS = {}


class Fault:
    def __init__(self, name, part, work, weight, forgets, forgets_maps):
        self.name, self.part, self.work = name, part, work
        self.weight, self.forgets = weight, forgets
        self.forgets_maps = forgets_maps


def fault(part, weight=2, forgets=False, forgets_maps=False):
    def register(work):
        name = work.__name__
        FAULTS[name] = Fault(name, part, work, weight, forgets, forgets_maps)
        return work
    return register


class Parts:
    """Who has a part may break it."""

    def __init__(self):
        self.locks = {p: threading.Lock() for p in ("watcher", "httpd",
                                                    "backend", "phones")}

    def take(self, part):
        names = sorted(self.locks) if part == "all" else [part]
        for name in names:
            self.locks[name].acquire()
        return names

    def give(self, names):
        for name in names:
            self.locks[name].release()


def linger(world, rng, least, most):
    """Time in which the fault does its work; shorter at the end of the run."""
    world.over.wait(rng.uniform(least, most))


# --- the watcher ---

@fault("watcher", 6, forgets=True)
def watcher_killed(world, rng):
    world.watcher.kill()
    linger(world, rng, 0, 1.5)
    world.start_watcher()


@fault("watcher", 3, forgets=True)
def watcher_restarted(world, rng):
    world.watcher.stop()
    linger(world, rng, 0, 1)
    world.start_watcher()


@fault("watcher", 3)
def watcher_stopped(world, rng):
    world.watcher.freeze()
    linger(world, rng, 0.3, 3)
    world.watcher.thaw()


@fault("watcher", 1, forgets=True)
def watcher_silent(world, rng):
    """Long enough to be taken for dead."""
    world.watcher.freeze()
    linger(world, rng, 11, 12)
    world.watcher.thaw()


@fault("watcher")
def watcher_reloaded(world, rng):
    for _ in range(rng.randrange(1, 4)):
        world.watcher.reload()
        linger(world, rng, 0, 0.3)


@fault("watcher", forgets=True)
def events_overflow(world, rng):
    world.watcher.freeze()
    try:
        rng.choice(world.boxes).overflow()
        linger(world, rng, 0, 0.5)
    finally:
        world.watcher.thaw()


@fault("watcher", forgets=True)
def watcher_without_descriptors(world, rng):
    with FewDescriptors(world.watcher.pid, rng.randrange(4)):
        linger(world, rng, 0.5, 2)


@fault("watcher", 1, forgets=True)
def bus_replaced(world, rng):
    world.watcher.stop()
    os.unlink(world.watcher.bus)
    linger(world, rng, 0, 0.5)
    world.start_watcher()


@fault("watcher", 1, forgets=True)
def bus_restored(world, rng):
    """Of the last time that it was saved, in the same boot."""
    world.watcher.stop()
    world.put_back("bus", world.watcher.bus)
    linger(world, rng, 0, 0.5)
    world.start_watcher()


@fault("watcher", 1, forgets=True)
def cursors_restored(world, rng):
    world.watcher.stop()
    world.put_back("cursors", world.watcher.state_dir)
    world.start_watcher()


@fault("watcher", 1, forgets=True)
def cursors_wiped(world, rng):
    world.watcher.stop()
    empty(world.watcher.state_dir)
    world.start_watcher()


@fault("watcher", forgets=True)
def disk_full(world, rng):
    """Of the runtime directory or of the watcher's state, or both; at times it
    has to start again meanwhile."""
    places = [p for p in (world.watcher.runtime_dir, world.watcher.state_dir)
              if rng.random() < 0.7]
    with full(places):
        if rng.random() < 0.5:
            world.watcher.kill()
            world.watcher.spawn()
        linger(world, rng, 0.5, 2)
    if not world.watcher.process.is_running:
        world.start_watcher()
    world.await_watcher()


# --- Apache ---

@fault("httpd", 6)
def child_killed(world, rng):
    children = world.httpd.children()
    for pid in rng.sample(children, min(len(children),
                                        rng.choice((1, 1, 2)))):
        kill(pid, signal.SIGKILL)
    linger(world, rng, 0, 1)


@fault("httpd", 3)
def child_stopped(world, rng):
    children = world.httpd.children()
    if children:
        pid = rng.choice(children)
        kill(pid, signal.SIGSTOP)
        try:
            linger(world, rng, 0.3, 3)
        finally:
            kill(pid, signal.SIGCONT)


@fault("httpd", 3)
def graceful(world, rng):
    world.httpd.graceful()
    linger(world, rng, 0, 1)


@fault("httpd", 1)
def graceful_ten(world, rng):
    for _ in range(10):
        world.httpd.graceful()
        linger(world, rng, 0, 0.4)


@fault("httpd", 1)
def httpd_restarted(world, rng):
    """Connections are cut."""
    world.was_cut = True
    world.httpd.restart()


@fault("httpd")
def httpd_stopped(world, rng):
    world.stop_httpd(signal.SIGTERM)
    linger(world, rng, 0, 0.5)
    world.start_httpd()


@fault("httpd", 1)
def httpd_killed(world, rng):
    world.stop_httpd(signal.SIGKILL)
    world.start_httpd()


@fault("httpd")
def child_without_descriptors(world, rng):
    children = world.httpd.children()
    if children:
        with FewDescriptors(rng.choice(children), rng.randrange(4)):
            linger(world, rng, 0.5, 2)


@fault("httpd", 1, forgets=True, forgets_maps=True)
def store_wiped(world, rng):
    if rng.random() < 0.5:
        world.stop_httpd(signal.SIGTERM)
        empty(world.httpd.state_dir)
        world.start_httpd()
    else:
        empty(world.httpd.state_dir)
        world.httpd.graceful()


@fault("httpd", 1, forgets=True, forgets_maps=True)
def store_restored(world, rng):
    world.stop_httpd(rng.choice((signal.SIGTERM, signal.SIGKILL)))
    world.put_back("devices", world.httpd.state_dir)
    world.start_httpd()


@fault("httpd", 1, forgets=True, forgets_maps=True)
def store_unwritable(world, rng):
    """The disk of the device store is full."""
    with full([world.httpd.state_dir]):
        if rng.random() < 0.5:
            world.httpd.graceful()
        linger(world, rng, 0.5, 2)


# --- the backend ---

def misbehaving(world, rng, least, most, **rule):
    world.backend.misbehave(**rule)
    try:
        linger(world, rng, least, most)
    finally:
        world.backend.behave()


@fault("backend")
def backend_failing(world, rng):
    misbehaving(world, rng, 0.3, 1.5, status=rng.choice((500, 502, 503)))


@fault("backend")
def backend_hanging(world, rng):
    misbehaving(world, rng, 0.3, 1.5, cmd="Sync",
                pause_headers=rng.uniform(0.3, 2))


@fault("backend")
def backend_breaking_off(world, rng):
    misbehaving(world, rng, 0.5, 2, cmd=["Sync", "FolderSync"],
                **{rng.choice(("cut", "reset")): True})


@fault("backend")
def backend_slow(world, rng):
    misbehaving(world, rng, 0.5, 2, cmd="Sync", trickle=[20, 0.02])


@fault("backend", 4)
def backend_lagging(world, rng):
    """It does not show yet what has just come; shorter than
    DirectPushBackendLag. At times it sends what has not changed besides."""
    world.backend.set(lag=rng.choice((0.2, 0.5)), restless=0.3)
    linger(world, rng, 2, 4)
    world.backend.set(lag=0.0, restless=0.0)


# --- all of it ---

@fault("all", 1, forgets=True)
def reboot(world, rng):
    """Nothing runs, and what is on a tmpfs is gone."""
    world.stop_httpd(signal.SIGTERM)
    world.watcher.stop()
    empty(world.watcher.runtime_dir)
    if rng.random() < 0.5:
        world.start_watcher()
        world.start_httpd()
    else:
        world.start_httpd()
        linger(world, rng, 0, 1)
        world.start_watcher()


@fault("phones", 3)
def clock_stepped(world, rng):
    """The wall clock of directpushd and Apache jumps."""
    world.step_clock(rng.choice((-86400, -3600, -60, 60, 3600, 86400)))
    linger(world, rng, 0.5, 1)


@fault("phones", 6)
def connections_cut(world, rng):
    for device in rng.sample(world.devices, len(world.devices) // 2):
        device.poke("cut")


# --- tools ---

def kill(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class full:
    """While the block runs there is no room in these file systems."""

    def __init__(self, places):
        self.files = [os.path.join(p, ".filler") for p in places
                      if os.path.ismount(p)]

    def __enter__(self):
        for name in self.files:
            with open(name, "wb") as f:
                block = 1 << 20
                while block:
                    try:
                        os.write(f.fileno(), b"x" * block)
                    except OSError:
                        block //= 16

    def __exit__(self, *_):
        for name in self.files:
            os.unlink(name)


def empty(where):
    for name in glob.glob(os.path.join(where, "*")):
        if os.path.isdir(name):
            shutil.rmtree(name, ignore_errors=True)
        else:
            os.unlink(name)
