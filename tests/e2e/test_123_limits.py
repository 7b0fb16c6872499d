"""More phones than there is room for: the surplus is told to come later, who is
held stays held, one line says what to change, and nothing has to be restarted."""
import os
import re

import pytest

from dp.httpd import EAS
from dp.limits import FewDescriptors
from dp.process import REPO, wait_until
from dp.wire import ConnectionLost, Pending, Wire, http_request

FULL = r"directpush:warn.*no room for"

# Few descriptors; the MPM itself accepts more connections than they allow. An
# idle connection is not closed while a test looks.
FEW_FILES = dict(children=2, threads=8, async_factor=1000, open_files=300,
                 keepalive_timeout=300, max_keepalive=0)


def ping_of(site, phone):
    """@return a PendingPing that is held; None: 503 with Retry-After"""
    for _ in range(5):
        before, reached = site.held(), site.httpd.metric("pings")
        ping = phone.start_ping(["INBOX"], 3540)
        # one more is held, or as many: another one was told something
        wait_until(lambda: ping.is_answered(0) or site.held() > before
                   or site.httpd.metric("pings") > reached
                   and ping.is_held(0.5), "the Ping is held or answered")
        if not ping.is_answered(0):
            return ping
        response = ping.pending.wait()
        if response.status == 503:
            assert int(response.get("Retry-After")) > 0
            return None
        assert ping.answer().status in (2, 7), ping.answer()
        phone.foldersync()
        phone.sync_until_done("INBOX")
    raise AssertionError("neither held nor refused: %r" % ping.answer())


def fill(site, enough):
    """Phones come until `enough` were refused. @return [(Phone, PendingPing)]
    of those who are held, [Phone] of the others"""
    held, refused = [site.held_phone(tls=False)], []
    while len(refused) < enough:
        phone = site.synced_phone(tls=False)
        ping = ping_of(site, phone)
        if ping:
            held.append((phone, ping))
        else:
            refused.append(phone)
        for wire in phone.wires:
            if wire.said_close:  # as phones do; the server waits for it
                wire.close()
        assert len(held) < 1000
    return held, refused


def settle(site, held):
    """Who was told something after all syncs, and asks again.
    @return those who are held"""
    def all_held():
        for i, (phone, ping) in enumerate(held):
            if ping.is_answered():
                assert ping.answer().status in (2, 7), ping.answer()
                phone.foldersync()
                phone.sync_until_done("INBOX")
                held[i] = phone, ping_of(site, phone)
        held[:] = [pair for pair in held if pair[1]]
        return site.held() == len(held)
    wait_until(all_held, lambda: "%d held; there are %d" % (len(held),
                                                            site.held()))
    return held


def assert_said_once(site, setting):
    (line,) = site.httpd.grep(FULL)
    assert setting in line and "503" in line, line


LIMITS = {
    "DirectPushMaxHolds": dict(main=["DirectPushMaxHolds 10"]),
    "AsyncRequestWorkerFactor": dict(children=2, threads=4, async_factor=5),
    "APACHE_ULIMIT_MAX_FILES": FEW_FILES}


@pytest.mark.parametrize("setting", list(LIMITS))
def test_who_finds_no_room_comes_later(make_site, setting):
    site = make_site(users={"alice": "secret"}, httpd=LIMITS[setting])
    children = site.httpd.children()
    held, refused = fill(site, 40)
    held = settle(site, held)
    assert_said_once(site, setting)

    # room is used again, as soon as there is some
    for phone, _ in held[:4]:
        phone.hang_up()
    held = held[4:]
    site.wait_held(len(held))  # nobody else has gone
    again = [ping_of(site, phone) for phone in refused[:20]]
    assert any(again), "nobody took the place of those who left"
    held += [pair for pair in zip(refused, again) if pair[1]]
    held = settle(site, held)

    site.mails().deliver("to all of them")
    for phone, ping in held:
        site.told(phone, ping=ping)
    assert site.httpd.children() == children, "no child was drained"
    assert site.httpd.metric("drained") == 0
    assert site.httpd.metric("refused_busy") >= 40
    assert_said_once(site, setting)


def test_a_full_child_finds_a_watcher_that_was_restarted(make_site):
    """The bus and the socket are opened anew, both."""
    site = make_site(users={"alice": "secret"}, httpd=dict(
        FEW_FILES, children=1, open_files=260))
    children = site.httpd.children()
    held = settle(site, fill(site, 20)[0])
    site.httpd.allow_absence()
    site.watcher.stop()
    os.unlink(site.watcher.bus)
    site.watcher.start()
    site.httpd.wait_log("directpushd is back")
    wait_until(lambda: not re.search(r"^watcher\tabsent",
                                     site.httpd.status_page(), re.M))

    held = settle(site, held)  # a new bus is in doubt of everything
    site.mails().deliver("to all of them")
    for phone, ping in held:
        site.told(phone, ping=ping)
    assert site.httpd.children() == children
    assert_said_once(site, "APACHE_ULIMIT_MAX_FILES")


