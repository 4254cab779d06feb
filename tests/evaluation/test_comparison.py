import numpy as np
import pytest

from vprcap.evaluation.comparison import Comparison, build_row, comparison_from_json

GROUPS = np.arange(4)
BEST = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
WORSE = np.array([[1, 0, 1, 0], [1, 0, 0, 0]], dtype=bool)
IMAGE = np.array([[1, 0, 0, 0], [1, 0, 0, 0]], dtype=bool)


@pytest.fixture
def comparison() -> Comparison:
    rows = [
        build_row("best", BEST, IMAGE, None, GROUPS, num_bytes=1024),
        build_row("worse", WORSE, IMAGE, BEST, GROUPS, num_bytes=64),
        build_row("image-only", IMAGE, None, BEST, GROUPS, num_bytes=1024),
    ]
    return Comparison("gates, 2 seeds", "toy", "4 of 9 images", 4, "best", "queries", rows)


def test_means_and_differences_are_those_counted_by_hand(comparison: Comparison) -> None:
    best, worse, image = comparison.rows
    assert (best.recall.value, best.by_seed) == (0.625, [0.75, 0.5])
    assert best.against_reference is None and image.against_image is None
    assert best.against_image is not None and best.against_image.value == 0.375
    assert worse.against_reference is not None and worse.against_reference.value == -0.25


def test_a_difference_is_paired_so_queries_that_never_differ_add_no_doubt() -> None:
    # 30 hits and 30 misses in common, and one query that differs always: recall is uncertain,
    # the difference is not.
    common = np.repeat([True, False], 30)
    first, second = np.append(common, True)[None], np.append(common, False)[None]
    row = build_row("a", first, None, second, np.arange(61))
    assert row.recall.high - row.recall.low > 0.2
    assert row.against_reference is not None
    assert 0 <= row.against_reference.low <= 1 / 61 <= row.against_reference.high < 0.06


def test_the_table_says_reference_seeds_bytes_and_that_it_is_partial(
    comparison: Comparison,
) -> None:
    text = comparison.to_text()
    assert text.startswith("toy: gates, 2 seeds, 4 solvable queries\n")
    assert "- best" in text and "- image-only" in text and "bytes" in text
    assert "75.0 50.0" in text and "-25.0 [" in text and "1,024" in text
    assert "bootstrap over seeds and queries" in text
    assert text.endswith("PARTIAL, not comparable: 4 of 9 images")
    assert len({len(line.rstrip()) for line in text.splitlines()[2:5]}) == 1


def test_a_comparison_comes_back_from_its_json(comparison: Comparison) -> None:
    assert comparison_from_json(comparison.to_json()) == comparison
