"""Credentials: who is believed, what the backend gets to see, and that Ping
tells nobody whether a guess was right."""
import base64
import os

import pytest

from dp import wbxml
from dp.httpd import EAS
from test_104_devices import twin

BASIC_FILE = ["<Location %s>" % EAS, "AuthType Basic", 'AuthName "mail"',
              "AuthBasicProvider file", 'AuthUserFile "{where}/htpasswd"',
              "Require valid-user", "</Location>"]
# what "secret" and "hunter2" are in it: htpasswd -s
HTPASSWD = {"secret": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
            "hunter2": "{SHA}87u9ZqY9S/F0eUBXjsPQEDUw4h0="}
UNKNOWN = wbxml.ping_request(600, [("mail%2Fnobody-knows", "Email")])


def basic(text, encoding="utf-8", word="Basic "):
    return word + base64.b64encode(text.encode(encoding)).decode()


def phone_with(site, header, **kw):
    """A phone that sends this Authorization, as it stands."""
    phone = site.phone(**kw)
    phone.authorization = lambda: header
    return phone


# --- guesses ---

def test_each_guess_over_ping_is_the_backends_to_judge(site):
    """From another device: the wrong ones, and the right one too, which the
    backend has accepted from the phone already. So its lock-out counts them,
    and what it says after it is what the stranger hears."""
    site.backend.set(ping_interval=0.1)
    phone, ping = site.held_phone()
    stranger = site.phone(device_id="guesser")
    since = site.backend.mark()
    for guess in ("wrong", "Secret", "secret "):
        stranger.password = guess
        assert stranger.request("Ping", UNKNOWN).status == 401
    site.backend.control(user={"alice": None})  # locked out
    stranger.password = "secret"
    assert stranger.request("Ping", UNKNOWN).status == 401
    seen = site.backend.requests(since, cmd="Ping", device="guesser")
    assert len(seen) == 4
    assert ping.is_held() and site.held() == 1


def test_what_is_refused_for_want_of_room_says_nothing_of_the_guess(make_site):
    """More than DirectPushMaxPassed: right but unproven and wrong passwords
    are answered alike, and none is held."""
    site = make_site(httpd=dict(tune={"DirectPushMaxPassed": "1",
                                      "DirectPushProvoke": "1000"}))
    known, ping = site.held_phone()
    first = site.phone("bob")
    first.start("Ping", UNKNOWN)
    site.backend.wait_for(cmd="Ping", user="bob")
    since = site.backend.mark()
    answers = []
    for number, guess in enumerate(("wrong", "secret", "Secret")):
        guesser = site.phone(password=guess, device_id="guesser%d" % number)
        response = guesser.request("Ping", UNKNOWN)
        answers.append((response.status, response.clear))
    assert len(set(answers)) == 1, answers
    assert site.backend.count(since) == 0
    assert ping.is_held() and site.held() == 1


def test_an_expired_proof_is_told_from_a_wrong_password_by_the_backend_only(
        make_site):
    """Of this very Authorization and device: Status 2 with one folder, at
    once. Any other goes to the backend."""
    site = make_site(httpd=dict(tune={"DirectPushTrust": "2s"}))
    phone = site.in_step("INBOX", "Sent")
    site.wait_until(lambda: phone.ping(["INBOX", "Sent"], 600).folders,
                    "expired")
    answer = phone.ping(["INBOX", "Sent"], 600)
    assert answer.status == 2 and len(answer.folders) == 1
    since = site.backend.mark()
    for kw in (dict(password="wrong"), dict(device_id="another",
                                            password="wrong")):
        stranger = twin(site, phone, **kw) if "device_id" not in kw \
            else site.phone(**kw)
        body = phone.ping_body(["INBOX"], 600)
        assert stranger.request("Ping", body).status == 401
    assert site.backend.count(since, cmd="Ping", status=401) == 2


# --- what ends a proof ---

