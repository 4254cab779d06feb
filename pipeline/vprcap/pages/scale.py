"""Round numbers for axes and scale bars."""

import math


def round_below(value: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (5, 2, 1) if step * power <= value * (1 + 1e-9))


def metres(distance: float) -> str:
    """Write a distance: ``7.5 m``, ``25.3 m``, ``240 m``, ``3.2 km``."""
    if distance < 99.95:
        return f"{distance:.1f} m"
    return f"{distance:.0f} m" if distance < 999.5 else f"{distance / 1000:,.1f} km"
