"""The fixture backend and the test phone, without Apache between them: before
they judge the product they are judged themselves."""
import hashlib
import http.client
import subprocess
import sys
import time

import pytest

from dp import wbxml
from dp.backend import PROGRAM
from dp.phone import ConnectionLost, base64_query
from dp.wire import Pending, http_request

DIRECT = dict(with_module=False, httpd=False)


@pytest.fixture
def direct(make_site):
    return make_site(**DIRECT)


@pytest.fixture(params=["sogo", "zpush"])
def styled(make_site, request):
    return make_site(id_style=request.param, **DIRECT)


# --- identity ---

def test_wrong_or_missing_passwords_are_refused(direct):
    for phone in (direct.phone("alice", password="wrong"),
                  direct.phone("nobody", password="secret"),
                  direct.phone("alice", password="")):
        assert phone.request("FolderSync", wbxml.foldersync_request(
            "0")).status == 401
    phone = direct.phone("alice")
    response = phone.request("Ping", with_auth=False)
    assert response.status == 401
    assert response.get("WWW-Authenticate")
    assert phone.foldersync().status == 1


@pytest.mark.parametrize("login", ["alice", "ALICE", "alice@example.org",
                                   "DOMAIN\\alice", "\\alice@example.org"])
def test_all_forms_of_a_login_are_one_user(direct, login):
    phone = direct.phone(login, password="secret")
    assert phone.foldersync().status == 1
    assert direct.backend.last()["user"] == "alice"


def test_a_password_may_hold_a_colon(direct):
    assert direct.phone("carol").foldersync().status == 1


def test_options_tell_versions_and_commands(direct):
    response = direct.phone().options()
    assert response.status == 200
    assert "14.1" in response.get("MS-ASProtocolVersions").split(",")
    assert "Ping" in response.get("MS-ASProtocolCommands").split(",")


def test_base64_and_plain_queries_name_the_same_device(direct):
    plain = direct.phone(device_id="NINE123")
    coded = direct.phone(device_id="NINE123", query="base64")
    plain.foldersync()
    coded.hierarchy_key = plain.hierarchy_key
    assert coded.foldersync().count == 0
    seen = direct.backend.requests()
    assert {(e["cmd"], e["device"].lower(), e["version"]) for e in seen} == {
        ("FolderSync", "nine123", "14.1")}


@pytest.mark.parametrize("query, cmd, device", [
    ("jRIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5kcm9pZAcBAA==", "Ping",
     "ABCDEF0123456789"),
    ("jRIJBBBBQkNERUYwMTIzNDU2Nzg5BAAAAAAHQW5kcm9pZAcBAA%3D%3D", "Ping",
     "ABCDEF0123456789"),
    ("jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l", "Sync", "v140Device"),
    ("jRIJBBBvJMrVmaW/GmkCRrjGj66NBFktBOsIUG9ja2V0UEMIEHVzZXJAZXhhbXBsZS5vcm"
     "c=", "Ping", "6f24cad599a5bf1a690246b8c68fae8d"),
])
def test_vectors_of_the_base64_query(direct, query, cmd, device):
    wire = direct.phone().connect()
    wire.send(http_request("POST", "/Microsoft-Server-ActiveSync?" + query,
                           [("Host", "x")]))
    assert Pending(wire).wait().status == 401
    seen = direct.backend.last()
    assert (seen["cmd"], seen["device"]) == (cmd, device)


def test_our_own_base64_query_equals_the_vector():
    assert base64_query("Sync", "v140Device", "SmartPhone", "14.0") == \
        "jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l"


# --- folders ---

def test_foldersync_lists_the_maildir(styled):
    styled.mails().create("Projects").create("Projects/2026")
    styled.mails().create("Grüße & Küsse")
    phone = styled.phone()
    answer = phone.foldersync()
    assert answer.status == 1 and answer.count == len(answer.adds)
    paths = {phone.path_of(f): f["type"] for f in phone.folders.values()}
    expected = {"INBOX": 2, "Drafts": 3, "Trash": 4, "Sent": 5,
                "Projects": 12, "Projects/2026": 12, "Grüße & Küsse": 12}
    assert {k: v for k, v in paths.items() if k in expected} == expected
    inbox = phone.id("INBOX")
    if styled.backend.id_style == "sogo":
        assert inbox == "mail%2F" + styled.mails().guid()
    else:
        assert len(inbox) == 8 and int(inbox, 16) >= 0


