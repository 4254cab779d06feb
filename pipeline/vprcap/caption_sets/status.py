"""The status of a caption set: what is done, who works on what, how fast, how much longer.

Everything is read from the files of the set: names for what is finished, summaries for counts and
times, leases for who is at work, journals for rows that are safe but in no part yet. So it can be
asked from any machine that sees the folder, while workers of any kind come and go, and it takes
no part in the work: nothing is written.
"""

import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.shard_rows import summaries_of
from vprcap.caption_sets.summaries import Summary
from vprcap.commit_protocol.lease import STALE_SECONDS, Holder, is_gone, read_holder
from vprcap.manifests.plan import Shard

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Running:
    """A shard that somebody has claimed."""

    shard: int
    host: str
    pid: int
    age_seconds: float | None
    """Since it was claimed; None where the lease does not say."""
    heartbeat_seconds: float
    """Since the last sign of life, by this machine's clock."""
    rows: int
    """Images of the shard that have their rows, in journals."""
    stale: bool
    """The worker is gone: the next one takes the shard over."""


@dataclass(frozen=True)
class SetStatus:
    """One caption set at one moment."""

    name: str
    images: int
    shards: int
    done: list[tuple[Shard, Summary]]
    """Finished shards, in no certain order."""
    running: list[Running]
    rows_journaled: int
    """Rows of unfinished shards, also of those that nobody works on now."""

    @cached_property
    def statuses(self) -> dict[str, int]:
        """Finished rows by status, most frequent first."""
        counts: Counter[str] = Counter()
        for _, summary in self.done:
            counts.update(summary.statuses)
        return dict(counts.most_common())

    @property
    def copied(self) -> int:
        """Finished rows that were copied from another set, not computed."""
        return sum(summary.copied for _, summary in self.done)

    @property
    def images_left(self) -> int:
        """Images that have no row yet."""
        return self.images - sum(self.statuses.values()) - self.rows_journaled

    @cached_property
    def worker_seconds(self) -> float:
        """Time that workers spent on finished shards; work that a kill undid is not in it."""
        return sum(summary.seconds for _, summary in self.done)

    @cached_property
    def gpu_seconds(self) -> float:
        """The part of it that was spent on GPUs."""
        return sum(summary.seconds for _, summary in self.done if summary.device != "cpu")

    @property
    def workers(self) -> int:
        """Workers that are at work now."""
        return sum(not each.stale for each in self.running)

    @cached_property
    def images_per_second_each(self) -> float | None:
        """Speed of one worker over the finished shards; None before the first."""
        captioned = sum(summary.captioned_here for _, summary in self.done)
        return captioned / self.worker_seconds if captioned and self.worker_seconds else None

    @property
    def images_per_second(self) -> float | None:
        """Speed of all workers at work now; None where it is not known."""
        each = self.images_per_second_each
        return each * self.workers if each and self.workers else None

    @property
    def eta_seconds(self) -> float | None:
        """Time until the last row, if the workers of now stay; None where it is not known."""
        if not self.images_left:
            return 0.0
        rate = self.images_per_second
        return self.images_left / rate if rate else None

    def totals(self) -> dict[str, Any]:
        """Return what holds for the whole set, as JSON takes it."""
        return {
            "captions": self.name,
            "images": self.images,
            "images_left": self.images_left,
            "statuses": self.statuses,
            "copied": self.copied,
            "rows_journaled": self.rows_journaled,
            "shards": self.shards,
            "shards_done": len(self.done),
            "shards_running": self.workers,
            "shards_stale": len(self.running) - self.workers,
            "images_per_second": self.images_per_second,
            "images_per_second_each": self.images_per_second_each,
            "eta_seconds": self.eta_seconds,
            "worker_hours": self.worker_seconds / 3600,
            "gpu_hours": self.gpu_seconds / 3600,
        }

    def to_json(self) -> dict[str, Any]:
        """Return totals, what is running, and each finished shard."""
        running = [asdict(each) for each in self.running]
        done = [
            {"shard": shard.index, "statuses": summary.statuses, "seconds": summary.seconds}
            for shard, summary in self.done
        ]
        return {**self.totals(), "running": running, "done": done}


def read_status(captions: CaptionSet) -> SetStatus:
    """Look at a caption set.

    Raises:
        MissingError: it is no caption set.
        InvalidError: a part that has no summary is damaged.
    """
    captions = captions.now()
    covered = captions.covers()
    done = list(summaries_of(captions))
    finished = {shard.name for shard, _ in done}
    unfinished = {shard.name: shard for shard in covered.shards if shard.name not in finished}
    journaled = _journaled(captions.journals, unfinished)
    return SetStatus(
        name=captions.root.name,
        images=covered.num_images,
        shards=len(covered.shards),
        done=done,
        running=_running(captions, unfinished, journaled),
        rows_journaled=sum(
            min(rows, covered.num_rows(unfinished[name])) for name, rows in journaled.items()
        ),
    )


def _journaled(folder: Path, unfinished: dict[str, Shard]) -> Counter[str]:
    """Count the rows in journals, by shard."""
    rows: Counter[str] = Counter()
    for path in folder.glob("part-*.jsonl"):
        name = path.name.partition(".")[0]
        if name in unfinished:
            rows[name] += _count_lines(path)
    return rows


def _count_lines(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(_BLOCK), b""))
    except FileNotFoundError:  # its part has just been committed
        return 0


def _running(
    captions: CaptionSet, unfinished: dict[str, Shard], journaled: Counter[str]
) -> list[Running]:
    found = []
    for path in sorted(captions.own_lease.parent.glob("part-*.json")):
        holder = read_holder(path)
        if path.stem not in unfinished or holder is None:
            continue
        try:
            heartbeat = max(0.0, time.time() - path.stat().st_mtime)
        except FileNotFoundError:
            continue
        found.append(_of(unfinished[path.stem], holder, heartbeat, journaled[path.stem]))
    return found


def _of(shard: Shard, holder: Holder, heartbeat: float, rows: int) -> Running:
    return Running(
        shard=shard.index,
        host=holder.host.partition("/")[0],
        pid=holder.pid,
        age_seconds=max(0.0, time.time() - holder.since) if holder.since else None,
        heartbeat_seconds=heartbeat,
        rows=rows,
        stale=is_gone(holder) or heartbeat > STALE_SECONDS,
    )
