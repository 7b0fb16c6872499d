"""The site, its phones, and the restarts."""
import os
import time

from common.progress import say
from common.usage import Usage
from scale.load import Load, LoadFailed
from scale.measure import LOAD
from scale.ours import Mail, Ours
from scale.plan import Plan

from judge import RESET, UNCONNECTED, Judge, Span, Trace
from post import Post, now_us

# Limits for conditions, not measures: a child that is there so much later than
# DirectPushDrain stays; a mail of which nobody is told while nothing else happens
# for so long either, is not told.
STAYS_S = 60
TELLS_S = 60


def _is_there(pid):
    return os.path.exists("/proc/%d" % pid)


class Play:
    """@param plan  phones, times, transport (tls or plain), drain_s, per_user,
    mails (per second), children"""

    def __init__(self, plan, where, certificate):
        self.plan = plan
        self.users = -(-plan.phones // plan.per_user)
        self.rows, self.troubles = [], []
        sizes = Plan([plan.phones], 1, children=plan.children)
        self.mail = Mail(self.users)
        self.site = Ours(where, certificate, self.mail, sizes, plan.phones,
                         plan.per_user)
        # as Debian has them, but for what the drain is
        self.site.httpd_args.update(keepalive_timeout=5, max_keepalive=100)
        self.site.httpd_args["main"] += ["DirectPushDrain %ds" % plan.drain_s,
                                         "ListenBacklog 4096"]
        self.post = Post(self.mail, self.users, plan.mails)
        self.site.backend_trace = os.path.join(self.site.where, "syncs")
        self.judge = Judge(Trace(os.path.join(self.site.where, "trace")),
                           Trace(self.site.backend_trace), plan.phones,
                           plan.per_user, self.post.mails)

    # --- the whole ---

    def run(self):
        """@return rows of what was measured; `troubles` has what went wrong"""
        try:
            self._run()
        except (AssertionError, OSError, LoadFailed) as e:
            self.troubles.append(str(e))
        finally:
            self.troubles += self.site.stop()
            self.post.stop()
            self.mail.remove()
            if not self.troubles and all(row["is_good"] for row in self.rows):
                self.site.remove()
            else:
                self.post.write(os.path.join(self.site.where, "mails"))
                say("kept: " + self.site.where)
        return self.rows

    def _run(self):
        self.site.start()
        self.post.start(self.site.watcher.socket)
        n, times = self.plan.phones, self.plan.times
        say("%d phones come" % n)
        load = Load(self.site.where, n, ["hold=%d" % n, "pause=ready"]
                    + ["pause=restart"] * times + ["hold=%d" % n, "quit"],
                    LOAD + ["--trace", self.judge.trace.path]
                    + self.site.arguments(self.plan.transport),
                    {"ready": self._ready, "restart": self._restart})
        load.run()

    # --- at the pauses ---

    def _ready(self):
        span = Span()
        self._settle(span)
        self.rows.append(dict(self._judged(span, []), **self._memory()))

    def _restart(self):
        httpd, span = self.site.httpd, Span()
        old = httpd.children()
        self.post.come()
        began_us = now_us()
        httpd.graceful()
        stays = self._until_gone(old)
        gone_us = now_us()
        self.post.rest()
        self._settle(span)
        row = dict(self._judged(span, stays),
                   gone_s=(gone_us - began_us) / 1e6, **self._memory())
        row.update(self._spread(span, began_us), mails=self.post.delivered)
        row.update(self._handshakes(span))
        self.rows.append(row)
        say("restart %d: old children gone after %.1f s, %d new connections, "
            "%d reset, %d lost, %d not told" % (
                len(self.rows) - 1, row["gone_s"], row["connections"],
                row["reset"], row["lost"], row["untold"]))

    def _until_gone(self, old):
        """@return those that stay"""
        until = time.monotonic() + self.plan.drain_s + STAYS_S
        while any(map(_is_there, old)) and time.monotonic() < until:
            time.sleep(0.01)
        return [pid for pid in old if _is_there(pid)]

    def _settle(self, span):
        """All are told of what there is, and wait."""
        seen, since = -1, time.monotonic()
        while time.monotonic() < since + TELLS_S:
            self.judge.look(span)
            if (not self.judge.not_told()
                    and self.site.httpd.metric("held") == self.plan.phones):
                return
            if sum(span.counts.values()) != seen:
                seen, since = sum(span.counts.values()), time.monotonic()
            time.sleep(0.25)  # _judged() says what is missing

    # --- what is measured ---

    def _judged(self, span, stays):
        row = {
            "reset": span.sum(RESET),
            "lost": len(span.troubles) - span.sum(RESET),
            "unconnected": span.sum(UNCONNECTED),
            "untold": len(self.judge.not_told()),
            "wrong": len(span.wrong),
            "stays": len(stays),
            "missing": self.plan.phones - int(self.site.httpd.metric("held")),
            "again": span.counts["stale"],
            "needless": span.needless,
            "told": span.counts["told"],
            "troubles": span.troubles[:20]}
        row["is_good"] = not any(row[k] for k in (
            "reset", "lost", "untold", "wrong", "stays", "missing"))
        return row

    def _memory(self):
        usage = self.site.usage()
        return {"apache_kb": usage["apache"].memory_kb()["Pss"],
                "largest_kb": max(Usage([pid]).memory_kb()["Pss"]
                                  for pid in self.site.httpd.children()),
                "directpushd_kb": usage["directpushd"].memory_kb()["Pss"]}

    def _spread(self, span, began_us):
        """Of the answers that ended a Ping without news."""
        after_s = sorted((us - began_us) / 1e6 for us in span.drained)
        if not after_s:
            return {"drained": 0, "first_s": 0, "last_s": 0, "busiest": 0}
        tenths = [0] * 10
        for s in after_s:
            tenth = int(10 * s / self.plan.drain_s)
            tenths[min(max(tenth, 0), 9)] += 1
        return {"drained": len(after_s), "first_s": after_s[0],
                "last_s": after_s[-1], "busiest": max(tenths) / len(after_s)}

    @staticmethod
    def _handshakes(span):
        seconds = {}
        for us in span.connected:
            seconds[us // 1000000] = seconds.get(us // 1000000, 0) + 1
        us = span.connected or [0]
        return {"connections": len(span.connected),
                "resumed": span.counts["resumed"],
                "per_second": len(span.connected)
                / max(1.0, (max(us) - min(us)) / 1e6),
                "peak": max(seconds.values(), default=0)}
