import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import read_captions, status_counts
from vprcap.captioners.fake import chance
from vprcap.commit_protocol.lease import read_holder
from vprcap.engines.local import caption_locally, describe, environments
from vprcap.engines.worker_process import parse_options, worker_command
from vprcap.errors import InvalidError
from vprcap.images import Framing, decode_image
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]
WORK = WorkOptions(batch_size=2, decode_workers=1)
NAMES = [f"{number:02}.jpg" for number in range(16)]
RUN = """
import json, sys
from pathlib import Path
from vprcap.caption_job import JobOptions, WorkOptions
from vprcap.engines.local import caption_locally
manifest, model = json.loads(sys.argv[1])
job = JobOptions(Path(manifest), captioner="fake", model=model)
caption_locally(job, WorkOptions(batch_size=2, decode_workers=1), workers=1)
"""


def job_of(images: Path, model: str = "") -> JobOptions:
    manifest = scan(images, images.parent / f"{images.name}.parquet")
    shard(manifest, shard_size=4)
    return JobOptions(manifest, captioner="fake", model=model)


def supervised(job: JobOptions) -> subprocess.Popen[str]:
    arguments = json.dumps([str(job.manifest), job.model])
    return subprocess.Popen(
        [sys.executable, "-c", RUN, arguments], stderr=subprocess.PIPE, text=True
    )


def sha256(pixels: np.ndarray | None) -> bytes:
    assert pixels is not None
    return hashlib.sha256(pixels.tobytes()).digest()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def wait_for_holder(job: JobOptions) -> int:
    """Return the process that holds a shard, once it has journaled a row."""
    opened = open_job(job)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if any(path.stat().st_size for path in opened.captions.journals.glob("*.jsonl")):
            for each in opened.plan.shards:
                if holder := read_holder(opened.captions.lease(each)):
                    return holder.pid
        time.sleep(0.05)
    raise AssertionError("no worker holds a shard")


def test_two_workers_write_every_row_once(make_images: MakeImages) -> None:
    root = caption_locally(job_of(make_images(NAMES)), WORK, workers=2)
    assert status_counts(root) == {"ok": 16}


def test_options_survive_the_command_line() -> None:
    job = JobOptions(Path("a b.parquet"), captions_root=Path("c"), limit=3)
    work = WorkOptions(batch_size=5, deadline=12.5, data_root=Path("/data"))
    assert parse_options(worker_command(job, work)[-1]) == (job, work)


def test_each_visible_gpu_gets_a_worker_that_sees_only_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5a")
    assert environments(None) == [{"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "GPU-5a"}]
    assert environments(None, "openai") == [{}], "the GPUs here are not those of its server"
    dry = describe(JobOptions(Path("m.parquet")), WORK, None).splitlines()
    assert [line.split()[0] for line in dry] == [
        "CUDA_VISIBLE_DEVICES=3",
        "CUDA_VISIBLE_DEVICES=GPU-5a",
    ]


def test_without_a_gpu_there_is_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert environments(None) == [{}]


def test_no_worker_at_all_is_refused() -> None:
    with pytest.raises(InvalidError, match="--workers 0 is too small"):
        environments(0)


def test_a_worker_that_is_killed_is_started_again_and_no_row_is_lost(
    make_images: MakeImages,
) -> None:
    job = job_of(make_images(NAMES), "latency=0.2")
    supervisor = supervised(job)
    os.kill(wait_for_holder(job), signal.SIGKILL)
    _, said = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 0, said
    assert "worker 0 was killed by SIGKILL; it is started again" in said
    assert status_counts(open_job(job).captions.root) == {"ok": 16}


def test_an_image_that_kills_every_worker_costs_one_run_and_only_its_own_caption(
    make_images: MakeImages,
) -> None:
    images = make_images(NAMES[:4])
    struck = sorted(
        (chance(sha256(decode_image(images / name, Framing("pad", 64), 50.0).pixels)), name)
        for name in NAMES[:4]
    )
    job = job_of(images, f"crash={(struck[0][0] + struck[1][0]) / 2}")
    root = caption_locally(job, WORK, workers=1)
    rows = read_captions(root, ["image_id", "status"]).to_pylist()
    assert {row["image_id"]: row["status"] for row in rows} == {
        name: "poison" if name == struck[0][1] else "ok" for name in NAMES[:4]
    }


def test_a_worker_whose_starter_is_gone_drains(make_images: MakeImages) -> None:
    job = job_of(make_images(NAMES), "latency=0.2")
    supervisor = supervised(job)
    worker = wait_for_holder(job)
    supervisor.kill()
    supervisor.communicate(timeout=60)
    wait_until(lambda: not alive(worker))
    opened = open_job(job)
    assert not list(opened.captions.lease(opened.plan.shards[0]).parent.glob("part-*"))


def test_a_worker_that_fails_says_why_in_one_line(make_images: MakeImages) -> None:
    job = job_of(make_images(NAMES), "hang=1")
    with pytest.raises(InvalidError, match="fails on every image"):
        caption_locally(job, replace(WORK, timeout_seconds=0.05), workers=1)


def test_a_signal_reaches_the_workers_and_another_run_goes_on(make_images: MakeImages) -> None:
    job = job_of(make_images(NAMES), "latency=0.2")
    supervisor = supervised(job)
    wait_for_holder(job)
    supervisor.send_signal(signal.SIGTERM)
    _, said = supervisor.communicate(timeout=60)
    assert "stopped by SIGTERM" in said
    opened = open_job(job)
    assert not list(opened.captions.lease(opened.plan.shards[0]).parent.glob("part-*"))
    assert status_counts(caption(opened, WORK)) == {"ok": 16}
