"""What a phone pays per day, calculated from what single things were measured
to cost (costs.py, and the mails of the smallest crowd) and from how often they
happen:

- A phone begins with a heartbeat of 480 s and makes it 300 s longer after each
  Ping that ended with nothing, up to 1680 s, as Android's mail client does.
- 100 mails come one by one, evenly in 16 hours; eight are quiet.
- Each is a wake of the radio: a Ping that ends (the next one leaves in the
  same moment), a mail (its Sync and the next Ping as well), a scheduled Sync.
- DirectPushTrust (12 h) without a Sync asks for one.
- Each packet has 52 bytes of IP and TCP besides what is counted in it.
"""
import collections

DAY = 24 * 3600
AWAKE = 16 * 3600
FIRST, LONGER_BY, LONGEST = 480, 300, 1680
SHIPPED_LIMIT = 10     # SOGoMaximumPingInterval when nothing is said
SCHEDULE = 300
TRUST = 12 * 3600
HEADERS = 52

Day = collections.namedtuple("Day", "wakes bytes")


def arrivals(n):
    """When n mails come, seconds."""
    return [(i + 0.5) * AWAKE / n for i in range(n)]


def pings(mails, limit=LONGEST):
    """@return (Pings that end with nothing, mails that end one)"""
    now, heartbeat, ended, coming = 0, FIRST, 0, list(mails)
    while now < DAY:
        end = now + min(heartbeat, limit)
        if coming and coming[0] < end:
            now = max(now, coming.pop(0))
        else:
            now = end
            ended += now < DAY
            heartbeat = min(heartbeat + LONGER_BY, LONGEST)
    return ended, len(mails)


def _size(cost):
    return cost["bytes"] + HEADERS * cost["packets"]


def ways(raw):
    """@return {way: {mails a day: Day}}"""
    costs, few = raw["costs"], min(raw["with"], key=int)
    ended = {s: _size(costs["ended_ping"][s]) for s in ("with", "without")}
    told = {s: _size(raw[s][few]["rename"])
            / len(raw[s][few]["rename"]["latency"])
            for s in ("with", "without")}
    idle, busy = (_size(costs["scheduled_sync"][k])
                  for k in ("nothing", "a mail"))
    out = collections.defaultdict(dict)
    for n in (0, 100):
        times = arrivals(n) if n else []
        for way, side, limit in (
                ("module", "with", LONGEST), ("raised", "without", LONGEST),
                ("shipped", "without", SHIPPED_LIMIT)):
            nothing, mails = pings(times, limit)
            renewals = DAY // TRUST if way == "module" and not n else 0
            out[way][n] = Day(
                nothing + mails + renewals,
                nothing * ended[side] + mails * told[side]
                + renewals * (ended[side] + _size(costs["empty_sync"])))
        out["scheduled"][n] = Day(DAY // SCHEDULE, (
            DAY // SCHEDULE - n) * idle + n * busy)
    return out
