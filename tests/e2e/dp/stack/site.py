"""Apache with the module and directpushd, in front of the shared stack."""
import email.message
import email.utils
import itertools
import os

from ..httpd import EAS, Httpd, Vhost
from ..site import Site, temp_dir
from ..watcher import Watcher
from .servers import DOMAIN, PASSWORD
from .shared import SUPERUSER

_numbers = itertools.count(1)


def mail(subject, to="u1", body="Hello\n", attachment=None):
    """A mail as bytes. @param attachment  bytes, or None"""
    m = email.message.EmailMessage()
    m["From"] = "Bob <bob@example.org>"
    m["To"] = "%s@%s" % (to, DOMAIN)
    m["Subject"] = subject
    m["Date"] = email.utils.formatdate(usegmt=True)
    m["Message-ID"] = email.utils.make_msgid(domain=DOMAIN)
    m.set_content(body)
    if attachment is not None:
        m.add_attachment(attachment, maintype="application",
                         subtype="octet-stream", filename="data.bin")
    return m.as_bytes()


def proxy_lines(sogo_port):
    """What an administrator of SOGo has in his virtual host; the ports of
    ours stand in the URLs that SOGo makes."""
    return [
        "ProxyPreserveHost On",
        "SetEnv proxy-nokeepalive 1",  # sogod closes after each answer
        "ProxyPass %s http://127.0.0.1:%d/SOGo%s retry=0 connectiontimeout=5 "
        "timeout=3700" % (EAS, sogo_port, EAS),
        "ProxyPass /SOGo http://127.0.0.1:%d/SOGo retry=0 nocanon"
        % sogo_port,
        "<Proxy http://127.0.0.1:%d/SOGo>" % sogo_port,
        'RequestHeader set "x-webobjects-server-protocol" "HTTP/1.0"',
        'RequestHeader unset "x-webobjects-remote-user"',
        'RequestHeader set "x-webobjects-server-name" "mail.example.test"',
        'RequestHeader set "x-webobjects-server-url" "http://localhost"',
        "</Proxy>"]


def sharing_lines(stack):
    """directpushd.conf: where Dovecot's public mailboxes are, and who shares
    what with whom."""
    return ['public = "%s"' % os.path.join(stack.dovecot.where, "public"),
            'shared_dict = "%s"' % os.path.join(stack.dovecot.where,
                                                "shared-mailboxes")]


class StackSite(Site):
    """A Site whose backend is SOGo and whose mailboxes are Dovecot's. Its
    users are fresh ones: `user()`; phones' names of folders are SOGo's.
    @param dav  lines within the dav section of directpushd.conf, or None for
                no such section; "interval = 1" for instance
    @param maildir_lines  lines within its maildir section; sharing_lines()
    @param sogo  another Sogo than the shared one
    @param httpd  arguments of Httpd; directives: lines of the virtual host"""

    def __init__(self, certificate, stack, dav=None,
                 dav_path="/SOGo/dav/%u/", sogo=None, httpd=None,
                 directives=(), with_module=True, watcher="running",
                 watcher_conf=(), default_domain=None, maildir_lines=(),
                 start=True):
        self.where = temp_dir()
        self.certificate = certificate
        self.stack, self.sogo = stack, sogo or stack.sogo
        self.dav_path = dav_path
        self.phones, self.failures = [], []
        self.users, self.maildirs, self.backends = {}, {}, []
        self.with_module, self.watcher_mode = with_module, watcher
        self.directives = list(directives)
        self.watcher = Watcher(
            self.where, os.path.join(stack.dovecot.mail_root, "%n", "Maildir"),
            conf=list(watcher_conf) + self._dav_lines(dav),
            default_domain=default_domain, maildir_lines=maildir_lines)
        self.httpd_args = dict(httpd or {})
        self.httpd = None
        self.vhosts = None
        if start:
            try:
                self.start()
            except BaseException:
                self.stop()
                raise

    def _dav_lines(self, lines):
        if lines is None:
            return []
        secret = os.path.join(self.where, "push.password")
        with open(secret, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(PASSWORD + "\n")
        return ["dav {", 'url = "http://127.0.0.1:%d%s"'
                % (self.sogo.port, self.dav_path), 'user = "%s"' % SUPERUSER,
                'password_file = "%s"' % secret] + list(lines) + ["}"]

    def start(self):
        if self.with_module and self.watcher_mode == "running":
            self.watcher.start()
        vhosts = self.vhosts or [
            Vhost(directives=proxy_lines(self.sogo.port) + self.directives)]
        self.httpd = Httpd(
            self.where, self.certificate, vhosts,
            with_module=self.with_module,
            runtime_dir=self.watcher.runtime_dir,
            state_dir=os.path.join(self.where, "devices"),
            **self.httpd_args).start()
        return self

    def user(self, password=PASSWORD):
        """A new user of the stack. @return name"""
        name = self.stack.user(password)
        self.users[name] = password
        return name

    def phone(self, user, tls=True, vhost=None, direct=False, **kw):
        """@param direct  past Apache, to sogod"""
        phone = super().phone(user, tls, vhost, **kw)
        if direct:
            phone.endpoint = type(phone.endpoint)(self.sogo.port)
            phone.path = "/SOGo" + EAS
            phone.keep_alive = False  # sogod closes after each answer
        return phone

    def deliver(self, user, subject=None, mailbox="INBOX", **kw):
        """A mail by dovecot-lda. @return subject"""
        subject = subject or "mail %d" % next(_numbers)
        self.stack.dovecot.deliver(user, mail(subject, user, **kw), mailbox)
        return subject
