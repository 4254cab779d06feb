import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vprcap.evaluation.recall import bootstrap_means, hits_at_k, interval


def test_a_hit_counts_from_its_rank_on() -> None:
    predictions = np.array([[4, 2, 9], [7, 8, 1]])
    hits = hits_at_k(predictions, [np.array([2, 5]), np.array([0])], cutoffs=(1, 2, 3))
    assert hits.tolist() == [[False, True, True], [False, False, False]]


def test_a_query_without_positives_never_hits() -> None:
    assert not hits_at_k(np.array([[0, 1]]), [np.array([], dtype=int)], cutoffs=(1, 2)).any()


def test_unfilled_ranks_are_no_hits_and_a_cutoff_may_exceed_the_database() -> None:
    hits = hits_at_k(np.array([[3, -1]]), [np.array([3])], cutoffs=(1, 20))
    assert hits.tolist() == [[True, True]]
    assert not hits_at_k(np.array([[-1, -1]]), [np.array([3])], cutoffs=(20,)).any()


def test_recalls_of_a_matrix_counted_by_hand() -> None:
    # Four queries, three database images: K of 5 and 20 look at all of them; query 3 has nothing.
    predictions = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 1, 2]])
    positives = [np.array([0]), np.array([1]), np.array([0, 2]), np.array([], dtype=int)]
    hits = hits_at_k(predictions, positives)
    assert hits.mean(axis=0).tolist() == [0.25, 0.75, 0.75, 0.75]


@given(st.integers(0, 2**32 - 1))
def test_hits_equal_a_loop_over_queries_and_ranks(seed: int) -> None:
    chance = np.random.default_rng(seed)
    predictions = np.argsort(chance.random((6, 9)))[:, :5]
    positives = [np.flatnonzero(chance.random(9) < 0.2) for _ in range(6)]
    hits = hits_at_k(predictions, positives, cutoffs=(1, 3, 5))
    for query in range(6):
        for column, cutoff in enumerate((1, 3, 5)):
            expected = any(row in positives[query] for row in predictions[query][:cutoff])
            assert hits[query, column] == expected


def test_the_bootstrap_of_single_queries_has_the_binomial_spread() -> None:
    values = np.zeros((400, 1))
    values[:100] = 1
    means = bootstrap_means(values, np.arange(400), num_resamples=4000)
    assert means.mean() == pytest.approx(0.25, abs=0.003)
    assert means.std() == pytest.approx((0.25 * 0.75 / 400) ** 0.5, rel=0.05)


def test_whole_sequences_are_resampled_together() -> None:
    # 10 sequences of 40 queries that fail or succeed together: the spread is that of 10 draws.
    values = np.repeat((np.arange(10) < 5).astype(float), 40)[:, None]
    means = bootstrap_means(values, np.repeat(np.arange(10), 40), num_resamples=4000)
    assert means.std() == pytest.approx((0.25 / 10) ** 0.5, rel=0.05)


def test_the_interval_holds_the_middle_ninety_five_percent() -> None:
    low, high = interval(np.arange(1001.0)[:, None])
    assert (low[0], high[0]) == (25, 975)
