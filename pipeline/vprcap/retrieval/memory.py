"""The memory budget of building and searching an index: what was promised, what is left of it.

A budget is for the process as a whole, as the operating system counts it: interpreter, libraries
and weights that are loaded already take part of it, and blocks are cut to fit the rest.
"""

import os
import re
from pathlib import Path

from vprcap.errors import InvalidError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])(i?)B?", re.IGNORECASE)
_POWERS = "KMGT"
_STATM = Path("/proc/self/statm")
_UNKNOWN_RESIDENT = 500 * 10**6
"""Assumed where the operating system does not say: Python with torch loaded."""


def parse_size(text: str) -> int:
    """Read a number of bytes such as ``500MB``, ``2GB`` or ``1.5GiB``.

    Raises:
        InvalidError: it is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidError(f"{text!r} is not an amount of memory; write it as 500MB or 2GB")
    number, unit, binary = found.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** (_POWERS.index(unit.upper()) + 1))


def show_size(num_bytes: float) -> str:
    """Write a number of bytes as `parse_size` reads it, rounded up: ``640MB``, ``2.1GB``."""
    if num_bytes <= 999 * 10**6:
        return f"{-(-num_bytes // 10**6):.0f}MB"
    return f"{-(-num_bytes // 10**8) / 10:g}GB"


def resident_bytes() -> int:
    """Memory that this process holds now."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return _UNKNOWN_RESIDENT
    return pages * os.sysconf("SC_PAGE_SIZE")


def left_of(budget: int, needed: int, what: str) -> int:
    """Bytes of a budget that are still free; at least `needed`.

    Args:
        budget: bytes for the whole process.
        needed: bytes that the work at hand cannot do without.
        what: the work, as the message names it.

    Raises:
        InvalidError: less than that is left.
    """
    resident = resident_bytes()
    if budget - resident < needed:
        raise InvalidError(
            f"--memory {show_size(budget)} is too little: {what} needs {show_size(needed)} beside "
            f"the {show_size(resident)} that are loaded; "
            f"say --memory {show_size((resident + needed) * 1.02)} or more"
        )
    return budget - resident
