"""Does memory stay where it is?"""

# What malloc and the kernel move about by themselves.
ENOUGH_KB = 1024
ENOUGH_PART = 0.02


def fit(points):
    """The straight line that fits best. @param points  [(x, y)]
    @return its slope, and the standard error of that"""
    n = len(points)
    x_mean = sum(x for x, _ in points) / n
    y_mean = sum(y for _, y in points) / n
    square = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / square
    rest = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in points)
    return slope, (rest / (n - 2) / square) ** 0.5


class Growth:
    """Of one process in the last half of its samples: the first is for what is
    touched once. @param points  [(Pings, kB)]"""

    def __init__(self, points):
        late = points[len(points) // 2:]
        assert len(late) >= 3, "too few samples: %r" % points
        self.pings = late[-1][0] - late[0][0]
        slope, error = fit(late)
        self.kb = slope * self.pings
        self.mean_kb = sum(kb for _, kb in late) / len(late)
        # and what the samples scatter by: twice the error of the slope
        self.enough_kb = max(ENOUGH_KB, ENOUGH_PART * self.mean_kb,
                             2 * error * self.pings)

    @property
    def is_flat(self):
        return self.kb <= self.enough_kb

    def __str__(self):
        return "%+.0f kB over the last %s Pings, of %.0f kB; up to %.0f are " \
            "nothing" % (self.kb, format(self.pings, ","), self.mean_kb,
                         self.enough_kb)
