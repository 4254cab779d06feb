"""Which database images show the place of a query: those within the positive radius."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from vprcap.errors import InvalidError
from vprcap.manifest import Manifest, zone_numbers


@dataclass(frozen=True)
class Task:
    """Database and queries of a manifest and the ground truth between them."""

    database: Int[np.ndarray, " database"]
    """Manifest rows."""
    queries: Int[np.ndarray, " queries"]
    """Manifest rows."""
    positives: list[Int[np.ndarray, " _"]]
    """For each query, positions in `database`, ascending; may be empty."""

    @property
    def solvable(self) -> Bool[np.ndarray, " queries"]:
        """Which queries have a positive at all."""
        return np.array([len(own) > 0 for own in self.positives])


def build_task(manifest: Manifest) -> Task:
    """Find database, queries and positives of a manifest.

    Raises:
        InvalidError: no database or no queries, no positions, or UTM zones that differ.
    """
    database, queries = manifest.rows_of("database"), manifest.rows_of("query")
    for rows, role in ((database, "database"), (queries, "query")):
        if not len(rows):
            raise InvalidError(f"{manifest.info.name} has no {role} images; set their role")
    _check_zones(manifest)
    positions = _positions(manifest)
    unknown = np.isnan(positions[np.concatenate([database, queries])]).any(axis=1)
    if unknown.any():
        raise InvalidError(
            f"{unknown.sum()} database or query images of {manifest.info.name} have no position; "
            "give easting and northing, or lat and lon"
        )
    positives = within_radius(
        positions[database], positions[queries], manifest.info.positive_radius_m
    )
    return Task(database, queries, positives)


def within_radius(
    database: Float[np.ndarray, "database 2"],
    queries: Float[np.ndarray, "queries 2"],
    radius_m: float,
) -> list[Int[np.ndarray, " _"]]:
    """Database rows at most `radius_m` metres from each query, ascending."""
    found = cKDTree(database).query_ball_point(queries, radius_m, return_sorted=True)
    return [np.asarray(rows, dtype=np.int64) for rows in found]


def same_place(
    manifest: Manifest,
) -> Callable[[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]], Bool[np.ndarray, " pairs"]]:
    """Give a function that says of pairs of images whether they may show one place.

    They do if their place_id is equal or they were taken within the positive radius; they may if
    neither is known of the pair.

    Raises:
        InvalidError: the manifest has neither place_id nor positions.
    """
    places, metres = manifest.column("place_id"), _positions(manifest)
    named = np.array([place is not None for place in places])
    if not named.any() and np.isnan(metres).all():
        raise InvalidError(
            f"{manifest.info.name} has neither place_id nor positions, so no image is known to "
            "show another place"
        )

    def compare(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        gaps = np.linalg.norm(metres[rows] - metres[others], axis=1)
        far = gaps > manifest.info.positive_radius_m  # false where a position is unknown
        apart = places[rows] != places[others]
        both_named = named[rows] & named[others]
        different = np.where(both_named, apart & (far | np.isnan(gaps)), far)
        same: np.ndarray = ~different.astype(bool)
        return same

    return compare


def _positions(manifest: Manifest) -> Float[np.ndarray, "images 2"]:
    return np.stack([manifest.column("easting"), manifest.column("northing")], axis=1)


def _check_zones(manifest: Manifest) -> None:
    """Coordinates of two UTM zones look alike and are hundreds of kilometres apart."""
    roles = manifest.column("role")
    pairs = zip(zone_numbers(manifest), roles, strict=True)
    numbers = {number for number, role in pairs if role and number}
    if len(numbers) > 1:
        raise InvalidError(
            f"database and queries of {manifest.info.name} lie in UTM zones "
            f"{', '.join(sorted(numbers))}; project them into one, or make a manifest for each"
        )