def test_foldersync_with_the_current_key_brings_differences_only(styled):
    phone = styled.phone()
    phone.foldersync()
    key = phone.hierarchy_key
    answer = phone.foldersync()
    assert (answer.count, answer.key) == (0, key)
    styled.mails().create("New")
    styled.mails().remove("Drafts")
    drafts = phone.id("Drafts")
    answer = phone.foldersync()
    assert [f["name"] for f in answer.adds] == ["New"]
    assert answer.deletes == [drafts]
    # the answer was lost: the old key brings the same again
    again = phone.foldersync(key)
    assert ([f["name"] for f in again.adds], again.deletes) == (["New"],
                                                               [drafts])
    assert phone.foldersync("bogus").status == 9


def test_folder_commands_act_on_the_maildir(styled):
    phone = styled.phone()
    phone.foldersync()
    a = phone.folder_create("A").server_id
    assert phone.folder_create("B", parent=a).status == 1
    assert "A/B" in styled.mails().folders()
    assert phone.folder_create("A").status == 2
    assert phone.folder_create("x", parent="nosuch").status == 5
    assert phone.folder_update(a, "C").status == 1
    assert "C/B" in styled.mails().folders()
    assert phone.folder_update("INBOX", "x").status == 3
    assert phone.folder_delete("nosuch").status == 4
    answer = phone.foldersync()
    assert not answer.adds and a not in answer.deletes
    assert phone.folder_delete(a).status == 1
    assert "C" not in styled.mails().folders()
    phone.hierarchy_key = "bogus"
    assert phone.folder_create("Z").status == 9


@pytest.mark.parametrize("name", ["..", "../../bob/Maildir", "a/b", "", "."])
def test_folder_names_do_not_climb(direct, name):
    phone = direct.phone()
    phone.foldersync()
    before = direct.mails().folders()
    assert phone.folder_create(name).status == 10
    assert direct.mails().folders() == before


# --- Sync ---

def test_sync_brings_mail_in_windows(styled):
    for i in range(5):
        styled.mails().deliver("mail %d" % i)
    phone = styled.phone()
    first = phone.sync("INBOX")  # key 0 primes and brings nothing
    one = first.collections[phone.id("INBOX")]
    assert one["status"] == 1 and not one["adds"] and one["key"] != "0"
    sizes = []
    while True:
        one = phone.sync("INBOX", window=2).collections[phone.id("INBOX")]
        sizes.append((len(one["adds"]), one["more"]))
        if not one["more"]:
            break
    assert sizes == [(2, True), (2, True), (1, False)]
    assert phone.subjects() == ["mail %d" % i for i in range(5)]
    assert phone.sync("INBOX").is_empty


def test_an_empty_answer_is_only_for_new_versions(direct):
    phone = direct.synced_phone(version="12.0")
    answer = phone.sync("INBOX")
    assert not answer.is_empty
    assert answer.collections[phone.id("INBOX")]["status"] == 1
    assert direct.synced_phone(version="12.1").sync("INBOX").is_empty


def test_the_previous_key_brings_a_lost_answer_again(styled):
    phone = styled.synced_phone()
    styled.mails().deliver("one")
    lost = phone.sync("INBOX", apply=False)
    styled.mails().deliver("two")
    again = phone.sync("INBOX").collections[phone.id("INBOX")]
    assert sorted(i["Subject"] for i in again["adds"].values()) == ["one",
                                                                   "two"]
    assert phone.sync("INBOX").is_empty
    # what it was given up to the answer that got lost is not valid any more
    phone.keys[phone.id("INBOX")] = \
        lost.collections[phone.id("INBOX")]["key"]
    assert phone.sync("INBOX").collections[phone.id("INBOX")]["status"] == 3


def test_an_unknown_key_is_status_3_and_starts_anew(direct):
    direct.mails().deliver("one")
    phone = direct.synced_phone()
    inbox = phone.id("INBOX")
    phone.keys[inbox] = "{0123}77"
    assert phone.sync("INBOX").collections[inbox]["status"] == 3
    phone.sync_until_done("INBOX")
    assert phone.subjects() == ["one"]


