"""A share or a difference of shares, with its 95 % interval.

Two things are left to chance when a recall is measured: which queries were asked, and with which
seed a model was trained or captions were corrupted. Where several seeds are at hand, seeds and
queries are resampled independently of each other, both with replacement (the pigeonhole bootstrap:
A. B. Owen, Annals of Applied Statistics 1(2), 2007). With a single seed that is the plain
bootstrap over queries, and its interval says nothing of seeds.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vprcap.evaluation.recall import CUTOFFS, bootstrap_means, interval, pigeonhole_means


@dataclass(frozen=True)
class Estimate:
    """A share in 0..1, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_text(self, sign: str = "") -> str:
        """Return it as percentages; `sign` "+" writes the sign of a difference."""
        value, low, high = (100 * each for each in (self.value, self.low, self.high))
        return f"{value:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


Estimates = dict[str, Estimate]
"""By cutoff: ``{"1": ..., "5": ...}``."""


def estimates_by_cutoff(
    values: Float[np.ndarray, "queries cutoffs"], groups: Int[np.ndarray, " queries"]
) -> Estimates:
    """Means over queries, for each cutoff of `vprcap.evaluation.recall.CUTOFFS`."""
    low, high = interval(bootstrap_means(values, groups))
    return {
        str(cutoff): Estimate(float(values[:, i].mean()), float(low[i]), float(high[i]))
        for i, cutoff in enumerate(CUTOFFS)
    }


def estimate_over_seeds(
    values: Float[np.ndarray, "seeds queries"], groups: Int[np.ndarray, " queries"]
) -> Estimate:
    """Mean over seeds and queries, either of which might have been others."""
    low, high = interval(pigeonhole_means(values, groups)[:, None])
    return Estimate(float(values.mean()), float(low[0]), float(high[0]))
