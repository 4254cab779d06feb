"""Captions beside their images, of one set or of two side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vprcap.caption_sets.blocks import Blocks
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import status_counts
from vprcap.caption_sets.qa import FLAGS
from vprcap.errors import InvalidError
from vprcap.files import read_json
from vprcap.pages.differences import Piece, differences
from vprcap.pages.pictures import Thumbnail

THUMBNAIL_SIDE = 256
Row = Mapping[str, Any]
"""A row of a caption set."""
PictureOf = Callable[[int, Row], Thumbnail]
"""Gives the picture of a row and its position."""
_COLUMNS = (
    *("image_id", "caption", "status", "error", "finish_reason", "qa_flags"),
    *("image_width", "image_height", "num_output_tokens", "copied_from"),
)


@dataclass(frozen=True, slots=True)
class Text:
    """What one set says of an image."""

    pieces: list[Piece]
    """Empty where there is no caption."""
    status: str
    error: str | None
    flags: list[str]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """One image."""

    position: int
    image_id: str
    picture: Thumbnail
    texts: list[Text | None]
    """Of each set; None where the second has no such image."""
    different: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """Caption sets that are looked at, and where their images are."""

    captions: CaptionSet
    blocks: Blocks
    images: Path
    follow_links: bool = False
    """Whether images may be links out of the image root."""
    other: CaptionSet | None = None
    other_blocks: Blocks | None = None

    def rows(self, positions: Sequence[int], picture: PictureOf) -> list[CaptionRow]:
        """Read the rows at some positions of the first set, ascending."""
        own = self.blocks.take(positions, _COLUMNS)
        ids = [row["image_id"] for row in own]
        others = self.other_blocks.find(ids, _COLUMNS) if self.other_blocks else {}
        return [
            self._row(position, row, others.get(row["image_id"]), picture)
            for position, row in zip(positions, own, strict=True)
        ]

    def _row(self, position: int, row: Row, other: Row | None, picture: PictureOf) -> CaptionRow:
        one, two = row["caption"], other["caption"] if other else None
        if one and two:
            left, right = differences(one, two)
        else:
            left, right = [Piece(one or "", False)], [Piece(two or "", False)]
        texts: list[Text | None] = [_text(row, left)]
        if self.other is not None:
            texts.append(_text(other, right) if other else None)
        different = any(piece.changed for piece in left + right)
        return CaptionRow(position, row["image_id"], picture(position, row), texts, different)

    def heading(self) -> dict[str, Any]:
        """Say what is looked at: names, configurations and counts of the sets."""
        sets = [_about(each) for each in (self.captions, self.other) if each is not None]
        return {
            "name": self.captions.root.name,
            "sets": sets,
            "num_rows": self.blocks.num_rows,
            "statuses": list(sets[0]["statuses"]),
            "flags": FLAGS,
        }


def _about(captions: CaptionSet) -> dict[str, Any]:
    config = read_json(captions.config_json)
    if not isinstance(config, dict):
        raise InvalidError(f"{captions.config_json} is damaged; restore it or caption elsewhere")
    told = ("model", "revision", "quantization", "prompt", "max_new_tokens", "temperature")
    return {
        "name": captions.root.name,
        "folder": str(captions.root),
        "config": {name: config.get(name) for name in told},
        "statuses": status_counts(captions.root),
    }


def _text(row: Row, pieces: list[Piece]) -> Text:
    notes = []
    if row["image_width"]:
        notes.append(f"{row['image_width']} x {row['image_height']} pixels")
    if row["num_output_tokens"]:
        notes.append(f"{row['num_output_tokens']} tokens")
    if row["finish_reason"] not in (None, "stop"):
        notes.append(f"ended by {row['finish_reason']}")
    if row["copied_from"]:
        notes.append(f"copied from {row['copied_from']}")
    written = pieces if row["caption"] else []
    return Text(written, row["status"], row["error"], row["qa_flags"] or [], notes)
