"""Workers that die, hang, sleep or run out of time: what they leave, and what the next one does."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vprcap.worker
from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import read_captions
from vprcap.caption_sets.row_filter import parse_filter
from vprcap.captioners.fake import chance
from vprcap.captioners.watch import HUNG_EXIT_CODE
from vprcap.commit_protocol.lease import claim, this_host
from vprcap.engines.worker_process import worker_command
from vprcap.errors import Interrupted, InvalidError
from vprcap.images import Framing, decode_image
from vprcap.stages.caption import caption
from vprcap.stages.reopen import reopen
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]
NAMES = [f"{i}.jpg" for i in range(8)]
FRAMING = Framing("pad", 64)


def planned(images: Path, shard_size: int = 8) -> Path:
    manifest = scan(images, images.parent / f"{images.name}.parquet")
    shard(manifest, shard_size=shard_size)
    return manifest


def fake_job(manifest: Path, model: str = "") -> CaptionJob:
    return open_job(JobOptions(manifest, captioner="fake", model=model))


def run(job: CaptionJob, **options: Any) -> Path:
    return caption(job, WorkOptions(decode_workers=1, **options))


def rows_of(job: CaptionJob) -> list[dict[str, Any]]:
    columns = ["image_id", "image_sha256", "caption", "status", "error"]
    rows: list[dict[str, Any]] = read_captions(job.captions.root, columns).to_pylist()
    return rows


def share_that_strikes(images: Path, num_images: int = 1) -> tuple[float, list[str]]:
    """Return a share of images that a switch strikes exactly so many of, and which."""
    chances = sorted(
        (chance(hashlib.sha256(decoded.pixels.tobytes()).digest()), name)
        for name in NAMES
        if (decoded := decode_image(images / name, FRAMING, 50.0)).pixels is not None
    )
    share = (chances[num_images - 1][0] + chances[num_images][0]) / 2
    return share, [name for _, name in chances[:num_images]]


def until_it_lives(manifest: Path, model: str, at_most: int, **options: Any) -> list[int]:
    """Start workers one after the other, as an engine does; return how each one ended."""
    codes: list[int] = []
    job = JobOptions(manifest, captioner="fake", model=model)
    command = worker_command(job, WorkOptions(decode_workers=1, **options))
    while len(codes) < at_most and codes[-1:] != [0]:
        # Its stdin stays open, as an engine's does: at its end a worker drains.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
            codes.append(process.wait(timeout=60))
    return codes


def left_by_the_dead(job: CaptionJob, attempt: int) -> None:
    """Leave the lease of the first shard as a worker does that was killed."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    job.captions.lease(job.plan.shards[0]).parent.mkdir(parents=True, exist_ok=True)
    job.captions.lease(job.plan.shards[0]).write_text(
        json.dumps({"host": this_host(), "pid": process.pid, "token": "old", "attempt": attempt})
    )


def check_poison(make_images: MakeImages, *, dead: int, batch_size: int, runs: int) -> None:
    images = make_images(NAMES)
    undisturbed = fake_job(planned(make_images(NAMES, folder="calm")))
    run(undisturbed)
    share, [culprit] = share_that_strikes(images)
    manifest = planned(images)
    job = fake_job(manifest)
    if dead:
        left_by_the_dead(job, attempt=dead)
    codes = until_it_lives(manifest, f"crash={share}", at_most=15, batch_size=batch_size)
    assert codes == [139] * (runs - 1) + [0]
    expected = [
        row
        if row["image_id"] != culprit
        else row
        | {
            "caption": None,
            "status": "poison",
            "error": "ended its worker, alone in its batch, more than once",
        }
        for row in rows_of(undisturbed)
    ]
    assert rows_of(job) == expected
    left = [path.name for path in job.captions.root.glob("attempts/*")]
    assert left == list(map(str, job.captions.root.glob("leases/*"))) == []


def test_a_poison_image_is_found_and_the_others_are_captioned(make_images: MakeImages) -> None:
    # The third worker has died; then a batch of two, and twice alone.
    check_poison(make_images, dead=3, batch_size=2, runs=4)


@pytest.mark.chaos
def test_a_poison_image_in_a_batch_of_eight_costs_eight_workers(make_images: MakeImages) -> None:
    # Three die unawares, then batches of 8, 4 and 2, and twice alone; the ninth finishes.
    check_poison(make_images, dead=0, batch_size=8, runs=9)


def test_a_shard_that_was_released_does_not_count_as_an_attempt(make_images: MakeImages) -> None:
    job = fake_job(planned(make_images(NAMES)))
    path = job.captions.lease(job.plan.shards[0])
    for attempt in (2, 3, 4):
        left_by_the_dead(job, attempt - 1)
        lease = claim(path)
        assert lease is not None and lease.attempt == attempt
        lease.__exit__(None, None, None)
    lease = claim(path)
    assert lease is not None and lease.attempt == 1
    lease.__exit__(None, None, None)


def test_an_image_that_hangs_until_asked_to_stop_is_a_timeout(make_images: MakeImages) -> None:
    images = make_images(NAMES)
    share, struck = share_that_strikes(images, 2)
    job = fake_job(planned(images), f"hang={share}")
    run(job, timeout_seconds=0.1, batch_size=4)
    statuses = {row["image_id"]: (row["status"], row["error"]) for row in rows_of(job)}
    assert statuses == {name: ("ok", None) for name in NAMES} | {
        name: ("timeout", "no caption within 0.1 s") for name in struck
    }


