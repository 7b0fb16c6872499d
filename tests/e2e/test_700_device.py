"""directpush-device against the fixture backend: does the tool that judges the
module behave as phones do, and say what it sees?"""
import json
import os
import pty
import re
import signal
import subprocess
import termios

import pytest

from dp.process import Process, built, wait_until

OK, USAGE, UNREACHABLE, DENIED, PROTOCOL = range(5)


class Device:
    """The program, running; its events when it runs with --json."""

    def __init__(self, site, *options, user="alice", password="secret",
                 url=None, is_json=True, env=None, operands=None):
        self.url = url or "http://127.0.0.1:%d" % site.backend.port
        argv = [built("directpush-device")]
        argv += ["--json"] if is_json else []
        argv += list(options)
        argv += [self.url, user] if operands is None else operands
        environment = dict(os.environ, **(env or {}))
        environment.pop("DIRECTPUSH_PASSWORD", None)
        if password is not None:
            environment["DIRECTPUSH_PASSWORD"] = password
        number = len([n for n in os.listdir(site.where)
                      if n.startswith("device")])
        self.process = Process(
            argv, os.path.join(site.where, "device%d.out" % number),
            env=environment)

    def text(self):
        return self.process.output()

    def events(self, event=None, **match):
        """Those so far, oldest first; each line of them is whole JSON."""
        lines = self.text().split("\n")[:-1]
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [e for e in events
                if event in (None, e["event"])
                and all(e.get(k) == v for k, v in match.items())]

    def wait(self, event, n=1, **match):
        """Until the n-th such event. @return it"""
        def come():
            found = self.events(event, **match)
            return found[n - 1] if len(found) >= n else (
                not self.process.is_running and "over")
        found = wait_until(come, lambda: "event %s %r of\n%s" % (
            event, match, self.text()))
        assert found != "over", "no %s %r before the end:\n%s" % (
            event, match, self.text())
        return found

    def ends(self, status=OK):
        """Until it ends by itself. @return its events"""
        assert self.process.wait() == status, self.text()
        return self.events()


@pytest.fixture
def site(make_site):
    return make_site(with_module=False, httpd=False)


@pytest.fixture
def device(request):
    """device(site, options…, …): a Device that ends with the test"""
    started = []

    def start(*args, **kw):
        started.append(Device(*args, **kw))
        return started[-1]
    yield start
    for one in started:
        one.process.stop()
        assert "ERROR: " not in one.text(), one.text()  # of a sanitizer


def kinds(events):
    return [e["event"] for e in events]


def bodies(site, cmd):
    return [e["body_len"] for e in site.backend.requests(cmd=cmd)]


# --- the usual day ---

def test_a_mail_wakes_it_and_is_shown(site, device):
    site.mails().deliver("before", sender="Bob <bob@example.org>")
    phone = device(site, "--once")
    phone.wait("ping")
    site.mails().deliver("Hällo", sender="Carol <carol@example.org>")
    events = phone.ends(OK)
    synced = [e for e in events if e["event"] == "sync"
              and e["name"] == "INBOX" and not e["first"]]
    assert [[i["title"] for i in e["items"]] for e in synced] == [
        ["before"], ["Hällo"]]
    assert synced[1]["items"][0]["from"] == "Carol <carol@example.org>"
    woken = [e for e in events if e["event"] == "woken"]
    assert [f["name"] for f in woken[0]["folders"]] == ["INBOX"]
    assert kinds(events)[-4:] == ["woken", "sync", "ping", "end"]
    assert events[-1]["exit"] == OK


def test_all_of_it_uses_one_connection(site, device):
    phone = device(site, "--once")
    phone.wait("ping")
    site.mails().deliver()
    pings = [e for e in phone.ends(OK) if e["event"] == "ping"]
    assert {e["connection"] for e in pings} == {1}
    assert pings[1]["request"] == pings[0]["request"] + 2
    assert len({e["port"] for e in site.backend.requests()
                if e["user"] == "alice"}) == 1


