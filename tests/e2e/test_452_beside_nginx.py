"""conf/nginx-beside-apache.conf and conf/apache-behind-terminator.conf
themselves, with ports, paths and names of ours: nginx is the web server, and a
small Apache in front of the real SOGo receives ActiveSync alone."""
import os

import pytest

from dp.http2 import H2
from dp.phone import Endpoint
from dp.process import wait_until
from dp.shipped import behind_terminator_vhost
from dp.terminator import NginxBeside
from dp.wire import Pending, http_request

PAGE = b"nginx serves this"


class Beside:
    def __init__(self, site, nginx, tls):
        self.site, self.nginx = site, nginx
        self.endpoint = Endpoint(nginx.port, tls=tls)

    def phone(self):
        """One that is in step, and its held Ping."""
        phone = self.site.phone(self.site.user())
        phone.endpoint = self.endpoint
        phone.foldersync()
        phone.sync_until_done("INBOX")
        return phone, self.site.hold(phone)

    def get(self, path):
        wire = self.endpoint.connect()
        try:
            wire.send(http_request("GET", path,
                                   [("Host", self.endpoint.name)]))
            return Pending(wire, "GET").wait()
        finally:
            wire.close()


@pytest.fixture
def beside(make_stack_site, certificate):
    site = make_stack_site(start=False, httpd=dict(
        modules=["remoteip"], main=['CustomLog "logs-remote.log" "%a"']))
    site.vhosts = [behind_terminator_vhost(site.sogo.port)]
    site.start()
    root = os.path.join(site.where, "www")
    os.mkdir(root)
    with open(os.path.join(root, "index.html"), "wb") as f:
        f.write(PAGE)
    nginx = NginxBeside(site.where, certificate, site.httpd.plain_port, root)
    yield Beside(site, nginx.start(), certificate.client())
    nginx.stop()


def test_a_ping_is_held_and_a_mail_wakes_it(beside):
    phone, ping = beside.phone()
    subject = beside.site.deliver(phone.user)
    beside.site.told(phone, ping=ping)
    phone.sync_until_done()
    assert subject in phone.subjects()
    beside.site.hold(phone)
    # directpushd looks at calendars once in a while: a moment's work
    wait_until(lambda: beside.site.sogo.workers_busy() == 0,
               "no worker of SOGo is busy while the Ping waits")


def test_a_phone_that_hangs_up_frees_its_hold(beside):
    phone, _ = beside.phone()
    beside.site.wait_held(1)
    phone.hang_up()
    beside.site.wait_held(0)


def test_all_else_is_nginxs(beside):
    phone, _ = beside.phone()
    for path, status in (("/", 200), ("/index.html", 200), ("/SOGo", 404),
                         ("/Microsoft-Server", 404)):
        page = beside.get(path)
        assert page.status == status, path
        assert page.get("Server").startswith("nginx")
        assert status != 200 or page.clear == PAGE
    lines = beside.site.httpd.access()
    assert lines and all("/Microsoft-Server-ActiveSync" in one["url"]
                         for one in lines)


def test_the_logs_have_the_phones_address(beside):
    phone = beside.site.phone(beside.site.user())
    phone.endpoint = beside.endpoint
    phone.connect(source="127.0.0.2")
    phone.foldersync()

    def addresses():
        with open(beside.site.where + "/logs-remote.log") as f:
            return f.read().split()
    wait_until(lambda: "127.0.0.2" in addresses(), "the address in the log")


def test_a_phone_over_http_2(beside):
    """Its Ping is held, pages load beside it, a mail wakes it."""
    phone, _ = beside.phone()
    phone.hang_up()
    beside.site.wait_held(0)
    over = H2(beside.site, port=beside.nginx.port)
    stream = over.ping(phone)
    beside.site.wait_held(1)
    assert over.get("/index.html") == 200
    assert over.is_held(stream)
    beside.site.deliver(phone.user)
    answer = over.answer(stream)
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    over.close()
