"""Start workers with the engine that a user names: the one place that knows them all.

An engine only starts workers and keeps them alive. What is done, and what is left, it reads from
the caption set, so a run that one engine began can go on with any other.
"""

from vprcap.caption_job import JobOptions, WorkOptions
from vprcap.engines.options import EngineOptions, Started


def start(job: JobOptions, work: WorkOptions, engine: EngineOptions) -> Started:
    """Caption what a job has left, or have it captioned.

    That others hold what is left is no error of an engine whose own workers are those others.

    Raises:
        BusyError: another run holds every shard that is left.
        DependencyError: the engine is not installed, or not of this machine.
        Interrupted: a signal asked to stop.
        WorkerError: workers died again and again without a new row.
        VprcapError: what a worker could not go on with.
    """
    match engine.engine:
        case "local":
            from vprcap.engines.local import caption_locally

            return Started(caption_locally(job, work, engine.workers))
        case "slurm":
            from vprcap.engines.slurm import submit

            return submit(job, work, engine)
        case "ray":
            from vprcap.engines.ray import caption_on_ray

            return Started(caption_on_ray(job, work, engine))
    raise AssertionError(engine.engine)  # EngineOptions knows no other


def require(engine: EngineOptions) -> None:
    """Refuse an engine that cannot start here, before anything is changed for it.

    Raises:
        DependencyError: it is not installed, or not of this machine.
        InvalidError: an option of it is out of its range.
    """
    match engine.engine:
        case "local":
            from vprcap.engines.local import environments

            environments(engine.workers)
        case "slurm":
            from vprcap.engines.slurm import require

            require(engine)
        case "ray":
            from vprcap.engines.ray import require

            require(engine)


def describe(job: JobOptions, work: WorkOptions, engine: EngineOptions) -> str:
    """Return the commands, or the script, that `start` would run or submit.

    Raises:
        DependencyError: the engine is not installed.
    """
    match engine.engine:
        case "local":
            from vprcap.engines.local import describe

            return describe(job, work, engine.workers)
        case "slurm":
            from vprcap.engines.slurm import script

            return script(job, engine)
        case "ray":
            from vprcap.engines.ray import describe_actors

            return describe_actors(job, work, engine)
    raise AssertionError(engine.engine)
