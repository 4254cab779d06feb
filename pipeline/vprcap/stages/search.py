"""Search: an index and query descriptors -> the rows that are most similar."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from vprcap.errors import InvalidError
from vprcap.retrieval.approximate import propose
from vprcap.retrieval.codes import SHORTLIST, search_codes
from vprcap.retrieval.index import Index, read_index
from vprcap.retrieval.memory import left_of
from vprcap.retrieval.search import Matches, rank
from vprcap.retrieval.search import search as search_exactly
from vprcap.retrieval.vectors import LEAST_BLOCK_BYTES

_WORKING_BYTES = 200 * 10**6
"""What faiss, once it is loaded, takes beside blocks: itself, and scratch of matrix products."""
_RESULT_BYTES = 64
"""Of one found row of one query, while lists are merged."""


def search(
    index: Path,
    queries: Float[np.ndarray, "queries dim"],
    num_retrieved: int,
    *,
    memory: int,
) -> Matches:
    """Search an index with descriptors of the model that made it.

    This stage gives arrays, not a path: an answer is for whoever asked, not for the disk.

    Args:
        index: folder that `vprcap.stages.index` wrote.
        queries: unit vectors.
        num_retrieved: how many rows for each query; never more than there are.
        memory: bytes that the process may hold while it searches.

    Raises:
        MissingError: there is no index.
        InvalidError: it is damaged, the queries are of another length, or the memory cannot work.
    """
    opened = read_index(index)
    if queries.shape[1] != opened.info.dim:
        raise InvalidError(
            f"queries have {queries.shape[1]} numbers, the descriptors of {index} "
            f"{opened.info.dim}; describe them with the model of the index"
        )
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    return _search(opened, queries, min(num_retrieved, opened.info.count), memory)


def _search(opened: Index, queries: np.ndarray, num_retrieved: int, memory: int) -> Matches:
    database, shortlist = opened.descriptors, max(SHORTLIST, num_retrieved)
    overhead = _WORKING_BYTES + _RESULT_BYTES * len(queries) * shortlist
    left = left_of(memory, overhead + 2 * LEAST_BLOCK_BYTES, "searching") - overhead
    match opened.info.kind:
        case "flat":
            return search_exactly(database.within(left), queries, num_retrieved)
        case "binary":
            codes = opened.codes.within(left)
            return search_codes(database, codes, queries, num_retrieved, opened.centre, shortlist)
        case kind:
            proposed = propose(kind, opened.faiss, queries, shortlist, memory)
            return rank(database, queries, proposed, num_retrieved)
