"""What the restarts were like, as a table."""
from common.tables import columns

HEAD = ("", "gone", "answered", "busiest", "ended", "told", "new", "per s",
        "peak", "resumed", "none in", "again", "needless", "apache", "largest", "watcher",
        "reset", "lost", "not told", "wrong", "stay", "missing")
UNITS = ("", "s", "s", "tenth", "Pings", "Pings", "conn.", "", "per s", "",
         "40 s", "", "Syncs", "MiB", "MiB", "MiB", "", "", "", "", "", "")
BAD = ("reset", "lost", "untold", "wrong", "stays", "missing")


def _row(i, row):
    mib = ["%.1f" % (row[k] / 1024) for k in ("apache_kb", "largest_kb",
                                              "directpushd_kb")]
    bad = ["%d" % row[k] for k in BAD]
    if "gone_s" not in row:
        return ["before"] + [""] * 12 + mib + bad
    return ["%d" % i, "%.1f" % row["gone_s"],
            "%.1f to %.1f" % (row["first_s"], row["last_s"]),
            "%.0f %%" % (100 * row["busiest"]), "%d" % row["drained"],
            "%d" % row["told"], "%d" % row["connections"],
            "%.0f" % row["per_second"], "%d" % row["peak"],
            "%d" % row["resumed"], "%d" % row["unconnected"],
            "%d" % row["again"],
            "%d" % row["needless"]] + mib + bad


def _flat(rows):
    """From the second restart on: the first one makes httpd's own structures
    as large as they become."""
    rows = rows[2:]
    if len(rows) < 2:
        return []
    return ["%s: %.1f MiB after restart 2, %.1f after the last" % (
        name, rows[0][key] / 1024, rows[-1][key] / 1024)
        for name, key in (("memory of Apache's processes", "apache_kb"),
                          ("of directpushd", "directpushd_kb"))]


def text(plan, rows, troubles):
    out = ["%d phones, %s, %d graceful restarts, DirectPushDrain %ds, "
           "%g mails per second to %d phones each" % (
               plan.phones, "TLS 1.3" if plan.transport == "tls" else "plain",
               plan.times, plan.drain_s, plan.mails, plan.per_user), "",
           columns([HEAD, UNITS] + [_row(i, r) for i, r in enumerate(rows)]),
           ""] + _flat(rows)
    for i, row in enumerate(rows):
        out += ["restart %d, phone %d, at %d: %s during %s" % (i, d, us, what,
                                                               during)
                for d, us, what, during in row["troubles"]]
    out += ["FAILED: " + t for t in troubles]
    is_good = (not troubles and len(rows) == plan.times + 1
               and all(r["is_good"] for r in rows))
    out.append("Nothing was lost." if is_good else "Something was lost.")
    return "\n".join(out), is_good