def test_a_model_that_hangs_on_every_image_stops_the_run(make_images: MakeImages) -> None:
    job = fake_job(planned(make_images(NAMES)), "hang=1")
    with pytest.raises(InvalidError, match="fails on every image: no caption within 0.05 s"):
        run(job, timeout_seconds=0.05)


def test_a_model_that_does_not_return_ends_its_worker_and_its_image_is_found(
    make_images: MakeImages,
) -> None:
    images = make_images(NAMES)
    share, [culprit] = share_that_strikes(images)
    manifest = planned(images)
    codes = until_it_lives(
        manifest, f"hard_hang={share}", at_most=5, batch_size=2, timeout_seconds=0.1
    )
    assert codes == [HUNG_EXIT_CODE, HUNG_EXIT_CODE, 0]
    statuses = {row["image_id"]: row["status"] for row in rows_of(fake_job(manifest))}
    assert statuses == {name: "timeout" if name == culprit else "ok" for name in NAMES}


def test_memory_that_runs_out_at_chosen_batches_loses_nothing(make_images: MakeImages) -> None:
    calm = fake_job(planned(make_images(NAMES, folder="calm")))
    run(calm)
    job = fake_job(planned(make_images(NAMES)), "oom_every=2")
    run(job, batch_size=4)
    assert rows_of(job) == rows_of(calm)


def test_the_final_batch_size_is_in_the_summary(make_images: MakeImages) -> None:
    job = fake_job(planned(make_images(NAMES)), "oom=2")
    run(job, batch_size=8)
    summary = json.loads(job.captions.summary(job.plan.shards[0]).read_text())
    assert (summary["batch_size"], summary["attempt"]) == (2, 1)


def test_no_shard_is_begun_after_the_deadline(make_images: MakeImages) -> None:
    job = fake_job(planned(make_images(NAMES)))
    with pytest.raises(Interrupted, match="by the deadline: 0 of 8 images have") as stopped:
        run(job, deadline=time.time() - 1)
    assert stopped.value.exit_code == 124
    assert list(job.captions.root.glob("leases/*")) == []


def test_no_shard_is_begun_that_takes_longer_than_is_left(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fake_job(planned(make_images(NAMES), shard_size=2))
    whole, now = job.captioner.caption, [0.0]

    def takes_a_hundred_seconds(pixels, should_stop, seeds):  # type: ignore[no-untyped-def]
        now[0] += 100
        return whole(pixels, should_stop, seeds)

    clock = SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0])
    monkeypatch.setattr(vprcap.worker, "time", clock)
    monkeypatch.setattr(job.captioner, "caption", takes_a_hundred_seconds)
    with pytest.raises(Interrupted, match="by the deadline: 4 of 8 images have"):
        run(job, deadline=250.0)
    assert len(list(job.captions.data.iterdir())) == 2, "a third would have ended at 300"


def steal_the_lease(job: CaptionJob) -> None:
    """Make the lease of the first shard look as if its worker slept too long."""
    path = job.captions.lease(job.plan.shards[0])
    assert path.exists()
    os.utime(path, (time.time() - 1000, time.time() - 1000))


def while_it_sleeps(
    job: CaptionJob,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: Callable[[], None],
    num_images: int = len(NAMES),
) -> None:
    """Caption with a worker that loses its lease in its last batch while `meanwhile` happens."""
    whole, batches = job.captioner.caption, []

    def sleeps(pixels, should_stop, seeds):  # type: ignore[no-untyped-def]
        batches.append(len(pixels))
        if sum(batches) == num_images:
            steal_the_lease(job)
            meanwhile()
        return whole(pixels, should_stop, seeds)

    monkeypatch.setattr(job.captioner, "caption", sleeps)
    run(job, batch_size=4)


def test_a_worker_that_wakes_up_without_its_lease_changes_nothing(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = planned(make_images(NAMES))
    job, successor = fake_job(manifest), fake_job(manifest)
    before: dict[Path, bytes] = {}

    def meanwhile() -> None:
        run(successor)
        before.update({path: path.read_bytes() for path in files(job)})

    while_it_sleeps(job, monkeypatch, meanwhile)
    assert {path: path.read_bytes() for path in files(job)} == before
    assert [path.parent.name for path in before] == ["data", "manifests"]


def files(job: CaptionJob) -> list[Path]:
    folders = ("data", "manifests", "journal", "leases", "staging", "attempts")
    return sorted(path for name in folders for path in job.captions.root.glob(f"{name}/*"))


def test_a_worker_that_wakes_up_does_not_undo_a_retry(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shard was finished by another and taken back into work: the kept rows are journaled."""
    images = make_images(NAMES)
    whole = (images / "3.jpg").read_bytes()
    (images / "3.jpg").write_bytes(b"")
    manifest = planned(images)
    job, successor = fake_job(manifest), fake_job(manifest)

    def meanwhile() -> None:
        run(successor)
        (images / "3.jpg").write_bytes(whole)
        assert reopen(successor.captions, parse_filter("status=decode_error")) == 1
        assert len(list(job.captions.staging.iterdir())) == 1

    while_it_sleeps(job, monkeypatch, meanwhile, num_images=7)  # one is not decoded
    assert [row["status"] for row in rows_of(job)] == ["ok"] * 8
    assert list(job.captions.staging.iterdir()) == []
    assert fake_job(manifest).num_left == 0
