"""nginx and HAProxy terminate TLS in front of Apache, with what is shipped in
conf/: holds outlast their time-outs, connections to Apache are shared, and
nothing of one phone is taken for another's."""
import pytest

from dp.http2 import H2
from dp.phone import Endpoint, Phone
from dp.process import wait_until
from dp.terminator import Haproxy, Nginx
from dp.wire import ConnectionLost

REMOTE = ["RemoteIPHeader X-Forwarded-For",
          "RemoteIPInternalProxy 127.0.0.1 ::1",
          'CustomLog "access.log" dp', 'CustomLog "logs-remote.log" "%a"']
NO_NAME = (r"(?m)^.*X-DirectPush-Connection.*$", "")


class Front:
    """A site and a terminator in front of it."""

    def __init__(self, site, proxy):
        self.site, self.proxy = site, proxy

    def phone(self, user="alice", v6=False, **kw):
        endpoint = Endpoint(self.proxy.port6 if v6 else self.proxy.port,
                            tls=self.site.certificate.client(),
                            host="::1" if v6 else "127.0.0.1")
        kw.setdefault("password", self.site.users[user])
        phone = Phone(endpoint, user, **kw)
        self.site.phones.append(phone)
        return phone

    def synced(self, user="alice", **kw):
        phone = self.phone(user, **kw)
        assert phone.foldersync().status == 1
        phone.sync_until_done("INBOX")
        return phone

    def held(self, user="alice", **kw):
        phone = self.synced(user, **kw)
        return phone, self.site.hold(phone)

    def remote_addresses(self):
        try:
            with open(self.site.where + "/logs-remote.log") as f:
                return f.read().split()
        except FileNotFoundError:
            return []


@pytest.fixture
def make_front(make_site, certificate):
    proxies = []

    def make(kind, httpd=None, **kw):
        args = dict(modules=["remoteip"], site=REMOTE)
        args.update(httpd or {})
        site = make_site(httpd=args)
        proxy = kind(site.where, certificate, site.httpd.plain_port, **kw)
        proxies.append(proxy)
        return Front(site, proxy.start())
    yield make
    for proxy in proxies:
        proxy.stop()


both = pytest.mark.parametrize("kind", [Nginx, Haproxy])


@both
def test_a_hold_outlasts_the_proxys_own_time_out(make_front, kind):
    front = make_front(kind)
    phone = front.synced()
    front.site.hold(phone)
    phone.connect()
    assert phone.ping(["INBOX"], 6).status == 1


@both
def test_without_the_lines_it_does_not(make_front, kind):
    front = make_front(kind, long=None)
    phone, ping = front.held()
    try:
        assert ping.response().status == 504
    except ConnectionLost:
        pass
    front.site.wait_held(0)


@both
def test_a_change_is_told(make_front, kind):
    front = make_front(kind)
    phone, ping = front.held()
    mail = front.site.mails().deliver("one")
    front.site.told(phone, ping=ping, mail=mail)
    phone.sync_until_done("INBOX")
    assert "one" in phone.subjects()


