"""Which image files lie below a folder.

One listing call a folder and whole columns from there on: a set has more names than anything else,
and a path object for each would cost more than reading the disk.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from vprcap.errors import InvalidError, MissingError, first_line

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
_LONGEST = max(map(len, _SUFFIXES))
_ROLE_OF_FOLDER = {"database": "database", "queries": "query", "query": "query"}
_NEAREST_ROLE_FOLDER = r"(?s)^(?:.*/)?(?P<folder>database|queries|query)/"


def image_ids_below(root: Path, folder: str = ".") -> list[str]:
    """List the images below `root/folder` as sorted ids relative to `root`; see `images_below`."""
    ids: list[str] = images_below(root, folder).to_pylist()
    return ids


def images_below(root: Path, folder: str = ".") -> pa.Array:
    """List the images below `root/folder` as a sorted column of ids relative to `root`.

    Symbolic links to folders are not followed, so a loop cannot trap the walk. The folders that
    vprcap itself writes (`captions`, `features`) and hidden ones are passed over.

    Raises:
        MissingError: there is no such folder.
        InvalidError: it leaves `root`, a folder cannot be read, or a file name is not UTF-8.
    """
    start = PurePosixPath(folder)
    if start.is_absolute() or ".." in start.parts:
        raise InvalidError(f"folder {folder!r} leaves {root}; name one below it")
    if not (root / start).is_dir():
        raise MissingError(f"no folder {root / start}; check the path")
    parts = [_column(parent, names) for parent, names in _walk(root, "/".join(start.parts))]
    found = pa.concat_arrays([pa.array([], pa.string()), *parts])
    return found.take(pc.sort_indices(found))


def _walk(root: Path, start: str) -> Iterator[tuple[str, list[str]]]:
    """Yield folders relative to `root` ("" is itself) with the names of their images."""
    waiting = [start]
    while waiting:
        parent = waiting.pop()
        folders, names = _list(root / parent)
        own = ("captions", "features") if not parent else ()
        waiting += [
            f"{parent}/{name}" if parent else name
            for name in folders
            if not name.startswith(".") and name not in own
        ]
        if names:
            yield parent, names


def _list(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the images in a folder."""
    folders, names = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif not (entry.is_symlink() and os.path.isdir(entry.path)):
                    names.append(entry.name)
    except OSError as problem:
        raise InvalidError(
            f"cannot read folder {ascii(str(folder))}: {problem.strerror or first_line(problem)}; "
            "make it readable, or move it out of the images"
        ) from None
    return folders, [name for name in names if _is_image(name)]


def _is_image(name: str) -> bool:
    return name[-_LONGEST:].lower().endswith(_SUFFIXES) and name[0] != "."


def _column(parent: str, names: list[str]) -> pa.Array:
    try:
        if not parent:
            return pa.array(names, pa.string())
        return pc.binary_join_element_wise(parent, pa.array(names, pa.string()), "/")
    except (UnicodeEncodeError, pa.ArrowInvalid):
        ids = [f"{parent}/{name}" if parent else name for name in names]
        shown = next(filter(None, map(_not_utf8, sorted(ids))))
        raise InvalidError(f"file name {shown} is not UTF-8; rename it") from None


def _not_utf8(image_id: str) -> str | None:
    try:
        image_id.encode()
    except UnicodeEncodeError:
        return os.fsencode(image_id).decode("utf-8", "backslashreplace")
    return None


def roles_of(image_ids: pa.Array) -> pa.Array:
    """Read each role off the nearest folder named ``database``, ``queries`` or ``query``."""
    folders = pc.extract_regex(image_ids, _NEAREST_ROLE_FOLDER)
    return pc.replace_substring_regex(pc.struct_field(folders, "folder"), "^queries$", "query")
