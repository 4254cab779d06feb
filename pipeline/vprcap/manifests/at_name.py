"""The field's ``@`` file name: a photograph's position written into its name.

``@easting@northing@zone_number@zone_letter@lat@lon@pano_id@tile@heading@pitch@roll@height@time@note@.jpg``

Only the *name* is parsed, never the folders above it, so an ``@`` in a parent folder does no
harm. Evaluators need the first two fields; the others may be empty. Whole columns of names are read
by `vprcap.manifests.layouts.at`. (Format: VPR-datasets-downloader, MIT.)
"""

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from vprcap.errors import InvalidError

NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
ZONE_NUMBER = r"^(0?[1-9]|[1-5][0-9]|60)$"
FIELDS = {"easting": 1, "northing": 2, "zone_number": 3, "zone_letter": 4, "heading": 9}
"""Where a name split at its @ has the fields that vprcap uses; part 0 is empty."""


@dataclass(frozen=True, slots=True)
class AtName:
    """The fields of an ``@`` name."""

    easting: float
    """Metres."""
    northing: float
    """Metres."""
    zone: str | None = None
    """UTM zone as number and letter, e.g. ``17T``."""
    lat: float | None = None
    lon: float | None = None
    pano_id: str | None = None
    tile: int | None = None
    heading_deg: float | None = None
    note: str | None = None


def parse_at_name(name: str) -> AtName:
    """Read the fields out of a file name.

    Raises:
        InvalidError: the name has not the ``@`` form or its position is not a number.
    """
    parts = PurePosixPath(name).name.split("@")
    if len(parts) < 3 or parts[0]:
        raise InvalidError(
            f"{name!r} is not an @easting@northing@... name; rename it or use a table"
        )
    fields = parts[1:-1] + [""] * 14
    easting, northing = _number(fields[0]), _number(fields[1])
    if easting is None or northing is None:
        raise InvalidError(f"{name!r} has no numeric easting and northing after the first two @")
    tile = _number(fields[7])
    return AtName(
        easting,
        northing,
        f"{int(fields[2])}{fields[3]}" if re.fullmatch(ZONE_NUMBER, fields[2]) else None,
        _number(fields[4]),
        _number(fields[5]),
        fields[6] or None,
        None if tile is None else int(tile),
        _number(fields[8]),
        fields[13] or None,
    )


def _number(text: str) -> float | None:
    value = float(text) if re.fullmatch(NUMBER, text, re.ASCII) else math.inf
    return value if math.isfinite(value) else None


def format_at_name(fields: AtName, suffix: str = ".jpg") -> str:
    """Write a file name in the field's widths; what is None is left empty.

    Metres are rounded to centimetres, degrees of latitude and longitude to five decimals, and
    headings to whole degrees.

    Raises:
        InvalidError: a text field holds an ``@`` or a ``/``, or the position is not finite.
    """
    texts = (fields.zone, fields.pano_id, fields.note, suffix)
    bad = [text for text in texts if text and not {"@", "/", "\0"}.isdisjoint(text)]
    if bad:
        raise InvalidError(f"{bad[0]!r} cannot be part of an @ name; leave out @, / and NUL")
    if not (math.isfinite(fields.easting) and math.isfinite(fields.northing)):
        raise InvalidError("an @ name needs a finite easting and northing")
    zone = re.fullmatch(r"([0-9]*)(.*)", fields.zone or "", re.DOTALL)
    assert zone is not None  # both parts may be empty
    parts = (
        f"{fields.easting:010.2f}",
        f"{fields.northing:010.2f}",
        *zone.groups(),
        _padded(fields.lat, "09.5f"),
        _padded(fields.lon, "010.5f"),
        fields.pano_id or "",
        _padded(fields.tile, "02d"),
        _padded(fields.heading_deg, "03.0f"),
        *("", "", "", ""),  # pitch, roll, height, time: nothing that vprcap knows
        fields.note or "",
        suffix,
    )
    return "@" + "@".join(parts)


def _padded(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
