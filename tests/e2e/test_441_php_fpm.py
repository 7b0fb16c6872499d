"""PHP-FPM is the backend, by mod_proxy_fcgi: a small script that does what the
test backend does passes requests on to that. Debian's php-fpm, an instance of
our own on a socket in the site's directory; in Apache conf/zpush-php-fpm.conf
as it is shipped."""
import glob
import gzip
import hashlib
import os
import re

import pytest

from dp import wbxml
from dp.httpd import EAS
from dp.process import Process, wait_until
from dp.shipped import ShippedVhost
from dp.wire import Pending, http_request

SCRIPT = r"""<?php
/* passes the request on as it came, and the answer back as it comes */
$body = file_get_contents('php://input');
$url = 'http://127.0.0.1:@PORT@@PATH@';
if ($_SERVER['QUERY_STRING'] !== '') {
    $url .= '?' . $_SERVER['QUERY_STRING'];
}
$lines = [];
foreach (getallheaders() as $name => $value) {
    $skip = ['host', 'connection', 'content-length', 'expect',
             'transfer-encoding'];
    if (!in_array(strtolower($name), $skip)) {
        $lines[] = "$name: $value";
    }
}
$lines[] = 'Connection: close';
$context = stream_context_create(['http' => [
    'method' => $_SERVER['REQUEST_METHOD'], 'header' => $lines,
    'content' => $body, 'ignore_errors' => true, 'timeout' => 3700,
    'follow_location' => 0]]);
$in = fopen($url, 'rb', false, $context);
if (!$in) {
    http_response_code(502);
    exit;
}
foreach ($http_response_header as $i => $line) {
    if ($i === 0) {
        http_response_code((int)explode(' ', $line)[1]);
    } elseif (!preg_match('/^(connection|date|server|transfer-encoding):/i',
                          $line)) {
        header($line, false);
    }
}
while (!feof($in)) {
    echo fread($in, 65536);
    flush();
}
"""


class Fpm:
    """php-fpm with a pool of its own."""

    def __init__(self, where, workers=8):
        programs = sorted(glob.glob("/usr/sbin/php-fpm[0-9]*"))
        assert programs, "php-fpm is not installed"
        self.socket = os.path.join(where, "fpm.sock")
        conf = os.path.join(where, "fpm.conf")
        lines = ["[global]", "daemonize = no",
                 "error_log = %s/fpm.log" % where,
                 "pid = %s/fpm.pid" % where, "[eas]",
                 "listen = " + self.socket, "listen.mode = 0666",
                 "pm = static", "pm.max_children = %d" % workers,
                 "php_admin_flag[zlib.output_compression] = off",
                 "php_admin_value[memory_limit] = 512M",
                 "php_admin_value[post_max_size] = 0"]
        if os.geteuid() == 0:
            lines += ["user = www-data", "group = www-data"]
        with open(conf, "w") as f:
            f.write("\n".join(lines) + "\n")
        self.process = Process([programs[-1], "-n", "-y", conf],
                               os.path.join(where, "fpm.out"))
        wait_until(lambda: os.path.exists(self.socket)
                   or not self.process.is_running, "php-fpm listens")
        assert self.process.is_running, self.process.output()

    def stop(self):
        self.process.stop()


@pytest.fixture
def make_fpm_site(make_site):
    """make_fpm_site(with_module=True) -> Site whose backend is a script."""
    running = []

    def make(with_module=True, **httpd):
        site = make_site(start=False, with_module=with_module, httpd=dict(
            modules=["proxy_fcgi"], **httpd))
        site.backend.start()
        script = os.path.join(site.where, "index.php")
        with open(script, "w") as f:
            f.write(SCRIPT.replace("@PORT@", str(site.backend.port))
                    .replace("@PATH@", EAS))
        fpm = Fpm(site.where)
        running.append(fpm)
        site.vhosts = [ShippedVhost(
            "zpush-php-fpm.conf", site.certificate,
            (r"/usr/share/z-push", site.where),
            (r"/run/php/php-fpm\.sock", fpm.socket),
            with_module=with_module)]
        return site.start()
    yield make
    for fpm in running:
        fpm.stop()


def test_hold_wake_and_sync(make_fpm_site):
    site = make_fpm_site()
    phone, ping = site.held_phone()
    for subject in ("first", "second"):
        site.mails().deliver(subject)
        site.told(phone, ping=ping)
        assert [m["Subject"] for m in phone.sync_until_done("INBOX")] == [
            subject]
        ping = site.hold(phone)
    assert site.backend.count(cmd="Ping") == 0