@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_authorization_ends_the_hold_that_it_opened(site, status):
    """Password changed or account disabled: a Sync on another connection is
    refused, and the Ping that is held under the same credentials ends."""
    phone, ping = site.held_phone()
    site.backend.misbehave(status=status)
    other = twin(site, phone)
    assert other.request("Sync", phone.sync_body("INBOX")).status == status
    assert ping.answer().status in (1, 2)
    since = site.backend.mark()
    body = phone.ping_body(["INBOX"], 600)
    assert phone.request("Ping", body).status == status
    assert site.backend.count(since, cmd="Ping") == 1
    site.backend.behave()
    phone.connect()
    phone.sync_until_done("INBOX")
    assert site.hold(phone).is_held()


def test_a_strangers_401_ends_nothing(site):
    phone, ping = site.held_phone()
    thief = twin(site, phone, password="wrong")
    for cmd in ("Sync", "FolderSync", "Ping"):
        assert thief.request(cmd, phone.sync_body("INBOX")).status == 401
    assert ping.is_held()


def test_a_strangers_ping_does_not_change_what_a_phone_may_leave_out(site):
    """It is refused late: a newer Ping of the phone has come meanwhile."""
    phone, ping = site.held_phone()
    thief = twin(site, phone, password="wrong")
    site.backend.misbehave(cmd="Ping", gate_before="g", times=1)
    refused = thief.start("Ping", phone.ping_body(["INBOX"], 900))
    site.backend.wait_at_gate("g")
    phone.abort()
    site.wait_held(0)
    phone.connect()
    ping = site.hold(phone)
    site.backend.open("g")
    assert refused.wait().status == 401
    with site.published():
        site.mails().deliver("one")
    assert ping.answer().status == 2
    phone.sync_until_done("INBOX")
    assert phone.start_ping().is_held()


# --- what proves nothing ---

def test_neither_options_nor_provision_nor_an_error_is_proof(site):
    """SOGo answers OPTIONS to anybody, Z-Push Provision."""
    phone = site.phone(password="wrong")
    site.backend.misbehave(cmd=["OPTIONS", ""], status=200, ignore=True)
    phone.options()
    site.backend.behave()
    V = wbxml.page("Provision")
    body = wbxml.encode(V("Provision", V("Status", 1)))
    for cmd, rule in (("Provision", dict(body_hex=body.hex())),
                      ("Sync", dict(status=500)), ("Sync", dict(status=449)),
                      ("FolderSync", dict(wbxml_status=126)),
                      ("Sync", dict(body_hex="03016a00"))):
        site.backend.control(rules=[dict(rule, cmd=cmd)])
        phone.request(cmd, body)
    site.backend.behave()
    phone.connect()
    since = site.backend.mark()
    assert phone.request("Ping", UNKNOWN).status == 401
    assert site.backend.count(since, cmd="Ping", status=401) == 1


@pytest.mark.parametrize("header", [
    "Bearer abcdefgh", 'Digest username="alice", realm="x"', "Negotiate YII=",
    "Basic", "Basic ", "Basic ====", basic("alice"), basic(":secret"),
    basic("alice:secret") + "\x01", basic("alice:secret") + " x",
    basic("alice:secret") + ", " + basic("bob:hunter2"),
    basic("ali\0ce:secret"), "Basic\t" + basic("alice:secret", word="")],
    ids=lambda h: repr(h)[:24])
def test_what_is_no_clear_basic_is_the_backends(site, header):
    """Whatever the backend reads into it: nothing is held."""
    site.backend.set(ping_interval=0.1)
    site.httpd.allow("AH00566|AH02427|AH03448")
    phone = phone_with(site, header)
    for cmd, body in (("FolderSync", wbxml.foldersync_request("0")),
                      ("Ping", wbxml.ping_request(1, [("x", "Email")]))):
        phone.connect()
        assert phone.request(cmd, body).status in (200, 400, 401)
    assert site.held() == 0
    assert site.httpd.metric("observed") == 0


