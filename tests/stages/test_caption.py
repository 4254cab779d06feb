import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import build_table, read_captions, status_counts
from vprcap.engines.worker_process import worker_command
from vprcap.errors import BusyError, InvalidError, StaleArtefactError, StorageError
from vprcap.manifests.plan import plan_path
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]
VPRCAP = [sys.executable, "-m", "vprcap"]


def planned(images: Path, shard_size: int = 4) -> Path:
    manifest = scan(images, images.parent / f"{images.name}.parquet")
    shard(manifest, shard_size=shard_size)
    return manifest


def run_fake(manifest: Path, model: str = "", **options: object) -> Path:
    job = open_job(JobOptions(manifest, captioner="fake", model=model))
    return caption(job, WorkOptions(decode_workers=1, **options))  # type: ignore[arg-type]


def captions_of(root: Path) -> dict[str, str]:
    table = read_captions(root)
    return dict(zip(table["image_id"].to_pylist(), table["caption"].to_pylist(), strict=True))


def test_every_image_of_the_plan_gets_one_row_in_plan_order(make_images: MakeImages) -> None:
    names = sorted(f"{i}.jpg" for i in range(10))
    images = make_images(names)
    root = run_fake(planned(images))
    assert read_captions(root)["image_id"].to_pylist() == names
    assert sorted(path.name for path in CaptionSet(root).data.iterdir()) == [
        f"part-0000{i}-of-00003.parquet" for i in range(3)
    ]
    assert list(CaptionSet(root).journals.iterdir()) == []
    assert list((root / "leases").iterdir()) == list((root / "staging").iterdir()) == []


def test_a_second_run_writes_nothing(make_images: MakeImages) -> None:
    manifest = planned(make_images(["a.jpg", "b.jpg"]))
    root = run_fake(manifest)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    job = open_job(JobOptions(manifest, captioner="fake"))
    assert job.num_left == 0
    caption(job)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_a_bad_image_is_a_row_and_its_batch_is_not_disturbed(make_images: MakeImages) -> None:
    images = make_images([f"{i}.jpg" for i in range(6)])
    good = captions_of(run_fake(planned(images)))
    other = make_images([f"{i}.jpg" for i in range(6)], folder="other")
    (other / "2.jpg").write_bytes(b"")
    manifest = planned(other)
    (other / "4.jpg").unlink()
    root = run_fake(manifest)
    table = read_captions(root, ["image_id", "status", "caption", "error"])
    rows = {row["image_id"]: row for row in table.to_pylist()}
    assert rows["2.jpg"]["status"] == "decode_error"
    assert rows["4.jpg"]["status"] == "missing"
    assert {name: rows[name]["caption"] for name in ("0.jpg", "1.jpg", "3.jpg", "5.jpg")} == {
        name: good[name] for name in ("0.jpg", "1.jpg", "3.jpg", "5.jpg")
    }


def test_the_batch_size_does_not_change_the_captions(make_images: MakeImages) -> None:
    names = [f"{i}.jpg" for i in range(7)]
    one = run_fake(planned(make_images(names)), batch_size=1)
    many = run_fake(planned(make_images(names, folder="other")), batch_size=5)
    assert captions_of(one) == captions_of(many)


def test_out_of_memory_halves_the_batch_and_loses_nothing(make_images: MakeImages) -> None:
    manifest = planned(make_images([f"{i}.jpg" for i in range(9)]), shard_size=9)
    root = run_fake(manifest, model="oom=2", batch_size=8)
    assert status_counts(root) == {"ok": 9}


def test_refusals_and_cut_captions_are_marked(make_images: MakeImages) -> None:
    manifest = planned(make_images(["a.jpg", "b.jpg"]))
    refused = read_captions(run_fake(manifest, model="refuse=1"), ["status"])
    assert refused["status"].to_pylist() == ["refused", "refused"]
    looped = read_captions(run_fake(manifest, model="loop=1"), ["finish_reason", "qa_flags"])
    assert (
        looped.to_pylist()
        == [{"finish_reason": "length", "qa_flags": ["repetition", "length"]}] * 2
    )


