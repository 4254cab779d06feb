import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import build_table, commit_part, read_captions, status_counts
from vprcap.caption_sets.generations import changing, next_generation
from vprcap.caption_sets.row_filter import parse_filter
from vprcap.caption_sets.shard_rows import finished, iter_shards
from vprcap.commit_protocol.lease import claim
from vprcap.errors import BusyError, InvalidError, MissingError, StorageError
from vprcap.stages.compact import compact
from vprcap.stages.reopen import reopen
from written_sets import CONFIG, Written, row, write_set


def rows_of(captions: CaptionSet) -> list[dict[str, object]]:
    """All rows as foreign readers see them: the files of the newest folder, by name."""
    files = sorted(captions.data.glob("*.parquet"))
    return [each for path in files for each in pq.read_table(path).to_pylist()]


def test_compacted_rows_are_those_of_the_parts_in_plan_order(tmp_path: Path) -> None:
    written = write_set(tmp_path, num_images=50, shard_size=4)
    before = rows_of(written.captions)
    assert compact(written.captions, written.plan, rows_per_file=16) == []
    assert written.captions.data.name == "data-0001"
    assert [path.name for path in written.captions.files()] == [
        f"rows-0000{i}-of-00004.parquet" for i in range(4)
    ]
    assert rows_of(written.captions) == before
    assert [each["image_id"] for each in before] == [f"{i:02}.jpg" for i in range(50)]
    assert read_captions(written.captions.root)["image_id"].to_pylist() == [
        f"{i:02}.jpg" for i in range(50)
    ]


def test_every_reader_reads_the_compacted_folder(tmp_path: Path) -> None:
    import duckdb
    import polars

    written = write_set(tmp_path)
    compact(written.captions, written.plan, rows_per_file=4)
    folder = written.captions.data
    assert pq.read_table(folder).num_rows == 10
    assert polars.scan_parquet(f"{folder}/*.parquet").collect().height == 10
    counted = duckdb.sql(f"select count(*) from '{folder}/*.parquet'").fetchall()
    assert counted == [(10,)]


