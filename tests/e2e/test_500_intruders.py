"""Intruders from outside: each tries to take what is everybody's. The limit that
holds, that others are served, and what the log says of it. The table of all
attacks is in mod_directpush/doc/security.md.

DP_INTRUDERS=N: so many unauthenticated Pings (2,000; the slow test 100,000)."""
import os
import socket

import pytest

from dp import sanitizers, wbxml
from dp.process import wait_until
from dp.wire import ConnectionLost, Pending
from test_104_devices import twin

ONE_CHILD = dict(children=1, threads=16)


def fast_ping(site, phone, folders=("INBOX",)):
    """Send a Ping; (PendingPing, status of its answer or None: it is held)."""
    for _ in range(6):
        held = site.held()
        ping = phone.start_ping(list(folders), 600)
        wait_until(lambda: ping.is_answered(0.01) or site.held() > held
                   or ping.is_held(0.5))  # as many: it is another one's place
        if not ping.is_answered(0):
            return ping, None
        response = ping.pending.wait()
        if response.status != 200:
            return ping, response
        if ping.answer().status == 7:
            phone.foldersync()
        else:
            phone.sync_until_done(*folders)
    raise AssertionError("neither held nor refused: %r" % ping.answer())


# --- one user, endless devices ---

def test_one_user_with_endless_devices_leaves_room_for_others(make_site):
    """Whoever has a password can invent DeviceIds; the backend takes them."""
    site = make_site(httpd=dict(ONE_CHILD, main=["DirectPushMaxHolds 12"],
                                tune={"DirectPushMaxDevices": "8"}))
    first, first_ping = site.held_phone()
    pings, refused = [first_ping], []
    for i in range(14):
        phone = site.synced_phone(device_id="invented%d" % i)
        ping, answer = fast_ping(site, phone)
        if answer is None:
            pings.append(ping)
        else:
            assert answer.status == 503 and int(answer.get("Retry-After")) > 0
            refused.append(phone)
    assert len(pings) == 8 and len(refused) == 7
    assert site.httpd.metric("refused_user") == 7
    assert len(site.httpd.access(outcome="busy-user")) == 7
    (line,) = site.httpd.grep("directpush:warn.*DirectPushMaxDevices")
    assert "alice" in line and "gets: 8" in line
    for user in ("bob", "carol"):
        _, ping = site.held_phone(user=user)
        assert ping.is_held()

    # a device that waits already may come anew, on another connection
    again = twin(site, first)
    ping, answer = fast_ping(site, again)
    assert answer is None and first_ping.answer().status == 1
    # who leaves makes room for another device
    again.hang_up()
    wait_until(lambda: site.held() == 9)
    ping, answer = fast_ping(site, refused[0])
    assert answer is None and ping.is_held()
    assert len(site.httpd.grep("DirectPushMaxDevices")) == 1, "not each time"


def test_a_user_has_a_hundred_devices_by_default(make_site):
    site = make_site(users={"alice": "secret", "bob": "secret"}, httpd=dict(
        ONE_CHILD, tune={"DirectPushMaxDevices": None}))
    site.held_phone()
    answers = [fast_ping(site, site.synced_phone(tls=False))[1]
               for _ in range(100)]
    assert [a and a.status for a in answers] == 99 * [None] + [503]
    assert site.held_phone(user="bob")[1].is_held()


def test_one_device_with_endless_pings_has_one(site):
    """Each ends the one before, whether or not that is read."""
    phone, ping = site.held_phone(tls=False)
    wires = []
    for _ in range(150):
        other = twin(site, phone, tls=False)
        wires.append(other.start_ping(["INBOX"], 600))
        other.wires.clear()
    site.wait_held(1)
    assert ping.answer().status == 1
    last = [p for p in wires if not p.is_answered(0.2)]
    assert len(last) == 1
    site.mails().deliver("hello")
    assert last[0].answer().folders == [phone.id("INBOX")]


# --- many folders ---

def test_invented_folders_take_no_more_than_their_users_part(make_site):
    """Within DirectPushMaxFolders, by many devices, under ever new names: the
    user's topics end at user_topics, and his inbox is told of as before."""
    site = make_site(watcher_conf=["topics = 4096", "user_topics = 40"],
                     httpd=ONE_CHILD)
    phone, ping = site.held_phone()
    for i in range(10):
        other = site.synced_phone(tls=False)
        other.start_ping([("vevent%%2Finvented%d-%d" % (i, k), "Calendar")
                          for k in range(250)], 600)
    other_user, other_ping = site.held_phone(user="bob")
    wait_until(lambda: "user_topics" in site.watcher.output())
    assert site.watcher.output().count("user_topics") == 1, "said once"
    assert site.watcher.status()["wants"] < 100
    site.mails().deliver("for alice")
    assert ping.answer().folders == [phone.id("INBOX")]
    site.mails("bob").deliver("for bob")
    assert other_ping.answer().folders == [other_user.id("INBOX")]


@pytest.mark.parametrize("n", [301, 1000, 10000])
def test_a_ping_of_ten_thousand_folders_is_not_held(site, n):
    phone = site.in_step()
    body = wbxml.ping_request(600, [("mail%%2Fx%d" % i, "Email")
                                    for i in range(n)])
    response = phone.request("Ping", body)
    assert response.status == 200
    answer = wbxml.PingAnswer(response.clear)
    assert (answer.status, answer.max_folders) == (6, 300)
    assert site.held() == 0
    # whose: beyond 64 KB it is the backend's to judge
    assert site.backend.count(cmd="Ping") == (1 if len(body) > 65536 else 0)


