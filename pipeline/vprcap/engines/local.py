"""The local engine: one worker process per visible GPU, one on a machine without.

The parent loads no model and imports no torch. It supervises its workers (`supervisor`), each of
which sees one GPU only.
"""

import queue
import shlex
from pathlib import Path

from vprcap.caption_job import JobOptions, WorkOptions, open_job
from vprcap.engines.gpus import visible_gpus
from vprcap.engines.process import Event, WorkerProcess
from vprcap.engines.supervisor import conclude, supervise
from vprcap.engines.worker_process import worker_command
from vprcap.errors import InvalidError
from vprcap.stopping import stop_on_signals


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
        command = worker_command(options, work)

        def start(number: int, events: "queue.Queue[Event]") -> WorkerProcess:
            return WorkerProcess(number, command, own[number], events)

        failure = supervise(job, start, len(own), stop)
    conclude(job.now(), failure, stop)
    return job.captions.root
