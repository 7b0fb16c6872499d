"""Provisioning, remote wipe, blocked devices: the backend's word reaches the
phone, and nothing is held for it until the backend has accepted it again."""
import pytest

from dp import wbxml
from test_104_devices import twin

STATUSES = [126, 129, 130, 131, 140, 141, 142, 143, 144, 145]


def is_passed(site, phone):
    """The next Ping goes to the backend. @return its Response"""
    since = site.backend.mark()
    response = phone.request("Ping", phone.ping_body(["INBOX"], 1))
    assert site.backend.count(since, cmd="Ping") == 1
    assert site.held() == 0
    return response


def accepted_again(site, phone):
    """A Sync that the backend accepts: Pings are held as before."""
    site.backend.behave()
    site.backend.set(require_provision=False)
    phone.connect()
    phone.sync_until_done("INBOX")
    since = site.backend.mark()
    assert site.hold(phone).is_held()
    assert site.backend.count(since, cmd="Ping") == 0


def refusal(cmd, status):
    """WBXML of an answer that says nothing but this status."""
    if cmd in ("Sync", "FolderSync", "Ping", "MoveItems", "GetItemEstimate"):
        return dict(cmd=cmd, wbxml_status=status)
    V = wbxml.page({"Settings": "Settings"}.get(cmd, cmd))
    return dict(cmd=cmd, body_hex=wbxml.encode(
        V(cmd, V("Status", status))).hex())


@pytest.mark.parametrize("status", [449, 456, 457])
def test_an_http_status_for_a_device_with_proof(site, status):
    site.backend.set(ping_interval=0.1)
    phone, ping = site.held_phone()
    site.backend.misbehave(cmd=["Sync", "Ping"], status=status)
    other = twin(site, phone)
    assert other.request("Sync", phone.sync_body("INBOX")).status == status
    ping.answer()
    for _ in range(2):  # it stays so
        assert is_passed(site, phone).status == status
        phone.connect()
    accepted_again(site, phone)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("cmd", ["Sync", "FolderSync"])
def test_a_status_in_wbxml_for_a_device_with_proof(site, cmd, status):
    site.backend.set(ping_interval=0.1)
    phone, ping = site.held_phone()
    site.backend.misbehave(**refusal(cmd, status))
    site.backend.misbehave(**refusal("Ping", status))
    other = twin(site, phone)
    body = (phone.sync_body("INBOX") if cmd == "Sync"
            else wbxml.foldersync_request(phone.hierarchy_key))
    assert other.request(cmd, body).status == 200
    if status == 126:  # says nothing of the device
        assert ping.is_held()
        return
    ping.answer()
    response = is_passed(site, phone)
    assert wbxml.PingAnswer(response.clear).status == status
    accepted_again(site, phone)


@pytest.mark.parametrize("cmd", ["Settings", "ItemOperations",
                                 "GetItemEstimate", "MoveItems"])
def test_a_status_in_the_answer_to_any_command(site, cmd):
    site.backend.set(ping_interval=0.1)
    phone, ping = site.held_phone()
    V = wbxml.page(cmd if cmd != "MoveItems" else "Move")
    body = wbxml.encode(V(cmd, V("Status", 142)))
    site.backend.misbehave(cmd=cmd, body_hex=body.hex())
    other = twin(site, phone)
    assert other.request(cmd, body).status == 200
    ping.answer()
    is_passed(site, phone)
    accepted_again(site, phone)


@pytest.mark.parametrize("wish", ["RemoteWipe", "AccountOnlyRemoteWipe"])
def test_a_remote_wipe(site, wish):
    """In the answer to a Provision of a phone with proof."""
    site.backend.set(ping_interval=0.1)
    phone, ping = site.held_phone()
    V = wbxml.page("Provision")
    wipe = wbxml.encode(V("Provision", V("Status", 1), V(wish)))
    site.backend.misbehave(cmd="Provision", body_hex=wipe.hex())
    response = twin(site, phone).request("Provision", wbxml.encode(
        V("Provision")))
    assert response.body == wipe
    ping.answer()
    is_passed(site, phone)
    accepted_again(site, phone)


def test_a_refusal_of_a_stranger_is_nothing_to_the_phone(site):
    """Without proof it says nothing of the device, whose id is no secret."""
    phone, ping = site.held_phone()
    thief = twin(site, phone, password="wrong")
    for rule in (dict(status=449), dict(status=456), dict(wbxml_status=140)):
        site.backend.misbehave(times=1, cmd="FolderSync", **rule)
        thief.request("FolderSync", wbxml.foldersync_request("0"))
        thief.connect()
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_a_refusal_is_of_one_device(site):
    """The same user's other phone is held on."""
    site.backend.set(ping_interval=0.1)
    phone, ping = site.held_phone()
    other, others = site.held_phone()
    site.backend.misbehave(cmd="Sync", device=phone.device_id, status=449)
    assert phone.device_id != other.device_id
    twin(site, phone).request("Sync", phone.sync_body("INBOX"))
    ping.answer()
    assert others.is_held()
    since = site.backend.mark()
    phone.request("Ping", phone.ping_body(["INBOX"], 1))
    assert site.backend.count(since, cmd="Ping") == 1
    assert others.is_held()


def test_449_to_a_phone_that_only_pings_passes(site):
    """A phone that the backend has never accepted through us: its passed Ping
    gets the 449, and the whole way to a held Ping works."""
    site.backend.set(require_provision=True)
    phone = site.phone()
    body = wbxml.ping_request(600, [("mail%2Fx", "Email")])
    site.backend.misbehave(cmd="Ping", status=449)
    assert phone.request("Ping", body).status == 449
    site.backend.behave()
    phone.connect()
    phone.provision()
    phone.foldersync()
    phone.sync_until_done("INBOX")
    assert site.hold(phone).is_held()


def test_a_refused_phone_beyond_the_limit_is_not_held_either(make_site):
    """DirectPushMaxPassed is used up: 503, nothing else."""
    site = make_site(httpd=dict(tune={"DirectPushMaxPassed": "1"}))
    phone = site.in_step()
    site.backend.set(require_provision=True)
    assert phone.request("Sync", phone.sync_body("INBOX")).status == 449
    site.backend.misbehave(cmd="Ping", gate_before="g")
    site.phone("bob").start("Ping", wbxml.ping_request(600,
                                                       [("x", "Email")]))
    site.backend.wait_at_gate("g")
    phone.connect()
    response = phone.request("Ping", phone.ping_body(["INBOX"], 600))
    assert response.status == 503 and int(response.get("Retry-After")) > 0
    assert site.held() == 0
    site.backend.open("g")
