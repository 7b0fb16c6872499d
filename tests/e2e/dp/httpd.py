"""A private Apache on loopback: Debian's httpd and modules, our module, own
configuration, ports, logs and state. It runs in the foreground as our child,
so that it is stopped by its own pid and nothing else ever is.
"""
import glob
import grp
import os
import pwd
import re
import signal
import ssl
import subprocess
import time
import urllib.parse

from . import sanitizers, tcp
from .phone import Endpoint
from .process import Process, built, free_ports, wait_until
from .wire import GENEROUS, Pending, Wire, http_request

PROGRAM = sanitizers.apache()
EAS = "/Microsoft-Server-ActiveSync"
BAD_LEVELS = ("error", "crit", "alert", "emerg")
# what says "a child died" at a harmless level
CRASH = re.compile(r"exit signal|AH00052|Assertion|AH00050|AddressSanitizer|"
                   r"runtime error:|free\(\): |double free|malloc\(\)")
MODULES = """authn_core authz_core authz_host authn_file auth_basic
    access_compat env setenvif headers mime alias dir filter deflate reqtimeout
    status proxy proxy_http socache_shmcb ssl rewrite unixd logio""".split()

# Short heartbeats, and no waiting for company: tests that are about these set
# them. None leaves a directive out.
TUNE = {"DirectPushHeartbeat": "1s 3540s", "DirectPushPace": "0s",
        "DirectPushQuiet": "0s", "DirectPushBackendLag": "0s",
        "DirectPushMaxDevices": "100000"}  # alice has them all

_module_dir = None


def module_dir():
    global _module_dir
    if _module_dir is None:
        for apxs in ("apxs", "apxs2", "/usr/bin/apxs"):
            try:
                _module_dir = subprocess.run(
                    [apxs, "-q", "LIBEXECDIR"], check=True, text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL).stdout.strip()
                break
            except (OSError, subprocess.CalledProcessError):
                _module_dir = "/usr/lib/apache2/modules"
    return _module_dir


class Certificate:
    """A self-signed one for all names, made once per session."""

    def __init__(self, where, names=("*.example.test", "*.example.org",
                                     "localhost")):
        self.cert = os.path.join(where, "cert.pem")
        self.key = os.path.join(where, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
             "-addext", "basicConstraints=critical,CA:FALSE",
             "-subj", "/CN=mod_directpush test", "-addext",
             "subjectAltName=" + ",".join("DNS:" + n for n in names),
             "-keyout", self.key, "-out", self.cert],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def client(self, version=None):
        """A TLS context of a phone. @param version  ssl.TLSVersion to force"""
        context = ssl.create_default_context(cafile=self.cert)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context


class Vhost:
    """A virtual host, on the TLS and on the plain port alike.
    @param backend  a port, or None for no backend
    @param on  DirectPush On
    @param directives  lines within"""

    def __init__(self, name="mail.example.test", backend=None, on=True,
                 directives=()):
        self.name, self.backend, self.on = name, backend, on
        self.directives = list(directives)

    def text(self, port, is_tls):
        """All of it, where it isn't made of the above; shipped.py"""
        return None


