"""recall@K: the share of queries with at least one positive among the first K retrieved."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

CUTOFFS = (1, 5, 10, 20)


def hits_at_k(
    predictions: Int[np.ndarray, "queries retrieved"],
    positives: Sequence[Int[np.ndarray, " _"]],
    cutoffs: Sequence[int] = CUTOFFS,
) -> Bool[np.ndarray, "queries cutoffs"]:
    """Say for each query and cutoff whether a positive is among the first K.

    Args:
        predictions: database positions, nearest first; -1 where fewer were retrieved.
        positives: database positions that show the query's place; may be empty (never a hit).
        cutoffs: K; one larger than the database looks at all of it.
    """
    correct = np.zeros(predictions.shape, dtype=bool)
    for query, own in enumerate(positives):
        correct[query] = np.isin(predictions[query], own)
    return np.stack([correct[:, :cutoff].any(axis=1) for cutoff in cutoffs], axis=1)


def bootstrap_means(
    values: Float[np.ndarray, "queries cutoffs"],
    groups: Int[np.ndarray, " queries"],
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Float[np.ndarray, "resamples cutoffs"]:
    """Means of `values` under resampling of whole groups with replacement.

    Images of one drive fail together: resampling single queries would make intervals several times
    too narrow where a query's sequence is known. Without sequences every query is a group.
    """
    sums, sizes = _by_group(values, groups)
    draws = _draws(np.random.default_rng(seed), len(sizes), num_resamples)
    means: np.ndarray = (draws @ sums) / (draws @ sizes)[:, None]
    return means


def pigeonhole_means(
    values: Float[np.ndarray, "seeds queries"],
    groups: Int[np.ndarray, " queries"],
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Float[np.ndarray, " resamples"]:
    """Means of `values` when whole groups and, independently of them, seeds are resampled."""
    sums, sizes = _by_group(values.T, groups)
    num_seeds = len(values)
    rng = np.random.default_rng(seed)
    draws = _draws(rng, len(sizes), num_resamples)
    seeds = _draws(rng, num_seeds, num_resamples)
    totals = np.einsum("rg,gs,rs->r", draws, sums, seeds, optimize=True)
    means: np.ndarray = totals / (num_seeds * (draws @ sizes))
    return means


def _by_group(
    values: Float[np.ndarray, "queries columns"], groups: Int[np.ndarray, " queries"]
) -> tuple[Float[np.ndarray, "groups columns"], Int[np.ndarray, " groups"]]:
    """Sums of the values of each group, and how many queries it has."""
    _, member = np.unique(groups, return_inverse=True)
    sums = np.zeros((member.max() + 1, values.shape[1]))
    np.add.at(sums, member, values)
    return sums, np.bincount(member)


def _draws(
    rng: np.random.Generator, num_things: int, num_resamples: int
) -> Int[np.ndarray, "resamples things"]:
    """How often each thing is drawn in each resample."""
    draws: np.ndarray = rng.multinomial(
        num_things, np.full(num_things, 1 / num_things), size=num_resamples
    )
    return draws


def interval(
    means: Float[np.ndarray, "resamples cutoffs"],
) -> tuple[Float[np.ndarray, " cutoffs"], Float[np.ndarray, " cutoffs"]]:
    """Central 95 % interval of bootstrap means."""
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high