def test_httpd_starts_further_children_before_somebody_is_refused(make_site):
    site = make_site(users={"alice": "secret"}, httpd=dict(
        children=3, threads=4, async_factor=5, main=["StartServers 1"]))
    site.httpd.allow("AH00484")
    assert len(site.httpd.children()) == 1
    held, _ = fill(site, 5)
    assert len(site.httpd.children()) > 1
    (line,) = site.httpd.grep("directpush:notice.*capacity")
    said = int(re.search(r"up to (\d+) phones", line)[1])
    assert said - 5 <= len(held) <= said
    assert_said_once(site, "AsyncRequestWorkerFactor")


def test_a_child_without_descriptors_ends_in_peace(make_site):
    site = make_site(users={"alice": "secret"}, httpd=dict(children=1))
    phone, ping = site.held_phone()
    # what a thread needs to end is not left to each child to open
    with open("/proc/%d/maps" % site.httpd.pid) as f:
        assert "libgcc_s" in f.read()
    (child,) = site.httpd.children()
    with FewDescriptors(child, 0):
        site.httpd.graceful()
        wait_until(lambda: not os.path.exists("/proc/%d" % child), "it ends")
    assert not site.httpd.grep("exit signal|libgcc")
    assert ping.answer().status in (1, 2, 7)


BOUNDS = [
    (dict(children=2, threads=8, async_factor=5), r"up to 66 phones "
     r"\(2 children, 33 each\); the bound is AsyncRequestWorkerFactor"),
    (FEW_FILES, r"up to 2\d\d phones \(2 children, 1\d\d each\); "
     r"the bound is the limit of open files .*APACHE_ULIMIT_MAX_FILES"),
    (dict(children=2, threads=8, main=["DirectPushMaxHolds 77"]),
     r"up to 77 phones .*; the bound is DirectPushMaxHolds")]


@pytest.mark.parametrize("settings, says", BOUNDS)
def test_the_start_tells_how_many_fit_and_why(make_site, settings, says):
    site = make_site(httpd=settings)
    (line,) = site.httpd.grep("directpush:notice.*capacity")
    assert re.search(says, line), line


def test_the_start_tells_of_more_connections_than_open_files(make_site,
                                                             open_files):
    """That factor would leave the other children unused, or never start them;
    what it proposes is right."""
    site = make_site(httpd=FEW_FILES)
    (line,) = site.httpd.grep("directpush:notice.*lets a child accept 8008 ")
    factor = int(re.search(r"Set AsyncRequestWorkerFactor (\d+)", line)[1])
    files = int(re.search(r"or allow (\d+) open files", line)[1])
    site.httpd.async_factor = factor
    site.httpd.restart()
    assert len(site.httpd.grep("lets a child accept")) == 1
    assert re.search("the bound is AsyncRequestWorkerFactor",
                     site.httpd.grep("directpush:notice.*capacity")[-1])

    open_files(files)
    site = make_site(httpd=dict(FEW_FILES, open_files=files))
    assert not site.httpd.grep("lets a child accept")
    assert re.search("the bound is AsyncRequestWorkerFactor",
                     site.httpd.grep("directpush:notice.*capacity")[-1])


def test_the_start_tells_of_the_factor_that_nobody_has_set(make_site):
    site = make_site(httpd=dict(children=2, threads=8, async_factor=2))
    (line,) = site.httpd.grep("directpush:notice.*httpd's default")
    factor = int(re.search(r"Set AsyncRequestWorkerFactor (\d+)", line)[1])
    site.httpd.async_factor = factor
    site.httpd.restart()
    assert len(site.httpd.grep("httpd's default")) == 1
    assert not site.httpd.grep("lets a child accept")


def idle(site, n, path="/", port=None):
    """Connections that have asked for something, and then keep quiet."""
    out = []
    for _ in range(n):
        wire = Wire(("127.0.0.1", port or site.httpd.plain_port))
        out.append(wire)
        try:
            wire.send(http_request("GET", path,
                                   [("Host", "mail.example.test")]))
            Pending(wire, "GET").wait()
        except (ConnectionLost, OSError):
            pass  # closed at once, for want of descriptors
    return out