def test_changes_and_deletions_by_others_arrive(styled):
    mails = styled.mails()
    one, two = mails.deliver("one"), mails.deliver("two")
    phone = styled.synced_phone()
    mails.set_flags(one, "S")
    mails.delete(two)
    answer = phone.sync("INBOX").collections[phone.id("INBOX")]
    assert [c["Read"] for c in answer["changes"].values()] == ["1"]
    assert len(answer["deletes"]) == 1
    assert phone.subjects() == ["one"]
    mails.set_flags(one, "SF")
    answer = phone.sync("INBOX").collections[phone.id("INBOX")]
    assert len(answer["changes"]) == 1


def test_the_phones_own_changes_reach_the_maildir_and_do_not_come_back(styled):
    mails = styled.mails()
    one, two = mails.deliver("one"), mails.deliver("two")
    phone = styled.synced_phone("INBOX", "Trash")
    phone.sync("INBOX", commands={"INBOX": [
        phone.change_read(phone.item("INBOX", "one")),
        phone.delete(phone.item("INBOX", "two"))]})
    assert mails.locate(one).endswith(":2,S")
    assert [p for p in mails.mails("Trash")] and len(mails.mails()) == 1
    assert phone.sync("INBOX").is_empty
    assert phone.subjects() == ["one"]
    assert [i["Subject"] for i in phone.sync_until_done("Trash")] == ["two"]
    phone.sync("Trash", commands={"Trash": [
        phone.delete(phone.item("Trash", "two"))]})
    assert mails.mails("Trash") == []
    with pytest.raises(FileNotFoundError):
        mails.locate(two)


def test_with_commands_and_without_getchanges_nothing_else_is_told(styled):
    mails = styled.mails()
    mails.deliver("one")
    phone = styled.synced_phone()
    mails.deliver("two")
    command = {"INBOX": [phone.change_read(phone.item("INBOX", "one"))]}
    answer = phone.sync("INBOX", commands=command)
    assert not answer.collections[phone.id("INBOX")]["adds"]
    answer = phone.sync("INBOX", get_changes=0)
    assert answer.is_empty
    command = {"INBOX": [phone.change_read(phone.item("INBOX", "one"), False)]}
    answer = phone.sync("INBOX", commands=command, get_changes=True)
    assert len(answer.collections[phone.id("INBOX")]["adds"]) == 1


def test_a_client_add_is_made_once_even_when_its_answer_was_lost(direct):
    phone = direct.synced_phone("Drafts")
    add = wbxml.A("Add", wbxml.A("ClientId", "c1"), wbxml.A(
        "ApplicationData", wbxml.Node("Email:Subject", "draft")))
    for _ in range(2):
        answer = phone.sync("Drafts", commands={"Drafts": [add]}, apply=False)
        responses = answer.collections[phone.id("Drafts")]["responses"]
        assert responses.get("Add", "ClientId") == "c1"
        assert responses.get("Add", "Status") == "1"
    assert len(direct.mails().mails("Drafts")) == 1


def test_an_item_is_fetched(direct):
    direct.mails().deliver("one", body="long " * 500)
    phone = direct.phone()
    phone.sync_until_done("INBOX", body_bytes=10)
    uid = phone.item("INBOX", "one")
    assert len(phone.items[phone.id("INBOX")][uid]["Data"]) == 10
    answer = phone.sync("INBOX", commands={"INBOX": [
        wbxml.A("Fetch", wbxml.A("ServerId", uid))]})
    got = answer.collections[phone.id("INBOX")]["responses"].find("Fetch")
    assert len(got.get("ApplicationData", "Body", "Data")) > 2000


def test_filtertype_hides_old_mail(direct):
    import os
    old = direct.mails().deliver("old")
    os.utime(old.path, (1, 1))
    direct.mails().deliver("young")
    phone = direct.phone()
    phone.sync_until_done("INBOX", filter_type=3)
    assert phone.subjects() == ["young"]
    direct.mails().set_flags(old, "S")  # invisible
    assert phone.sync("INBOX", filter_type=3).is_empty


def test_unchanged_collections_are_told_or_omitted(direct):
    phone = direct.synced_phone("INBOX", "Sent")
    direct.mails().deliver("one")
    answer = phone.sync("INBOX", "Sent", apply=False)
    assert set(answer.collections) == {phone.id("INBOX"), phone.id("Sent")}
    direct.backend.set(omit_unchanged=True)
    answer = phone.sync("INBOX", "Sent")
    assert set(answer.collections) == {phone.id("INBOX")}
    assert phone.sync("INBOX", "Sent").is_empty


