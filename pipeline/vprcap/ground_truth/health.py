"""The health of a set: what is wrong with its images, one row per image, beside the manifest.

Only what can be seen in single files or in pairs of them is here: whether a file decodes, which
files have the same bytes, and which database images repeat a query. Nothing is repaired or removed.
"""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vprcap.errors import InvalidError, MissingError, StaleArtefactError, first_line
from vprcap.files import replacing
from vprcap.images import EMPTY
from vprcap.manifests.manifest import Manifest, read_manifest

HEALTH_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("role", pa.string()),
        ("status", pa.string()),  # what captioning would give, such as "decode_error"
        ("error", pa.string()),
        ("sha256", pa.string()),  # of the file's bytes; null where they cannot be read
        ("width", pa.int32()),  # upright pixels
        ("height", pa.int32()),
        ("thumbnail", pa.binary(256)),  # 16 x 16 grey levels; null where it does not decode
        ("duplicate_of", pa.string()),  # the first image with the same bytes
        ("twin_of", pa.string()),  # of a database image: the query that it repeats
        ("displaced_of", pa.string()),  # ... where it is said to be from elsewhere
        ("similarity", pa.float32()),  # to that query, -1 to 1
    ]
)
_USED = ("image_id", "role", "easting", "northing", "zone", "sequence", "domain")
"""Columns of the manifest that findings depend on."""
_FINGERPRINT_KEY = b"vprcap.checked"
_PART_ROWS = 1 << 16
KINDS = (
    "empty",
    "truncated",
    "missing",
    "too_large",
    "undecodable",
    "duplicates",
    "twins",
    "displaced",
)


def health_path(manifest: Path) -> Path:
    """Return where the health of a manifest's images is kept."""
    return manifest.with_name(f"{manifest.stem}.health.parquet")


def write_health(rows: pa.Table, checked: Manifest, manifest: Path) -> Path:
    """Write the health of a manifest's images beside it, whole or not at all.

    Args:
        rows: HEALTH_SCHEMA, one for each image.
        checked: the manifest as it was when the images were checked.
        manifest: its path.
    """
    path = health_path(manifest)
    metadata = {_FINGERPRINT_KEY: _fingerprint(checked)}
    with replacing(path) as temporary:
        stored = rows.cast(HEALTH_SCHEMA).replace_schema_metadata(metadata)
        pq.write_table(stored, temporary, compression="zstd")
    return path


def _fingerprint(manifest: Manifest) -> bytes:
    """Hash what findings depend on, however the rows are cut into chunks."""
    columns = [_filled(manifest.rows[name]) for name in _USED]
    digest = hashlib.sha256()
    for batch in pa.table(columns, list(_USED)).combine_chunks().to_batches(_PART_ROWS):
        digest.update(batch.serialize())
    return digest.hexdigest().encode()


def _filled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace nulls, below which there may be anything."""
    if pa.types.is_floating(column.type):
        return pc.fill_null(column, float("nan"))
    return pc.fill_null(column.cast(pa.large_string()), "\0")


def read_health(manifest: Path) -> pa.Table:
    """Read the health of a manifest's images.

    Raises:
        MissingError: nobody checked.
        InvalidError: it is damaged or something else.
    """
    path = health_path(manifest)
    if not path.is_file():
        raise MissingError(f"no {path}; check the images first: `vprcap scan {manifest} --check`")
    try:
        return pq.read_table(path).select(HEALTH_SCHEMA.names).cast(HEALTH_SCHEMA)
    except (pa.ArrowException, KeyError, OSError) as problem:
        raise InvalidError(f"{path} is damaged ({first_line(problem)}); check again") from None


def twins_of(manifest: Path) -> list[str]:
    """Return the database images that are a twin of a query, in manifest order.

    Raises:
        MissingError: nobody checked.
        StaleArtefactError: the manifest had other images, roles, positions, sequences or domains.
    """
    rows = read_health(manifest)
    metadata = pq.read_schema(health_path(manifest)).metadata or {}
    if metadata.get(_FINGERPRINT_KEY) != _fingerprint(read_manifest(manifest)):
        raise StaleArtefactError(
            f"{health_path(manifest)} is of other images, roles, positions, sequences or domains "
            f"than {manifest}; check again: `vprcap scan {manifest} --check`"
        )
    ids: list[str] = rows.filter(pc.is_valid(rows["twin_of"]))["image_id"].to_pylist()
    return ids


def summarise(rows: pa.Table, at_most: int = 5) -> dict[str, Any]:
    """Count each kind of finding, with the first few of each, as plain JSON values."""
    findings = {}
    for kind in KINDS:
        own = rows.filter(_chosen(rows, kind))
        first = own.slice(0, at_most).to_pylist()
        findings[kind] = {
            "count": own.num_rows,
            "first": [{"image_id": row["image_id"], "what": _what(row, kind)} for row in first],
        }
    num_ok = pc.sum(pc.equal(rows["status"], "ok")).as_py() or 0
    return {"num_images": rows.num_rows, "num_ok": num_ok, "findings": findings}


def _chosen(rows: pa.Table, kind: str) -> pa.ChunkedArray:
    failed = pc.not_equal(rows["status"], "ok")
    missing = pc.equal(rows["status"], "missing")
    too_large = pc.equal(rows["status"], "too_large")
    empty = pc.fill_null(pc.equal(rows["error"], EMPTY), False)
    truncated = pc.fill_null(
        pc.match_substring(rows["error"], "truncated", ignore_case=True), False
    )
    match kind:
        case "missing":
            return missing
        case "too_large":
            return too_large
        case "empty":
            return empty
        case "truncated":
            return truncated
        case "undecodable":
            known = pc.or_(pc.or_(missing, too_large), pc.or_(empty, truncated))
            return pc.and_(failed, pc.invert(known))
        case "duplicates":
            return pc.is_valid(rows["duplicate_of"])
        case "twins":
            return pc.is_valid(rows["twin_of"])
        case _:
            return pc.is_valid(rows["displaced_of"])


def _what(row: dict[str, Any], kind: str) -> str:
    match kind:
        case "duplicates":
            return f"the bytes of {row['duplicate_of']}"
        case "twins":
            return f"repeats query {row['twin_of']} ({row['similarity']:.3f})"
        case "displaced":
            return f"repeats query {row['displaced_of']}, taken elsewhere ({row['similarity']:.3f})"
        case _:
            return f"{row['status']}: {row['error']}"


def to_text(summary: dict[str, Any]) -> str:
    """Return a summary as lines for people; names are escaped."""
    lines = [f"{summary['num_images']:,} images: {summary['num_ok']:,} decode"]
    for kind, found in summary["findings"].items():
        lines.append(f"{kind.replace('_', ' '):<12}{found['count']:>10,}")
        lines += [
            f"    {ascii(each['image_id'])[1:-1]}: {ascii(each['what'])[1:-1]}"
            for each in found["first"]
        ]
    return "\n".join(lines)
