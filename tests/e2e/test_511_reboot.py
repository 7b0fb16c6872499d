"""The machine boots: nothing of the bus is left, every phone comes back at once,
and the backend gets no more than it can bear."""
import os
import signal

import pytest

from dp.load import Load
from dp.process import wait_until

PER_USER = 10
RATE = 20      # DirectPushProvoke
BURST = 4      # DP_SPREAD_BURST of policy/spread.h
WINDOW_S = 5
BOOT = "7e57b007-0000-4000-8000-000000000001"


@pytest.fixture
def load():
    started = []

    def start(*args):
        started.append(Load(*args))
        return started[-1]
    yield start
    for one in started:
        one.stop()


def another_boot(site):
    """A command whose program sees the id of another boot; it stays the same
    for both programs, as after a boot."""
    file = os.path.join(site.where, "boot_id")
    with open(file, "w") as f:
        f.write(BOOT + "\n")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
            'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"',
            file]


def power_cut(site):
    """All ends at once."""
    children = site.httpd.children()
    for pid in [site.httpd.pid] + children:
        os.kill(pid, signal.SIGKILL)
    site.httpd.process.wait()
    wait_until(lambda: not any(os.path.exists("/proc/%d" % p)
                               for p in children), "children are gone")
    os.unlink(os.path.join(site.httpd.where, "httpd.pid"))
    site.watcher.kill()
    boot(site)


def reboot(site):
    """All ends, as Debian's units end it."""
    site.httpd.graceful_stop()
    site.httpd.process.wait()
    site.watcher.stop()
    boot(site)


def boot(site):
    """What is on a tmpfs is gone."""
    for name in os.listdir(site.watcher.runtime_dir):
        os.unlink(os.path.join(site.watcher.runtime_dir, name))
    site.watcher.wrapper = site.httpd.wrapper = another_boot(site)
    site.watcher.start()
    site.httpd.start()


def traced(path):
    """{device: [(seconds, what), …]} of directpush-device --trace."""
    out = {}
    with open(path) as f:
        for line in f:
            us, device, what = line.split()[:3]
            out.setdefault(int(device), []).append((int(us) / 1e6, what))
    return out


def most_within(times, span):
    """The most of these (sorted) that lie within a span."""
    return max(sum(1 for t in times[i:] if t <= times[i] + span)
               for i in range(len(times)))


@pytest.mark.skipif(os.geteuid() != 0, reason="a boot's id needs root")
@pytest.mark.timeout(900)  # who is sent away comes back after half a minute
@pytest.mark.parametrize("phones", [
    60, pytest.param(200, marks=pytest.mark.slow)])
def test_each_phone_syncs_once_and_no_faster_than_provoke(make_site, load,
                                                          tmp_path, phones):
    site = make_site(
        users={"user%d" % i: "secret" for i in range(phones // PER_USER)},
        folders=(), httpd=dict(
            threads=32, main=["DirectPushMaxPassed 1"],
            tune={"DirectPushProvoke": "1000", "DirectPushDrain": "1s",
                  "DirectPushFallbackInterval": "1h 1h"}))
    site.httpd.allow("AH00484")  # its workers may well be busy for a moment
    trace = str(tmp_path / "trace")
    run = load(["--devices", phones, "--per-user", PER_USER, "--patience", 120,
                "--inflight", 24, "--trace", trace, "--steps",
                "hold=%d,pause,hold=%d,quit" % (phones, phones)],
               ["http://127.0.0.1:%d" % site.httpd.plain_port, "user%d"])
    assert run.step("hold")["held"] == phones
    run.step("pause")
    before = max(at for events in traced(trace).values() for at, _ in events)
    since = site.backend.mark()
    site.httpd.tune["DirectPushProvoke"] = str(RATE)
    reboot(site)
    run.go_on()
    assert run.step("hold")["held"] == phones
    run.ends()

    events = {d: [(at, what) for at, what in all_ if at > before]
              for d, all_ in traced(trace).items()}
    syncs = {}
    for e in site.backend.requests(since, cmd="Sync"):
        syncs.setdefault(e["device"].lower(), []).append(e["began"])
    often = {d: len(n) for d, n in syncs.items() if len(n) > 1}
    assert not often, "more than one Sync"
    # who was passed to the backend is held there
    passed = {e["device"].lower() for e in site.backend.requests(
        since, cmd="Ping")}
    assert len(syncs.keys() | passed) == phones

    times = sorted(t for n in syncs.values() for t in n)
    # Between the moment that was reserved and the backend lies the machine's
    # own time: what is seen of it, and a second.
    late_s = 1 + max(
        syncs[d][0] - max(at for at, what in events[i]
                          if what == "told" and at <= syncs[d][0])
        for i in events for d in ["load%06d" % (i + 1)] if d in syncs)
    assert most_within(times, WINDOW_S) <= (WINDOW_S + late_s) * RATE + BURST
    assert times[-1] - times[0] >= (len(times) - BURST) / RATE - late_s


@pytest.mark.skipif(os.geteuid() != 0, reason="a boot's id needs root")
def test_a_change_while_it_boots_is_told(make_site):
    site = make_site(httpd=dict(tune={"DirectPushProvoke": "1000",
                                           "DirectPushDrain": "1s"}))
    phones = [site.held_phone(user=user)[0] for user in site.users]
    reboot(site)
    for phone in phones:
        site.mails(phone.user).deliver("while it booted")
        phone.connect()
        site.told(phone)
        assert len(phone.sync_until_done("INBOX")) == 1
        assert site.hold(phone).is_held()


@pytest.mark.skipif(os.geteuid() != 0, reason="a boot's id needs root")
def test_after_a_power_cut_a_phone_is_told_the_one_folder(make_site):
    """Its ids do not tell which folder they are, and it does not ask again."""
    site = make_site(id_style="zpush", folders=("Work",), httpd=dict(
        children=2, tune={"DirectPushProvoke": "1000",
                          "DirectPushDrain": "1s"}))
    site.httpd.allow("made anew")
    both = ("INBOX", "Work")
    phone = site.in_step(*both)
    old = site.httpd.children()
    site.httpd.graceful()  # what was learnt until here is kept
    wait_until(lambda: not set(old) & set(site.httpd.children()), "they end")
    phone.connect()
    ping = site.hold(phone, both)
    site.told(phone, ping=ping, mail=site.mails().deliver("before"))
    phone.sync_until_done("INBOX")  # the store is in use
    power_cut(site)
    assert site.httpd.grep("made anew")
    phone.connect()
    phone.sync_until_done(*both)  # the backend knows its password
    ping = site.hold(phone, both)
    mail = site.mails(phone.user).deliver("after it", "Work")
    answer = site.told(phone, "Work", ping, mail, folders=both)
    assert list(answer.folders) == [phone.id("Work")]
