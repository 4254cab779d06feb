"""A caption set on disk: its folder and its configuration.

    <captions root>/<caption set>/
        data/part-00003-of-00016.parquet   only Parquet: every reader may glob it
        data-0001/rows-00000-of-00001.parquet   the same rows, compacted: the next generation
        plan.json  config.json             what is covered, and how the text was made
        manifests/                         one JSON a part: counts, seconds, sizes
        journal/  leases/  staging/        work under way
        reuse/                             where images are in other sets: a cache
        attempts/                          images that are suspected to have killed workers
        slurm/                             scripts, pickles and logs of tasks on a cluster
        retries/                           caption sets of flagged images: other decoding

`CaptionSet` is the only code that spells these names. A set never mixes configurations: another
model, prompt or quantization is another folder. The exception says so in each of its rows: where a
flagged caption was written again and got better, its `config_id` is of a set in `retries/`, which
differs in temperature and seed alone.

The newest generation of `data` is the one that counts. No file points to it: a pointer could be
turned back by a process that slept, whereas a finished folder that takes the next number, in one
rename, is there for everybody or for nobody.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.files import fingerprint, read_json, storage_errors, write_json
from vprcap.manifests.plan import PlanInfo, Shard


@dataclass(frozen=True, slots=True)
class CaptionConfig:
    """Everything that changes the text, and nothing that does not (no batch size, no device)."""

    captioner: str
    model: str
    revision: str
    """Commit of a hub model; hash of the files of a local one."""
    quantization: str
    prompt_name: str
    prompt: str
    max_new_tokens: int
    framing: str
    processor: Mapping[str, Any]
    """Image processor: class, backend, size, resampling."""
    dtype: str
    temperature: float = 0.0
    """0: greedy."""
    seed: int = 0
    """Of sampling; without meaning where there is none."""
    repetition_stop: str = ""
    """When a caption that goes in circles is ended; empty: never."""

    @property
    def config_id(self) -> str:
        """Hex SHA-256 of the fields that change the text: not of the prompt's name, only its bytes.

        Greedy sets are without the fields of sampling, and sets whose captions may go in circles
        without that of its end, as they were before there was any.
        """
        idle = {"prompt_name"} | (set() if self.temperature else {"temperature", "seed"})
        idle |= set() if self.repetition_stop else {"repetition_stop"}
        return fingerprint({k: v for k, v in asdict(self).items() if k not in idle})

    @property
    def set_name(self) -> str:
        """Folder name: short model name, quantization, prompt, 8 digits of the config id."""
        short = Path(self.model).name.lower()
        return f"{short}-{self.quantization}-{self.prompt_name}-{self.config_id[:8]}"


_GENERATION = re.compile(r"data-(\d{4,})")


@dataclass(frozen=True, slots=True)
class CaptionSet:
    """Paths of one caption set."""

    root: Path
    generation: int | None = None
    """Which generation of the rows; None: always the newest. A worker keeps the one that it began
    with, so one that slept through a compaction adds nothing to what readers read."""

    @property
    def data(self) -> Path:
        """Folder of the rows."""
        return self.folder(self.newest() if self.generation is None else self.generation)

    def folder(self, generation: int) -> Path:
        """Folder of one generation of the rows."""
        return self.root / (f"data-{generation:04d}" if generation else "data")

    def generations(self) -> list[int]:
        """Return the generations that are there, oldest first."""
        names = [path.name for path in self.root.iterdir()] if self.root.is_dir() else []
        found = [int(match[1]) for match in map(_GENERATION.fullmatch, names) if match]
        return [*([0] if "data" in names else []), *sorted(found)]

    def newest(self) -> int:
        """Return the generation that counts."""
        return max(self.generations(), default=0)

    def now(self) -> "CaptionSet":
        """Return this set, bound to the generation that is the newest now."""
        return replace(self, generation=self.newest())

    def files(self) -> list[Path]:
        """Return the Parquet files of the rows, in plan order."""
        names = [name for name in self.names() if name.endswith(".parquet")]
        return [self.data / name for name in sorted(names, key=_number)]

    def names(self) -> list[str]:
        """Return the names in the folder of the rows, in no certain order."""
        try:
            return os.listdir(self.data)
        except FileNotFoundError:
            return []

    def is_compacted(self) -> bool:
        """Say whether the rows lie in compacted files, which no worker may add to."""
        try:
            with os.scandir(self.data) as entries:  # all files of a folder are of one kind
                return next((entry.name for entry in entries), "").startswith("rows-")
        except FileNotFoundError:
            return False

    def compacted(self, index: int, count: int) -> str:
        """Name of a compacted file: it holds the rows of many shards, in plan order."""
        return f"rows-{index:05d}-of-{count:05d}.parquet"

    @property
    def config_json(self) -> Path:
        """How the text was made."""
        return self.root / "config.json"

    @property
    def config_id(self) -> str:
        """Hex SHA-256 of how the text was made, as it is stored."""
        stored: str = read_json(self.config_json)["config_id"]
        return stored

    @property
    def plan_json(self) -> Path:
        """What the set covers."""
        return self.root / "plan.json"

    def covers(self) -> PlanInfo:
        """Return what the set covers.

        Raises:
            MissingError: it is no caption set.
            InvalidError: its plan.json is damaged.
        """
        try:
            return PlanInfo(**read_json(self.plan_json))
        except TypeError:
            raise InvalidError(
                f"{self.plan_json} does not say what is covered; restore it or caption elsewhere"
            ) from None

    @property
    def journals(self) -> Path:
        """Folder of rows that are captioned and not yet in a part."""
        return self.root / "journal"

    def part(self, shard: Shard) -> Path:
        """Finished rows of a shard."""
        return self.data / f"{shard.name}.parquet"

    def reuse_index(self, name: str) -> Path:
        """Where images are found in another set; a cache."""
        return self.root / "reuse" / f"{name}.arrow"

    @property
    def summaries(self) -> Path:
        """Folder of what is known about each finished part."""
        return self.root / "manifests"

    def summary(self, shard: Shard) -> Path:
        """Counts and times of a finished shard; can be rebuilt from the part."""
        return self.summaries / f"{shard.name}.json"

    @property
    def leases(self) -> Path:
        """Folder of the leases."""
        return self.root / "leases"

    def lease(self, shard: Shard) -> Path:
        """File that the worker of a shard holds."""
        return self.leases / f"{shard.name}.json"

    @property
    def attempts_folder(self) -> Path:
        """Folder of the notes on shards that workers died on; absent where none did."""
        return self.root / "attempts"

    def attempts(self, shard: Shard) -> Path:
        """What is known of the images that workers of a shard died on; mostly absent."""
        return self.attempts_folder / f"{shard.name}.json"

    @property
    def own_lease(self) -> Path:
        """File that is held by what changes the set as a whole: a compaction, a retry."""
        return self.leases / "set.json"

    @property
    def slurm(self) -> Path:
        """Folder of what belongs to tasks on a cluster, which its nodes see as they see the set."""
        return self.root / "slurm"

    @property
    def retries(self) -> Path:
        """Captions root of flagged images that were captioned again under another decoding."""
        return self.root / "retries"

    @property
    def staging(self) -> Path:
        """Folder where files are written before they get their names."""
        return self.root / "staging"

    def retired(self, shard: Shard) -> Path:
        """A part that was taken back into work, until its successor is committed."""
        return self.staging / f"{shard.name}.retired"

    def staged(self, shard: Shard, token: str) -> Path:
        """Where a part is written before it is committed."""
        return self.staging / f"{shard.name}.{token}.parquet"

    def check(self, config: CaptionConfig, plan: Mapping[str, Any]) -> None:
        """Check that a set that is there already has this configuration and plan.

        Raises:
            StaleArtefactError: it was written by another configuration or under another plan.
        """
        self._check_equal(self.config_json, "config_id", config.config_id, "configuration")
        self._check_equal(self.plan_json, "plan_id", plan["plan_id"], "plan")

    def create(self, config: CaptionConfig, plan: Mapping[str, Any]) -> None:
        """Create the set's folders and say in them what it is; harmless if it is there."""
        with storage_errors(self.root):
            for folder in ("manifests", "journal", "leases", "staging"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            self.data.mkdir(exist_ok=True)
        if not self.plan_json.exists():
            write_json(self.plan_json, dict(plan))
        if not self.config_json.exists():  # last: a folder with a config is a caption set
            write_json(self.config_json, {"config_id": config.config_id, **asdict(config)})

    def _check_equal(self, path: Path, key: str, wanted: str, what: str) -> None:
        stored = read_json(path) if path.exists() else {key: wanted}
        found = stored.get(key) if isinstance(stored, dict) else None
        if found != wanted:
            raise StaleArtefactError(
                f"{self.root} was written under {what} {str(found)[:8]}, not {wanted[:8]}; "
                "sets never mix: choose another --captions-root or move that folder away"
            )


def _number(name: str) -> tuple[int, str]:
    """Sort key of a file of rows: beyond 99,999 shards names alone are out of order."""
    digits = name.split("-")[1:2]
    return (int(digits[0]) if digits and digits[0].isdecimal() else -1, name)


def find_caption_set(captions_root: Path, plan_id: str) -> Path:
    """Return the one caption set of a plan.

    Raises:
        MissingError: there is none.
        InvalidError: there are several; the message names them.
    """
    sets = sorted(
        path.parent
        for path in captions_root.glob("*/plan.json")
        if read_json(path).get("plan_id") == plan_id
    )
    if not sets:
        raise MissingError(
            f"no caption set of these images in {captions_root}; write one with `vprcap caption`"
        )
    if len(sets) > 1:
        names = ", ".join(path.name for path in sets)
        raise InvalidError(
            f"{captions_root} holds several caption sets; say which with --captions: {names}"
        )
    return sets[0]
