"""Predictions of a fusion; for text re-ranking, the shortlist of images in the order of the text.

Database rows and ranks are both small integers, and mixing them up returns images that were never
retrieved. Here the text only decides a permutation of ranks; rows are moved by it and by nothing
else.
"""

import numpy as np
from jaxtyping import Int

from vprcap.late_fusion.pair import LateFusion, Pair
from vprcap.retrieval.search import nearest

SHORTLIST = 100


def retrieve(
    fusion: LateFusion, database: Pair, queries: Pair, num_retrieved: int
) -> Int[np.ndarray, "queries {num_retrieved}"]:
    """Search a database with every query by the fused score, and re-rank where the kind says so.

    An image that has neither descriptor is left out of the database, and as a query finds nothing.

    Returns:
        Rows of `database`, nearest first; -1 where there are no more.
    """
    reranks = fusion.name == "text-rerank"
    kept, asked = (
        np.flatnonzero(side.has_image if reranks else side.has_image | side.has_text)
        for side in (database, queries)
    )
    wanted = max(num_retrieved, SHORTLIST) if reranks else num_retrieved
    predictions = np.full((len(queries.image), wanted), -1, dtype=np.int64)
    if len(kept) and len(asked):
        rows = nearest(
            fusion.database(database.take(kept)), fusion.queries(queries.take(asked)), wanted
        )
        predictions[asked, : rows.shape[1]] = np.where(rows < 0, -1, kept[rows])
    if reranks:
        predictions = rerank_by_text(predictions, database, queries)
    return predictions[:, :num_retrieved]


def rerank_by_text(
    predictions: Int[np.ndarray, "queries retrieved"],
    database: Pair,
    queries: Pair,
    shortlist: int = SHORTLIST,
) -> Int[np.ndarray, "queries retrieved"]:
    """Order the first images of each query by the similarity of their captions to the query's.

    An image without a caption keeps its rank, and so does everything for a query without one.
    Equal similarities keep their order.

    Args:
        predictions: rows of `database`, nearest first; -1 where fewer were retrieved.
        database: its captions are compared.
        queries: in the order of `predictions`.
        shortlist: images that are re-ordered; the ranks below stay.
    """
    reranked = predictions.copy()
    for query in np.flatnonzero(queries.has_text):
        rows = predictions[query, :shortlist]
        ranks = np.flatnonzero((rows >= 0) & database.has_text[rows])
        similarity = database.text[rows[ranks]] @ queries.text[query]
        reranked[query, ranks] = rows[ranks[np.argsort(-similarity, kind="stable")]]
    return reranked
