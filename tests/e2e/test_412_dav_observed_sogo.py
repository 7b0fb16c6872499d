"""DirectPushDAV in front of the real SOGo: the phone's folders are SOGo's, and
a Sync after the announcement has what the DAV client wrote. No dav source:
what is told here is what passed by."""
import pytest

from test_411_dav_observed import ask

EVENT = ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\n"
         "BEGIN:VEVENT\r\nUID:%s\r\nDTSTAMP:20260101T000000Z\r\n"
         "DTSTART:20270101T100000Z\r\nDTEND:20270101T110000Z\r\n"
         "SUMMARY:%s\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
CARD = ("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%s\r\nFN:Bob B\r\nN:B;Bob;;;\r\n"
        "END:VCARD\r\n")
IDS = {"Calendar": "vevent/personal", "Contacts": "vcard/personal",
       "Tasks": "vtodo/personal"}


@pytest.fixture
def site(make_stack_site):
    return make_stack_site(
        httpd=dict(tune={"DirectPushFallbackInterval": "600s 3600s"}),
        directives=["<Location /SOGo/dav>", "DirectPushDAV On",
                    "</Location>"])


def pim_id(phone, class_):
    """SOGo's id of the personal folder; it may escape the slash."""
    return next(i for i in phone.folders
                if i.replace("%2F", "/") == IDS[class_])


def pim_ping(site, phone, *classes):
    folders = [(phone.id("INBOX"), "Email")] + [
        (pim_id(phone, c), c) for c in classes]
    for _ in range(8):
        ping = phone.start_ping(folders, 600)
        if ping.is_held(0.7):
            return ping
        answer = ping.answer()
        if answer.status == 7:
            phone.foldersync()
        else:
            phone.sync_until_done(*answer.folders)
    raise AssertionError("no Ping is held; the last answer is %r" % answer)


def pim_phone(site, user, *classes):
    phone = site.phone(user)
    phone.foldersync()
    phone.sync_until_done("INBOX", *[pim_id(phone, c) for c in classes])
    return phone, pim_ping(site, phone, *classes)


def home(user, item="", kind="Calendar"):
    return "/SOGo/dav/%s/%s/personal/%s" % (user, kind, item)


def put(site, user, uid, text="lunch"):
    status = ask(site, "PUT", home(user, uid + ".ics"),
                 (EVENT % (uid, text)).encode(), user=user,
                 headers=[("Content-Type", "text/calendar")])
    assert status in (201, 204)


def told(phone, ping, class_, brings=True):
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [pim_id(phone, class_)])
    done = phone.sync_until_done(pim_id(phone, class_))
    assert bool(done) or not brings
    return done


def test_put_and_delete_of_an_event(site):
    user = site.user()
    phone, ping = pim_phone(site, user, "Calendar")
    put(site, user, "one")
    told(phone, ping, "Calendar")
    ping = pim_ping(site, phone, "Calendar")
    assert ask(site, "DELETE", home(user, "one.ics"), user=user) in (200, 204)
    told(phone, ping, "Calendar", brings=False)


def test_put_of_a_card(site):
    user = site.user()
    phone, ping = pim_phone(site, user, "Calendar", "Contacts")
    assert ask(site, "PUT", home(user, "c.vcf", "Contacts"),
               (CARD % "c").encode(), user=user,
               headers=[("Content-Type", "text/vcard")]) in (201, 204)
    told(phone, ping, "Contacts")


def test_move_between_names(site):
    user = site.user()
    put(site, user, "one")
    phone, ping = pim_phone(site, user, "Calendar")
    status = ask(site, "MOVE", home(user, "one.ics"), user=user, headers=[
        ("Destination", "https://mail.example.test" + home(user, "two.ics"))])
    if status // 100 == 2:
        told(phone, ping, "Calendar", brings=False)
    else:
        assert ping.is_held(0.5)


def test_what_sogo_refuses_and_other_users(site):
    user, other = site.user(), site.user()
    phone, ping = pim_phone(site, user, "Calendar")
    bob, bobs = pim_phone(site, other, "Calendar")
    assert ask(site, "PUT", home(user, "x.ics"), (EVENT % ("x", "x")).encode(),
               user="nobody") == 401
    assert ask(site, "PUT", home(user, "x.ics"), (EVENT % ("x", "x")).encode(),
               user=other) // 100 == 4
    assert ping.is_held(0.5)
    put(site, user, "one")
    told(phone, ping, "Calendar")
    assert bobs.is_held(0.5)
    assert bob


def test_two_phones_of_one_user(site):
    user = site.user()
    one, first = pim_phone(site, user, "Calendar")
    two, second = pim_phone(site, user, "Calendar")
    put(site, user, "one")
    told(one, first, "Calendar")
    told(two, second, "Calendar")


def test_a_new_calendar_is_told_by_the_folder_list(site):
    """Status 7. SOGo lists it to phones only once its owner has ticked
    "Synchronize", so the FolderSync need not bring it."""
    user = site.user()
    phone, ping = pim_phone(site, user, "Calendar")
    status = ask(site, "MKCALENDAR", "/SOGo/dav/%s/Calendar/second/" % user,
                 user=user)
    assert status == 201
    statuses = set()
    while 7 not in statuses:
        answer = ping.answer()
        statuses.add(answer.status)
        if answer.status == 2:
            phone.sync_until_done(*answer.folders)
            ping = phone.start_ping([(pim_id(phone, "Calendar"), "Calendar")],
                                    600)
    assert phone.foldersync().status == 1


def test_what_one_phone_deletes_the_other_hears_of(site):
    """An upload by ActiveSync, in a class that nobody watches."""
    user = site.user()
    put(site, user, "one")
    one = site.phone(user)
    one.foldersync()
    one.sync_until_done("INBOX", pim_id(one, "Calendar"))
    two, ping = pim_phone(site, user, "Calendar")
    (event,) = one.items[pim_id(one, "Calendar")]
    calendar = pim_id(one, "Calendar")
    one.sync(calendar, commands={calendar: [one.delete(event)]})
    told(two, ping, "Calendar", brings=False)
    assert not two.items[pim_id(two, "Calendar")]
