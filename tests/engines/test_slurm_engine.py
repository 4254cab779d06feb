import os
import pickle
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import submitit
from slurm_stand_in import StandIn, install, wait_until

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import read_captions
from vprcap.commit_protocol.lease import read_holder
from vprcap.engines.local import caption_locally
from vprcap.engines.options import EngineOptions
from vprcap.engines.slurm import minutes, script, submit
from vprcap.engines.slurm_task import WARNING_SECONDS, CaptionTask
from vprcap.errors import DependencyError, InvalidError, WorkerError
from vprcap.stages.caption import caption
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]
WORK = WorkOptions(batch_size=2, decode_workers=1)
ON_CPUS = EngineOptions("slurm", gpus=0, array=2)
NAMES = [f"{number:02}.jpg" for number in range(8)]
SLOW = "latency=0.2"


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


def texts(root: Path) -> list[tuple[str, str]]:
    rows = read_captions(root, ["image_id", "caption"]).to_pylist()
    return sorted((row["image_id"], row["caption"]) for row in rows)


def undisturbed(job: JobOptions, tmp_path: Path) -> list[tuple[str, str]]:
    """Caption in one go, elsewhere, and without faults: they do not change a fake's text."""
    alone = replace(job, model="", captions_root=tmp_path / "undisturbed")
    return texts(caption(open_job(alone), replace(WORK, reuse=False)))


def workers(job: JobOptions) -> set[int]:
    """Return the processes that hold shards."""
    opened = open_job(job)
    holders = [read_holder(opened.captions.lease(each)) for each in opened.plan.shards]
    return {holder.pid for holder in holders if holder is not None}


def test_signals_to_every_process_of_a_task_cost_no_row_and_queue_it_again(
    slurm: StandIn, make_images: MakeImages, tmp_path: Path
) -> None:
    job = job_of(make_images(NAMES), SLOW)
    started = submit(job, WORK, ON_CPUS)
    assert (started.job_id, started.num_tasks) == ("7", 2)
    wait_until(lambda: len(workers(job)) == 2 and has_rows(job))
    slurm.end_commands(3)
    slurm.send(0, signal.SIGTERM, times=4)
    wait_until(lambda: len(slurm.ended()) == 2)
    assert slurm.ended() == {0: 0, 1: 0}
    assert slurm.runs(0) == 2 and slurm.runs(1) == 1
    assert texts(started.captions) == undisturbed(job, tmp_path)


def test_the_local_executor_runs_a_task_again_that_was_asked_to_stop(
    make_images: MakeImages, tmp_path: Path
) -> None:
    job = job_of(make_images(NAMES), SLOW)
    opened = open_job(job)
    running = submitit.LocalExecutor(opened.captions.slurm).submit(CaptionTask(job, WORK, 3600, 0))
    wait_until(lambda: has_rows(job))
    os.kill(parent(workers(job).pop()), signal.SIGUSR2)
    running.wait()
    said = running.stdout() or ""
    assert said.count("Starting with") == 2 and said.count("Requeued job") == 1
    assert texts(opened.captions.root) == undisturbed(job, tmp_path)


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.mark.chaos
def test_a_task_that_was_cancelled_drains_and_stays_away_and_another_engine_goes_on(
    slurm: StandIn, make_images: MakeImages, tmp_path: Path
) -> None:
    job = job_of(make_images(NAMES), SLOW)
    submit(job, WORK, replace(ON_CPUS, array=1))
    wait_until(lambda: has_rows(job))
    slurm.set_state(0, "CANCELLED", "COMPLETING")
    slurm.send(0, signal.SIGTERM)
    wait_until(lambda: bool(slurm.ended()))
    assert slurm.runs(0) == 1 and slurm.ended() == {0: 128 + signal.SIGTERM}
    assert not workers(job)
    assert texts(caption_locally(job, WORK)) == undisturbed(job, tmp_path)


@pytest.mark.chaos
def test_a_task_whose_time_is_nearly_up_begins_no_shard_and_queues_again(
    make_images: MakeImages, tmp_path: Path
) -> None:
    """Shards take 8 s, a run has 12: after its first one, no other fits."""
    job = job_of(make_images(NAMES), "latency=2")
    opened = open_job(job)
    executor = submitit.LocalExecutor(opened.captions.slurm, max_num_timeout=9)
    running = executor.submit(CaptionTask(job, WORK, WARNING_SECONDS + 12, 0))
    running.wait()
    said = (running.stderr() or "").split("\n")
    assert sum("stopped by the deadline: 4 of 8 images" in line for line in said) == 1
    assert (running.stdout() or "").count("Starting with") == 2
    assert texts(opened.captions.root) == undisturbed(job, tmp_path)


