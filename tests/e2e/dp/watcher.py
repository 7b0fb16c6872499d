"""directpushd as a process, directpushctl, and the control socket by hand."""
import os
import signal
import socket
import subprocess
import urllib.parse

from .process import Process, built, wait_until
from .wire import GENEROUS


class Watcher:
    """@param maildir  pattern of the maildir source (%u, %n, %d)
    @param conf  further lines of directpushd.conf
    @param maildir_lines  further lines within its maildir section
    @param wrapper  words before the program: a tool that runs it"""

    def __init__(self, where, maildir, group="www-data", conf=(),
                 default_domain=None, maildir_lines=(), wrapper=()):
        self.where = where
        self.runtime_dir = os.path.join(where, "run")
        self.state_dir = os.path.join(where, "watcher")
        self.conf = os.path.join(where, "directpushd.conf")
        self.socket = os.path.join(self.runtime_dir, "control.sock")
        self.bus = os.path.join(self.runtime_dir, "bus")
        self.maildir, self.group = maildir, group
        self.more, self.maildir_lines = list(conf), list(maildir_lines)
        self.default_domain = default_domain
        self.wrapper = list(wrapper)
        self.process = None
        self.build = None  # another one than the usual
        for path in (self.runtime_dir, self.state_dir):
            os.makedirs(path, 0o755, exist_ok=True)

    def text(self):
        lines = ['runtime_dir = "%s"' % self.runtime_dir,
                 'state_dir = "%s"' % self.state_dir]
        if self.group and os.geteuid() == 0:
            lines.append('group = "%s"' % self.group)
        if self.default_domain:
            lines.append('default_domain = "%s"' % self.default_domain)
        if self.maildir:
            lines.append('maildir { path = "%s"%s }' % (
                self.maildir, "".join("\n" + x for x in self.maildir_lines)))
        return "\n".join(lines + self.more) + "\n"

    def write(self):
        with open(self.conf, "w") as f:
            f.write(self.text())

    def spawn(self):
        """Start without waiting."""
        self.write()
        self.process = Process(
            self.wrapper + [built("directpushd", build=self.build), "-c",
                            self.conf, "-F"],
            os.path.join(self.where, "directpushd.out"))
        return self.process

    def start(self):
        self.spawn()
        wait_until(lambda: self.answers() or not self.process.is_running,
                   lambda: "directpushd answers: " + self.process.output())
        assert self.process.is_running, self.process.output()
        return self

    def answers(self):
        try:
            with Control(self.socket, timeout=5) as control:
                return control.status() is not None
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        return self.process.output() if self.process else ""

    def stop(self):
        """As systemd does. @return exit status"""
        return self.process.stop() if self.process else None

    def kill(self):
        """As the kernel does."""
        self.process.stop(signal.SIGKILL)

    def freeze(self):
        self.process.signal(signal.SIGSTOP)

    def thaw(self):
        self.process.signal(signal.SIGCONT)

    def reload(self):
        self.write()
        self.process.signal(signal.SIGHUP)

    def restart(self):
        self.stop()
        return self.start()

    def control(self, **kw):
        return Control(self.socket, **kw)

    def status(self):
        """Counters of the daemon: {name: int or str}."""
        with Control(self.socket) as control:
            return control.status()

    def ctl(self, *args, check=True):
        """directpushctl with our configuration.
        @return CompletedProcess, text in stdout and stderr"""
        done = subprocess.run([built("directpushctl"), "-c", self.conf]
                              + list(args), text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=GENEROUS)
        assert not check or done.returncode == 0, done
        return done

    def publish(self, user, folder="INBOX", class_="Email", kind="new"):
        """@return seq of the change"""
        with Control(self.socket) as control:
            answer = control.ask("publish", user, class_, folder, kind)
        assert answer[0] == "ok", answer
        return int(answer[1])


class Control:
    """The lines of the control socket (design section 4): fields separated by
    tabs, percent-escaped."""

    def __init__(self, path, timeout=GENEROUS):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    @staticmethod
    def escape(field):
        return "".join(c if c > " " and c not in "%\x7f" or c == " "
                       else "%%%02X" % ord(c) for c in str(field))

    def say(self, *fields):
        self.sock.sendall(("\t".join(self.escape(f) for f in fields)
                           + "\n").encode())

    def line(self):
        """The next line as a list of fields; None at the end."""
        data = self.file.readline()
        if not data:
            return None
        return [urllib.parse.unquote(f) for f in
                data.decode().rstrip("\n").split("\t")]

    def ask(self, *fields):
        self.say(*fields)
        return self.line()

    def status(self):
        self.say("status")
        out = {}
        while True:
            line = self.line()
            if line is None:
                return None
            if line == ["."]:
                return out
            value = line[1] if len(line) > 1 else ""
            out[line[0]] = int(value) if value.isdigit() else value