def test_a_ping_that_is_passed_on_comes_to_the_script(make_fpm_site):
    site = make_fpm_site()
    phone = site.phone()
    body = wbxml.ping_request(600, [("mail%2Fnobody-knows", "Email")])
    site.backend.misbehave(cmd="Ping", times=1, status=503)
    assert phone.request("Ping", body).status == 503
    (seen,) = site.backend.requests(cmd="Ping")
    assert seen["body_sha"] == hashlib.sha256(body).hexdigest()
    (line,) = site.httpd.wait_access(cmd="Ping")
    assert line["outcome"] == "backend"


# GUIDs, keys, file names and times: each site has its own
OWN = re.compile(rb"[0-9a-f]{32}|{[0-9a-f-]{36}}|20\d\d-?\d\d-?\d\dT[0-9:.]+Z?"
                 rb"|\d{10}\.[\w.,=-]+")


def seen(response):
    clear = OWN.sub(b"*", response.clear if response.body else b"")
    return (response.status, response.reason, sorted(
        (k.lower(), v) for k, v in response.headers if k.lower() != "date"),
        len(clear), hashlib.sha256(clear).hexdigest(), clear[:400])


def scripted(site):
    """The same of every site. @return what the phone saw, step by step"""
    phone = site.phone(device_id="twinphone")
    out = []

    def step(what, response):
        out.append((what,) + seen(response))
        return response
    step("OPTIONS", phone.options())
    step("no login", phone.request(
        "FolderSync", wbxml.foldersync_request("0"), with_auth=False))
    phone.connect()
    phone.foldersync()
    for size in (10, 3000, 300_000):
        site.mails().deliver("mail %d" % size, size=size)
        # else those of one second come in the order of their random names
        phone.sync_until_done("INBOX")
    for rule in ({}, dict(gzip=True), dict(chunked=True),
                 dict(huge=50 << 20)):
        phone.keys.clear()
        phone.take_sync(phone.request("Sync", phone.sync_body("INBOX")))
        site.backend.misbehave(cmd="Sync", times=1, **rule)
        step("Sync %r" % rule, phone.request(
            "Sync", phone.sync_body("INBOX", body_bytes=5000), timeout=300))
    for status in (403, 404, 449, 500, 503):
        site.backend.misbehave(cmd="Sync", times=1, status=status,
                               headers={"X-Reason": "told to"})
        step("status %d" % status,
             phone.request("Sync", phone.sync_body("INBOX")))
        phone.connect()
    for size in (0, 1, 5000, 3_000_000):
        for chunked in (False, True):
            since = site.backend.mark()
            body = bytes(i * 7 % 256 for i in range(size))
            step("SendMail of %d" % size,
                 phone.request("SendMail", body, chunked=chunked))
            (request,) = site.backend.requests(since)
            out.append(request["body_sha"])
    step("compressed", phone.request("FolderSync", gzip.compress(
        wbxml.foldersync_request("0"), mtime=0),
        [("Content-Encoding", "gzip")]))
    for method in ("HEAD", "GET", "PUT", "OPTIONS"):
        wire = phone.connect()
        wire.send(http_request(method, phone.target("Sync"),
                               phone.headers(False)))
        step(method, Pending(wire, method).wait())
    return out


def test_a_phones_session_is_the_same(make_fpm_site):
    """With the module and without."""
    sites = [make_fpm_site(with_module=on) for on in (True, False)]
    for site in sites:
        site.httpd.allow("AH0")
    with_it, without = (scripted(site) for site in sites)
    for a, b in zip(with_it, without):
        assert a == b, "with the module, without it:\n%r\n%r" % (a, b)


def test_a_phone_that_leaves_in_the_middle_of_a_sync(make_fpm_site):
    """No mark moves, and the next Ping says so."""
    site = make_fpm_site()
    site.httpd.allow("AH01075|AH01067|AH10410|AH10")
    phone = site.in_step()
    site.mails().deliver("one")
    site.backend.misbehave(cmd="Sync", times=1, huge=50 << 20)
    phone.connect(rcvbuf=4096)
    phone.start("Sync", phone.sync_body("INBOX"))
    wait_until(lambda: (phone.wire.pump(0.1), phone.wire.received)[1],
               "some of it")
    assert len(phone.wire.received) < 40 << 20
    phone.abort()
    phone.connect()
    assert site.first_answer(phone, ["INBOX"]).status == 2
    assert [m["Subject"] for m in phone.sync_until_done("INBOX")] == ["one"]
    site.hold(phone)
