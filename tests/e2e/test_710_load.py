"""directpush-device --devices: many phones, changes for them, and what it says
of both. What it measures is judged by nobody here; that nothing is lost, is."""
import http.server
import os
import signal
import socketserver
import subprocess
import threading
import urllib.parse

import pytest

from dp.httpd import Vhost
from dp.load import Load, LoadBackend
from dp.process import built, free_ports, wait_until

DEVICES = 60


@pytest.fixture
def load_site(make_site, tmp_path):
    """load_site(**arguments of Httpd): a site of six users, ten devices each,
    in front of the backend for loads"""
    backends = []

    def make(users=DEVICES // 10, **httpd):
        backend = LoadBackend(str(tmp_path))
        backends.append(backend)
        httpd.setdefault("threads", 32)
        httpd.setdefault("main", ["DirectPushProvoke 1000"])
        return make_site(
            backends=0, users={"user%d" % i: "secret" for i in range(users)},
            folders=(), guid=False,
            vhosts=[Vhost("mail.example.test", backend.port)], httpd=httpd)
    yield make
    for backend in backends:
        backend.stop()


@pytest.fixture
def load():
    """load(site, steps, options…): a Load that ends with the test"""
    started = []

    def start(site, steps, *options, tls=False):
        operands = ["http://127.0.0.1:%d" % site.httpd.plain_port, "user%d"]
        options = list(options)
        if tls:
            operands[0] = "https://localhost:%d" % site.httpd.tls_port
            options += ["--ca", site.certificate.cert]
        started.append(Load(
            ["--devices", DEVICES, "--publish", site.watcher.socket,
             "--steps", steps, "--patience", 20] + options, operands))
        return started[-1]
    yield start
    for one in started:
        one.stop()


def all_gone(pids):
    return not any(os.path.exists("/proc/%d" % p) for p in pids)


def assert_figures(event, n):
    """Quantiles and buckets that fit each other."""
    us = [event["us"][k] for k in ("min", "p50", "p90", "p99", "p99.9", "max")]
    assert event["n"] == n and event["missing"] == 0, event
    assert us == sorted(us), event
    assert sum(count for _, count in event["histogram"]) \
        + event["untimed"] == n, event


def test_phones_are_held_woken_and_held_again(load_site, load):
    site = load_site()
    run = load(site, "hold=30,pause,hold=60,wake=15,storm,pause=idle,hold=60,"
                     "storm,quit")
    first = run.step("hold")
    assert (first["held"], first["wanted"]) == (30, 30)
    assert run.step("pause")["held"] == 30
    site.wait_held(30)
    run.go_on()
    assert run.step("hold")["held"] == 60
    assert_figures(run.step("wake"), 15)
    storm = run.step("storm")
    assert_figures(storm, 60)
    assert storm["published"] == 6  # one change for ten devices each
    pause = run.step("pause")
    assert (pause["name"], pause["held"]) == ("idle", 0)
    site.wait_held(0)
    run.go_on()
    assert run.step("hold")["held"] == 60
    assert_figures(run.step("storm"), 60)
    assert [e["step"] for e in run.ends()[0]] == ["quit"]
    # as phones do: a Sync between two Pings that told of something
    told = site.httpd.access(cmd="Ping", outcome="changes")
    assert len(told) >= 15 + 60 + 60
    assert len(site.httpd.access(cmd="Sync")) >= 2 * DEVICES + 60


def test_one_device_per_user_is_one_change_per_device(load_site, load):
    site = load_site(users=DEVICES)
    run = load(site, "hold=60,wake=10,storm", "--per-user", 1)
    steps, _ = run.ends()
    assert_figures(steps[1], 10)
    assert steps[1]["others"] == 0
    assert_figures(steps[2], DEVICES)
    assert steps[2]["published"] == DEVICES


@pytest.mark.parametrize("options", [[], ["--no-resume"]])
def test_tls_is_resumed_unless_told_not_to(load_site, load, options):
    site = load_site()
    run = load(site, "hold=10,hold=60,storm", *options, tls=True)
    steps, _ = run.ends()
    assert steps[1]["connections"] >= 50
    if options:
        assert steps[1]["resumed"] == 0
    else:
        assert steps[1]["resumed"] >= 50, "each worker has a ticket by now"
    assert_figures(steps[2], DEVICES)


def test_heartbeats_that_end_lead_to_the_next_ping(load_site, load):
    site = load_site()
    run = load(site, "hold=60,expire=4,storm", "--heartbeat", 2)
    steps, _ = run.ends()
    assert steps[1]["expired"] >= DEVICES
    assert_figures(steps[2], DEVICES)  # also who is between two Pings


def test_pings_are_shorter_from_a_step_on(load_site, load):
    site = load_site()
    run = load(site, "hold=60,heartbeat=1,expire=6", "--heartbeat", 4)
    steps, _ = run.ends()
    assert steps[1]["heartbeat"] == 1
    ended = [e["us"] for e in site.httpd.access(cmd="Ping", outcome="heartbeat")]
    assert any(us > 3e6 for us in ended) and any(us < 2e6 for us in ended)


def test_connections_that_the_server_closed_are_made_anew(load_site, load):
    site = load_site(keepalive_timeout=1)
    run = load(site, "hold=60,storm,pause,hold=60,storm")
    run.step("hold"), run.step("storm"), run.step("pause")
    wait_until(lambda: site.httpd.connections() <= 1, "keep-alive is over")
    run.go_on()
    again = run.step("hold")
    # a busy Apache may close further ones between two requests
    assert again["connections"] == DEVICES + again["stale"]
    assert again["failures"] == {}
    assert_figures(run.step("storm"), DEVICES)
    run.ends()


def test_who_is_refused_is_left_out(load_site, load):
    site = load_site(main=["DirectPushProvoke 1000", "DirectPushMaxHolds 40"])
    run = load(site, "hold=60,storm", "--no-retry")
    held = run.step("hold")
    assert held["given_up"] == held["failures"]["refused"]
    assert held["held"] + held["given_up"] == DEVICES
    assert held["held"] <= 40 * 2  # of each child
    run.ends()


class Liar(socketserver.StreamRequestHandler):
    """A control socket that agrees to everything and tells nobody."""

    def handle(self):
        for _ in self.rfile:
            self.wfile.write(b"ok\t1\t0\n")


@pytest.fixture
def liar(tmp_path):
    path = str(tmp_path / "control.sock")
    server = socketserver.ThreadingUnixStreamServer(path, Liar)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield path
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_answer_that_does_not_come_is_missing(load_site, load, liar):
    site = load_site()
    run = load(site, "hold=20,wake=1,storm,hold=20", "--publish", liar,
               "--patience", 3)
    steps, complaints = run.ends(1)
    assert (steps[1]["n"], steps[1]["missing"]) == (0, 1)
    # the ten of that user have a change already that they wait for
    assert (steps[2]["n"], steps[2]["missing"]) == (0, 10)
    assert steps[3]["held"] == 20
    assert "was not told" in complaints
    assert "10 answers did not come" in complaints


def test_a_server_that_ends_ends_it_too(load_site, load):
    site = load_site()
    run = load(site, "hold=60,pause,wake=1,quit", "--patience", 2)
    run.step("hold"), run.step("pause")
    workers, servers = run.workers(), site.httpd.children()
    assert len(workers) == 2
    site.httpd.process.stop(signal.SIGKILL)
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all_gone(servers), "no server is left")
    run.go_on()
    _, complaints = run.ends(1)
    assert "waited 2 s for a device that waits" in complaints
    assert all_gone(workers)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing_behind(load_site, load, how):
    site = load_site()
    run = load(site, "hold=60,pause,quit")
    run.step("hold"), run.step("pause")
    workers = run.workers()
    run.popen.send_signal(how)
    _, complaints = run.ends(1)
    assert "stopped by a signal" in complaints
    assert all_gone(workers)
    site.wait_held(0)


