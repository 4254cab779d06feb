import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import build_table, commit_part, read_captions
from vprcap.caption_sets.qa import FLAGS
from vprcap.caption_sets.row_filter import parse_filter
from vprcap.commit_protocol.journal import read_journals
from vprcap.commit_protocol.lease import claim
from vprcap.errors import BusyError, MissingError
from vprcap.manifests.plan import plan_path, read_plan
from vprcap.stages.adopt import adopt
from vprcap.stages.compact import compact
from vprcap.stages.reopen import reopen
from vprcap.stages.select_flagged import select_flagged
from vprcap.stages.verify import verify
from written_sets import CONFIG, Written, row, write_set

AGAIN = replace(CONFIG, temperature=0.7, seed=1)
GOOD = "A house of red brick with a slate roof, number {}."
SORRY = "I'm sorry, I cannot describe it."
LOOP = "A wall, a wall, a wall, a wall."
COLUMNS = ["image_id", "caption", "config_id", "qa_flags"]


def flagged_set(folder: Path, captions: Mapping[str, str]) -> Written:
    """Write a set whose captions are good but for these."""
    written = write_set(folder)
    for shard in written.plan.shards:
        rows = [
            row(name) | {"caption": captions.get(name, GOOD.format(name)), "finish_reason": "stop"}
            for name in written.plan.image_ids(shard)
        ]
        table = build_table(rows, CONFIG, written.plan.info.plan_id)
        pq.write_table(table, written.captions.part(shard))
    return written


def write_again(written: Written, changes: Mapping[str, dict[str, Any]]) -> CaptionSet:
    """Write the flagged images' captions again: good ones, but for these changes."""
    selected = select_flagged(written.captions, FLAGS)
    assert selected is not None
    plan = read_plan(plan_path(selected[0]))
    again = CaptionSet(written.captions.retries / "again")
    again.create(AGAIN, asdict(plan.info))
    for shard in plan.shards:
        rows = [
            row(name) | {"caption": f"Again: {GOOD}".format(name), "finish_reason": "stop"}
            for name in plan.image_ids(shard)
        ]
        rows = [each | changes.get(each["image_id"], {}) for each in rows]
        assert commit_part(again, shard, "t", build_table(rows, AGAIN, plan.info.plan_id))
    return again


def captions_of(written: Written) -> dict[str, str]:
    rows = read_captions(written.captions.root, COLUMNS).to_pylist()
    return {row["image_id"]: row["caption"] for row in rows}


def configs_of(written: Written) -> dict[str, str]:
    rows = read_captions(written.captions.root, COLUMNS).to_pylist()
    return {row["image_id"]: row["config_id"] for row in rows}


@pytest.mark.parametrize("compacted", [False, True])
def test_better_captions_take_their_place_and_name_their_configuration(
    tmp_path: Path, compacted: bool
) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY, "08.jpg": LOOP})
    first = captions_of(written)
    if compacted:
        compact(written.captions, written.plan)
    generation = written.captions.newest()
    old = written.captions.now()
    again = write_again(written, {})
    assert adopt(written.captions, again) == 2
    changed = {
        "01.jpg": "Again: " + GOOD.format("01.jpg"),
        "08.jpg": "Again: " + GOOD.format("08.jpg"),
    }
    assert captions_of(written) == first | changed
    configs = configs_of(written)
    assert {name for name, found in configs.items() if found == AGAIN.config_id} == changed.keys()
    assert set(configs.values()) == {CONFIG.config_id, AGAIN.config_id}
    assert not verify(written.captions, written.plan).counts
    assert written.captions.newest() == generation + 1
    kept = pq.read_table(old.files()[0], columns=["image_id", "caption"]).to_pylist()
    assert kept[1] == {"image_id": "01.jpg", "caption": SORRY}, "for readers that have it open"


@pytest.mark.parametrize(
    "second",
    [
        {"caption": SORRY},
        {"caption": "", "finish_reason": "stop"},
        {"caption": None, "status": "oom"},
        {"caption": GOOD, "image_sha256": "0" * 64},
        {"caption": GOOD, "status": "refused"},
    ],
)
def test_what_is_no_better_leaves_the_set_as_it_is(tmp_path: Path, second: dict[str, Any]) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY})
    first = captions_of(written)
    assert adopt(written.captions, write_again(written, {"01.jpg": second})) == 0
    assert captions_of(written) == first
    assert written.captions.generations() == [0]


def test_of_two_flagged_captions_the_one_with_the_lesser_flag_stays(tmp_path: Path) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY, "05.jpg": LOOP})
    again = write_again(written, {"01.jpg": {"caption": LOOP}, "05.jpg": {"caption": SORRY}})
    assert adopt(written.captions, again) == 1
    assert captions_of(written)["01.jpg"] == captions_of(written)["05.jpg"] == LOOP