def test_the_parts_stay_until_the_next_compaction(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    compact(written.captions, written.plan)
    assert len(list((written.captions.root / "data").iterdir())) == 3
    assert compact(written.captions, written.plan) == [written.captions.root / "data"]
    assert written.captions.generations() == [1]
    assert compact(written.captions, written.plan) == []
    assert status_counts(written.captions.root) == {"ok": 10}


def test_an_unfinished_set_is_not_compacted(tmp_path: Path) -> None:
    written = write_set(tmp_path, shards=2)
    with pytest.raises(MissingError, match="1 of 3 shards of .* have no rows yet"):
        compact(written.captions, written.plan)
    assert written.captions.generations() == [0]


@pytest.mark.parametrize("damage", ["flip", "other rows", "cut"])
def test_a_damaged_part_stops_a_compaction_and_leaves_all_as_it_was(
    tmp_path: Path, damage: str
) -> None:
    written = write_set(tmp_path)
    part = written.captions.part(written.plan.shards[1])
    data = bytearray(part.read_bytes())
    if damage == "flip":
        data[60] ^= 0xFF
        part.write_bytes(data)
    elif damage == "cut":
        part.write_bytes(data[:-10])
    else:
        pq.write_table(pq.read_table(written.captions.part(written.plan.shards[0])), part)
    with pytest.raises(InvalidError, match="part-00001-of-00003"):
        compact(written.captions, written.plan)
    assert written.captions.generations() == [0]
    assert list(written.captions.staging.iterdir()) == []


def test_a_file_that_does_not_read_back_is_never_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_set(tmp_path)
    whole = pq.ParquetWriter.write_table

    def forgets_captions(self: pq.ParquetWriter, rows: pa.Table, **options: object) -> None:
        empty = pa.nulls(rows.num_rows, pa.string())
        whole(self, rows.set_column(2, "caption", empty), **options)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", forgets_captions)
    with pytest.raises(InvalidError, match="does not read back as it was written"):
        compact(written.captions, written.plan)
    assert written.captions.generations() == [0]


def test_a_compaction_killed_at_any_file_leaves_the_parts_and_can_be_run_again(
    tmp_path: Path,
) -> None:
    written = write_set(tmp_path)
    before = rows_of(written.captions)
    for number in range(1, 12):
        killed = os.fork() or die_at_fsync(written, number)
        _, status = os.waitpid(killed, 0)
        assert rows_of(written.captions) == before
        if status == 0:
            break
    assert number > 4, "it was killed at every file, and before and after the switch"
    assert written.captions.is_compacted()
    assert list(written.captions.staging.iterdir()) == []


def die_at_fsync(written: Written, number: int) -> int:
    """Compact in this (forked) process and end it at the n-th flush, before it happens."""
    left = number
    whole = os.fsync

    def dies(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            os._exit(1)
        whole(descriptor)

    os.fsync = dies  # type: ignore[assignment]
    compact(written.captions, written.plan, rows_per_file=4)
    os._exit(0)


def test_of_two_compactions_the_second_says_who_is_there(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    with (
        changing(written.captions),
        pytest.raises(BusyError, match=rf"compacted or retried by process {os.getpid()} on"),
    ):
        compact(written.captions, written.plan)


def test_a_compaction_that_slept_cannot_put_old_rows_before_those_of_a_retry(
    tmp_path: Path,
) -> None:
    written = write_set(tmp_path, statuses={"05.jpg": "oom"})
    captions = written.captions
    with pytest.raises(BusyError, match="was changed by another process"):
        with next_generation(captions) as folder:  # it builds, and sleeps...
            (folder / "rows-00000-of-00001.parquet").write_bytes(b"old rows")
            reopen(captions, parse_filter("status=oom"))  # ...while a retry takes over
    assert captions.newest() == 0
    assert len(finished(captions.now())) == 2


def test_a_worker_that_slept_through_a_compaction_adds_nothing_to_what_is_read(
    tmp_path: Path,
) -> None:
    written = write_set(tmp_path)
    sleeper, shard = written.captions.now(), written.plan.shards[0]
    rows = build_table(
        [row(name) for name in written.plan.image_ids(shard)], CONFIG, written.plan.info.plan_id
    )
    compact(written.captions, written.plan)
    before = {path: path.read_bytes() for path in written.captions.data.iterdir()}
    assert not commit_part(sleeper, shard, "late", rows), "its part is there"
    compact(written.captions, written.plan)  # removes the parts
    with pytest.raises(StorageError, match="No such file"):
        commit_part(sleeper, shard, "late", rows)
    assert {path: path.read_bytes() for path in written.captions.data.iterdir()} == before


def test_shards_are_read_from_compacted_files_without_reading_the_others(tmp_path: Path) -> None:
    written = write_set(tmp_path, num_images=12, shard_size=4)
    compact(written.captions, written.plan, rows_per_file=8)
    first, _ = written.captions.files()
    data = bytearray(first.read_bytes())
    data[60] ^= 0xFF
    first.write_bytes(data)
    last = written.plan.shards[2]
    [(shard, rows)] = iter_shards(written.captions.now(), ["image_id"], {last})
    assert shard == last
    assert rows["image_id"].to_pylist() == ["08.jpg", "09.jpg", "10.jpg", "11.jpg"]
    with pytest.raises(InvalidError, match="rows-00000-of-00002"):
        list(iter_shards(written.captions.now()))


def test_parts_beyond_five_digits_stay_in_plan_order(tmp_path: Path) -> None:
    captions = CaptionSet(tmp_path)
    captions.data.mkdir()
    for index in (99_999, 100_000, 7):
        (captions.data / f"part-{index:05d}-of-244141.parquet").touch()
    assert [path.name.split("-")[1] for path in captions.files()] == ["00007", "99999", "100000"]


def test_counts_missing_for_parts_are_made_before_the_parts_go(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses={"00.jpg": "missing"})
    for path in written.captions.summaries.iterdir():
        path.unlink()
    compact(written.captions, written.plan)
    assert len(list(written.captions.summaries.iterdir())) == 3
    assert status_counts(written.captions.root) == {"ok": 9, "missing": 1}


@pytest.mark.parametrize("column", ["seconds", "qa_flags", "quantization"])
def test_a_column_that_an_earlier_version_did_not_write_is_null(
    tmp_path: Path, column: str
) -> None:
    written = write_set(tmp_path, num_images=8)
    old = written.captions.part(written.plan.shards[0])
    pq.write_table(pq.read_table(old).drop_columns([column]), old)
    compact(written.captions, written.plan)
    values = [row[column] for row in rows_of(written.captions)]
    assert values[:4] == [None] * 4 and None not in values[4:]


def test_a_held_shard_lease_does_not_hinder_a_compaction(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    lease = claim(written.captions.lease(written.plan.shards[0]))
    assert lease is not None
    with lease:
        compact(written.captions, written.plan)
    assert written.captions.is_compacted()


def test_of_compactions_that_race_one_publishes_and_the_rows_stay(tmp_path: Path) -> None:
    written = write_set(tmp_path, num_images=30)
    before = rows_of(written.captions)
    children = [os.fork() or compact_once(written) for _ in range(4)]
    outcomes = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    assert outcomes <= {0, 3} and 0 in outcomes
    assert written.captions.newest() == 1
    assert rows_of(written.captions) == before
    assert list(written.captions.staging.iterdir()) == []


def compact_once(written: Written) -> int:
    """Compact in this (forked) process: it ends with 3 where another one is at it."""
    try:
        compact(written.captions, written.plan, rows_per_file=4)
    except BusyError:
        os._exit(3)
    os._exit(0)