def test_a_backend_that_closes_each_connection_is_no_trouble(site, device):
    site.backend.set(keepalive=False)
    phone = device(site, "--once")
    phone.wait("ping")
    site.mails().deliver()
    events = phone.ends(OK)
    assert not {"lost", "retry"} & set(kinds(events))
    assert [e["connection"] for e in events if e["event"] == "ping"][0] > 2


def test_the_text_is_a_time_line(site, device):
    site.mails().deliver("Hello", sender='"Bob B." <bob@example.org>')
    phone = device(site, "--once", "-f", "INBOX", is_json=False)
    wait_until(lambda: "Ping" in phone.text(), phone.text)
    site.mails().deliver("again", sender="carol@example.org")
    phone.ends(OK)
    time = r"\d\d:\d\d:\d\d\.\d\d\d  "
    for line in (r"OPTIONS      speaks 2\.5,.*; using 14\.1",
                 r"FolderSync   \d+ folders",
                 r'Sync         INBOX: 1 new: "Hello" from Bob B\.',
                 r"Ping         waiting up to 480 s for INBOX "
                 r"  \(connection #1, request 5\)",
                 r"woken        after \d+\.\d\d\d s: INBOX",
                 r'Sync         INBOX: 1 new: "again" from carol@example\.org',
                 r"end          woken once, and the next Ping is accepted"):
        assert re.search("(?m)^" + time + line + "$", phone.text()), (
            line + "\n" + phone.text())


def test_mail_cannot_speak_to_the_terminal(site, device):
    site.mails().deliver(data=(
        b"From: \x1b]0;owned\x07\r\nSubject: a\x1b[31mred\x9b1m\r\n\r\nx"))
    phone = device(site, "--pings", "1", "--heartbeat", "1", is_json=False)
    phone.ends(OK)
    assert "red" in phone.text()
    with open(phone.process.output_file, "rb") as f:
        assert not set(f.read()) & (set(range(32)) - {10})


def test_everything_comes_in_windows(site, device):
    for i in range(120):
        site.mails().deliver("mail %d" % i)
    phone = device(site, "-f", "INBOX", "--heartbeat", "1", "--pings", "1")
    windows = [(e["added"], e["more"]) for e in phone.ends(OK)
               if e["event"] == "sync" and not e["first"]]
    assert windows == [(50, True), (50, True), (20, False)]


def test_other_classes_wake_it_too(site, device):
    phone = device(site, "--once")
    phone.wait("ping")
    site.backend.control(pim_add={"user": "alice", "class": "Calendar",
                                  "subject": "Lunch"})
    events = phone.ends(OK)
    assert [i["title"] for e in events if e["event"] == "sync"
            for i in e["items"]] == ["Lunch"]


@pytest.mark.parametrize("options", [
    ("--protocol", "12.1"), ("--base64-query",),
    ("--base64-query", "--protocol", "14.0", "-d", "NINE1234", "-t", "Nine")])
def test_all_forms_of_requests_are_understood(site, device, options):
    phone = device(site, "--once", *options)
    phone.wait("ping")
    site.mails().deliver()
    phone.ends(OK)
    version = dict(zip(options, options[1:])).get("--protocol", "14.1")
    seen = [e for e in site.backend.requests() if e["cmd"] != "OPTIONS"]
    assert {e["version"] for e in seen} == {version}
    assert len({e["device"] for e in seen}) == 1


def test_answers_may_come_in_any_pieces(site, device):
    site.mails().deliver("in pieces")
    site.backend.misbehave(chunked=True, trickle=[1, 0])
    phone = device(site, "--heartbeat", "1", "--pings", "1")
    assert "in pieces" in [i["title"] for e in phone.ends(OK)
                           if e["event"] == "sync" for i in e["items"]]


# --- heartbeats and the forms of a Ping ---

def test_the_heartbeat_grows_with_each_ping_that_is_held(site, device):
    phone = device(site, "--heartbeat", "1", "--step", "1", "--max", "3",
                   "--pings", "4")
    assert [e["heartbeat"] for e in phone.ends(OK)
            if e["event"] == "ping"] == [1, 2, 3, 3]


