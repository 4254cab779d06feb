"""Check: a manifest -> the health of its images. Every file is read once, in parallel."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8

from vprcap.decoding import DecodePool
from vprcap.errors import InvalidError
from vprcap.ground_truth.health import write_health
from vprcap.ground_truth.positives import domains_of
from vprcap.ground_truth.twins import SIDE, Photographs, find_copies
from vprcap.images import MAX_MEGAPIXELS, DecodedImage, Framing
from vprcap.manifests.manifest import Manifest, half_zones, image_path, metres_of, read_manifest
from vprcap.progress import Progress

_AHEAD_EACH = 64
"""Images in work for each decode worker."""
_ROWS = 2048
"""Images whose findings are held as Python objects; the rest are in Arrow's memory."""


def check(
    manifest: Path,
    *,
    decode_workers: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Path:
    """Decode every image and compare them; write and return the health file beside the manifest.

    Statuses are those that captioning would give. Pixels stay in the workers: a hash, the size and
    a thumbnail come back.

    Args:
        manifest: images, and which are database and queries.
        decode_workers: processes; default: one for each CPU that this process may use.
        max_megapixels: larger images are not decoded.

    Raises:
        InvalidError: see `check_limits`.
    """
    check_limits(decode_workers, max_megapixels)
    loaded = read_manifest(manifest)
    num_workers = decode_workers or len(os.sched_getaffinity(0))
    rows = pa.Table.from_batches(_inspected(loaded, num_workers, max_megapixels))
    rows = rows.add_column(0, "image_id", loaded.rows["image_id"])
    rows = rows.add_column(1, "role", loaded.rows["role"])
    rows = rows.append_column("duplicate_of", _duplicates(rows))
    return write_health(_with_copies(rows, loaded), loaded, manifest)


def check_limits(decode_workers: int | None, max_megapixels: float) -> None:
    """Refuse limits under which nothing can be checked.

    Raises:
        InvalidError: there is no worker, or no image is small enough.
    """
    if decode_workers is not None and decode_workers < 1:
        raise InvalidError(f"--decode-workers {decode_workers} is too small; use at least 1")
    if not max_megapixels > 0:
        raise InvalidError(f"--max-megapixels {max_megapixels:g} admits no image; use e.g. 50")


def _inspected(
    manifest: Manifest, num_workers: int, max_megapixels: float
) -> Iterator[pa.RecordBatch]:
    ids = manifest.rows["image_id"]
    root = manifest.info.image_root
    with (
        DecodePool(num_workers, Framing("thumbnail", SIDE), max_megapixels) as pool,
        Progress("check", len(ids), "images") as progress,
    ):
        paths = (image_path(root, name.as_py()) for name in ids)
        decoded = _counted(pool.decode(paths, _AHEAD_EACH * num_workers), progress)
        while some := list(islice(decoded, _ROWS)):
            yield _batch(some)


def _counted(images: Iterable[DecodedImage], progress: Progress) -> Iterator[DecodedImage]:
    for image in images:
        yield image
        progress.advance()


def _batch(decoded: Iterable[DecodedImage]) -> pa.RecordBatch:
    rows = [
        {
            "status": image.status,
            "error": image.error,
            "sha256": image.sha256,
            "width": image.width,
            "height": image.height,
            "thumbnail": None if image.pixels is None else image.pixels[..., 0].tobytes(),
        }
        for image in decoded
    ]
    return pa.RecordBatch.from_pylist(rows, schema=_INSPECTED)


_INSPECTED = pa.schema(
    [
        ("status", pa.string()),
        ("error", pa.string()),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("thumbnail", pa.binary(SIDE**2)),
    ]
)


def _duplicates(rows: pa.Table) -> pa.Array:
    """Of each image the first in manifest order that has its bytes; null for the first itself."""
    hashes = rows["sha256"].combine_chunks()
    numbers = np.arange(len(hashes))
    seen = pc.index_in(hashes, value_set=hashes.dictionary_encode().dictionary)
    codes = pc.fill_null(seen, -1).to_numpy(zero_copy_only=False)
    _, first, member = np.unique(codes, return_index=True, return_inverse=True)
    repeats = (first[member] != numbers) & (codes >= 0)
    return pc.take(rows["image_id"].combine_chunks(), pa.array(first[member], mask=~repeats))


def _with_copies(rows: pa.Table, manifest: Manifest) -> pa.Table:
    """Say of each database image which query of its search domain it repeats."""
    metres, zones = metres_of(manifest), half_zones(manifest.rows["zone"]).to_pylist()
    sequences = manifest.column("sequence")
    found: dict[str, list[object]] = {
        name: [None] * rows.num_rows for name in ("twin_of", "displaced_of", "similarity")
    }
    ids = manifest.rows["image_id"]

    hashes = pc.if_else(pc.is_valid(rows["thumbnail"]), rows["sha256"], None)
    thumbnails = _pixels(rows["thumbnail"])

    def photographs(own: np.ndarray) -> Photographs:
        return Photographs(
            sha256=hashes.take(own).to_pylist(),  # two equal error pages are no photograph
            thumbnails=thumbnails[own],
            metres=metres[own],
            zones=[zones[row] for row in own],
            sequences=sequences[own].tolist(),
        )

    database, queries = manifest.rows_of("database"), manifest.rows_of("query")
    for domain in domains_of(manifest, database, queries):
        own, asked = database[domain.database], queries[domain.queries]
        for row, copy in find_copies(photographs(own), photographs(asked)).items():
            query = ids[int(asked[copy.query])].as_py()
            for name, applies in (("twin_of", copy.twin), ("displaced_of", copy.displaced)):
                found[name][own[row]] = query if applies else None
            found["similarity"][own[row]] = copy.similarity
    for name, values in found.items():
        rows = rows.append_column(
            name, pa.array(values, pa.float32() if name == "similarity" else pa.string())
        )
    return rows


def _pixels(thumbnails: pa.ChunkedArray) -> UInt8[np.ndarray, "images pixels"]:
    """Thumbnails as rows, black where there is none, without an object for each."""
    own = thumbnails.combine_chunks()
    values = np.frombuffer(own.buffers()[1], np.uint8).reshape(-1, SIDE**2)[own.offset :]
    known = pc.is_valid(own).to_numpy(zero_copy_only=False)
    return np.where(known[:, None], values[: len(own)], 0).astype(np.uint8, copy=False)
