"""Calendars, tasks and address books of somebody else, to which a user of SOGo
has subscribed: the owner's change wakes the subscriber's phone, and its Sync
brings it. Found by the dav source, or seen to pass through Apache."""
import time

import pytest

from dp.process import wait_until
from dp.stack.dav import DavClient

HOUR = {"DirectPushFallbackInterval": "3600s 3600s"}
OBSERVED = ["<Location /SOGo/dav>", "DirectPushDAV On", "</Location>"]
PATHS = ("Calendar/personal", "Calendar/team", "Contacts/personal")
KINDS = [("Calendar", "vevent%%2F%s_personal", "Calendar/personal"),
         ("Calendar", "vevent%%2F%s_team", "Calendar/team"),
         ("Tasks", "vtodo%%2F%s_team", "Calendar/team"),
         ("Contacts", "vcard%%2F%s_personal", "Contacts/personal")]
NAMES = ["personal", "team", "tasks", "cards"]


def client(site, user, port=None):
    return DavClient(port or site.sogo.port, user, site.users[user])


def apache(site):
    """Its port without TLS."""
    return site.httpd.endpoint(tls=False).address[1]


def circle(site):
    """An owner, and a friend who has subscribed to all that he has."""
    owner, friend = site.user(), site.user()
    his, friends = client(site, owner), client(site, friend)
    friends.put("Calendar", "own")
    friends.put("Contacts", "own")
    assert his.say("MKCALENDAR", "Calendar/team")[0] == 201
    for path in PATHS:
        his.share(path, friend)
        friends.subscribe(owner, path)
    for class_, _, home in KINDS:  # SOGo never tells phones of the first one
        his.put(class_, "first", home=home)
    over = int(time.time()) + 1  # what follows in that second looks the same
    wait_until(lambda: time.time() >= over, "the second is over")
    site.stack.synchronize(friend, owner, *PATHS)
    return owner, friend


def waiting(site, friend, folder):
    """@return (Phone, Ping) that is held, and nothing is about to be told"""
    phone = site.phone(friend)
    phone.foldersync()
    assert folder in phone.folders, phone.folders
    phone.sync_until_done("INBOX", folder)
    return phone, site.hold(phone, [folder])


def brings(phone, ping, folder, text):
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [folder])
    phone.sync_until_done(folder)
    assert text in str(phone.items[folder])


def settled(site):
    """Wait until no tag's second may still be going on, and a round more."""
    wait_until(lambda: site.watcher.status()["dav_collections_unsettled"] == 0,
               "settled")
    before = site.watcher.status()["dav_looks"]
    wait_until(lambda: site.watcher.status()["dav_looks"] > before + 1,
               "a round")


@pytest.mark.parametrize("class_,id_,home", KINDS, ids=NAMES)
def test_a_round_finds_the_owners_change(make_stack_site, class_, id_, home):
    site = make_stack_site(dav=["interval = 1"], httpd=dict(tune=HOUR))
    owner, friend = circle(site)
    folder = id_ % owner
    phone, ping = waiting(site, friend, folder)
    settled(site)
    client(site, owner).put(class_, "the news", home=home)
    brings(phone, ping, folder, "the news")


@pytest.mark.parametrize("dav", [["interval = 3600"], None],
                         ids=["looked-at", "unwatched"])
@pytest.mark.parametrize("class_,id_,home", KINDS, ids=NAMES)
def test_the_owners_change_passes_through_apache(make_stack_site, dav, class_,
                                                 id_, home):
    site = make_stack_site(dav=dav, directives=OBSERVED,
                           httpd=dict(tune=HOUR))
    owner, friend = circle(site)
    folder = id_ % owner
    phone, ping = waiting(site, friend, folder)
    client(site, owner, apache(site)).put(class_, "the news", home=home)
    brings(phone, ping, folder, "the news")


@pytest.mark.parametrize("dav", [["interval = 3600"], None],
                         ids=["looked-at", "unwatched"])
def test_what_the_friends_phone_deletes(make_stack_site, dav):
    """The owner hears of it, and another friend; he himself does not."""
    site = make_stack_site(dav=dav, httpd=dict(tune=HOUR))
    owner, friend = circle(site)
    theirs = "vevent%%2F%s_team" % owner
    phone, ping = waiting(site, friend, theirs)
    other = site.user()
    client(site, owner).share("Calendar/team", other)
    client(site, other).put("Calendar", "own")
    client(site, other).subscribe(owner, "Calendar/team")
    site.stack.synchronize(other, owner, "Calendar/team")
    site.stack.synchronize(owner, owner, "Calendar/team")
    _, others = waiting(site, other, theirs)
    _, owners = waiting(site, owner, "vevent%2Fteam")
    (event,) = phone.items[theirs]
    phone.hang_up()
    phone.sync(theirs, commands={theirs: [phone.delete(event)]})
    for waiter, folder in ((others, theirs), (owners, "vevent%2Fteam")):
        answer = waiter.answer()
        assert (answer.status, answer.folders) == (2, [folder])


