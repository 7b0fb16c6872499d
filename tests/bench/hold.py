#!/usr/bin/python3
"""What held Pings cost, and how fast one of them is woken.

    tests/bench/hold.py [--phones 10000] [--wakes 300] [--tls] [--json FILE]
    tests/bench/hold.py --quick

A real Apache (4 children of 32 threads), the real watcher, real Maildirs and
the backend of the tests; every phone does its FolderSync and Syncs, then Pings
its INBOX. One clock measures from just before the rename into new/ to the last
byte of the answer; the client is Python and costs some 60 us of it. Prints a
table; asserts nothing about time.
"""
import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

from dp.httpd import Certificate  # noqa: E402
from dp.site import Site  # noqa: E402


def pss_kb(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += next(int(line.split()[1]) for line in f
                          if line.startswith("Pss:"))
    return total


def cpu_s(pids):
    ticks = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def progress(what, n, of):
    if sys.stderr.isatty() or n == of:
        sys.stderr.write("\r%s %d of %d%s" % (what, n, of,
                                              "\n" if n == of else ""))
        sys.stderr.flush()


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def ready(site, user, device, tls):
    """A phone in step, its Ping held; what is announced first is synced."""
    phone = site.phone(user, tls=tls, device_id=device)
    phone.foldersync()
    phone.sync_until_done("INBOX")
    return phone, phone.start_ping(["INBOX"], 3500)


def settle(phones):
    """Phones whose Ping was answered at once sync and Ping again."""
    again = 0
    for i, (phone, ping) in enumerate(phones):
        while ping.is_answered():
            again += 1
            answer = ping.answer()
            if answer.status == 7:
                phone.foldersync()
            else:
                phone.sync_until_done("INBOX")
            ping = phone.start_ping(["INBOX"], 3500)
        phones[i] = (phone, ping)
    return again


def measure(args):
    users = {"u%05d" % i: "secret" for i in range(max(
        args.probes, args.phones // args.per_user))}
    names = list(users)
    where = tempfile.mkdtemp(prefix="dp-bench-")
    os.chmod(where, 0o755)
    site = Site(Certificate(where), users=users, folders=(),
                httpd=dict(children=4, threads=32, async_factor=1000,
                           max_keepalive=100,
                           main=["DirectPushProvoke 1000"]))
    out = {"phones": args.phones, "tls": args.tls}
    try:
        servers = site.httpd.children()
        site.phone("u00000", tls=args.tls).foldersync()
        before = pss_kb(servers)
        phones, begin = [], time.monotonic()
        for i in range(args.phones):
            # the first `probes` users have one device each
            user = names[i] if i < args.probes else names[
                args.probes + i % (len(names) - args.probes or 1)
                if len(names) > args.probes else i % len(names)]
            phones.append(ready(site, user, "d%06d" % i, args.tls))
            progress("phones", i + 1, args.phones)
        out["ramp_s"] = time.monotonic() - begin
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 3:  # provoked Syncs come late
            if settle(phones):
                quiet_since = time.monotonic()
        site.wait_held(args.phones)
        servers = site.httpd.children()
        out["pss_per_hold_kb"] = (pss_kb(servers) - before) / args.phones
        out["watcher_pss_kb"] = pss_kb([site.watcher.pid])
        out["busy_workers"] = site.httpd.busy_workers()
        cpu = cpu_s(servers + [site.watcher.pid])
        begin = time.monotonic()
        while time.monotonic() - begin < args.idle:
            time.sleep(args.idle / 10)
        out["idle_cpu_percent"] = 100 * (
            cpu_s(servers + [site.watcher.pid]) - cpu) / args.idle
        out["wakes_ms"] = wake(site, phones[:args.probes], names, args)
        out["held_after"] = site.held()
    finally:
        site.stop()
        site.remove()
    return out


def wake(site, probes, names, args):
    times = []
    for i in range(args.wakes):
        which = i % len(probes)
        phone, ping = probes[which]
        renamed = site.mails(names[which]).deliver("mail %d" % i).began
        answer = ping.answer()
        times.append((time.monotonic() - renamed) * 1000)
        assert answer.status == 2, answer
        phone.sync_until_done("INBOX")
        probes[which] = (phone, phone.start_ping(["INBOX"], 3500))
        progress("wakes", i + 1, args.wakes)
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--phones", type=int, default=10000)
    parser.add_argument("--per-user", type=int, default=10)
    parser.add_argument("--probes", type=int, default=50)
    parser.add_argument("--wakes", type=int, default=300)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--quick", action="store_true",
                        help="few of everything: does it work")
    args = parser.parse_args()
    if args.quick:
        args.phones, args.wakes = 500, 20
    args.probes = min(args.probes, args.phones)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    out = measure(args)
    ms = out["wakes_ms"]
    print("| figure | value |\n|---|---|")
    for name, value in (
            ("phones held, %s" % ("TLS" if args.tls else "plain"),
             "%d" % out["phones"]),
            ("KB per hold (PSS of all children)",
             "%.1f" % out["pss_per_hold_kb"]),
            ("rename into new/ to last byte: median",
             "%.2f ms" % statistics.median(ms)),
            ("… p99 / max", "%.2f / %.2f ms" % (quantile(ms, 0.99), max(ms))),
            ("CPU while idle, Apache and watcher",
             "%.2f %% of a core" % out["idle_cpu_percent"]),
            ("busy workers", "%d" % out["busy_workers"])):
        print("| %s | %s |" % (name, value))
    if args.json:
        with open(args.json, "w") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
