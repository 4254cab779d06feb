"""Caption: plan -> caption set. May die at any time; never loses or doubles a row.

The stage walks the shards that have no part yet. It claims one, takes up what an earlier run
journaled, captions the rest and commits the part. Correctness lies in the files (`lease`,
`journal`, `captions.commit_part`), not in this process.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vprcap.caption_job import CaptionJob, WorkOptions
from vprcap.captioners.rows import Row, RowWriter
from vprcap.captions import build_table, commit_part
from vprcap.decoding import DecodePool, default_workers
from vprcap.errors import BusyError, Interrupted
from vprcap.files import write_json
from vprcap.journal import Journal, read_journals, remove_journals
from vprcap.lease import Lease, claim, read_holder
from vprcap.manifest import image_path
from vprcap.plan import Shard
from vprcap.progress import Progress
from vprcap.stopping import StopFlag, stop_on_signals

_DEFAULTS = WorkOptions()
# Two batches ahead keep the model busy; more would only hold pixels in memory.
_BATCHES_AHEAD = 3


def caption(job: CaptionJob, work: WorkOptions = _DEFAULTS) -> Path:
    """Caption what a job has left and return the folder of its caption set.

    Raises:
        BusyError: other processes hold every shard that is left.
        Interrupted: a signal asked to stop; everything but the running batch is kept.
        StorageError: the disk is full; everything journaled is kept.
    """
    if not job.pending:
        return job.captions.root
    job.captions.create(job.captioner.config, asdict(job.plan.info))
    with (
        stop_on_signals() as should_stop,
        DecodePool(
            work.decode_workers or default_workers(), job.captioner.framing, work.max_megapixels
        ) as pool,
        Progress("captioning", job.num_left, "images") as progress,
    ):
        worker = _Worker(
            job, pool, RowWriter(job.captioner, work.batch_size, should_stop), progress
        )
        try:
            left = worker.work(job.pending, should_stop)
        except Interrupted as stopped:
            raise _stopped(job, progress, should_stop) from stopped
    if left:
        _refuse_held(job, left)
    return job.captions.root


def _stopped(job: CaptionJob, progress: Progress, flag: StopFlag) -> Interrupted:
    assert flag.signal is not None
    done = job.plan.info.num_images - progress.total + progress.done
    return Interrupted(
        f"stopped by {flag.signal.name}: {done:,} of {job.plan.info.num_images:,} images have "
        "their rows; run the same command to go on",
        exit_code=128 + flag.signal,
    )


def _refuse_held(job: CaptionJob, held: list[Shard]) -> None:
    holder = read_holder(job.captions.lease(held[0]))
    raise BusyError(
        f"{len(held)} of {len(job.plan.shards)} shards of {job.captions.root.name} are held by "
        f"another run ({holder or 'which has just ended'}); wait for it, or stop it and run again"
    )


class _Worker:
    """Captions shards one after the other."""

    def __init__(
        self, job: CaptionJob, pool: DecodePool, writer: RowWriter, progress: Progress
    ) -> None:
        self._job, self._pool, self._writer, self._progress = job, pool, writer, progress
        self._loaded = False

    def work(self, shards: list[Shard], should_stop: Callable[[], bool]) -> list[Shard]:
        """Caption shards, also those that others leave behind; return those that others hold."""
        while True:
            held = [shard for shard in shards if not self._try(shard, should_stop)]
            if len(held) in (0, len(shards)):
                return held
            shards = held

    def _try(self, shard: Shard, should_stop: Callable[[], bool]) -> bool:
        """Caption a shard; False if somebody else holds it."""
        if self._job.captions.part(shard).exists():
            return True
        lease = claim(self._job.captions.lease(shard))
        if lease is None:
            return False
        with lease:
            if not self._job.captions.part(shard).exists():
                self._load()
                begun = time.monotonic()
                rows, num_new = self._caption(shard, lease, should_stop)
                self._commit(shard, lease, rows)
                seconds = time.monotonic() - begun
                write_json(
                    self._job.captions.summary(shard),
                    _summary(self._job, shard, rows, num_new, seconds),
                )
        return True

    def _load(self) -> None:
        """Load the weights when there is work for them, once."""
        if not self._loaded:
            self._job.captioner.load()
            self._progress.start_clock()
        self._loaded = True

    def _caption(
        self, shard: Shard, lease: Lease, should_stop: Callable[[], bool]
    ) -> tuple[dict[str, Row], int]:
        """Return the rows of a shard by image id, journaled before or new, and how many are new."""
        captions, root = self._job.captions, self._job.plan.info.image_root
        rows = read_journals(captions.journals, shard.name)
        self._progress.resume(len(rows))
        todo = [name for name in self._job.plan.image_ids(shard) if name not in rows]
        paths = (image_path(root, image_id) for image_id in todo)
        ahead = _BATCHES_AHEAD * self._writer.batch_size
        decoded = zip(todo, self._pool.decode(paths, ahead), strict=True)
        with Journal(captions.journals, shard.name, lease.token) as journal:
            for batch in self._writer.rows(decoded):
                journal.append(batch)
                rows |= {row["image_id"]: row for row in batch}
                self._progress.advance(len(batch))
                if should_stop():
                    raise Interrupted("stopped")
        return rows, len(todo)

    def _commit(self, shard: Shard, lease: Lease, rows: dict[str, Row]) -> None:
        job = self._job
        ordered = [rows[image_id] for image_id in job.plan.image_ids(shard)]
        table = build_table(ordered, job.captioner.config, job.plan.info.plan_id)
        commit_part(job.captions, shard, lease.token, table)
        remove_journals(job.captions.journals, shard.name)
        job.captions.retired(shard).unlink(missing_ok=True)


def _summary(
    job: CaptionJob, shard: Shard, rows: dict[str, Row], num_new: int, seconds: float
) -> dict[str, Any]:
    statuses = [row["status"] for row in rows.values()]
    return {
        "part": job.captions.part(shard).name,
        "rows": len(rows),
        "bytes": job.captions.part(shard).stat().st_size,
        "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
        "captioned_here": num_new,
        "seconds": round(seconds, 3),
        "device": job.captioner.device,
        "config_id": job.captioner.config.config_id,
        "plan_id": job.plan.info.plan_id,
    }
