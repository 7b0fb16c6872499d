"""What surrounds a held Ping: modules that follow a request to its end, the
child's end, the log."""
import pytest


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("keep", ["auto", "always"])
def test_a_request_after_the_time_for_bodies(make_site, tls, keep):
    """mod_reqtimeout's clock for the Ping's body does not go on while it is
    held: the connection's next request comes later than that."""
    site = make_site(httpd=dict(
        main=["RequestReadTimeout header=20 body=1"],
        site=["DirectPushKeepRequests " + keep]))
    phone, ping = site.held_phone(tls=tls)
    assert ping.is_held(1.2)
    sync = phone.start_sync("INBOX")
    assert ping.answer().status == 1
    assert sync.wait().body == b""
    assert not phone.wire.is_ended
