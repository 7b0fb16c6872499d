"""The watcher running, absent, killed, stopped in the middle, back again; and
the bus in every state of decay. No change is dropped, whatever it is."""
import os

import pytest

QUICK = {"DirectPushFallbackInterval": "2s 2s"}
SLOW = {"DirectPushFallbackInterval": "600s 600s"}


# --- absent ---

def test_without_a_watcher_pings_are_held_and_syncs_asked_for(make_site):
    site = make_site(watcher="absent", httpd=dict(tune=QUICK))
    site.httpd.allow_absence()
    phone = site.synced_phone()
    ping = phone.start_ping(["INBOX"], 600)
    while True:  # a folder without proof of cleanness may be named at first
        answer = ping.answer()
        assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
        new = phone.sync_until_done("INBOX")
        ping = phone.start_ping(["INBOX"], 600)
        if ping.is_held(0.5):
            break
        assert not new
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert len(phone.sync_until_done("INBOX")) == 1
    assert site.backend.count(cmd="Ping") == 0


def test_one_line_says_that_the_watcher_is_absent(make_site):
    site = make_site(watcher="absent", httpd=dict(tune=SLOW))
    site.httpd.allow_absence()
    phones = [site.synced_phone() for _ in range(5)]
    pings = [p.start_ping(["INBOX"], 600) for p in phones]
    site.httpd.wait_log(r"directpush:error")
    for ping in pings:
        ping.is_answered(0.2)
    lines = site.httpd.grep("directpush:error")
    assert len(lines) == 1, lines
    assert "start directpushd" in lines[0]


def test_fallback_backend_hands_the_pings_on(make_site):
    site = make_site(watcher="absent", httpd=dict(tune={
        "DirectPushFallback": "backend"}))
    site.httpd.allow_absence()
    phone = site.synced_phone()
    ping = phone.start_ping(["INBOX"], 600)
    site.backend.wait_for(cmd="Ping")
    site.mails().deliver("one")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    # the watcher comes: Pings are ours again
    site.watcher.start()

    def is_ours():
        phone.connect()
        ping = site.hold(phone)
        return site.held() == 1 and ping
    ping = site.wait_until(is_ours, "a Ping is held by us")
    since = site.backend.mark()
    site.mails().deliver("two")
    assert ping.answer().status == 2
    assert site.backend.count(since, cmd="Ping") == 0


def test_the_watcher_comes_later(make_site):
    """Vouching begins by itself, and what came before counts as dirty."""
    site = make_site(watcher="absent", httpd=dict(tune=SLOW))
    site.httpd.allow_absence()
    phone = site.synced_phone()
    ping = phone.start_ping(["INBOX"], 600)
    while ping.is_answered(0.5):
        assert ping.answer().status == 2
        phone.sync_until_done("INBOX")
        ping = phone.start_ping(["INBOX"], 600)
    site.mails().deliver("before it came")
    assert ping.is_held(0.5)
    site.watcher.start()
    site.told(phone, ping=ping)
    assert len(phone.sync_until_done("INBOX")) == 1
    ping = site.hold(phone)
    site.mails().deliver("after it came")
    assert ping.answer().status == 2


# --- killed, stopped, restarted ---

@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_watcher_goes_and_comes(make_site, how):
    site = make_site(httpd=dict(tune=QUICK))
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    getattr(site.watcher, how)()
    site.mails().deliver("while away")
    answer = ping.answer()  # blind now: at the fallback interval
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    assert len(phone.sync_until_done("INBOX")) == 1
    site.watcher.start()
    ping = site.hold(phone)
    site.mails().deliver("back again")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    assert site.hold(phone).is_held(3)  # no longer blind


@pytest.mark.slow
def test_a_silent_watcher_is_taken_for_dead(make_site):
    """SIGSTOP: it hangs up nothing, but signs nothing either (10 s)."""
    site = make_site(httpd=dict(tune=QUICK))
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    site.watcher.freeze()
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert len(phone.sync_until_done("INBOX")) == 1
    site.watcher.thaw()
    ping = site.hold(phone)
    site.mails().deliver("two")
    assert ping.answer().status == 2


def test_restarts_in_a_row_wake_nobody_and_lose_nothing(site):
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    for how in (site.watcher.stop, site.watcher.kill):
        how()
        site.watcher.start()
        assert ping.is_held(1.5)
    site.mails().deliver("one")
    assert ping.answer().status == 2


