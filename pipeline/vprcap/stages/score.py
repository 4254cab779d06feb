"""Score: descriptors that VPR-methods-evaluation saved, and a manifest -> a recall report.

Any method that it runs is so judged under any protocol here, by the same code as our own.
"""

from pathlib import Path

import numpy as np

from vprcap.evaluation.predictions import by_domain, write_evaluation
from vprcap.exchange.vme_descriptors import ByDistance, finite_rows, open_saved, order_of
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import read_manifest
from vprcap.retrieval.search import search


def score(manifest: Path, descriptors: Path, output: Path, *, names: Path | None = None) -> Path:
    """Search saved descriptors by Euclidean distance and score what is found, as mode ``image``.

    Args:
        manifest: database, queries and their ground truth.
        descriptors: folder of ``database_descriptors.npy`` and ``queries_descriptors.npy``.
        output: folder for ``results.json`` (returned) and ``per_query.parquet``.
        names: text file of the rows' paths, database first; default: the order of sorted paths.

    Raises:
        MissingError: a file is not there.
        InvalidError: a file is damaged, or it is not certain which row is of which image.
    """
    loaded = read_manifest(manifest)
    task = build_task(loaded)
    saved = open_saved(descriptors)
    database_order, query_order = order_of(saved, loaded, task, names)

    def search_domain(own: np.ndarray, asked: np.ndarray, num_retrieved: int) -> np.ndarray:
        queries = finite_rows(saved.queries, query_order[asked])
        ones = np.ones((len(queries), 1), dtype=np.float32)
        database = ByDistance(saved.database, database_order[own])
        return search(database, np.concatenate([queries, ones], axis=1), num_retrieved).rows

    return write_evaluation(loaded, task, {"image": by_domain(task, search_domain)}, output)
