"""nginx and HAProxy in front of Apache: what is shipped in conf/, with ports
and paths substituted, private instances in the foreground."""
import os
import socket

from .process import Process, free_ports, wait_until
from .shipped import shipped, swap

NGINX, HAPROXY = "/usr/sbin/nginx", "/usr/sbin/haproxy"


class Terminator:
    """@param default  what stands for the proxy's own time-outs
    @param long  what stands for the shipped 3700 s; None: the default stays
    @param change  [(pattern, new text)] of the shipped file"""

    def __init__(self, where, certificate, apache_port, default="2s",
                 long="600s", change=()):
        self.where, self.certificate = where, certificate
        self.apache_port = apache_port
        self.default, self.long = default, long
        self.change = list(change)
        self.port = self.port6 = 0
        self.process = None

    def path(self, name):
        return os.path.join(self.where, self.name + "-" + name)

    def start(self):
        for _ in range(5):
            self.port, self.port6 = free_ports(2)
            conf = self.path("conf")
            with open(conf, "w") as f:
                f.write(self.text())
            self.process = Process(self.argv(conf), self.path("proxy.out"))
            wait_until(lambda: self.listens() or not self.process.is_running,
                       self.process.output)
            if self.process.is_running:
                return self
        raise AssertionError(self.process.output())

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.process is not None:
            self.process.stop()


class Nginx(Terminator):
    name = "nginx"
    file = "nginx-in-front.conf"

    def text(self):
        site = swap(
            shipped(self.file),
            (r"listen 443 ssl http2;", "listen 127.0.0.1:%d ssl http2;"
             % self.port),
            (r"listen \[::\]:443 ssl", "listen [::1]:%d ssl" % self.port6),
            (r"/etc/ssl/certs/ssl-cert-snakeoil\.pem", self.certificate.cert),
            (r"/etc/ssl/private/ssl-cert-snakeoil\.key",
             self.certificate.key),
            (r"127\.0\.0\.1:8080", "127.0.0.1:%d" % self.apache_port),
            (r"mail\.example\.com", "mail.example.test"))
        if self.long is None:
            site = swap(site, (r"proxy_read_timeout 3700s;", ""))
        else:
            site = swap(site, (r"3700s", self.long))
        site = swap(site, *self.change)
        return """daemon off; error_log %s info; pid %s;
events { worker_connections 512; }
http { access_log off; proxy_read_timeout %s;
client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;
uwsgi_temp_path %s; scgi_temp_path %s;
%s
}
""" % ((self.path("error.out"), self.path("pid"), self.default)
            + tuple(self.path("t%d" % i) for i in range(5)) + (site,))

    def argv(self, conf):
        return [NGINX, "-c", conf, "-e", self.path("error.out")]


class NginxBeside(Nginx):
    """nginx is the web server, with files below `root`."""

    file = "nginx-beside-apache.conf"

    def __init__(self, where, certificate, apache_port, root, change=(), **kw):
        super().__init__(where, certificate, apache_port, change=[
            (r"/var/www/html", root)] + list(change), **kw)


class Haproxy(Terminator):
    name = "haproxy"

    def text(self):
        pem = self.path("pem")
        with open(pem, "w") as out:
            for part in (self.certificate.cert, self.certificate.key):
                with open(part) as f:
                    out.write(f.read())
        site = swap(
            shipped("haproxy-in-front.cfg"),
            (r"bind :443", "bind 127.0.0.1:%d" % self.port),
            (r"bind \[::\]:443", "bind [::1]:%d" % self.port6),
            (r"/etc/haproxy/mail\.example\.com\.pem", pem),
            (r"127\.0\.0\.1:8080", "127.0.0.1:%d" % self.apache_port))
        if self.long is None:
            site = swap(site, (r"timeout (client|server) 3700s", ""))
        else:
            site = swap(site, (r"3700s", self.long))
        site = swap(site, *self.change)
        return """global
    maxconn 500
defaults
    timeout connect 5s
    timeout client %s
    timeout server %s
%s
""" % (self.default, self.default, site)

    def argv(self, conf):
        return [HAPROXY, "-db", "-f", conf]
