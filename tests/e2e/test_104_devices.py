"""Who is who: devices, users, realms, passwords, strangers."""
import pytest

from dp import wbxml
from dp.httpd import Vhost
from dp.process import wait_until


def twin(site, phone, **kw):
    """The same device on a connection of its own, its state shared."""
    kw.setdefault("device_id", phone.device_id)
    other = site.phone(phone.user, **kw)
    other.folders, other.keys, other.items = (phone.folders, phone.keys,
                                              phone.items)
    other.hierarchy_key = phone.hierarchy_key
    return other


def in_child(site, phone, pid, tries=200):
    """Connect the phone until its connection is one of this child."""
    for _ in range(tries):
        phone.connect()
        phone.options()
        if site.httpd.wait_access(port=phone.wire.port)[-1]["pid"] == pid:
            return
        phone.hang_up()
    raise AssertionError("no connection lands in child %d" % pid)


def test_the_newest_ping_ends_the_older_on_another_connection(site):
    phone, older = site.held_phone()
    newer = twin(site, phone).start_ping(["INBOX"], 600)
    assert older.answer().status == 1
    assert newer.is_held()
    assert not phone.wire.is_ended  # its connection is still good
    site.wait_held(1)


def test_the_newest_ping_ends_the_older_in_another_child(make_site):
    site = make_site(httpd=dict(children=2))
    children = site.httpd.children()
    assert len(children) == 2
    phone = site.in_step()
    for here, there in (children, children[::-1]):
        in_child(site, phone, here)
        older = phone.start_ping(["INBOX"], 600)
        assert older.is_held()
        other = twin(site, phone)
        in_child(site, other, there)
        newer = other.start_ping(["INBOX"], 600)
        assert older.answer().status == 1
        assert newer.is_held()
        site.mails().deliver("one")
        assert newer.answer().status == 2
        other.sync_until_done("INBOX")
        other.sync("INBOX")  # it has the answer of the one before


def two_connections(make_site, there):
    """A phone in step, with one connection in the first of two children and
    one in child `there`. @return (site, phone, its twin)"""
    site = make_site(httpd=dict(children=2))
    children = site.httpd.children()
    phone = site.in_step()
    other = twin(site, phone)
    in_child(site, phone, children[0])
    in_child(site, other, children[there])
    return site, phone, other


@pytest.mark.parametrize("there", [0, 1], ids=["same child", "another"])
def test_a_sync_here_counts_for_the_ping_there(make_site, there):
    """A phone with two connections: the Sync that brought the mail on one, the
    next Ping right behind it on the other. It is not told again."""
    site, phone, other = two_connections(make_site, there)
    with site.published():
        site.mails().deliver("one")
    phone.sync_until_done("INBOX")
    assert other.start_ping(["INBOX"], 600).is_held(4)


def test_of_many_pings_only_the_newest_stays(site):
    phone = site.in_step()
    twins = [twin(site, phone, tls=bool(i % 2)) for i in range(10)]
    pings = [t.start_ping(["INBOX"], 600) for t in twins]
    site.wait_held(1)
    answered = [p for p in pings if p.is_answered(5 if p is not pings[-1]
                                                  else 0.2)]
    assert len(answered) == 9
    assert all(p.answer().status == 1 for p in answered)


def test_two_accounts_on_one_phone_share_its_id_and_nothing_else(site):
    one, ping1 = site.held_phone(user="alice", device_id="samephone")
    two, ping2 = site.held_phone(user="bob", device_id="samephone")
    site.wait_held(2)
    site.mails("bob").deliver("for bob")
    assert ping2.answer().folders == [two.id("INBOX")]
    assert ping1.is_held()


def test_the_user_of_the_url_means_nothing(site):
    """A with User=B in the URL is A."""
    phone, ping = site.held_phone(user="alice", user_param="bob")
    site.mails("bob").deliver("for bob")
    assert ping.is_held(1)
    site.mails("alice").deliver("for alice")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_a_folder_of_somebody_else_is_not_watched(make_site):
    """By the GUID in SOGo's ids, or by a path."""
    site = make_site(httpd=dict(tune={
        "DirectPushFallbackInterval": "600s 600s"}))
    bob_inbox = "mail%2F" + site.mails("bob").guid()
    phone = site.in_step()
    others = [bob_inbox, "mail%2F..%2F..%2Fbob%2FMaildir",
              "../../bob/Maildir",
              "mail%2F%2Fguid%2F" + site.mails("bob").guid()]
    ping = site.let_be(phone, [(id_, "Email") for id_ in [phone.id("INBOX")]
                          + others], others)
    site.mails("bob").deliver("for bob")
    assert ping.is_held(0.7)


