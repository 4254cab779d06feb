"""Somebody else's captions joined to the images of a manifest, and the account of every row.

Each row of the file has one fate, and the counts add up to the rows: a caption that went nowhere
is seen before a recall is computed without it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vprcap.errors import InvalidError
from vprcap.exchange.caption_rows import CaptionFile, CaptionRow
from vprcap.exchange.join import Fate, Match, Names

_SHOWN = 10


@dataclass
class JoinReport:
    """What became of the rows of a caption file."""

    file: str
    images: int
    """Of the set."""
    rows: int
    """Of the file, damaged ones included; the six counts below add up to them."""
    matched: int = 0
    """Rows that gave an image its caption."""
    duplicate: int = 0
    """Rows that repeat a caption word for word."""
    empty: int = 0
    unmatched: int = 0
    """Rows that name no image of the set."""
    ambiguous: int = 0
    """Rows whose name means several images, or contradicts another row's."""
    damaged: int = 0
    """Rows that cannot be read; a quote left open makes many into one."""
    matched_by_name: int = 0
    """Of the matched, those whose folders differ from the image's."""
    images_without_caption: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    """The first rows of each fate that a reader should look at."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the report as lines, with the first examples of what went nowhere."""
        lines = [f"{self.file}: {self.rows:,} rows, {self.images:,} images"]
        named = {
            "matched": f"matched ({self.matched_by_name:,} by file name or key alone)",
            "duplicate": "duplicate, same text",
            "empty": "empty",
            "unmatched": "unmatched: they name no image",
            "ambiguous": "ambiguous: they may mean several images",
            "damaged": "damaged",
            "images_without_caption": "images without caption",
        }
        for count, label in named.items():
            lines.append(f"{getattr(self, count):>12,}  {label}")
            lines += [f"{'':>14}  {each}" for each in self.examples.get(count, [])]
        return "\n".join(lines)

    def note(self, count: str, example: str) -> None:
        """Count one more, and keep it where it is among the first."""
        setattr(self, count, getattr(self, count) + 1)
        shown = self.examples.setdefault(count, [])
        if len(shown) < _SHOWN:
            shown.append(example)


def report_from_json(stored: dict[str, Any]) -> JoinReport:
    """Read back what `JoinReport.to_json` gave."""
    return JoinReport(**stored)


def join_captions(file: CaptionFile, image_ids: Sequence[str]) -> tuple[dict[str, str], JoinReport]:
    """Give each image its caption, and account for every row.

    Raises:
        InvalidError: two rows give one image different captions, or no row names any image.
    """
    num_rows = len(file.rows) + len(file.damaged)
    report = JoinReport(file.path.name, len(image_ids), num_rows)
    for damage in file.damaged:
        report.note("damaged", str(damage))
    given: dict[int, CaptionRow] = {}
    matches = Names(image_ids).match([row.name for row in file.rows])
    for row, match in zip(file.rows, matches, strict=True):
        _give(file, row, match, given, image_ids, report)
    if not given:
        raise InvalidError(
            f"none of the {num_rows:,} rows of {file.path} gives an image a caption; "
            f"{_first(file)}, images are named like {ascii(image_ids[0])}"
        )
    report.images_without_caption = len(image_ids) - len(given)
    return {image_ids[place]: row.text for place, row in given.items()}, report


def _give(
    file: CaptionFile,
    row: CaptionRow,
    match: Match,
    given: dict[int, CaptionRow],
    image_ids: Sequence[str],
    report: JoinReport,
) -> None:
    shown = f"line {row.line}: {ascii(row.name)}"
    if match.fate in (Fate.UNMATCHED, Fate.AMBIGUOUS):
        report.note(match.fate.value, shown)
    elif not row.text:
        report.note("empty", shown)
    elif match.row not in given:
        given[match.row] = row
        report.matched += 1
        report.matched_by_name += match.fate is Fate.PARTIAL
    elif given[match.row].text == row.text:
        report.duplicate += 1
    else:
        raise InvalidError(
            f"{file.path} gives {ascii(image_ids[match.row])} two captions, in lines "
            f"{given[match.row].line} and {row.line}; keep one"
        )


def _first(file: CaptionFile) -> str:
    if file.rows:
        return f"its first image is {ascii(file.rows[0].name)}"
    return str(file.damaged[0]) if file.damaged else "it has no rows"
