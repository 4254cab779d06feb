"""Where the files that ship with vprcap are: prompts and dataset recipes.

In a wheel they lie inside the package; in a checkout at the top level, where people read and
edit them. This is the only module that knows.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(folder: str) -> Path:
    """Return the folder ``prompts`` or ``manifests`` that belongs to this installation."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parents[1] / folder