class Httpd:
    """@param vhosts  list of Vhost, the first is the default
    @param with_module  load mod_directpush
    @param main  further lines of the main server
    @param site  further lines of every virtual host
    @param tune  {directive: value or None}, on top of TUNE
    @param children, threads, async_factor  size of the MPM
    @param open_files  `ulimit -n`, None: ours
    @param wrapper  words before the program: a tool that runs it
    Timeout, KeepAliveTimeout and MaxKeepAliveRequests are Debian's unless said
    otherwise."""

    def __init__(self, where, certificate, vhosts, with_module=True,
                 mpm="event", children=2, threads=8, async_factor=200,
                 timeout=300, keepalive_timeout=5, max_keepalive=100,
                 max_per_child=0, main=(), site=(), modules=(), runtime_dir="",
                 state_dir="", tls_main=False, protocols=None,
                 log_level="info ssl:warn", tune=None, defaults=True,
                 open_files=None, wrapper=()):
        self.where = where
        self.certificate = certificate
        self.vhosts = list(vhosts)
        self.with_module = with_module
        self.mpm = mpm
        self.children_n, self.threads = children, threads
        self.async_factor = async_factor
        self.timeout = timeout
        self.keepalive_timeout = keepalive_timeout
        self.max_keepalive = max_keepalive
        self.max_per_child = max_per_child
        self.main, self.site = list(main), list(site)
        self.modules = list(modules)
        self.runtime_dir, self.state_dir = runtime_dir, state_dir
        self.tls_main = tls_main
        self.protocols = protocols
        self.log_level = log_level
        self.tune = dict(TUNE)
        self.tune.update(tune or {})
        self.defaults = defaults
        self.open_files = open_files
        self.wrapper = list(wrapper)
        self.process = None
        self.build = None  # another one than the usual, of the module
        self.tls_port = self.plain_port = self.admin_port = 0
        self.conf = os.path.join(where, "httpd.conf")
        self.error_log = os.path.join(where, "error.log")
        self.access_log = os.path.join(where, "access.log")
        self.cores = os.path.join(where, "cores")
        self.allowed = []  # patterns of lines that a test expects
        self._checked = 0

    # --- configuration ---

    def _mpm_lines(self):
        workers = self.children_n * self.threads
        if self.mpm == "prefork":
            return ["StartServers %d" % self.children_n,
                    "MinSpareServers 1", "MaxSpareServers %d" % workers,
                    "ServerLimit %d" % (workers * 2),
                    "MaxRequestWorkers %d" % workers]
        lines = ["ServerLimit %d" % (self.children_n * 3),
                 "StartServers %d" % self.children_n,
                 "ThreadsPerChild %d" % self.threads,
                 "ThreadLimit %d" % max(64, self.threads),
                 "MaxRequestWorkers %d" % workers,
                 "MinSpareThreads 1", "MaxSpareThreads %d" % workers]
        if self.mpm == "event":
            lines.append("AsyncRequestWorkerFactor %s" % self.async_factor)
        return lines

    def _vhost_lines(self, vhost, port, is_tls):
        text = vhost.text(port, is_tls)
        if text is not None:
            return [text]
        lines = ["<VirtualHost 127.0.0.1:%d>" % port,
                 "ServerName %s" % vhost.name]
        if is_tls:
            lines += ["SSLEngine on"]
        elif self.tls_main:
            lines += ["SSLEngine off"]
        if self.protocols:
            lines.append("Protocols %s" % self.protocols)
        if self.with_module and vhost.on is not None:
            lines.append("DirectPush %s" % ("On" if vhost.on else "Off"))
        if vhost.backend is not None:
            lines.append('ProxyPass "%s" "http://127.0.0.1:%d%s" '
                         "connectiontimeout=5 timeout=3700 retry=0"
                         % (EAS, vhost.backend, EAS))
        return lines + self.site + vhost.directives + ["</VirtualHost>", ""]

    def text(self):
        """The configuration."""
        where = self.where
        modules = list(dict.fromkeys(MODULES + self.modules))
        lines = ["# made by tests/e2e/dp/httpd.py", 'ServerRoot "%s"' % where,
                 'DefaultRuntimeDir "%s"' % where, 'PidFile "%s/httpd.pid"'
                 % where, "ServerName main.example.test"]
        lines += ['LoadModule mpm_%s_module "%s/mod_mpm_%s.so"' % (
            self.mpm, module_dir(), self.mpm)]
        lines += ['LoadModule %s_module "%s/mod_%s.so"' % (m, module_dir(), m)
                  for m in modules if os.path.exists(
                      "%s/mod_%s.so" % (module_dir(), m))]
        if self.with_module:
            lines.append('LoadModule directpush_module "%s"' % built(
                ".libs", "mod_directpush.so", build=self.build))
        if os.geteuid() == 0:
            lines += ["User www-data", "Group www-data"]
        lines += self._mpm_lines() + sanitizers.httpd_lines()
        lines += ["Timeout %s" % self.timeout,
                  "KeepAliveTimeout %s" % self.keepalive_timeout,
                  "MaxKeepAliveRequests %s" % self.max_keepalive,
                  "MaxConnectionsPerChild %d" % self.max_per_child,
                  "GracefulShutdownTimeout 60", "HostnameLookups Off",
                  "ExtendedStatus On", "TypesConfig /dev/null",
                  "LogLevel %s" % self.log_level,
                  'CoreDumpDirectory "%s"' % self.cores,
                  'ErrorLog "%s"' % self.error_log,
                  'LogFormat "%{%s}t\\t%P\\t%v\\t%{remote}p\\t%m\\t%U%q\\t%>s'
                  '\\t%b\\t%D\\t%X\\t%{directpush-outcome}n\\t%I\\t%O" dp',
                  'CustomLog "%s" dp' % self.access_log,
                  "<Directory />", "Require all granted", "</Directory>",
                  "SSLSessionCache none",
                  'SSLCertificateFile "%s"' % self.certificate.cert,
                  'SSLCertificateKeyFile "%s"' % self.certificate.key]
        for port in (self.tls_port, self.plain_port, self.admin_port):
            lines.append("Listen 127.0.0.1:%d%s" % (
                port, " https" if port == self.tls_port else ""))
        if self.tls_main:
            lines.append("SSLEngine on")
        if self.with_module and self.defaults:
            lines += ['DirectPushRuntimeDir "%s"' % self.runtime_dir,
                      'DirectPushStateDir "%s"' % self.state_dir]
            lines += ["%s %s" % pair for pair in self.tune.items()
                      if pair[1] is not None]
        lines += self.main
        lines += ["<VirtualHost 127.0.0.1:%d>" % self.admin_port,
                  "ServerName admin.example.test"]
        if self.tls_main:
            lines += ["SSLEngine off"]
        lines += ["<Location /server-status>", "SetHandler server-status",
                  "</Location>"]
        if self.with_module:
            lines += ["<Location /directpush-status>",
                      "SetHandler directpush-status", "</Location>"]
        lines += ["</VirtualHost>", ""]
        for vhost in self.vhosts:
            lines += self._vhost_lines(vhost, self.tls_port, True)
            lines += self._vhost_lines(vhost, self.plain_port, False)
        return "\n".join(lines) + "\n"

    def write(self):
        """Write the configuration as it is now wished; used by reload()."""
        if not self.tls_port:
            self.tls_port, self.plain_port, self.admin_port = free_ports(3)
        with open(self.conf, "w") as f:
            f.write(self.text())

    def configtest(self, *main):
        """httpd -t of the configuration and further lines of the main server.
        @return (exit status, output)"""
        self._prepare_dirs()
        conf = os.path.join(self.where, "configtest.conf")
        with open(conf, "w") as f:
            f.write(self.text() + "".join(line + "\n" for line in main))
        done = subprocess.run([PROGRAM, "-t", "-f", conf], text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def _prepare_dirs(self):
        for path in (self.state_dir, self.cores):
            if path:
                os.makedirs(path, 0o750, exist_ok=True)
                if os.geteuid() == 0:
                    os.chown(path, pwd.getpwnam("www-data").pw_uid,
                             grp.getgrnam("www-data").gr_gid)

    # --- running ---

    def backtraces(self):
        """Of children that crashed: text of gdb, "" when there are none."""
        out = ""
        for name in sorted(os.listdir(self.cores)):
            try:
                out += subprocess.run(
                    ["gdb", "-batch", "-ex", "bt", "-ex",
                     "thread apply all bt 12", sanitizers.APACHE,
                     os.path.join(self.cores, name)], text=True, timeout=60,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            except (OSError, subprocess.TimeoutExpired) as e:
                out += "%s: %s\n" % (name, e)
        return out

    def start(self):
        self._prepare_dirs()
        for attempt in range(5):
            self.write()
            before = len(self.grep("resuming normal operations"))
            argv = self.wrapper + [PROGRAM, "-f", self.conf, "-DFOREGROUND"]
            if self.open_files:  # as apache2ctl does it
                argv = ["/bin/sh", "-c", 'ulimit -n %d; exec "$@"'
                        % self.open_files, "sh"] + argv
            self.process = Process(argv, os.path.join(self.where, "httpd.out"))
            # it listens before it knows whether it will run
            wait_until(lambda: len(self.grep("resuming normal operations"))
                       > before or not self.process.is_running,
                       lambda: "httpd runs: " + self.errors_text())
            if self.process.is_running:
                return self
            if "Address already in use" not in (self.process.output()
                                                + self.errors_text()):
                break
            self.tls_port = 0  # somebody took one of the ports
            self.allowed.append("AH00072|AH00015|Address already in use")
        raise AssertionError("httpd does not start:\n%s\n%s" % (
            self.process.output(), self.errors_text()))

    @property
    def pid(self):
        return self.process.pid

    def children(self):
        """Pids of the child processes."""
        try:
            with open("/proc/%d/task/%d/children" % (self.pid,
                                                     self.pid)) as f:
                return [int(p) for p in f.read().split()]
        except FileNotFoundError:
            return []

    def rss_kb(self, pid, what="RssAnon"):
        """Memory of a process in KiB; anonymous unless told otherwise."""
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith(what + ":"):
                    return int(line.split()[1])
        raise KeyError(what)

    def _until_new_generation(self, what):
        before = len(re.findall("resuming normal operations",
                                self.errors_text()))
        what()
        wait_until(lambda: len(re.findall("resuming normal operations",
                                          self.errors_text())) > before
                   or not self.process.is_running,
                   lambda: "new generation: " + self.errors_text())
        assert self.process.is_running, self.errors_text()

    def graceful(self):
        """Graceful restart with the configuration as it is now wished; waits
        until the new generation is up (the old one may still drain)."""
        self.write()
        self._until_new_generation(
            lambda: self.process.signal(signal.SIGUSR1))

    def restart(self):
        """Restart at once: connections are cut."""
        self.write()
        self._until_new_generation(lambda: self.process.signal(signal.SIGHUP))

    def graceful_stop(self):
        """Begin a graceful stop; `process.wait()` for its end."""
        self.process.signal(signal.SIGWINCH)

    def connections(self):
        """TCP connections that this server has open on our ports."""
        return sum(tcp.open_n(port) for port in (
            self.tls_port, self.plain_port, self.admin_port))

    def _is_at_rest(self):
        """Does no thread of ours do anything?"""
        for pid in self.children():
            for path in glob.glob("/proc/%d/task/*/stat" % pid):
                try:
                    with open(path) as f:
                        if f.read().rsplit(")", 1)[1].split()[0] in "RD":
                            return False
                except OSError:
                    pass  # it has just ended
        return True

    def settle(self, seconds=5):
        """Wait, not for ever, until all connections are closed, as long as
        they become fewer, and their memory is freed. SIGTERM while workers
        close some can crash httpd's own shutdown, whose
        close_worker_sockets() races with them."""
        left, until = self.connections(), time.monotonic() + seconds
        while left and time.monotonic() < until:  # a test may leave some open
            time.sleep(0.02)
            now = self.connections()
            if now < left:
                left, until = now, time.monotonic() + seconds
        try:
            wait_until(self._is_at_rest, "no thread is busy", seconds)
        except AssertionError:
            pass  # a test may well leave one

    def stop(self):
        if self.process is not None and self.process.is_running:
            self.settle()
            children = self.children()
            status = self.process.stop(signal.SIGTERM)
            assert status is not None, "httpd had to be killed"
            left = [p for p in children if os.path.exists("/proc/%d" % p)]
            if left:
                wait_until(lambda: not any(os.path.exists("/proc/%d" % p)
                                           for p in left), "children gone")

    # --- logs ---

    def errors_text(self):
        try:
            with open(self.error_log, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def errors(self, levels=BAD_LEVELS):
        """Lines of the error log at these levels."""
        wanted = re.compile(r"^\[[^\]]*\] \[[^:\]]*:(%s)\]" % "|".join(levels))
        return [line for line in self.errors_text().splitlines()
                if wanted.match(line)]

    def grep(self, pattern):
        """Lines of the error log that hold a pattern."""
        return [line for line in self.errors_text().splitlines()
                if re.search(pattern, line)]

    def wait_log(self, pattern, n=1):
        return wait_until(
            lambda: (lambda found: len(found) >= n and found)(
                self.grep(pattern)),
            lambda: "%r in the error log:\n%s" % (pattern,
                                                  self.errors_text()[-4000:]))

    def allow(self, *patterns):
        """Lines at level error or above that this test causes."""
        self.allowed += patterns

    def allow_absence(self):
        """This test takes the watcher away: one line says so."""
        self.allow("directpushd has gone away", "cannot use the change bus",
                   "cannot reach the watcher", "gives no sign of life")

    def unexpected(self):
        """What must not be in the error log, and output of a crash."""
        allowed = re.compile("|".join(self.allowed) or r"(?!)")
        bad = self.errors() + [
            line for line in self.errors_text().splitlines()
            + (self.process.output().splitlines() if self.process else [])
            if CRASH.search(line)]
        return [line for line in dict.fromkeys(bad)
                if not allowed.search(line)]

    def access(self, **match):
        """The access log as dicts; `match` selects: status=200, cmd="Ping"."""
        out = []
        try:
            with open(self.access_log, errors="replace") as f:
                lines = f.read().splitlines()
        except FileNotFoundError:
            return out
        for line in lines:
            part = line.split("\t")
            if len(part) < 13:
                continue
            query = urllib.parse.parse_qs(part[5].partition("?")[2])
            one = {"pid": int(part[1]), "vhost": part[2],
                   "port": int(part[3]), "method": part[4], "url": part[5],
                   "status": int(part[6]),
                   "bytes": 0 if part[7] == "-" else int(part[7]),
                   "us": int(part[8]), "connection": part[9],
                   "outcome": None if part[10] == "-" else part[10],
                   "in": int(part[11]), "out": int(part[12]),
                   "cmd": query.get("Cmd", [None])[0]}
            if all(one.get(k) == v for k, v in match.items()):
                out.append(one)
        return out

    def wait_access(self, n=1, **match):
        """Until n such lines are in the access log. @return them"""
        return wait_until(
            lambda: (lambda found: len(found) >= n and found)(
                self.access(**match)),
            lambda: "%d line(s) %r in the access log; it has %r" % (
                n, match, self.access()))

    # --- asking it ---

    def endpoint(self, tls=True, name=None, version=None):
        """Where phones connect."""
        name = name or self.vhosts[0].name
        if tls:
            return Endpoint(self.tls_port, name,
                            self.certificate.client(version))
        return Endpoint(self.plain_port, name)

    def get(self, path, port=None, host="admin.example.test"):
        """GET from the admin port. @return Response"""
        wire = Wire(("127.0.0.1", port or self.admin_port))
        try:
            wire.send(http_request("GET", path, [
                ("Host", host), ("Connection", "close")]))
            return Pending(wire, "GET").wait(GENEROUS)
        finally:
            wire.close()

    def scoreboard(self):
        """server-status?auto as a dict; numbers where they are. BusyWorkers
        includes the one that answers this."""
        out = {}
        for line in self.get("/server-status?auto").body.decode().splitlines():
            name, colon, value = line.partition(": ")
            if colon:
                try:
                    out[name] = float(value) if "." in value else int(value)
                except ValueError:
                    out[name] = value
        return out

    def busy_workers(self):
        """Workers that serve requests of others than ours."""
        return self.scoreboard()["BusyWorkers"] - 1

    def status_page(self):
        return self.get("/directpush-status").body.decode()

    def metrics(self):
        """The OpenMetrics of the module: {"name{labels}": number}."""
        response = self.get("/directpush-status?metrics")
        assert response.status == 200, response
        out = {}
        for line in response.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                out[name] = float(value)
        return out

    def metric(self, name):
        """Sum over all labels of one metric, `held` for directpush_held."""
        name = "directpush_" + name
        return sum(v for k, v in self.metrics().items()
                      if k.partition("{")[0] in (name, name + "_total"))
