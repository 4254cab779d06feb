"""Rows at random, and searched."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from small_sets import HOSTILE, write_captions
from vprcap.caption_sets.blocks import Blocks
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import read_captions
from vprcap.caption_sets.search import Asked, search, words_of
from vprcap.errors import Interrupted, InvalidError, MissingError

MANY = {f"{number:03}.jpg": {"caption": f"house {number}"} for number in range(100)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_captions(tmp_path)


def found(root: Path, other: Path | None = None, **asked: Any) -> list[int]:
    blocks = Blocks(CaptionSet(root))
    others = None if other is None else Blocks(CaptionSet(other))
    return search(blocks, Asked(**asked), others).tolist()


def test_rows_are_found_by_words_status_and_flag(root: Path) -> None:
    assert found(root) == [0, 1, 2, 3, 4]
    assert found(root, words=("a.jpg",)) == [0]
    assert found(root, words=("BRIDGE", "white")) == [4]
    assert found(root, words=("bridge", "red")) == []
    assert found(root, words=("<b>",)) == [1]
    assert found(root, status="oom") == [3]
    assert found(root, flag="too_short") == [2]
    assert found(root, flag="refusal", status="oom") == []


def test_words_do_not_run_from_the_caption_into_the_file_name(root: Path) -> None:
    assert found(root, words=("tower.a.jpg",)) == []


def test_rows_with_another_text_in_another_set_are_found(root: Path, tmp_path: Path) -> None:
    others = {
        "a.jpg": {"caption": "A blue house."},
        "b.jpg": {"caption": f"  {HOSTILE}\n"},  # the same words
        "c.jpg": {"caption": None, "status": "oom"},
        "d.jpg": {"caption": "A lane."},  # the first set has no caption
    }
    other = write_captions(tmp_path, others, model="other", shard_size=3)
    assert found(root, other, different=True) == [0]  # and e.jpg is not in the other set
    assert found(root, other, words=("blue",)) == [0]


def test_any_row_is_read_by_its_position_and_by_its_name(tmp_path: Path) -> None:
    blocks = Blocks(CaptionSet(write_captions(tmp_path, MANY, shard_size=7)))
    assert blocks.num_rows == 100
    rows = blocks.take([0, 6, 7, 55, 99], ["caption"])
    assert [row["caption"] for row in rows] == [f"house {n}" for n in (0, 6, 7, 55, 99)]
    named = blocks.find(["006.jpg", "007.jpg", "0070.jpg", "zzz.jpg"], ["image_id", "caption"])
    assert {name: row["caption"] for name, row in named.items()} == {
        "006.jpg": "house 6",
        "007.jpg": "house 7",
    }
    assert blocks.find([], ["image_id"]) == {}


def test_blocks_are_the_row_groups_of_larger_files_too(tmp_path: Path) -> None:
    root = write_captions(tmp_path, MANY, shard_size=50)
    whole = read_captions(root, columns=("image_id", "caption", "status", "qa_flags"))
    first, second = sorted((root / "data").iterdir())
    pq.write_table(whole, first, row_group_size=8)
    second.unlink()
    blocks = Blocks(CaptionSet(root))
    assert [block.num_rows for block in blocks.blocks] == [8] * 12 + [4]
    assert found(root, words=("house 9",)) == [9, *range(90, 100)]


def test_a_search_can_be_given_up(root: Path) -> None:
    asked = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 1

    with pytest.raises(Interrupted):
        search(Blocks(CaptionSet(root)), Asked(words=("a",)), None, stop)
    assert len(asked) == 2  # of three blocks


def test_a_part_of_another_kind_is_one_line(root: Path) -> None:
    part = min((root / "data").iterdir())
    pq.write_table(pq.read_table(part).drop(["status"]), part)
    with pytest.raises(InvalidError, match="is damaged"):
        found(root, status="ok")


def test_ids_are_read_where_the_footer_does_not_tell_them(root: Path) -> None:
    for part in (root / "data").iterdir():
        pq.write_table(pq.read_table(part), part, write_statistics=False)
    assert Blocks(CaptionSet(root)).find(["c.jpg"], ["image_id", "status"])["c.jpg"]


def test_a_set_without_rows_or_with_a_damaged_part_is_one_line(root: Path) -> None:
    part = next((root / "data").iterdir())
    part.write_bytes(b"PAR1")
    with pytest.raises(InvalidError, match="is damaged"):
        Blocks(CaptionSet(root))
    for path in (root / "data").iterdir():
        path.unlink()
    with pytest.raises(MissingError, match="no captions in"):
        Blocks(CaptionSet(root))


def test_what_is_typed_is_cut_at_a_length_that_nobody_types() -> None:
    assert words_of("  a  tower ") == ("a", "tower")
    assert sum(map(len, words_of("word " * 1000))) < 200
