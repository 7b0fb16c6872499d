"""The files in conf/ as they are shipped, with ports, paths and names of a
test's own put in."""
import os
import re

from .httpd import Vhost
from .process import REPO


def shipped(name):
    with open(os.path.join(REPO, "conf", name), encoding="utf-8") as f:
        return f.read()


def swap(text, *pairs):
    """@raise AssertionError when one of them is not there"""
    for pattern, new in pairs:
        text, n = re.subn(pattern, lambda _: new, text)
        assert n, "%r is not in the shipped file" % pattern
    return text


class SogoVhost(Vhost):
    """The virtual host of sogo.conf, on the TLS port alone."""

    def __init__(self, certificate, sogo_port):
        super().__init__()
        self.certificate, self.sogo_port = certificate, sogo_port

    def text(self, port, is_tls):
        if not is_tls:
            return ""
        return swap(
            shipped("sogo.conf"),
            (r"<VirtualHost \*:443>", "<VirtualHost 127.0.0.1:%d>" % port),
            (r'server-port "443"', 'server-port "%d"' % port),
            (r"/etc/ssl/certs/ssl-cert-snakeoil\.pem", self.certificate.cert),
            (r"/etc/ssl/private/ssl-cert-snakeoil\.key",
             self.certificate.key),
            (r"https://mail\.example\.com", "https://%s:%d"
             % (self.name, port)),
            (r"mail\.example\.com", self.name),
            (r"127\.0\.0\.1:20000", "127.0.0.1:%d" % self.sogo_port))


class BehindTerminatorVhost(Vhost):
    """That of apache-behind-terminator.conf, on the plain port alone."""

    def __init__(self, sogo_port):
        super().__init__()
        self.sogo_port = sogo_port

    def text(self, port, is_tls):
        if is_tls:
            return ""
        return swap(
            shipped("apache-behind-terminator.conf"),
            (r"<VirtualHost 127\.0\.0\.1:8080>",
             "<VirtualHost 127.0.0.1:%d>" % port),
            (r"mail\.example\.com", self.name),
            (r"127\.0\.0\.1:20000", "127.0.0.1:%d" % self.sogo_port))
