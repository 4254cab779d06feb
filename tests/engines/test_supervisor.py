import queue
from collections.abc import Callable
from pathlib import Path

import pytest

from vprcap.caption_job import CaptionJob, JobOptions, open_job
from vprcap.engines.process import Event
from vprcap.engines.supervisor import MAX_DEATHS, RunningWorker, supervise
from vprcap.errors import BusyError, StorageError, WorkerError
from vprcap.stages.scan import scan
from vprcap.stages.shard import shard
from vprcap.stopping import StopFlag

MakeImages = Callable[..., Path]


class Actor:
    """A worker that has done all it does before it is asked for anything."""

    def send(self, number: int) -> None: ...

    def kill(self) -> None: ...


class Actors:
    """Starts workers, each of which does the next of these things."""

    def __init__(self, *lives: list[Event]) -> None:
        self.lives, self.started = list(lives), 0

    def __call__(self, number: int, events: "queue.Queue[Event]") -> RunningWorker:
        life = self.lives[min(self.started, len(self.lives) - 1)]
        self.started += 1
        for event in life:
            events.put(event)
        return Actor()


LOST, DONE = Event(0, lost="was lost (its node died)"), Event(0, returncode=0)


@pytest.fixture
def job(make_images: MakeImages) -> CaptionJob:
    images = make_images(["a.jpg", "b.jpg"])
    manifest = scan(images, images.parent / "m.parquet")
    shard(manifest)
    return open_job(JobOptions(manifest, captioner="fake"))


def test_a_lost_worker_is_started_again(
    job: CaptionJob, capsys: pytest.CaptureFixture[str]
) -> None:
    start = Actors([LOST], [Event(0, new=2), DONE])
    assert supervise(job, start, 1, StopFlag()) is None
    assert start.started == 2
    assert "worker 0 was lost (its node died); it is started again" in capsys.readouterr().err


def test_a_worker_that_is_lost_again_and_again_without_a_row_is_given_up(job: CaptionJob) -> None:
    start = Actors([LOST])
    failure = supervise(job, start, 1, StopFlag())
    assert isinstance(failure, WorkerError) and "30 times without a new row" in str(failure)
    assert start.started == MAX_DEATHS == 30


def test_losses_between_new_rows_are_never_too_many(job: CaptionJob) -> None:
    start = Actors(*[[Event(0, new=1), LOST]] * 40, [DONE])
    assert supervise(job, start, 1, StopFlag()) is None
    assert start.started == 41


def test_what_one_could_not_go_on_with_weighs_more_than_what_others_hold(job: CaptionJob) -> None:
    busy = Event(0, error="BusyError", message="held")
    full = Event(0, error="StorageError", message="the disk is full")
    for order in ([busy, full, DONE], [full, busy, DONE]):
        assert isinstance(supervise(job, Actors(order), 1, StopFlag()), StorageError)
    assert isinstance(supervise(job, Actors([busy, DONE]), 1, StopFlag()), BusyError)
