import os
from pathlib import Path

import pytest

from vprcap.caption_sets.captions import read_captions, status_counts
from vprcap.caption_sets.row_filter import parse_filter
from vprcap.caption_sets.shard_rows import finished
from vprcap.commit_protocol.journal import Journal, read_journals
from vprcap.commit_protocol.lease import claim
from vprcap.errors import BusyError, InvalidError
from vprcap.files import write_json
from vprcap.stages.compact import compact
from vprcap.stages.reopen import reopen
from written_sets import Written, write_set

STATUSES = {"01.jpg": "oom", "02.jpg": "refused", "09.jpg": "oom"}
"""Shard 0 (00 to 03) has both, shard 1 (04 to 07) none, shard 2 (08, 09) one."""


def kept(written: Written, index: int) -> list[str]:
    journals = read_journals(written.captions.journals, written.plan.shards[index].name)
    return sorted(journals)


def done(written: Written) -> list[int]:
    return [shard.index for shard in finished(written.captions.now())]


@pytest.mark.parametrize(
    ("where", "num_rows", "left"),
    [
        ("status=oom", 2, [1]),
        ("status=refused", 1, [1, 2]),
        ("status!=ok", 3, [1]),
        ("status = oom, refused", 3, [1]),
        ("status=timeout", 0, [0, 1, 2]),
    ],
)
def test_shards_with_such_rows_and_no_others_go_back_into_work(
    tmp_path: Path, where: str, num_rows: int, left: list[int]
) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    assert reopen(written.captions, parse_filter(where)) == num_rows
    assert done(written) == left


def test_the_other_rows_of_a_reopened_shard_are_in_its_journal(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    before = {
        row["image_id"]: row["caption"] for row in read_captions(written.captions.root).to_pylist()
    }
    reopen(written.captions, parse_filter("status=oom"))
    assert kept(written, 0) == ["00.jpg", "02.jpg", "03.jpg"]
    assert kept(written, 2) == ["08.jpg"]
    rows = read_journals(written.captions.journals, written.plan.shards[0].name)
    assert {name: row["caption"] for name, row in rows.items()} == {
        name: before[name] for name in ("00.jpg", "02.jpg", "03.jpg")
    }
    assert rows["02.jpg"]["status"] == "refused"


def test_what_an_earlier_attempt_journaled_does_not_keep_rows_that_are_meant_now(
    tmp_path: Path,
) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    shard = written.plan.shards[0]
    with Journal(written.captions.journals, shard.name, "killed") as journal:
        journal.append([{"image_id": "02.jpg", "status": "refused"}])
    reopen(written.captions, parse_filter("status=refused"))
    assert kept(written, 0) == ["00.jpg", "01.jpg", "03.jpg"]


@pytest.mark.parametrize(("compacted", "num_steps"), [(False, 4), (True, 7)])
def test_a_retry_killed_at_any_step_has_every_row_in_a_part_or_in_a_journal(
    tmp_path: Path, compacted: bool, num_steps: int
) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    for _ in range(2 * compacted):  # the second time the parts go
        compact(written.captions, written.plan)
    good = {f"{number:02}.jpg" for number in range(10)} - STATUSES.keys()
    for number in range(1, 20):
        killed = os.fork() or die_at(written, number)
        _, status = os.waitpid(killed, 0)
        in_parts = read_captions(written.captions.root).to_pylist()
        safe = {row["image_id"] for row in in_parts} | {*kept(written, 0), *kept(written, 2)}
        assert good <= safe
        if status == 0:
            break
    # Killed at the flush of a journal, at the rename of a part and at the flush of its folder, and
    # ended in the 4th try; of a compacted set at the flushes of three parts and of two folders,
    # then at the last of the six steps that two parts take, and ended in the 7th.
    assert number == num_steps
    assert done(written) == [1]


def die_at(written: Written, number: int) -> int:
    """Reopen in this (forked) process and end it at the n-th flush or rename."""
    left = number

    def counted(whole):  # type: ignore[no-untyped-def]
        def step(*arguments: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                os._exit(1)
            whole(*arguments)

        return step

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    reopen(written.captions, parse_filter("status!=ok"))
    os._exit(0)


def test_a_shard_that_somebody_works_on_is_not_reopened(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    lease = claim(written.captions.lease(written.plan.shards[0]))
    assert lease is not None
    with lease, pytest.raises(BusyError, match=rf"shard 0 of 3 .* held by process {os.getpid()} "):
        reopen(written.captions, parse_filter("status=oom"))
    assert done(written) == [0, 1, 2]


def test_a_compacted_set_gets_its_parts_back_and_then_compacts_again(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    before = read_captions(written.captions.root)
    compact(written.captions, written.plan)
    compact(written.captions, written.plan)  # the first parts are gone
    assert reopen(written.captions, parse_filter("status=refused")) == 1
    assert done(written) == [1, 2]
    assert read_captions(written.captions.root).equals(before.slice(4))
    assert written.captions.generations() == [1, 2]


def test_a_retry_that_means_no_row_leaves_a_compacted_set_as_it_is(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    compact(written.captions, written.plan)
    assert reopen(written.captions, parse_filter("status=oom")) == 0
    assert written.captions.generations() == [0, 1]


def test_counts_of_a_reopened_shard_are_not_those_of_its_former_part(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    reopen(written.captions, parse_filter("status=refused"))
    assert status_counts(written.captions.root) == {"ok": 5, "oom": 1}


@pytest.mark.parametrize(
    "where", ["", "ok", "status", "status=", "status>ok", "caption=x", "status=ok or 1"]
)
def test_what_is_no_filter_is_refused_with_how_to_write_one(where: str) -> None:
    with pytest.raises(InvalidError, match=r"write status=NAME"):
        parse_filter(where)


def test_an_image_that_was_given_up_gets_a_fresh_chance(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses={"01.jpg": "poison"})
    note = written.captions.attempts(written.plan.shards[0])
    write_json(note, {"guilty": {"01.jpg": "poison"}})
    assert reopen(written.captions, parse_filter("status=poison")) == 1
    assert not note.exists()
