"""A caption set on disk: its folder, its configuration, its rows.

    <captions root>/<caption set>/
        data/part-00003-of-00016.parquet   only Parquet: every reader may glob it
        plan.json  config.json             what is covered, and how the text was made
        manifests/                         one JSON a part: counts, seconds, sizes
        journal/  leases/  staging/        work under way

`CaptionSet` is the only code that spells these names. One row per image of the plan, failures
included; a set never mixes configurations.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.files import commit, fingerprint, read_json, storage_errors, write_json
from vprcap.plan import Shard

_PROVENANCE = ("config_id", "captioner", "model", "revision", "quantization", "prompt", "plan_id")
# Sets that `--limit` made are for a look and never taken unless named.
_FIRST_ONLY = re.compile(r"-first-\d+$")
_SYMBOL = pa.dictionary(pa.int32(), pa.string())
CAPTION_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),  # POSIX path relative to the image root
        ("image_sha256", pa.string()),  # of the file's bytes; null where there was no file
        ("caption", pa.string()),  # null where the image could not be captioned
        ("status", pa.string()),
        ("error", pa.string()),
        ("finish_reason", pa.string()),  # "stop" or "length"
        ("num_prompt_tokens", pa.int32()),
        ("num_output_tokens", pa.int32()),
        ("qa_flags", pa.list_(pa.string())),
        ("image_width", pa.int32()),  # pixels, after orientation
        ("image_height", pa.int32()),
        ("seconds", pa.float32()),  # the image's share of its batch's time
        *((name, _SYMBOL) for name in _PROVENANCE),
    ]
)


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

    @property
    def config_id(self) -> str:
        """Hex SHA-256 of the fields. The prompt's name is left out: only its bytes count."""
        return fingerprint({k: v for k, v in asdict(self).items() if k != "prompt_name"})

    @property
    def set_name(self) -> str:
        """Folder name: short model name, quantization, prompt, 8 digits of the config id."""
        short = Path(self.model).name.lower()
        return f"{short}-{self.quantization}-{self.prompt_name}-{self.config_id[:8]}"