@pytest.mark.chaos
def test_a_worker_that_is_killed_is_started_again_inside_its_task(
    slurm: StandIn, make_images: MakeImages, tmp_path: Path
) -> None:
    job = job_of(make_images(NAMES), SLOW)
    started = submit(job, WORK, replace(ON_CPUS, array=1))
    wait_until(lambda: has_rows(job))
    os.kill(workers(job).pop(), signal.SIGKILL)
    wait_until(lambda: bool(slurm.ended()))
    assert slurm.runs(0) == 1 and slurm.ended() == {0: 0}
    assert texts(started.captions) == undisturbed(job, tmp_path)


def test_a_dry_run_prints_what_is_submitted(
    slurm: StandIn, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_RUNS", "no")
    job = job_of(make_images(NAMES))
    engine = EngineOptions("slurm", partition="gpu", time="1-0", gpus=2, array=2, constraint="a|b")
    printed = script(job, engine)
    submit(job, WORK, engine)
    assert slurm.script() == printed
    assert {
        "#SBATCH --partition=gpu",
        "#SBATCH --time=1440",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --constraint='a|b'",
        "#SBATCH --array=0-1%2",
        "#SBATCH --signal=USR2@90",
        "#SBATCH --requeue",
    } <= set(printed.splitlines())


def test_there_are_no_more_tasks_than_shards_and_none_when_nothing_is_left(
    slurm: StandIn, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_RUNS", "no")
    job = job_of(make_images(NAMES))
    assert submit(job, WORK, replace(ON_CPUS, array=64)).num_tasks == 2
    caption(open_job(job), WORK)
    assert submit(job, WORK, ON_CPUS).job_id is None


def test_a_pickled_task_holds_options_only(make_images: MakeImages) -> None:
    task = CaptionTask(job_of(make_images(NAMES)), WORK, 60, 1)
    assert pickle.loads(pickle.dumps(task)) == task
    assert len(pickle.dumps(task)) < 2000


def test_a_job_that_slurm_refuses_costs_one_line(
    slurm: StandIn,
    make_images: MakeImages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STAND_IN_RUNS", "refuses")
    with pytest.raises(
        WorkerError, match="Slurm refuses the job: sbatch: error: no such partition"
    ):
        submit(job_of(make_images(NAMES)), WORK, ON_CPUS)


def test_without_slurm_one_is_told_where_to_go(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    job = job_of(make_images(NAMES))
    with pytest.raises(DependencyError, match="no Slurm here .* or see --dry-run"):
        submit(job, WORK, ON_CPUS)
    assert script(job, ON_CPUS).startswith("#!/bin/bash")


def test_without_submitit_one_is_told_what_to_install(
    make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    job = job_of(make_images(NAMES))
    for attempt in (lambda: submit(job, WORK, ON_CPUS), lambda: script(job, ON_CPUS)):
        with pytest.raises(DependencyError, match=r"pip install 'vprcap\[slurm\]'"):
            attempt()


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("90", 90),
        ("90:00", 90),
        ("90:01", 91),
        ("4:00:00", 240),
        ("0:05:00", 5),
        ("1-0", 1440),
        ("2-3:04", 2 * 1440 + 3 * 60 + 4),
        ("1-00:00:30", 1441),
    ],
)
def test_times_are_read_as_slurm_reads_them(time: str, expected: int) -> None:
    assert minutes(time) == expected


@pytest.mark.parametrize("time", ["4", "0:04:00", "soon", "", "1:2:3:4", "-5", "1-2:3:4:5"])
def test_a_time_that_is_none_or_too_short_is_refused(time: str) -> None:
    with pytest.raises(InvalidError, match="--time .* is no limit to work under"):
        minutes(time)


@pytest.mark.parametrize("wrong", [{"gpus": -1}, {"array": 0}])
def test_counts_that_cannot_be_are_refused(wrong: dict[str, int], make_images: MakeImages) -> None:
    engine = EngineOptions("slurm", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match=f"--{next(iter(wrong))}"):
        script(job_of(make_images(NAMES)), engine)
