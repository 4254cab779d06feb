"""The rule of ground truth: when a database image shows the place of a query.

It is data, not code: a recipe states it, a manifest carries it, a report prints it. The same images
under another rule are another protocol, and recalls of two protocols cannot be compared.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vprcap.errors import InvalidError

KINDS = ("radius", "frames", "place", "listed")
MAX_FRAMES = 2**31


@dataclass(frozen=True, slots=True)
class PositiveRule:
    """What makes a positive."""

    kind: str = "radius"
    """``radius``: taken nearby; ``frames``: nearby on the traversal; ``place``: of the same
    place_id; ``listed``: named in the manifest's column ``positives``."""
    radius_m: float = 25.0
    """Metres, inclusive; of rule ``radius``."""
    heading_deg: float | None = None
    """Largest turn between the two headings, inclusive; of rule ``radius``; None is any."""
    frames: int = 0
    """Largest difference of the two frame numbers; of rule ``frames``."""

    def __post_init__(self) -> None:
        """Refuse a rule that says nothing."""
        if self.kind not in KINDS:
            raise InvalidError(
                f"rule of positives {self.kind!r} is unknown; choose {', '.join(KINDS)}"
            )
        if not 0 < self.radius_m < math.inf:
            raise InvalidError(
                f"positive radius of {self.radius_m} m; it must be above 0 and finite"
            )
        if self.heading_deg is not None and not 0 <= self.heading_deg <= 180:
            raise InvalidError(f"heading limit {self.heading_deg} is not within 0 to 180 degrees")
        if not 0 <= self.frames < MAX_FRAMES:
            raise InvalidError(f"frame tolerance {self.frames} is not within 0 to {MAX_FRAMES - 1}")

    def __str__(self) -> str:
        """Say the rule as a report prints it."""
        match self.kind:
            case "radius" if self.heading_deg is None:
                return f"positives within {self.radius_m:g} m"
            case "radius":
                return f"positives within {self.radius_m:g} m and {self.heading_deg:g} degrees"
            case "frames" if not self.frames:
                return "positives of the same frame"
            case "frames":
                return f"positives within {self.frames} frame{'s' * (self.frames > 1)}"
            case "place":
                return "positives of the same place"
            case _:
                return "positives as listed"


WITHIN_25_M = PositiveRule()
"""What the field takes where nothing else is said."""


_NUMBER = (float, int)
_STATED = {"kind": (str,), "radius_m": _NUMBER, "heading_deg": _NUMBER, "frames": (int,)}


def stated_rule(fields: Mapping[str, Any]) -> PositiveRule:
    """Make the rule that a file states, which may say anything.

    Raises:
        InvalidError: a field is unknown or of the wrong type.
    """
    for name, value in fields.items():
        if name not in _STATED:
            raise InvalidError(f"positives say {name!r:.40}; they may say {', '.join(_STATED)}")
        if type(value) not in _STATED[name]:  # True is a number to Python
            kind = _STATED[name][0].__name__
            raise InvalidError(f"{name} of the positives is {value!r:.40}, not of type {kind}")
    return PositiveRule(**fields)


def parse_rule(text: str) -> PositiveRule:
    """Read a rule as a command line states it: ``radius=25,heading=40``, ``frames=2`` or ``place``.

    Raises:
        InvalidError: it cannot be understood.
    """
    named = {"radius": "radius_m", "heading": "heading_deg", "frames": "frames"}
    parts = [part.partition("=") for part in text.split(",")]
    try:
        if text in ("place", "listed"):
            return PositiveRule(text)
        values = {named[name.strip()]: value for name, _, value in parts}
        if len(values) < len(parts):
            raise ValueError("something is said twice")
        if "frames" in values:
            (frames,) = values.values()
            return PositiveRule("frames", frames=int(frames))
        return PositiveRule(**{name: float(value) for name, value in values.items()})  # type: ignore[arg-type]
    except (KeyError, ValueError):
        raise InvalidError(
            f"rule {text!r} is not understood; say e.g. radius=25 or radius=25,heading=40, "
            "frames=2, place, or listed"
        ) from None
