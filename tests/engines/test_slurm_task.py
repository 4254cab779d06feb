import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_stand_in import install

from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.commit_protocol.lease import Lease, claim
from vprcap.engines import slurm_task
from vprcap.engines.holders import wait_for_holders
from vprcap.engines.slurm_task import WARNING_SECONDS, CaptionTask
from vprcap.errors import BusyError, Interrupted, WorkerError
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard

MakeImages = Callable[..., Path]


@pytest.fixture
def job(make_images: MakeImages) -> CaptionJob:
    images = make_images(["a.jpg", "b.jpg"])
    manifest = scan(images, images.parent / "m.parquet")
    shard(manifest, shard_size=1)
    opened = open_job(JobOptions(manifest, captioner="fake"))
    opened.captions.create(opened.captioner.config, {"plan_id": "p"})
    return opened


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> CaptionTask:
    """A task on a CPU, whose environment the test may change."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    return CaptionTask(JobOptions(Path("m.parquet")), WorkOptions(), 3600, 0)


@pytest.fixture
def requeued(monkeypatch: pytest.MonkeyPatch) -> list[Interrupted]:
    """What tasks were queued again for."""
    seen: list[Interrupted] = []
    monkeypatch.setattr(slurm_task, "_requeue", seen.append)
    return seen


def working(monkeypatch: pytest.MonkeyPatch, *ends: Exception | None) -> list[WorkOptions]:
    """Let the workers of a task end in these ways; return what they were asked for."""
    left, asked = list(ends), []

    def caption_locally(job: JobOptions, work: WorkOptions) -> None:
        asked.append(work)
        if (end := left.pop(0)) is not None:
            raise end

    monkeypatch.setattr(slurm_task, "caption_locally", caption_locally)
    return asked


def test_the_end_that_slurm_sets_is_the_deadline_less_the_time_to_drain(
    task: CaptionTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = working(monkeypatch, None)
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1800000000")
    task()
    assert asked[0].deadline == 1_800_000_000 - WARNING_SECONDS


def test_without_it_the_time_counts_from_the_start_of_the_task(
    task: CaptionTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = working(monkeypatch, None)
    before = time.time()
    task()
    deadline = asked[0].deadline
    assert deadline is not None
    assert before <= deadline - 3600 + WARNING_SECONDS <= time.time()


def test_a_task_without_gpus_sees_none(task: CaptionTask, monkeypatch: pytest.MonkeyPatch) -> None:
    working(monkeypatch, None)
    task()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_task_that_was_stopped_queues_again(
    task: CaptionTask, monkeypatch: pytest.MonkeyPatch, requeued: list[Interrupted]
) -> None:
    working(monkeypatch, Interrupted("stopped by the deadline", 124))
    task()
    assert [each.exit_code for each in requeued] == [124]


def test_a_task_that_cannot_go_on_says_so_in_one_line_and_stays_away(
    task: CaptionTask,
    monkeypatch: pytest.MonkeyPatch,
    requeued: list[Interrupted],
    capsys: pytest.CaptureFixture[str],
) -> None:
    working(monkeypatch, WorkerError("worker 0 ended with 9, 30 times"))
    with pytest.raises(SystemExit) as ended:
        task()
    assert ended.value.code == 1 and not requeued
    assert capsys.readouterr().err == "vprcap: worker 0 ended with 9, 30 times\n"


def test_a_task_leaves_the_rest_to_others_that_live(
    task: CaptionTask, monkeypatch: pytest.MonkeyPatch, requeued: list[Interrupted]
) -> None:
    asked = working(monkeypatch, BusyError("held"), BusyError("held"))
    answers = iter([True, False])
    monkeypatch.setattr(slurm_task, "open_job", lambda options: options)
    monkeypatch.setattr(slurm_task, "wait_for_holders", lambda job, stop: next(answers))
    task()
    assert len(asked) == 2 and not requeued


@pytest.mark.parametrize(
    ("states", "comes_back"),
    [
        (["RUNNING"], True),
        (["CANCELLED", "COMPLETING"], False),
        (["PENDING", "COMPLETING"], False),
        (["PREEMPTED", "COMPLETING"], True),
    ],
)
def test_a_task_comes_back_unless_slurm_has_decided(
    states: list[str], comes_back: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm = install(tmp_path / "slurm", monkeypatch.setenv)
    slurm.set_state(0, *states)
    for name, value in {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": "8",
        "STAND_IN_TASK": "0",
    }.items():
        monkeypatch.setenv(name, value)
    raised: list[int] = []
    monkeypatch.setattr(slurm_task.signal, "raise_signal", raised.append)
    if comes_back:
        slurm_task._requeue(Interrupted("stopped", 143))
        assert len(raised) == 1
        return
    with pytest.raises(SystemExit) as ended:
        slurm_task._requeue(Interrupted("stopped", 143))
    assert ended.value.code == 143 and not raised


def hold(job: CaptionJob, index: int) -> Lease:
    lease = claim(job.captions.lease(job.plan.shards[index]))
    assert lease is not None
    return lease


def never() -> bool:
    return False


def test_holders_that_show_signs_of_life_keep_their_shards(
    job: CaptionJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vprcap.commit_protocol.lease.HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr("vprcap.engines.holders._LOOK_SECONDS", 0.1)
    with hold(job, 0), hold(job, 1):
        assert not wait_for_holders(job, never)


def test_a_shard_that_a_silent_holder_has_left_is_worth_another_try(
    job: CaptionJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heart of one beats, that of the other not within the time of this test."""
    monkeypatch.setattr("vprcap.engines.holders._LOOK_SECONDS", 0.01)
    with hold(job, 0), hold(job, 1):
        assert wait_for_holders(job, never, patience=0.1)


def test_a_shard_that_was_released_unfinished_is_worth_another_try(job: CaptionJob) -> None:
    with hold(job, 0):
        assert wait_for_holders(job, never)


def test_nothing_is_waited_for_when_asked_to_stop(job: CaptionJob) -> None:
    with hold(job, 0), hold(job, 1):
        assert not wait_for_holders(job, lambda: True)
