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


class ShippedVhost(Vhost):
    """The virtual host of that file, on one of our ports.
    @param certificate  of ours, or None: the file is for the plain port
    @param pairs  (pattern, new text) of this file; @PORT@ is the port
    @param with_module  False: without its DirectPush"""

    def __init__(self, file, certificate, *pairs, with_module=True):
        super().__init__()
        self.file, self.certificate = file, certificate
        self.pairs, self.with_module = pairs, with_module

    def text(self, port, is_tls):
        if is_tls != (self.certificate is not None):
            return ""
        pairs = [(pattern, new.replace("@PORT@", str(port)))
                 for pattern, new in self.pairs]
        pairs += [(r"<VirtualHost (\*:443|127\.0\.0\.1:8080)>",
                   "<VirtualHost 127.0.0.1:%d>" % port),
                  (r"(?<=ServerName )mail\.example\.com", self.name)]
        if is_tls:
            pairs += [(r"/etc/ssl/certs/ssl-cert-snakeoil\.pem",
                       self.certificate.cert),
                      (r"/etc/ssl/private/ssl-cert-snakeoil\.key",
                       self.certificate.key)]
        if not self.with_module:
            pairs.append((r"(?m)^ *DirectPush\w* .*$", ""))
        return swap(shipped(self.file), *pairs)


def sogo_vhost(certificate, sogo_port):
    """sogo.conf in front of a sogod of ours."""
    return ShippedVhost(
        "sogo.conf", certificate,
        (r'server-port "443"', 'server-port "@PORT@"'),
        (r"https://mail\.example\.com", "https://mail.example.test:@PORT@"),
        (r"127\.0\.0\.1:20000", "127.0.0.1:%d" % sogo_port))


def behind_terminator_vhost(sogo_port):
    """apache-behind-terminator.conf, the same."""
    return ShippedVhost(
        "apache-behind-terminator.conf", None,
        (r"127\.0\.0\.1:20000", "127.0.0.1:%d" % sogo_port))
