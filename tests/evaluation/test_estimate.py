"""Intervals against a second bootstrap that draws one seed and one group at a time."""

import numpy as np
import pytest

from vprcap.evaluation.estimate import Estimate, estimate_over_seeds, estimates_by_cutoff
from vprcap.evaluation.recall import bootstrap_means, pigeonhole_means

RNG = np.random.default_rng(7)
GROUPS = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 6, 8])
HITS = (RNG.random((3, len(GROUPS))) < np.linspace(0.3, 0.8, len(GROUPS))).astype(float)
HITS[2] = HITS[2] * (RNG.random(len(GROUPS)) < 0.7)  # one seed is worse


def slow_bootstrap(values: np.ndarray, groups: np.ndarray, num_resamples: int) -> np.ndarray:
    rng = np.random.default_rng(99)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    means = []
    for _ in range(num_resamples):
        seeds = rng.integers(0, len(values), len(values))
        drawn = rng.integers(0, len(members), len(members))
        queries = np.concatenate([members[group] for group in drawn])
        means.append(np.mean([values[seed][queries].mean() for seed in seeds]))
    return np.array(means)


def test_the_interval_over_seeds_and_queries_is_that_of_a_slow_bootstrap() -> None:
    found = estimate_over_seeds(HITS, GROUPS)
    slow = slow_bootstrap(HITS, GROUPS, 4000)
    assert found.value == pytest.approx(HITS.mean())
    assert found.low == pytest.approx(np.quantile(slow, 0.025), abs=0.015)
    assert found.high == pytest.approx(np.quantile(slow, 0.975), abs=0.015)


def test_the_slow_bootstrap_can_disagree() -> None:
    # Averaging over seeds first forgets that seeds might have been others: narrower.
    alone = bootstrap_means(HITS.mean(axis=0)[:, None], GROUPS, num_resamples=4000)
    assert alone.std() < 0.85 * slow_bootstrap(HITS, GROUPS, 4000).std()


def test_with_one_seed_it_is_the_plain_bootstrap() -> None:
    plain = bootstrap_means(HITS[:1].T, GROUPS)[:, 0]
    np.testing.assert_allclose(pigeonhole_means(HITS[:1], GROUPS), plain)


def test_seeds_that_agree_add_nothing_to_the_interval() -> None:
    same = np.repeat(HITS[:1], 3, axis=0)
    found = estimate_over_seeds(same, GROUPS)
    plain = estimates_by_cutoff(np.repeat(HITS[:1].T, 4, axis=1), GROUPS)["1"]
    for name in ("value", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name))


def test_estimates_are_shown_in_percent() -> None:
    assert Estimate(0.1234, -0.05, 0.3).to_text("+") == "+12.3 [-5.0, +30.0]"
