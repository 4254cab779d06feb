from pathlib import Path

import numpy as np
import pytest

from vprcap.retrieval.search import nearest, search
from vprcap.retrieval.vectors import ArrayVectors, write_npy


def unit(rows: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def small_integers(rows: int, seed: int) -> np.ndarray:
    """Vectors whose inner products are exact in any order of summation, and often equal."""
    return np.random.default_rng(seed).integers(-1, 2, (rows, 6)).astype(np.float32)


def by_full_sort(database: np.ndarray, queries: np.ndarray, num_retrieved: int) -> np.ndarray:
    """The slow second way: every similarity, and Python's own stable sort."""
    similarity = (queries.astype(np.float64) @ database.T.astype(np.float64)).tolist()
    return np.array(
        [
            sorted(range(len(database)), key=lambda row: -own[row])[:num_retrieved]
            for own in similarity
        ]
    )


@pytest.mark.parametrize("block", [7, 50, 1000])
def test_blocks_of_any_size_find_what_a_full_sort_finds(block: int) -> None:
    database, queries = unit(120, 0), unit(9, 1)
    found = search(ArrayVectors(database, block), queries, 10)
    np.testing.assert_array_equal(found.rows, by_full_sort(database, queries, 10))
    expected = np.take_along_axis(queries @ database.T, found.rows, axis=1)
    np.testing.assert_allclose(found.similarity, expected, atol=1e-6)


@pytest.mark.parametrize("block", [13, 400])
@pytest.mark.parametrize("num_queries", [3, 40])  # faiss has a way of its own for few queries
@pytest.mark.parametrize("num_retrieved", [1, 5, 120])  # and for many results
def test_ties_come_in_database_order_also_at_the_last_place(
    block: int, num_queries: int, num_retrieved: int
) -> None:
    database, queries = small_integers(400, 0), small_integers(num_queries, 1)
    found = search(ArrayVectors(database, block), queries, num_retrieved)
    np.testing.assert_array_equal(found.rows, by_full_sort(database, queries, num_retrieved))


def test_equal_rows_tie_wherever_they_lie() -> None:
    database = unit(3000, 0)
    copies = [5, 1023, 1024, 2047, 2999]
    database[copies] = database[5]
    queries = np.concatenate([unit(30, 1), database[5:6] + 0.01 * unit(1, 2)])
    found = search(ArrayVectors(database, 700), queries, 5)
    assert found.rows[-1].tolist() == copies
    assert len(set(found.similarity[-1].tolist())) == 1


def test_a_file_is_searched_as_the_array_is(tmp_path: Path) -> None:
    database, queries = unit(1000, 0), unit(30, 1)
    stored = write_npy(tmp_path / "d.npy", database.shape, np.float32, [database])
    expected = nearest(database, queries, 20)
    for num_bytes in (2 * 64, 10_000, 10**9):  # blocks of one row, of 78, of all
        np.testing.assert_array_equal(search(stored.within(num_bytes), queries, 20).rows, expected)


def test_a_memory_map_is_searched_as_the_array_is(tmp_path: Path) -> None:
    database, queries = unit(200, 0), unit(4, 1)
    np.save(tmp_path / "d.npy", database)
    mapped = np.load(tmp_path / "d.npy", mmap_mode="r")
    np.testing.assert_array_equal(nearest(mapped, queries, 5), nearest(database, queries, 5))


def test_equal_similarities_come_in_database_order() -> None:
    database = np.repeat(unit(1, 0), 5, axis=0)
    assert nearest(database, database[:1], 5).tolist() == [[0, 1, 2, 3, 4]]
    assert nearest(database, database[:1], 3).tolist() == [[0, 1, 2]]


def test_no_more_is_retrieved_than_there_is() -> None:
    assert nearest(unit(3, 0), unit(2, 1), 20).shape == (2, 3)
    assert nearest(unit(0, 0), unit(2, 1), 20).shape == (2, 0)
    assert nearest(unit(3, 0), unit(0, 1), 20).shape == (0, 3)
