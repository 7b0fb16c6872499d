"""Debian's nginx with nchan: long-polling, a channel for each phone. As many
workers as Apache has children; keep-alive, TLS and access log as there."""
import os
import pwd
import shutil
import tempfile

from common.usage import Usage
from dp.process import Process, free_ports, wait_until
from dp.wire import Wire

from .ours import KEEPALIVE_S

# What nchan says between its workers at level error is, in its own words, "not
# a big deal", or "makes no sense". Whether answers come is what counts.
BAD_LEVELS = ("[emerg]", "[alert]", "[crit]")
PROGRAM = "/usr/sbin/nginx"
MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"

# A channel keeps the last message, so that a phone that asks again does not
# miss one, nor one that has not asked in time (`oldest`); ours has that in the
# bus. `reuseport` spreads connections evenly.
CONF = """
load_module %(module)s;
daemon off;
pid %(where)s/nginx.pid;
error_log %(where)s/error.log warn;
%(user)s
worker_processes %(workers)d;
worker_rlimit_nofile %(descriptors)d;
events { worker_connections %(connections)d; }
http {
    log_format dp '$msec\\t$pid\\t$server_name\\t$remote_port\\t'
                  '$request_method\\t$request_uri\\t$status\\t'
                  '$body_bytes_sent\\t$request_time\\t$connection_requests';
    access_log %(where)s/access.log dp;
    keepalive_timeout %(keepalive)d;
    keepalive_requests 1000000000;
    client_body_temp_path %(where)s/tmp;
    proxy_temp_path %(where)s/tmp; fastcgi_temp_path %(where)s/tmp;
    uwsgi_temp_path %(where)s/tmp; scgi_temp_path %(where)s/tmp;
    nchan_shared_memory_size 2G;
    server {
        listen 127.0.0.1:%(plain)d reuseport;
        listen 127.0.0.1:%(tls)d ssl reuseport;
        server_name localhost;
        ssl_certificate %(cert)s;
        ssl_certificate_key %(key)s;
        ssl_protocols TLSv1.3;
        location ~ ^/sub/(\\w+)$ {
            nchan_subscriber longpoll;
            nchan_channel_id $1;
            nchan_subscriber_first_message oldest;
            nchan_subscriber_timeout 3540;
        }
        location ~ ^/pub/(\\w+)$ {
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length 1;
            nchan_message_timeout 300s;
        }
    }
}
"""


class Nchan:
    """@param plan  how large
    @param per_user  phones of one channel"""

    name = "nchan"

    def __init__(self, where, certificate, plan, per_user=1):
        self.per_user = per_user
        self.where = tempfile.mkdtemp(prefix="nchan-", dir=where)
        os.chmod(self.where, 0o755)
        self.certificate, self.plan = certificate, plan
        self.plain_port = self.tls_port = 0
        self.process = None

    def _write(self):
        self.plain_port, self.tls_port = free_ports(2)
        tmp = os.path.join(self.where, "tmp")
        os.makedirs(tmp, exist_ok=True)
        user = ""
        if os.geteuid() == 0:
            user = "user www-data;"
            os.chown(tmp, pwd.getpwnam("www-data").pw_uid, -1)
        path = os.path.join(self.where, "nginx.conf")
        with open(path, "w") as f:
            f.write(CONF % {
                "module": MODULE, "where": self.where, "user": user,
                "workers": self.plan.children,
                "descriptors": self.plan.descriptors,
                "connections": self.plan.per_child,
                "keepalive": KEEPALIVE_S, "plain": self.plain_port,
                "tls": self.tls_port, "cert": self.certificate.cert,
                "key": self.certificate.key})
        return path

    def start(self):
        for _ in range(5):  # somebody may take one of the ports
            path = self._write()
            self.process = Process([PROGRAM, "-p", self.where, "-c", path],
                                   os.path.join(self.where, "nginx.out"))
            try:
                wait_until(lambda: not self.process.is_running
                           or self._answers(), "nginx answers")
            except AssertionError:
                self.stop()
                raise
            if self.process.is_running:
                return self
        raise AssertionError("nginx does not start: "
                             + self.process.output() + self._errors())

    def _answers(self):
        try:
            Wire(("127.0.0.1", self.plain_port)).close()
        except OSError:
            return False
        return len(self.usage()["nginx"].all_pids()) > self.plan.children

    def _errors(self):
        try:
            with open(os.path.join(self.where, "error.log"),
                      errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def arguments(self, transport):
        """Of directpush-device."""
        out = ["--longpoll", "/sub/d%d", "/pub/d%d", "--per-user",
               str(self.per_user)]
        if transport == "tls":
            return out + ["--ca", self.certificate.cert,
                          "https://localhost:%d" % self.tls_port]
        return out + ["http://127.0.0.1:%d" % self.plain_port]

    def usage(self):
        """@return {server: Usage}"""
        return {"nginx": Usage([self.process.pid])}

    def stop(self):
        """End everything. @return what went wrong, a list of texts"""
        if self.process is None:
            return []
        status = self.process.stop()
        failures = [] if status == 0 else ["nginx ended with %s" % status]
        return failures + [line for line in self._errors().splitlines()
                           if any(b in line for b in BAD_LEVELS)][:10]

    def remove(self):
        shutil.rmtree(self.where, ignore_errors=True)
