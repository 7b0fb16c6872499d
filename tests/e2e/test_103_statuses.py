"""Each Status of a Ping answer, and the parameters that are remembered."""
import pytest

from dp import wbxml

P = wbxml.P


def ping_raw(phone, root):
    response = phone.request("Ping", wbxml.encode(root))
    assert response.status == 200, response
    return wbxml.PingAnswer(response.clear)


def test_status_3_when_nothing_is_known_of_a_phone(site):
    """Neither heartbeat nor folders were ever seen."""
    phone = site.phone()
    phone.foldersync()
    phone.sync_until_done("INBOX")
    assert phone.ping().status == 3
    assert phone.ping(heartbeat=600).status == 3
    # an empty list is no list
    assert ping_raw(phone, P("Ping", P("HeartbeatInterval", 600),
                             P("Folders"))).status == 3
    assert site.hold(phone).is_held()


def test_an_empty_ping_repeats_the_last(site):
    phone, ping = site.held_phone("INBOX", "Sent")
    phone.connect()
    empty = phone.start_ping()
    assert ping.answer().status == 1
    assert empty.is_held()
    site.mails().deliver("one", "Sent")
    assert empty.answer().folders == [phone.id("Sent")]
    assert site.backend.count(cmd="Ping") == 0


def test_either_part_may_be_left_out(site):
    phone, ping = site.held_phone("INBOX", "Sent", heartbeat=600)
    phone.connect()
    # the heartbeat alone: the folders of the last one, and it is remembered
    assert phone.ping(heartbeat=2).status == 1
    assert phone.ping().status == 1
    # the folders alone: a new list replaces the old as a whole
    assert phone.ping(["Sent"]).status == 1
    ping = phone.start_ping(heartbeat=600)
    site.mails().deliver("one")
    assert ping.is_held(0.5)
    site.mails().deliver("two", "Sent")
    assert ping.answer().folders == [phone.id("Sent")]


def test_parameters_survive_a_reconnect_and_a_restart(site):
    phone, ping = site.held_phone()
    site.httpd.restart()
    phone.connect()
    site.mails().deliver("one")
    answer = phone.ping()
    if answer.status == 3:  # allowed after a gap, once
        answer = phone.ping(["INBOX"], 600)
    assert answer.folders == [phone.id("INBOX")]


@pytest.mark.parametrize("heartbeat", ["x", "", "-5", "1e3", "5 ", "0x10",
                                       "99999999999999999999"])
def test_status_4_or_5_for_what_is_no_number(site, heartbeat):
    phone = site.synced_phone()
    answer = ping_raw(phone, P(
        "Ping", P("HeartbeatInterval", heartbeat), P("Folders", P(
            "Folder", P("Id", phone.id("INBOX")), P("Class", "Email")))))
    if heartbeat[:1].isdigit() and heartbeat.isdigit() or heartbeat == "-5":
        assert answer.status in (4, 5)
    else:
        assert answer.status == 4


def test_status_4_for_a_folder_without_id(site):
    phone = site.synced_phone()
    answer = ping_raw(phone, P("Ping", P("HeartbeatInterval", 600), P(
        "Folders", P("Folder", P("Class", "Email")))))
    assert answer.status == 4
    answer = ping_raw(phone, P("Ping", P("HeartbeatInterval", 600), P(
        "Folders", P("Folder", P("Id", "x" * 5000)))))
    assert answer.status == 4
    assert site.hold(phone).is_held()


@pytest.mark.parametrize("asked, told", [(0, 60), (1, 60), (59, 60),
                                         (3541, 3540), (99999, 3540),
                                         (4294967296, 3540)])
def test_status_5_with_the_nearest_bound_at_once(make_site, asked, told):
    site = make_site(httpd=dict(tune={"DirectPushHeartbeat": None}))
    phone = site.synced_phone()
    answer = phone.ping(["INBOX"], asked)
    assert (answer.status, answer.heartbeat) == (5, told)
    assert site.backend.count(cmd="Ping") == 0


def test_the_folders_of_a_ping_with_a_wrong_heartbeat_are_remembered(
        make_site):
    """Who corrects the heartbeat need not say the folders again."""
    site = make_site(httpd=dict(tune={"DirectPushHeartbeat": None}))
    phone, ping = site.held_phone("INBOX", "Sent")
    phone.connect()
    site.hold(phone, ["INBOX"])
    phone.connect()
    assert phone.ping(["Sent"], 1).heartbeat == 60
    ping = phone.start_ping(heartbeat=60)
    site.wait_held(1)
    site.mails().deliver("one")
    assert ping.is_held(0.5)
    site.mails().deliver("two", "Sent")
    assert ping.answer().folders == [phone.id("Sent")]


@pytest.mark.parametrize("asked", [60, 3540])
def test_the_bounds_themselves_are_held(make_site, asked):
    site = make_site(httpd=dict(tune={"DirectPushHeartbeat": None}))
    assert site.held_phone(heartbeat=asked)[1].is_held()


