"""A SOGo calendar has one tag for events and tasks: who waits for the other
kind sleeps on, unless it can't be known."""
import pytest

from dp.process import wait_until
from test_410_dav_source import EVENT, EVENTS, TASK, TASKS, Client, settled


@pytest.fixture
def site(make_stack_site):
    return make_stack_site(dav=["interval = 1"])


def told(site):
    return site.watcher.status()["published_new"]


def announced(site, change):
    """How many announcements a change leads to, until all is settled."""
    before = told(site)
    change()
    wait_until(lambda: told(site) > before, "it is told")
    settled(site)
    return told(site) - before


def asleep(site, user, folder):
    """A phone that has heard that its folder is watched now, and sleeps."""
    phone, ping = site.held_phone(folder, user=user)
    settled(site)
    if not ping.is_held(0.5):
        phone.sync_until_done(folder)
        ping = site.hold(phone, (folder,))
    return phone, ping


@pytest.mark.parametrize("mine,text,other", [(EVENTS, EVENT, TASKS),
                                             (TASKS, TASK, EVENTS)],
                         ids=["event", "task"])
def test_the_other_kind_sleeps_on(site, mine, text, other):
    user = site.user()
    client = Client(site, user)
    client.put(EVENT)
    client.put(TASK)
    phone, ping = asleep(site, user, mine)
    sleeper, sleeping = asleep(site, user, other)
    item = []
    assert announced(site, lambda: item.append(client.put(text))) == 1
    site.told(phone, mine, ping=ping)
    phone.sync_until_done(mine)
    ping = site.hold(phone, (mine,))
    assert announced(site, lambda: client.put(text, item[0])) == 1
    site.told(phone, mine, ping=ping)
    phone.sync_until_done(mine)
    ping = site.hold(phone, (mine,))
    assert announced(site, lambda: client.delete(item[0])) == 1
    site.told(phone, mine, ping=ping)
    assert sleeping.is_held(0.3), sleeper
    assert site.watcher.status()["dav_kinds_asked"] >= 2


def test_of_what_was_never_seen_both_are_told(site):
    user = site.user()
    client = Client(site, user)
    client.put(TASK)
    item = client.put(TASK)
    site.held_phone(EVENTS, user=user)
    site.held_phone(TASKS, user=user)
    settled(site)
    assert announced(site, lambda: client.delete(item)) == 2
    assert announced(site, lambda: client.put(TASK)) == 1


def test_both_kinds_at_once(site):
    user = site.user()
    client = Client(site, user)
    client.put(EVENT)
    client.put(TASK)
    one, ones = asleep(site, user, EVENTS)
    two, twos = asleep(site, user, TASKS)
    client.put(EVENT)
    client.put(TASK)
    site.told(one, EVENTS, ping=ones)
    site.told(two, TASKS, ping=twos)


def test_a_publish_of_both_is_of_the_one_that_has_changed(site):
    """What DirectPushDAV says of a DELETE: the path does not tell the kind."""
    user = site.user()
    client = Client(site, user)
    client.put(EVENT)
    site.held_phone(EVENTS, user=user)
    sleeper, sleeping = asleep(site, user, TASKS)

    def change():
        client.put(EVENT)
        for class_ in ("Calendar", "Tasks"):
            site.watcher.publish(user, "*", class_)
    assert announced(site, change) == 1
    assert sleeping.is_held(0.3), sleeper