def test_workers_end_with_a_coordinator_that_is_killed(load_site, load):
    site = load_site()
    run = load(site, "hold=60,pause,quit")
    run.step("hold"), run.step("pause")
    workers = run.workers()
    run.popen.kill()
    run.popen.wait()
    wait_until(lambda: all_gone(workers), "no worker is left")
    site.wait_held(0)


def test_a_worker_that_is_killed_ends_it(load_site, load):
    site = load_site()
    run = load(site, "hold=60,pause,quit")
    run.step("hold"), run.step("pause")
    workers = run.workers()
    os.kill(workers[0], signal.SIGKILL)
    _, complaints = run.ends(1)
    assert "worker 0 has ended unexpectedly" in complaints
    assert all_gone(workers)


def test_who_is_not_let_in_is_a_failure(make_site):
    site = make_site(users={"user0": "secret", "user1": "secret"})
    run = Load(["--devices", 12, "--steps", "hold=12", "--per-user", 5],
               ["http://127.0.0.1:%d" % site.httpd.plain_port, "user%d"])
    steps, complaints = run.ends(1)
    assert (steps[0]["held"], steps[0]["given_up"]) == (10, 2)
    assert steps[0]["failures"] == {"denied": 2}
    assert "2 devices were not let in" in complaints


def test_without_a_watcher_it_says_so_and_ends(load_site, load):
    site = load_site()
    run = load(site, "hold=60", "--publish", "/nonexistent/control.sock")
    _, complaints = run.ends(1)
    assert "/nonexistent/control.sock: No such file" in complaints


