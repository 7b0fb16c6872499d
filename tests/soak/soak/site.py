"""Apache with the module, directpushd and a backend that costs nothing."""
import os
import shutil
import tempfile

from common.usage import Usage
from dp.httpd import Certificate, Httpd, Vhost
from dp.load import LoadBackend
from dp.watcher import Watcher

PER_USER = 10


class Site:
    """One child. @param phones  how many will come, ten of each user
    @param threads  workers of it
    @param wrapper  words before both programs: a tool that runs them
    @param main  further lines of httpd's main server"""

    def __init__(self, phones, threads=32, wrapper=(), main=()):
        self.where = tempfile.mkdtemp(prefix="dp-soak-")
        os.chmod(self.where, 0o755)
        self.users = ["user%d" % i for i in range(-(-phones // PER_USER))]
        mail = os.path.join(self.where, "mail")
        for user in self.users:
            for name in ("cur", "new", "tmp"):
                os.makedirs(os.path.join(mail, user, name))
        self.watcher = Watcher(self.where, os.path.join(mail, "%u"),
                               wrapper=wrapper)
        self.backend = None
        self.httpd = None
        self.httpd_args = dict(
            children=1, threads=threads, max_keepalive=0,
            async_factor=2 * phones // threads + 200, keepalive_timeout=900,
            log_level="warn", runtime_dir=self.watcher.runtime_dir,
            state_dir=os.path.join(self.where, "devices"),
            main=["DirectPushProvoke 100000"] + list(main), wrapper=wrapper)

    def __enter__(self):
        try:
            self.backend = LoadBackend(self.where)
            self.watcher.start()
            self.httpd = Httpd(self.where, Certificate(self.where),
                               [Vhost("localhost", self.backend.port)],
                               **self.httpd_args)
            self.httpd.allow("AH00484")  # workers may all be busy for a moment
            self.httpd.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.httpd is not None:
            self.httpd.stop()
        self.watcher.stop()
        if self.backend is not None:
            self.backend.stop()
        shutil.rmtree(self.where, ignore_errors=True)

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.httpd.plain_port

    def pings(self):
        """Pings that reached the module so far."""
        return int(self.httpd.metric("pings"))

    def endings(self):
        """{how: Pings that ended so}, of what is meant to happen here"""
        return {name: int(self.httpd.metric(metric)) for name, metric in (
            ("changes", "answered_changes"), ("heartbeat", "answered_nothing"),
            ("newer Ping", "superseded"), ("hang-up", "hung_up"),
            ("folders", "answered_hierarchy"))}

    def memory_kb(self):
        """@return {process: PSS in kB}"""
        (child,) = self.httpd.children()
        return {name: Usage([pid]).memory_kb()["Pss"] for name, pid in (
            ("Apache's child", child), ("directpushd", self.watcher.pid))}
