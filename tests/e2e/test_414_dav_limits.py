"""The dav source: whose certificate it believes, and how much it asks. `server`
is named before `make_rig`, so that the watcher ends before it does."""
import os
import time

import pytest

from dav_server import DavServer
from dp.httpd import Certificate
from dp.process import wait_until

pytest_plugins = "dp_watcher"


@pytest.fixture
def server():
    server = DavServer()
    yield server
    server.stop()


def section(rig, server, scheme="http", host="127.0.0.1", **more):
    path = os.path.join(rig.where, "dav.password")
    with open(path, "w") as f:
        f.write("secret\n")
    os.chmod(path, 0o600)
    lines = ["url = \"%s://%s:%d/dav/%%u/\"" % (scheme, host, server.port),
             "interval = 1", "user = push", "password_file = \"%s\"" % path]
    return "dav {\n%s\n}" % "\n".join(
        lines + ["%s = %s" % pair for pair in more.items()])


def tls_rig(make_rig, server, ca_file):
    rig = make_rig(start=False)
    more = {"ca_file": '"%s"' % ca_file} if ca_file else {}
    rig.watcher.more.append(section(rig, server, "https", "localhost", **more))
    return rig


@pytest.fixture
def tls_server(server, certificate):
    server.use_tls(certificate)
    return server


def test_the_ca_file_is_believed(tls_server, make_rig, certificate):
    rig = tls_rig(make_rig, tls_server, certificate.cert).start()
    t = rig.watch("alice", "*", "Calendar")
    tls_server.change()
    t.wait("new")


@pytest.mark.parametrize("has_another", [False, True],
                         ids=["no ca_file", "another's"])
def test_another_certificate_is_refused(tls_server, make_rig, certificate,
                                        tmp_path, has_another):
    other = Certificate(str(tmp_path)).cert if has_another else None
    rig = tls_rig(make_rig, tls_server, other)
    rig.allow("ca_file for its certificate")
    rig.start()
    t = rig.watch("alice", "*", "Calendar", vouched=False)
    wait_until(lambda: rig.watcher.status()["dav_failures"] > 1, "refused")
    assert rig.watcher.output().count("ca_file for its certificate") == 1
    assert not t.view.is_vouched
    assert not tls_server.seen  # no password went there
    rig.watcher.more[0] = section(rig, tls_server, "https", "localhost",
                                  ca_file='"%s"' % certificate.cert)
    rig.watcher.reload()
    t.wait_vouched()


def test_a_certificate_for_another_name_is_refused(tls_server, make_rig,
                                                   certificate):
    rig = make_rig(start=False)
    rig.watcher.more.append(section(rig, tls_server, "https",
                                    ca_file='"%s"' % certificate.cert))
    rig.allow("ca_file for its certificate")
    rig.start()
    t = rig.watch("alice", "*", "Calendar", vouched=False)
    wait_until(lambda: rig.watcher.status()["dav_failures"] > 1, "refused")
    assert not t.view.is_vouched and not tls_server.seen


def test_many_users_share_the_rate(server, make_rig):
    """Whatever is wanted, at most rate * time requests and a second's worth
    of them at once; everybody has his turn. All of them change, so that each
    look asks for details as well."""
    rate, users = 20, ["u%d" % i for i in range(30)]
    server.homes["Calendar"]["personal"] = str(int(time.time()) - 100)
    server.items = [("/a/1.ics", "1")]
    rig = make_rig(start=False)
    rig.watcher.more.append(section(rig, server, requests_per_second=rate))
    began = time.monotonic()
    rig.start()
    for user in users:
        rig.watch(user, "*", "Calendar", vouched=False)
    for round_ in (1, 2, 3):
        wait_until(lambda: all(server.looks("/%s/" % user) >= round_
                               for user in users), "all have had a turn")
        server.change(tag=str(int(time.time()) - 50 + round_))
    asked = len(server.seen)
    # a look under way sends its detail whatever the rate is
    assert asked <= rate * (time.monotonic() - began + 1) + 10
    assert any(method == "REPORT" for method, _, _ in server.seen)