def test_merged_calendars(make_stack_site):
    """SOGo shows all calendars as one to who wants it so."""
    site = make_stack_site(dav=["interval = 1"], httpd=dict(tune=HOUR))
    owner, friend = circle(site)
    phone, _ = waiting(site, friend, "vevent%2Fpersonal")
    site.sogo.tool("manage-eas", "mergevevent", friend, phone.device_id, "YES")
    phone.foldersync()
    phone.sync_until_done("vevent%2Fpersonal")
    ping = site.hold(phone, ["vevent%2Fpersonal"])
    settled(site)
    client(site, owner).put("Calendar", "the news")
    brings(phone, ping, "vevent%2Fpersonal", "the news")


@pytest.mark.parametrize("dav", [["interval = 1"], None],
                         ids=["looked-at", "unwatched"])
def test_an_id_that_a_phone_made_up_tells_nothing(make_stack_site, dav):
    site = make_stack_site(dav=dav, directives=OBSERVED, httpd=dict(tune=HOUR))
    owner, friend = circle(site)
    stranger = site.user()
    folder = "vevent%%2F%s_team" % owner
    phone, ping = waiting(site, friend, folder)
    spy = site.phone(stranger)
    spy.foldersync()
    spy.sync_until_done("INBOX")
    for _ in range(8):
        spying = spy.start_ping([(folder, "Calendar")], 600)
        if spying.is_held(0.7):
            break
        if spying.answer().status == 7:
            spy.foldersync()
    client(site, owner, apache(site)).put("Calendar", "the news",
                                             home="Calendar/team")
    brings(phone, ping, folder, "the news")
    assert spying.is_held(1)


def test_a_device_that_is_older_than_the_module(make_stack_site):
    """The module has not seen its list; but the home that the dav source
    reads has the collection, so it is the user's to see."""
    site = make_stack_site(dav=["interval = 1"], httpd=dict(tune=HOUR))
    owner, friend = circle(site)
    folder = "vevent%%2F%s_team" % owner
    phone = site.phone(friend, direct=True)
    phone.foldersync()
    phone.sync_until_done("INBOX", folder)
    phone.close()
    through = site.phone(friend)
    phone.endpoint, phone.path = through.endpoint, through.path
    phone.foldersync(phone.hierarchy_key)  # brings nothing
    phone.sync_until_done("INBOX", folder)
    ping = site.hold(phone, [folder])
    settled(site)
    client(site, owner).put("Calendar", "the news", home="Calendar/team")
    brings(phone, ping, folder, "the news")


@pytest.mark.parametrize("dav", [["interval = 1"], None],
                         ids=["looked-at", "unwatched"])
def test_who_no_longer_subscribes(make_stack_site, dav):
    """He hears nothing of what the owner does, whatever his phone asks for."""
    site = make_stack_site(dav=dav, directives=OBSERVED, httpd=dict(tune=HOUR))
    owner, friend = circle(site)
    folder = "vevent%%2F%s_team" % owner
    phone, ping = waiting(site, friend, folder)
    if dav:
        settled(site)
    client(site, friend).subscribe(owner, "Calendar/team", reverse=True)
    statuses = [7] if dav is None else [ping.answer().status]
    while 7 not in statuses:
        assert len(statuses) < 8
        statuses.append(phone.ping([(folder, "Calendar")], 600).status)
    phone.hang_up()
    phone.foldersync()
    assert folder not in phone.folders
    for _ in range(8):
        ping = phone.start_ping([(folder, "Calendar")], 600)
        if ping.is_held(0.7):
            break
        ping.answer()
    client(site, owner, apache(site)).put("Calendar", "the news",
                                          home="Calendar/team")
    if dav:
        settled(site)
    assert ping.is_held(1)


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_source_that_comes_and_goes(make_stack_site, how):
    site = make_stack_site(directives=OBSERVED, httpd=dict(tune=HOUR))
    site.httpd.allow_absence()
    owner, friend = circle(site)
    folder = "vevent%%2F%s_team" % owner
    phone, ping = waiting(site, friend, folder)
    usual, children = site.watcher.more, site.watcher.status()["children"]
    for lines in (["interval = 1"], None, ["interval = 1"]):
        phone.hang_up()
        wait_until(lambda: not site.held(), "nobody asks")
        site.watcher.more = usual + site._dav_lines(lines)
        getattr(site.watcher, how)()
        wait_until(lambda: ("dav_looks" in site.watcher.status()) == bool(
            lines), "it is there, or gone")
        wait_until(lambda: site.watcher.status()["children"] == children,
                   "Apache has found it again")
        ping = site.hold(phone, [folder])
        if lines:
            settled(site)
        text = "the news of %s" % lines
        client(site, owner, None if lines else apache(site)).put(
            "Calendar", text, home="Calendar/team")
        brings(phone, ping, folder, text)
        over = int(time.time()) + 1
        wait_until(lambda: time.time() >= over, "the second is over")
