"""Module and watcher of two versions, whose buses the other can't read: one is
upgraded before the other, or goes back. Phones sync more often until both are of
one kind, and once then; no change is lost, and the log says what to do."""
import os
import re

import pytest

from dp.process import build_dir

OTHER = build_dir() + "-abi"
ADVICE = r"cannot use the change bus .*made by another version of directpushd"


@pytest.fixture
def old_site(make_site):
    assert os.path.exists(os.path.join(OTHER, "directpushd")), (
        "build/check --only e2e builds the other version (build_other_abi in "
        "build/lib/compile.sh)")
    # an hour, so that nothing is told by accident
    site = make_site(httpd=dict(tune={
        "DirectPushDrain": "2s", "DirectPushFallbackInterval": "1h 1h",
        "DirectPushProvoke": "1000"}))
    site.httpd.allow("cannot use the change bus", "directpushd has gone away")
    return site


def exchange_watcher(site, build):
    """As a package does it: the service is restarted."""
    site.watcher.build = build
    site.watcher.restart()


def exchange_module(site, build):
    """… and httpd is reloaded, while phones wait in the old children."""
    site.httpd.build = build
    site.httpd.graceful()


def advised(site):
    """Lines that tell what to do."""
    return len(site.httpd.grep(ADVICE))


def syncs(site, phone, since):
    return site.backend.count(since, cmd="Sync",
                              device=phone.device_id)


def catches_up(site, phones, since, mails):
    """Each phone is told of its mail, for the price of one Sync, and from then
    on at once."""
    for phone in phones:
        phone.connect()
        site.told(phone)
        got = phone.sync_until_done("INBOX")
        assert len(got) == 1, "the mail that came meanwhile"
    pings = [site.hold(phone) for phone in phones]
    for phone in phones:
        assert syncs(site, phone, since) <= 2, "one, and one that says no more"
    for phone, ping in zip(phones, pings):
        site.told(phone, ping=ping, mail=site.mails(phone.user).deliver("now"))
        assert len(phone.sync_until_done("INBOX")) == 1


@pytest.mark.parametrize("first", ["watcher", "module"])
def test_one_after_the_other_and_back(old_site, first):
    site = old_site
    steps = [exchange_watcher, exchange_module]
    if first == "module":
        steps.reverse()
    phones = [site.held_phone(user=user)[0] for user in site.users]
    for build in (OTHER, None):
        pings = [site.hold(phone) for phone in phones]
        before = advised(site)
        steps[0](site, build)
        site.wait_until(lambda: advised(site) > before, lambda: "advice in\n"
                        + site.httpd.errors_text())
        since = site.backend.mark()
        for phone in phones:
            site.mails(phone.user).deliver("while they differ")
        steps[1](site, build)
        site.wait_until(lambda: site.watcher.answers(), "directpushd answers")
        catches_up(site, phones, since, pings)
        assert advised(site) == before + 1, "one line, not one per child"
        assert not site.httpd.grep("gives no sign of life"), \
            "the watcher lives; it is of another version"
    assert re.search("restart directpushd and httpd", site.httpd.grep(
        ADVICE)[0])
