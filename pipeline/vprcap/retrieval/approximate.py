"""Approximate indexes of faiss, HNSW and IVF-PQ: they propose rows, the descriptors order them.

HNSW keeps half-precision copies of the descriptors in a graph: quick and nearly exact, and all of
it must fit into memory. IVF-PQ keeps 64 bytes of each and looks into a sixteenth of its cells:
small, quick and the least exact. The settings are ordinary ones and fixed: who wants others wants
faiss itself. Graphs are built by several threads, so two builds may differ in a few edges.
"""

from collections.abc import Callable
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from vprcap.errors import InvalidError, StorageError, first_line
from vprcap.files import replacing
from vprcap.retrieval.memory import left_of
from vprcap.retrieval.vectors import StoredVectors

_LINKS = 32
"""Edges of a row in the graph; twice as many in its lowest layer."""
_BREADTH = 128
"""Rows that a walk through the graph keeps in sight."""
_CODE_BYTES = 64
_LEAST_TRAINING = 256 * 39
"""Descriptors below which faiss warns that 256 codes cannot be learnt."""
_ROWS_A_CELL = 64
"""Descriptors for each cell that its centre is learnt from."""


def build(
    kind: str, database: StoredVectors, path: Path, memory: int, on_rows: Callable[[int], None]
) -> Path:
    """Build an ``hnsw`` or ``ivf-pq`` index of a database, block by block.

    Args:
        kind: which.
        database: descriptors on disk.
        path: file to write.
        memory: bytes for the whole process.
        on_rows: told how many rows were added.

    Raises:
        InvalidError: the database is too small to learn codes from, or too large for the memory.
    """
    num_rows, dim = database.shape
    cells = max(1, isqrt(num_rows))
    trained_on = _training_rows(num_rows, cells) if kind == "ivf-pq" else 0
    held = _held_bytes(kind, num_rows, dim) + 2 * trained_on * dim * 4
    left = left_of(memory, held + 2**27, f"{kind} of {num_rows:,} descriptors of {dim} numbers")
    index = _empty(kind, dim, cells)
    if trained_on:
        rows = np.linspace(0, num_rows - 1, trained_on).astype(np.int64)
        index.train(database.take(rows))
    for _, block in database.within(min(left - held, 2**25)).blocks():
        index.add(block)
        on_rows(len(block))
    return _write(index, path)


def propose(
    kind: str,
    path: Path,
    queries: Float32[np.ndarray, "queries dim"],
    shortlist: int,
    memory: int,
) -> Int[np.ndarray, "queries proposed"]:
    """Ask a stored index for database rows of each query; -1 where it has no more.

    Raises:
        InvalidError: the index does not fit into the memory, or is damaged.
    """
    import faiss

    left_of(memory, path.stat().st_size + 2**27, f"to load {path.name}")
    try:
        index: Any = faiss.read_index(str(path))
    except RuntimeError as problem:
        raise InvalidError(f"{path} is damaged ({first_line(problem)}); make it again") from None
    if kind == "hnsw":
        index.hnsw.efSearch = max(_BREADTH, shortlist)
    else:
        index.nprobe = max(1, index.nlist // 16)
    rows: np.ndarray = index.search(queries, min(shortlist, index.ntotal))[1]
    return rows


def _training_rows(num_rows: int, cells: int) -> int:
    if num_rows < _LEAST_TRAINING:
        raise InvalidError(
            f"ivf-pq learns its codes from at least {_LEAST_TRAINING:,} descriptors, here are "
            f"{num_rows:,}; choose --kind flat or hnsw"
        )
    return min(num_rows, max(_LEAST_TRAINING, _ROWS_A_CELL * cells))


def _held_bytes(kind: str, num_rows: int, dim: int) -> int:
    """Bytes of a finished index while it grows: its arrays double, and are copied as they do."""
    row = 2 * dim + 4 * (2 * _LINKS) + 64 if kind == "hnsw" else _CODE_BYTES + 8
    return 3 * num_rows * row


def _empty(kind: str, dim: int, cells: int) -> Any:
    import faiss

    if kind == "hnsw":
        return faiss.index_factory(dim, f"HNSW{_LINKS}_SQfp16", faiss.METRIC_INNER_PRODUCT)
    parts = max(parts for parts in range(1, _CODE_BYTES + 1) if dim % parts == 0)
    # "np": no polysemous training, which takes minutes and which nothing here would use.
    return faiss.index_factory(dim, f"IVF{cells},PQ{parts}x8np", faiss.METRIC_INNER_PRODUCT)


def _write(index: Any, path: Path) -> Path:
    import faiss

    with replacing(path) as temporary:
        try:
            faiss.write_index(index, str(temporary))
        except RuntimeError as problem:
            raise StorageError(f"cannot write {path}: {first_line(problem)}; make room") from None
    return path