def test_empty_pings_follow_nothing_changed(site, device):
    phone = device(site, "--heartbeat", "1", "--max", "1", "--pings", "3",
                   "--empty-pings")
    assert [e["form"] for e in phone.ends(OK) if e["event"] == "ping"] == [
        "full", "empty", "empty"]
    full, *rest = bodies(site, "Ping")
    assert full > 0 and rest == [0, 0]


def test_a_longer_heartbeat_goes_without_the_folders(site, device):
    phone = device(site, "--heartbeat", "1", "--step", "1", "--max", "2",
                   "--pings", "3", "--empty-pings")
    assert [(e["form"], e["heartbeat"]) for e in phone.ends(OK)
            if e["event"] == "ping"] == [
                ("full", 1), ("heartbeat", 2), ("empty", 2)]


def test_a_server_that_forgot_gets_the_whole_ping(site, device):
    phone = device(site, "--heartbeat", "1", "--max", "1", "--empty-pings",
                   "-d", "forgotten")
    phone.wait("ping", form="empty")
    site.backend.control(forget_device={"user": "alice",
                                        "device": "forgotten"})
    phone.wait("answered", status=3)
    phone.wait("ping", 2, form="full")
    assert not phone.events("retry")


def test_the_servers_heartbeat_is_taken_over(site, device):
    site.backend.set(ping_heartbeat=[1, 2])
    phone = device(site, "--pings", "2")
    events = phone.ends(OK)
    assert [e["heartbeat"] for e in events if e["event"] == "ping"] == [480, 2]
    assert [(e["status"], e["value"]) for e in events
            if e["event"] == "answered"] == [(5, 2), (1, 0)]


def test_too_many_folders_become_fewer(site, device):
    site.backend.set(max_folders=2)
    phone = device(site, "--pings", "2", "--heartbeat", "1")
    assert [e["folders_n"] for e in phone.ends(OK)
            if e["event"] == "ping"] == [4, 2]


def test_a_new_folder_is_fetched_and_watched(site, device):
    phone = device(site, "-f", "email")
    phone.wait("ping")
    site.mails().create("Projects")
    phone.wait("answered", status=7)
    assert phone.wait("foldersync", 2)["added"] == 1
    phone.wait("ping", 2)
    site.mails().deliver("in there", "Projects")
    assert [f["name"] for f in phone.wait("woken")["folders"]] == ["Projects"]


@pytest.mark.parametrize("status", [4, 8, 111])
def test_errors_of_the_server_are_met_with_patience(site, device, status):
    site.backend.misbehave(cmd="Ping", wbxml_status=status, times=3)
    phone = device(site, "--heartbeat", "1")
    phone.wait("answered", status=1)
    delays = [e["delay"] for e in phone.events("retry")]
    assert len(delays) == 3
    assert delays[0] >= 0.5 and delays[2] >= 2


def test_announcements_of_nothing_are_met_with_patience(site, device):
    phone = device(site, "-f", "INBOX", "--heartbeat", "1", "--max", "1")
    inbox = phone.wait("foldersync")["folders"][0]
    assert inbox["name"] == "INBOX"
    site.backend.misbehave(cmd="Ping", body_hex=(
        "03016a00000d45470332000149" + "4a03" + inbox["id"].encode().hex()
        + "0001010101"))
    phone.wait("retry")
    assert len(phone.events("woken")) == 4
    assert "Sync" in phone.events("retry")[0]["why"]


def test_changes_in_unknown_folders_are_met_with_patience(site, device):
    site.backend.misbehave(cmd="Ping", times=1, body_hex=(
        "03016a00000d45470332000149" + "4a0378790001010101"))
    phone = device(site, "--heartbeat", "1")
    phone.wait("retry")
    phone.wait("answered", status=1)


# --- lost connections and busy servers ---

def test_it_survives_a_restart_of_the_server(site, device):
    site.backend.set(keepalive=False)  # a new connection, which is not stale
    phone = device(site, "--min", "60")
    connection = phone.wait("ping")["connection"]
    port = site.backend.port
    site.backend.process.stop(signal.SIGKILL)
    phone.wait("lost", during="Ping")
    phone.wait("retry", 2)  # the loss, and a refused connection
    site.backend.start()
    assert site.backend.port == port
    ping = phone.wait("ping", 2)
    assert ping["heartbeat"] == 180 and ping["form"] == "full"
    assert ping["connection"] == connection + 1