def test_a_heartbeat_that_ends_while_the_watcher_is_away(make_site):
    """Never Status 1 over a change that the watcher publishes afterwards
    unless the Sync that follows brings it."""
    site = make_site(httpd=dict(tune=SLOW))
    site.httpd.allow_absence()
    phone = site.in_step()
    ping = phone.start_ping(["INBOX"], 3)
    site.watcher.kill()
    site.mails().deliver("one")
    answer = ping.answer()
    assert answer.status in (1, 2)  # blind and not due, or in doubt
    site.watcher.start()
    if answer.status == 1:
        site.told(phone)
    assert len(phone.sync_until_done("INBOX")) == 1


def test_httpd_and_watcher_restart_together(site):
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    site.watcher.kill()
    site.httpd.stop()
    site.mails().deliver("one")
    site.watcher.start()
    site.httpd.start()
    phone.connect()
    site.told(phone)
    assert len(phone.sync_until_done("INBOX")) == 1
    ping = site.hold(phone)
    site.mails().deliver("two")
    assert ping.answer().status == 2


# --- the bus ---

@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage",
                                    "half garbage", "a directory"])
def test_a_bus_in_decay_is_no_trouble(make_site, damage):
    """One error that names file and remedy; Pings are held as blind ones; a
    new watcher sets it right."""
    site = make_site(httpd=dict(tune=QUICK))
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    site.watcher.stop()
    site.httpd.stop()
    bus = site.watcher.bus
    with open(bus, "rb") as f:
        whole = f.read()
    os.unlink(bus)
    new = {"empty": b"", "truncated": whole[:len(whole) // 2],
           "garbage": b"garbage!" * 4096,
           "half garbage": whole[:64] + b"\xff" * (len(whole) - 64)}.get(
               damage)
    if damage == "a directory":
        os.mkdir(bus)
    elif new is not None:
        with open(bus, "wb") as f:
            f.write(new)
    site.mails().deliver("one")
    site.httpd.start()
    phone.connect()
    site.told(phone)
    assert len(phone.sync_until_done("INBOX")) == 1
    if damage == "a directory":
        os.rmdir(bus)
    site.watcher.start()
    ping = site.hold(phone)
    mail = site.mails().deliver("two")
    site.told(phone, ping=ping, mail=mail)


def test_the_bus_vanishes_under_a_running_server(make_site):
    site = make_site(httpd=dict(tune=QUICK))
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    os.unlink(site.watcher.bus)
    site.watcher.kill()
    site.mails().deliver("one")
    site.watcher.start()
    site.told(phone, ping=ping)
    assert len(phone.sync_until_done("INBOX")) == 1
    ping = site.hold(phone)
    site.mails().deliver("two")
    assert ping.answer().status == 2


def test_a_new_bus_instance_voids_the_marks(make_site):
    """Another boot: what the device store says is older than the bus."""
    site = make_site(httpd=dict(tune=SLOW))
    site.httpd.allow_absence()
    phone, ping = site.held_phone()
    site.httpd.stop()
    site.watcher.stop()
    for where in (site.watcher.runtime_dir, site.watcher.state_dir):
        for name in os.listdir(where):
            os.unlink(os.path.join(where, name))
    site.mails().deliver("one")
    site.watcher.start()
    site.httpd.start()
    phone.connect()
    site.told(phone)
    assert len(phone.sync_until_done("INBOX")) == 1
    assert site.hold(phone).is_held(1)


# --- mailboxes come and go ---

def test_a_maildir_that_is_removed_and_comes_back(site):
    import shutil
    phone, ping = site.held_phone()
    keep = site.mails().path + ".away"
    os.rename(site.mails().path, keep)
    ping.is_answered(0.5)
    shutil.copytree(keep, site.mails().path)
    site.mails().deliver("one")
    phone.connect()
    phone.foldersync()
    phone.sync_until_done("INBOX")
    assert phone.subjects() == ["one"]
    ping = site.hold(phone)
    site.mails().deliver("two")
    assert ping.answer().status == 2


def test_a_maildir_that_is_not_there_yet(make_site):
    """Before the first mail of a new user there may be nothing."""
    import shutil
    site = make_site(httpd=dict(tune=SLOW))
    root = site.mails("bob").path
    phone = site.phone("bob")
    phone.foldersync()
    phone.sync_until_done("INBOX")
    shutil.rmtree(os.path.dirname(root))
    ping = phone.start_ping(["INBOX"], 600)
    for _ in range(6):
        if not ping.is_answered(0.5):
            break
        ping = phone.start_ping(["INBOX"], 600)
    from dp.maildir import Maildir
    made = Maildir(root)
    made.deliver("first")
    assert ping.answer().status in (2, 7)


def test_publish_by_the_control_tool_wakes(site):
    phone, ping = site.held_phone()
    site.watcher.ctl("publish", "alice", "Email", "INBOX")
    assert ping.answer().folders == [phone.id("INBOX")]
