"""The figures out of the raw numbers, and the tables."""
import math
import os
import statistics
import time

from common.tables import columns, table, version

from . import day
from .rig import WORKERS

SIDES = {"without": "SOGo alone", "with": "with the module"}
WAYS = {"module": "with the module",
        "raised": "SOGo alone, a worker for each phone, limits raised",
        "shipped": "SOGo alone, a worker for each phone, limits as shipped "
                   "(10 s)",
        "scheduled": "no push: a Sync every five minutes"}


def about(plan, ping_limit):
    """What is needed to understand the numbers."""
    return {"cpus": os.cpu_count(), "workers": WORKERS,
            "date": time.strftime("%Y-%m-%d"), "bound_s": plan.bound_s,
            "ping_limit_s": ping_limit,
            "versions": {p: version(p) for p in (
                "apache2-bin", "sogo", "dovecot-core", "postgresql-common")}}


def quantile(values, q):
    """Of seconds; None among them is for ever."""
    values = sorted(math.inf if v is None else v for v in values)
    if q == 0.5:
        low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
        return high if math.isinf(high) else (low + high) / 2
    return values[min(len(values) - 1, math.ceil(q * len(values)) - 1)]


class Figures:
    """Medians and sums, by side and number of phones (as in `phones`)."""

    def __init__(self, raw):
        self.raw = raw
        self.phones = sorted(raw["with"], key=int)
        self.bound_s = raw["about"]["bound_s"]
        self.days = day.ways(raw)

    def request(self, side, n, name):
        return quantile(self.raw[side][n][name], 0.5)

    def latency(self, side, n, q=0.5, how="rename"):
        return quantile(self.raw[side][n][how]["latency"], q)

    def told(self, side, n):
        """(how many were told in time, of how many)"""
        all_ = self.raw[side][n]["rename"]["latency"]
        return sum(v is not None for v in all_), len(all_)

    def memory_mib(self, side, n):
        return sum(self.raw[side][n]["memory_mib"].values())

    def cpu_percent(self, side, n):
        return 100 * sum(self.raw[side][n]["cpu"].values())

    def worker_mib(self):
        """Memory of a sogod worker that holds a Ping."""
        few = self.phones[0]
        return (self.raw["without"][few]["memory_mib"]["SOGo"]
                / self.raw["about"]["workers"])

    def nobody(self, side, name):
        return quantile(self.raw["reference"][side][name], 0.5)

    def ratio(self):
        """Sync of one more phone: all others wait, to nobody does."""
        turns = self.raw["with"][self.phones[-1]]["by_turns"]
        return (statistics.median(turns["held"])
                / statistics.median(turns["none"]))

    def needless(self):
        """(announcements, mails) of all that were measured with the module"""
        said = mails = 0
        for n in self.phones:
            for how in ("rename", "lmtp"):
                one = self.raw["with"][n][how]
                said += one["counts"].get("ping status 2", 0)
                mails += len(one["latency"])
        return said, mails

    # --- as words ---

    def seconds(self, value):
        if math.isinf(value):
            return "> %d s" % self.bound_s
        if value < 0.0995:
            return "%.*f ms" % (1 if value < 0.01 else 0, value * 1000)
        return "%.*f s" % (2 if value < 1 else 1, value)

    def latencies(self, side, n, how="rename"):
        median = self.latency(side, n, 0.5, how)
        if math.isinf(median):
            return "%s (%d of %d told)" % ((self.seconds(median),)
                                           + self.told(side, n))
        return "%s (%s)" % (self.seconds(median), self.seconds(
            self.latency(side, n, 0.95, how)))


def _rows(figures):
    """(what, side, [for each number of phones])"""
    f = figures
    for name, what in (("sync", "a Sync of one more phone"),
                       ("options", "... its OPTIONS")):
        for side, title in SIDES.items():
            yield what, title, [f.seconds(f.request(side, n, name))
                                for n in f.phones]
    for side, title in SIDES.items():
        yield ("from a mail in `new/` to the answer of the Ping, median "
               "(95 of 100)", title, [f.latencies(side, n) for n in f.phones])
    yield ("... from its last byte in Dovecot's LMTP server", SIDES["with"],
           [f.latencies("with", n, "lmtp") for n in f.phones])
    for side, title in SIDES.items():
        yield "memory of all servers", title, [
            "%d MiB" % f.memory_mib(side, n) for n in f.phones]
    for side, title in SIDES.items():
        yield "processor while nothing happens, of one core", title, [
            "%.1f %%" % f.cpu_percent(side, n) for n in f.phones]


def _waiting_table(figures):
    yield ["%d SOGo workers; so many phones wait:" % WORKERS, ""] + [
        n for n in figures.phones]
    before = None
    for what, side, values in _rows(figures):
        yield [what if what != before else "", side] + values
        before = what


def _day_table(figures):
    yield ["a day of one phone", "radio wakes, no mail", "100 mails",
           "kB, no mail", "100 mails", "a mail is known after"]
    few = figures.phones[0]
    delay = {"module": figures.seconds(figures.latency("with", few)),
             "raised": figures.seconds(figures.latency("without", few)),
             "scheduled": "%d s" % (day.SCHEDULE / 2)}
    delay["shipped"] = delay["raised"]
    for way, title in WAYS.items():
        days = figures.days[way]
        yield [title] + ["%d" % days[n].wakes for n in (0, 100)] + [
            "%d" % (days[n].bytes / 1000) for n in (0, 100)] + [delay[way]]


def sentences(figures):
    """What the tables do not say."""
    f, raw = figures, figures.raw
    most = f.phones[-1]
    said, mails = f.needless()
    versions = raw["about"]["versions"]
    return [
        "SOGo %s, Apache %s, %d cores, %s." % (
            versions["sogo"], versions["apache2-bin"], raw["about"]["cpus"],
            raw["about"]["date"]),
        "Nobody waits: a Sync takes %s with the module and %s without, an "
        "OPTIONS %s and %s." % tuple(
            f.seconds(f.nobody(side, name)) for name in ("sync", "options")
            for side in ("with", "without")),
        "By turns, %s phones held and none: a Sync takes %.2f times as long "
        "(medians of %d each)." % (
            most, f.ratio(), len(raw["with"][most]["by_turns"]["held"])),
        "While %s wait, SOGo has %.2f requests at a time: directpushd's looks "
        "at calendars and address books, one per user and minute. They are "
        "what the processor is used for." % (
            most, raw["with"][most]["requests_at_sogo"]),
        "SOGo alone can hold as many Pings as it has workers. One has %d MiB: "
        "for %s phones that would be %.1f GiB." % (
            f.worker_mib(), most, f.worker_mib() * int(most) / 1024),
        "With the module %d mails led to %d announcements." % (mails, said),
    ]


def text(figures):
    """For a terminal."""
    return "\n\n".join([columns(_waiting_table(figures)).replace("`", ""),
                        columns(_day_table(figures)),
                        "\n".join(sentences(figures))])


def markdown(figures):
    """For the README."""
    return "\n\n".join([table(_waiting_table(figures)),
                        table(_day_table(figures)),
                        "\n".join(sentences(figures))]).replace("|  |", "| |")
