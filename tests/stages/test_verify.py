from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.caption_sets.captions import build_table
from vprcap.caption_sets.findings import EXAMPLES, Findings
from vprcap.errors import StaleArtefactError
from vprcap.files import write_json
from vprcap.stages.compact import compact
from vprcap.stages.verify import verify
from written_sets import CONFIG, Written, row, write_set

STATUSES = {"01.jpg": "oom"}


def part(written: Written, index: int = 1) -> Path:
    return written.captions.part(written.plan.shards[index])


def rewrite(written: Written, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the rows of shard 1, which holds 04.jpg to 07.jpg."""
    pq.write_table(change(pq.read_table(part(written))), part(written))


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("deep", [False, True])
def test_nothing_is_wrong_with_a_whole_set(tmp_path: Path, compacted: bool, deep: bool) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    if compacted:
        compact(written.captions, written.plan, rows_per_file=8)
    found = verify(written.captions, written.plan, deep=deep)
    assert not found.counts
    assert (found.shards, found.rows) == (3, 10)
    assert found.images_hashed == (10 if deep else 0)


def test_shards_without_rows_are_named(tmp_path: Path) -> None:
    written = write_set(tmp_path, shards=1)
    found = verify(written.captions, written.plan)
    assert found.counts == {"shard without rows": 2}
    assert found.examples["shard without rows"] == ["shard 1 of 3", "shard 2 of 3"]


def test_a_missing_compacted_file_is_its_shards_without_rows(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    compact(written.captions, written.plan, rows_per_file=4)
    written.captions.files()[1].unlink()
    found = verify(written.captions, written.plan)
    assert found.examples == {"shard without rows": ["shard 1 of 3"]}
    assert found.rows == 6


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_named_and_the_others_are_still_looked_at(
    tmp_path: Path, damage: str, compacted: bool
) -> None:
    written = write_set(tmp_path)
    path = part(written)
    if compacted:
        compact(written.captions, written.plan, rows_per_file=4)
        path = written.captions.files()[1]
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-9]), "empty": b""}[damage])
    found = verify(written.captions, written.plan)
    assert found.counts["damaged file"] == 1
    assert path.name in found.examples["damaged file"][0]
    assert found.rows == 6


def twice(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows.slice(0, 3), rows.slice(0, 1)])


def of_another_image(rows: pa.Table) -> pa.Table:
    ids = pa.array(["04.jpg", "05.jpg", "06.jpg", "elsewhere.jpg"])
    return rows.set_column(0, "image_id", ids)


def of_another_prompt(rows: pa.Table) -> pa.Table:
    names = pa.array(["Describe the place.", "Rhyme."] * 2).dictionary_encode()
    return rows.set_column(rows.schema.get_field_index("prompt"), "prompt", names)


def without_a_caption(rows: pa.Table) -> pa.Table:
    return rows.set_column(2, "caption", pa.array(["A", None, "C", "D"], pa.string()))


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (lambda rows: rows.slice(0, 3), {"image without a row": ["'07.jpg'"]}),
        (
            twice,
            {"image without a row": ["'07.jpg'"], "second row of an image": ["'04.jpg'"]},
        ),
        (
            of_another_image,
            {
                "image without a row": ["'07.jpg'"],
                "row of an image that is not planned": ["'elsewhere.jpg'"],
            },
        ),
        (
            lambda rows: rows.take([1, 0, 2, 3]),
            {"rows in another order": ["'04.jpg'"]},
        ),
        (
            of_another_prompt,
            {
                "provenance differs": [
                    "part-00001-of-00003.parquet: prompt Rhyme., not Describe the place."
                ]
            },
        ),
        (without_a_caption, {"row ok without caption": ["'05.jpg'"]}),
        (
            lambda rows: rows.drop_columns(["caption"]),
            {"damaged file": ["part-00001-of-00003.parquet has no column caption"]},
        ),
    ],
)
def test_rows_that_are_not_as_planned_are_found(
    tmp_path: Path,
    change: Callable[[pa.Table], pa.Table],
    problems: dict[str, list[str]],
) -> None:
    written = write_set(tmp_path)
    rewrite(written, change)
    found = verify(written.captions, written.plan)
    found.examples.pop("summary differs", None)  # it counts rows that are gone
    assert found.examples == problems


def test_a_summary_that_says_something_else_is_found(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    shard = written.plan.shards[0]
    write_json(written.captions.summary(shard), {"part": "x", "rows": 4, "statuses": {"ok": 4}})
    found = verify(written.captions, written.plan)
    assert found.examples == {"summary differs": ["part-00000-of-00003.json"]}


def test_what_no_plan_put_into_the_folder_of_rows_is_foreign(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    (written.captions.data / "notes.txt").write_text("mine")
    rows = build_table([row("00.jpg")], CONFIG, written.plan.info.plan_id)
    pq.write_table(rows, written.captions.data / "part-00000-of-00099.parquet")
    found = verify(written.captions, written.plan)
    assert found.examples == {"foreign file": ["notes.txt", "part-00000-of-00099.parquet"]}


def test_only_a_deep_look_sees_that_images_changed_or_went(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    images = Path(written.plan.info.image_root)
    (images / "03.jpg").write_bytes(b"another picture")
    (images / "08.jpg").unlink()
    assert not verify(written.captions, written.plan).counts
    assert verify(written.captions, written.plan, deep=True).examples == {
        "image changed": ["'03.jpg'"],
        "image is gone": ["'08.jpg': No such file or directory"],
    }


def test_a_set_of_another_plan_is_refused(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    with pytest.raises(StaleArtefactError, match="covers plan"):
        verify(written.captions, written.plan.first(5))


def test_a_million_problems_are_counted_and_a_few_are_shown() -> None:
    found, more = Findings(), Findings()
    for number in range(1000):
        found.add("image changed", f"{number}")
        more.add("image changed", f"more {number}")
    found.merge(more)
    assert found.counts == {"image changed": 2000}
    assert found.examples == {"image changed": [f"{number}" for number in range(EXAMPLES)]}