def test_two_splits_below_one_root_have_a_set_each(make_images: MakeImages) -> None:
    images = make_images(["a.jpg", "b.jpg"])
    roots = []
    for name in ("train", "test"):
        table = images.parent / f"{name}.csv"
        table.write_text(f"path,place_id\n{'a' if name == 'train' else 'b'}.jpg,1\n")
        manifest = scan(images, images.parent / f"{name}.parquet", table=table)
        shard(manifest)
        roots.append(run_fake(manifest))
    assert [list(captions_of(root)) for root in roots] == [["a.jpg"], ["b.jpg"]]
    assert roots[0].name.startswith("train-fake-none-place-")


def test_a_run_takes_over_what_others_finish_or_leave_behind(make_images: MakeImages) -> None:
    manifest = planned(make_images([f"{i:02}.jpg" for i in range(24)]))
    processes = [start(manifest, "latency=0.02") for _ in range(3)]
    outcomes = [process.communicate(timeout=60)[1] for process in processes]
    root = open_job(JobOptions(manifest, captioner="fake")).captions.root
    assert read_captions(root)["image_id"].to_pylist() == [f"{i:02}.jpg" for i in range(24)]
    assert not any("Traceback" in errors for errors in outcomes)


def test_another_prompt_is_another_set(make_images: MakeImages, tmp_path: Path) -> None:
    manifest = planned(make_images(["a.jpg"]))
    (tmp_path / "mine.txt").write_text("Name the colours.")
    first = run_fake(manifest)
    second = open_job(JobOptions(manifest, captioner="fake", prompt=str(tmp_path / "mine.txt")))
    assert second.num_left == 1
    assert caption(second) != first


def test_a_set_of_another_configuration_is_refused(make_images: MakeImages) -> None:
    manifest = planned(make_images(["a.jpg"]))
    root = run_fake(manifest)
    config = json.loads((root / "config.json").read_text())
    (root / "config.json").write_text(json.dumps({**config, "config_id": "0123456789"}))
    with pytest.raises(StaleArtefactError, match="configuration 01234567, not .*--captions-root"):
        open_job(JobOptions(manifest, captioner="fake"))


def test_a_set_of_another_plan_is_refused(make_images: MakeImages) -> None:
    manifest = planned(make_images(["a.jpg", "b.jpg"]))
    run_fake(manifest)
    plan_path(manifest).unlink()
    shard(manifest, shard_size=1)
    with pytest.raises(StaleArtefactError, match="under plan"):
        open_job(JobOptions(manifest, captioner="fake"))


