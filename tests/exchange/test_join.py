"""A name of somebody else's file means one image, or none; nobody guesses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vprcap.exchange.join import Fate, Match, Names

WHOLE, PARTIAL, AMBIGUOUS, UNMATCHED = Fate.WHOLE, Fate.PARTIAL, Fate.AMBIGUOUS, Fate.UNMATCHED
AT = "@1.0@2.0@17@T@@@{pano}@25@@@@@@{note}@.jpg"


@pytest.mark.parametrize(
    ("images", "name", "fate", "image"),
    [
        (["a/1.jpg"], "a/1.jpg", WHOLE, "a/1.jpg"),
        (["a/1.jpg"], "/mnt/d/data/a/1.jpg", WHOLE, "a/1.jpg"),
        (["images/val/a/1.jpg"], "a/1.jpg", WHOLE, "images/val/a/1.jpg"),
        (["a/1.jpg", "b/1.jpg"], "x/b/1.jpg", WHOLE, "b/1.jpg"),
        (["a/1.jpg", "b/1.jpg"], "1.jpg", AMBIGUOUS, None),
        (["a/1.jpg", "b/1.jpg"], "c/1.jpg", AMBIGUOUS, None),
        (["1.jpg", "a/1.jpg"], "1.jpg", WHOLE, "1.jpg"),
        (["1.jpg", "a/1.jpg"], "root/1.jpg", WHOLE, "1.jpg"),
        (["1.jpg", "a/1.jpg"], "root/a/1.jpg", WHOLE, "a/1.jpg"),
        (["x/a/1.jpg", "y/a/1.jpg"], "z/a/1.jpg", AMBIGUOUS, None),
        (["Images/PRS/p.jpg"], "Images/Paris/p.jpg", PARTIAL, "Images/PRS/p.jpg"),
        (["a/1.jpg"], "a/1.png", UNMATCHED, None),
        (["a/1.jpg"], "a/1.JPG", UNMATCHED, None),
        (["a/1.jpg"], "", UNMATCHED, None),
        (["a/1.jpg"], "/", UNMATCHED, None),
        (["a/1.jpg"], r"C:\set\a\1.jpg", WHOLE, "a/1.jpg"),
        (["a\\1.jpg"], "x/a\\1.jpg", WHOLE, "a\\1.jpg"),
        (["cph/-key_1.jpg"], AT.format(pano="-key_1", note="day"), PARTIAL, "cph/-key_1.jpg"),
        ([AT.format(pano="k", note="day")], "sf/images/k.jpg", PARTIAL, None),
        (
            ["000123_pitch1_yaw5.jpg", "000123_pitch1_yaw6.jpg"],
            AT.format(pano="000123", note="pitch1_yaw6"),
            PARTIAL,
            "000123_pitch1_yaw6.jpg",
        ),
        (
            [AT.format(pano="p", note="n1"), AT.format(pano="p", note="n2")],
            "p.jpg",
            AMBIGUOUS,
            None,
        ),
    ],
)
def test_a_name_means_the_image_that_shares_most_of_its_end(
    images: list[str], name: str, fate: Fate, image: str | None
) -> None:
    (match,) = Names(images).match([name])
    assert match.fate is fate
    if fate in (WHOLE, PARTIAL):
        assert images[match.row] == (image or images[0])


def test_names_that_contradict_one_another_are_not_believed() -> None:
    names = Names(["ref/0000001.jpg"])
    assert names.match(["day/0000001.jpg"]) == [Match(PARTIAL, 0)]
    assert names.match(["day/0000001.jpg", "ref/0000001.jpg"]) == [
        Match(UNMATCHED),
        Match(WHOLE, 0),
    ]
    both = names.match(["day/0000001.jpg", "night/0000001.jpg", "night/0000001.jpg"])
    assert both == [Match(AMBIGUOUS)] * 3


def test_equal_file_names_of_two_roles_are_two_images() -> None:
    names = Names(["ref/0000001.jpg", "ref/0000002.jpg", "query/0000001.jpg"])
    assert names.match(["query/0000002.jpg"]) == [Match(UNMATCHED)]
    assert names.match(["set/reference/0000002.jpg"]) == [Match(PARTIAL, 1)]
    assert Names(["set/database/k.jpg"]).match(["queries/k.jpg"]) == [Match(UNMATCHED)]


def view(tile: str, heading: str, note: str, metres: str = "1.0") -> str:
    return f"images/@{metres}@2.0@17@T@@@000123@{tile}@{heading}@@@@2014@{note}@.jpg"


@pytest.mark.parametrize(
    ("ours", "theirs", "fate"),
    [
        (("29", "120", "yaw5"), ("29", "120", "yaw5"), PARTIAL),
        (("29", "120", "yaw5"), ("29", "120.00", ""), PARTIAL),
        (("29", "120", "yaw5"), ("31", "210", "yaw7"), UNMATCHED),
        (("29", "120", "yaw5"), ("31", "", "yaw5"), UNMATCHED),
        (("", "150", ""), ("", "30", ""), UNMATCHED),
        (("", "", "yaw5"), ("", "", "yaw7"), UNMATCHED),
    ],
)
def test_another_view_of_a_panorama_is_another_image(
    ours: tuple[str, str, str], theirs: tuple[str, str, str], fate: Fate
) -> None:
    (match,) = Names([view(*ours)]).match([view(*theirs, metres="1.5")])
    assert match.fate is fate


_parts = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(tuple)


@given(st.lists(_parts, min_size=1, max_size=8, unique=True), _parts)
def test_looking_up_agrees_with_comparing_every_image(
    images: list[tuple[str, ...]], name: tuple[str, ...]
) -> None:
    def shared(own: tuple[str, ...]) -> int:
        count = 0
        while count < min(len(own), len(name)) and own[-1 - count] == name[-1 - count]:
            count += 1
        return count

    (match,) = Names(["/".join(own) for own in images]).match(["/".join(name)])
    most = max(map(shared, images))
    best = [row for row, own in enumerate(images) if shared(own) == most]
    whole = [row for row in best if len(images[row]) == most]
    if most == 0:
        assert match.fate is UNMATCHED
    elif len(best) == 1 or whole:
        (row,) = whole or best
        expected = WHOLE if most in (len(name), len(images[row])) else PARTIAL
        assert match == Match(expected, row)
    else:
        assert match == Match(AMBIGUOUS)
