"""Predictions of a set: found, scored and kept as a recall report and a row per query.

Whatever found them - descriptors, their prefixes, codes, a late fusion - predictions are judged in
one way, and every later comparison reads the rows that are written here.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool, Int

from vprcap.errors import InvalidError, first_line
from vprcap.evaluation.recall import CUTOFFS, hits_at_k
from vprcap.evaluation.report import (
    ConditionReport,
    RecallReport,
    build_estimates,
    condition_report,
    plain_recalls,
)
from vprcap.files import replacing, write_json
from vprcap.ground_truth.positives import Task
from vprcap.manifests.manifest import Manifest
from vprcap.retrieval.codes import centre_of, nearest_binary
from vprcap.retrieval.descriptors import Descriptors
from vprcap.retrieval.search import nearest
from vprcap.retrieval.vectors import ArrayVectors

PER_QUERY_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("mode", pa.string()),
        ("num_positives", pa.int32()),
        ("first_hit_rank", pa.int32()),  # 1 is the nearest; null where no positive was retrieved
        ("retrieved", pa.list_(pa.string())),  # database image ids, nearest first
    ]
)

Predictions = Mapping[str, Int[np.ndarray, "queries retrieved"]]
"""By mode: database positions of each query, nearest first; -1 where there are no more."""

SearchDomain = Callable[
    [Int[np.ndarray, " own"], Int[np.ndarray, " asked"], int],
    Int[np.ndarray, "asked retrieved"],
]


def predict(
    queries: Descriptors, database: Descriptors, task: Task, *, binary: bool = False
) -> Int[np.ndarray, "queries retrieved"]:
    """Search the database with every query.

    An image without a descriptor is left out of the database, and as a query finds nothing.

    Args:
        queries: of the whole manifest.
        database: of the whole manifest.
        task: which of its images are which.
        binary: search binary codes, and order what they find by the descriptors.

    Raises:
        InvalidError: queries and database have descriptors of different length.
    """
    if queries.vectors.shape[1] != database.vectors.shape[1]:
        raise InvalidError(
            f"queries have descriptors of {queries.vectors.shape[1]} numbers, the database of "
            f"{database.vectors.shape[1]}; describe both with one combiner"
        )
    search = _by_codes if binary else nearest

    def search_domain(own: np.ndarray, asked: np.ndarray, num_retrieved: int) -> np.ndarray:
        rows, others = task.database[own], task.queries[asked]
        kept = np.flatnonzero(database.present[rows])
        able = np.flatnonzero(queries.present[others])
        found = np.full((len(asked), num_retrieved), -1, dtype=np.int64)
        if len(kept) and len(able):
            near = search(
                database.vectors[rows[kept]], queries.vectors[others[able]], num_retrieved
            )
            found[able, : near.shape[1]] = np.where(near < 0, -1, kept[near])
        return found

    return by_domain(task, search_domain)


def by_domain(task: Task, search: SearchDomain) -> Int[np.ndarray, "queries retrieved"]:
    """Search each domain's database with its own queries, and put the findings together.

    Args:
        task: its domains are searched one after the other.
        search: takes positions in the task's database and among its queries and the number to
            retrieve; gives positions in the first, nearest first, -1 where there are no more.

    Returns:
        Positions in the task's database.
    """
    predictions = np.full((len(task.queries), max(CUTOFFS)), -1, dtype=np.int64)
    for domain in task.domains:
        found = search(domain.database, domain.queries, max(CUTOFFS))
        if found.size and len(domain.database):
            predictions[domain.queries, : found.shape[1]] = np.where(
                found < 0, -1, domain.database[found]
            )
    return predictions


def _by_codes(
    database: np.ndarray, queries: np.ndarray, num_retrieved: int
) -> Int[np.ndarray, "queries retrieved"]:
    centre = centre_of(ArrayVectors(database))
    return nearest_binary(database, queries, num_retrieved, centre=centre)


def write_evaluation(
    manifest: Manifest,
    task: Task,
    predictions: Predictions,
    output: Path,
    *,
    variant: str | None = None,
) -> Path:
    """Score predictions; write ``per_query.parquet`` and ``results.json``, which is returned.

    `variant` says what was changed on purpose, such as corrupted captions.
    """
    report = replace(_report(manifest, task, predictions), variant=variant)
    _write_per_query(output / "per_query.parquet", manifest, task, predictions)
    return write_json(output / "results.json", report.to_json())


def first_hits(evaluation: Path, mode: str, task: Task) -> Bool[np.ndarray, " queries"]:
    """Read back which queries of a mode had a positive first.

    Raises:
        InvalidError: the rows are damaged, or not of these queries.
    """
    hits: np.ndarray = read_hits(evaluation, mode, task)[:, CUTOFFS.index(1)]
    return hits


def read_hits(evaluation: Path, mode: str, task: Task) -> Bool[np.ndarray, "queries cutoffs"]:
    """Read back which queries of a mode had a positive among the first K, for each cutoff.

    Raises:
        InvalidError: the rows are damaged, or not of these queries.
    """
    path = evaluation / "per_query.parquet"
    try:
        rows = pq.read_table(path, columns=["mode", "first_hit_rank"])
    except (pa.ArrowInvalid, OSError) as problem:
        raise InvalidError(
            f"{path} cannot be read ({first_line(problem)}); evaluate again"
        ) from None
    ranks = rows.filter(pc.field("mode") == mode)["first_hit_rank"]
    if len(ranks) != len(task.queries):
        raise InvalidError(
            f"{path} has {len(ranks)} queries of mode {mode!r}, the set {len(task.queries)}; "
            "evaluate again"
        )
    beyond = max(CUTOFFS) + 1
    hits: np.ndarray = pc.fill_null(ranks, beyond).to_numpy()[:, None] <= np.array(CUTOFFS)
    return hits


def query_groups(manifest: Manifest, task: Task) -> tuple[Int[np.ndarray, " queries"], str]:
    """What is resampled: whole sequences where every query's is known, else single queries."""
    sequences = manifest.column("sequence")[task.queries]
    if any(sequence is None for sequence in sequences):
        return np.arange(len(task.queries)), "queries (their sequences are not known)"
    _, groups = np.unique(sequences.astype(str), return_inverse=True)
    if groups.max() < 1:
        return np.arange(len(task.queries)), "queries (all are of one sequence)"
    return groups, f"{groups.max() + 1} sequences"


