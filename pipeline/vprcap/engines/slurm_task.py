"""What a task of a Slurm job array runs: workers, until no shard is free.

A supervisor of the local engine, also where a task has one GPU: a worker that dies, or whose
model hangs, is started again inside the task, where a task that ends has to queue anew. It loads
no model, so it hears a signal at once, drains its workers and has time left to requeue.

submitit sets handlers of its own: they end the process in the middle of a write (SIGUSR2), or
ignore what asks to stop (SIGTERM). So ours stand before them while there is work. When all is
journaled and released they are back, and the task sends itself the signal that submitit requeues
on.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.engines.holders import wait_for_holders
from vprcap.engines.local import caption_locally
from vprcap.errors import BusyError, Interrupted, VprcapError
from vprcap.stopping import StopFlag, stop_on_signals

if TYPE_CHECKING:
    from submitit import JobEnvironment
    from submitit.core.utils import DelayedSubmission

Result = TypeVar("Result")
_TRIES, _SECONDS_BETWEEN_TRIES = 10, 0.5
"""A signal to a step reaches all its processes, `scontrol` too, and schedulers repeat signals."""
WARNING_SECONDS = 90
"""Between the signal and the end of the time: what a batch, a journal and a requeue need."""


@dataclass(frozen=True)
class CaptionTask:
    """A task: options only, for submitit pickles it, and any task may do the work of any other."""

    job: JobOptions
    work: WorkOptions
    limit_seconds: float
    """Of time, from its start; where Slurm says when it ends, that counts."""
    gpus: int

    def __call__(self) -> None:
        """Caption what is free; go back into the queue when asked to stop, or when time is up."""
        if not self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        deadline = _end_of_time(self.limit_seconds) - WARNING_SECONDS
        try:
            with stop_on_signals() as stop:
                self._caption(replace(self.work, deadline=deadline), stop)
            return
        except Interrupted as stopped:
            _say(stopped)
            interrupted = stopped
        except VprcapError as error:
            _say(error)
            raise SystemExit(1) from None
        _requeue(interrupted)

    def _caption(self, work: WorkOptions, stop: StopFlag) -> None:
        """Caption until all is done, or in the hands of living workers."""
        while not stop():
            try:
                caption_locally(self.job, work)
                return
            except BusyError:
                _say("others hold every shard that is left; looking whether they live")
            if not stop() and not wait_for_holders(open_job(self.job), stop):
                break
        if stop.signal is not None:
            raise Interrupted(f"stopped by {stop.signal.name}", 128 + stop.signal)

    def checkpoint(self) -> "DelayedSubmission":
        """Return what runs after a requeue: the same, for all that was done lies in files."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(self)


def _end_of_time(limit_seconds: float) -> float:
    """Return when the task is ended, in Unix seconds."""
    known = os.environ.get("SLURM_JOB_END_TIME", "")
    return float(known) if known.isdecimal() else time.time() + limit_seconds


def _requeue(interrupted: Interrupted) -> None:
    """Queue again by submitit's own way, which ends this process; not if Slurm has decided."""
    import submitit

    environment = submitit.JobEnvironment()
    states = _states(environment)
    if states & {"CANCELLED", "PENDING"}:  # somebody wants it to end; it is queued already
        raise SystemExit(interrupted.exit_code)
    requeue = getattr(signal, f"SIG{environment.USR_SIG}")
    try:
        _past_signals(partial(signal.raise_signal, requeue))
    except (OSError, subprocess.SubprocessError) as problem:
        _say(f"Slurm does not take the task back ({problem}); submit again to go on")
        raise SystemExit(interrupted.exit_code) from None


def _states(environment: "JobEnvironment") -> set[str]:
    """Ask Slurm what it thinks the task is doing; empty where it does not say."""
    if environment.cluster != "slurm":
        return set()
    command = ["scontrol", "--json", "show", "job", environment.raw_job_id]
    try:
        ask = partial(subprocess.run, command, capture_output=True, timeout=60, check=True)
        states = json.loads(_past_signals(ask).stdout)["jobs"][0]["job_state"]
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return set()
    return set(states) if isinstance(states, list) else {str(states)}


def _past_signals(call: Callable[[], Result]) -> Result:
    """Call what runs a command; again where a signal that was meant for us ended it."""
    for _ in range(_TRIES - 1):
        try:
            return call()
        except subprocess.CalledProcessError as problem:
            if problem.returncode >= 0:
                raise
        time.sleep(_SECONDS_BETWEEN_TRIES)
    return call()


def _say(what: object) -> None:
    print(f"vprcap: {what}", file=sys.stderr, flush=True)
