"""The figures as one SVG: memory, wakes and storms over the number of phones,
plain and TLS."""
from common.drawing import ROW, Scale, Sheet

from .report import NAMES

MEMORY = Scale([(1, "1 KB"), (3, "3 KB"), (10, "10 KB"), (30, "30 KB"),
                (100, "100 KB")])
WAKES = Scale([(10, "10 µs"), (100, "0.1 ms"), (1000, "1 ms"),
               (10000, "10 ms"), (100000, "0.1 s")])
STORMS = Scale([(1000, "1,000"), (10000, "10,000"), (100000, "100,000"),
                (1000000, "1,000,000")])
KINDS = {"ours": "with", "nchan": "without"}


def _part(sheet, f, title, scale, values, words, unit):
    """Rows of sizes. @param values  (side, transport, n) to a list: the first
    is a full point, others are hollow"""
    sheet.head(title)
    sheet.axis(scale, len(f.transports) * len(f.sizes))
    for transport in f.transports:
        for n in f.sizes:
            label = "%s, %s phones" % (NAMES[transport], "{:,}".format(n))
            sheet.row(label)
            both = {side: [v for v in values(side, transport, n)
                           if v is not None] for side in KINDS}
            for there in both.values():
                if len(there) > 1:
                    sheet.span(scale.x(there[0]), scale.x(there[-1]))
            for side, kind in KINDS.items():
                there = both[side]
                for i, value in enumerate(there):
                    sheet.point(kind, scale.x(value), is_hollow=i > 0)
                if there:
                    words.append("%s, %s, %s: %s %s." % (
                        title, label, side,
                        " / ".join("%.4g" % v for v in there), unit))
            sheet.y += ROW
    sheet.y += 16


def svg(f):
    """@return the file's text"""
    sheet, words = Sheet(), []
    sheet.y += 8
    sheet.legend([("with", "mod_directpush"), ("without", "nginx with nchan")])
    storms = ("three storms" if f.about["storms"] == 3 else "a storm")
    _part(sheet, f, "Memory per held request; hollow: after " + storms, MEMORY,
          lambda side, transport, n: [
              f.memory_kb(side, transport, n, when)
              for when in ("fresh", "after")], words, "KB")
    _part(sheet, f, "From a change to the answer, median; hollow: 99 of 100",
          WAKES, lambda side, transport, n: [
              f.wake_us(side, transport, n, q) for q in ("p50", "p99")],
          words, "µs")
    _part(sheet, f, "All are answered: answers per second", STORMS,
          lambda side, transport, n: [f.storm(side, transport, n)], words,
          "per second")
    return sheet.svg("Held requests: mod_directpush and nginx with nchan",
                     words)
