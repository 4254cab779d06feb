"""Caption: plan -> caption set. May die at any time; never loses or doubles a row.

This is one worker in this process (`worker`); start as many as there are GPUs.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from vprcap.caption_job import CaptionJob, WorkOptions
from vprcap.caption_sets.leftovers import remove_leftovers
from vprcap.caption_sets.reuse import Reuse, open_reuse
from vprcap.commit_protocol.lease import read_holder
from vprcap.decoding import DecodePool, default_workers
from vprcap.errors import BusyError, Interrupted
from vprcap.manifests.plan import Shard
from vprcap.progress import Progress
from vprcap.stopping import StopFlag, stop_on_signals
from vprcap.worker import Worker

_DEFAULTS = WorkOptions()


def caption(
    job: CaptionJob,
    work: WorkOptions = _DEFAULTS,
    listener: Callable[[int], None] | None = None,
) -> Path:
    """Caption what a job has left and return the folder of its caption set.

    Progress is shown, or a listener told of it: how many rows are new, as they become safe.
    A model that does not return ends this process with `HUNG_EXIT_CODE`.

    Raises:
        BusyError: other processes hold every shard that is left.
        Interrupted: a signal asked to stop, or the deadline is near; everything but the running
            batch is kept.
        StorageError: the disk is full; everything journaled is kept.
    """
    remove_leftovers(job.captions)
    if not job.pending:
        return job.captions.root
    config = job.captioner.config
    job.captions.create(config, asdict(job.plan.info))
    reuse = open_reuse(job.captions, config.config_id, work.data_root) if work.reuse else Reuse()
    with (
        stop_on_signals() as stop,
        DecodePool(
            work.decode_workers or default_workers(), job.captioner.framing, work.max_megapixels
        ) as pool,
        Progress("captioning", job.num_left, "images", listener) as progress,
    ):
        try:
            left = Worker(job, work, pool, progress, stop, reuse).work(job.pending)
        except Interrupted as stopped:
            raise _stopped(job, progress, stop, stopped) from stopped
    if left:
        _refuse_held(job, left)
    return job.captions.root


def _stopped(job: CaptionJob, progress: Progress, stop: StopFlag, why: Interrupted) -> Interrupted:
    done = job.plan.info.num_images - progress.total + progress.done
    cause = "the deadline" if stop.signal is None else stop.signal.name
    return Interrupted(
        f"stopped by {cause}: {done:,} of {job.plan.info.num_images:,} images have "
        "their rows; run the same command to go on",
        exit_code=why.exit_code if stop.signal is None else 128 + stop.signal,
    )


def _refuse_held(job: CaptionJob, held: list[Shard]) -> None:
    holder = read_holder(job.captions.lease(held[0]))
    raise BusyError(
        f"{len(held)} of {len(job.plan.shards)} shards of {job.captions.root.name} are held by "
        f"another run ({holder or 'which has just ended'}); wait for it, or stop it and run again"
    )
