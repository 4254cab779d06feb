"""Exact nearest neighbours of unit vectors by inner product, streamed over the database.

faiss does the search, block by block. What is found is ordered by inner products that are summed
in one fixed way, so that equal rows have equal similarities wherever they lie, and come in database
order; matrix products do not promise that. Of rows that tie for the last place faiss keeps any, so
a query where that happens is searched again without it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from vprcap.retrieval.vectors import ArrayVectors, Vectors

_TIE = 1e-6
"""Similarities of unit vectors this near may be equal: the rounding of a matrix product."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What was found, best first; -1 and minus infinity where there is no more."""

    rows: Int[np.ndarray, "queries retrieved"]
    """Database rows."""
    similarity: Float[np.ndarray, "queries retrieved"]


def nearest(
    database: Shaped[np.ndarray, "database dim"],
    queries: Float[np.ndarray, "queries dim"],
    num_retrieved: int,
) -> Int[np.ndarray, "queries retrieved"]:
    """Database rows of each query, nearest first; equal similarities by database order.

    The database may be a memory map larger than memory.
    """
    return search(ArrayVectors(database), queries, num_retrieved).rows


def search(
    database: Vectors, queries: Float[np.ndarray, "queries dim"], num_retrieved: int
) -> Matches:
    """Find the most similar rows of each query, exactly; no more than there are."""
    import faiss

    queries = np.ascontiguousarray(queries, dtype=np.float32)
    num_retrieved = min(num_retrieved, database.shape[0])
    wanted = min(num_retrieved + 1, database.shape[0])  # one more shows whether the last place ties
    found = _nothing(len(queries))
    for start, block in database.blocks():
        block = np.ascontiguousarray(block, dtype=np.float32)
        similarity, rows = faiss.knn(
            queries, block, min(wanted, len(block)), faiss.METRIC_INNER_PRODUCT
        )
        found = _best(found, Matches(rows + start, similarity), wanted)
    ranked = rank(database, queries, found.rows, wanted)
    best = Matches(ranked.rows[:, :num_retrieved], ranked.similarity[:, :num_retrieved])
    if wanted > num_retrieved > 0:
        last = ranked.similarity[:, num_retrieved - 1] - ranked.similarity[:, num_retrieved]
        for query in np.flatnonzero(last <= _TIE):
            again = _search_one(database, queries[query], num_retrieved)
            best.rows[query], best.similarity[query] = again.rows[0], again.similarity[0]
    return best


def rank(
    database: Vectors,
    queries: Float[np.ndarray, "queries dim"],
    candidates: Int[np.ndarray, "queries candidates"],
    num_retrieved: int,
) -> Matches:
    """Order the candidates of each query by inner product, equal ones by database order.

    Args:
        database: read only at the candidates.
        queries: vectors as long as the database's.
        candidates: database rows in any order; -1 is none.
        num_retrieved: how many to keep of each query's.
    """
    shape = (len(queries), min(num_retrieved, candidates.shape[1]))
    best = Matches(np.full(shape, -1), np.full(shape, -np.inf, dtype=np.float32))
    for query, own in enumerate(candidates):
        rows = np.unique(own[own >= 0])
        similarity = similarity_to(database.take(rows), queries[query])
        order = np.argsort(-similarity, kind="stable")[: shape[1]]
        best.rows[query, : len(order)] = rows[order]
        best.similarity[query, : len(order)] = similarity[order]
    return best


def similarity_to(
    rows: Shaped[np.ndarray, "rows dim"], query: Float[np.ndarray, " dim"]
) -> Float32[np.ndarray, " rows"]:
    """Inner products of rows with one query, each summed in the same order."""
    similarity: np.ndarray = np.einsum("nd,d->n", rows, query, dtype=np.float32)
    return similarity


def _search_one(
    database: Vectors, query: Float32[np.ndarray, " dim"], num_retrieved: int
) -> Matches:
    """Find the best of one query without faiss: slow, and exact where rows tie."""
    best = _nothing(1)
    for start, block in database.blocks():
        similarity = similarity_to(block, query)
        rows = np.arange(start, start + len(block))
        best = _best(best, Matches(rows[None], similarity[None]), num_retrieved)
    return best


def _nothing(num_queries: int) -> Matches:
    return Matches(
        np.empty((num_queries, 0), dtype=np.int64), np.empty((num_queries, 0), dtype=np.float32)
    )


def _best(before: Matches, now: Matches, num_retrieved: int) -> Matches:
    """Keep the best of two; `before` holds the earlier rows, and wins ties."""
    rows = np.concatenate([before.rows, now.rows], axis=1)
    similarity = np.concatenate([before.similarity, now.similarity], axis=1)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :num_retrieved]
    return Matches(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarity, order, axis=1)
    )
