"""The demonstration of build/quickstart --sogo: a phone in front of a real SOGo
and Dovecot, a mail, an event, and what a phone of one's own needs to know.
"""
import argparse
import secrets
import shutil
import signal
import sys
import time

from demo import (DEFAULTS, LIMIT_S, PACE_S, Device, Failed, follow, report,
                  say, server_version, show, sign_in, step)
from dp.httpd import Certificate
from dp.process import free_ports, wait_until
from dp.site import temp_dir
from dp.stack.dav import DavClient
from dp.stack.shared import end_session, shared_stack
from dp.stack.site import StackSite, proxy_lines

SUBJECT = "Lunch at noon?"
EVENT = "Lunch with Bob"
DAV = ["<Location /SOGo/dav>", "DirectPushDAV On", "</Location>"]


def outer_lines(site, address, port):
    """A virtual host that real phones reach."""
    where = "[%s]:%d" % (address, port) if ":" in address else "%s:%d" % (
        address, port)
    return (["Listen %s https" % where, "<VirtualHost %s>" % where,
             "ServerName phones.example.test", "SSLEngine on",
             "DirectPush On", "DirectPushRealm mail.example.test"]
            + proxy_lines(site.sogo.port) + DAV + ["</VirtualHost>"])


def start(keys, address):
    step(1, "Private servers")
    stack = shared_stack()
    site = StackSite(
        Certificate(keys), stack, dav=["interval = 5"], start=False,
        directives=DAV,
        httpd={"tune": DEFAULTS, "children": 2, "threads": 25})
    port = 0
    if address:
        port, = free_ports(1)
        site.httpd_args["main"] = outer_lines(site, address, port)
    site.start()
    show("%s, event MPM: https://localhost:%d", server_version(),
         site.httpd.tls_port)
    show("SOGo: port %d; Dovecot: IMAP port %d; state in %s", stack.sogo.port,
         stack.dovecot.port, stack.where)
    show("directpushd watches %s and SOGo's calendars", site.watcher.maildir)
    return site, port


def hold(site, device):
    """Until a Ping waits with nothing left to announce."""
    step(3, "Its Ping is held")
    end = time.monotonic() + LIMIT_S
    ping = device.until("ping", "the first Ping")
    while True:
        event = device.next(device.last_answer_at + 2 * PACE_S
                            - time.monotonic())
        if event is not None and event["event"] == "ping":
            ping = event
        if event is None and device.last is ping and site.held() == 1:
            break
        if time.monotonic() > end:
            raise Failed("no Ping is held: %d held, the last event is %r"
                         % (site.held(), device.last))
    show("for up to %d s; held by Apache: %d, SOGo's workers busy: %d",
         ping["heartbeat"], site.held(), site.sogo.workers_busy())


def wake(device, number, what, change, title):
    """One change, and what the phone makes of it."""
    step(number, what)
    began = time.monotonic()
    change()
    done = time.monotonic()
    woken = device.until("woken", "the wake-up")
    show("the phone is told after %.0f ms (the server's part took %.0f ms): %s",
         (woken["at"] - began) * 1000, (done - began) * 1000,
         ", ".join(f["name"] for f in woken["folders"]))
    for _ in range(len(woken["folders"])):
        got = device.until("sync", "the Sync after the wake-up")
        titles = [i["title"] for i in got["items"]]
        show("Sync of %s: %s", got["name"], ", ".join(
            '"%s"' % t for t in titles) or "nothing")
        if title in titles:
            return
    raise Failed("the Syncs did not bring %r" % title)


def explain(site, user, password, address, port):
    say("\nIt goes on until Ctrl-C. In a phone, as an Exchange or ActiveSync "
        "account:\n")
    server = ("%s:%d" % ("this machine's address" if address == "0.0.0.0"
                         else address, port) if address
              else "localhost:%d   (--listen ADDRESS opens it to phones)"
              % site.httpd.tls_port)
    for name, value in (("Server", server), ("E-mail",
                                             user + "@example.org"),
                        ("User name", user), ("Password", password),
                        ("Domain", "(leave it empty)"),
                        ("SSL", "on; accept the certificate, which nobody "
                                "has signed")):
        say("  %-10s %s", name, value)
    say("\nDeliver a mail, or change the calendar:\n")
    say("  printf 'Subject: Hello\\n\\nIt works.\\n' | setpriv --reuid mail "
        "--regid mail \\\n      --clear-groups -- /usr/lib/dovecot/dovecot-lda "
        "-o log_path=/dev/stderr \\\n      -o info_log_path=/dev/null -c %s -d "
        "%s", site.stack.dovecot.conf, user)
    say("  any CalDAV client: https://localhost:%d/SOGo/dav/%s/Calendar/"
        "personal/", site.httpd.tls_port, user)
    say("  curl http://127.0.0.1:%d/directpush-status\n",
        site.httpd.admin_port)


def demonstrate(site, port, devices, arguments):
    password = secrets.token_hex(4)
    user = site.user(password)
    dav = DavClient(site.httpd.plain_port, user, password)
    dav.put("Calendar", "Holidays")  # SOGo keeps quiet about a first entry
    devices.append(Device(site, password, user))
    device = devices[0]
    sign_in(device)
    hold(site, device)
    wake(device, 4, "A mail arrives by dovecot-lda",
         lambda: site.deliver(user, SUBJECT), SUBJECT)
    wait_until(lambda: site.held() == 1 and time.monotonic()
               > device.last_answer_at + PACE_S,
               "the next Ping is held, and DirectPushPace over", LIMIT_S)
    wake(device, 5, "A computer puts an event into the calendar (CalDAV)",
         lambda: dav.put("Calendar", EVENT), EVENT)
    wait_until(lambda: site.held() == 1, "the next Ping is held", LIMIT_S)
    say("\nDone: held, woken by a mail and by an event, held again.")
    if not arguments.once:
        explain(site, user, password, arguments.listen, port)
        follow(device)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--listen", default="")
    arguments = parser.parse_args()

    def end(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    keys = temp_dir()
    site, devices, status = None, [], 1
    try:
        site, port = start(keys, arguments.listen)
        demonstrate(site, port, devices, arguments)
        status = 0
    except KeyboardInterrupt:
        say("\nStopping.")
        status = 130 if arguments.once else 0
    except (Failed, AssertionError, OSError) as error:
        if site is None:
            say("This did not work: %s", error)
        else:
            report(site, error)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for device in devices:
            device.stop()
        if site is not None:
            site.stop()
            for failure in site.failures:
                say("at the end: %s", failure)
                status = status or 1
            shutil.rmtree(site.where, ignore_errors=True)
        end_session()
        shutil.rmtree(keys, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
