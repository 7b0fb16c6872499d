"""Directives: wrong values and places are named, right ones are taken."""
import http.client

import pytest

from dp.httpd import TUNE, Httpd, Vhost


@pytest.fixture
def httpd(certificate, tmp_path):
    """One that is only asked to check its configuration."""
    return Httpd(str(tmp_path), certificate, [Vhost()],
                 runtime_dir="/run/directpush",
                 state_dir=str(tmp_path / "devices"), tune={
                     "DirectPushHeartbeat": None, "DirectPushPace": None,
                     "DirectPushQuiet": None, "DirectPushBackendLag": None})


@pytest.mark.parametrize("line, words", [
    ("DirectPush maybe", "On"),
    ("DirectPushHeartbeat 60", "DirectPushHeartbeat"),
    ("DirectPushHeartbeat 60s", "DirectPushHeartbeat"),
    ("DirectPushHeartbeat 3540s 60s", "smaller first"),
    ("DirectPushHeartbeat 0s 60s", "1s"),
    ("DirectPushHeartbeat 60s 60d", "24h"),
    ("DirectPushMaxFolders 0", "1"), ("DirectPushMaxFolders x", "number"),
    ("DirectPushMaxFolders -1", "number"),
    ("DirectPushTrust forever", "time"), ("DirectPushPace 2x", "time"),
    ("DirectPushPace -1s", "time"), ("DirectPushDrain 1h", "10m"),
    ("DirectPushFallback never", "sync or backend"),
    ("DirectPushFallbackInterval 5m", "two arguments"),
    ("DirectPushRuntimeDir run/here", "absolute"),
    ("DirectPushStateDir", "DirectPushStateDir"),
    ("DirectPushPath relative", "absolute"),
    ("DirectPushRealm \"two words\"", "blank"),
    ("DirectPushUser \"%{unclosed\"", "DirectPushUser"),
    ("DirectPushMaxHolds 0", "number"), ("DirectPushProvoke 0", "number"),
    ("DirectPushNonsense 1", "DirectPushNonsense"),
    ("<Location /x>\nDirectPushPace 1s\n</Location>", "DirectPushPace"),
    ("<VirtualHost *:1>\nDirectPushDrain 1s\n</VirtualHost>",
     "DirectPushDrain"),
    ("<VirtualHost *:1>\nDirectPushRuntimeDir /x\n</VirtualHost>",
     "DirectPushRuntimeDir"),
    ("<Directory />\nDirectPush On\n</Directory>", "or <Location>"),
    ("<Files x>\nDirectPush On\n</Files>", "or <Location>"),
    ("<LocationMatch x>\n<Files x>\nDirectPush On\n</Files>\n"
     "</LocationMatch>", "<Files>"),
    ("DirectPushPace 1s\nDirectPushPace 2s", "DirectPushPace"),
    ("DirectPushTrust 1h\nDirectPushTrust 1h", "DirectPushTrust"),
])
def test_a_wrong_line_is_named_with_what_is_allowed(httpd, line, words):
    httpd.tls_port, httpd.plain_port, httpd.admin_port = 1, 2, 3
    status, output = httpd.configtest(line)
    assert status != 0, output
    assert words in output, output
    assert "line " in output


@pytest.mark.parametrize("line", [
    "DirectPushHeartbeat 60s 59m", "DirectPushHeartbeat 1s 24h",
    "DirectPushMaxFolders 10000", "DirectPushTrust 30d",
    "DirectPushPace 500ms", "DirectPushQuiet 0s", "DirectPushDrain 10m",
    "DirectPushFallback backend", "DirectPushFallbackInterval 5m 1h",
    "DirectPushPath /SOGo/Microsoft-Server-ActiveSync /x",
    "DirectPushRealm mail", "DirectPushUser \"%{tolower:%{REMOTE_USER}}\"",
    "DirectPushMaxHolds 100000", "DirectPushMaxBlocking 0",
    "DirectPushMaxPassed 0", "DirectPushProvoke 100000", "DirectPush On",
    "<Location /x>\nDirectPush Off\n</Location>",
    "<VirtualHost *:1>\nDirectPushPace 1s\nDirectPushTrust 1h\n"
    "</VirtualHost>",
])
def test_a_right_line_is_taken(httpd, line):
    httpd.tls_port, httpd.plain_port, httpd.admin_port = 1, 2, 3
    status, output = httpd.configtest(line)
    assert status == 0, output


def test_without_a_single_directive_nothing_changes(make_site):
    """The module is loaded and Off: Pings go to the backend."""
    site = make_site(httpd=dict(defaults=False), start=False)
    backend = site.backend.start()
    site.vhosts = [Vhost("mail.example.test", backend.port, on=None)]
    site.start()
    phone = site.synced_phone()
    ping = phone.start_ping(["INBOX"], 600)
    site.backend.wait_for(cmd="Ping")
    site.mails().deliver("one")
    assert ping.answer().status == 2


def test_further_paths_are_handled_too(make_site):
    site = make_site(start=False)
    backend = site.backend.start()
    site.vhosts = [Vhost("mail.example.test", None, directives=[
        "DirectPushPath /SOGo/Microsoft-Server-ActiveSync",
        "ProxyPass /SOGo/Microsoft-Server-ActiveSync http://127.0.0.1:%d"
        "/Microsoft-Server-ActiveSync retry=0" % backend.port])]
    site.start()
    phone, ping = site.held_phone(path="/SOGo/Microsoft-Server-ActiveSync")
    site.wait_held(1)
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert backend.count(cmd="Ping") == 0


