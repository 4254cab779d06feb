"""Supervision of workers, wherever they run: one progress line for all, signals passed on.

A worker that died is started again, as long as deaths lead anywhere: workers bisect the shard that
kills them, so a poisonous image costs a bounded number of deaths. Local processes and Ray actors
differ only in how they are started, so that is all that an engine gives.
"""

import queue
import signal
from collections.abc import Callable
from typing import Protocol

from vprcap import errors
from vprcap.caption_job import CaptionJob
from vprcap.caption_sets.status import read_status
from vprcap.engines.process import Event
from vprcap.engines.worker_process import ENDED_BY_ERROR
from vprcap.errors import BusyError, Interrupted, VprcapError, WorkerError
from vprcap.progress import Progress
from vprcap.stopping import StopFlag

MAX_DEATHS = 30
"""Deaths of a worker without a new row: more than bisecting the largest usual shard takes."""
_TICK_SECONDS = 0.5


class RunningWorker(Protocol):
    """A worker that was started; it tells its supervisor what happens in events."""

    def send(self, number: int) -> None:
        """Ask it to stop, by a signal; harmless if it has ended."""

    def kill(self) -> None:
        """End it at once."""


Starter = Callable[[int, "queue.Queue[Event]"], RunningWorker]
"""Starts the worker of a number, which puts its events into the queue."""


def supervise(
    job: CaptionJob, start: Starter, num_workers: int, stop: StopFlag
) -> VprcapError | None:
    """Keep workers at work until all have ended; return the gravest thing that stopped one."""
    with Progress("captioning", job.num_left, "images") as progress:
        if job.captions.plan_json.exists():
            progress.resume(read_status(job.captions).rows_journaled)
        return _Supervisor(start, num_workers, progress, stop).run()


def conclude(after: CaptionJob, failure: VprcapError | None, stop: StopFlag) -> None:
    """Raise what kept the workers from finishing; nothing if they did."""
    if not after.pending:
        return
    if stop.signal is not None:
        raise _stopped(after, stop.signal)
    raise failure or WorkerError(
        f"{len(after.pending)} shards of {after.captions.root.name} are left and no worker says "
        "why; run the same command to go on"
    )


def _stopped(after: CaptionJob, number: signal.Signals) -> Interrupted:
    total, left = after.plan.info.num_images, after.num_left
    if after.captions.plan_json.exists():
        left = read_status(after.captions).images_left
    return Interrupted(
        f"stopped by {number.name}: {total - left:,} of {total:,} images have their rows; "
        "run the same command to go on",
        exit_code=128 + number,
    )


class _Supervisor:
    """Keeps workers alive until each has said that it is done."""

    def __init__(
        self,
        start: Starter,
        num_workers: int,
        progress: Progress,
        stop: StopFlag,
    ) -> None:
        self._starter, self._progress, self._stop = start, progress, stop
        self._events: queue.Queue[Event] = queue.Queue()
        self._running: dict[int, RunningWorker] = {}
        self._deaths = dict.fromkeys(range(num_workers), 0)
        self._failure: VprcapError | None = None
        self._passed_on = False

    def run(self) -> VprcapError | None:
        """Work until no worker is left; return the gravest thing that one could not go on with."""
        try:
            for number in self._deaths:
                self._start(number)
            while self._running:
                self._pass_on()
                try:
                    event = self._events.get(timeout=_TICK_SECONDS)
                except queue.Empty:
                    continue
                self._handle(event)
        finally:
            for worker in self._running.values():  # only after a second Ctrl-C, or a bug
                worker.kill()
        return self._failure

    def _start(self, number: int) -> None:
        self._running[number] = self._starter(number, self._events)

    def _pass_on(self) -> None:
        if self._stop.signal is not None and not self._passed_on:
            self._passed_on = True
            for worker in self._running.values():
                worker.send(self._stop.signal)

    def _handle(self, event: Event) -> None:
        if event.line is not None:
            self._progress.say(f"worker {event.worker}: {event.line}")
        elif event.new:
            self._deaths[event.worker] = 0
            self._progress.advance(event.new)
        elif event.error is not None:
            self._note(_error(event))
        elif event.lost is not None:
            del self._running[event.worker]
            self._died(event.worker, event.lost)
        elif event.returncode is not None:
            del self._running[event.worker]
            if event.returncode != 0:
                self._died(event.worker, _how(event.returncode), event.returncode)

    def _note(self, error: VprcapError) -> None:
        # That others hold the rest is what idle workers say; anything else weighs more.
        if self._failure is None or isinstance(self._failure, BusyError):
            self._failure = error

    def _died(self, number: int, how: str, code: int | None = None) -> None:
        self._deaths[number] += 1
        if self._stop() or code == ENDED_BY_ERROR or self._deaths[number] >= MAX_DEATHS:
            self._note(
                WorkerError(
                    f"worker {number} {how}, {self._deaths[number]} times without a new row; "
                    "what it journaled is kept: see its messages above, and run again"
                )
            )
            return
        self._progress.say(f"worker {number} {how}; it is started again")
        self._start(number)


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _error(event: Event) -> VprcapError:
    kind = getattr(errors, event.error or "", VprcapError)
    if kind is Interrupted:
        return Interrupted(event.message, event.exit_code or 130)
    found: VprcapError = kind(event.message)
    return found
