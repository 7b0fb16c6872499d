"""The servers of the comparison: one set of PostgreSQL, memcached, Dovecot and
a sogod of three workers; in front of it an Apache with module and directpushd,
or the same Apache without. Also what they all use together."""
import os
import shutil

from dp.httpd import Certificate
from dp.maildir import Maildir
from dp.phone import Endpoint, Phone
from dp.site import temp_dir
from dp.stack.servers import PASSWORD
from dp.stack.shared import Stack
from dp.stack.site import StackSite

from common.usage import Usage

from .crowd import Handset

WORKERS = 3
# What the tests shorten is as shipped here. A Ping may be shorter than the
# minute that is the shortest by default, so that the end of one can be had.
TUNE = {"DirectPushHeartbeat": "1s 3540s", "DirectPushPace": None,
        "DirectPushQuiet": None, "DirectPushBackendLag": None,
        # After a restart of Apache no login has been seen yet. The backend
        # would have to hold ten such Pings; it has three workers.
        "DirectPushMaxPassed": "0"}
# Without the module each waiting Ping occupies a worker of Apache: as many as
# there are phones, so that it is SOGo alone that makes them wait.
APACHE = dict(children=4, threads=100, async_factor=300, tune=TUNE,
              log_level="warn", max_keepalive=0)


class Resuming:
    """A TLS context whose connections resume the one before, as phones do."""

    def __init__(self, context):
        self.context, self.session = context, None

    def wrap_bio(self, incoming, outgoing, server_hostname=None):
        return self.context.wrap_bio(incoming, outgoing, session=self.session,
                                     server_hostname=server_hostname)


class Rig:
    """@param ping_limit  SOGoMaximumPingInterval, seconds"""

    def __init__(self, ping_limit=3540):
        self.where = temp_dir()
        self.certificate = Certificate(self.where)
        self.stack = Stack.start(os.path.join(self.where, "stack"))
        self.stack.sogo.stop()  # that one is of the tests
        # so long a queue that nobody is refused
        self.sogo = self.stack.another_sogo(
            "sogo-%d" % WORKERS, workers=WORKERS, settings={
                "WOListenQueueSize": 1024,
                "SOGoMaximumPingInterval": ping_limit}).start()
        self.sites = {is_with: StackSite(
            self.certificate, self.stack, dav=[], sogo=self.sogo,
            httpd=APACHE, with_module=is_with, start=False)
            for is_with in (True, False)}
        self.handsets, self.maildirs = [], {}

    # --- phones ---

    def user(self):
        """A new user with Dovecot's mailboxes. @return name"""
        name = self.stack.user()
        path = self.stack.maildir(name)
        at = os.stat(path)
        self.maildirs[name] = Maildir(path, guid=False,
                                      owner=(at.st_uid, at.st_gid))
        return name

    def phone(self, is_with, user=None, **kw):
        return Phone(self.endpoint(is_with), user or self.user(), PASSWORD,
                     **kw)

    def endpoint(self, is_with, resuming=False):
        httpd = self.sites[is_with].httpd
        context = self.certificate.client()
        return Endpoint(httpd.tls_port, httpd.vhosts[0].name,
                        Resuming(context) if resuming else context)

    def first_handsets(self, n, is_with):
        """n phones of a user each, always the same ones, that turn to this
        server from now on."""
        while len(self.handsets) < n:
            self.handsets.append(Handset(self.phone(is_with)))
        endpoint = self.endpoint(is_with)
        for handset in self.handsets[:n]:
            handset.phone.endpoint = endpoint
        return self.handsets[:n]

    # --- servers ---

    def start(self, is_with):
        """Apache, and directpushd if it is with."""
        return self.sites[is_with].start()

    def end(self, is_with):
        site = self.sites[is_with]
        site.stop()
        if not is_with:
            site.failures.clear()  # a proxy whose backend is taken away

    def restart_sogo(self):
        """The workers let go of all Pings, also of phones that have left."""
        self.sogo.stop()
        self.stack.forget_cached()
        self.sogo.start()

    def usage(self, is_with):
        """Of all servers that take part. @return {name: Usage}"""
        site, stack = self.sites[is_with], self.stack
        out = {"SOGo": Usage([self.sogo.pid]),
               "Dovecot": Usage([stack.dovecot.pid]),
               "PostgreSQL": Usage([stack.postgres.pid]),
               "memcached": Usage([stack.memcached.pid]),
               "Apache": Usage([site.httpd.pid])}
        if is_with:
            out["directpushd"] = Usage([site.watcher.pid])
        return out

    def failures(self):
        return self.sites[True].failures

    def stop(self):
        for is_with, site in self.sites.items():
            if site.httpd is not None:
                self.end(is_with)
            site.remove()
        self.sogo.stop()
        self.stack.stop()
        if not os.environ.get("DP_KEEP"):
            shutil.rmtree(self.where, ignore_errors=True)
