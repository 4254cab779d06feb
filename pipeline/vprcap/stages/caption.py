"""Caption: plan -> caption set. May die at any time; never loses or doubles a row.

The stage walks the shards that have no part yet. It claims one, takes up what an earlier run
journaled, captions the rest and commits the part. Correctness lies in the files (`lease`,
`journal`, `captions.commit_part`), not in this process.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vprcap.caption_set import CaptionSet
from vprcap.captioners import MAX_NEW_TOKENS, Captioner, load_captioner
from vprcap.captioners.rows import Row, RowWriter
from vprcap.captions import build_table, check_part, commit_part
from vprcap.decoding import DecodePool
from vprcap.errors import BusyError, Interrupted, InvalidError, MissingError
from vprcap.files import write_json
from vprcap.images import MAX_MEGAPIXELS
from vprcap.journal import Journal, read_journals, remove_journals
from vprcap.lease import Lease, claim, read_holder
from vprcap.manifest import image_path, read_manifest
from vprcap.plan import Plan, Shard, drift, plan_path, read_plan
from vprcap.progress import Progress
from vprcap.prompt import load_prompt
from vprcap.stopping import StopFlag, stop_on_signals

logger = logging.getLogger(__name__)

BATCH_SIZE = 16
# Two batches ahead keep the model busy; more would only hold pixels in memory.
_BATCHES_AHEAD = 3


@dataclass(frozen=True)
class CaptionJob:
    """One caption set and what is left to do for it."""

    plan: Plan
    captions: CaptionSet
    captioner: Captioner
    pending: list[Shard]

    @property
    def num_left(self) -> int:
        """Images of the shards that have no part yet."""
        return sum(self.plan.num_rows(shard) for shard in self.pending)

    def describe(self) -> dict[str, str | int | float | None]:
        """Say what `caption` would do; the time is from the parts that are finished already."""
        info, captions = self.plan.info, self.captions
        rate = captions.images_per_second()
        return {
            "captions": str(captions.root),
            "model": self.captioner.config.model,
            "quantization": self.captioner.config.quantization,
            "images": info.num_images,
            "images_left": self.num_left,
            "shards": len(self.plan.shards),
            "shards_left": len(self.pending),
            "images_per_second": rate and round(rate, 2),
            "hours_left": rate and round(self.num_left / rate / 3600, 2),
        }


def open_job(
    manifest: Path,
    *,
    captions_root: Path | None = None,
    captioner: str = "transformers",
    model: str | None = None,
    quantization: str = "nf4",
    prompt: str = "place",
    framing: str = "pad",
    max_new_tokens: int = MAX_NEW_TOKENS,
    limit: int | None = None,
) -> CaptionJob:
    """Find out what is to be done, without loading weights or writing anything.

    Raises:
        MissingError: the manifest has no plan, or its image root is gone.
        StaleArtefactError: the set belongs to another configuration or plan.
        InvalidError: a finished part is damaged.
    """
    plan = read_plan(plan_path(manifest))
    _report_drift(plan, manifest)
    plan = plan if limit is None else plan.first(limit)
    root = Path(plan.info.image_root)
    if not root.is_dir():
        raise MissingError(f"no image root {root}; mount it, or scan again where the images are")
    loaded = load_captioner(
        captioner,
        model,
        quantization=quantization,
        prompt=load_prompt(prompt),
        framing=framing,
        max_new_tokens=max_new_tokens,
    )
    suffix = "" if limit is None else f"-first-{plan.info.num_images}"
    captions = CaptionSet((captions_root or root / "captions") / (loaded.config.set_name + suffix))
    captions.check(loaded.config, asdict(plan.info))
    return CaptionJob(plan, captions, loaded, _pending(plan, captions))


def _report_drift(plan: Plan, manifest: Path) -> None:
    added, lost = drift(plan, read_manifest(manifest))
    if added or lost:
        logger.warning(
            "%s: %d images added and %d lost since the plan was frozen; "
            "the plan stands: give a new manifest its own name to caption them",
            manifest,
            added,
            lost,
        )


def _pending(plan: Plan, captions: CaptionSet) -> list[Shard]:
    pending = []
    for shard in plan.shards:
        if captions.part(shard).exists():
            check_part(captions.part(shard), plan.num_rows(shard), plan.info.plan_id)
        else:
            pending.append(shard)
    return pending


def caption(
    job: CaptionJob,
    *,
    batch_size: int = BATCH_SIZE,
    decode_workers: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Path:
    """Caption what a job has left and return the folder of its caption set.

    Raises:
        BusyError: other processes hold every shard that is left.
        Interrupted: a signal asked to stop; everything but the running batch is kept.
        StorageError: the disk is full; everything journaled is kept.
    """
    if batch_size < 1:
        raise InvalidError(f"--batch-size {batch_size} is too small; it must be at least 1")
    if not job.pending:
        return job.captions.root
    job.captions.create(job.captioner.config, asdict(job.plan.info))
    num_workers = decode_workers or min(4, os.cpu_count() or 1)
    with (
        stop_on_signals() as should_stop,
        DecodePool(num_workers, job.captioner.framing, max_megapixels) as pool,
        Progress("captioning", job.num_left, "images") as progress,
    ):
        job.captioner.load()
        progress.start_clock()
        worker = _Worker(job, pool, RowWriter(job.captioner, batch_size, should_stop), progress)
        try:
            held = [shard for shard in job.pending if not worker.try_shard(shard, should_stop)]
        except Interrupted as stopped:
            raise _stopped(job, progress, should_stop) from stopped
    if held:
        _refuse_held(job, held)
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

    def try_shard(self, shard: Shard, should_stop: Callable[[], bool]) -> bool:
        """Caption a shard; False if somebody else holds it."""
        lease = claim(self._job.captions.lease(shard))
        if lease is None:
            return False
        with lease:
            if not self._job.captions.part(shard).exists():
                begun = time.monotonic()
                rows = self._caption(shard, lease, should_stop)
                self._commit(shard, lease, rows, time.monotonic() - begun)
        return True

    def _caption(
        self, shard: Shard, lease: Lease, should_stop: Callable[[], bool]
    ) -> dict[str, Row]:
        """Return the rows of a shard by image id: those journaled before, and new ones."""
        captions, root = self._job.captions, self._job.plan.info.image_root
        rows = read_journals(captions.journals, shard.name)
        self._progress.advance(len(rows))
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
        return rows

    def _commit(self, shard: Shard, lease: Lease, rows: dict[str, Row], seconds: float) -> None:
        job = self._job
        ordered = [rows[image_id] for image_id in job.plan.image_ids(shard)]
        table = build_table(ordered, job.captioner.config, job.plan.info.plan_id)
        if commit_part(job.captions, shard, lease.token, table):
            write_json(job.captions.summary(shard), _summary(job, shard, ordered, seconds))
        remove_journals(job.captions.journals, shard.name)


def _summary(job: CaptionJob, shard: Shard, rows: list[Row], seconds: float) -> dict[str, Any]:
    statuses = [row["status"] for row in rows]
    return {
        "part": job.captions.part(shard).name,
        "rows": len(rows),
        "bytes": job.captions.part(shard).stat().st_size,
        "statuses": {status: statuses.count(status) for status in sorted(set(statuses))},
        "seconds": round(seconds, 3),
        "config_id": job.captioner.config.config_id,
        "plan_id": job.plan.info.plan_id,
    }