@pytest.mark.parametrize("word", ["basic ", "BASIC ", "Basic   "])
def test_the_scheme_in_any_case_and_with_more_blanks(site, word):
    phone = phone_with(site, basic("alice:secret", word=word))
    if word == "Basic   ":
        site.backend.set(ping_interval=0.1)
    response = phone.request("FolderSync", wbxml.foldersync_request("0"))
    if response.status == 401:  # the fixture takes one blank only
        assert phone.request("Ping", UNKNOWN).status == 401
        return
    phone.foldersync()
    phone.sync_until_done("INBOX")
    assert site.hold(phone).is_held()


# --- names and characters ---

def test_a_password_in_two_character_sets_is_two_authorizations(make_site):
    """UTF-8 of phones, ISO-8859-1 of Outlook: what proves one does not prove
    the other, which may be somebody's wrong guess."""
    password = "gr\u00fc\u00dfe"
    site = make_site(users={"alice": password})
    phone, ping = site.held_phone(password=password)
    site.backend.set(ping_interval=0.1)
    latin = phone_with(site, basic("alice:" + password, "iso-8859-1"),
                       device_id=phone.device_id)
    body = phone.ping_body(["INBOX"], 600)
    since = site.backend.mark()
    assert latin.request("Ping", body).status == 401
    assert site.backend.count(since, cmd="Ping", status=401) == 1
    assert ping.is_held()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


def test_a_leading_backslash_and_a_domain_are_the_same_mailbox(make_site):
    """iPhones without a domain send \\user@domain."""
    site = make_site(default_domain="example.org", mailbox="%n")
    for login in ("\\alice@example.org", "EXAMPLE\\Alice", "alice@EXAMPLE.org"):
        phone, ping = site.held_phone(user=login, password="secret")
        site.mails("alice").deliver("one")
        assert ping.answer().folders == [phone.id("INBOX")], login


# --- authenticated by httpd ---

def behind_basic(make_site, lines=(), **kw):
    site = make_site(start=False, **kw)
    path = os.path.join(site.where, "htpasswd")
    with open(path, "w") as f:
        for user in ("alice", "bob"):
            f.write("%s:%s\n" % (user, HTPASSWD[site.users[user]]))
    site.htpasswd = path
    site.httpd_args["modules"] = ["authz_user"]
    site.httpd_args["site"] = [
        line.format(where=site.where) for line in BASIC_FILE] + list(lines)
    site.start()
    site.httpd.allow("AH01617", "AH01618")  # httpd's words for a refusal
    return site


def test_require_valid_user_in_front_of_the_backend(make_site):
    """httpd refuses before us: nothing is held, learnt or ended, and the
    backend sees nothing of it."""
    site = behind_basic(make_site)
    phone, ping = site.held_phone()
    since = site.backend.mark()
    for password in ("wrong", ""):
        thief = twin(site, phone, password=password)
        response = thief.request("Ping", phone.ping_body(["INBOX"], 600))
        assert response.status == 401 and response.get("WWW-Authenticate")
    assert site.backend.count(since) == 0
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]
    phone.sync_until_done("INBOX")
    # changed in httpd's file: the next request is refused by httpd
    os.truncate(site.htpasswd, 0)
    response = phone.request("Ping", phone.ping_body(["INBOX"], 600))
    assert response.status == 401
    assert site.held() == 0


def test_a_backend_that_trusts_httpds_name(make_site):
    """REMOTE_USER decides, the Authorization does not even reach it."""
    site = behind_basic(make_site, [
        'RequestHeader unset Authorization',
        'RequestHeader set Authorization "%s"' % basic("alice:secret")])
    phone, ping = site.held_phone()
    site.mails().deliver("one")
    assert ping.answer().folders == [phone.id("INBOX")]