def test_a_kept_connection_that_dies_is_replaced_at_once(site, device):
    phone = device(site)
    phone.wait("ping")
    site.backend.process.stop(signal.SIGKILL)
    phone.wait("lost", during="Ping")
    site.backend.start()
    assert phone.wait("ping", 2)["heartbeat"] == 480  # no fault of the network


@pytest.mark.parametrize("rule", [{"reset": True}, {"cut": True},
                                  {"empty": True}, {"length": 5}])
def test_half_an_answer_to_a_ping_is_a_lost_ping(site, device, rule):
    site.backend.misbehave(cmd="Ping", times=1, **rule)
    phone = device(site, "--heartbeat", "2", "--min", "1", "--step", "1")
    phone.wait("lost", during="Ping")
    assert phone.wait("ping", 2)["heartbeat"] == 1
    phone.wait("answered", status=1)


def test_a_lost_sync_is_repeated_with_its_old_key(site, device):
    site.mails().deliver("only once")
    site.backend.misbehave(cmd="Sync", times=2, cut=True)
    phone = device(site, "-f", "INBOX", "--heartbeat", "1", "--pings", "1")
    events = phone.ends(OK)
    assert "lost" in kinds(events)
    assert [i["title"] for e in events if e["event"] == "sync"
            for i in e["items"]] == ["only once"]


def test_a_busy_server_gets_the_time_it_asks_for(site, device):
    site.backend.misbehave(cmd="FolderSync", times=1, status=503,
                           headers={"Retry-After": "3"})
    phone = device(site)
    assert 3 <= phone.wait("retry")["delay"] <= 3.3
    phone.wait("ping")


def test_it_gives_up_when_told_so(site, device):
    site.backend.misbehave(cmd="FolderSync", status=500)
    phone = device(site, "--retries", "1")
    phone.ends(PROTOCOL)
    assert site.backend.count(cmd="FolderSync") == 2
    assert "HTTP 500" in phone.text()


# --- policies and refusals ---

def test_a_policy_is_agreed_to(site, device):
    site.backend.set(require_provision=True)
    phone = device(site, "--once")
    phone.wait("ping")
    site.mails().deliver()
    phone.ends(OK)
    assert phone.events("provision") and site.backend.count(
        cmd="Provision") == 2
    keys = [dict((k.lower(), v) for k, v in e["headers"]).get(
        "x-ms-policykey") for e in site.backend.requests(cmd="Sync")]
    assert len(set(keys)) == 1 and keys[0]


def test_a_policy_that_is_never_enough_ends_it(site, device):
    site.backend.misbehave(cmd="FolderSync", status=449)
    device(site).ends(PROTOCOL)
    assert site.backend.count(cmd="Provision") <= 6


def test_a_wrong_password_stops_it_at_once(site, device):
    phone = device(site, password="wrong")
    phone.ends(DENIED)
    assert "HTTP 401" in phone.text()
    assert site.backend.count() == 1


def test_a_password_that_is_changed_meanwhile_stops_it(site, device):
    phone = device(site, "--heartbeat", "1", "--max", "1")
    phone.wait("answered")
    site.backend.control(user={"alice": "other"})
    phone.ends(DENIED)
    assert "HTTP 401" in phone.text()


@pytest.mark.parametrize("status, exit_status", [
    (129, DENIED), (140, DENIED), (132, PROTOCOL)])
def test_refusals_within_answers_stop_it(site, device, status, exit_status):
    site.backend.misbehave(cmd="FolderSync", wbxml_status=status)
    device(site).ends(exit_status)


@pytest.mark.parametrize("rule, exit_status", [
    ({"status": 403}, DENIED), ({"status": 404}, PROTOCOL),
    ({"status": 451, "headers": {"X-MS-Location": "https://other/"}},
     PROTOCOL),
    ({"body_hex": "0301"}, PROTOCOL), ({"empty": True}, PROTOCOL),
    ({"gzip": True}, PROTOCOL)])
