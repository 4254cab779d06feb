"""Evaluate: descriptors and a manifest -> predictions and a recall report. Needs no model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int

from vprcap.descriptors import Descriptors, read_descriptors
from vprcap.errors import InvalidError
from vprcap.manifest import Manifest, read_manifest
from vprcap.positives import Task, build_task
from vprcap.predictions import write_evaluation
from vprcap.recall import CUTOFFS
from vprcap.search import nearest


def evaluate(
    manifest: Path,
    modes: Mapping[str, tuple[Path, Path]],
    output: Path,
    *,
    dim: int | None = None,
    binary: bool = False,
) -> Path:
    """Search the database with every query and score it, in each mode.

    Args:
        manifest: database, queries and their positions.
        modes: by name (``vprcap.descriptors.QUERY_MODES``) the descriptors to ask with and those
            to search; each file describes the whole manifest.
        output: folder for ``results.json`` (returned) and ``per_query.parquet``.
        dim: compare only so many of the first numbers, normalised again; default: all.
        binary: search binary codes, and order what they find by the descriptors.

    Raises:
        InvalidError: descriptors of another manifest, or two of one mode of different length.
    """
    loaded = read_manifest(manifest)
    task = build_task(loaded)
    files = {path for pair in modes.values() for path in pair}
    described = {path: _read(path, loaded, dim) for path in files}
    predictions = {
        mode: _predict(described[queries], described[database], task, binary)
        for mode, (queries, database) in modes.items()
    }
    return write_evaluation(loaded, task, predictions, output)


def _read(path: Path, manifest: Manifest, dim: int | None) -> Descriptors:
    descriptors = read_descriptors(path)
    if len(descriptors.vectors) != manifest.rows.num_rows:
        raise InvalidError(
            f"{path} describes {len(descriptors.vectors)} images, {manifest.info.name} has "
            f"{manifest.rows.num_rows}; describe this manifest"
        )
    return descriptors if dim is None else descriptors.prefix(dim)


def _predict(
    queries: Descriptors, database: Descriptors, task: Task, binary: bool
) -> Int[np.ndarray, "queries retrieved"]:
    """Database positions of each query, nearest first; -1 for queries without a descriptor."""
    if queries.vectors.shape[1] != database.vectors.shape[1]:
        raise InvalidError(
            f"queries have descriptors of {queries.vectors.shape[1]} numbers, the database of "
            f"{database.vectors.shape[1]}; describe both with one combiner"
        )
    kept = np.flatnonzero(database.present[task.database])
    asked = np.flatnonzero(queries.present[task.queries])
    predictions = np.full((len(task.queries), max(CUTOFFS)), -1, dtype=np.int64)
    if len(kept) and len(asked):
        search = _nearest_binary if binary else nearest
        rows = search(
            database.vectors[task.database[kept]],
            queries.vectors[task.queries[asked]],
            max(CUTOFFS),
        )
        predictions[asked, : rows.shape[1]] = np.where(rows < 0, -1, kept[rows])
    return predictions


def _nearest_binary(
    database: np.ndarray, queries: np.ndarray, num_retrieved: int
) -> Int[np.ndarray, "queries retrieved"]:
    centre = centre_of(ArrayVectors(database))
    return nearest_binary(database, queries, num_retrieved, centre=centre)
