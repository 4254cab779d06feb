"""What a manifest says about the places of its images, as numbers that training counts with."""

import numpy as np
from jaxtyping import Float, Int

from vprcap.errors import InvalidError, MissingError
from vprcap.manifest import Manifest, metres_of, zone_numbers

Rows = Int[np.ndarray, " _"]


def places_of(manifest: Manifest, rows: Rows) -> Rows:
    """Give equal numbers to images of one place.

    Raises:
        MissingError: the manifest has no places.
        InvalidError: a place has one image only.
    """
    names = manifest.column("place_id")
    if any(name is None for name in names):
        raise MissingError(
            f"images of {manifest.info.name} have no place_id, so there is nothing to learn from; "
            "train on a set with places, such as gsv-cities"
        )
    ids, places, sizes = np.unique(names[rows].astype(str), return_inverse=True, return_counts=True)
    if len(single := ids[sizes < 2]):
        raise InvalidError(
            f"{len(single)} places of {manifest.info.name} have one image only (that can be "
            f"decoded), which teaches nothing: place_id {', '.join(single[:5])}; leave them out"
        )
    return np.asarray(places)


def traversals_of(manifest: Manifest, rows: Rows) -> Rows | None:
    """Which drive each image is of: its sequence, else its role; None where neither is known."""
    for column in ("sequence", "role"):
        names = manifest.column(column)[rows]
        if all(name is not None for name in names):
            _, traversals = np.unique(names.astype(str), return_inverse=True)
            return traversals if traversals.max() > 0 else None
    return None


def positions_of(manifest: Manifest, rows: Rows) -> Float[np.ndarray, "images 2"] | None:
    """Metres; None where unknown. Zones are moved apart: their coordinates coincide."""
    positions: np.ndarray = metres_of(manifest)[rows]
    if np.isnan(positions).any():
        return None
    numbers = np.array([number or "" for number in zone_numbers(manifest)])
    _, zones = np.unique(numbers[rows], return_inverse=True)
    positions[:, 0] += 1e7 * zones
    return positions
