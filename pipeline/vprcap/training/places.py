"""What a manifest says about the places of its images, as numbers that training counts with.

A set that names no places is cut into some: cells of position and heading, as CosPlace does
(Berton, Masone, Caputo, CVPR 2022), or runs of frames. Two images in neighbouring cells may show
one place; positions say so, and training takes such pairs for neither positives nor negatives.
"""

import logging

import numpy as np
from jaxtyping import Float, Int

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.manifest import Manifest, half_zones, metres_of

logger = logging.getLogger(__name__)

Rows = Int[np.ndarray, " _"]

CELL_M, CELL_DEG = 20.0, 60.0
"""Sides of a cell; finer ones leave most cells with a single image."""


def rows_in_places(manifest: Manifest, rows: Rows) -> Rows:
    """Leave out images that are alone in a cell; of places with names, all rows are kept.

    Raises:
        MissingError: the manifest says nothing of places.
    """
    if _named(manifest):
        return rows
    cells = _cells(manifest)[rows]
    _, members, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    kept = rows[sizes[members] > 1]
    logger.warning(
        "%s names no places, so it is cut into %d cells; %d of %d images are alone in theirs and "
        "left out",
        manifest.info.name,
        np.count_nonzero(sizes > 1),
        len(rows) - len(kept),
        len(rows),
    )
    return kept


def places_of(manifest: Manifest, rows: Rows) -> Rows:
    """Give equal numbers to images of one place.

    Raises:
        MissingError: the manifest has no places.
        InvalidError: a place has one image only.
    """
    names = _of_domains(manifest) if _named(manifest) else _cells(manifest)
    ids, places, sizes = np.unique(names[rows].astype(str), return_inverse=True, return_counts=True)
    if len(single := ids[sizes < 2]):
        raise InvalidError(
            f"{len(single)} places of {manifest.info.name} have one image only (that can be "
            f"decoded), which teaches nothing: place_id {', '.join(single[:5])}; leave them out"
        )
    return np.asarray(places)


def _named(manifest: Manifest) -> bool:
    """Say whether every image has a place_id; some with and some without would be a mistake."""
    missing = manifest.rows["place_id"].null_count
    if 0 < missing < manifest.rows.num_rows:
        raise MissingError(
            f"{missing} images of {manifest.info.name} have no place_id; give it to all or to none"
        )
    return not missing


def _of_domains(manifest: Manifest) -> np.ndarray:
    """Name places; equal names in two domains, which are numbers mostly, are two places."""
    domains, places = manifest.column("domain"), manifest.column("place_id")
    if not any(domain is not None for domain in domains):
        return places
    pairs = zip(domains, places, strict=True)
    return np.array([place if domain is None else f"{domain}/{place}" for domain, place in pairs])


def _cells(manifest: Manifest) -> np.ndarray:
    """Name the cell of every image of a set without places."""
    if not manifest.rows["frame"].null_count:
        run = 2 * manifest.info.rule.frames + 1
        return _joined(manifest, manifest.column("frame") // run)
    metres = metres_of(manifest)
    if np.isnan(metres).any():
        raise MissingError(
            f"images of {manifest.info.name} have no place_id, position or frame, so there is "
            "nothing to learn from; train on a set with places, such as gsv-cities"
        )
    headings = manifest.column("heading_deg").astype(float)
    sectors = np.where(np.isnan(headings), -1, headings // CELL_DEG)
    east, north = (metres // CELL_M).T
    return _joined(manifest, east, north, sectors)


def _joined(manifest: Manifest, *numbers: np.ndarray) -> np.ndarray:
    """Name cells of one domain and UTM zone by their numbers."""
    domains = manifest.rows["domain"].to_pylist()
    whole = [each.astype(int) for each in numbers]
    zones = half_zones(manifest.rows["zone"]).to_pylist()
    named = zip(domains, zones, *whole, strict=True)
    return np.array(["/".join("" if part is None else str(part) for part in own) for own in named])


def traversals_of(manifest: Manifest, rows: Rows) -> Rows | None:
    """Which drive each image is of: its sequence, else its role; None where neither is known."""
    for column in ("sequence", "role"):
        names = manifest.column(column)[rows]
        if all(name is not None for name in names):
            _, traversals = np.unique(names.astype(str), return_inverse=True)
            return traversals if traversals.max() > 0 else None
    return None


def positions_of(manifest: Manifest, rows: Rows) -> Float[np.ndarray, "images 2"] | None:
    """Metres; None where unknown. Domains and zones are moved apart: coordinates coincide.

    Frames stand in for metres where only they are known: those within the tolerance, or next to
    each other, are as near as positives.
    """
    metres: np.ndarray = metres_of(manifest)[rows]
    rule = manifest.info.rule
    if np.isnan(metres).any() and not manifest.rows["frame"].null_count:
        frames = manifest.column("frame")[rows].astype(float)
        metres = np.stack([frames * rule.radius_m / max(rule.frames, 1), np.zeros(len(rows))], 1)
    if np.isnan(metres).any():
        return None
    zones = half_zones(manifest.rows["zone"]).to_pylist()
    regions = zip(manifest.rows["domain"].to_pylist(), zones, strict=True)
    names = np.array([f"{domain}/{zone}" for domain, zone in regions])
    _, apart = np.unique(names[rows], return_inverse=True)
    metres[:, 0] += 1e7 * apart
    return metres