def test_a_hanging_sync_waits_for_the_change(direct):
    phone = direct.synced_phone()
    pending = phone.start_sync("INBOX", heartbeat=600)
    assert pending.is_held(0.5)
    direct.mails().deliver("one")
    answer = phone.take_sync(pending.wait())
    assert len(answer.collections[phone.id("INBOX")]["adds"]) == 1
    assert phone.sync("INBOX", heartbeat=1).is_empty
    assert phone.sync("INBOX", wait=60).status == 14


def test_an_empty_sync_repeats_the_last_or_is_status_13(styled):
    phone = styled.synced_phone()
    styled.mails().deliver("one")
    answer = phone.take_sync(phone.request("Sync"))
    if styled.backend.id_style == "sogo":
        assert answer.status == 13
    else:
        assert len(answer.collections[phone.id("INBOX")]["adds"]) == 1


def test_calendar_entries_come_from_the_control_url_and_from_phones(direct):
    phone = direct.phone()
    phone.foldersync()
    calendar = phone.id("Personal Calendar")
    assert phone.sync_until_done(calendar) == []
    direct.backend.control(pim_add={"user": "alice", "class": "Calendar",
                                    "subject": "dentist"})
    assert [i["Subject"] for i in phone.sync_until_done(calendar)] == [
        "dentist"]
    add = wbxml.A("Add", wbxml.A("ClientId", "7"), wbxml.A(
        "ApplicationData", wbxml.Node("Calendar:Subject", "lunch")))
    phone.sync(calendar, commands={calendar: [add]})
    other = direct.phone()
    other.foldersync()
    assert sorted(i["Subject"] for i in other.sync_until_done(calendar)) == [
        "dentist", "lunch"]


# --- the rest ---

def test_moveitems_moves_and_neither_side_hears_of_it_again(styled):
    styled.mails().deliver("one")
    phone = styled.synced_phone("INBOX", "Trash")
    moved = phone.move(phone.item("INBOX", "one"), "INBOX", "Trash")
    assert moved[1] == 3
    assert len(styled.mails().mails("Trash")) == 1
    assert phone.sync("INBOX").is_empty and phone.sync("Trash").is_empty
    assert phone.subjects("Trash") == ["one"]
    assert phone.move("99", "INBOX", "Trash")[1] == 1
    assert phone.move(moved[2], "Trash", "nosuch")[1] == 2
    assert phone.move(moved[2], "Trash", "Trash")[1] == 4


def test_sendmail_reaches_sent_and_the_other_user(direct):
    phone = direct.synced_phone()
    mime = b"From: alice\r\nTo: Bob <bob@example.org>\r\nSubject: hi\r\n\r\nx"
    C = wbxml.page("ComposeMail")
    body = wbxml.encode(C("SendMail", C("ClientId", "1"),
                          C("SaveInSentItems"), C("MIME", wbxml.Opaque(mime))))
    response = phone.request("SendMail", body)
    assert (response.status, response.body) == (200, b"")
    assert len(direct.mails().mails("Sent")) == 1
    bob = direct.phone("bob")
    assert [i["Subject"] for i in bob.sync_until_done("INBOX")] == ["hi"]


def test_estimate_settings_and_itemoperations_answer(direct):
    direct.mails().deliver("one")
    phone = direct.phone()
    phone.sync("INBOX")
    G, S, I = (wbxml.page(n) for n in ("GetItemEstimate", "Settings",
                                       "ItemOperations"))
    body = wbxml.encode(G("GetItemEstimate", G("Collections", G(
        "Collection", wbxml.A("SyncKey", phone.keys[phone.id("INBOX")]),
        G("CollectionId", phone.id("INBOX"))))))
    root = wbxml.decode(phone.request("GetItemEstimate", body).body)
    assert root.get("Response", "Collection", "Estimate") == "1"
    root = wbxml.decode(phone.request("Settings", wbxml.encode(S(
        "Settings", S("UserInformation", S("Get"))))).body)
    assert "alice" in root.get("UserInformation", "Get", "EmailAddresses",
                               "SmtpAddress")
    root = wbxml.decode(phone.request("ItemOperations", wbxml.encode(I(
        "ItemOperations", I("EmptyFolderContents", wbxml.A(
            "CollectionId", phone.id("INBOX")))))).body)
    assert root.get("Response", "EmptyFolderContents", "Status") == "1"
    assert direct.mails().mails() == []