def test_answers_that_make_no_sense_stop_it(site, device, rule, exit_status):
    site.backend.misbehave(cmd="FolderSync", **rule)
    phone = device(site)
    phone.ends(exit_status)
    assert phone.events("error") and phone.events("end", exit=exit_status)


def test_a_port_where_nobody_listens_ends_it(site, device):
    device(site, url="http://127.0.0.1:1").ends(UNREACHABLE)


def test_something_else_than_activesync_is_named(site, device):
    phone = device(site, url="http://127.0.0.1:%d/_control"
                   % site.backend.port)
    phone.ends(PROTOCOL)


# --- what it remembers ---

def test_the_next_run_goes_on_where_this_one_ended(site, device):
    state = os.path.join(site.where, "phone.state")
    site.mails().deliver("first")
    options = ("--state", state, "--heartbeat", "1", "--pings", "1")
    device(site, *options).ends(OK)
    assert os.stat(state).st_mode & 0o777 == 0o600
    with open(state) as f:
        assert "secret" not in f.read()
    site.mails().deliver("second")
    events = device(site, *options).ends(OK)
    assert not [e for e in events if e["event"] == "sync" and e["first"]]
    assert [e["added"] for e in events if e["event"] == "foldersync"] == [0]
    assert [i["title"] for e in events if e["event"] == "sync"
            for i in e["items"]] == ["second"]


def test_keys_that_the_server_forgot_begin_anew(site, device):
    state = os.path.join(site.where, "phone.state")
    site.mails().deliver("there")
    options = ("--state", state, "-d", "dev1", "--heartbeat", "1", "--pings",
               "1", "-f", "INBOX")
    device(site, *options).ends(OK)
    site.backend.control(forget_device={"user": "alice", "device": "dev1"})
    events = device(site, *options).ends(OK)
    assert len([e for e in events if e["event"] == "note"]) == 2, events
    assert "there" in [i["title"] for e in events if e["event"] == "sync"
                       for i in e["items"]]


def test_the_state_of_another_account_is_not_used(site, device):
    state = os.path.join(site.where, "phone.state")
    options = ("--state", state, "--heartbeat", "1", "--pings", "1")
    device(site, *options).ends(OK)
    with open(state, "rb") as f:
        before = f.read()
    phone = device(site, *options, user="bob", password="hunter2")
    phone.ends(USAGE)
    with open(state, "rb") as f:
        assert f.read() == before


# --- the command line, secrets, signals ---

@pytest.mark.parametrize("operands", [
    [], ["http://127.0.0.1"], ["ftp://h", "alice"], ["http://h", "a:b"],
    ["--heartbeat", "x", "http://h", "a"], ["--nonsense", "http://h", "a"],
    ["-d", "no-hyphens", "http://h", "a"], ["http://h", "a", "b"],
    ["--min", "9", "--max", "8", "http://h", "a"],
    ["--password-file", "/nonexistent", "http://h", "a"],
    ["--ca", "/nonexistent", "https://h", "a"]])
def test_mistakes_on_the_command_line_end_with_1(site, device, operands):
    phone = device(site, operands=operands)
    phone.ends(USAGE)
    assert "directpush-device: " in phone.text()


def test_a_folder_that_is_not_there_ends_with_1(site, device):
    device(site, "-f", "Nowhere").ends(USAGE)


@pytest.mark.parametrize("option, text", [
    ("--help", "Usage: directpush-device"),
    ("--version", "directpush-device ")])
def test_it_tells_about_itself(site, device, option, text):
    phone = device(site, operands=[option])
    phone.ends(OK)
    assert phone.text().startswith(text)


def test_without_a_password_it_says_where_to_put_one(site, device):
    phone = device(site, password=None)
    phone.ends(USAGE)
    assert "--password-file" in phone.text()


def test_the_password_may_come_from_a_file(site, device):
    path = os.path.join(site.where, "password")
    with open(path, "w") as f:
        f.write("s3cret:with colon\n")
    device(site, "--password-file", path, "--heartbeat", "1", "--pings", "1",
           user="carol", password=None).ends(OK)


