"""Phones by the hundred wait in front of a SOGo of three workers, and none of them is
busy with that."""
import concurrent.futures

import pytest

from dp.stack.servers import descendants
from dp.wbxml import foldersync_request

USERS, WORKERS = 10, 3
WHILE_THEY_SIGN_IN = 8  # workers, for the sake of time


def cpu_ticks(pid):
    """Of a process and all beneath it, in clock ticks."""
    ticks = 0
    for p in [pid] + descendants(pid):
        with open("/proc/%d/stat" % p) as f:
            ticks += sum(map(int, f.read().rpartition(")")[2].split()[11:13]))
    return ticks


@pytest.mark.parametrize("phones", [
    100, pytest.param(300, marks=pytest.mark.slow)])
def test_no_sogo_worker_is_busy_while_phones_wait(
        make_stack_site, stack, open_files, request, phones):
    open_files(phones + 500)
    sogo = stack.another_sogo("few-workers", workers=WHILE_THEY_SIGN_IN)
    request.addfinalizer(sogo.stop)
    sogo.start()
    site = make_stack_site(sogo=sogo, httpd=dict(children=2, threads=8,
                                                 async_factor=300))
    users = [site.user() for _ in range(USERS)]
    # the first one of each makes the watcher watch: the others' marks count
    held = [site.held_phone(user=u, heartbeat=3540) for u in users]

    def wait(user):
        """One more phone that has its Ping held."""
        phone = site.synced_phone(user=user)
        return phone, site.hold(phone, heartbeat=3540, quiet=0.1)
    with concurrent.futures.ThreadPoolExecutor(WHILE_THEY_SIGN_IN) as pool:
        held += pool.map(wait, [users[i % USERS]
                                for i in range(phones - USERS)])
    site.wait_held(phones)
    sogo.stop()
    sogo.workers = WORKERS
    sogo.start()

    def all_rest():
        """SOGo has no client, and needs no time in between two looks."""
        before = cpu_ticks(sogo.pid)
        return (sogo.workers_busy() == 0 and site.httpd.busy_workers() == 0
                and cpu_ticks(sogo.pid) == before)
    site.wait_until(all_rest, lambda: "%d requests at SOGo; %r" % (
        sogo.workers_busy(), site.httpd.scoreboard()))
    assert site.held() == phones
    assert site.httpd.metric("passed") == 0

    # more of others' requests than there are workers, all at once
    others = [site.phone(user=u) for u in users]
    for pending in [p.start("FolderSync", foldersync_request("0"))
                    for p in others]:
        assert pending.wait().status == 200
    assert site.held() == phones
    assert not [p for p, ping in held if ping.is_answered()]
