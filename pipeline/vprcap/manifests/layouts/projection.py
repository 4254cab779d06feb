"""Degrees to metres: WGS84 latitude and longitude to UTM, each row in the zone it lies in.

The projection of a zone is one formula for a whole column. Zones change only where a degree begins
(Norway and Svalbard included), so a zone is asked for once for each square degree.
"""

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from vprcap.errors import InvalidError

Degrees = Float[np.ndarray, " rows"]


def to_utm(lat: pa.Array, lon: pa.Array) -> dict[str, pa.Array]:
    """Project degrees to the manifest's easting and northing (metres) and zone; null stays null.

    Raises:
        InvalidError: a latitude or longitude is out of range.
    """
    lats, lons = (column.to_numpy(zero_copy_only=False) for column in (lat, lon))
    known = ~(np.isnan(lats) | np.isnan(lons))
    _check_range(lats[known], lons[known])
    metres, zone_of_row = np.full((2, len(lats)), np.nan), np.zeros(len(lats), dtype=np.int64)
    metres[:, known], zone_of_row[known], zones = _project(lats[known], lons[known])
    return {
        "easting": pa.array(metres[0], from_pandas=True),
        "northing": pa.array(metres[1], from_pandas=True),
        "zone": pa.array(zones, pa.string()).take(pa.array(zone_of_row, mask=~known)),
    }


def _check_range(lats: Degrees, lons: Degrees) -> None:
    wrong = (lats < -80) | (lats > 84) | (np.abs(lons) > 180)
    if wrong.any():
        first = np.argmax(wrong)
        raise InvalidError(
            f"lat {lats[first]:g}, lon {lons[first]:g} is out of range (UTM knows 80 S to 84 N and "
            "180 W to 180 E); are the columns swapped?"
        )


def _project(
    lats: Degrees, lons: Degrees
) -> tuple[Float[np.ndarray, "2 rows"], Int[np.ndarray, " rows"], list[str]]:
    """Easting and northing, and which of the zones that are returned last."""
    import utm  # a third of a second: only sets in degrees pay for it

    squares = _square_degrees(lats, lons)
    _, firsts, square_of_row = np.unique(squares, return_index=True, return_inverse=True)
    numbers = [utm.latlon_to_zone_number(lats[row], lons[row]) for row in firsts]
    letters = [utm.latitude_to_zone_letter(lats[row]) for row in firsts]
    zones = list(zip(numbers, letters, strict=True))
    # Metres run on from one letter to the next, but for the equator.
    halves = np.array([(number, letter >= "N") for number, letter in zones]).reshape(-1, 2)
    metres = np.empty((2, len(lats)))
    for number, northern in np.unique(halves, axis=0):
        rows = (halves == (number, northern)).all(axis=1)[square_of_row]
        metres[:, rows] = utm.from_latlon(
            lats[rows], lons[rows], int(number), force_northern=bool(northern)
        )[:2]
    return metres, square_of_row, [f"{number}{letter}" for number, letter in zones]


def _square_degrees(lats: Degrees, lons: Degrees) -> np.ndarray:
    """One number for each square degree, so that all of its points are in one zone.

    Where a sum of the library rounds up to the next degree, the point is in a square of its own.
    """
    lons = (lons % 360 + 540) % 360 - 180
    squares = np.floor(lats) * 360 + np.floor(lons)
    rounded = 2 * (np.floor(lats + 80) - np.floor(lats) - 80)
    rounded += np.floor(lons + 180) - np.floor(lons) - 180
    numbers: np.ndarray = (4 * squares + rounded).astype(np.int64)
    return numbers
