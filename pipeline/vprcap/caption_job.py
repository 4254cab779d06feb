"""A caption job: one caption set, and what is left to do for it."""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.status import read_status
from vprcap.captioners import IMAGE_SIDE, MAX_NEW_TOKENS, Captioner, load_captioner
from vprcap.captioners.watch import TIMEOUT_SECONDS
from vprcap.errors import InvalidError, MissingError
from vprcap.files import read_json
from vprcap.images import MAX_MEGAPIXELS
from vprcap.manifests.manifest import read_manifest_info
from vprcap.manifests.plan import Plan, Shard, drift, plan_path, read_plan
from vprcap.prompt import load_prompt

BATCH_SIZE = 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Which images, and what changes their text: all that a worker anywhere needs to join in."""

    manifest: Path
    captions_root: Path | None = None
    captioner: str = "transformers"
    model: str | None = None
    quantization: str = "nf4"
    prompt: str = "place"
    framing: str = "pad"
    max_new_tokens: int = MAX_NEW_TOKENS
    limit: int | None = None
    temperature: float = 0.0
    """0: greedy."""
    seed: int = 0
    """Of sampling."""
    base_url: str | None = None
    """Of a server; does not change the text."""
    image_side: int = IMAGE_SIDE
    """Pixels of the square that a server gets."""


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """How a worker works: nothing here changes the text."""

    batch_size: int | None = BATCH_SIZE
    """Images; None: found while working, by speed and memory."""
    decode_workers: int | None = None
    """Processes that decode; None: for the CPUs there are."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Larger images are not decoded."""
    timeout_seconds: float = TIMEOUT_SECONDS
    """For one batch; or ten times the slowest good batch so far, where that is more."""
    deadline: float | None = None
    """Unix seconds when this worker will be ended: no shard is begun that takes longer."""

    reuse: bool = True
    """Copy captions of the same images under the same configuration; False: for measuring."""
    data_root: Path | None = None
    """Folder of datasets whose caption sets are looked through too, beside those next to ours."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            InvalidError: an option is out of its range.
        """
        if self.batch_size is not None and self.batch_size < 1:
            raise InvalidError(f"--batch-size {self.batch_size} is too small; use at least 1")
        if self.decode_workers is not None and self.decode_workers < 1:
            raise InvalidError(
                f"--decode-workers {self.decode_workers} is too small; use at least 1"
            )
        if not self.max_megapixels > 0:
            raise InvalidError(
                f"--max-megapixels {self.max_megapixels:g} admits no image; use e.g. 50"
            )
        if not self.timeout_seconds > 0:
            raise InvalidError(f"--timeout {self.timeout_seconds:g} is too short; use e.g. 600")


def check_together(job: JobOptions, work: WorkOptions) -> None:
    """Refuse a way of working that a captioner does not have.

    Raises:
        InvalidError: a batch size to be found of a captioner whose memory is not here to be seen.
    """
    if work.batch_size is None and job.captioner in ("openai", "vllm"):
        raise InvalidError(
            f"--batch-size auto is not of {job.captioner}, which shares out its memory itself; "
            "give the number of requests at once, e.g. 64"
        )


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

    def now(self) -> "CaptionJob":
        """Return this job with what is left of it now, its captioner not asked for again."""
        captions = self.captions.now()
        return replace(self, captions=captions, pending=_pending(self.plan, captions))

    def describe(self) -> dict[str, str | int | float | None]:
        """Say what `caption` would do; the time is from the parts that are finished already."""
        info, captions = self.plan.info, self.captions
        rate = read_status(captions).images_per_second_each if captions.plan_json.exists() else None
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


def open_job(options: JobOptions) -> CaptionJob:
    """Find out what is to be done, without loading weights or writing anything.

    Raises:
        MissingError: the manifest has no plan, or its image root is gone.
        StaleArtefactError: the set belongs to another configuration or plan.
    """
    manifest, limit = options.manifest, options.limit
    plan = read_plan(plan_path(manifest))
    of_set, _ = read_manifest_info(manifest)
    _report_drift(plan, manifest, of_set.name)
    plan = plan if limit is None else plan.first(limit)
    root = Path(plan.info.image_root)
    if not root.is_dir():
        raise MissingError(f"no image root {root}; mount it, or scan again where the images are")
    loaded = load_captioner(
        options.captioner,
        options.model,
        quantization=options.quantization,
        prompt=load_prompt(options.prompt),
        framing=options.framing,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        seed=options.seed,
        base_url=options.base_url,
        image_side=options.image_side,
    )
    # The manifest's name comes first: two splits of one dataset share an image root.
    suffix = "" if limit is None else f"-first-{plan.info.num_images}"
    name = f"{of_set.name}-{loaded.config.set_name}{suffix}"
    captions = CaptionSet((options.captions_root or root / "captions") / name).now()
    captions.check(loaded.config, asdict(plan.info))
    return CaptionJob(plan, captions, loaded, _pending(plan, captions))


def _report_drift(plan: Plan, manifest: Path, name: str) -> None:
    added, lost = drift(plan, manifest)
    if added or lost:
        logger.warning(
            "%s: %d images added and %d lost since the plan was frozen; "
            "the plan stands: give a new manifest its own name to caption them",
            name,
            added,
            lost,
        )


def _pending(plan: Plan, captions: CaptionSet) -> list[Shard]:
    """List the shards without a part, by names alone: a file has its name only when it is whole.

    What damages a part later is found by `vprcap verify` and by whoever reads it.
    """
    if captions.is_compacted():  # only a whole set is ever compacted
        return []
    finished = set(captions.names())
    return [shard for shard in plan.shards if captions.part(shard).name not in finished]


def options_of(captions: CaptionSet, manifest: Path, prompt: str | None = None) -> JobOptions:
    """Return the options that a caption set was made with, so that nobody has to repeat them.

    Args:
        captions: the set.
        manifest: of its images.
        prompt: the prompt's file, where it is none of the shipped ones.

    Raises:
        InvalidError: it was not made by a captioner of ours.
    """
    config, covered = read_json(captions.config_json), captions.covers()
    whole = read_plan(plan_path(manifest)).info
    match config.get("captioner"):
        case "transformers":
            kept = ["model", "quantization", "framing", "max_new_tokens"]
        case "openai" | "vllm":
            kept = ["model", "framing", "max_new_tokens"]
        case "labels":
            kept = ["model", "framing"]
        case "fake":
            kept = ["max_new_tokens"]
        case other:
            raise InvalidError(f"{captions.root.name} is {other}: its captions cannot be made here")
    options = JobOptions(
        manifest,
        captions_root=captions.root.parent,
        captioner=config["captioner"],
        limit=None if covered.plan_id == whole.plan_id else covered.num_images,
        temperature=config.get("temperature", 0.0),
        seed=config.get("seed", 0),
        image_side=config["processor"].get("side", IMAGE_SIDE),
        **{name: config[name] for name in kept},
    )
    if config["captioner"] == "labels":  # they have no prompt
        return options
    model = config["revision"] if config["captioner"] == "fake" else options.model
    return replace(options, model=model, prompt=prompt or config["prompt_name"])
