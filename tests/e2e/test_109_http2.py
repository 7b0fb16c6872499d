"""A Ping on an HTTP/2 stream is held on a worker, bounded, and answered."""
import subprocess

import pytest

from dp import wbxml


class Curl:
    """A Ping over HTTP/2 by curl. The phone lends its name and its folders."""

    def __init__(self, site, phone, heartbeat):
        self.body = site.where + "/ping.wbxml"
        self.out = site.where + "/answer.wbxml"
        with open(self.body, "wb") as f:
            f.write(phone.ping_body(["INBOX"], heartbeat))
        port = site.httpd.tls_port
        self.process = subprocess.Popen(
            ["curl", "-sk", "--http2", "--resolve",
             "mail.example.test:%d:127.0.0.1" % port,
             "-u", "%s:%s" % (phone.user, phone.password),
             "-H", "Content-Type: application/vnd.ms-sync.wbxml",
             "--data-binary", "@" + self.body, "-o", self.out,
             "-w", "%{http_version} %{http_code}",
             "https://mail.example.test:%d/Microsoft-Server-ActiveSync"
             "?Cmd=Ping&User=%s&DeviceId=%s&DeviceType=SmartPhone"
             % (port, phone.user, phone.device_id)],
            stdout=subprocess.PIPE, text=True)

    def answer(self):
        said, _ = self.process.communicate(timeout=60)
        assert said == "2 200", said
        with open(self.out, "rb") as f:
            return wbxml.PingAnswer(f.read())

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def h2(make_site):
    return make_site(httpd=dict(modules=["http2"], protocols="h2 http/1.1"))


def test_a_stream_is_held_and_woken(h2):
    phone = h2.in_step()
    ping = Curl(h2, phone, 600)
    h2.wait_held(1)
    h2.mails().deliver("one")
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])


def test_a_streams_heartbeat_ends(h2):
    assert Curl(h2, h2.in_step(), 2).answer().status == 1


def test_a_stream_that_is_reset_frees_its_worker(h2):
    ping = Curl(h2, h2.in_step(), 600)
    h2.wait_held(1)
    ping.kill()
    h2.wait_held(0)
