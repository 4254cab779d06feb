"""Where the files that ship with vprcap are: prompts and dataset recipes.

In a wheel they lie in a folder of the package; in a checkout at the top level, where people read
and edit them. This is the only module that knows.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(folder: str) -> Path:
    """Return the folder ``prompts`` or ``manifests`` that belongs to this installation."""
    inside = _PACKAGE / "shipped" / folder
    return inside if inside.is_dir() else _PACKAGE.parents[1] / folder