@dataclass(frozen=True, slots=True)
class CaptionSet:
    """Paths of one caption set."""

    root: Path

    @property
    def data(self) -> Path:
        """Folder of the finished parts."""
        return self.root / "data"

    @property
    def config_json(self) -> Path:
        """How the text was made."""
        return self.root / "config.json"

    @property
    def plan_json(self) -> Path:
        """What the set covers."""
        return self.root / "plan.json"

    @property
    def journals(self) -> Path:
        """Folder of rows that are captioned and not yet in a part."""
        return self.root / "journal"

    def part(self, shard: Shard) -> Path:
        """Finished rows of a shard."""
        return self.data / f"{shard.name}.parquet"

    @property
    def summaries(self) -> Path:
        """Folder of what is known about each finished part."""
        return self.root / "manifests"

    def summary(self, shard: Shard) -> Path:
        """Counts and times of a finished shard; can be rebuilt from the part."""
        return self.summaries / f"{shard.name}.json"

    def lease(self, shard: Shard) -> Path:
        """File that the worker of a shard holds."""
        return self.root / "leases" / f"{shard.name}.json"

    def staged(self, shard: Shard, token: str) -> Path:
        """Where a part is written before it is committed."""
        return self.root / "staging" / f"{shard.name}.{token}.parquet"

    def images_per_second(self) -> float | None:
        """Speed of the parts that were finished here, None before the first."""
        summaries = [read_json(path) for path in self.summaries.glob("*.json")]
        seconds = sum(summary["seconds"] for summary in summaries)
        return sum(summary["rows"] for summary in summaries) / seconds if seconds else None

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
            for folder in ("data", "manifests", "journal", "leases", "staging"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
        if not self.plan_json.exists():
            write_json(self.plan_json, dict(plan))
        if not self.config_json.exists():  # last: a folder with a config is a caption set
            write_json(self.config_json, {"config_id": config.config_id, **asdict(config)})

    def _check_equal(self, path: Path, key: str, wanted: str, what: str) -> None:
        found = read_json(path).get(key) if path.exists() else wanted
        if found != wanted:
            raise StaleArtefactError(
                f"{self.root} was written under {what} {str(found)[:8]}, not {wanted[:8]}; "
                "sets never mix: choose another --captions-root or move that folder away"
            )


def build_table(rows: Sequence[Mapping[str, Any]], config: CaptionConfig, plan_id: str) -> pa.Table:
    """Build the Parquet table of a shard from its rows, adding provenance to each."""
    provenance = {
        "config_id": config.config_id,
        "captioner": config.captioner,
        "model": config.model,
        "revision": config.revision,
        "quantization": config.quantization,
        "prompt": config.prompt,
        "plan_id": plan_id,
    }
    table = pa.Table.from_pylist([{**row, **provenance} for row in rows], schema=CAPTION_SCHEMA)
    return table.replace_schema_metadata(
        {
            "vprcap.schema_version": "1",
            "vprcap.config": json.dumps(asdict(config), sort_keys=True),
            "vprcap.plan_id": plan_id,
        }
    )


def commit_part(caption_set: CaptionSet, shard: Shard, token: str, table: pa.Table) -> bool:
    """Write a shard's table and give it its name; False if another worker was first."""
    staged = caption_set.staged(shard, token)
    with storage_errors(staged):
        pq.write_table(
            table,
            staged,
            compression="zstd",
            compression_level=3,
            write_page_index=True,
            write_page_checksum=True,
        )
    return commit(staged, caption_set.part(shard))


def check_part(path: Path, num_rows: int, plan_id: str) -> None:
    """Check that a finished part is readable, complete and of this plan (footer only).

    Raises:
        InvalidError: it is damaged or has another number of rows.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as problem:
        reason = str(problem).partition("\n")[0]
        raise InvalidError(
            f"caption part {path} is damaged ({reason}); move it away and run again to remake it"
        ) from None
    if metadata.num_rows != num_rows:
        raise InvalidError(
            f"caption part {path} has {metadata.num_rows} rows, its shard {num_rows}; "
            "move it away and run again to remake it"
        )


def read_captions(
    set_root: Path, columns: Sequence[str] = ("image_id", "caption", "status")
) -> pa.Table:
    """Read the rows of a caption set, in plan order.

    Raises:
        MissingError: it is no caption set, or nothing is finished yet.
        InvalidError: a part is damaged.
    """
    parts = sorted(CaptionSet(set_root).data.glob("*.parquet"))
    if not parts:
        raise MissingError(f"no captions in {set_root}; write them with `vprcap caption`")
    return pa.concat_tables([_read_part(part, columns) for part in parts])


def _read_part(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True).read(list(columns))
    except (pa.ArrowInvalid, OSError, KeyError) as problem:
        reason = str(problem).partition("\n")[0]
        raise InvalidError(
            f"caption part {path} is damaged ({reason}); move it away and caption again"
        ) from None


def status_counts(set_root: Path) -> dict[str, int]:
    """Count the rows of a caption set by status, most frequent first."""
    statuses = read_captions(set_root, ["status"])["status"].to_pylist()
    return dict(Counter(statuses).most_common())


def failed_rows(set_root: Path, at_most: int) -> list[dict[str, Any]]:
    """Return the first images without a caption: image_id, status and error."""
    rows = read_captions(set_root, ["image_id", "status", "error"])
    failed: list[dict[str, Any]] = rows.filter(pc.field("status") != "ok")[:at_most].to_pylist()
    return failed


def find_caption_set(captions_root: Path) -> Path:
    """Return the one caption set of a folder.

    Raises:
        MissingError: there is none.
        InvalidError: there are several; the message names them.
    """
    sets = sorted(
        path.parent
        for path in captions_root.glob("*/config.json")
        if not _FIRST_ONLY.search(path.parent.name)
    )
    if not sets:
        raise MissingError(f"no caption set in {captions_root}; write one with `vprcap caption`")
    if len(sets) > 1:
        names = ", ".join(path.name for path in sets)
        raise InvalidError(
            f"{captions_root} holds several caption sets; say which with --captions: {names}"
        )
    return sets[0]
