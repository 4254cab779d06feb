from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vprcap.errors import InvalidError
from vprcap.late_fusion import LateFusion, Pair, rerank_by_text, retrieve

Fitted = Callable[[str], LateFusion]


def slow_rerank(
    predictions: np.ndarray, database: Pair, queries: Pair, shortlist: int
) -> list[list[int]]:
    """Sort by text those of the shortlist that have one, and leave the others where they are."""
    result = []
    for query, found in enumerate(predictions.tolist()):

        def wanted(row: int, query: int = query) -> float:
            return -float(database.text[row] @ queries.text[query])

        able = [row for row in found[:shortlist] if row >= 0 and database.has_text[row]]
        if queries.has_text[query]:
            able.sort(key=wanted)
        moved = iter(able)
        result.append(
            [
                next(moved) if row >= 0 and rank < shortlist and database.has_text[row] else row
                for rank, row in enumerate(found)
            ]
        )
    return result


def test_reranking_permutes_the_shortlist_by_text_and_leaves_the_rest(
    make_toy: Callable[..., tuple[Pair, np.ndarray]],
) -> None:
    database, queries = make_toy(60, seed=4, missing=0.2)[0], make_toy(5, seed=5, missing=0.2)[0]
    rng = np.random.default_rng(0)
    # Rows are far from ranks: 30 of 240, in random order, padded where fewer were found.
    predictions = np.stack([rng.permutation(240)[:30] for _ in range(20)])
    predictions[3, 25:] = predictions[4, 7:] = -1
    reranked = rerank_by_text(predictions, database, queries, shortlist=10)
    assert reranked.tolist() == slow_rerank(predictions, database, queries, 10)
    assert not np.array_equal(reranked, predictions)
    for before, after in zip(predictions, reranked, strict=True):
        assert sorted(before[:10]) == sorted(after[:10]), "nothing that was not retrieved"
        assert np.array_equal(before[10:], after[10:])
    silent = ~queries.has_text
    assert silent.any()
    assert np.array_equal(reranked[silent], predictions[silent])


def test_equal_captions_keep_the_order_of_the_images(
    make_toy: Callable[..., tuple[Pair, np.ndarray]],
) -> None:
    pairs, _ = make_toy(4, seed=1)
    same = replace(pairs, text=np.repeat(pairs.text[:1], 16, axis=0))
    predictions = np.array([[5, 2, 9, 7]])
    assert np.array_equal(rerank_by_text(predictions, same, same.take(np.array([0]))), predictions)


def test_text_reranking_looks_at_a_hundred_even_when_fewer_are_wanted(
    fitted: Fitted, make_toy: Callable[..., tuple[Pair, np.ndarray]]
) -> None:
    database, queries = make_toy(40, seed=4)[0], make_toy(5, seed=5)[0]
    by_image = np.argsort(-(queries.image @ database.image.T), axis=1)[:, :100]
    by_text = slow_rerank(by_image, database, queries, 100)
    found = retrieve(fitted("text-rerank"), database, queries, 3)
    assert found.tolist() == [row[:3] for row in by_text]
    assert not np.array_equal(found, by_image[:, :3])


@pytest.mark.parametrize("name", ["concatenation", "dynamic-weighting", "mlp"])
def test_retrieval_ranks_by_the_fused_score(
    name: str, fitted: Fitted, make_toy: Callable[..., tuple[Pair, np.ndarray]]
) -> None:
    database, queries = make_toy(10, seed=4)[0], make_toy(2, seed=5)[0]
    fusion = fitted(name)
    scores = fusion.queries(queries) @ fusion.database(database).T
    assert np.array_equal(retrieve(fusion, database, queries, 7), np.argsort(-scores)[:, :7])


@pytest.mark.parametrize(
    ("name", "left_out"), [("fixed-weight", [14]), ("text-rerank", [12, 13, 14])]
)
def test_an_image_without_descriptors_is_neither_found_nor_finds(
    name: str, left_out: list[int], fitted: Fitted, gaps: Pair
) -> None:
    found = retrieve(fitted(name), gaps, gaps, 20)
    known = sorted(set(range(15)) - set(left_out))
    for query, rows in enumerate(found.tolist()):
        expected = [] if query in left_out else known
        assert sorted(row for row in rows if row >= 0) == expected
        assert rows[len(expected) :] == [-1] * (20 - len(expected))


def test_descriptors_that_break_their_promise_are_refused_in_one_line(gaps: Pair) -> None:
    longer, damaged = gaps.text.copy(), gaps.text.copy()
    longer[2] *= 2
    damaged[3, 0] = np.nan
    invented = gaps.text.copy()
    invented[9, 0] = 1
    for text, problem in (
        (longer, "1 text descriptors have the wrong length, first row 2: 2 where 1 is due"),
        (damaged, "first row 3: nan where 1 is due"),
        (invented, "first row 9: 1 where 0 is due"),
    ):
        with pytest.raises(InvalidError, match=problem) as caught:
            replace(gaps, text=text)
        assert "\n" not in str(caught.value)