def test_who_is_there_reaches_the_backend_from_a_full_child(make_site):
    """Each worker has a connection of its own to it. There are more workers
    than are at work at a time: else httpd closes all idle connections."""
    site = make_site(users={"alice": "secret"}, httpd=dict(
        FEW_FILES, children=1, threads=32, open_files=500))
    site.httpd.allow("AH00484")  # 600 come faster than a slow machine accepts
    children = site.httpd.children()
    phones = [site.synced_phone(tls=False) for _ in range(8)]
    wires = idle(site, 600)
    site.mails().deliver("one")
    syncs = [phone.start_sync("INBOX") for phone in phones]
    for phone, sync in zip(phones, syncs):
        phone.take_sync(sync.wait())
        assert phone.subjects() == ["one"]
    for wire in wires:
        wire.close()
    assert site.httpd.metric("closed_full") > 0
    assert site.httpd.children() == children


def silent(site, n):
    """Connections that stop within the TLS handshake."""
    out = []
    for _ in range(n):
        wire = Wire(("127.0.0.1", site.httpd.tls_port))
        out.append(wire)
        wire.send_below_tls(b"\x16\x03\x01\x02\x00\x01\x00")
    return out


def slow(site, n):
    """Connections that do not end their first request."""
    out = []
    for _ in range(n):
        wire = Wire(("127.0.0.1", site.httpd.plain_port))
        out.append(wire)
        wire.send(("POST %s HTTP/1.1\r\nHost: mail.example.test\r\n"
                   % EAS).encode())
    return out


@pytest.mark.parametrize("others, n", [(idle, 700), (silent, 100), (slow, 100)])
def test_others_who_keep_connections_drain_no_child(make_site, others, n):
    """Idle ones take what descriptors there are; those who send slowly have a
    worker each, and leave none. Held Pings are not touched by either."""
    site = make_site(users={"alice": "secret"}, httpd=FEW_FILES)
    site.httpd.allow("AH00484")  # httpd's line for no worker left
    children = site.httpd.children()
    phone, ping = site.held_phone(tls=False)
    wires = others(site, n)
    assert not ping.is_answered()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    for wire in wires:
        wire.close()
    site.held_phone(tls=False)
    assert site.httpd.children() == children
    assert site.httpd.metric("drained") == 0


def sizing(column):
    """README's table for so many phones: {name: cell}."""
    with open(os.path.join(REPO, "README.md")) as f:
        table = f.read().partition("## How many phones")[2]
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")]
            for line in table.splitlines() if line.startswith("| ")]
    at = rows[0].index(column)
    return {re.sub(r" \(.*\)$", "", re.sub(r"^\*[^*]*\* ?|`", "", row[0])):
            row[at] for row in rows[1:] if len(row) > at and row[at]}


@pytest.mark.parametrize("phones", ["1,000", "10,000", "100,000"])
def test_the_start_says_what_readme_says(make_site, open_files, phones):
    cell = sizing(phones)
    files = int((re.findall(r"\d+", cell["APACHE_ULIMIT_MAX_FILES"])
                 or [8192])[0])
    open_files(files)
    site = make_site(httpd=dict(
        threads=int(cell["ThreadsPerChild"]), open_files=files,
        async_factor=int(cell["AsyncRequestWorkerFactor"]),
        children=int(cell["MaxRequestWorkers"]) // int(cell["ThreadsPerChild"]),
        main=["%s %s" % (name, cell[name].strip("`")) for name in (
            "StartServers", "ServerLimit", "MaxSpareThreads", "ListenBacklog",
            "DirectPushDrain", "DirectPushProvoke") if cell[name] != "–"]))
    (line,) = site.httpd.grep("directpush:notice.*capacity")
    said = re.search(r"up to (\d+) phones \((\d+) children, (\d+) each\)", line)
    assert said[1] == cell["up to … phones"]
    assert "%s, %s" % said.group(2, 3) == cell["…"]
    assert int(said[1]) > int(phones.replace(",", ""))
    assert len(site.httpd.children()) == int(cell["StartServers"])
    assert not site.httpd.grep("lets a child accept|MaxSpareThreads")


@pytest.mark.parametrize("phones", ["1,000", "10,000", "100,000"])
def test_the_bus_has_places_for_readmes_phones(phones):
    """Each of a user of its own, who takes five; a quarter is left free."""
    cell = sizing(phones)["topics"]
    topics = 65536 if cell == "–" else int(cell)
    assert topics & (topics - 1) == 0
    assert topics * 3 // 4 >= 5 * int(phones.replace(",", ""))
