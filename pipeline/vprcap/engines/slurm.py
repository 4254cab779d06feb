"""The Slurm engine: a job array whose tasks share what is left of a caption set.

Tasks are workers that claim free shards, not one task a shard: arrays are limited in length, and
more tasks may be added at any time by submitting again. submitit writes the script, submits it
and requeues; pickles, scripts and logs lie in the caption set, which all nodes see anyway.
Submitting returns at once: an array may wait for days, and `vprcap status` tells all there is.

This was run with submitit's local executor and against a stand-in for Slurm's commands, never on
a cluster. There it is Slurm that decides what these cannot show: how long after a signal it kills
(GraceTime and KillWait: the batch under way is lost where they are too short), whether preempted
tasks come back (`--requeue` is asked for; sites may forbid it: submit again, nothing is lost), and
whether `SLURM_JOB_END_TIME` is set (else a task counts from its own start).
"""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vprcap.caption_job import CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.engines.options import EngineOptions, Started
from vprcap.engines.slurm_task import WARNING_SECONDS, CaptionTask
from vprcap.errors import DependencyError, InvalidError, WorkerError, first_line

if TYPE_CHECKING:
    from submitit import Executor, Job

MAX_TIMEOUTS = 200
"""Times that a task may use up its time and queue again: a month of the default time. submitit's
own 3 end a long job, and none would let a task go on for ever that is too short to get anywhere.
Preemptions are not counted."""
_TIME = "4:00:00"
_LEAST_MINUTES = 5
_CPUS_PER_WORKER = 4
"""Decoding keeps a GPU busy from four processes on."""


def submit(options: JobOptions, work: WorkOptions, engine: EngineOptions) -> Started:
    """Submit a job array that captions what is left; nothing if nothing is.

    Raises:
        DependencyError: no submitit, or no Slurm on this machine.
        InvalidError: an option is out of its range.
        WorkerError: Slurm refuses the job.
    """
    require(engine)
    job = open_job(options)
    if not job.pending:
        return Started(job.captions.root)
    parameters = _parameters(engine)
    executor = _submitit().SlurmExecutor(job.captions.slurm, max_num_timeout=MAX_TIMEOUTS)
    executor.update_parameters(**parameters)
    task = CaptionTask(options, work, 60 * parameters["time"], parameters["gpus_per_node"])
    job.captions.create(job.captioner.config, asdict(job.plan.info))
    jobs = _submit_array(executor, [task] * _num_tasks(engine, job))
    job_id = str(jobs[0].job_id).partition("_")[0]
    return Started(job.captions.root, job_id, len(jobs), executor.folder)


def _submit_array(executor: "Executor", tasks: Sequence[CaptionTask]) -> "Sequence[Job[None]]":
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        return executor.submit_array(tasks)
    except (FailedJobError, FailedSubmissionError) as problem:
        raise WorkerError(
            f"Slurm refuses the job: {first_line(problem)}; --dry-run shows its script"
        ) from None


def require(engine: EngineOptions) -> None:
    """Refuse what cannot be submitted, before anything is changed.

    Raises:
        DependencyError: no submitit, or no Slurm on this machine.
        InvalidError: an option is out of its range.
    """
    _submitit()
    _parameters(engine)
    if not shutil.which("sbatch") or not shutil.which("srun"):
        raise DependencyError(
            "no Slurm here (sbatch, srun); submit where the cluster is, or see --dry-run"
        )


def script(options: JobOptions, engine: EngineOptions) -> str:
    """Return the script that would be submitted.

    Raises:
        DependencyError: no submitit.
        InvalidError: an option is out of its range.
    """
    _submitit()
    from submitit.slurm.slurm import _make_sbatch_string

    job = open_job(options)
    count, folder = _num_tasks(engine, job), job.captions.slurm.absolute()
    return _make_sbatch_string(
        command=f"{shlex.quote(sys.executable)} -u -m submitit.core._submit "
        f"{shlex.quote(str(folder))}",
        folder=folder,
        map_count=count if count > 1 else None,
        **_parameters(engine),
    )


def minutes(time: str) -> int:
    """Read a limit of time as Slurm does, e.g. 90, 90:00, 1:30:00 or 1-12; seconds round up.

    Raises:
        InvalidError: it is none, or too short for a model to load.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    days, *clock = match.groups() if match else (None, None, None, None)
    numbers = [int(number) for number in clock if number is not None]
    if len(numbers) == 3 or days is not None:
        hours, least, seconds = (*numbers, 0, 0)[:3]
    else:
        hours, least, seconds = (0, *numbers, 0, 0)[:3]
    total = (int(days or 0) * 24 + hours) * 60 + least + -(-seconds // 60)
    if match is None or total < _LEAST_MINUTES:
        raise InvalidError(
            f"--time {time} is no limit to work under; use minutes, hours:minutes:seconds or "
            f"days-hours, at least {_LEAST_MINUTES} minutes"
        )
    return total


def _parameters(engine: EngineOptions) -> dict[str, Any]:
    """Return what submitit's Slurm executor takes."""
    gpus = 1 if engine.gpus is None else engine.gpus
    if gpus < 0:
        raise InvalidError(f"--gpus {gpus} is too few; use 0 for a CPU, or 1 and more")
    cpus = _CPUS_PER_WORKER * max(1, gpus)
    return {
        "job_name": "vprcap",
        "partition": engine.partition,
        "time": minutes(engine.time or _TIME),
        "gpus_per_node": gpus,
        "constraint": engine.constraint,
        "cpus_per_task": cpus,
        "srun_args": [f"--cpus-per-task={cpus}"],  # not inherited since Slurm 22.05
        "signal_delay_s": WARNING_SECONDS,
        "array_parallelism": _array(engine),
        "wckey": None,  # submitit's own is refused where keys are enforced
        "additional_parameters": {"requeue": True},
    }


def _num_tasks(engine: EngineOptions, job: CaptionJob) -> int:
    """Return how many tasks find work."""
    return max(1, min(_array(engine), len(job.pending)))


def _array(engine: EngineOptions) -> int:
    array = 1 if engine.array is None else engine.array
    if array < 1:
        raise InvalidError(f"--array {array} is too small; use at least 1")
    return array


def _submitit() -> ModuleType:
    try:
        import submitit
    except ImportError:
        raise DependencyError(
            "Slurm needs submitit; install it with `pip install 'vprcap[slurm]'`"
        ) from None
    return submitit