@pytest.mark.parametrize("damage", [b"", b"PAR1 no", None])
def test_a_damaged_part_in_the_place_of_ones_own_is_named_and_kept(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    manifest = planned(make_images(["a.jpg", "b.jpg"]))
    job = open_job(JobOptions(manifest, captioner="fake"))
    part = job.captions.part(job.plan.shards[0])
    whole = job.captioner.caption

    def while_another_writes_the_part(pixels, should_stop, seeds):  # type: ignore[no-untyped-def]
        if damage is None:  # whole, but with too few rows
            empty = build_table([], job.captioner.config, job.plan.info.plan_id)
            pq.write_table(empty, part)
        else:
            part.write_bytes(damage)
        return whole(pixels, should_stop, seeds)

    monkeypatch.setattr(job.captioner, "caption", while_another_writes_the_part)
    with pytest.raises(InvalidError, match=r"caption part .*part-00000.* move it away"):
        caption(job, WorkOptions(decode_workers=1))
    assert part.exists() and len(list(job.captions.journals.iterdir())) == 1


def test_opening_a_job_reads_no_part(make_images: MakeImages) -> None:
    manifest = planned(make_images([f"{i}.jpg" for i in range(6)]))
    parts = sorted(CaptionSet(run_fake(manifest)).data.iterdir())
    parts[0].write_bytes(b"damaged: `vprcap verify` says so")
    parts[1].unlink()
    pending = open_job(JobOptions(manifest, captioner="fake")).pending
    assert [shard.index for shard in pending] == [1]


def test_a_flipped_byte_in_a_part_is_noticed_when_it_is_read(make_images: MakeImages) -> None:
    root = run_fake(planned(make_images([f"{i}.jpg" for i in range(4)])))
    part = next(CaptionSet(root).data.iterdir())
    data = bytearray(part.read_bytes())
    data[60] ^= 0xFF
    part.write_bytes(data)
    with pytest.raises(InvalidError, match="is damaged"):
        read_captions(root)


def test_images_added_after_the_plan_are_reported_and_not_mixed_in(
    make_images: MakeImages, caplog: pytest.LogCaptureFixture
) -> None:
    images = make_images(["a.jpg", "b.jpg"])
    manifest = planned(images)
    (images / "a.jpg").rename(images / "c.jpg")
    (images / "new.jpg").write_bytes((images / "b.jpg").read_bytes())
    scan(images, manifest)
    root = run_fake(manifest)
    assert "2 images added and 1 lost" in caplog.text
    assert set(captions_of(root)) == {"a.jpg", "b.jpg"}


def test_a_plan_of_another_folder_is_refused(make_images: MakeImages) -> None:
    manifest = planned(make_images(["a.jpg"]))
    scan(make_images(["a.jpg"], folder="elsewhere"), manifest)
    with pytest.raises(StaleArtefactError, match="is of images in .*images, the manifest of"):
        open_job(JobOptions(manifest, captioner="fake"))


def test_a_limit_makes_a_small_set_of_its_own(make_images: MakeImages) -> None:
    manifest = planned(make_images([f"{i}.jpg" for i in range(6)]))
    job = open_job(JobOptions(manifest, captioner="fake", limit=5))
    assert read_captions(caption(job)).num_rows == 5
    assert open_job(JobOptions(manifest, captioner="fake")).num_left == 6


def test_a_full_disk_is_one_line_and_the_journal_survives(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = planned(make_images(["a.jpg", "b.jpg"]))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", full)
        with pytest.raises(StorageError, match="no space left"):
            run_fake(manifest)
    root = open_job(JobOptions(manifest, captioner="fake")).captions.root
    journal = next(CaptionSet(root).journals.iterdir())
    assert len(journal.read_bytes().splitlines()) == 2
    assert status_counts(run_fake(manifest)) == {"ok": 2}


def test_a_model_that_fails_on_every_image_stops_the_run(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = planned(make_images(["a.jpg", "b.jpg", "c.jpg"]))
    job = open_job(JobOptions(manifest, captioner="fake"))

    def broken(*_: object) -> None:
        raise RuntimeError("weights are upside down\nmore")

    monkeypatch.setattr(job.captioner, "caption", broken)
    with pytest.raises(InvalidError, match="fails on every image: weights are upside down$"):
        caption(job, WorkOptions(decode_workers=1))


def test_one_image_that_breaks_the_model_is_a_row(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = planned(make_images(["a.jpg", "b.jpg", "c.jpg"]))
    job = open_job(JobOptions(manifest, captioner="fake"))
    whole = job.captioner.caption
    poison = []

    def breaks_on_the_first_picture(pixels, should_stop, seeds):  # type: ignore[no-untyped-def]
        poison[:] = poison or [pixels[0].tobytes()]
        if any(image.tobytes() == poison[0] for image in pixels):
            raise ValueError("index out of range")
        return whole(pixels, should_stop, seeds)

    monkeypatch.setattr(job.captioner, "caption", breaks_on_the_first_picture)
    table = read_captions(
        caption(job, WorkOptions(decode_workers=1)), ["image_id", "status", "error"]
    )
    assert table.to_pylist() == [
        {"image_id": "a.jpg", "status": "model_error", "error": "index out of range"},
        {"image_id": "b.jpg", "status": "ok", "error": None},
        {"image_id": "c.jpg", "status": "ok", "error": None},
    ]


def start(manifest: Path, model: str) -> subprocess.Popen[str]:
    options = [
        "--captioner",
        "fake",
        "--model",
        model,
        "--batch-size",
        "4",
        "--decode-workers",
        "1",
    ]
    return subprocess.Popen(
        [*VPRCAP, "caption", str(manifest), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_worker(manifest: Path, model: str) -> subprocess.Popen[str]:
    job = JobOptions(manifest, captioner="fake", model=model)
    return subprocess.Popen(
        worker_command(job, WorkOptions(batch_size=4, decode_workers=1)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def journaled(manifest: Path) -> int:
    folder = open_job(JobOptions(manifest, captioner="fake")).captions.journals
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_ends_the_run_cleanly_and_loses_at_most_the_batch_in_flight(
    make_images: MakeImages, number: signal.Signals
) -> None:
    manifest = planned(make_images([f"{i:02}.jpg" for i in range(40)]), shard_size=40)
    process = start(manifest, "latency=0.05")
    wait_until(lambda: journaled(manifest) >= 8)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    kept = journaled(manifest)
    assert f"stopped by {number.name}: {kept} of 40 images have their rows" in errors
    assert "Traceback" not in errors
    assert not list(open_job(JobOptions(manifest, captioner="fake")).captions.root.glob("leases/*"))
    assert status_counts(run_fake(manifest)) == {"ok": 40}


def test_of_two_runs_on_one_set_the_second_says_who_is_there(make_images: MakeImages) -> None:
    manifest = planned(make_images([f"{i:02}.jpg" for i in range(40)]), shard_size=40)
    process = start(manifest, "latency=0.1")
    wait_until(lambda: journaled(manifest) >= 4)
    with pytest.raises(BusyError, match=r"held by another run \(process \d+ on "):
        run_fake(manifest)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_killed_runs_end_with_the_rows_of_an_undisturbed_one(make_images: MakeImages) -> None:
    check_kills(make_images, num_images=120, shard_size=20, num_kills=4)


@pytest.mark.chaos
def test_twenty_kills_of_two_thousand_images_lose_and_double_nothing(
    make_images: MakeImages,
) -> None:
    check_kills(make_images, num_images=2000, shard_size=100, num_kills=20)


def check_kills(
    make_images: MakeImages, *, num_images: int, shard_size: int, num_kills: int
) -> None:
    """SIGKILL a run at random moments of its work; compare what it ends with, row by row."""
    names = [f"{i:04}.jpg" for i in range(num_images)]
    undisturbed = captions_of(run_fake(planned(make_images(names, folder="calm"), shard_size)))
    manifest = planned(make_images(names), shard_size)
    root = open_job(JobOptions(manifest, captioner="fake")).captions.root
    chance, parts_left, rows_left = random.Random(0), [], []
    for _ in range(num_kills):
        before = rows_kept(root)
        process = start_worker(manifest, "latency=0.005")
        wait_until(lambda before=before: rows_kept(root) > before)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.8 * num_images * 0.005 / num_kills))
        assert process.poll() is None, "it ended before it was killed"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        parts_left.append(len(list((root / "data").iterdir())))
        rows_left.append(rows_kept(root))
    print(f"after each of {num_kills} kills: parts {parts_left}, rows {rows_left}")
    assert parts_left[-1] > 0, "no kill came after a commit"
    assert rows_left == sorted(rows_left), "a kill lost rows that were written"
    assert captions_of(run_fake(manifest)) == undisturbed
    assert read_captions(root)["image_id"].to_pylist() == names


def rows_kept(root: Path) -> int:
    """Rows that are safe: in parts, or in journals."""
    in_parts = sum(pq.read_metadata(path).num_rows for path in root.glob("data/*.parquet"))
    return in_parts + len(
        {
            image_id
            for path in root.glob("journal/*.jsonl")
            for image_id in re.findall(rb'"image_id": "([^"]+)"', path.read_bytes())
            if not (root / "data" / f"{path.name.partition('.')[0]}.parquet").exists()
        }
    )
