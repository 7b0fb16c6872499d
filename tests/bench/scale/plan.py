"""How much of everything, and how large the servers have to be for it."""
import math
import resource

SIZES = (1000, 10000, 50000, 100000)
QUICK_SIZES = (1000, 10000)

# As Debian's mpm_event.conf has it.
THREADS = 25
CHILDREN_LEAST = 4

# The system gives new connections to whoever is first: one child has some more
# than another.
UNEVEN = 1.25

# Of 19,000 descriptors nginx needs few beside those of connections, Apache some
# more: FD_… in apache/capacity.c, and two for each worker.
RESERVE = 400 + 2 * THREADS

# What directpushd needs for a user with one folder: the Maildir, new and cur.
WATCHES_PER_USER = 3


def descriptors():
    """What one process may have, after this has taken all that it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard > 1048576:
        hard = 1048576
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _watches_max():
    with open("/proc/sys/fs/inotify/max_user_watches") as f:
        return int(f.read())


class Plan:
    """@param sizes  how many phones wait, from few to many
    @param runs  whose medians count
    @param quick  few of everything: does it work"""

    def __init__(self, sizes=None, runs=None, quick=False, tls=True,
                 children=None):
        self.sizes = sorted(set(sizes or (QUICK_SIZES if quick else SIZES)))
        self.runs = runs or (1 if quick else 3)
        self.transports = ("plain", "tls") if tls else ("plain",)
        self.quick = quick
        self.wakes = 50 if quick else 2000
        self.storms = 1 if quick else 3
        self.idle_s = 3 if quick else 60
        self.rest_s = 1 if quick else 5    # before one looks at memory
        self.expire_s = 3 if quick else 20
        # The first ones make every child and thread ready: what these touch
        # for the first time is no cost of a phone.
        self.warm = min(100, self.sizes[0] // 2)
        self.descriptors = descriptors()
        self.children = children or self._children()
        self.per_child = self.descriptors - RESERVE
        assert self.children * self.per_child > self.largest, (
            "%d children of %d descriptors each are too few for %d phones" % (
                self.children, self.descriptors, self.largest))

    def _children(self):
        return max(CHILDREN_LEAST, math.ceil(
            UNEVEN * self.largest / (self.descriptors - RESERVE)))

    @property
    def largest(self):
        return self.sizes[-1]

    @property
    def async_factor(self):
        """So that httpd lets another child accept before descriptors run
        out and phones are refused."""
        return self.per_child // THREADS - 2

    def per_user(self, n):
        """Phones of one user: one, unless the system has too few inotify
        watches for so many Maildirs."""
        return math.ceil(n * WATCHES_PER_USER / (0.9 * _watches_max()))

    @property
    def users(self):
        return max(math.ceil(n / self.per_user(n)) for n in self.sizes)

    @property
    def expire_n(self):
        """Phones whose Pings end each second, as fast as the server can."""
        if self.quick:
            return self.sizes[0]
        return max([n for n in self.sizes if n <= 50000] or self.sizes[:1])

    @property
    def crowd_n(self):
        """Phones of one user, whom one change concerns."""
        return self.expire_n

    def is_idle_measured(self, transport, n):
        return transport == "plain" and n == self.largest
