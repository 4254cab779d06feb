import numpy as np
import pytest

from vprcap import search
from vprcap.search import nearest


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [7, 50, 1000])
def test_blocks_of_any_size_find_what_a_full_sort_finds(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BLOCK_ROWS", block)
    database, queries = unit(120, 0), unit(9, 1)
    expected = np.argsort(-(queries @ database.T), axis=1)[:, :10]
    np.testing.assert_array_equal(nearest(database, queries, 10), expected)


def test_equal_similarities_come_in_database_order() -> None:
    database = np.repeat(unit(1, 0), 5, axis=0)
    assert nearest(database, database[:1], 5).tolist() == [[0, 1, 2, 3, 4]]


def test_no_more_is_retrieved_than_there_is() -> None:
    assert nearest(unit(3, 0), unit(2, 1), 20).shape == (2, 3)
