import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_stand_in import StandIn, install

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.captions import read_captions, status_counts
from vprcap.engines.options import EngineOptions
from vprcap.engines.slurm import submit
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]
WORK = WorkOptions(batch_size=2, decode_workers=1)
NAMES = [f"{number:02}.jpg" for number in range(16)]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    return install(tmp_path / "slurm", monkeypatch.setenv)


def job_of(images: Path, model: str = "", captions_root: Path | None = None) -> JobOptions:
    manifest = scan(images, images.parent / f"{images.name}.parquet")
    shard(manifest, shard_size=4)
    return JobOptions(manifest, captions_root=captions_root, captioner="fake", model=model)


def has_rows(job: JobOptions) -> bool:
    journals = open_job(job).captions.journals
    return any(path.stat().st_size for path in journals.glob("*.jsonl"))


def texts(root: Path) -> dict[str, str]:
    rows = read_captions(root, ["image_id", "caption"]).to_pylist()
    assert len({row["image_id"] for row in rows}) == len(rows)
    return {row["image_id"]: row["caption"] for row in rows}


def test_a_signal_to_every_process_of_a_task_costs_no_row_and_queues_it_again(
    slurm: StandIn, make_images: MakeImages
) -> None:
    job = job_of(make_images(NAMES), "latency=0.2")
    started = submit(job, WORK, EngineOptions("slurm", gpus=0, array=2))
    assert started.job_id == "7" and started.num_tasks == 2
    slurm.wait(lambda: has_rows(job))
    slurm.send(0, signal.SIGTERM)
    slurm.wait(lambda: len(slurm.ended()) == 2)
    assert slurm.ended() == {0: 0, 1: 0}
    assert slurm.runs(0) == 2
    print(*(path.read_text() for path in started.logs.glob("*log*")))
    assert status_counts(started.captions) == {"ok": 16}
