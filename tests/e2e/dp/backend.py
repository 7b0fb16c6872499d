"""The fixture backend (tests/backend) as a process, and its control URL."""
import contextlib
import http.client
import json
import os
import sys

from .process import Process, REPO, wait_until

PROGRAM = os.path.join(REPO, "tests", "backend", "easbackend.py")


class Backend:
    def __init__(self, where, mail_root, users, id_style="sogo", name="",
                 arguments=()):
        """@param where  directory for its files
        @param users  {name: password}"""
        self.where = where
        self.mail_root = mail_root
        self.users = dict(users)
        self.id_style = id_style
        self.arguments = list(arguments)
        self.stem = os.path.join(where, "backend" + name)
        self.process = None
        self.port = 0

    def start(self):
        """Start, on the old port if there was one; wait until it listens."""
        with open(self.stem + ".users", "w") as f:
            for pair in self.users.items():
                f.write("%s:%s\n" % pair)
        port_file = self.stem + ".port"
        if os.path.exists(port_file):
            os.unlink(port_file)
        self.process = Process(
            [sys.executable, PROGRAM, "--mail-root", self.mail_root,
             "--users", self.stem + ".users", "--port", str(self.port),
             "--port-file", port_file, "--id-style", self.id_style]
            + self.arguments, self.stem + ".out")
        wait_until(lambda: os.path.exists(port_file)
                   or not self.process.is_running, "backend listens")
        assert self.process.is_running, self.process.output()
        with open(port_file) as f:
            self.port = int(f.read())
        return self

    def stop(self):
        if self.process is not None:
            self.process.stop()

    def output(self):
        """What it wrote to stderr: empty unless it has a bug."""
        return self.process.output()

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            response = connection.getresponse()
            data = response.read()
        assert response.status == 200, data.decode()
        return json.loads(data)

    def control(self, **wish):
        """Switch something: see Control in easbackend.py."""
        return self._call("POST", "/_control", json.dumps(wish))

    def state(self):
        return self._call("GET", "/_control")

    def set(self, **settings):
        return self.control(set=settings)

    @contextlib.contextmanager
    def rule(self, **rule):
        """Misbehave while the block runs."""
        self.control(rules=[rule])
        try:
            yield self
        finally:
            self.control(clear=True)

    def misbehave(self, **rule):
        self.control(add_rule=rule)

    def behave(self):
        self.control(clear=True)

    # --- gates: hold a request at a known point ---

    def wait_at_gate(self, name, n=1):
        """Until n requests stand at this gate."""
        wait_until(lambda: self.state()["waiting"].get(name, 0) >= n,
                   "a request at gate %s" % name)

    def open(self, *names):
        self.control(open=list(names))

    # --- what it saw ---

    def mark(self):
        """A place in the log: give it to requests()."""
        log = self._call("GET", "/_control/log")
        return log[-1]["n"] + 1 if log else 0

    def requests(self, since=0, **match):
        """Requests seen, oldest first: dicts with n, user, cmd, device, body_*,
        status, done, … ; only those where all of `match` is equal."""
        return [e for e in self._call("GET", "/_control/log?since=%d" % since)
                if all(e.get(k) == v for k, v in match.items())]

    def count(self, since=0, **match):
        return len(self.requests(since, **match))

    def wait_for(self, since=0, n=1, **match):
        """Until n such requests came. @return them"""
        return wait_until(
            lambda: (lambda r: len(r) >= n and r)(
                self.requests(since, **match)),
            lambda: "%d request(s) %r at the backend; it saw %r" % (
                n, match, [(e["cmd"], e["user"], e.get("status"))
                           for e in self.requests(since)]))

    def last(self, **match):
        """The newest such request, once it is done."""
        return wait_until(
            lambda: (lambda r: r and r[-1]["done"] and r[-1])(
                self.requests(**match)), "last request %r done" % match)

    def wait_idle(self):
        """Until no request is open."""
        wait_until(lambda: not self.state()["open"], "backend idle")
