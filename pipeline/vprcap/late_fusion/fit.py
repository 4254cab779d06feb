"""The door to fitting: what it fits is named and checked here, without torch."""

import numpy as np
from jaxtyping import Float, Int

from vprcap.errors import InvalidError
from vprcap.late_fusion.pair import LATE_FUSIONS, LateFusion, Pair


def fit_late_fusion(
    name: str,
    pairs: Pair,
    places: Int[np.ndarray, " images"],
    positions: Float[np.ndarray, "images 2"] | None = None,
    *,
    traversals: Int[np.ndarray, " images"] | None = None,
    seed: int = 0,
) -> LateFusion:
    """Fit one of LATE_FUSIONS; on a CPU, equal arguments and threads give equal scores.

    Args:
        name: the kind.
        pairs: descriptors of training images; some captions may be missing.
        places: equal numbers are one place.
        positions: easting and northing in metres; pairs of places closer than 25 m are left out.
        traversals: equal numbers are one drive, in which validation does not look for an image.
        seed: decides split, batches and random weights.

    Raises:
        InvalidError: an unknown kind, a place of one image, too few places, or no image that has
            both descriptors.
    """
    if name not in LATE_FUSIONS:
        raise InvalidError(f"no late fusion {name!r}; there are: {', '.join(LATE_FUSIONS)}")
    if not (pairs.has_image & pairs.has_text).any():
        raise InvalidError("no training image has an image and a text descriptor; caption the set")
    from vprcap.late_fusion.kinds import fit_kind

    return fit_kind(name, pairs, places, positions, traversals, seed)
