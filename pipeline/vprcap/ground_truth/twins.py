"""Near-identical pictures: which database images are copies of a query, whatever their bytes say.

A copied drive is re-encoded, resized or brightened, so hashes of its files do not meet. Compared
are 16 x 16 grey thumbnails by the correlation of their gradients, which is the inner product of
their cosine coefficients, each weighted by its frequency. Coefficients that are constant along an
axis are left out: sky above road is common to all pictures of streets, and fog has nothing else.

Measured on the London photographs of Mapillary Street-Level Sequences: of 1.3 million pairs of a
query and a database image, all of different drives, the most alike reach 0.65 (the same wall and
gate on two days). Copies reach at least 0.996 at JPEG quality 20, 0.94 at a quarter of
the size, 0.92 at 640 x 480, 0.91 where 30 % more brightness burns the sky out, and 0.91 where 1 %
is cut off each edge. 2 % cut off, or a shift by 5 % of the width, are not recognised for sure.

A near-identical picture counts as a twin where it was taken by the same drive, within
`SAME_SPOT_M`, or somewhere unknown; the same bytes are a twin wherever. A copy that is said to be
from elsewhere is reported as displaced: a position is wrong, or a view hardly changes.
Of a single drive, frames in traffic or in a park are as alike as copies: 120 of the 1.5 million
pairs within one role of those photographs reach `TWIN_SIMILARITY`, at most 40 m apart. Between
query and database such a pair is a twin too, and just as easy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.fft import dctn

SIDE = 16
"""Pixels of the thumbnail; 256 bytes of each image are kept."""
TWIN_SIMILARITY = 0.8
LEAST_DETAIL = 2.0
"""Grey levels between neighbouring pixels. Pictures of fog or darkness have about 1, from rounding
and noise; the plainest London photograph has 13."""
SAME_SPOT_M = 25.0
"""A drive that was uploaded twice was positioned twice, each time with an error of some metres; and
within 25 m, the field's radius, a copy is a positive, which is what inflates recall."""
_CANDIDATES = 4
"""Nearest queries of a database image that are searched first; more where all of them are alike."""
_BLOCK = 16_384


def signatures(
    thumbnails: UInt8[np.ndarray, "images pixels"],
) -> Float32[np.ndarray, "images numbers"]:
    """Unit vectors whose inner product says how alike two thumbnails are; zeros without detail."""
    pictures = thumbnails.reshape(-1, SIDE, SIDE).astype(np.float32)
    coefficients = dctn(pictures, axes=(1, 2), norm="ortho")[:, 1:, 1:]
    # The sum of squared differences of neighbours is diagonal in these coefficients.
    along = 2 - 2 * np.cos(np.pi * np.arange(1, SIDE) / SIDE)
    weighted = coefficients * np.sqrt(along[:, None] + along[None, :])
    vectors = weighted.reshape(len(pictures), -1).astype(np.float32)
    detail = np.linalg.norm(vectors, axis=1, keepdims=True)
    shown: np.ndarray = np.where(detail < LEAST_DETAIL * SIDE, 0, vectors / np.maximum(detail, 1))
    return shown.astype(np.float32)


@dataclass(frozen=True)
class Photographs:
    """What is known of images of one search domain, row by row."""

    sha256: Sequence[str | None]
    thumbnails: UInt8[np.ndarray, "images pixels"]
    metres: Float[np.ndarray, "images 2"]
    """Easting and northing; NaN where unknown."""
    zones: Sequence[str | None]
    """UTM zone numbers."""
    sequences: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Copy:
    """The query that a database image repeats."""

    query: int
    """Row of the query."""
    similarity: float
    """1.0 where the bytes are equal."""
    displaced: bool
    """The two are said to be from different places."""
    same_bytes: bool

    @property
    def twin(self) -> bool:
        """Whether it is certain enough to be left out of a database."""
        return self.same_bytes or not self.displaced


def find_copies(database: Photographs, queries: Photographs) -> dict[int, Copy]:
    """Find the query that each database image repeats, by row; those that repeat none are absent.

    Of several queries, one at the same spot comes first, then the most alike.
    """
    found: dict[int, Copy] = {}
    for own, query, similarity in chain(_same_bytes(database, queries), _alike(database, queries)):
        displaced = _displaced(database, own, queries, query)
        same_bytes = database.sha256[own] == queries.sha256[query]
        copy = Copy(query, similarity, displaced, same_bytes)
        if own not in found or _strength(copy) > _strength(found[own]):
            found[own] = copy
    return found


Pair = tuple[int, int, float]
"""Row of a database image, row of a query, similarity."""


def _strength(copy: Copy) -> tuple[bool, bool, float]:
    return not copy.displaced, copy.same_bytes, copy.similarity


def _same_bytes(database: Photographs, queries: Photographs) -> Iterator[Pair]:
    holders: dict[str, list[int]] = {}
    for query, sha256 in enumerate(queries.sha256):
        if sha256 is not None:
            holders.setdefault(sha256, []).append(query)
    for own, sha256 in enumerate(database.sha256):
        for query in holders.get(sha256 or "", ()):
            yield own, query, 1.0


def _alike(database: Photographs, queries: Photographs) -> Iterator[Pair]:
    """Search block by block: no more than a block and all queries are held as signatures."""
    if not len(queries.thumbnails):
        return
    asked = signatures(queries.thumbnails)
    for start in range(0, len(database.thumbnails), _BLOCK):
        block = signatures(database.thumbnails[start : start + _BLOCK])
        for own, query, similarity in _nearest(block, asked):
            yield start + own, query, similarity


def _nearest(
    block: Float32[np.ndarray, "block numbers"], asked: Float32[np.ndarray, "queries numbers"]
) -> Iterator[Pair]:
    """Give all pairs that are alike: where the last of the nearest is, twice as many are asked."""
    import faiss

    left, near = np.arange(len(block)), min(_CANDIDATES, len(asked))
    while len(left):
        similarity, rows = faiss.knn(block[left], asked, near, faiss.METRIC_INNER_PRODUCT)
        more = (similarity[:, -1] >= TWIN_SIMILARITY) & (near < len(asked))
        for own, rank in np.argwhere((similarity >= TWIN_SIMILARITY) & ~more[:, None]).tolist():
            yield int(left[own]), int(rows[own, rank]), float(similarity[own, rank])
        left, near = left[more], min(2 * near, len(asked))


def _displaced(database: Photographs, own: int, queries: Photographs, query: int) -> bool:
    """Whether two pictures are known to be of different drives and taken at different spots."""
    drive = database.sequences[own]
    if drive is not None and drive == queries.sequences[query]:
        return False
    zones = {database.zones[own], queries.zones[query]} - {None}
    metres = float(np.linalg.norm(database.metres[own] - queries.metres[query]))
    return len(zones) > 1 or metres > SAME_SPOT_M  # NaN, an unknown position, is not greater
