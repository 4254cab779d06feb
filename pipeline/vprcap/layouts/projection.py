"""Degrees to metres: WGS84 latitude and longitude to UTM, each row in the zone it lies in."""

import pyarrow as pa

from vprcap.errors import InvalidError


def to_utm(lat: pa.Array, lon: pa.Array) -> dict[str, pa.Array]:
    """Project degrees to the manifest's easting and northing (metres) and zone; null stays null.

    Raises:
        InvalidError: a latitude or longitude is out of range.
    """
    import utm  # a third of a second: only sets in degrees pay for it

    degrees = zip(lat.to_pylist(), lon.to_pylist(), strict=True)
    try:
        rows = [(None,) * 4 if None in pair else utm.from_latlon(*pair) for pair in degrees]
    except utm.OutOfRangeError as problem:
        raise InvalidError(f"lat/lon out of range: {problem}; are the columns swapped?") from None
    zones = [None if row[2] is None else f"{row[2]}{row[3]}" for row in rows]
    return {
        "easting": pa.array([row[0] for row in rows], pa.float64()),
        "northing": pa.array([row[1] for row in rows], pa.float64()),
        "zone": pa.array(zones, pa.string()),
    }
