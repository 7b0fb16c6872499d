"""`directpush-device --devices`, and the backend that goes with it."""
import json
import os
import subprocess
import tempfile

from .process import Process, _end_with_parent, built, wait_until
from .wire import GENEROUS


class LoadBackend:
    """tests/bench/load_backend as a process: lets everybody in, no mail.
    @param trace  a file for when each Sync was answered, or None"""

    def __init__(self, where, trace=None):
        port_file = os.path.join(where, "load_backend.port")
        self.process = Process(
            [built("tests", "bench", "load_backend"),
             "--port-file", port_file]
            + (["--trace", trace] if trace else []),
            os.path.join(where, "load_backend.out"))
        wait_until(lambda: os.path.exists(port_file)
                   or not self.process.is_running, "load_backend listens")
        assert self.process.is_running, self.process.output()
        with open(port_file) as f:
            self.port = int(f.read())

    def stop(self):
        self.process.stop()
        assert not self.process.output(), self.process.output()


class Load:
    """The program, running. Lines of its output are read as they come.
    @param options  of directpush-device; --json is always there
    @param operands  URL and USER, or URL alone with --longpoll"""

    def __init__(self, options, operands, password="secret"):
        environment = dict(os.environ, DIRECTPUSH_PASSWORD=password)
        self.complaints = tempfile.TemporaryFile("w+")
        self.popen = subprocess.Popen(
            [built("directpush-device"), "--json"]
            + [str(o) for o in options] + operands,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.complaints, text=True, env=environment,
            start_new_session=True, preexec_fn=_end_with_parent)
        self.pid = self.popen.pid

    def workers(self):
        """Pids of its worker processes."""
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            return [int(p) for p in f.read().split()]

    def step(self, name):
        """The next finished step, which has this name."""
        for line in self.popen.stdout:
            event = json.loads(line)
            if event["done"]:
                assert event["step"] == name, event
                return event
        raise AssertionError("no step %s: %s" % (name, self.said()))

    def said(self):
        """What it wrote to standard error so far."""
        self.complaints.seek(0)
        return self.complaints.read()

    def go_on(self):
        """After a pause."""
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def ends(self, status=0):
        """Until it ends. @return (finished steps not read yet, complaints)"""
        out = self.popen.stdout.read()
        assert self.popen.wait(GENEROUS) == status, (
            self.popen.returncode, out, self.said())
        events = [json.loads(line) for line in out.splitlines()]
        return [e for e in events if e["done"]], self.said()

    def stop(self):
        if self.popen.poll() is None:
            self.popen.kill()  # its workers end with it
            self.popen.wait()
        for file in (self.popen.stdin, self.popen.stdout, self.complaints):
            file.close()
