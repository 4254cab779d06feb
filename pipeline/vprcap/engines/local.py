"""The local engine: one worker process per visible GPU, one on a machine without.

The parent loads no model and imports no torch. It shows one progress line for all workers, passes
signals on, and starts a worker again that died, as long as deaths lead anywhere: workers bisect
the shard that kills them, so a poisonous image costs a bounded number of deaths.
"""

import queue
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path

from vprcap import errors
from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.caption_sets.status import read_status
from vprcap.engines.gpus import visible_gpus
from vprcap.engines.process import Event, WorkerProcess
from vprcap.engines.worker_process import ENDED_BY_ERROR, worker_command
from vprcap.errors import BusyError, Interrupted, InvalidError, VprcapError, WorkerError
from vprcap.progress import Progress
from vprcap.stopping import StopFlag, stop_on_signals

MAX_DEATHS = 30
"""Deaths of a worker without a new row: more than bisecting the largest usual shard takes."""
_TICK_SECONDS = 0.5


def environments(workers: int | None, captioner: str = "transformers") -> list[dict[str, str]]:
    """Return what each worker's environment has of its own: its GPU.

    Args:
        workers: how many; None: one per visible GPU, or one where none is used.
        captioner: ``openai`` uses the GPUs of its server.

    Raises:
        InvalidError: fewer than one.
    """
    if workers is not None and workers < 1:
        raise InvalidError(f"--workers {workers} is too small; use at least 1")
    gpus = [] if captioner == "openai" else visible_gpus()
    count = workers or max(1, len(gpus))
    if not gpus:
        return [{} for _ in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} for number in range(count)]


def describe(job: JobOptions, work: WorkOptions, workers: int | None) -> str:
    """Return the commands that would be started, one a line."""
    command = shlex.join(worker_command(job, work))
    return "\n".join(
        " ".join([*(f"{name}={value}" for name, value in own.items()), command])
        for own in environments(workers, job.captioner)
    )


def caption_locally(options: JobOptions, work: WorkOptions, workers: int | None = None) -> Path:
    """Caption what is left with worker processes; return the folder of the caption set.

    Raises:
        BusyError: other runs hold every shard that is left.
        Interrupted: a signal asked to stop, or the deadline is near.
        WorkerError: workers died again and again without a new row.
        VprcapError: what a worker could not go on with.
    """
    with stop_on_signals() as stop:  # first: a signal is not to be lost while the job is opened
        own = environments(workers, options.captioner)
        job = open_job(options)
        if not job.pending:
            return job.captions.root
        with Progress("captioning", job.num_left, "images") as progress:
            if job.captions.plan_json.exists():
                progress.resume(read_status(job.captions).rows_journaled)
            failure = _Supervisor(worker_command(options, work), own, progress, stop).run()
    _conclude(job.now(), failure, stop)
    return job.captions.root


def _conclude(after: CaptionJob, failure: VprcapError | None, stop: StopFlag) -> None:
    """Raise what kept the workers from finishing."""
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
    """Keeps one worker alive per environment until each has said that it is done."""

    def __init__(
        self,
        command: list[str],
        environments: list[dict[str, str]],
        progress: Progress,
        stop: StopFlag,
    ) -> None:
        self._command, self._progress, self._stop = command, progress, stop
        self._events: queue.Queue[Event] = queue.Queue()
        self._environments = dict(enumerate(environments))
        self._running: dict[int, WorkerProcess] = {}
        self._deaths = dict.fromkeys(self._environments, 0)
        self._failure: VprcapError | None = None
        self._passed_on = False

    def run(self) -> VprcapError | None:
        """Work until no worker is left; return the gravest thing that one could not go on with."""
        try:
            for number, own in self._environments.items():
                self._start(number, own)
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

    def _start(self, number: int, own: Mapping[str, str]) -> None:
        self._running[number] = WorkerProcess(number, self._command, own, self._events)

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
        elif event.returncode is not None:
            del self._running[event.worker]
            if event.returncode != 0:
                self._died(event.worker, event.returncode)

    def _note(self, error: VprcapError) -> None:
        # That others hold the rest is what idle workers say; anything else weighs more.
        if self._failure is None or isinstance(self._failure, BusyError):
            self._failure = error

    def _died(self, number: int, code: int) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
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
        self._start(number, self._environments[number])


def _error(event: Event) -> VprcapError:
    kind = getattr(errors, event.error or "", VprcapError)
    if kind is Interrupted:
        return Interrupted(event.message, event.exit_code or 130)
    found: VprcapError = kind(event.message)
    return found
