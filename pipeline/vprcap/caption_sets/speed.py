"""How fast captions come, measured on a few batches, with what that leaves uncertain."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_BATCHES = 4
"""The first warms up; three more are the fewest whose spread says anything."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds an image takes, with a 95 % interval."""

    seconds: float
    low: float
    high: float
    num_batches: int

    def at_least(self, seconds: float) -> "Speed":
        """Return the speed of this and of something that runs beside it: the slower one counts."""
        low, middle, high = (max(each, seconds) for each in (self.low, self.seconds, self.high))
        return Speed(middle, low, high, self.num_batches)

    def plus(self, seconds: float) -> "Speed":
        """Return the speed of this and of something that takes turns with it."""
        low, middle, high = (each + seconds for each in (self.low, self.seconds, self.high))
        return Speed(middle, low, high, self.num_batches)

    def times(self, share: float) -> "Speed":
        """Return the speed where only a share of the images takes this long."""
        low, middle, high = (each * share for each in (self.low, self.seconds, self.high))
        return Speed(middle, low, high, self.num_batches)


def measured_speed(ends: Sequence[tuple[float, int]]) -> Speed:
    """Measure from the ends of batches: the time from one end to the next is for the later one.

    The first batch starts the clock only: in it, kernels are chosen and caches filled. The
    interval is Student's for a ratio of two sums, time over images, with batches as what varies;
    it is taken of the logarithm, as a time is never negative.

    Args:
        ends: of each batch the moment it ended, in seconds, and its images; two or more.
    """
    times = [later[0] - earlier[0] for earlier, later in zip(ends, ends[1:], strict=False)]
    images = [count for _, count in ends[1:]]
    mean = sum(times) / sum(images)
    num = len(times)
    if num < 2:
        return Speed(mean, 0.0, math.inf, num)
    from scipy.stats import t

    squares = sum((time - mean * count) ** 2 for time, count in zip(times, images, strict=True))
    error = math.sqrt(squares * num / (num - 1)) / sum(images)
    factor = math.exp(float(t.ppf(0.975, num - 1)) * error / mean)
    return Speed(mean, mean / factor, mean * factor, num)
