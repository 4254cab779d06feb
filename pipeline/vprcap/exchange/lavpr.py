"""Captions as LaVPR keeps them: a CSV with the columns ``image_path`` and ``description``.

LaVPR's own reader drops rows that it cannot parse. Here such a row is named by its lines: a quote
that is never closed swallows whole paragraphs, and their images would be without captions.
(Columns: oferidan1/LaVPR, its readers of captions.)
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from vprcap.errors import InvalidError, first_line
from vprcap.exchange.caption_rows import CaptionFile, CaptionRow, DamagedRow, find_columns
from vprcap.files import replacing

_HEADER = ("image_path", "description")


def read_lavpr(path: Path) -> CaptionFile:
    """Read a caption CSV, UTF-8 with or without a byte order mark.

    Raises:
        MissingError: a column is not there.
        InvalidError: it is no text at all.
    """
    read = CaptionFile(path)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            lines = _records(stream, read.damaged)
            _, _, header = next(lines, (0, 0, []))
            columns = find_columns(path, header)
            for first, last, fields in lines:
                reason = _damage(fields, len(header))
                if reason is None:
                    name, text = (fields[column] for column in columns)
                    read.rows.append(CaptionRow(first, name, text.strip()))
                else:
                    read.damaged.append(DamagedRow(first, last, reason))
    except OSError as problem:
        raise InvalidError(f"{path} cannot be read ({first_line(problem)})") from None
    return read


def _records(
    stream: Iterable[str], damaged: list[DamagedRow]
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield first line, last line and fields of each record; go on behind a damaged one."""
    reader = csv.reader(stream, strict=True)
    last = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            damaged.append(DamagedRow(last + 1, reader.line_num, first_line(problem)))
        else:
            if fields:
                yield last + 1, reader.line_num, fields
        last = reader.line_num


def _damage(fields: list[str], num_fields: int) -> str | None:
    """Say why fields are no row, if they are none."""
    if len(fields) != num_fields:
        return f"{len(fields)} fields instead of {num_fields}"
    if any("\udc80" <= letter <= "\udcff" for field in fields for letter in field):
        return "not UTF-8"
    return None


def write_lavpr(path: Path, captions: Iterable[tuple[str, str]]) -> Path:
    """Write pairs of image id and caption as a caption CSV, whole or not at all."""
    if path.is_dir():
        raise InvalidError(f"{path} is a folder; name a CSV file")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows(captions)
    return path