@pytest.mark.parametrize("rule", [None, "%{tolower:%{REMOTE_USER}}"])
def test_two_names_in_one_request(make_site, rule):
    """httpd has authenticated one (here as a client certificate would), the
    Authorization names another: without DirectPushUser nobody can know whose
    mailbox it is, and nothing is held."""
    fake = ["<Location %s>" % EAS, "AuthBasicFake bob hunter2", "</Location>"]
    site = behind_basic(make_site, fake + (
        ['DirectPushUser "%s"' % rule] if rule else []))
    site.backend.set(ping_interval=0.1)
    phone = site.phone()
    phone.foldersync()
    phone.sync_until_done("INBOX")
    assert {r["user"] for r in site.backend.requests()} == {"bob"}
    if rule:
        ping = phone.start_ping(["INBOX"], 600)
        site.wait_until(lambda: site.held() == 1 or ping.is_answered(),
                        "it is ours")
        assert site.backend.count(cmd="Ping") == 0
        return
    assert phone.ping(["INBOX"], 1).status == 1
    assert site.backend.count(cmd="Ping") == 1
    assert site.held() == 0
    site.httpd.wait_log("whose mailbox is it")


def test_a_name_of_httpds_without_any_authorization(make_site):
    """As of a client certificate alone: there is nothing to remember."""
    site = behind_basic(make_site, [
        "RequestHeader unset Authorization"])
    phone = site.phone()
    assert phone.request("Ping", UNKNOWN).status == 401
    assert phone.request("Ping", UNKNOWN).status == 401
    assert site.backend.count(cmd="Ping", status=401) == 2


# --- in front of SOGo ---

@pytest.fixture
def sogo(make_stack_site):
    return make_stack_site()


def passed(site, n):
    """Pings that went to SOGo: until there are n."""
    site.wait_until(lambda: site.httpd.metric("passed") >= n,
                    lambda: "%d Pings passed" % site.httpd.metric("passed"))
    return site.httpd.metric("passed")


def test_sogo_and_a_wrong_password(sogo):
    """SOGo judges each guess, also the right one of another device."""
    phone, ping = sogo.held_phone(user=sogo.user())
    before = sogo.httpd.metric("passed")
    stranger = sogo.phone(phone.user, device_id=phone.device_id)
    statuses = set()
    for n, guess in enumerate(("wrong", "", "secret ")):
        stranger.password = guess
        statuses.add(stranger.request(
            "Ping", phone.ping_body(["INBOX"], 600)).status)
        assert passed(sogo, before + n + 1) == before + n + 1
    assert statuses <= {401, 403}, statuses
    assert ping.is_held()
    sogo.deliver(phone.user)
    sogo.told(phone, ping=ping)


def test_options_proves_nothing_in_front_of_sogo(sogo):
    """To OPTIONS without a name it says 200; the next Ping is judged."""
    phone = sogo.phone(sogo.user(), password="wrong")
    phone.options(with_auth=False)
    assert phone.options().status == 401
    assert phone.request("Ping", UNKNOWN).status in (401, 403)
    assert sogo.httpd.metric("passed") == 1 and sogo.held() == 0


def test_sogo_and_a_changed_password(sogo):
    """While a Ping is held: the change is announced, SOGo refuses the Sync,
    and after that the Ping; the new password is proof again."""
    phone, ping = sogo.held_phone(user=sogo.user())
    sogo.stack.set_password(phone.user, "another")
    sogo.deliver(phone.user)
    sogo.told(phone, ping=ping)
    before = sogo.httpd.metric("passed")
    body = phone.sync_body("INBOX")
    assert phone.request("Sync", body).status in (401, 403)
    response = phone.request("Ping", phone.ping_body(["INBOX"], 600))
    assert response.status in (401, 403)
    assert passed(sogo, before + 1) == before + 1
    phone.password = "another"
    phone.sync_until_done("INBOX")
    assert sogo.hold(phone).is_held()


def test_sogo_and_a_user_who_is_gone(sogo):
    """Removed from SOGo's user source; `directpushctl forget` ends his Ping,
    the next one is SOGo's to refuse."""
    phone, ping = sogo.held_phone(user=sogo.user())
    sogo.stack.postgres.sql("delete from sogo_users where c_uid = '%s'"
                            % phone.user)
    sogo.stack.forget_cached()
    sogo.watcher.ctl("forget", phone.user)
    ping.answer()
    response = phone.request("Ping", phone.ping_body(["INBOX"], 600))
    assert response.status in (401, 403)
    assert sogo.held() == 0
