"""Workers that race, sleep, or live by another clock; and journals with a torn tail."""

import os
import signal
import time
from pathlib import Path

import pytest
from fault_workers import Rehearsal, rows_of, run, start, wait_until_stopped


@pytest.mark.parametrize("num_workers", [2, 4, 8])
def test_workers_that_race_on_one_plan_write_every_row_once(
    rehearsal: Rehearsal, tmp_path: Path, num_workers: int
) -> None:
    workers = [start(rehearsal.manifest, tmp_path / "set") for _ in range(num_workers)]
    codes = [worker.end() for worker in workers]
    said = [worker.log.read_text() for worker in workers]
    assert set(codes) <= {0, 3}, said
    assert all("BusyError" in each for code, each in zip(codes, said, strict=True) if code), said
    assert rows_of(tmp_path / "set") == rehearsal.rows


@pytest.mark.parametrize(
    "point",
    ["journal.open:1", "journal.write:2", "captions.write:1", "files.link:2", "files.unlink:2"]
    + ["journal.remove:1", "files.replace:3", "lease.release:1"],
)
def test_a_stopped_worker_whose_lease_is_stolen_wakes_up_and_changes_no_row(
    rehearsal: Rehearsal, tmp_path: Path, point: str
) -> None:
    root = tmp_path / "set"
    sleeper = start(rehearsal.manifest, root, faults=f"stop:{point}")
    try:
        wait_until_stopped(sleeper)
        for lease in root.glob("*/leases/part-*"):
            os.utime(lease, (time.time() - 1000, time.time() - 1000))
        code, said = run(rehearsal.manifest, root)
        assert code == 0, said
        assert rows_of(root) == rehearsal.rows, "the successor's"
        sleeper.resume()
        assert sleeper.end() in (0, 3), sleeper.log.read_text()
        assert "Traceback" not in sleeper.log.read_text()
        assert rows_of(root) == rehearsal.rows, "after it woke up"
    finally:
        if sleeper.process.is_alive():
            os.kill(sleeper.pid, signal.SIGKILL)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_clock_is_an_hour_off_steals_no_lease_that_is_alive(
    rehearsal: Rehearsal, tmp_path: Path, hours: int
) -> None:
    root = tmp_path / "set"
    holder = start(rehearsal.manifest, root, faults="stop:journal.write:1")
    try:
        wait_until_stopped(holder)
        (lease,) = root.glob("*/leases/part-*")
        held = lease.read_text()
        code, said = run(rehearsal.manifest, root, clock=3600.0 * hours)
        assert code == 3 and "BusyError: 1 of 3 shards" in said
        assert lease.read_text() == held
        holder.resume()
        assert holder.end() == 0, holder.log.read_text()
    finally:
        if holder.process.is_alive():
            os.kill(holder.pid, signal.SIGKILL)
    assert rows_of(root) == rehearsal.rows


@pytest.mark.parametrize("tear", [1, 9, 60, "garbage", "another line's end"])
def test_a_torn_tail_of_a_journal_costs_only_the_torn_row(
    rehearsal: Rehearsal, tmp_path: Path, tear: int | str
) -> None:
    code, _ = run(rehearsal.manifest, tmp_path, faults="kill:journal.write:2")
    assert code == -9
    (journal,) = tmp_path.glob("*/journal/*.jsonl")
    data = journal.read_bytes()
    assert data.count(b"\n") == 3
    journal.write_bytes(data[:-tear] if isinstance(tear, int) else data + tear.encode())
    code, said = run(rehearsal.manifest, tmp_path)
    assert code == 0, said
    assert rows_of(tmp_path) == rehearsal.rows


def test_memory_that_runs_out_every_few_batches_and_deaths_between_change_no_row(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    for number in (2, 1):
        code, said = run(
            rehearsal.manifest, tmp_path, model="oom_every=2", faults=f"kill:journal.write:{number}"
        )
        assert code == -9, said
    code, said = run(rehearsal.manifest, tmp_path, model="oom_every=2")
    assert code == 0, said
    assert rows_of(tmp_path) == rehearsal.rows


def test_captions_elsewhere_leave_a_read_only_image_folder_alone(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    images = rehearsal.manifest.parent / "images"
    before = {path: path.stat().st_mtime_ns for path in (images, *images.rglob("*"))}
    images.chmod(0o555)
    try:
        code, said = run(rehearsal.manifest, tmp_path)
    finally:
        images.chmod(0o755)
    assert code == 0, said
    assert {path: path.stat().st_mtime_ns for path in (images, *images.rglob("*"))} == before
    assert rows_of(tmp_path) == rehearsal.rows