@both
@pytest.mark.parametrize("how", ["hang_up", "abort"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
def test_a_phone_that_hangs_up_frees_its_hold(make_front, kind, how, before):
    """@param before  requests on that connection before the Ping"""
    front = make_front(kind)
    phone, ping = front.held()
    if not before:
        phone.hang_up()
        front.site.wait_held(0)
        phone.connect()
        ping = phone.start_ping(["INBOX"], 600)
    front.site.wait_held(1)
    assert ping.is_held(0)
    getattr(phone, how)()
    front.site.wait_held(0)


@both
@pytest.mark.parametrize("how", ["reset", "close"])
def test_so_does_one_that_comes_over_http_2(make_front, kind, how):
    """It gives up on the Ping alone, or on the connection; another phone's
    Ping is held on."""
    front = make_front(kind)
    phone, _ = front.held()
    front.held("bob")
    phone.hang_up()
    front.site.wait_held(1)
    over = H2(front.site, port=front.proxy.port)
    stream = over.ping(phone)
    front.site.wait_held(2)
    assert over.is_held(stream, 0)
    if how == "reset":
        over.reset(stream)
    else:
        over.close()
    front.site.wait_held(1)
    if how == "reset":  # the connection is as good as before
        again = over.ping(phone)
        front.site.wait_held(2)
        front.site.mails().deliver("one")
        answer = over.answer(again)
        assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
        over.close()


def test_a_proxy_that_does_not_tell_is_corrected_by_the_next_ping(make_front):
    """HAProxy without option abortonclose."""
    front = make_front(Haproxy, change=[(r"(?m)^    option abortonclose$",
                                         "")])
    phone, _ = front.held()
    phone.hang_up()
    phone.connect()
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held(1)
    front.site.wait_held(1)


@both
def test_the_logs_have_the_phones_address(make_front, kind):
    front = make_front(kind)
    phone = front.phone()
    phone.connect(source="127.0.0.2")
    phone.foldersync()
    wait_until(lambda: "127.0.0.2" in front.remote_addresses(),
               "the address in the log")


@both
def test_ipv6(make_front, kind):
    front = make_front(kind)
    phone, ping = front.held(v6=True)
    mail = front.site.mails().deliver("six")
    front.site.told(phone, ping=ping, mail=mail)
    assert "::1" in front.remote_addresses()


@both
def test_connections_are_shared_and_nobody_is_confused(make_front, kind):
    """Requests of two users one after the other over few connections; each is
    told of its own mail, and of that only."""
    front = make_front(kind)
    phones = {u: front.synced(u) for u in ("alice", "bob")}
    for _ in range(2):
        for phone in phones.values():
            phone.sync("INBOX")
    ports = {}
    for one in front.site.httpd.wait_access(4, cmd="Sync"):
        ports.setdefault(one["port"], []).append(one)
    assert any(len(v) > 1 for v in ports.values()), ports
    pings = {u: front.site.hold(p) for u, p in phones.items()}
    front.site.wait_held(2)
    mail = front.site.mails("bob").deliver("for bob")
    front.site.told(phones["bob"], ping=pings["bob"], mail=mail)
    assert pings["alice"].is_held(0.3)


@both
def test_what_arrived_is_not_announced_again(make_front, kind):
    """The phone's next request on its connection to the proxy tells: one Sync
    per change."""
    front = make_front(kind)
    phone, ping = front.held()
    for i in range(3):
        mail = front.site.mails().deliver("mail %d" % i)
        front.site.told(phone, ping=ping, mail=mail)
        before = front.site.httpd.metric("answered_changes")
        # one Sync that brings it, and the Ping at once: as phones do
        answer = phone.sync("INBOX")
        assert answer.collections[phone.id("INBOX")]["adds"]
        ping = phone.start_ping(["INBOX"], 600)
        assert ping.is_held(2.5)
        assert front.site.httpd.metric("answered_changes") == before
    phone.connect()  # and over HTTP/1.1 that is certain
    assert phone.ping(["INBOX"], 2).status == 1


@both
@pytest.mark.parametrize("change", [(), (NO_NAME,)], ids=["named", "unnamed"])
def test_what_the_proxy_alone_has_is_announced_again(make_front, kind, change):
    """The mark is not made firm by the proxy's acknowledgement, nor by another
    phone's request on the same connection."""
    front = make_front(kind, change=change)
    phone, ping = front.held()
    other = front.synced("bob")
    mail = front.site.mails().deliver("new")
    front.site.told(phone, ping=ping, mail=mail)
    done = len(front.site.httpd.access(cmd="Sync"))
    wire = phone.connection()
    phone.start_sync("INBOX")
    front.site.httpd.wait_access(done + 1, cmd="Sync")
    wire.abort()  # nothing of it was read
    for _ in range(3):
        other.sync("INBOX")
    phone.connect()
    answer = front.site.first_answer(phone, ["INBOX"])
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    phone.sync_until_done("INBOX")
    assert "new" in phone.subjects()


def test_a_proxy_that_names_no_connection_is_told_of_once(make_front):
    front = make_front(Nginx, change=(NO_NAME,))
    front.synced()
    front.synced("bob")
    assert len(front.site.httpd.grep("does not name the phone's")) \
        <= len(front.site.httpd.children())
    front.site.httpd.wait_log("does not name the phone's")


def test_the_proxy_protocol(make_front):
    """The address of the phone, and what has arrived, without any header."""
    front = make_front(
        Haproxy, httpd=dict(site=[
            "RemoteIPProxyProtocol On", 'CustomLog "logs-remote.log" "%a"'],
            modules=["remoteip"]),
        change=(NO_NAME, (r"option forwardfor", ""),
                (r"pool-purge-delay 2s", "pool-purge-delay 2s send-proxy-v2")))
    phone = front.phone()
    phone.connect(source="127.0.0.2")
    phone.foldersync()
    phone.sync_until_done("INBOX")
    ping = front.site.hold(phone, quiet=3)  # DirectPushBackendLag has passed
    wait_until(lambda: "127.0.0.2" in front.remote_addresses(),
               "the address in the log")
    mail = front.site.mails().deliver("one")
    front.site.told(phone, ping=ping, mail=mail)
    phone.sync("INBOX")
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held(2.5), ping.answer(1)
    assert not front.site.httpd.grep("does not name the phone's")
