"""Apache with the module, directpushd, and a backend that costs nothing."""
import os
import shutil
import subprocess
import tempfile

from common.usage import Usage
from dp.httpd import EAS, Httpd, Vhost
from dp.load import LoadBackend
from dp.watcher import Watcher
from dp.wire import GENEROUS

from .plan import THREADS

# Longer than it takes until all phones have been served after a storm: phones
# ask at once, these queue up for it.
KEEPALIVE_S = 900


# Where it takes seconds, not minutes, to make and remove 300,000 directories
MEMORY = "/dev/shm"


class Mail:
    """Maildirs of all users, which all sites of a run watch. No mail comes."""

    def __init__(self, users):
        self.root = tempfile.mkdtemp(
            prefix="dp-phones-", dir=MEMORY if os.access(MEMORY, os.W_OK)
            else None)
        os.chmod(self.root, 0o755)
        try:
            for i in range(users):
                for name in ("cur", "new"):
                    os.makedirs(os.path.join(self.root, "user%d" % i, name))
        except BaseException:
            self.remove()
            raise

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def pattern(self):
        return os.path.join(self.root, "%u")


class Ours:
    """@param plan  how large
    @param n  how many phones will come
    @param per_user  phones of one user; as few as the plan says"""

    name = "ours"

    def __init__(self, where, certificate, mail, plan, n, per_user=None):
        self.where = tempfile.mkdtemp(prefix="ours-", dir=where)
        os.chmod(self.where, 0o755)
        self.certificate = certificate
        self.per_user = per_user or plan.per_user(n)
        # each user has a folder and a list of folders; below three quarters
        users = (n + self.per_user - 1) // self.per_user
        places = 1 << max(16, (4 * users).bit_length())
        self.watcher = Watcher(self.where, mail.pattern, conf=[
            "topics = %d" % places, "journal = %d" % places])
        self.backend = None
        self.backend_trace = None  # a file for the backend's
        self.httpd = None
        self.httpd_args = dict(
            children=plan.children, threads=THREADS,
            async_factor=plan.async_factor, max_keepalive=0,
            keepalive_timeout=KEEPALIVE_S, log_level="warn",
            runtime_dir=self.watcher.runtime_dir,
            state_dir=os.path.join(self.where, "devices"),
            # ServerTokens as Debian has it: the answer's bytes are counted
            main=["SSLProtocol TLSv1.3", "ServerTokens OS",
                  "DirectPushProvoke 100000"])

    def start(self):
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self):
        self.backend = LoadBackend(self.where, self.backend_trace)
        self.watcher.start()
        self.httpd = Httpd(self.where, self.certificate,
                           [Vhost("localhost", self.backend.port)], **self.httpd_args)
        # its workers may well be busy now and then: it is slower then
        self.httpd.allow("AH00484")
        self.httpd.start()

    def arguments(self, transport):
        """Of directpush-device."""
        out = ["--per-user", str(self.per_user), "--publish",
               self.watcher.socket]
        if transport == "tls":
            return out + ["--ca", self.certificate.cert,
                          "https://localhost:%d%s" % (self.httpd.tls_port,
                                                      EAS), "user%d"]
        return out + ["http://127.0.0.1:%d%s" % (self.httpd.plain_port, EAS),
                      "user%d"]

    def usage(self):
        """@return {server: Usage}"""
        return {"apache": Usage([self.httpd.pid]),
                "directpushd": Usage([self.watcher.pid])}

    def stop(self):
        """End everything. @return what went wrong, a list of texts"""
        failures = []
        if self.httpd is not None and self.httpd.process is not None:
            try:
                self._end_httpd()
            except AssertionError as e:
                failures.append(str(e))
            failures += self.httpd.unexpected()[:10]
        if self.watcher.process is not None:
            self.watcher.stop()
        if self.backend is not None:
            try:
                self.backend.stop()
            except AssertionError as e:
                failures.append("load_backend: %s" % e)
        return failures

    def _end_httpd(self):
        """Gracefully: while its workers free what thousands of connections had,
        SIGTERM can crash httpd's children, in close_worker_sockets()."""
        if self.httpd.process.is_running:
            self.httpd.graceful_stop()
            try:
                self.httpd.process.wait(GENEROUS)
            except subprocess.TimeoutExpired:
                pass
        self.httpd.stop()

    def remove(self):
        shutil.rmtree(self.where, ignore_errors=True)
