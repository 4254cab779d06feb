"""Which image files lie below a folder."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vprcap.errors import InvalidError, MissingError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
_ROLE_OF_FOLDER = {"database": "database", "queries": "query", "query": "query"}


def image_ids_below(root: Path, folder: str = ".") -> list[str]:
    """List the images below `root/folder` as sorted ids relative to `root`.

    Symbolic links to folders are not followed, so a loop cannot trap the walk. The folders that
    vprcap itself writes (`captions`, `features`) and hidden ones are passed over.

    Raises:
        MissingError: there is no such folder.
        InvalidError: a file name is not UTF-8.
    """
    start = root / folder
    if not start.is_dir():
        raise MissingError(f"no folder {start}; check the path")
    return sorted(_walk(root, start))


def _walk(root: Path, start: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(start):
        own = Path(parent) == root
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not (own and name in ("captions", "features"))
        )
        for name in files:
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield _image_id(root, Path(parent, name))


def _image_id(root: Path, path: Path) -> str:
    image_id = path.relative_to(root).as_posix()
    try:
        image_id.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(image_id).decode("utf-8", "backslashreplace")
        raise InvalidError(f"file name {shown} is not UTF-8; rename it") from None
    return image_id


def role_of(image_id: str) -> str | None:
    """Read the role off the nearest folder named ``database``, ``queries`` or ``query``."""
    for folder in reversed(PurePosixPath(image_id).parts[:-1]):
        if folder in _ROLE_OF_FOLDER:
            return _ROLE_OF_FOLDER[folder]
    return None
