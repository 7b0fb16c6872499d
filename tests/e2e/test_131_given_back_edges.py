"""What surrounds a held Ping: modules that follow a request to its end, the
child's end, the log."""
import ctypes
import os
import signal

import pytest


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("keep", ["auto", "always"])
def test_a_request_after_the_time_for_bodies(make_site, tls, keep):
    """mod_reqtimeout's clock for the Ping's body does not go on while it is
    held: the connection's next request comes later than that."""
    site = make_site(httpd=dict(
        main=["RequestReadTimeout header=20 body=1"],
        site=["DirectPushKeepRequests " + keep]))
    phone, ping = site.held_phone(tls=tls)
    assert ping.is_held(1.2)
    sync = phone.start_sync("INBOX")
    assert ping.answer().status == 1
    assert sync.wait().body == b""
    assert not phone.wire.is_ended


class Writer:
    """Another process' write transaction on the device store, as the other
    children have them: who wants to write waits until it is over."""

    def __init__(self, state_dir):
        lib = self.lib = ctypes.CDLL("liblmdb.so.0")
        self.env, self.txn = ctypes.c_void_p(), ctypes.c_void_p()
        assert lib.mdb_env_create(ctypes.byref(self.env)) == 0
        assert lib.mdb_env_open(self.env, state_dir.encode(), 0, 0o600) == 0

    def begin(self):
        assert self.lib.mdb_txn_begin(self.env, None, 0,
                                      ctypes.byref(self.txn)) == 0

    def end(self):
        self.lib.mdb_txn_abort(self.txn)


def threads(pid):
    return len(os.listdir("/proc/%d/task" % pid))


def pings_in_log(site):
    with open(site.httpd.access_log) as f:
        return [line.split("\t")[10] for line in f if "Cmd=Ping" in line]


def test_the_last_answers_are_logged(make_site):
    """Answers whose remembering has to wait for longer than a stop leaves for
    them: the child waits for its clerk before it takes away what that needs."""
    site = make_site(httpd=dict(children=1))
    held = [site.held_phone() for _ in range(3)]
    writer = Writer(site.httpd.state_dir)
    writer.begin()
    site.mails().deliver("one")
    for phone, ping in held:
        assert ping.answer().status == 2
    child, = site.httpd.children()
    site.httpd.process.signal(signal.SIGTERM)
    # the main thread and the clerk's
    site.wait_until(lambda: threads(child) == 2, "the keeper has ended")
    writer.end()
    site.httpd.process.wait()
    assert pings_in_log(site)[-3:] == ["changes"] * 3
