"""How similar images of different places are: what a similarity has to exceed to mean something."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

MAX_IMAGES = 2000
"""Images that are compared, at most: two million pairs are enough for two moments."""
RADIUS_M = 25.0
"""Different places closer than this may show the same street."""


class Moments(NamedTuple):
    """Mean and standard deviation of a similarity; 0 and 0 where nothing could be compared."""

    mean: float
    deviation: float


def stranger_moments(
    vectors: Float32[np.ndarray, "images dim"],
    present: Bool[np.ndarray, " images"],
    places: Int[np.ndarray, " images"],
    positions: Float[np.ndarray, "images 2"] | None = None,
) -> Moments:
    """Moments of the inner products of images of different places, for one modality."""
    rows = np.flatnonzero(present)
    rows = rows[:: max(1, -(-len(rows) // MAX_IMAGES))]
    apart = places[rows][:, None] != places[rows][None]
    if positions is not None:
        metres = positions[rows]
        apart &= np.linalg.norm(metres[:, None] - metres[None], axis=-1) >= RADIUS_M
    similarity = (vectors[rows] @ vectors[rows].T)[apart].astype(np.float64)
    if not len(similarity):
        return Moments(0.0, 0.0)
    return Moments(float(similarity.mean()), float(similarity.std()))
