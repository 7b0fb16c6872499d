"""directpush-device --devices as a process: its results, and its pauses, in
which one can look at the server."""
import json
import os
import select
import signal
import subprocess
import time

from common.progress import say
from dp.process import built, _end_with_parent

PASSWORD = "secret"

# Without progress a step is given up after so long, by the tool itself.
PATIENCE = 120
# Of each line: the tool says something at least after its patience.
SILENCE = 2 * PATIENCE + 60
SAY_EVERY = 10


class LoadFailed(Exception):
    """The tool has given up, or says nothing any more."""


def _shown(line):
    """Progress in a few words."""
    words = [line["step"]]
    for name in ("held", "n", "wanted", "per_second", "expired"):
        if name in line:
            words.append("%s %g" % (name, line[name]))
    failures = line.get("failures")
    return " ".join(words + ([str(failures)] if failures else []))


class Load:
    """@param where  for its messages
    @param arguments  of the command line, after --devices and --steps
    @param at_pause  {name of a pause: function without arguments}"""

    def __init__(self, where, devices, steps, arguments, at_pause=None):
        self.at_pause = dict(at_pause or {})
        self.messages = os.path.join(where, "load.out")
        self.results, self.progress = [], []
        self._rest, self._said_at = b"", time.monotonic()
        argv = [built("directpush-device"), "--devices", str(devices),
                "--patience", str(PATIENCE), "--json", "--steps",
                ",".join(steps)] + list(arguments)
        with open(self.messages, "wb") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=out, start_new_session=True,
                preexec_fn=_end_with_parent,
                env=dict(os.environ, DIRECTPUSH_PASSWORD=PASSWORD))

    def run(self):
        """Until it ends. @return results of its steps, in order
        @raise LoadFailed  with what it has said; `results` has what there is"""
        try:
            while True:
                line = self._line()
                if line is None:
                    break
                self._take(json.loads(line))
            status = self.process.wait(SILENCE)
        finally:
            self._end()
        if status != 0:
            raise LoadFailed("directpush-device ended with %d: %s" % (
                status, self.said()))
        return self.results

    def said(self):
        with open(self.messages, errors="replace") as f:
            return f.read().strip()[-2000:]

    def _line(self):
        """@return the next line, None at the end"""
        fd = self.process.stdout.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        until = time.monotonic() + SILENCE
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise LoadFailed("directpush-device said nothing for %d s: %s"
                                 % (SILENCE, self.said()))
            data = os.read(fd, 65536)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _take(self, line):
        if not line.pop("done", True):
            self.progress.append(line)
            if time.monotonic() - self._said_at > SAY_EVERY:
                self._said_at = time.monotonic()
                say("    " + _shown(line))
            return
        if line["step"] == "pause":
            self.at_pause[line["name"]]()
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
            return
        self.results.append(line)

    def _end(self):
        """It ends its own children at SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(60)
        self.process.stdin.close()
        self.process.stdout.close()
