"""The field's ``@`` file name: a photograph's position written into its name.

``@easting@northing@zone_number@zone_letter@lat@lon@pano_id@tile@heading@pitch@roll@height@time@note@.jpg``

Only the *name* is parsed, never the folders above it, so an ``@`` in a parent folder does no
harm. Evaluators need the first two fields; the others may be empty. (Format: VPR-datasets-
downloader, MIT.)
"""

import math
from dataclasses import dataclass
from pathlib import PurePosixPath

from vprcap.errors import InvalidError

NUM_PARTS = 16


@dataclass(frozen=True, slots=True)
class AtName:
    """Fields of an ``@`` name that vprcap uses."""

    easting: float
    """Metres."""
    northing: float
    """Metres."""
    zone: str | None
    """UTM zone as number and letter, e.g. ``17T``."""
    pano_id: str | None
    heading_deg: float | None


def parse_at_name(name: str) -> AtName:
    """Read the position out of a file name.

    Raises:
        InvalidError: the name has not the ``@`` form or its position is not a number.
    """
    parts = PurePosixPath(name).name.split("@")
    if len(parts) < 3 or parts[0]:
        raise InvalidError(
            f"{name!r} is not an @easting@northing@... name; rename it or use a table"
        )
    fields = parts[1:-1] + [""] * NUM_PARTS
    easting, northing = _number(fields[0]), _number(fields[1])
    if easting is None or northing is None:
        raise InvalidError(f"{name!r} has no numeric easting and northing after the first two @")
    zone = f"{int(fields[2])}{fields[3]}" if fields[2].isdecimal() else None
    return AtName(easting, northing, zone, fields[6] or None, _number(fields[8]))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
