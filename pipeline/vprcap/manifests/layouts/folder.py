"""Which image files lie below a folder.

One listing call a folder and whole columns from there on: a set has more names than anything else,
and a path object for each would cost more than reading the disk.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from vprcap.errors import InvalidError, MissingError, first_line

logger = logging.getLogger(__name__)

_SUFFIXES = (b".jpg", b".jpeg", b".png", b".webp", b".tif", b".tiff", b".bmp", b".gif")
_LONGEST = max(map(len, _SUFFIXES))
_NEAREST_ROLE_FOLDER = r"(?s)^(?:.*/)?(?P<folder>database|queries|query)/"


@dataclass(frozen=True, slots=True)
class Folder:
    """The images of one folder, those of folders below it not included."""

    path: str
    """Relative to the image root, with forward slashes; "" is the root itself."""
    names: pa.Array
    """File names, in no order."""

    @property
    def image_ids(self) -> pa.Array:
        """Ids relative to the image root."""
        if not self.path:
            return self.names
        return pc.binary_join_element_wise(self.path, self.names, "/")


def image_ids_below(root: Path, folder: str = ".") -> list[str]:
    """List the images below `root/folder` as sorted ids relative to `root`; see `walk`."""
    found = concatenated(part.image_ids for part in walk(root, folder))
    ids: list[str] = found.take(pc.sort_indices(found)).to_pylist()
    return ids


def concatenated(columns: Iterable[pa.Array]) -> pa.Array:
    """Put text columns below one another; of none, an empty one."""
    return pa.concat_arrays([pa.array([], pa.string()), *columns])


def walk(root: Path, folder: str = ".") -> Iterator[Folder]:
    """Yield `root/folder` and the folders below it, each with the images in it.

    Symbolic links to folders are not followed but warned of, so a loop cannot trap the walk, nor
    one image have two ids. The folders that vprcap itself writes (`captions`, `features`) and
    hidden ones are passed over.

    Raises:
        MissingError: there is no such folder.
        InvalidError: it leaves `root`, a folder cannot be read, or a file name is not UTF-8.
    """
    start = PurePosixPath(folder)
    if start.is_absolute() or ".." in start.parts:
        raise InvalidError(f"folder {folder!r} leaves {root}; name one below it")
    if not (root / start).is_dir():
        raise MissingError(f"no folder {root / start}; check the path")
    waiting, passed_over = ["/".join(start.parts)], list[str]()
    while waiting:
        path = waiting.pop()
        folders, links, names = _list(root / path)
        waiting += _wanted(path, folders)
        passed_over += _wanted(path, links)
        yield Folder(path, _images(path, names))
    if passed_over:
        logger.warning(
            "%s: %d symbolic links to folders are not followed and their images left out, first "
            "%s; to have them, put the folder itself there, or name it as the folder of images",
            root,
            len(passed_over),
            ascii(min(passed_over)),
        )


def _wanted(path: str, folders: list[str]) -> list[str]:
    own = ("captions", "features") if not path else ()
    return [
        f"{path}/{name}" if path else name
        for name in folders
        if not name.startswith(".") and name not in own
    ]


def _list(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Names of the folders, of the links to folders and of the files in a folder."""
    folders, links, names = [], [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif os.path.isdir(entry.path):
                    links.append(entry.name)
                else:  # a link to a file, or to nothing
                    names.append(entry.name)
    except OSError as problem:
        raise InvalidError(
            f"cannot read folder {ascii(str(folder))}: {problem.strerror or first_line(problem)}; "
            "make it readable, or move it out of the images"
        ) from None
    return folders, links, names


def _images(path: str, names: list[str]) -> pa.Array:
    """Keep the names that end as images do: few ends are different, so each is judged once."""
    try:
        column = pa.array([*names, path], pa.string())[:-1]
    except (UnicodeEncodeError, pa.ArrowInvalid):
        raise InvalidError(f"name {_first_foreign(path, names)} is not UTF-8; rename it") from None
    ends = pc.binary_slice(column.cast(pa.binary()), -_LONGEST).dictionary_encode()
    known = [end.lower().endswith(_SUFFIXES) for end in ends.dictionary.to_pylist()]
    image = pa.array(known, pa.bool_()).take(ends.indices)
    return column.filter(pc.and_not(image, pc.starts_with(column, ".")))


def _first_foreign(path: str, names: list[str]) -> str:
    """Spell the first name whose bytes are not UTF-8 so that it can be printed."""
    spelled = [os.fsencode(f"{path}/{name}".strip("/")) for name in ("", *sorted(names))]
    texts = [each.decode("utf-8", "backslashreplace") for each in spelled]
    return next(text for text, each in zip(texts, spelled, strict=True) if text.encode() != each)


def roles_of(image_ids: pa.Array) -> pa.Array:
    """Read each role off the nearest folder named ``database``, ``queries`` or ``query``."""
    folders = pc.extract_regex(image_ids, _NEAREST_ROLE_FOLDER)
    return pc.replace_substring_regex(pc.struct_field(folders, "folder"), "^queries$", "query")
