import json
import os
import time
from pathlib import Path

import pytest

from vprcap.caption_sets.captions import failed_rows, status_counts
from vprcap.caption_sets.prometheus import write_prometheus
from vprcap.caption_sets.status import read_status
from vprcap.cli.status_lines import status_lines
from vprcap.commit_protocol.journal import Journal
from vprcap.commit_protocol.lease import claim
from vprcap.files import read_json, write_json
from vprcap.stages.compact import compact
from written_sets import row, write_set, write_shard

STATUSES = {"01.jpg": "oom", "02.jpg": "missing", "05.jpg": "oom"}


def test_a_finished_set_is_counted_from_its_summaries(tmp_path: Path) -> None:
    status = read_status(write_set(tmp_path, statuses=STATUSES).captions)
    assert (status.images, status.images_left, status.shards, len(status.done)) == (10, 0, 3, 3)
    assert status.statuses == {"ok": 7, "oom": 2, "missing": 1}
    assert status.worker_seconds == 6.0
    assert status.images_per_second_each == 10 / 6
    assert (status.workers, status.images_per_second, status.eta_seconds) == (0, None, 0.0)


def test_hours_of_gpus_are_those_of_parts_that_a_gpu_made(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    path = written.captions.summary(written.plan.shards[1])
    write_json(path, {**read_json(path), "device": "NVIDIA H100", "seconds": 1800.0})
    status = read_status(written.captions)
    assert status.gpu_seconds == 1800.0
    assert status.worker_seconds == 1804.0


@pytest.mark.parametrize("compacted", [False, True])
def test_a_summary_that_is_absent_or_damaged_is_made_from_the_rows(
    tmp_path: Path, compacted: bool
) -> None:
    written = write_set(tmp_path, statuses=STATUSES)
    if compacted:
        compact(written.captions, written.plan)
    first, second, third = written.plan.shards
    written.captions.summary(first).unlink()
    written.captions.summary(second).write_text('{"rows": 4')
    write_json(written.captions.summary(third), {"part": "x", "rows": 2, "statuses": {"ok": 1}})
    assert status_counts(written.captions.root) == {"ok": 7, "oom": 2, "missing": 1}


def test_running_and_dead_workers_are_told_apart(tmp_path: Path) -> None:
    written = write_set(tmp_path, num_images=20, shards=1)
    captions, shards = written.captions, written.plan.shards
    lease = claim(captions.lease(shards[1]))
    assert lease is not None
    other = {"host": "gpu7/1", "pid": 99, "token": "a", "since": time.time() - 300}
    write_json(captions.lease(shards[2]), other)
    write_json(captions.lease(shards[3]), {**other, "host": "gpu8/1"})
    os.utime(captions.lease(shards[3]), (time.time() - 500, time.time() - 500))
    with lease, Journal(captions.journals, shards[1].name, "x") as journal:
        journal.append([row("04.jpg"), row("05.jpg"), row("06.jpg")])
        status = read_status(captions)
    mine, alive, dead = status.running
    assert (mine.shard, mine.pid, mine.rows, mine.stale) == (1, os.getpid(), 3, False)
    assert mine.age_seconds is not None and mine.age_seconds < 60
    assert (alive.host, alive.pid, alive.stale) == ("gpu7", 99, False)
    assert alive.age_seconds == pytest.approx(300, abs=60)
    assert (dead.host, dead.stale) == ("gpu8", True)
    assert dead.heartbeat_seconds == pytest.approx(500, abs=60)
    assert (status.workers, status.images_left) == (2, 13)
    # One worker made 4 images in 2 seconds; two are at work.
    assert status.images_per_second == 4.0
    assert status.eta_seconds == 13 / 4


def test_rows_in_journals_of_finished_shards_are_not_counted_twice(tmp_path: Path) -> None:
    written = write_set(tmp_path, shards=1)
    for shard in written.plan.shards[:2]:
        with Journal(written.captions.journals, shard.name, "x") as journal:
            journal.append([row("00.jpg"), row("01.jpg")])
    status = read_status(written.captions)
    assert (status.rows_journaled, status.images_left) == (2, 4)


def test_looking_writes_nothing(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses=STATUSES, shards=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    read_status(written.captions)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_first_failed_rows_are_found_without_reading_shards_that_have_none(
    tmp_path: Path,
) -> None:
    written = write_set(tmp_path, num_images=12, statuses={"05.jpg": "oom", "06.jpg": "missing"})
    written.captions.part(written.plan.shards[0]).write_bytes(b"not to be read")
    found = failed_rows(written.captions.root, at_most=1)
    assert found == [{"image_id": "05.jpg", "status": "oom", "error": "why"}]
    assert len(failed_rows(written.captions.root, at_most=10)) == 2


def test_a_status_is_shown_with_failures_by_shard(tmp_path: Path) -> None:
    lines = list(status_lines(read_status(write_set(tmp_path, statuses=STATUSES).captions)))
    assert lines[1:4] == [
        "rows          10 of 10, 0 of them in journals",
        "statuses      7 ok, 2 oom, 1 missing",
        "shards        3 of 3 done, 0 running",
    ]
    assert lines[-3:] == [
        "shard  rows without a caption",
        "0      1 missing, 1 oom",
        "1      1 oom",
    ]


def test_rows_that_were_copied_are_shown(tmp_path: Path) -> None:
    written = write_set(tmp_path)
    path = written.captions.summary(written.plan.shards[0])
    write_json(path, {**read_json(path), "copied": 3})
    lines = list(status_lines(read_status(written.captions)))
    assert lines[3] == "copied        3 of them from where the image was captioned before"


def test_json_holds_every_shard(tmp_path: Path) -> None:
    written = write_set(tmp_path, num_images=12, shards=2)
    write_shard(written, written.plan.shards[2])
    told = json.loads(json.dumps(read_status(written.captions).to_json()))
    assert [one["shard"] for one in told["done"]] == [0, 1, 2]
    assert told["statuses"] == {"ok": 12}


def test_prometheus_text_has_types_and_escaped_labels(tmp_path: Path) -> None:
    written = write_set(tmp_path, statuses=STATUSES, shards=2)
    odd = written.captions.root.rename(written.captions.root.with_name('a "set"\\1'))
    text = write_prometheus(
        read_status(type(written.captions)(odd)), tmp_path / "x.prom"
    ).read_text()
    lines = text.splitlines()
    assert "# TYPE vprcap_rows gauge" in lines
    assert 'vprcap_rows{set="a \\"set\\"\\\\1",status="oom"} 2' in lines
    assert 'vprcap_shards{set="a \\"set\\"\\\\1",state="waiting"} 1' in lines
    assert 'vprcap_images_left{set="a \\"set\\"\\\\1"} 2' in lines
    assert not any(line.startswith("vprcap_eta_seconds{") for line in lines), "nobody is at work"
    assert text.endswith("\n")