def test_provision_gives_the_policy_key_that_everything_else_needs(direct):
    direct.backend.set(require_provision=True)
    phone = direct.phone()
    body = wbxml.foldersync_request("0")
    assert phone.request("FolderSync", body).status == 449
    phone.provision()
    assert phone.foldersync().status == 1
    phone.policy_key += 1
    assert phone.request("FolderSync", body).status == 449
    coded = direct.phone(query="base64")
    coded.provision()
    assert coded.foldersync().status == 1


def test_unknown_commands_and_broken_bodies_are_http_errors(direct):
    phone = direct.phone()
    assert phone.request("Sync", b"garbage").status == 400
    assert phone.request("FolderSync", phone.sync_body("x")).status == 400
    assert phone.request("ResolveRecipients", b"").status == 501
    assert phone.foldersync().status == 1


# --- its own Ping ---

def test_ping_is_held_and_names_the_changed_folder(styled):
    phone = styled.synced_phone("INBOX", "Sent")
    ping = phone.start_ping(["INBOX", "Sent"], 600)
    assert ping.is_held(0.5)
    styled.mails().deliver("one", "Sent")
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [phone.id("Sent")])
    # and again at once, until it has been synchronised
    assert phone.ping(["INBOX", "Sent"], 600).folders == [phone.id("Sent")]
    phone.sync_until_done("Sent")
    assert phone.start_ping(["INBOX", "Sent"], 600).is_held(0.5)


def test_ping_statuses(styled):
    styled.backend.set(ping_heartbeat=[2, 1000], max_folders=3)
    phone = styled.synced_phone()
    assert phone.ping().status == 3
    assert phone.ping(heartbeat=600).status == 3
    answer = phone.ping(["INBOX"], 1)
    assert (answer.status, answer.heartbeat) == (5, 2)
    answer = phone.ping(["INBOX"], 5000)
    assert (answer.status, answer.heartbeat) == (5, 1000)
    answer = phone.ping(["INBOX"] * 4, 600)
    assert (answer.status, answer.max_folders) == (6, 3)
    assert phone.ping(["INBOX"], 2).status == 1
    assert phone.ping().status == 1  # both from the last
    styled.mails().create("New")
    assert phone.ping(["INBOX"], 600).status == 7
    phone.foldersync()
    assert phone.ping(["INBOX"], 2).status == 1


def test_a_newer_ping_ends_the_older(direct):
    phone = direct.synced_phone()
    older = phone.start_ping(["INBOX"], 600)
    assert older.is_held(0.3)
    phone.connect()
    newer = phone.start_ping(["INBOX"], 600)
    assert older.answer().status == 1
    assert newer.is_held(0.3)


def test_a_ping_ends_when_its_client_leaves(direct):
    phone = direct.synced_phone()
    phone.start_ping(["INBOX"], 600)
    direct.backend.wait_for(cmd="Ping")
    phone.hang_up()
    direct.backend.wait_idle()


# --- lag and misbehaviour ---

def test_a_lagging_backend_shows_a_mail_later(direct):
    phone = direct.synced_phone()
    direct.backend.set(lag=2.0)
    direct.mails().deliver("one")
    assert phone.sync("INBOX").is_empty
    direct.wait_until(lambda: phone.sync_until_done("INBOX"),
                      "the mail shows")
    assert phone.subjects() == ["one"]


def test_a_frozen_view_shows_nothing_new_until_it_thaws(direct):
    one = direct.mails().deliver("one")
    phone = direct.synced_phone()
    direct.backend.control(freeze="alice")
    direct.mails().deliver("two")
    direct.mails().delete(one)
    assert phone.sync("INBOX").is_empty
    direct.backend.control(thaw="alice")
    phone.sync_until_done("INBOX")
    assert phone.subjects() == ["two"]


@pytest.mark.parametrize("status", [401, 403, 449, 500, 502, 503])
def test_http_errors_on_demand(direct, status):
    phone = direct.synced_phone()
    direct.backend.misbehave(cmd="Sync", status=status, times=1,
                             headers={"Retry-After": "7"})
    response = phone.request("Sync", phone.sync_body("INBOX"))
    assert response.status == status
    assert response.get("Retry-After") == "7"
    assert phone.sync("INBOX").is_empty


