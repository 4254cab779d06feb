"""Rows of somebody else's caption file, and the rows that are none.

A reader gives both: a row that cannot be read is named by its line, never skipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vprcap.errors import MissingError

PATH_COLUMNS = ("image_path", "path", "image")
TEXT_COLUMNS = ("description", "caption", "text")


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """A caption and the name of the image that it describes."""

    line: int
    """Where it begins, counted from 1 with the header."""
    name: str
    text: str
    """Without blanks around it; may be empty."""


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """Lines that are no row."""

    first: int
    last: int
    reason: str

    def __str__(self) -> str:
        """Say where and why."""
        where = (
            f"line {self.first}" if self.first == self.last else f"lines {self.first}-{self.last}"
        )
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class CaptionFile:
    """All that a file holds."""

    path: Path
    rows: list[CaptionRow] = field(default_factory=list)
    damaged: list[DamagedRow] = field(default_factory=list)


def find_columns(path: Path, header: Sequence[str]) -> tuple[int, int]:
    """Find the columns of image and text.

    Raises:
        MissingError: one is not there.
    """
    names = [name.strip().lower() for name in header]
    image, text = (
        next((names.index(name) for name in known if name in names), None)
        for known in (PATH_COLUMNS, TEXT_COLUMNS)
    )
    if image is None or text is None:
        found = ", ".join(ascii(name)[1:-1] for name in header[:8]) or "nothing"
        raise MissingError(
            f"{path} needs the columns image_path and description in its first line, and has: "
            f"{found}"
        )
    return image, text
