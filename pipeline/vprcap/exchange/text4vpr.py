"""Captions as Text4VPR keeps those of Street360Loc: an Excel sheet, one row a view.

Its columns are ``index`` (of the place), ``pos`` (of the view), ``x``, ``y``, ``z`` and
``text_description``; the image of a row is ``000012_3.jpg`` for index 12 and pos 3. A sheet with
the columns of a caption CSV is read as well. (Columns and names: nuozimiaowu/Text4VPR, its loader.)
"""

import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from vprcap.errors import DependencyError, InvalidError, first_line
from vprcap.exchange.caption_rows import CaptionFile, CaptionRow, DamagedRow, find_columns

_LARGEST_BYTES = 2 * 10**9
"""Of a workbook once it is unpacked; a few kilobytes can be made to unpack to anything."""
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ParseError,
)
"""What openpyxl raises for a workbook that is damaged, encrypted or begins with a chart sheet."""


def read_text4vpr(path: Path) -> CaptionFile:
    """Read the first sheet of a workbook.

    Raises:
        DependencyError: openpyxl is not installed.
        InvalidError: it is no workbook, or unpacks to more than fits.
        MissingError: a column is not there.
    """
    try:
        import openpyxl
    except ImportError:
        raise DependencyError(
            "reading .xlsx needs openpyxl; install it with `pip install 'vprcap[xlsx]'`"
        ) from None
    read = CaptionFile(path)
    try:
        _check_size(path)
        with warnings.catch_warnings(action="ignore"):  # of styles, which nobody reads here
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                sheet = book.worksheets[0]
                sheet.reset_dimensions()  # what a writer says of the size may be too small
                _read_sheet(read, enumerate(sheet.iter_rows(values_only=True), 1))
            finally:
                book.close()
    except _DAMAGES as problem:
        raise InvalidError(
            f"{path} is no readable workbook ({first_line(problem)}); save the sheet of the "
            "captions alone, as .xlsx or CSV"
        ) from None
    return read


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > _LARGEST_BYTES:
        raise InvalidError(
            f"{path} unpacks to {size:,} bytes, more than the {_LARGEST_BYTES:,} that are read; "
            "save it as CSV"
        )


def _read_sheet(read: CaptionFile, rows: Iterator[tuple[int, Sequence[Any]]]) -> None:
    _, header = next(rows, (1, ()))
    names = [str(cell or "") for cell in header]
    name_of, text = _columns(read.path, names)
    for line, cells in rows:
        if all(cell is None for cell in cells):
            continue
        name = name_of(cells)
        if name is None:
            read.damaged.append(DamagedRow(line, line, "no name of an image"))
        else:
            caption = cells[text] if text < len(cells) else None
            read.rows.append(
                CaptionRow(line, name, str("" if caption is None else caption).strip())
            )


def _columns(path: Path, names: list[str]) -> tuple[Callable[[Sequence[Any]], str | None], int]:
    """Say how the name of an image is found in a row, and in which column its text."""
    places = {name.strip().lower(): column for column, name in enumerate(names)}
    if {"index", "pos", "text_description"} <= places.keys():
        index, pos = places["index"], places["pos"]
        return lambda cells: _view(cells, index, pos), places["text_description"]
    image, text = find_columns(path, names)
    return lambda cells: str(cells[image]) if image < len(cells) and cells[image] else None, text


def _view(cells: Sequence[Any], index: int, pos: int) -> str | None:
    """Name the file of a view; numbers may be whole floats, as Excel likes to keep them."""
    try:
        numbers = [cells[index], cells[pos]]
        place, view = (int(number) for number in numbers)
        if [place, view] != [float(number) for number in numbers] or min(place, view) < 0:
            return None
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return f"{place:06}_{view}.jpg"
