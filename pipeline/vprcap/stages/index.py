"""Index: descriptors and a manifest -> an index of the database's images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from vprcap.errors import InvalidError
from vprcap.manifests.manifest import Manifest, read_manifest
from vprcap.progress import Progress
from vprcap.retrieval.approximate import build
from vprcap.retrieval.codes import centre_of, encode
from vprcap.retrieval.descriptors import open_descriptors
from vprcap.retrieval.index import IndexInfo, IndexModel, building, check_kind, finish, write_images
from vprcap.retrieval.memory import left_of
from vprcap.retrieval.vectors import LEAST_BLOCK_BYTES, StoredVectors, write_npy

_COLUMNS = ("image_id", "easting", "northing", "zone")


def index(
    descriptors: Path,
    manifest: Path,
    output: Path,
    *,
    kind: str = "flat",
    mode: str,
    memory: int,
    model: IndexModel | None = None,
    captions: str | None = None,
) -> Path:
    """Index the database images of a manifest; all of its images where none has a role.

    Args:
        descriptors: safetensors file that `vprcap.stages.describe` wrote for this manifest.
        manifest: image ids and positions.
        output: folder of the index; it is returned, and replaces an index that was there.
        kind: one of `KINDS`.
        mode: how the images were described: ``fused``, ``image`` or ``text``.
        memory: bytes that the process may hold while it builds.
        model: whose descriptors they are.
        captions: config id of the captions that were described.

    Raises:
        InvalidError: an unknown kind, descriptors of another manifest or damaged ones, no image
            with a descriptor, a memory that cannot work, or an `output` that is something else.
    """
    check_kind(kind)
    loaded = read_manifest(manifest)
    stored, present = open_descriptors(descriptors)
    rows = _rows_to_index(loaded, present, descriptors)
    table = 2 * loaded.rows.nbytes  # the images' own, written beside the descriptors
    left = left_of(memory, table + 8 * LEAST_BLOCK_BYTES, "building an index") - table
    num_passes = {"flat": 1, "binary": 3}.get(kind, 2)
    total = num_passes * len(rows)
    with building(output) as folder, Progress(f"{kind} index", total, "descriptors") as progress:
        database = _copy(stored.within(left // 2), rows, loaded, folder, progress)
        database = database.within(left // 2)
        write_images(folder, loaded.rows.select(_COLUMNS).take(pa.array(rows)))
        match kind:
            case "binary":
                _write_codes(database, folder, progress)
            case "hnsw" | "ivf-pq":
                build(kind, database, folder / "index.faiss", memory, progress.advance)
        info = IndexInfo(
            kind, mode, len(rows), database.shape[1], loaded.info.name, model, captions
        )
        finish(folder, info)
    return output


def _rows_to_index(manifest: Manifest, present: np.ndarray, descriptors: Path) -> np.ndarray:
    """Manifest rows that go into the index, ascending."""
    if len(present) != manifest.rows.num_rows:
        raise InvalidError(
            f"{descriptors} describes {len(present)} images, {manifest.info.name} has "
            f"{manifest.rows.num_rows}; describe this manifest"
        )
    has_roles = any(len(manifest.rows_of(role)) for role in ("database", "query"))
    rows = manifest.rows_of("database") if has_roles else np.arange(len(present))
    kept: np.ndarray = rows[present[rows]]
    if not len(kept):
        raise InvalidError(
            f"nothing to index: none of the {len(rows)} database images of {manifest.info.name} "
            f"has a descriptor in {descriptors.name}"
        )
    return kept


def _copy(
    stored: StoredVectors, rows: np.ndarray, manifest: Manifest, folder: Path, progress: Progress
) -> StoredVectors:
    """Write the descriptors of these rows as the index's own."""
    kept = np.zeros(stored.shape[0], dtype=bool)
    kept[rows] = True

    def blocks() -> Iterator[np.ndarray]:
        for start, block in stored.blocks():
            chosen = np.flatnonzero(kept[start : start + len(block)])
            broken = chosen[~np.isfinite(block[chosen].sum(axis=1))]
            if len(broken):
                raise InvalidError(
                    f"{stored.path} is damaged: the descriptor of "
                    f"{manifest.image_ids[start + broken[0]]!r} is not finite; describe again"
                )
            yield block[chosen]
            progress.advance(len(chosen))

    return write_npy(folder / "descriptors.npy", (len(rows), stored.shape[1]), np.float32, blocks())


def _write_codes(database: StoredVectors, folder: Path, progress: Progress) -> None:
    centre = centre_of(database)
    progress.advance(database.shape[0])
    write_npy(folder / "centre.npy", (1, len(centre)), np.float32, [centre[None]])

    def blocks() -> Iterator[np.ndarray]:
        for _, block in database.blocks():
            yield encode(block, centre)
            progress.advance(len(block))

    num_bytes = -(-len(centre) // 8)
    write_npy(folder / "codes.npy", (database.shape[0], num_bytes), np.uint8, blocks())
