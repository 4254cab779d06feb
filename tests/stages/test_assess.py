import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from vprcap.caption_sets.captions import build_table
from vprcap.errors import MissingError
from vprcap.files import write_json
from vprcap.stages.assess import assess
from vprcap.stages.compact import compact
from written_sets import CONFIG, Written, row, write_set

PROMPT = "Leave out people and vehicles."
GOOD = "A house of red brick with a slate roof stands on the left of number {}."


def rewrite(written: Written, changes: dict[str, dict[str, Any]]) -> None:
    """Give all images a good caption of their own, and some of them other rows."""
    for shard in written.plan.shards:
        rows = [
            row(name) | {"caption": GOOD.format(name[:2]), "finish_reason": "stop"}
            for name in written.plan.image_ids(shard)
        ]
        rows = [each | changes.get(each["image_id"], {}) for each in rows]
        table = build_table(rows, CONFIG, written.plan.info.plan_id)
        pq.write_table(table, written.captions.part(shard))
    stored = json.loads(written.captions.config_json.read_text())
    write_json(written.captions.config_json, {**stored, "prompt": PROMPT})


CAR = {"caption": "A car and a bus before a house of brick.", "qa_flags": ["transient"]}
CHANGES = {
    "01.jpg": CAR,
    "02.jpg": {"caption": "A man, a bus, and a car before a house of brick."},
    "03.jpg": {"caption": None, "status": "oom"},
    "05.jpg": {"caption": "A wall of", "finish_reason": "length", "qa_flags": None},
    "09.jpg": {"qa_flags": ["refusal"]},
}


@pytest.mark.parametrize("compacted", [False, True])
def test_flags_are_found_again_and_counted(tmp_path: Path, compacted: bool) -> None:
    written = write_set(tmp_path)
    rewrite(written, CHANGES)
    if compacted:
        compact(written.captions, written.plan)
    found = assess(written.captions, num_examples=1)
    assert (found.captions, found.flagged, found.distinct) == (9, 3, 9)
    assert found.flags == {"transient": 2, "length": 1, "too_short": 1}
    assert found.stored_flags_differ == 3, "02 and 05 have flags to come, 09 one to go"
    [worst] = found.examples["transient"]
    assert (worst.image_id, worst.because) == ("02.jpg", ["man", "bus", "car"])


def test_nothing_is_written(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    rewrite(written, CHANGES)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assess(written.captions)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_one_caption_on_ten_images_is_a_duplicate_and_on_nine_none(tmp_path: Path) -> None:
    written = write_set(tmp_path, num_images=21)
    same = {f"{n:02}.jpg": {"caption": "A street with houses on both sides."} for n in range(10)}
    few = {
        f"{n:02}.jpg": {"caption": "A square with a church in the middle."} for n in range(11, 20)
    }
    rewrite(written, same | few)
    found = assess(written.captions)
    assert found.flags == {"duplicate": 10}
    assert found.distinct == 4
    [example] = found.examples["duplicate"]
    assert (example.image_id, example.because) == ("00.jpg", ["10 images"])


def test_a_set_without_rows_says_what_to_do(tmp_path: Path) -> None:
    written = write_set(tmp_path, shards=0)
    with pytest.raises(MissingError, match="vprcap caption"):
        assess(written.captions)