@pytest.mark.parametrize("password", ["wrong", "", "secret "])
def test_a_stranger_with_the_id_of_a_phone_changes_nothing(site, password):
    phone, ping = site.held_phone()
    stranger = twin(site, phone, password=password)
    body = phone.ping_body(["Sent"], 5)
    for cmd, body in (("Ping", body), ("Ping", b""),
                      ("FolderSync", wbxml.foldersync_request("0")),
                      ("Sync", phone.sync_body("INBOX")),
                      ("Sync", phone.sync_body("INBOX", key="0"))):
        assert stranger.request(cmd, body).status == 401
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    phone.sync_until_done("INBOX")
    # the parameters are still the phone's own
    ping = phone.start_ping()
    assert ping.is_held()
    site.mails().deliver("two")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_a_ping_without_proof_is_the_backends_to_judge(site):
    """Nothing of it was ever accepted: never held by us."""
    site.backend.set(ping_interval=0.1)
    phone = site.phone(password="wrong")
    for _ in range(2):
        assert phone.ping_body([("x", "Email")], 600)
        response = phone.request("Ping", wbxml.ping_request(
            600, [("x", "Email")]))
        assert response.status == 401
        assert response.get("WWW-Authenticate")
    site.backend.wait_idle()
    assert site.backend.count(cmd="Ping", status=401) == 2
    assert site.held() == 0
    nobody = site.phone()
    assert nobody.request("Ping", wbxml.ping_request(600, [("x", "Email")]),
                          with_auth=False).status == 401


def test_a_passed_ping_that_the_backend_answers_is_proof(site):
    """A phone from before our time comes with a Ping first."""
    phone = site.synced_phone(direct=True)
    phone.endpoint = site.httpd.endpoint()
    phone.connect()
    site.backend.set(ping_interval=0.1)
    assert phone.ping(["INBOX"], 1).status == 1
    assert site.backend.count(cmd="Ping") == 1
    ping = site.hold(phone)
    site.wait_held(1)
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    assert site.backend.count(cmd="Ping") == 1


def test_a_changed_password_is_noticed_by_the_backend(site):
    phone, ping = site.held_phone()
    site.backend.control(user={"alice": "new"})
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert phone.request("Sync", phone.sync_body("INBOX")).status == 401
    # the proof of that password is gone: the next Ping is judged anew
    assert phone.request("Ping", phone.ping_body(["INBOX"], 600)).status == 401
    phone.password = "new"
    phone.sync_until_done("INBOX")
    assert site.hold(phone).is_held()


def test_two_passwords_of_one_user_are_two_proofs(site):
    """A 401 of one leaves the other alone."""
    phone, ping = site.held_phone()
    other = site.phone("alice", password="wrong")
    assert other.request("Sync", phone.sync_body("INBOX")).status == 401
    assert ping.is_held()
    phone.connect()
    again = phone.start_ping(["INBOX"], 600)
    assert again.is_held()


def test_proof_expires_and_is_renewed_by_a_sync(make_site):
    """A hold ends with its proof: it announces a folder, whose Sync is the
    renewal."""
    site = make_site(httpd=dict(tune={"DirectPushTrust": "4s"}))
    phone, ping = site.held_phone()
    answer = ping.answer()
    assert (answer.status, answer.folders) == (2, [phone.id("INBOX")])
    assert phone.sync("INBOX").is_empty
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held(0.5)
    assert ping.answer().status == 2
    # expired, and no Sync in between: told again at once
    assert phone.ping(["INBOX"], 600).status == 2


def test_a_refused_device_goes_to_the_backend(site):
    """449 to a request that had proof: the backend wants to talk to it."""
    phone, ping = site.held_phone()
    site.backend.set(require_provision=True, ping_interval=0.1)
    site.mails().deliver("one")
    assert ping.answer().status == 2
    assert phone.request("Sync", phone.sync_body("INBOX")).status == 449
    phone.request("Ping", phone.ping_body(["INBOX"], 1))
    assert site.backend.count(cmd="Ping") == 1
    phone.provision()
    phone.sync_until_done("INBOX")
    assert site.hold(phone).is_held()
    assert site.backend.count(cmd="Ping") == 1


@pytest.mark.parametrize("there", [0, 1], ids=["same child", "another"])
@pytest.mark.parametrize("status", [129, 140, 142])
def test_a_wipe_or_block_status_ends_the_hold(make_site, status, there):
    """The backend refuses the device on one connection, its Ping is held on
    another; the next one goes to the backend."""
    site, phone, other = two_connections(make_site, there)
    ping = phone.start_ping(["INBOX"], 600)
    assert ping.is_held()
    site.backend.misbehave(cmd="FolderSync", wbxml_status=status, times=1)
    assert other.foldersync().status == status
    ping.answer()
    site.backend.set(ping_interval=0.1)
    phone.request("Ping", phone.ping_body(["INBOX"], 1))
    assert site.backend.count(cmd="Ping") == 1


def test_forget_ends_holds_and_proofs_now(site):
    phone, ping = site.held_phone()
    bob, bobs = site.held_phone(user="bob")
    site.backend.control(user={"alice": None})
    with site.watcher.control() as control:
        assert control.ask("forget", "alice")[0] == "ok"
    ping.response()
    response = phone.request("Ping", phone.ping_body(["INBOX"], 600))
    assert response.status == 401
    assert bobs.is_held()


