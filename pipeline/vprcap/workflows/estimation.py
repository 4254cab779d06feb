"""Estimate: caption a sample of the images as a worker does, and say what all of them will take.

The sample is drawn at random over the whole plan and captioned by the very stage that captions
everything, into a folder that is thrown away. Two things are measured: how long the model takes
from the end of one batch to the end of the next, and how fast this machine decodes (of so few
images all are decoded before the model needs them, which later would not be so). On a GPU the two
run beside each other and the slower one is the speed; on a CPU they share its cores and add up.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from vprcap.caption_job import BATCH_SIZE, CaptionJob, JobOptions, WorkOptions, open_job
from vprcap.caption_sets.captions import status_counts
from vprcap.caption_sets.speed import LEAST_BATCHES, Speed, measured_speed
from vprcap.captioners import Captioner, Generated
from vprcap.decoding import DecodePool, default_workers
from vprcap.errors import InvalidError
from vprcap.manifests.manifest import (
    ManifestInfo,
    build_manifest,
    image_path,
    read_manifest_info,
    write_manifest,
)
from vprcap.manifests.plan import Plan
from vprcap.stages.caption import caption
from vprcap.stages.shard import shard

SAMPLE = 64


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """What a sample says of the whole."""

    device: str
    images_left: int
    images_measured: int
    statuses: dict[str, int]
    batch_size: int
    speed: Speed
    """Of one worker, for an image of the plan."""
    decode_seconds: float
    """For an image, with the decode workers of one worker."""
    load_seconds: float
    """For the weights, once a worker."""

    @property
    def hours(self) -> tuple[float, float, float]:
        """Hours of one worker: likeliest, lowest, highest; GPU-hours where it has a GPU."""
        speed = self.speed
        middle, low, high = (
            self.images_left * each / 3600 for each in (speed.seconds, speed.low, speed.high)
        )
        return middle, low, high

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return {**asdict(self), "hours": list(self.hours)}


def estimate(
    options: JobOptions, work: WorkOptions, *, num_images: int = SAMPLE, seed: int = 0
) -> Extrapolation:
    """Measure on a sample what captioning the rest of a plan will take.

    Args:
        options: which images, and how their text is made.
        work: how a worker works.
        num_images: size of the sample; more where that would be fewer than four batches.
        seed: which sample.

    Raises:
        InvalidError: too few images could be captioned to tell.
    """
    job = open_job(options)
    num_images = max(num_images, LEAST_BATCHES * (work.batch_size or BATCH_SIZE))
    with TemporaryDirectory(prefix="vprcap-estimate-") as folder:
        manifest = _write_sample(job.plan, options.manifest, num_images, seed, Path(folder))
        sample = open_job(
            replace(options, manifest=manifest, captions_root=Path(folder), limit=None)
        )
        decode_seconds = _decode_speed(sample, work)
        timed = _Timed(sample.captioner)
        root = caption(replace(sample, captioner=timed), replace(work, reuse=False))
        statuses = status_counts(root)
    num_rows, num_captioned = sum(statuses.values()), sum(count for _, count in timed.ends)
    if len(timed.ends) < 2:
        raise InvalidError(
            f"{num_captioned} of {num_rows} images made {len(timed.ends)} batch; that is too few "
            "to measure speed by: take a smaller --batch-size"
        )
    # Images that cannot be decoded cost the model nothing.
    of_model = measured_speed(timed.ends).times(num_captioned / num_rows)
    beside = of_model.plus if timed.device == "cpu" else of_model.at_least
    return Extrapolation(
        device=timed.device,
        images_left=job.num_left,
        images_measured=num_rows,
        statuses=statuses,
        batch_size=max(count for _, count in timed.ends),
        speed=beside(decode_seconds),
        decode_seconds=decode_seconds,
        load_seconds=timed.load_seconds,
    )


class _Timed:
    """A captioner that notes when its batches ended."""

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner
        self.config, self.framing = captioner.config, captioner.framing
        self.device = captioner.device
        self.ends: list[tuple[float, int]] = []
        self.load_seconds = 0.0

    def load(self) -> None:
        """Load the weights."""
        begun = time.perf_counter()
        self._captioner.load()
        self.load_seconds = time.perf_counter() - begun

    def caption(
        self, pixels: Any, should_stop: Callable[[], bool], seeds: Sequence[int] = ()
    ) -> list[Generated]:
        """Caption a batch."""
        written = self._captioner.caption(pixels, should_stop, seeds)
        self.ends.append((time.perf_counter(), len(pixels)))
        return written


def _write_sample(plan: Plan, manifest: Path, num_images: int, seed: int, folder: Path) -> Path:
    """Write a manifest and a plan of images drawn at random from the whole plan."""
    count = min(num_images, plan.info.num_images)
    drawn = sorted(random.Random(seed).sample(range(plan.info.num_images), count))
    size, shards = plan.info.shard_size, plan.shards
    ids = [plan.id_array(shards[number // size])[number % size] for number in drawn]
    name = read_manifest_info(manifest)[0].name
    info = ManifestInfo(plan.info.image_root, name)
    sample = build_manifest({"image_id": pa.array([each.as_py() for each in ids])}, info)
    written = write_manifest(sample, folder / "sample.parquet")
    shard(written)
    return written


def _decode_speed(job: CaptionJob, work: WorkOptions) -> float:
    """Seconds an image takes to read and decode, from when the first is there."""
    workers = work.decode_workers or default_workers()
    names = [name for each in job.plan.shards for name in job.plan.image_ids(each)]
    paths = [image_path(job.plan.info.image_root, name) for name in names]
    with DecodePool(workers, job.captioner.framing, work.max_megapixels) as pool:
        results = pool.decode(paths, ahead=2 * workers)
        next(results)
        begun = time.perf_counter()
        num_more = sum(1 for _ in results)
    return (time.perf_counter() - begun) / max(1, num_more)
