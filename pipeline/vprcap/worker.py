"""A worker: claims shards that nobody holds, captions them and commits their parts.

Any number of workers, on any machines that see the same folder, may do so at once and without
knowing of each other. Correctness lies in the files (`lease`, `journal`, `captions.commit_part`),
not in this process: it may die, or sleep and wake up, at any line.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vprcap.caption_job import CaptionJob, WorkOptions
from vprcap.caption_sets.captions import build_table, check_part, commit_part
from vprcap.caption_sets.reuse import Reuse
from vprcap.captioners.automatic_batch_size import AutomaticBatchSize
from vprcap.captioners.batch_size import BatchSize
from vprcap.captioners.memory_meter import memory_meter
from vprcap.captioners.rows import Row, RowWriter, convict
from vprcap.captioners.running_rows import Item
from vprcap.captioners.watched import WatchedCaptioner
from vprcap.commit_protocol.attempts import Attempts
from vprcap.commit_protocol.journal import Journal, journal_path, read_journals, remove_journals
from vprcap.commit_protocol.lease import Lease, claim
from vprcap.decoding import DecodePool
from vprcap.errors import Interrupted
from vprcap.fault_points import passing
from vprcap.files import storage_errors, write_json
from vprcap.manifests.manifest import image_path
from vprcap.manifests.plan import Shard
from vprcap.progress import Progress
from vprcap.stopping import DEADLINE_EXIT_CODE, StopFlag

# Two batches ahead keep the model busy; more would only hold pixels in memory.
_BATCHES_AHEAD = 3


class Worker:
    """Captions shards one after the other."""

    def __init__(
        self,
        job: CaptionJob,
        work: WorkOptions,
        pool: DecodePool,
        progress: Progress,
        stop: StopFlag,
        reuse: Reuse,
    ) -> None:
        self._job, self._pool, self._progress, self._stop = job, pool, progress, stop
        self._reuse = reuse
        self._captioner = WatchedCaptioner(
            job.captioner, _batch_size(job, work), work.timeout_seconds, self._load
        )
        self._deadline = work.deadline
        self._loaded, self._load_seconds = False, 0.0
        self._seconds_per_image = 0.0

    def work(self, shards: list[Shard]) -> list[Shard]:
        """Caption shards, also those that others leave behind; return those that others hold.

        Raises:
            Interrupted: asked to stop, or no shard can be finished before the deadline.
        """
        while True:
            held = [shard for shard in shards if not self._try(shard)]
            if len(held) in (0, len(shards)):
                return held
            shards = held

    def _try(self, shard: Shard) -> bool:
        """Caption a shard; False if somebody else holds it."""
        if self._job.captions.part(shard).exists():
            return True
        self._check_time(shard)
        lease = claim(self._job.captions.lease(shard))
        if lease is None:
            return False
        with lease:
            done = self._job.captions.part(shard).exists() or self._finish(shard, lease)
        # It was taken away: by now it may be finished, or free again.
        return done or self._try(shard)

    def _check_time(self, shard: Shard) -> None:
        if self._stop():
            raise Interrupted("stopped")
        needed = self._seconds_per_image * self._job.plan.num_rows(shard)
        if self._deadline is not None and time.time() + needed >= self._deadline:
            raise Interrupted("stopped by the deadline", DEADLINE_EXIT_CODE)

    def _finish(self, shard: Shard, lease: Lease) -> bool:
        """Caption a shard that is held; False if it was taken away meanwhile."""
        begun, loading = time.monotonic(), self._load_seconds
        attempts = Attempts(self._job.captions.attempts(shard), lease.attempt, lease.is_held)
        try:
            rows, num_new = self._caption(shard, lease, attempts)
        except Interrupted:
            if not lease.lost or self._stop():
                raise
            return False
        if not lease.is_held():
            return False
        seconds = time.monotonic() - begun - (self._load_seconds - loading)
        if num_new:
            self._seconds_per_image = seconds / num_new
        if self._commit(shard, lease, rows):
            summary = self._summary(shard, lease, rows, num_new, seconds)
            write_json(self._job.captions.summary(shard), summary)
        if lease.is_held():
            attempts.forget()
        return True

    def _load(self) -> None:
        """Load the weights when there is work for them, once: copied captions need none."""
        if not self._loaded:
            begun = time.monotonic()
            self._job.captioner.load()
            self._load_seconds = time.monotonic() - begun
            self._progress.start_clock()
        self._loaded = True

    def _caption(
        self, shard: Shard, lease: Lease, attempts: Attempts
    ) -> tuple[dict[str, Row], int]:
        """Return the rows of a shard by image id, journaled before or new, and how many are new."""

        def should_stop() -> bool:
            return self._stop() or lease.lost

        captions = self._job.captions
        rows = read_journals(captions.journals, shard.name)
        self._progress.resume(len(rows))
        todo = [name for name in self._job.plan.image_ids(shard) if name not in rows]
        num_new = 0
        with Journal(captions.journals, shard.name, lease.token) as journal:
            for batch in self._batches(todo, attempts, should_stop):
                if should_stop():  # batch systems signal decoders too: their death proves nothing
                    batch = [row for row in batch if row["status"] != "decode_error"]
                journal.append(batch)
                rows |= {row["image_id"]: row for row in batch}
                copied = _num_copied(batch)
                num_new += len(batch) - copied
                self._progress.resume(copied)
                self._progress.advance(len(batch) - copied)
                if should_stop():
                    raise Interrupted("stopped")
        return rows, num_new

    def _batches(
        self, todo: list[str], attempts: Attempts, should_stop: Callable[[], bool]
    ) -> Iterator[list[Row]]:
        guilty = [image_id for image_id in todo if image_id in attempts.guilty]
        for item in self._decoded(guilty):
            yield [convict(item, attempts.guilty[item[0]])]
        writer = RowWriter(self._captioner, attempts, should_stop, self._reuse)
        for group in attempts.groups(todo):
            yield from writer.rows(self._decoded(group))

    def _decoded(self, image_ids: list[str]) -> Iterable[Item]:
        root = self._job.plan.info.image_root
        paths = (image_path(root, image_id) for image_id in image_ids)

        def ahead() -> int:
            return _BATCHES_AHEAD * self._captioner.batch_size.now

        return zip(image_ids, self._pool.decode(paths, ahead), strict=True)

    def _commit(self, shard: Shard, lease: Lease, rows: dict[str, Row]) -> bool:
        """Give a shard its part; False if another worker has finished it.

        What belongs to the shard is removed only by the worker that finished it and still holds
        it: another may have taken it back into work since.
        """
        job = self._job
        ordered = [rows[image_id] for image_id in job.plan.image_ids(shard)]
        table = build_table(ordered, job.captioner.config, job.plan.info.plan_id)
        first = commit_part(job.captions, shard, lease.token, table)
        if not first:
            part, info = job.captions.part(shard), job.plan.info
            check_part(part, info.num_rows(shard), info.plan_id)
        if first and lease.is_held():
            remove_journals(job.captions.journals, shard.name)
            with storage_errors(retired := job.captions.retired(shard)):
                passing("worker.retired")
                retired.unlink(missing_ok=True)
        else:
            own = journal_path(job.captions.journals, shard.name, lease.token)
            with storage_errors(own):
                passing("worker.journal")
                own.unlink(missing_ok=True)
        return first

    def _summary(
        self, shard: Shard, lease: Lease, rows: dict[str, Row], num_new: int, seconds: float
    ) -> dict[str, Any]:
        job = self._job
        statuses = [row["status"] for row in rows.values()]
        return {
            "part": job.captions.part(shard).name,
            "rows": len(rows),
            "bytes": job.captions.part(shard).stat().st_size,
            "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
            "captioned_here": num_new,
            "copied": _num_copied(rows.values()),
            "seconds": round(seconds, 3),
            "batch_size": self._captioner.batch_size.now,
            "attempt": lease.attempt,
            "device": job.captioner.device,
            "config_id": job.captioner.config.config_id,
            "plan_id": job.plan.info.plan_id,
        }


def _batch_size(job: CaptionJob, work: WorkOptions) -> BatchSize | AutomaticBatchSize:
    if work.batch_size is None:
        return AutomaticBatchSize(memory_meter(job.captioner.device))
    return BatchSize(work.batch_size)


def _num_copied(rows: Iterable[Row]) -> int:
    return sum(row.get("copied_from") is not None for row in rows)
