"""What we want to reach, and whether it was. The figures count where they were
set: with so many phones as it says there, or with the most there were."""
import collections
import operator

_SIGNS = {"≤": operator.le, "≥": operator.ge}


class Target(collections.namedtuple("Target", "sign values is_ratio")):
    """@param values  one for each of the row's figures that has one
    @param is_ratio  it is about ours to nchan's"""

    def text(self):
        return " / ".join("%s %g" % (self.sign, v) for v in self.values) + (
            " × nchan" if self.is_ratio else "")

    def is_met(self, figures):
        """@param figures  as many"""
        return all(_SIGNS[self.sign](f, v)
                   for f, v in zip(figures, self.values))


def at_most(*values):
    return Target("≤", values, False)


def at_least(*values):
    return Target("≥", values, False)


def times_nchan(value):
    return Target("≥", (value,), True)


MEMORY_KB = {"plain": at_most(9, 12), "tls": at_most(30, 34)}
WAKE_P99_US = at_most(500)
FLATNESS = at_most(1.5)
STORM = {"plain": times_nchan(1.0), "tls": times_nchan(0.8)}
EXPIRING = at_least(20000)
IDLE_PERCENT = at_most(1)
ANSWER_BYTES = at_most(160)