def test_status_6_tells_how_many(make_site):
    site = make_site(httpd=dict(tune={"DirectPushMaxFolders": "3"}))
    phone = site.synced_phone("INBOX", "Drafts", "Sent", "Trash")
    answer = phone.ping(["INBOX", "Drafts", "Sent", "Trash"], 600)
    assert (answer.status, answer.max_folders) == (6, 3)
    assert site.hold(phone, ["INBOX", "Drafts", "Sent"]).is_held()


def test_three_hundred_folders_in_one_ping(make_site):
    names = ["f%03d" % i for i in range(299)]
    site = make_site(folders=names)
    phone = site.synced_phone("INBOX", *names)
    ping = site.hold(phone, ["INBOX"] + names, quiet=1)
    site.mails().deliver("one", "f250")
    assert phone.id("f250") in ping.answer().folders
    answer = phone.ping(["INBOX"] + names + ["one more"], 600)
    assert (answer.status, answer.max_folders) == (6, 300)


def test_status_7_when_the_folders_have_changed_once_each(site):
    phone, ping = site.held_phone()
    site.mails().create("New")
    assert ping.answer().status == 7
    assert [f["name"] for f in phone.foldersync().adds] == ["New"]
    ping = site.hold(phone)
    site.mails().rename("New", "Newer")
    assert ping.answer().status == 7
    phone.foldersync()
    ping = site.hold(phone)
    site.mails().remove("Newer")
    assert ping.answer().status == 7
    phone.foldersync()
    assert site.hold(phone).is_held(1)


def test_status_7_is_not_repeated_for_ever_without_a_foldersync(site):
    """Some clients ping again at once: no tight loop."""
    phone, ping = site.held_phone()
    site.mails().create("New")
    assert ping.answer().status == 7
    for n in range(5):
        ping = phone.start_ping(["INBOX"], 600)
        site.wait_until(lambda: ping.is_answered(0) or site.held())
        if not ping.is_answered(0):
            break
        assert ping.answer().status == 7
    else:
        pytest.fail("a loop of Status 7")
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_folder_commands_of_the_phone_itself_do_not_loop(site):
    phone = site.in_step()
    assert phone.folder_create("Mine").status == 1
    phone.sync_until_done("Mine")
    ping = site.hold(phone, ["INBOX", "Mine"])
    site.mails().deliver("one", "Mine")
    assert ping.answer().folders == [phone.id("Mine")]
    phone.sync_until_done("Mine")
    assert phone.folder_update("Mine", "Yours").status == 1
    ping = site.hold(phone, ["INBOX", "Yours"])
    site.mails().deliver("two", "Yours")
    assert ping.answer().folders == [phone.id("Yours")]
    assert phone.folder_delete("Yours").status == 1
    assert site.hold(phone).is_held(1)


def test_a_folder_that_was_deleted_and_made_again(site):
    """Old and new are watched from a fresh start: nothing stays hidden."""
    phone, ping = site.held_phone("INBOX", "Trash")
    site.mails().remove("Trash")
    assert ping.answer().status in (2, 7)
    site.mails().create("Trash")
    site.mails().deliver("one", "Trash")
    phone.foldersync()
    phone.sync_until_done("Trash")
    assert phone.subjects("Trash") == ["one"]
    ping = site.hold(phone, ["INBOX", "Trash"])
    site.mails().deliver("two", "Trash")
    assert ping.answer().folders == [phone.id("Trash")]


def test_an_unknown_folder_is_held_and_the_others_go_on(site):
    phone = site.in_step()
    for unknown in ("nosuch", "mail%2F" + "0" * 32, "RI", "mail%2F..%2F.."):
        ping = phone.start_ping([(phone.id("INBOX"), "Email"),
                                 (unknown, "Email")], 600)
        while ping.is_answered(0.4):
            answer = ping.answer()
            assert answer.status == 2 and answer.folders == [unknown]
            ping = phone.start_ping([(phone.id("INBOX"), "Email"),
                                     (unknown, "Email")], 600)
        site.mails().deliver("one")
        assert phone.id("INBOX") in ping.answer().folders
        phone.sync_until_done("INBOX")


def test_classes_that_nobody_watches_are_held_and_synced_now_and_then(
        make_site):
    """Calendar without a dav source: Status 2 at the fallback interval."""
    site = make_site(httpd=dict(tune={
        "DirectPushFallbackInterval": "600s 3s"}))
    phone = site.phone()
    phone.foldersync()
    calendar = phone.id("Personal Calendar")
    phone.sync_until_done("INBOX", calendar)
    folders = [(phone.id("INBOX"), "Email"), (calendar, "Calendar")]
    site.hold(phone)
    phone.connect()
    answer = phone.ping(folders, 600)
    assert (answer.status, answer.folders) == (2, [calendar])
    phone.sync_until_done(calendar)
    ping = phone.start_ping(folders, 600)
    assert ping.is_held(0.5)
    assert ping.answer().folders == [calendar]
    phone.sync_until_done(calendar)
    ping = phone.start_ping(folders, 600)
    site.mails().deliver("one")
    assert phone.id("INBOX") in ping.answer().folders


def test_a_never_synchronised_folder_is_not_announced_for_ever(site):
    phone = site.in_step("INBOX")
    ping = site.let_be(phone, ["INBOX", "Drafts"], [phone.id("Drafts")])
    assert ping.is_held(1)