# --- those who do not read, or send slowly ---

def test_clients_that_never_read_block_no_one_else(make_site):
    """Each sends Pings and reads no answer, until nothing goes out any more."""
    site = make_site(httpd=dict(children=2, threads=16))
    phone, ping = site.held_phone()
    thief = site.synced_phone(user="bob", tls=False)
    request = thief.bytes_of("Ping", thief.ping_body(["INBOX"], 600))
    socks = []
    for _ in range(8):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", site.httpd.plain_port))
        s.setblocking(False)
        socks.append(s)
    sent = {s: 0 for s in socks}
    for _ in range(200):
        for s in socks:
            try:
                sent[s] += s.send(request * 20)
            except (BlockingIOError, ConnectionError):
                pass
    assert sum(sent.values()) > 100 * len(request)
    site.mails().deliver("for alice")
    assert ping.answer().folders == [phone.id("INBOX")]
    again = site.synced_phone(user="carol")
    assert site.hold(again).is_held()
    for s in socks:
        s.close()
    site.wait_held(1)


# --- without a password ---

def flood(site, n, connections=8):
    """n Pings of users and devices that the backend does not know, over and
    over on a few connections. @return {status: how many}"""
    seen = {}
    port = site.httpd.endpoint(tls=False)
    wires = [port.connect() for _ in range(connections)]
    body = wbxml.ping_request(600, [("mail%2FINBOX", "Email")])
    for i in range(n):
        k = i % connections
        guesser = site.phone("nobody%d" % (i % 997), tls=False,
                             device_id="intruder%d" % i,
                             password="guess%d" % i)
        site.phones.pop()  # it has no connection of its own
        for _ in range(3):
            try:
                wires[k].send(guesser.bytes_of("Ping", body))
                response = Pending(wires[k]).wait()
                break
            except (ConnectionLost, OSError):
                wires[k] = port.connect()
        seen[response.status] = seen.get(response.status, 0) + 1
        if response.closes:
            wires[k].close()
            wires[k] = port.connect()
    for wire in wires:
        wire.close()
    return seen


def stored(site):
    """The device store's bytes."""
    out, where = b"", os.path.join(site.where, "devices")
    for name in os.listdir(where):
        with open(os.path.join(where, name), "rb") as f:
            out += f.read()
    return out


def unauthenticated(make_site, n):
    site = make_site(users={"alice": "secret", "bob": "secret"},
                     httpd=dict(children=2, threads=16, max_keepalive=0))
    phone, ping = site.held_phone()
    children = site.httpd.children()
    wants = site.watcher.status()["wants"]
    flood(site, n // 10)
    before = {pid: site.httpd.rss_kb(pid) for pid in children}
    since = site.backend.mark()
    seen = flood(site, n)
    assert set(seen) <= {401, 503, 200}, seen
    assert seen.get(401, 0) == site.backend.count(since, cmd="Ping"), seen
    assert site.held() == 1, "nobody else is held"
    assert site.watcher.status()["wants"] == wants, "nothing is watched"
    assert b"testphone" in stored(site) and b"intruder" not in stored(site)
    for pid in children:
        grown = site.httpd.rss_kb(pid) - before[pid]
        assert grown < 4096 or sanitizers.library(), \
            "%d KB more in a child" % grown
    assert site.httpd.children() == children
    # from the same address, an honest phone that comes anew
    other, other_ping = site.held_phone(user="bob")
    site.mails("bob").deliver("for bob")
    assert other_ping.answer().folders == [other.id("INBOX")]
    site.mails().deliver("for alice")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_unauthenticated_pings_leave_nothing_behind(make_site):
    unauthenticated(make_site, int(os.environ.get("DP_INTRUDERS", 2000)))


@pytest.mark.slow
def test_a_hundred_thousand_unauthenticated_pings(make_site):
    unauthenticated(make_site, int(os.environ.get("DP_INTRUDERS", 100000)))


@pytest.mark.slow
def test_a_thousand_honest_phones_behind_one_address(make_site, open_files):
    """Of as many users, while others from there guess passwords: no limit is
    by address."""
    open_files(3000)
    users = ["user%d" % i for i in range(1000)]
    site = make_site(users={u: "secret" for u in users}, folders=(),
                     httpd=dict(children=2, threads=16, async_factor=200,
                                tune={"DirectPushMaxDevices": None}))
    pings = {}
    for i, user in enumerate(users):
        phone = site.synced_phone(user=user, tls=False)
        pings[phone] = phone.start_ping(["INBOX"], 600)
        if i % 100 == 0:
            flood(site, 50)

    def all_held():
        """Whom nobody watched before is told something once."""
        for phone, ping in pings.items():
            if ping.is_answered(0):
                assert ping.answer().status in (2, 7)
                phone.foldersync()
                phone.sync_until_done("INBOX")
                pings[phone] = phone.start_ping(["INBOX"], 600)
        return site.held() == len(users)
    wait_until(all_held, lambda: "%d held" % site.held())
    assert site.httpd.metric("refused_user") == 0
    assert not site.httpd.access(outcome="busy")
    for phone in list(pings)[::333]:
        site.mails(phone.user).deliver("hello")
        assert pings[phone].answer().folders == [phone.id("INBOX")]