def test_directpushuser_maps_logins_to_mailboxes(make_site):
    site = make_site(httpd=dict(tune={
        "DirectPushUser": "\"%{tolower:%{REMOTE_USER}}\""}))
    phone, ping = site.held_phone(user="ALICE", password="secret")
    site.mails("alice").deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


EAS = "/Microsoft-Server-ActiveSync"
UNSERVED = "hands .* to an ActiveSync backend"


def ask(httpd, vhost, method, path=EAS + "?Cmd=Ping&User=alice&DeviceId=d"
        "&DeviceType=t"):
    to = http.client.HTTPConnection("127.0.0.1", httpd.plain_port, timeout=60)
    to.request(method, path, headers={"Host": vhost})
    to.getresponse().read()
    to.close()


@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_a_host_without_a_backend_is_said_once(make_site, method):
    site = make_site(start=False, httpd=dict(children=1))
    backend = site.backend.start()
    site.vhosts = [Vhost("mail.example.test", backend.port),
                   Vhost("forgotten.example.test"),
                   Vhost("off.example.test", on=False)]
    site.start()
    ask(site.httpd, "off.example.test", method)
    ask(site.httpd, "forgotten.example.test", method, "/elsewhere")
    ask(site.httpd, "forgotten.example.test", "GET")
    ask(site.httpd, "mail.example.test", method)
    assert not site.httpd.grep(UNSERVED)
    for _ in range(20):
        ask(site.httpd, "forgotten.example.test", method)
    (line,) = site.httpd.grep(UNSERVED)
    assert "directpush:warn" in line and "forgotten.example.test" in line
    assert '"ProxyPass %s http' % EAS in line and "httpd.conf" in line


def test_the_start_tells_the_capacity(site):
    (line,) = site.httpd.wait_log(r"directpush:notice.*capacity")
    assert "phones" in line and "AsyncRequestWorkerFactor" in line


@pytest.mark.parametrize("mpm", ["prefork", "worker"])
def test_other_mpms_hold_on_workers_with_a_warning_and_a_bound(make_site,
                                                               mpm):
    site = make_site(httpd=dict(mpm=mpm, children=2, threads=4,
                                tune={"DirectPushMaxBlocking": "2"}))
    (warning,) = {line.split("] ", 3)[-1] for line in site.httpd.wait_log(
        "directpush:warn")}
    assert "a2enmod" in warning or "event" in warning, warning
    phones = [site.held_phone() for _ in range(2)]
    assert site.backend.count(cmd="Ping") == 0
    third = site.synced_phone()
    ping = third.start_ping(["INBOX"], 600)
    site.backend.wait_for(cmd="Ping")
    site.mails().deliver("one")
    for phone, held in phones:
        assert held.answer().folders == [phone.id("INBOX")]
    assert ping.answer().status == 2


def test_a_blocked_hold_ends_when_its_phone_leaves(make_site):
    site = make_site(httpd=dict(mpm="worker", children=2, threads=4,
                                tune={"DirectPushMaxBlocking": "2"}))
    phone, ping = site.held_phone()
    site.wait_until(lambda: site.httpd.metric("blocking") == 1, "held")
    phone.hang_up()
    site.wait_until(lambda: site.httpd.metric("blocking") == 0, "freed")


def test_out_of_holds_is_503_with_retry_after(make_site):
    site = make_site(httpd=dict(tune={"DirectPushMaxHolds": "2"}))
    phones = [site.held_phone() for _ in range(2)]
    third = site.synced_phone()
    response = third.request("Ping", third.ping_body(["INBOX"], 600))
    if response.status == 200:  # dirty still: then ask again
        third.sync_until_done("INBOX")
        response = third.request("Ping", third.ping_body(["INBOX"], 600))
    assert response.status == 503
    assert int(response.get("Retry-After")) > 0
    phones[0][0].hang_up()
    site.wait_until(lambda: site.held() == 1, "one freed")
    assert site.hold(third).is_held()


def test_status_page_and_metrics_are_there(site):
    phone, ping = site.held_phone()
    page = site.httpd.get("/directpush-status")
    assert page.status == 200 and b"secret" not in page.body
    response = site.httpd.get("/directpush-status?metrics")
    assert "openmetrics-text" in response.get("Content-Type")
    text = response.body.decode()
    assert text.endswith("# EOF\n")
    assert site.held() == 1
    assert "alice" not in text


def test_a_state_directory_that_cannot_be_made_is_said_once(make_site):
    """And devices are remembered in memory."""
    site = make_site(start=False)
    site.httpd_args = dict(
        defaults=False, main=["DirectPushRuntimeDir \"%s\""
                              % site.watcher.runtime_dir,
                              "DirectPushStateDir /proc/nowhere/a/devices"]
        + ["%s %s" % pair for pair in TUNE.items()])
    site.start()
    site.httpd.allow("DirectPushStateDir /proc/nowhere/a/devices")
    phone, ping = site.held_phone()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    (line,) = set(x.split("] ", 3)[-1]
                  for x in site.httpd.grep("/proc/nowhere"))
    assert "make the directory /proc/nowhere," in line, line
    assert len(site.httpd.grep("/proc/nowhere")) == 1
