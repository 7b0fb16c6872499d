"""Debian's configuration as its packages install it, with a2enmod of what a
front-end needs, the shipped conf/directpush.conf and `DirectPush On`: it holds
5,000 Pings. The configuration is copied; the machine's own stays as it is."""
import glob
import os
import re
import shutil
import signal
import subprocess

import pytest

from dp.httpd import PROGRAM
from dp.phone import Endpoint, Phone
from dp.process import Process, REPO, built, free_ports, wait_until
from dp.wire import Pending, Wire, http_request

PHONES = 5000
ETC = "/etc/apache2"
OPEN_FILES = 8192   # what Debian's apache2ctl sets
DEADLINE = 120      # seconds for something that 5,000 phones wait for


# enabled by their packages, which other tests need
OTHERS = ("evasive", "security2", "unique_id")


def untouched():
    """Is the machine's configuration the packages' one?"""
    if not os.path.exists(ETC + "/mods-available/mpm_event.conf"):
        return False
    changed = subprocess.run(["dpkg", "--verify", "apache2"], text=True,
                             stdout=subprocess.PIPE).stdout
    return not re.search(r"^..5.* " + ETC, changed, re.M)


class StockApache:
    """Debian's apache2.conf and all that it includes, in a copy."""

    def __init__(self, where):
        self.where = where
        self.etc = os.path.join(where, "apache2")
        self.state = os.path.join(where, "devices")
        self.logs = os.path.join(where, "logs")
        self.error_log = os.path.join(self.logs, "error.log")
        self.run = os.path.join(where, "apache-run")
        self.port = 0
        self.process = None
        self.env = dict(
            os.environ, APACHE_CONFDIR=self.etc, APACHE_RUN_DIR=self.run,
            APACHE_LOCK_DIR=self.run, APACHE_LOG_DIR=self.logs,
            APACHE_PID_FILE=os.path.join(self.run, "apache2.pid"),
            APACHE_RUN_USER="www-data", APACHE_RUN_GROUP="www-data",
            APACHE_STATE_DIRECTORY=os.path.join(where, "a2enmod"), LANG="C")

    def _write(self, name, text):
        with open(os.path.join(self.etc, name), "w") as f:
            f.write(text)

    def _leave_out(self, modules):
        """What packages besides apache2 have enabled."""
        for module in modules:
            for path in glob.glob("%s/mods-enabled/%s.*" % (self.etc,
                                                            module)):
                os.unlink(path)

    def _change_port(self):
        for path in [self.etc + "/ports.conf"] + glob.glob(
                self.etc + "/sites-available/*.conf"):
            with open(path) as f:
                text = f.read()
            text = re.sub(r"^Listen 80$", "Listen 127.0.0.1:%d" % self.port,
                          text, flags=re.M)
            text = text.replace("*:80>", "*:%d>" % self.port)
            with open(path, "w") as f:
                f.write(text)

    def prepare(self, backend_port, runtime_dir):
        """What README tells the administrator to do."""
        shutil.copytree(ETC, self.etc, symlinks=True)
        self._leave_out(OTHERS)
        for path in (self.logs, self.run, self.state):
            os.mkdir(path)
        if os.geteuid() == 0:
            shutil.chown(self.state, "www-data", "www-data")
        (self.port,) = free_ports(1)
        self._change_port()
        with open(os.path.join(REPO, "conf", "directpush.load")) as f:
            self._write("mods-available/directpush.load", f.read().replace(
                "@HTTPD_MODULEDIR@/mod_directpush.so",
                built(".libs", "mod_directpush.so")))
        shutil.copy(os.path.join(REPO, "conf", "directpush.conf"),
                    os.path.join(self.etc, "mods-available"))
        self._write("sites-available/phones.conf", """
DirectPushRuntimeDir "%s"
DirectPushStateDir "%s"
# all are alice's
DirectPushMaxDevices 100000
<VirtualHost *:%d>
    ServerName mail.example.test
    DirectPush On
    ProxyPass /Microsoft-Server-ActiveSync \
http://127.0.0.1:%d/Microsoft-Server-ActiveSync timeout=3700
    <Location /directpush-status>
        SetHandler directpush-status
        Require local
    </Location>
</VirtualHost>
""" % (runtime_dir, self.state, self.port, backend_port))
        self._enable("a2enmod", "directpush", "proxy_http")
        self._enable("a2ensite", "phones")

    def _enable(self, program, *names):
        done = subprocess.run(["/usr/sbin/" + program, "-q"] + list(names),
                              env=self.env, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout

    def start(self):
        # as apache2ctl does it
        self.process = Process(
            ["/bin/sh", "-c", 'ulimit -n %d; exec "$@"' % OPEN_FILES, "sh",
             PROGRAM, "-d", self.etc, "-DFOREGROUND"],
            os.path.join(self.where, "apache2.out"), env=self.env)
        wait_until(lambda: "resuming normal operations" in self.errors()
                   or not self.process.is_running,
                   lambda: "apache2 runs: " + self.errors())
        assert self.process.is_running, (self.process.output()
                                         + self.errors())

    def errors(self):
        try:
            with open(self.error_log) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid,
                                                 self.process.pid)) as f:
            return set(f.read().split())

    def held(self):
        wire = Wire(("127.0.0.1", self.port))
        try:
            wire.send(http_request("GET", "/directpush-status", [
                ("Host", "mail.example.test"), ("Connection", "close")]))
            text = Pending(wire, "GET").wait().body.decode()
        finally:
            wire.close()
        return int(re.search(r"^held\t(\d+)", text, re.M)[1])

    def stop(self):
        if self.process is not None:
            assert self.process.stop(signal.SIGTERM) is not None


