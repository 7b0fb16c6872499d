"""Fixtures: a private site per test, phones, and what is shown on failure.

Programs come from $DP_BUILD_DIR (default: _build of this tree). DP_KEEP=1
keeps the state directories.
"""
import os
import resource
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dp import sanitizers  # noqa: E402
from dp.httpd import Certificate  # noqa: E402
from dp.site import Site, temp_dir  # noqa: E402
from dp.stack.shared import end_session, shared_stack  # noqa: E402
from dp.stack.site import StackSite  # noqa: E402


@pytest.fixture(autouse=True)
def no_report(request):
    """Of a sanitizer, if the build has one."""
    marker = request.node.get_closest_marker("unsanitized")
    if marker and sanitizers.library():
        pytest.skip(marker.args[0])
    yield
    found = sanitizers.reports()
    assert not found, "reports:\n" + "\n".join(found)


@pytest.fixture(scope="session")
def certificate():
    where = temp_dir()
    yield Certificate(where)
    shutil.rmtree(where, ignore_errors=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when == "call":
        for site in getattr(item, "dp_sites", []):
            for name, text in site.logs():
                report.sections.append((name, text))


def _sites(request, new):
    request.node.dp_sites = sites = getattr(request.node, "dp_sites", [])
    ours = []

    def make(start=True, **kw):
        site = new(start=False, **kw)
        sites.append(site)
        ours.append(site)
        if start:
            site.start()
        return site
    yield make
    failures = []
    for site in ours:
        site.stop()
        failures += site.failures
    if not failures:
        for site in ours:
            site.remove()
    sites.clear()  # pytest keeps the node; 5,000 phones' bytes with it
    assert not failures, "after the test:\n" + "\n".join(
        failures + ["state kept in " + site.where for site in ours])


@pytest.fixture(scope="session")
def stack():
    """SOGo, Dovecot, PostgreSQL and memcached: one set for the session."""
    return shared_stack()


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        end_session()


@pytest.fixture
def make_site(request, certificate):
    """make_site(**arguments of Site). What went wrong beneath fails the test:
    unexpected lines in the error log, crashes, a backend's traceback."""
    yield from _sites(request, lambda **kw: Site(certificate, **kw))


@pytest.fixture
def make_stack_site(request, certificate, stack):
    """make_stack_site(**arguments of StackSite): Apache and directpushd in
    front of the real stack."""
    yield from _sites(request, lambda **kw: StackSite(certificate, stack,
                                                      **kw))


@pytest.fixture
def open_files():
    """open_files(n): so many descriptors, while the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def wanted(n):
        n = max(soft, n)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n, max(hard, n)))
        except (ValueError, OSError):
            pytest.skip("not allowed to open %d files" % n)
    yield wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def site(make_site, request):
    """The usual site; @pytest.mark.site(**arguments) changes it."""
    marker = request.node.get_closest_marker("site")
    return make_site(**(marker.kwargs if marker else {}))


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "site(**kw): arguments of dp.site.Site for this test")
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))  # to gdb.out
    config.addinivalue_line(
        "markers", "unsanitized(reason): not with a build for a sanitizer")
    config.addinivalue_line("markers", "slow: takes long; for --full")
