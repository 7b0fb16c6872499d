"""Proofs: refused in httpd's own words; expired."""
import time

import pytest


@pytest.mark.parametrize("site_lines", [
    ["ProxyErrorOverride On"],
    ["ProxyErrorOverride On", 'ErrorDocument 401 "/sorry.html"']],
    ids=["override", "document"])
def test_a_401_in_words_of_httpd_is_a_401_of_the_backend(make_site,
                                                         site_lines):
    """httpd's own error page does not go through the observer's filter."""
    site = make_site(httpd=dict(site=site_lines))
    phone = site.in_step()
    site.backend.control(user={"alice": "new"})
    assert phone.request("Sync", phone.sync_body("INBOX")).status == 401
    assert phone.request("Ping", phone.ping_body(["INBOX"], 600)).status == 401
    site.backend.wait_for(cmd="Ping", status=401)


def test_expired_proof_and_more_folders_than_allowed(make_site):
    """Of those beyond DirectPushMaxFolders nothing is kept but their number."""
    site = make_site(httpd=dict(tune={"DirectPushTrust": "1s",
                                      "DirectPushMaxFolders": "2"}))
    phone = site.synced_phone()
    time.sleep(1.1)
    many = ["f%d" % i for i in range(3000)]
    for _ in range(10):
        answer = phone.ping(many, 600)
        assert answer.status == 2 and answer.folders[0] in many[:2]