@pytest.fixture
def stock(make_site):
    """(site without its own Apache, StockApache before the start)"""
    site = make_site(httpd=False, users={"alice": "secret"})
    apache = StockApache(site.where)
    yield site, apache
    for phone in site.phones:
        phone.close()
    apache.stop()


@pytest.mark.skipif(not untouched(),
                    reason=ETC + " is not as Debian's packages install it")
def test_debians_configuration_holds_5000(stock, open_files):
    site, apache = stock
    open_files(PHONES + 500)
    apache.prepare(site.backend.port, site.watcher.runtime_dir)
    apache.start()

    def phone():
        one = Phone(Endpoint(apache.port), "alice", "secret")
        site.phones.append(one)
        assert one.foldersync().status == 1
        one.sync_until_done("INBOX")
        return one
    # the first one makes the watcher watch; the marks of the others then count,
    # when that is DirectPushBackendLag ago
    first = phone()
    pings = [(first, site.hold(first, quiet=3))]
    children = apache.children()
    for _ in range(PHONES - 1):
        one = phone()
        pings.append((one, one.start_ping(["INBOX"], 3540)))

    again = []

    def all_held():
        """What is answered although nothing has changed asks again; that
        must be rare: a phone of 5,000 may be late with its confirmation."""
        for i, (one, ping) in enumerate(pings):
            if ping.is_answered():
                again.append((one.device_id, ping.answer()))
                assert len(again) <= PHONES // 100, again
                assert ping.answer().status in (2, 7), ping.answer()
                one.foldersync()
                one.sync_until_done("INBOX")
                pings[i] = (one, one.start_ping(["INBOX"], 3540))
        return apache.held() == PHONES
    wait_until(all_held, lambda: "%d held; there are %d, answered were %r, "
               "the backend holds %d" % (PHONES, apache.held(), again,
                                         site.backend.count(cmd="Ping")),
               DEADLINE)

    site.mails().deliver("to all of them")
    for one, ping in pings:
        answer = ping.answer(DEADLINE)
        assert (answer.status, answer.folders) == (2, [one.id("INBOX")])
    assert len(one.wires) == 1, "the connection is the one that it was"
    assert apache.children() == children, "no child was retired"
    assert not re.findall(r".*:(?:error|crit|alert|emerg)\].*",
                          apache.errors())
