"""Evaluate: descriptors and a manifest -> predictions and a recall report. Needs no model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int

from vprcap.descriptors import Descriptors, read_descriptors
from vprcap.errors import InvalidError
from vprcap.files import replacing, write_json
from vprcap.manifest import Manifest, read_manifest
from vprcap.positives import Task, build_task
from vprcap.recall import CUTOFFS, hits_at_k
from vprcap.report import RecallReport, build_estimates, plain_recalls
from vprcap.search import nearest


def evaluate(manifest: Path, descriptors: Mapping[str, Path], output: Path) -> Path:
    """Search the database with every query and score it, for each mode of description.

    Args:
        manifest: database, queries and their positions.
        descriptors: mode (``image``, ``text``, ``fused``) -> file.
        output: folder for ``results.json`` (returned) and ``per_query.parquet``.

    Raises:
        InvalidError: descriptors of another manifest.
    """
    loaded = read_manifest(manifest)
    task = build_task(loaded)
    predictions = {
        mode: _predict(_checked(read_descriptors(path), loaded, path), task)
        for mode, path in descriptors.items()
    }
    report = _report(loaded, task, predictions)
    _write_predictions(output / "per_query.parquet", loaded, task, predictions)
    return write_json(output / "results.json", report.to_json())


def _checked(descriptors: Descriptors, manifest: Manifest, path: Path) -> Descriptors:
    if len(descriptors.vectors) != manifest.rows.num_rows:
        raise InvalidError(
            f"{path} describes {len(descriptors.vectors)} images, {manifest.info.name} has "
            f"{manifest.rows.num_rows}; describe this manifest"
        )
    return descriptors


def _predict(descriptors: Descriptors, task: Task) -> Int[np.ndarray, "queries retrieved"]:
    """Database positions of each query, nearest first; -1 for queries without a descriptor."""
    kept = np.flatnonzero(descriptors.present[task.database])
    asked = np.flatnonzero(descriptors.present[task.queries])
    predictions = np.full((len(task.queries), max(CUTOFFS)), -1, dtype=np.int64)
    if len(kept) and len(asked):
        rows = nearest(
            descriptors.vectors[task.database[kept]],
            descriptors.vectors[task.queries[asked]],
            max(CUTOFFS),
        )
        predictions[asked, : rows.shape[1]] = kept[rows]
    return predictions


def _report(manifest: Manifest, task: Task, predictions: Mapping[str, np.ndarray]) -> RecallReport:
    hits = {mode: hits_at_k(rows, task.positives) for mode, rows in predictions.items()}
    solvable = np.array([len(own) > 0 for own in task.positives])
    groups, resampled = _groups(manifest, task)
    recall, delta = build_estimates(hits, solvable, groups)
    return RecallReport(
        name=manifest.info.name,
        partial=manifest.info.partial,
        num_database=len(task.database),
        num_queries=len(task.queries),
        num_solvable=int(solvable.sum()),
        positive_radius_m=manifest.info.positive_radius_m,
        resampled=resampled,
        recall=recall,
        recall_all={mode: plain_recalls(found, CUTOFFS) for mode, found in hits.items()},
        delta=delta,
    )


def _groups(manifest: Manifest, task: Task) -> tuple[np.ndarray, str]:
    """What is resampled: whole sequences where every query's is known, else single queries."""
    sequences = manifest.column("sequence")[task.queries]
    if any(sequence is None for sequence in sequences):
        return np.arange(len(task.queries)), "queries (their sequences are not known)"
    _, groups = np.unique(sequences.astype(str), return_inverse=True)
    if groups.max() < 1:
        return np.arange(len(task.queries)), "queries (all are of one sequence)"
    return groups, f"{groups.max() + 1} sequences"


def _write_predictions(
    path: Path, manifest: Manifest, task: Task, predictions: Mapping[str, np.ndarray]
) -> None:
    """One row per query and mode: what was retrieved, and the rank of the first positive."""
    ids = np.array(manifest.image_ids, dtype=object)
    rows = [
        {
            "image_id": ids[task.queries[query]],
            "mode": mode,
            "num_positives": len(positives),
            "first_hit_rank": _first_hit(found[query], positives),
            "retrieved": ids[task.database[found[query][found[query] >= 0]]].tolist(),
        }
        for mode, found in predictions.items()
        for query, positives in enumerate(task.positives)
    ]
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=PER_QUERY_SCHEMA), temporary)


PER_QUERY_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("mode", pa.string()),
        ("num_positives", pa.int32()),
        ("first_hit_rank", pa.int32()),  # 1 is the nearest; null where no positive was retrieved
        ("retrieved", pa.list_(pa.string())),  # database image ids, nearest first
    ]
)


def _first_hit(retrieved: np.ndarray, positives: np.ndarray) -> int | None:
    ranks = np.flatnonzero(np.isin(retrieved, positives))
    return int(ranks[0]) + 1 if len(ranks) else None
