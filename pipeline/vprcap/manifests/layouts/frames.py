"""Layouts whose ground truth is a number: of a frame along a traversal, or of a place.

The number is the one in a file's name, or a name's place in a published list, and never its place
in a sorted folder: the summer and the winter archive of Nordland hold different files, and sorting
each of them shifts one against the other without a word. A file that is missing then leaves a hole
in the count of images, and every other frame stays where it is.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.layouts.at import read_at
from vprcap.manifests.layouts.folder import image_ids_below

logger = logging.getLogger(__name__)

Row = tuple[str, str, int]
"""image_id, role, number."""

_NUMBER = re.compile(r"[0-9]+")
_SECTION = 10**12
"""Far above every number in a name, so that two sections of a traversal never touch."""


def read_frames(
    root: Path,
    database: Sequence[str],
    queries: Sequence[str],
    query_stride: int = 1,
    number: str = "frame",
) -> dict[str, pa.Array]:
    """Read folders of numbered images, such as ``ref/0000010.jpg`` and ``query/0000001.jpg``.

    Args:
        root: the dataset's folder; ids are relative to it.
        database: folders of database images. Of several, each is a section of the traversal that
            does not touch the next.
        queries: folders of queries, section by section as in `database`.
        query_stride: query k was taken at database frame k times this.
        number: what the number is: the ``frame`` along a traversal, or the ``place_id`` of places
            that do not follow one another.

    Raises:
        MissingError: a folder is not there.
        InvalidError: a file's name has no number.
    """
    rows = [
        *_numbered(root, database, "database", stride=1),
        *_numbered(root, queries, "query", query_stride),
    ]
    return _columns(rows, number)


def _numbered(root: Path, folders: Sequence[str], role: str, stride: int) -> Iterator[Row]:
    for section, folder in enumerate(folders):
        for image_id in image_ids_below(root, folder):
            yield image_id, role, section * _SECTION + stride * number_of(image_id)


def number_of(image_id: str) -> int:
    """Read the last number in a file's name: 202 of ``images-00202.png``.

    Raises:
        InvalidError: there is none.
    """
    digits = _NUMBER.findall(PurePosixPath(image_id).stem)
    if not digits or len(digits[-1].lstrip("0")) > 9:
        raise InvalidError(
            f"{image_id!r} has no number of up to nine digits in its name, which says its frame; "
            "move it out of the folder if it does not belong to the dataset"
        )
    return int(digits[-1])


def read_named_frames(
    root: Path, database: str, queries: str, lists: Sequence[str]
) -> dict[str, pa.Array]:
    """Read two folders whose frames are listed: an image's frame is its name's place in the list.

    Images that are not listed are left out; a listed name that a folder lacks is warned of.

    Args:
        root: the dataset's folder; ids are relative to it.
        database: folder of the database traversal.
        queries: folder of the query traversal, with the same file names.
        lists: text files with a name a line, such as ``cleanImageNames.txt``. Folders before a name
            are passed over. Several files (one for each traversal) must list the same names.

    Raises:
        MissingError: a folder or list is not there.
        InvalidError: a list names an image twice, or two lists differ.
    """
    frames = {name: frame for frame, name in enumerate(_listed(root, lists))}
    rows = [*_found(root, database, "database", frames), *_found(root, queries, "query", frames)]
    return _columns(rows, "frame")


def _found(root: Path, folder: str, role: str, frames: dict[str, int]) -> Iterator[Row]:
    present = {PurePosixPath(image_id).name: image_id for image_id in image_ids_below(root, folder)}
    lacking = [name for name in frames if name not in present]
    if lacking:
        logger.warning(
            "%s lacks %d of %d listed images, first %s",
            folder,
            len(lacking),
            len(frames),
            lacking[0],
        )
    for name, frame in frames.items():
        if name in present:
            yield present[name], role, frame


def _listed(root: Path, lists: Sequence[str]) -> list[str]:
    if not lists:
        raise InvalidError("the recipe names no list of frames; say lists = [...]")
    names, *others = [_names(root / path) for path in lists]
    for path, other in zip(lists[1:], others, strict=True):
        if other != names:
            raise InvalidError(
                f"{root / lists[0]} and {path} do not list the same images in the same order "
                f"({_first_difference(names, other)}), so their frames are misaligned; get both "
                "from one release"
            )
    return names


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (FileNotFoundError, IsADirectoryError):
        raise MissingError(f"no list of frames {path}; it comes with the dataset") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidError(f"cannot read the list {path} ({problem}); get it again") from None
    names = [PurePosixPath(line.strip()).name for line in lines if line.strip()]
    repeated = len(names) - len(set(names))
    if repeated:
        raise InvalidError(f"{path} lists {repeated} names twice; each frame has a name of its own")
    return names


def _first_difference(names: list[str], others: list[str]) -> str:
    for line, (name, other) in enumerate(zip(names, others, strict=False), start=1):
        if name != other:
            return f"line {line}: {name!r} and {other!r}"
    return f"{len(names)} and {len(others)} names"


def read_at_frames(
    root: Path, folder: str, metres_apart: float, number: str = "frame"
) -> dict[str, pa.Array]:
    """Read ``@`` names whose position is invented: `metres_apart` from one number to the next.

    Rounded metres put a pair on the wrong side of a radius; the number they stand for does not.

    Args:
        root: the dataset's folder; ids are relative to it.
        folder: holds ``database/`` and ``queries/``.
        metres_apart: northing of number 1.
        number: as in `read_frames`.

    Raises:
        MissingError: there is no such folder.
        InvalidError: a northing is no multiple of `metres_apart`, to the decimetre.
    """
    if not metres_apart > 0:
        raise InvalidError(f"metres_apart = {metres_apart} in the recipe; it must be above 0")
    columns = read_at(root, folder)
    northings = columns["northing"].to_numpy()
    numbers = np.rint(northings / metres_apart)
    # Some releases cut the metres off after one decimal, others round them.
    off = np.flatnonzero(
        (np.abs(northings - numbers * metres_apart) > 0.1 + 1e-6) | (numbers >= _SECTION)
    )
    image_ids: list[str] = columns["image_id"].to_pylist()
    if len(off):
        first = min(image_ids[row] for row in off)
        raise InvalidError(
            f"{first!r} and {len(off) - 1} others are at no multiple of "
            f"{metres_apart:.3f} m, which is how this protocol numbers its images; they are of "
            "another one"
        )
    roles: list[str] = columns["role"].to_pylist()
    frames: list[int] = numbers.astype(np.int64).tolist()
    return _columns(list(zip(image_ids, roles, frames, strict=True)), number)


def _columns(rows: Sequence[Row], number: str) -> dict[str, pa.Array]:
    """Make manifest columns; `number` goes to the column that the recipe names."""
    numbers: pa.Array = pa.array([of for _, _, of in rows], pa.int64())
    if number not in ("frame", "place_id"):
        raise InvalidError(f"number = {number!r} in the recipe; say 'frame' or 'place_id'")
    return {
        "image_id": pa.array([image_id for image_id, _, _ in rows], pa.string()),
        "role": pa.array([role for _, role, _ in rows], pa.string()),
        number: numbers if number == "frame" else numbers.cast(pa.string()),
    }