def test_what_was_adopted_is_not_selected_again_and_what_was_not_is(tmp_path: Path) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY, "05.jpg": SORRY})
    adopt(
        written.captions,
        write_again(written, {"01.jpg": {"caption": LOOP}, "05.jpg": {"caption": SORRY}}),
    )
    selected = select_flagged(written.captions, FLAGS)
    assert selected is not None and selected[1] == 1
    plan = read_plan(plan_path(selected[0]))
    assert plan.image_ids(plan.shards[0]) == ["05.jpg"]


def test_a_later_retry_of_other_rows_keeps_how_each_caption_was_made(tmp_path: Path) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY})
    adopt(written.captions, write_again(written, {}))
    reopen(written.captions, parse_filter("status=ok,oom"))
    shard = written.plan.shards[0]
    part = written.captions.now().part(shard)
    assert not part.exists(), "all of its rows are meant, and none is kept"
    assert read_journals(written.captions.journals, shard.name) == {}


def test_kept_rows_of_a_reopened_shard_are_committed_with_their_own_configuration(
    tmp_path: Path,
) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY})
    adopt(written.captions, write_again(written, {}))
    current, shard = written.captions.now(), written.plan.shards[0]
    rows = pq.read_table(current.part(shard)).to_pylist()
    rows[2] |= {"status": "oom", "caption": None}
    table = build_table(rows, CONFIG, written.plan.info.plan_id)
    pq.write_table(table, current.part(shard))
    current.summary(shard).unlink()
    assert reopen(written.captions, parse_filter("status=oom")) == 1
    kept = read_journals(written.captions.journals, shard.name)
    assert {name: each["config_id"] for name, each in kept.items()} == {
        "00.jpg": CONFIG.config_id,
        "01.jpg": AGAIN.config_id,
        "03.jpg": CONFIG.config_id,
    }
    rebuilt = build_table(list(kept.values()), CONFIG, written.plan.info.plan_id)
    assert rebuilt["config_id"].to_pylist()[1] == AGAIN.config_id


def test_a_row_of_a_configuration_that_nobody_retried_with_is_wrong(tmp_path: Path) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY})
    shard = written.plan.shards[0]
    rows = pq.read_table(written.captions.part(shard)).to_pylist()
    rows[1]["config_id"] = AGAIN.config_id
    pq.write_table(
        build_table(rows, CONFIG, written.plan.info.plan_id), written.captions.part(shard)
    )
    assert verify(written.captions, written.plan).counts == {"provenance differs": 1}


def test_unfinished_sets_are_not_adopted_from_nor_into(tmp_path: Path) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY})
    again = write_again(written, {})
    part = next(again.data.iterdir())
    part.unlink()
    with pytest.raises(MissingError, match="1 of 1 shards of again"):
        adopt(written.captions, again)
    written.captions.part(written.plan.shards[2]).unlink()
    with pytest.raises(MissingError, match="1 of 3 shards"):
        adopt(written.captions, again)


def test_a_set_that_somebody_changes_is_left_alone(tmp_path: Path) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY})
    again = write_again(written, {})
    lease = claim(written.captions.own_lease)
    assert lease is not None
    with lease, pytest.raises(BusyError, match="being compacted or retried"):
        adopt(written.captions, again)
    assert captions_of(written)["01.jpg"] == SORRY


def test_killed_at_any_step_the_first_captions_stay_until_the_second_are_whole(
    tmp_path: Path,
) -> None:
    written = flagged_set(tmp_path, {"01.jpg": SORRY, "08.jpg": SORRY})
    first = captions_of(written)
    again = write_again(written, {})
    seen = []
    for number in range(1, 20):
        killed = os.fork() or die_at(written, again, number)
        _, status = os.waitpid(killed, 0)
        now = captions_of(written)
        seen.append([now["01.jpg"] != SORRY, now["08.jpg"] != SORRY])
        assert len(now) == len(first)
        if status == 0:
            break
    # At least: flushes of three parts and of their folder, and the rename; then the flush that
    # comes too late to undo it, and a run that finds nothing more to do.
    num_before = seen.index([True, True])
    assert num_before >= 5
    assert seen == [[False, False]] * num_before + [[True, True]] * 2
    assert not verify(written.captions, written.plan).counts


def die_at(written: Written, again: CaptionSet, number: int) -> int:
    """Adopt in this (forked) process and end it at the n-th flush or rename of the set's files."""
    left = number

    def counted(whole):  # type: ignore[no-untyped-def]
        def step(*arguments: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                os._exit(1)
            whole(*arguments)

        return step

    os.fsync, os.rename = counted(os.fsync), counted(os.rename)
    adopt(written.captions, again)
    os._exit(0)
