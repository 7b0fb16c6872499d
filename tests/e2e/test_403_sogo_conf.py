"""conf/sogo.conf itself, with ports, paths and names of ours, in front of the
real SOGo and Dovecot."""
import pytest

from dp.process import wait_until
from dp.shipped import sogo_vhost
from dp.wire import Pending, http_request
from test_412_dav_observed_sogo import pim_id, pim_phone, put, told


@pytest.fixture
def site(make_stack_site, certificate):
    site = make_stack_site(start=False, httpd=dict(
        tune={"DirectPushFallbackInterval": "600s 3600s"}))
    site.vhosts = [sogo_vhost(certificate, site.sogo.port)]
    return site.start()


def test_a_ping_is_held_and_a_mail_wakes_it(site):
    phone, ping = site.held_phone(user=site.user())
    subject = site.deliver(phone.user)
    site.told(phone, ping=ping)
    phone.sync_until_done()
    assert subject in phone.subjects()
    site.hold(phone)
    # directpushd looks at calendars once in a while: a moment's work
    wait_until(lambda: site.sogo.workers_busy() == 0,
               "no worker of SOGo is busy while the Ping waits")


def test_what_a_caldav_client_puts_wakes_it(site):
    user = site.user()
    phone, ping = pim_phone(site, user, "Calendar")
    assert ping.is_held(0)
    put(site, user, "lunch-1")
    assert told(phone, ping, "Calendar")
    assert phone.items[pim_id(phone, "Calendar")]


def get(site, path):
    wire = site.httpd.endpoint(True).connect()
    try:
        wire.send(http_request("GET", path, [("Host", "mail.example.test")]))
        return Pending(wire, "GET").wait()
    finally:
        wire.close()


def test_webmail_answers_and_names_itself_by_the_hosts_name(site):
    page = get(site, "/SOGo/")
    for _ in range(3):
        if page.status not in (301, 302):
            break
        where = page.get("Location")
        base = "https://mail.example.test:%d" % site.httpd.tls_port
        assert where.startswith((base + "/SOGo", "/SOGo")), where
        page = get(site, where.removeprefix(base))
    assert page.status == 200
    assert b"SOGo" in page.clear