def read_terminal(fd, until):
    """What it shows, until that is in it; b"" for `until`: to its end."""
    shown = b""
    while not until or until not in shown:
        try:
            shown += os.read(fd, 4096)
        except OSError:  # EIO: the program has gone
            break
    return shown


@pytest.mark.parametrize("typed, status", [(b"secret\n", OK), (b"\x03", OK),
                                           (b"wrong\n", DENIED)])
def test_it_asks_on_the_terminal_without_showing_the_answer(site, typed,
                                                            status):
    argv = [built("directpush-device"), "--heartbeat", "1", "--pings", "1",
            "http://127.0.0.1:%d" % site.backend.port, "alice"]
    environment = {k: v for k, v in os.environ.items()
                   if k != "DIRECTPUSH_PASSWORD"}
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(argv[0], argv, environment)
    assert b"Password of alice: " in read_terminal(fd, b": ")
    wait_until(lambda: not termios.tcgetattr(fd)[3] & termios.ECHO, "no echo")
    os.write(fd, typed)
    shown = read_terminal(fd, b"")
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    assert typed.strip() not in shown


def test_the_password_is_nowhere_to_be_read(site, device):
    phone = device(site, "--verbose")
    phone.wait("ping")
    for name in ("cmdline", "environ"):
        with open("/proc/%d/%s" % (phone.process.pid, name), "rb") as f:
            assert b"secret" not in f.read()
    assert "OPTIONS /Microsoft-Server-ActiveSync" in phone.text()
    assert "secret" not in phone.text()
    assert "Authorization" not in phone.text()
    assert "YWxpY2U6c2VjcmV0" not in phone.text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_held_ping_cleanly(site, device, number):
    phone = device(site)
    phone.wait("ping")
    phone.process.signal(number)
    phone.ends(OK)
    assert phone.events("end", exit=0)
    site.backend.wait_idle()


def test_a_signal_ends_the_wait_between_two_tries(site, device):
    site.backend.misbehave(cmd="FolderSync", status=503,
                           headers={"Retry-After": "300"})
    phone = device(site)
    phone.wait("retry")
    phone.process.signal(signal.SIGTERM)
    phone.ends(OK)


# --- TLS ---

@pytest.fixture
def tls_site(make_site):
    return make_site(with_module=False)


def tls_url(site, host="localhost"):
    return "https://%s:%d" % (host, site.httpd.tls_port)


def test_tls_to_a_server_that_is_trusted(tls_site, device):
    phone = device(tls_site, "--once", "--ca", tls_site.certificate.cert,
                   url=tls_url(tls_site))
    phone.wait("ping")
    tls_site.mails().deliver("through TLS")
    events = phone.ends(OK)
    assert events[0]["event"] == "connected"
    assert events[0]["tls"].startswith("TLSv1.")
    assert [e["connection"] for e in events if e["event"] == "ping"] == [1, 1]


@pytest.mark.parametrize("host, options", [
    ("localhost", []), ("127.0.0.1", ["--ca", "cert"])])
def test_tls_to_anybody_else_is_refused(tls_site, device, host, options):
    options = [tls_site.certificate.cert if o == "cert" else o
               for o in options]
    phone = device(tls_site, *options, url=tls_url(tls_site, host))
    phone.ends(UNREACHABLE)
    assert "certificate" in phone.text()
    assert tls_site.backend.count() == 0


def test_trust_can_be_switched_off(tls_site, device):
    phone = device(tls_site, "--insecure", "--heartbeat", "1", "--pings", "1",
                   url=tls_url(tls_site, "127.0.0.1"))
    phone.ends(OK)


def test_plain_http_on_the_tls_port_is_no_tls(site, device):
    device(site, url="https://127.0.0.1:%d" % site.backend.port).ends(
        UNREACHABLE)


def test_the_man_page_names_every_option():
    text = subprocess.run([built("directpush-device"), "--help"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    page = os.path.join(os.path.dirname(__file__), "..", "..",
                        "mod_directpush", "doc", "directpush-device.1")
    with open(page) as f:
        man = f.read().replace("\\-", "-")
    for option in re.findall(r"--([a-z0-9-]+)", text):
        assert "Fl -" + option in man, option