@pytest.mark.parametrize("status", range(140, 146))
def test_block_and_policy_statuses_on_demand(direct, status):
    phone = direct.synced_phone()
    with direct.backend.rule(wbxml_status=status):
        assert phone.foldersync().status == status
        assert phone.sync("INBOX").status == status
    assert phone.sync("INBOX").is_empty


@pytest.mark.parametrize("coding", [
    dict(chunked=True), dict(gzip=True), dict(deflate=True),
    dict(gzip=True, chunked=True)])
def test_codings_on_demand_keep_the_document(direct, coding):
    phone = direct.phone()
    phone.sync("INBOX")
    direct.mails().deliver("one")
    direct.backend.misbehave(cmd="Sync", **coding)
    answer = phone.sync("INBOX")
    assert len(answer.collections[phone.id("INBOX")]["adds"]) == 1
    response = answer.response
    assert response.is_chunked == bool(coding.get("chunked"))
    assert bool(response.get("Content-Encoding")) == (
        "gzip" in coding or "deflate" in coding)
    assert direct.backend.last()["response_sha"] == \
        hashlib.sha256(response.body).hexdigest()


@pytest.mark.parametrize("rule, ends", [
    (dict(cut=True), "eof"), (dict(reset=True), "reset"),
    (dict(length=5), "eof"), (dict(cut=True, chunked=True), "eof")])
def test_broken_responses_on_demand(direct, rule, ends):
    phone = direct.phone()
    phone.sync("INBOX")
    direct.mails().deliver("one")
    direct.backend.misbehave(cmd="Sync", times=1, **rule)
    with pytest.raises(ConnectionLost) as lost:
        phone.sync("INBOX")
    assert ends in lost.value.ends
    assert len(phone.sync_until_done("INBOX")) == 1


def test_an_empty_200_on_demand(direct):
    phone = direct.synced_phone()
    direct.mails().deliver("one")
    direct.backend.misbehave(cmd="Sync", empty=True, times=1)
    assert phone.sync("INBOX").is_empty


def test_gates_hold_a_request_at_known_points(direct):
    phone = direct.phone()
    phone.sync("INBOX")
    direct.backend.misbehave(cmd="Sync", gate_before="a", gate_headers="b",
                             gate_body="c", times=1)
    pending = phone.start_sync("INBOX")
    direct.backend.wait_at_gate("a")
    direct.mails().deliver("in time")
    direct.backend.open("a")
    direct.backend.wait_at_gate("b")
    direct.mails().deliver("too late")
    assert not phone.wire.received[pending.wire.read_at:]
    direct.backend.open("b")
    direct.backend.wait_at_gate("c")
    assert not pending.is_answered()
    direct.backend.open("c")
    answer = phone.take_sync(pending.wait())
    assert [i["Subject"] for i in answer.collections[
        phone.id("INBOX")]["adds"].values()] == ["in time"]
    assert [i["Subject"] for i in phone.sync_until_done("INBOX")] == [
        "too late"]


def test_slow_responses_on_demand(direct):
    phone = direct.phone()
    phone.sync("INBOX")
    direct.mails().deliver("one")
    direct.backend.misbehave(cmd="Sync", pause_headers=0.2,
                             trickle=[40, 0.01], times=1)
    assert len(phone.sync_until_done("INBOX")) == 1


def test_a_huge_response_on_demand(direct):
    phone = direct.phone()
    phone.sync("INBOX")
    direct.mails().deliver("one")
    direct.backend.misbehave(cmd="Sync", huge=5 << 20, times=1)
    response = phone.request("Sync", phone.sync_body("INBOX"))
    assert len(response.body) > 5 << 20
    assert hashlib.sha256(response.body).hexdigest() == \
        direct.backend.last()["response_sha"]
    answer = phone.take_sync(response)
    items = answer.collections[phone.id("INBOX")]["adds"]
    assert len(items["huge"]["Data"]) == 5 << 20


