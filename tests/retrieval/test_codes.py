from pathlib import Path

import numpy as np
import pytest

from vprcap.retrieval.codes import centre_of, encode, nearest_binary, search_codes
from vprcap.retrieval.search import nearest
from vprcap.retrieval.vectors import ArrayVectors, write_npy


def places(num_places: int, dim: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Database and queries: one view of each place, off the origin as real descriptors are."""
    random = np.random.default_rng(seed)
    scenes = random.standard_normal((num_places, dim)) + random.standard_normal(dim)
    views = [scenes + noise * random.standard_normal(scenes.shape) for _ in range(2)]
    database, queries = (
        (view / np.linalg.norm(view, axis=1, keepdims=True)).astype(np.float32) for view in views
    )
    return database, queries


def test_a_bit_says_whether_a_number_is_above_its_mean() -> None:
    database = np.array([[0.0, 4, 1, 1, 1, 1, 1, 1, 0, 9], [2.0, 0, 1, 1, 1, 1, 1, 3, 4, 0]])
    centre = centre_of(ArrayVectors(database.astype(np.float32), block_rows=1))
    assert centre.tolist() == [1, 2, 1, 1, 1, 1, 1, 2, 2, 4.5]
    codes = encode(database.astype(np.float32), centre)
    assert codes.tolist() == [[0b01000000, 0b01000000], [0b10000001, 0b10000000]]


@pytest.mark.parametrize(("dim", "num_bytes"), [(512, 64), (2048, 64), (256, 32), (12, 2)])
def test_codes_have_a_bit_for_each_of_the_first_512_numbers(dim: int, num_bytes: int) -> None:
    database, _ = places(5, dim, 0)
    centre = centre_of(ArrayVectors(database))
    assert encode(database, centre).shape == (5, num_bytes)
    np.testing.assert_array_equal(
        encode(database, centre), encode(database[:, :512].copy(), centre)
    )


def test_a_code_of_512_bits_is_32_times_smaller_than_the_floats() -> None:
    database, _ = places(100, 512, 0)
    codes = encode(database, centre_of(ArrayVectors(database)))
    assert database.nbytes == 32 * codes.nbytes


def test_a_shortlist_of_everything_gives_the_exact_order() -> None:
    database, queries = places(150, 40, 1.0)
    centre = centre_of(ArrayVectors(database))
    found = nearest_binary(database, queries, 20, centre=centre, shortlist=150)
    np.testing.assert_array_equal(found, nearest(database, queries, 20))


def test_only_what_the_codes_propose_is_ranked() -> None:
    """By hand: the first row is the most similar, but its code is the farthest."""
    database = np.array([[0.9, 0.4], [-0.1, 0.5], [-0.2, -0.5]], dtype=np.float32)
    query = np.array([[0.1, -0.01]], dtype=np.float32)  # code 10; theirs are 11, 01, 00
    centre = np.zeros(2, dtype=np.float32)
    # Hamming distances 1, 2, 1: rows 0 and 2 are proposed; similarities 0.086, -0.015, -0.015.
    assert nearest_binary(database, query, 2, centre=centre, shortlist=2).tolist() == [[0, 2]]
    # One proposal, and 0 and 2 tie: the earlier row.
    assert nearest_binary(database, query, 1, centre=centre, shortlist=1).tolist() == [[0]]


@pytest.mark.parametrize("block", [1, 30, 77, 500])
def test_blocks_change_nothing(block: int, tmp_path: Path) -> None:
    database, queries = places(300, 16, 1.0)  # few bits: many ties
    centre = centre_of(ArrayVectors(database))
    expected = nearest_binary(database, queries, 10, centre=centre, shortlist=40)
    codes = encode(database, centre)
    stored = write_npy(tmp_path / "c.npy", codes.shape, np.uint8, [codes]).within(4 * block)
    found = search_codes(ArrayVectors(database), stored, queries, 10, centre, 40)
    np.testing.assert_array_equal(found.rows, expected)


def test_equal_distances_are_proposed_in_database_order() -> None:
    database, queries = places(300, 16, 1.0)
    centre = centre_of(ArrayVectors(database))
    bits, asked = database > centre, queries > centre
    distance = (bits[None] != asked[:, None]).sum(axis=2)
    proposed = np.argsort(distance, axis=1, kind="stable")[:, :40]
    found = nearest_binary(database, queries, 40, centre=centre, shortlist=40)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(proposed, axis=1))


def test_ranking_the_shortlist_by_float_wins_back_what_the_bits_lose() -> None:
    database, queries = places(2000, 512, 1.5)
    centre = centre_of(ArrayVectors(database))

    def recall(found: np.ndarray) -> float:
        return float((found[:, 0] == np.arange(2000)).mean())

    exact = recall(nearest(database, queries, 1))
    bits_alone = recall(nearest_binary(database, queries, 1, centre=centre, shortlist=1))
    assert bits_alone < exact - 0.05
    assert recall(nearest_binary(database, queries, 1, centre=centre)) >= exact - 0.005


def test_no_more_is_retrieved_than_there_is() -> None:
    database, queries = places(3, 16, 0)
    centre = centre_of(ArrayVectors(database))
    assert nearest_binary(database, queries, 20, centre=centre).shape == (3, 3)
    assert nearest_binary(database[:0], queries, 20, centre=centre).shape == (3, 0)
