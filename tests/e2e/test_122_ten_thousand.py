"""10,000 Pings in one Apache of 4 children of 32 threads."""
import pytest

from dp.process import GENEROUS

PHONES = 10000
USERS = ["user%d" % i for i in range(10)]


@pytest.mark.slow  # 5,000 at Debian's own settings are held in test_121
def test_ten_thousand_are_held_and_nobody_else_is_disturbed(make_site,
                                                            open_files):
    open_files(PHONES + 500)
    site = make_site(users={u: "secret" for u in USERS}, folders=(),
                     httpd=dict(children=4, threads=32, async_factor=1000,
                                max_keepalive=100))
    children = set(site.httpd.children())
    # the first one of each makes the watcher watch: the others' marks count
    pings = {u: [site.held_phone(user=u, heartbeat=3540)] for u in USERS}
    for i in range(PHONES - len(USERS)):
        phone = site.synced_phone(user=USERS[i % len(USERS)])
        pings[phone.user].append((phone, phone.start_ping(["INBOX"], 3540)))
    site.wait_until(lambda: site.held() == PHONES,
                    lambda: "%d held; there are %d" % (PHONES, site.held()),
                    4 * GENEROUS)

    site.wait_until(lambda: site.httpd.busy_workers() == 0,
                    lambda: "no worker busy; %r" % site.httpd.scoreboard())
    for _ in range(200):  # more than there are workers
        assert site.httpd.get("/directpush-status").status == 200
    assert site.httpd.metric("drained") == 0
    assert site.httpd.metric("answered_nothing") == 0
    assert site.httpd.metric("passed") == 0

    told = USERS[3]
    site.mails(told).deliver("to all of this person's phones")
    for phone, ping in pings[told]:
        answer = ping.answer(4 * GENEROUS)
        assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
        assert len(phone.wires) == 1, "on the connection that it came on"
    site.wait_held(PHONES - len(pings[told]))
    assert not any(ping.is_answered() for u in USERS if u != told
                   for _, ping in pings[u]), "nobody else"
    assert set(site.httpd.children()) == children, "no child was retired"