def _report(manifest: Manifest, task: Task, predictions: Predictions) -> RecallReport:
    hits = {mode: hits_at_k(rows, task.positives) for mode, rows in predictions.items()}
    groups, resampled = query_groups(manifest, task)
    recall, delta = build_estimates(hits, task.solvable, groups)
    return RecallReport(
        name=manifest.info.name,
        partial=manifest.info.partial,
        num_database=len(task.database),
        num_queries=len(task.queries),
        num_solvable=int(task.solvable.sum()),
        rule=str(manifest.info.rule),
        resampled=resampled,
        recall=recall,
        recall_all={mode: plain_recalls(found, CUTOFFS) for mode, found in hits.items()},
        delta=delta,
        conditions=_by_condition(manifest, task, hits, groups),
    )


def _by_condition(
    manifest: Manifest, task: Task, hits: Mapping[str, np.ndarray], groups: np.ndarray
) -> dict[str, ConditionReport]:
    """Recalls of the queries of each condition, where there are several."""
    names = manifest.column("condition")[task.queries]
    known = sorted({str(name) for name in names if name is not None})
    if len(known) < 2:
        return {}
    return {
        name: condition_report(
            {mode: found[names == name] for mode, found in hits.items()},
            task.solvable[names == name],
            groups[names == name],
        )
        for name in known
    }


def _write_per_query(path: Path, manifest: Manifest, task: Task, predictions: Predictions) -> None:
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


def _first_hit(retrieved: np.ndarray, positives: np.ndarray) -> int | None:
    ranks = np.flatnonzero(np.isin(retrieved, positives))
    return int(ranks[0]) + 1 if len(ranks) else None
