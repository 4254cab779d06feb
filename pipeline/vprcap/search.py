"""Exact nearest neighbours of unit vectors by inner product, streamed over the database."""

import numpy as np
from jaxtyping import Float, Int

BLOCK_ROWS = 262_144


def nearest(
    database: Float[np.ndarray, "database dim"],
    queries: Float[np.ndarray, "queries dim"],
    num_retrieved: int,
) -> Int[np.ndarray, "queries retrieved"]:
    """Database rows of each query, nearest first; equal similarities by database order.

    The database is searched in blocks, so it may be a memory map larger than memory.
    """
    import faiss

    num_retrieved = min(num_retrieved, len(database))
    found = [
        _offset(
            faiss.knn(*_floats(queries, block), num_retrieved, faiss.METRIC_INNER_PRODUCT), start
        )
        for start, block in _blocks(database)
    ]
    similarity = np.concatenate([part[0] for part in found], axis=1)
    rows = np.concatenate([part[1] for part in found], axis=1)
    # faiss fills up with -1 where a block is smaller than asked for: keep those last.
    order = np.lexsort((rows, np.where(rows < 0, np.inf, -similarity)))[:, :num_retrieved]
    return np.take_along_axis(rows, order, axis=1)


def _blocks(database: np.ndarray) -> list[tuple[int, np.ndarray]]:
    starts = range(0, len(database), BLOCK_ROWS)
    return [(start, database[start : start + BLOCK_ROWS]) for start in starts]


def _floats(queries: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.ascontiguousarray(queries, dtype=np.float32),
        np.ascontiguousarray(block, dtype=np.float32),
    )


def _offset(found: tuple[np.ndarray, np.ndarray], start: int) -> tuple[np.ndarray, np.ndarray]:
    similarity, rows = found
    return similarity, np.where(rows < 0, -1, rows + start)