def test_the_log_tells_what_came(direct):
    phone = direct.phone()
    body = wbxml.foldersync_request("0")
    since = direct.backend.mark()
    phone.request("FolderSync", body)
    direct.backend.wait_idle()
    (seen,) = direct.backend.requests(since)
    assert bytes.fromhex(seen["body_hex"]) == body
    assert seen["body_sha"] == hashlib.sha256(body).hexdigest()
    assert (seen["user"], seen["cmd"], seen["status"], seen["done"]) == (
        "alice", "FolderSync", 200, True)
    assert phone.authorization() not in str(seen)


def test_request_bodies_in_chunks_and_gzip_arrive(direct):
    import gzip
    phone = direct.phone()
    body = wbxml.foldersync_request("0")
    assert phone.request("FolderSync", body, chunked=True).status == 200
    assert phone.request("FolderSync", gzip.compress(body), headers=[
        ("Content-Encoding", "gzip")]).status == 200


# --- the phone ---

def test_pipelined_requests_in_one_segment_are_answered_in_turn(direct):
    phone = direct.synced_phone()
    first, second = phone.pipeline([
        ("FolderSync", wbxml.foldersync_request("0")),
        ("Sync", phone.sync_body("INBOX"))])
    assert second.wait().body == b""
    assert wbxml.FoldersAnswer(first.response.body).status == 1


def test_the_phone_stays_on_one_connection_and_knows_when_it_ends(direct):
    phone = direct.synced_phone()
    assert len(phone.wires) == 1
    direct.backend.set(keepalive=False)
    assert phone.sync("INBOX").response.closes
    assert phone.wire.ended() and not phone.wire.was_reset
    phone.sync("INBOX")
    assert len(phone.wires) == 2


def test_half_close_abort_and_slow_sending(direct):
    phone = direct.synced_phone()
    pending = phone.start_ping(["INBOX"], 600)
    assert pending.is_held(0.2)
    phone.wire.half_close()
    assert pending.answer().status == 1  # the fixture takes it for gone
    phone.connect()
    data = phone.bytes_of("FolderSync", wbxml.foldersync_request("0"))
    assert phone.wire.send_slowly(data, 50, 0.01)
    assert Pending(phone.wire).wait().status == 200
    phone.start_ping(["INBOX"], 600)
    direct.backend.wait_for(cmd="Ping", n=2)
    phone.abort()
    direct.backend.wait_idle()


# --- standing alone ---

def test_the_program_explains_itself(tmp_path):
    def run(*args):
        return subprocess.run([sys.executable, PROGRAM] + list(args),
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
    done = run("--help")
    assert done.returncode == 0 and "Not for real use" in done.stdout
    done = run("--mail-root", str(tmp_path), "--users", "/nonexistent")
    assert done.returncode == 1 and "/nonexistent" in done.stdout
    users = tmp_path / "users"
    users.write_text("alice\n")
    done = run("--mail-root", str(tmp_path), "--users", str(users))
    assert done.returncode == 1 and "line 1" in done.stdout
    users.write_text("alice:secret\n")
    done = run("--mail-root", str(tmp_path / "no"), "--users", str(users))
    assert done.returncode == 1 and "no directory" in done.stdout
    assert "Traceback" not in done.stdout


def test_control_answers_nonsense_with_what_is_allowed(direct):
    for wish, word in (('{"nonsense": 1}', "rules"), ("not json", ""),
                       ('{"set": {"x": 1}}', "ping_interval")):
        connection = http.client.HTTPConnection("127.0.0.1",
                                                direct.backend.port)
        connection.request("POST", "/_control", wish)
        response = connection.getresponse()
        assert response.status == 400
        assert word in response.read().decode()
        connection.close()


def test_a_backend_that_was_restarted_has_forgotten_all_keys(direct):
    direct.mails().deliver("one")
    phone = direct.synced_phone()
    direct.backend.stop()
    direct.backend.start()
    assert phone.sync("INBOX").collections[phone.id("INBOX")]["status"] == 3
    phone.sync_until_done("INBOX")
    assert phone.subjects() == ["one"]


def test_maildir_deliveries_tell_when_they_became_visible(direct):
    before = time.monotonic()
    mail = direct.mails().deliver("one")
    assert before <= mail.began <= mail.at <= time.monotonic()
    copied = direct.mails().copy(mail, "Sent")
    assert "/cur/" in copied.path and copied.base != mail.base
    direct.mails().create("A/B").rename("A/B", "C")
    assert "C" in direct.mails().folders()