def test_a_server_that_is_not_there_ends_it():
    run = Load(["--devices", DEVICES, "--steps", "hold=60,idle=3600",
                "--patience", 2],
               ["http://127.0.0.1:%d" % free_ports(1)[0], "user%d"])
    workers = wait_until(lambda: len(run.workers()) == 2 and run.workers())
    steps, complaints = run.ends(1)
    assert [e["step"] for e in steps] == ["hold"]
    assert steps[0]["held"] == 0 and steps[0]["failures"]["connect"] > 0
    assert "0 of 60 devices" in complaints
    assert "Connection refused" in complaints
    assert all_gone(workers)


def with_few_files(n, *options):
    """@return CompletedProcess of the program, with ulimit -n"""
    return subprocess.run(
        ["/bin/sh", "-c", 'ulimit -n %d; exec "$@"' % n, "sh",
         built("directpush-device"), *[str(o) for o in options]],
        env=dict(os.environ, DIRECTPUSH_PASSWORD="secret"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)


def test_more_devices_than_descriptors_are_refused_at_the_start():
    done = with_few_files(200, "--devices", 500, "--processes", 2, "--steps",
                          "hold=500", "http://127.0.0.1:9", "user%d")
    assert done.returncode == 1
    assert "raise ulimit -n or --processes" in done.stdout


def test_who_finds_no_descriptor_left_says_so_and_ends(load_site):
    """Fewer than it reckons with: the others are held until it ends."""
    site = load_site()
    done = with_few_files(
        40, "--devices", 60, "--processes", 1, "--steps", "hold=60",
        "--patience", 3, "--publish", site.watcher.socket,
        "http://127.0.0.1:%d" % site.httpd.plain_port, "user%d")
    assert done.returncode == 1, done.stdout
    assert "Too many open files" in done.stdout
    site.wait_held(0)


@pytest.mark.parametrize("when", ["start", "storm"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whenever_it_is_stopped_nothing_is_left(load_site, load, when, how):
    """Also while devices are on their way, not only while all wait."""
    site = load_site()
    run = load(site, "hold=60,storm,idle=3600")
    if when == "storm":
        run.step("hold")
    workers = wait_until(lambda: len(run.workers()) == 2 and run.workers())
    run.popen.send_signal(how)
    assert run.popen.wait() != 0
    wait_until(lambda: all_gone(workers), "no worker is left")
    site.wait_held(0)


def test_the_text_says_the_same(load_site):
    site = load_site()
    done = subprocess.run(
        [os.path.join(os.environ.get("DP_BUILD_DIR", "_build"),
                      "directpush-device"), "--devices", "10",
         "--steps", "hold=10", "http://127.0.0.1:%d" % site.httpd.plain_port,
         "user%d"], env=dict(os.environ, DIRECTPUSH_PASSWORD="x"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("hold     held 10  wanted 10")


# --- long-polling ---

class Channels(http.server.BaseHTTPRequestHandler):
    """GET /sub/N waits for POST /pub/N; who asks with the number of the last
    message in If-None-Match gets the one that follows."""
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, format, *args):
        pass

    def answer(self, status, fields=()):
        body = b"message" if status == 200 else b""
        self.send_response(status)
        for field in fields:
            self.send_header(*field)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        assert path.startswith("/sub/"), path
        channel, server = path[5:], self.server
        last = int(self.headers.get("If-None-Match", "0"))
        with server.lock:
            server.waiting += 1
            server.lock.wait_for(
                lambda: server.messages.get(channel, 0) > last, 60)
            server.waiting -= 1
        self.answer(200, [("Etag", str(last + 1)),
                          ("Last-Modified", "Fri, 01 Jan 2027 00:00:00 GMT")])

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        channel, server = self.path[5:], self.server
        with server.lock:
            server.posts += 1
            server.messages[channel] = server.messages.get(channel, 0) + 1
            closes = server.posts % 7 == 0  # as nginx after many requests
            server.lock.notify_all()
        self.answer(202, [("Connection", "close")] if closes else [])
        self.close_connection = closes


@pytest.fixture
def channels():
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128
    server = Server(("127.0.0.1", free_ports(1)[0]), Channels)
    server.lock = threading.Condition()
    server.messages, server.waiting, server.posts = {}, 0, 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_longpolling_waits_is_told_and_waits_again(channels):
    run = Load(["--devices", 20, "--longpoll", "/sub/%d", "/pub/%d", "--steps",
                "hold=20,wake=15,storm,hold=20,storm,quit", "--patience", 20],
               ["http://127.0.0.1:%d" % channels.server_address[1]])
    steps, _ = run.ends()
    assert [e["step"] for e in steps] == ["hold", "wake", "storm", "hold",
                                          "storm", "quit"]
    assert steps[0]["held"] == steps[3]["held"] == 20
    assert_figures(steps[1], 15)
    assert_figures(steps[2], 20)
    assert_figures(steps[4], 20)
    assert sum(channels.messages.values()) == 15 + 20 + 20
