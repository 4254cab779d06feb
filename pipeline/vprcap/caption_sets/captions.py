"""The rows of a caption set: one per image of the plan, failures included."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vprcap.caption_sets.caption_set import CaptionConfig, CaptionSet
from vprcap.caption_sets.shard_rows import iter_rows, iter_shards, summaries_of
from vprcap.errors import InvalidError, MissingError, StaleArtefactError, first_line
from vprcap.fault_points import passing
from vprcap.files import commit, storage_errors
from vprcap.manifests.manifest import Manifest
from vprcap.manifests.plan import Shard

PROVENANCE = ("config_id", "captioner", "model", "revision", "quantization", "prompt", "plan_id")
_SYMBOL = pa.dictionary(pa.int32(), pa.string())
CAPTION_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),  # POSIX path relative to the image root
        ("image_sha256", pa.string()),  # of the file's bytes; null where there was no file
        ("caption", pa.string()),  # null where the image could not be captioned
        ("status", pa.string()),
        ("error", pa.string()),
        ("finish_reason", pa.string()),  # "stop", "length" or "repetition"
        ("num_prompt_tokens", pa.int32()),
        ("num_output_tokens", pa.int32()),
        ("qa_flags", pa.list_(pa.string())),
        ("image_width", pa.int32()),  # pixels, after orientation
        ("image_height", pa.int32()),
        ("seconds", pa.float32()),  # the image's share of its batch's time
        (
            "copied_from",
            _SYMBOL,
        ),  # caption set that had the same image; null where it was captioned
        *((name, _SYMBOL) for name in PROVENANCE),
    ]
)


_MADE = pa.schema([field for field in CAPTION_SCHEMA if field.name not in PROVENANCE])
PARQUET: Mapping[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "write_page_index": True,
    "write_page_checksum": True,
}
"""How every file of rows is written."""


def build_table(rows: Sequence[Mapping[str, Any]], config: CaptionConfig, plan_id: str) -> pa.Table:
    """Build the Parquet table of a shard from its rows, adding provenance to each.

    A row that was made under another decoding configuration says so itself, and keeps it.
    """
    known = {**asdict(config), "plan_id": plan_id}
    same = pa.array([0] * len(rows), pa.int32())
    own = config.config_id
    ids = pa.array([row.get("config_id", own) for row in rows], pa.string()).dictionary_encode()
    shared = [pa.DictionaryArray.from_arrays(same, [known[name]]) for name in PROVENANCE[1:]]
    made = pa.Table.from_pylist(rows, schema=_MADE)
    table = pa.table([*made.columns, ids, *shared], schema=CAPTION_SCHEMA)
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
        passing("captions.write")
        pq.write_table(table, staged, **PARQUET)
    return commit(staged, caption_set.part(shard))


def check_part(path: Path, num_rows: int, plan_id: str) -> None:
    """Check that a finished part is readable, complete and of this plan (footer only).

    Raises:
        InvalidError: it is damaged or has another number of rows.
        StaleArtefactError: it belongs to another plan.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as problem:
        reason = first_line(problem)
        raise InvalidError(
            f"caption part {path} is damaged ({reason}); move it away and run again to remake it"
        ) from None
    found = (metadata.metadata or {}).get(b"vprcap.plan_id", b"").decode()
    if found != plan_id:
        raise StaleArtefactError(
            f"caption part {path} was written under plan {found[:8] or 'unknown'}, not "
            f"{plan_id[:8]}; move it away and run again to remake it"
        )
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
    files = CaptionSet(set_root).files()
    if not files:
        raise MissingError(f"no captions in {set_root}; write them with `vprcap caption`")
    return pa.concat_tables(table for path in files for table in iter_rows(path, columns))


def captions_of(manifest: Manifest, set_root: Path) -> list[str | None]:
    """Give the captions of a manifest's images, in its order; None where there could be none.

    Raises:
        MissingError: an image has no row in the caption set at all.
    """
    rows = read_captions(set_root).to_pylist()
    written = {row["image_id"]: row["caption"] for row in rows if row["status"] == "ok"}
    absent = set(manifest.image_ids) - {row["image_id"] for row in rows}
    if absent:
        raise MissingError(
            f"{len(absent)} of {len(manifest.image_ids)} images of {manifest.info.name} have no "
            f"row in {set_root.name}, first {min(absent)!r}; finish `vprcap caption` first"
        )
    return [written.get(image_id) for image_id in manifest.image_ids]


def status_counts(set_root: Path) -> dict[str, int]:
    """Count the rows of a caption set by status, most frequent first; most are counted already."""
    counts: Counter[str] = Counter()
    for _, summary in summaries_of(CaptionSet(set_root).now()):
        counts.update(summary.statuses)
    return dict(counts.most_common())


def num_copied(set_root: Path) -> int:
    """Count the rows of a caption set that were copied from another."""
    return sum(summary.copied for _, summary in summaries_of(CaptionSet(set_root).now()))


def failed_rows(set_root: Path, at_most: int) -> list[dict[str, Any]]:
    """Return the first images without a caption: image_id, status and error."""
    captions = CaptionSet(set_root).now()
    failing = {shard for shard, known in summaries_of(captions) if known.statuses.keys() - {"ok"}}
    failed: list[dict[str, Any]] = []
    for _, rows in iter_shards(captions, ["image_id", "status", "error"], failing):
        failed += rows.filter(pc.field("status") != "ok")[: at_most - len(failed)].to_pylist()
        if len(failed) == at_most:
            break
    return failed
