from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vprcap.errors import InvalidError
from vprcap.evaluation.corruption import KINDS, OBJECTS, Captions, Corruption, corrupt
from vprcap.ground_truth.same_place import same_place
from vprcap.manifests.manifest import ManifestInfo, build_manifest
from vprcap.manifests.rule import WITHIN_25_M, PositiveRule

CAPTIONS = ["a red house", None, "Two grey towers and a red door", "  ", "a green hill"]


def pairs_of(places: list[int]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    numbers = np.array(places)
    return lambda rows, others: numbers[rows] == numbers[others]


def corrupted(kind: str, strength: float, captions: Captions = CAPTIONS, seed: int = 0) -> Captions:
    other = Path("other") if kind == "other-prompt" else None
    return corrupt(
        captions,
        Corruption(kind, strength, seed, other),
        same_place=pairs_of(list(range(len(captions)))),
        others=[caption and f"other {row}" for row, caption in enumerate(captions)],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_strength_zero_changes_nothing(kind: str) -> None:
    assert corrupted(kind, 0.0) == CAPTIONS


@pytest.mark.parametrize("kind", KINDS[1:])
def test_full_strength_changes_every_caption_and_a_missing_one_stays_missing(kind: str) -> None:
    changed = corrupted(kind, 1.0)
    assert changed[1] is None and not (changed[3] or "").strip()
    assert all(changed[row] != CAPTIONS[row] for row in (0, 2, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_captions(kind: str) -> None:
    many = [f"a red house number {number} of grey stone" for number in range(40)]
    assert corrupted(kind, 0.5, many, seed=3) == corrupted(kind, 0.5, many, seed=3)
    if kind not in ("none", "truncate"):  # these draw nothing
        assert corrupted(kind, 0.5, many, seed=3) != corrupted(kind, 0.5, many, seed=4)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_a_weak_corruption_changes_a_strong_one_changes_alike(kind: str) -> None:
    many = [f"a red house number {number} of grey stone" for number in range(40)]
    weak, strong = corrupted(kind, 0.2, many), corrupted(kind, 0.6, many)
    if kind in ("drop-words", "truncate"):  # word by word: what is gone stays gone
        for less, more in zip(weak, strong, strict=True):
            assert set((more or "").split()) <= set((less or "").split())
        return
    rows = [row for row in range(40) if weak[row] != many[row]]
    assert rows
    if kind != "swap-colours":
        assert len(rows) == 8 and all(weak[row] == strong[row] for row in rows)


def test_the_share_of_corrupted_captions_is_exact() -> None:
    many = [f"house {number}" for number in range(50)]
    changed = corrupted("wrong-place", 0.3, many)
    assert sum(a != b for a, b in zip(changed, many, strict=True)) == 15


@given(st.integers(0, 2**32 - 1))
def test_a_caption_of_a_wrong_place_is_never_one_of_the_same_place(seed: int) -> None:
    places = [0, 0, 0, 1, 1, 2]
    captions: Captions = [f"place {place}, image {row}" for row, place in enumerate(places)]
    changed = corrupt(captions, Corruption("wrong-place", 1.0, seed), same_place=pairs_of(places))
    for place, caption in zip(places, changed, strict=True):
        assert caption is not None and not caption.startswith(f"place {place},")


def test_a_shuffled_caption_is_that_of_any_other_image() -> None:
    captions: Captions = ["one", "two"]
    assert corrupted("shuffle", 1.0, captions) == ["two", "one"]


def test_a_set_of_one_place_has_no_wrong_place() -> None:
    with pytest.raises(InvalidError, match="2 images have no captioned image of another place"):
        corrupt(["a", "b"], Corruption("wrong-place"), same_place=pairs_of([0, 0]))


def test_dropped_words_leave_the_others_in_their_order() -> None:
    captions: Captions = ["one two three four five six", "seven eight nine ten"]
    changed = corrupted("drop-words", 0.5, captions)
    left = " ".join(caption or "" for caption in changed).split()
    assert len(left) == 5
    order = "one two three four five six seven eight nine ten".split()
    assert left == sorted(left, key=order.index)
    assert corrupted("drop-words", 1.0, captions) == [None, None]


def test_a_truncated_caption_keeps_its_beginning() -> None:
    captions: Captions = ["one  two three four", "one two three"]
    assert corrupted("truncate", 0.5, captions) == ["one two", "one two"]
    assert corrupted("truncate", 0.1, captions) == captions
    assert corrupted("truncate", 1.0, captions) == [None, None]


def test_colours_become_other_colours_and_nothing_else_changes() -> None:
    captions: Captions = ["Red brick, gray roof.", "A reddish wall", "a GREEN door"]
    first, second, third = corrupted("swap-colours", 1.0, captions)
    assert first is not None and third is not None
    colour, brick, roof_colour, roof = first.split()
    assert (brick, roof, second) == ("brick,", "roof.", "A reddish wall")
    assert colour.istitle() and colour != "Red"
    assert roof_colour not in ("gray", "grey")
    assert third.split()[0] == "a" and third.split()[1].lower() != "green"


def test_half_of_the_colour_words_of_the_set_are_swapped() -> None:
    changed = corrupted("swap-colours", 0.5, ["red red red", "red"])
    words = " ".join(caption or "" for caption in changed).split()
    assert sorted(word == "red" for word in words) == [False, False, True, True]


def test_injected_objects_are_three_that_the_caption_did_not_name() -> None:
    caption = "A church and a statue. "
    (changed,) = corrupted("inject-objects", 1.0, [caption])
    assert changed is not None and changed.startswith("A church and a statue. There are also ")
    added = changed.removeprefix("A church and a statue. There are also ")
    named = [thing for thing in OBJECTS if f" {thing}" in f" {added}"]
    assert len(named) == 3 and not {"church", "statue"} & set(named)


def test_the_other_prompt_gives_its_captions_to_a_share_of_the_images() -> None:
    many = [f"house {number}" for number in range(20)]
    changed = corrupted("other-prompt", 0.25, many)
    taken = [row for row in range(20) if changed[row] == f"other {row}"]
    assert len(taken) == 5
    assert all(changed[row] == many[row] for row in range(20) if row not in taken)


@pytest.mark.parametrize(
    ("kind", "strength", "other", "message"),
    [
        ("typo", 0.5, None, "no corruption 'typo'; there are: none, shuffle"),
        ("shuffle", 1.5, None, r"strength 1\.5 of shuffle leaves 0\.\.1"),
        ("shuffle", float("nan"), None, "strength nan of shuffle leaves"),
        ("other-prompt", 0.5, None, "name it with --other-captions"),
        ("shuffle", 0.5, Path("other"), "only with other-prompt"),
    ],
)
def test_a_corruption_that_cannot_be_is_refused(
    kind: str, strength: float, other: Path | None, message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        Corruption(kind, strength, 0, other)


def compared(
    columns: dict[str, list[object]], first: int, second: int, rule: PositiveRule = WITHIN_25_M
) -> bool:
    ids = [f"{number}.jpg" for number in range(len(next(iter(columns.values()))))]
    arrays = {"image_id": pa.array(ids)} | {name: pa.array(each) for name, each in columns.items()}
    manifest = build_manifest(arrays, ManifestInfo("/data", "toy", rule))
    return bool(same_place(manifest)(np.array([first]), np.array([second]))[0])


def test_images_show_one_place_by_name_or_within_the_positive_radius() -> None:
    named = {"place_id": ["a", "a", "b"]}
    assert compared(named, 0, 1) and compared(named, 0, 0) and not compared(named, 0, 2)
    metres = {"easting": [0.0, 25.0, 26.0], "northing": [0.0, 0.0, 0.0]}
    assert compared(metres, 0, 1) and not compared(metres, 0, 2)
    both = {"place_id": ["a", "b", "a"], "easting": [0.0, 5.0, 99.0], "northing": [0.0] * 3}
    assert compared(both, 0, 1) and compared(both, 0, 2) and not compared(both, 1, 2)
    unknown = {"place_id": ["a", None, "b"]}
    assert compared(unknown, 0, 1) and not compared(unknown, 0, 2)


def test_images_of_two_cities_never_show_one_place() -> None:
    cities = {"domain": ["cph", "sf", "cph"], "easting": [0.0] * 3, "northing": [0.0] * 3}
    assert compared(cities, 0, 2)
    alone = {"domain": ["cph", "sf", "cph"]}
    assert not compared(alone, 0, 1) and compared(alone, 0, 2)
    assert not compared(cities, 0, 1)
    numbered = {"domain": ["cph", "sf", "cph"], "place_id": ["5", "5", "5"]}
    assert not compared(numbered, 0, 1) and compared(numbered, 0, 2)


def test_metres_of_two_zones_or_hemispheres_never_show_one_place() -> None:
    metres = {"easting": [3e5] * 4, "northing": [6.25e6] * 4, "zone": ["34V", "34H", "35V", "34U"]}
    assert not compared(metres, 0, 1) and not compared(metres, 0, 2) and compared(metres, 0, 3)


def test_images_show_one_place_within_the_frame_tolerance() -> None:
    frames = {"frame": [0, 2, 3]}
    rule = PositiveRule("frames", frames=2)
    assert compared(frames, 0, 1, rule) and not compared(frames, 0, 2, rule)


def test_images_show_one_place_where_a_list_says_so() -> None:
    listed = {
        "role": ["database", "database", "query"],
        "positives": [None, None, ["0.jpg"]],
    }
    rule = PositiveRule("listed")
    assert compared(listed, 2, 0, rule) and compared(listed, 0, 2, rule)
    assert not compared(listed, 2, 1, rule) and not compared(listed, 1, 2, rule)
    assert compared(listed, 0, 1, rule)  # two database images: nobody said


def test_a_set_of_unknown_places_is_refused() -> None:
    with pytest.raises(InvalidError, match="neither place_id nor positions"):
        compared({"heading_deg": [0.0, 1.0]}, 0, 1)