def test_a_password_of_one_host_proves_nothing_at_the_other(make_site):
    """The same login, two virtual hosts, two backends."""
    site = make_site(backends=2)
    site.backends[1].control(user={"alice": "another"})
    phone, ping = site.held_phone(vhost="mail.example.test")
    thief = site.phone("alice", vhost="other.example.test",
                       device_id=phone.device_id)
    body = phone.ping_body(["INBOX"], 600)
    assert thief.request("Ping", body).status == 401
    site.backends[1].wait_idle()
    assert site.backends[1].count(cmd="Ping", status=401) == 1
    assert ping.is_held()
    thief.password = "another"
    thief.sync_until_done("INBOX")
    theirs = site.hold(thief)
    assert ping.is_held() and theirs.is_held()  # two devices, two realms


def test_hosts_of_one_realm_share_their_proofs(make_site):
    site = make_site(start=False)
    backend = site.backend.start()
    realm = ["DirectPushRealm both"]
    site.vhosts = [Vhost("mail.example.test", backend.port, directives=realm),
                   Vhost("other.example.test", backend.port,
                         directives=realm)]
    site.start()
    phone, ping = site.held_phone()
    other = twin(site, phone, vhost="other.example.test")
    newer = other.start_ping(["INBOX"], 600)
    assert ping.answer().status == 1
    assert newer.is_held()
    assert site.backend.count(cmd="Ping") == 0


def test_logins_in_all_forms_are_one_mailbox(make_site):
    site = make_site(default_domain="example.org", mailbox="%n")
    for login in ("alice", "ALICE", "EXAMPLE\\alice", "alice@example.org"):
        phone, ping = site.held_phone(user=login, password="secret")
        site.mails("alice").deliver("one")
        assert ping.answer().folders == [phone.id("INBOX")], login


def test_more_passed_pings_than_allowed_do_not_pile_up(make_site):
    """DirectPushMaxPassed: beyond it the answer is 2 or 503, never a hold."""
    site = make_site(httpd=dict(tune={"DirectPushMaxPassed": "2"}))
    phones = [site.synced_phone(direct=True) for _ in range(6)]
    pings = []
    for phone in phones:
        phone.endpoint = site.httpd.endpoint()
        phone.connect()
        pings.append(phone.start_ping(["INBOX"], 600))
    site.backend.wait_for(n=2, cmd="Ping")
    early = [p for p in pings if p.is_answered(3)]
    assert len(early) == 4
    for ping in early:
        response = ping.response()
        assert response.status in (200, 503)
        if response.status == 503:
            assert int(response.get("Retry-After")) > 0
        else:
            assert ping.answer().status == 2
    assert site.backend.count(cmd="Ping") == 2
    assert site.held() == 0


def test_they_are_as_many_in_all_children_together(make_site):
    """However many ask at once: not one more, and not one fewer."""
    site = make_site(httpd=dict(tune={"DirectPushMaxPassed": "3"}, children=3,
                                threads=32))
    phones = [site.synced_phone(direct=True) for _ in range(24)]
    for phone in phones:
        phone.endpoint = site.httpd.endpoint()
        phone.connect()
    pings = [phone.start_ping(["INBOX"], 600) for phone in phones]
    wait_until(lambda: sum(p.is_answered(0) for p in pings) == 21,
               "all that have no place are answered")
    site.backend.wait_for(n=3, cmd="Ping")
    assert site.backend.count(cmd="Ping") == 3


def test_an_empty_ping_beyond_them_leads_to_a_sync_as_well(make_site):
    """Status 3 asks for the whole Ping, Status 2 for the Sync that proves the
    login, while another's Ping keeps the only place at the backend."""
    site = make_site(httpd=dict(tune={"DirectPushMaxPassed": "1"}))
    first, phone = (site.synced_phone(direct=True) for _ in range(2))
    for p in (first, phone):
        p.endpoint = site.httpd.endpoint()
        p.connect()
    passed = first.start_ping(["INBOX"], 600)
    site.backend.wait_for(n=1, cmd="Ping")
    assert phone.ping().status == 3
    answer = phone.ping(["INBOX"], 600)
    assert answer.status == 2 and answer.folders == [phone.id("INBOX")]
    phone.sync("INBOX")
    site.hold(phone)
    assert site.held() == 1 and not passed.is_answered(0)
    assert site.backend.count(cmd="Ping") == 1


def test_forget_of_one_device_ends_its_hold_and_no_other(site):
    one, ping1 = site.held_phone(device_id="phoneone")
    two, ping2 = site.held_phone(device_id="phonetwo")
    with site.watcher.control() as control:
        assert control.ask("forget", "Alice", "PhoneOne")[0] == "ok"
    assert ping1.answer().status in (1, 2)
    assert ping2.is_held(1)
    # nothing is held for it before the backend has accepted it again
    since = site.backend.mark()
    one.start_ping(["INBOX"], 600)
    site.wait_until(lambda: site.backend.count(since, cmd="Ping") == 1,
                    "the backend is asked")
