"""Descriptors as VPR-methods-evaluation saves them, and which row is of which image.

With ``--save_descriptors`` it writes ``database_descriptors.npy`` and ``queries_descriptors.npy``,
without names: a row's place among the sorted paths of its folder is all that says what it is of. So
the order is believed only where our set has a folder for each role and as many images; otherwise
the names must be given. It searches by Euclidean distance and does not normalise; so do we, for
whatever vectors (for unit vectors that is the ranking of the cosine).
(Files and order: gmberton/VPR-methods-evaluation, its main program and dataset.)
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Shaped

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.exchange.join import Fate, Names
from vprcap.ground_truth.positives import Task
from vprcap.manifests.manifest import Manifest
from vprcap.retrieval.vectors import BLOCK_BYTES

logger = logging.getLogger(__name__)

Order = Int[np.ndarray, " _"]
"""Of each image the row of its descriptor."""
_MOST_SQUARE = float(np.finfo(np.float32).max) / 4
"""Of a norm: a product of two such rows, less half a square, is still a number in float32."""


@dataclass(frozen=True)
class SavedDescriptors:
    """Descriptors of both roles, mapped into memory and not loaded."""

    folder: Path
    database: Shaped[np.ndarray, "database dim"]
    queries: Shaped[np.ndarray, "queries dim"]


@dataclass(frozen=True, slots=True)
class ByDistance:
    """Rows whose inner products with ``[query, 1]`` order them by Euclidean distance.

    ``|q - d|^2 = |q|^2 - 2 (q d - |d|^2 / 2)``: with one more number, ``-|d|^2 / 2``, each row can
    be searched by inner product, the nearest being the largest.
    """

    array: Shaped[np.ndarray, "rows dim"]
    order: Order

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows, and numbers in a row."""
        return len(self.order), self.array.shape[1] + 1

    def blocks(self) -> Iterator[tuple[int, Float32[np.ndarray, "block dim"]]]:
        """Yield first row and rows of each block."""
        step = max(1, BLOCK_BYTES // (4 * self.shape[1]))
        for start in range(0, len(self.order), step):
            yield start, self.take(np.arange(start, min(start + step, len(self.order))))

    def take(self, rows: Int[np.ndarray, " taken"]) -> Float32[np.ndarray, "taken dim"]:
        """Give the rows with these numbers."""
        taken = finite_rows(self.array, self.order[rows])
        squares = np.einsum("nd,nd->n", taken, taken)[:, None]
        return np.concatenate([taken, -squares / 2], axis=1)


def finite_rows(
    array: Shaped[np.ndarray, "rows dim"], rows: Int[np.ndarray, " taken"]
) -> Float32[np.ndarray, "taken dim"]:
    """Load some rows.

    Raises:
        InvalidError: one has a NaN or an infinity in it, or is too long for distances in float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        taken = np.asarray(array[rows], dtype=np.float32)
        squares = np.einsum("nd,nd->n", taken, taken)
    bad = np.flatnonzero(~(squares <= _MOST_SQUARE))
    if len(bad):
        raise InvalidError(
            f"row {rows[bad[0]]} of the descriptors is not finite, or its norm "
            f"is above {_MOST_SQUARE**0.5:.1e}; normalise them, and save them in float32"
        )
    return taken


def open_saved(folder: Path) -> SavedDescriptors:
    """Open what VPR-methods-evaluation saved.

    Raises:
        MissingError: a file is not there.
        InvalidError: a file is no array of vectors, or the two do not fit each other.
    """
    database, queries = (_map(folder / f"{role}_descriptors.npy") for role in _ROLES)
    if database.shape[1] != queries.shape[1]:
        raise InvalidError(
            f"{folder} has database descriptors of {database.shape[1]} numbers and queries of "
            f"{queries.shape[1]}; save both with one method"
        )
    return SavedDescriptors(folder, database, queries)


_ROLES = ("database", "queries")


def _map(path: Path) -> np.ndarray:
    if not path.is_file():
        raise MissingError(
            f"no {path}; save descriptors with --save_descriptors of VPR-methods-evaluation"
        )
    try:
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, SyntaxError, TokenError) as problem:
        # NumPy gives a header that it does not understand to Python's tokenizer.
        raise InvalidError(
            f"{path} cannot be read ({first_line(problem)}); save it again"
        ) from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
        raise InvalidError(f"{path} is no table of floating-point numbers; save it again")
    if not array.size:
        raise InvalidError(f"{path} is empty; save it again")
    return array


def order_of(
    saved: SavedDescriptors, manifest: Manifest, task: Task, names: Path | None
) -> tuple[Order, Order]:
    """Say which row each database image and each query has.

    Raises:
        InvalidError: counts differ and no names are given, or an image has not exactly one row.
    """
    ids = np.array(manifest.image_ids, dtype=object)
    images: list[list[str]] = [ids[rows].tolist() for rows in (task.database, task.queries)]
    counts = [len(saved.database), len(saved.queries)]
    if names is None:
        _check_order(saved.folder, images, counts)
        return np.arange(counts[0]), np.arange(counts[1])
    lines = _read_names(names, counts)
    parts = (lines[: counts[0]], lines[counts[0] :])
    found = [
        _by_names(own, their_names, f"{names}, {role}")
        for own, their_names, role in zip(images, parts, _ROLES, strict=True)
    ]
    return found[0], found[1]


def _check_order(folder: Path, images: Sequence[Sequence[str]], counts: Sequence[int]) -> None:
    """Refuse to believe in the order of rows where it may be another than ours."""
    ask = "give --names FILE: one path a line, database first, in the order of the rows"
    ours = [len(own) for own in images]
    if ours != list(counts):
        raise InvalidError(
            f"{folder} describes {counts[0]:,} database images and {counts[1]:,} queries, the set "
            f"has {ours[0]:,} and {ours[1]:,}; {ask}"
        )
    folders = ["/".join(_folder_of(own)) for own in images]
    for own, others in (0, images[1]), (1, images[0]):
        if any(f"{each}/".startswith(f"{folders[own]}/") for each in others) or not folders[own]:
            raise InvalidError(
                f"{_ROLES[own]} of the set have no folder to themselves, so that sorted paths do "
                f"not say which row of {folder} is whose; {ask}"
            )
    logger.warning(
        "rows are taken to be in the order of the sorted paths in %s and %s; give --names if they "
        "were saved from another layout",
        *folders,
    )


def _folder_of(image_ids: Sequence[str]) -> list[str]:
    """Give the parts of the deepest folder that all images are in."""
    return list(os.path.commonprefix([image_id.split("/")[:-1] for image_id in image_ids]))


def _read_names(path: Path, counts: Sequence[int]) -> list[str]:
    try:
        lines = path.read_text("utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise MissingError(f"no file {path}; give one path a line") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidError(f"{path} cannot be read ({first_line(problem)})") from None
    if len(lines) != sum(counts):
        raise InvalidError(
            f"{path} has {len(lines):,} lines, the descriptors {sum(counts):,} rows "
            f"({counts[0]:,} database, {counts[1]:,} queries); give one path for each row"
        )
    return [line.removesuffix("\r") for line in lines]


def _by_names(image_ids: Sequence[str], names: Sequence[str], where: str) -> Order:
    """Give each image the one row that names it; rows of other images are left out."""
    matches = Names(image_ids).match(names)
    fates = Counter(match.fate for match in matches)
    rows_of: dict[int, list[int]] = {}
    for row, match in enumerate(matches):
        if match.row >= 0:
            rows_of.setdefault(match.row, []).append(row)
    repeated = sum(len(rows) > 1 for rows in rows_of.values())
    without = [image for image in range(len(image_ids)) if len(rows_of.get(image, ())) != 1]
    unmatched, ambiguous = fates[Fate.UNMATCHED], fates[Fate.AMBIGUOUS]
    if without:
        raise InvalidError(
            f"{where}: {len(without):,} of {len(image_ids):,} images have not one row each, first "
            f"{ascii(image_ids[without[0]])} ({unmatched:,} rows name no image, {ambiguous:,} are "
            f"ambiguous, {repeated:,} images are named twice); correct the names"
        )
    if unmatched or ambiguous:
        logger.warning(
            "%s: %d of %d rows are of no image of this set and are left out",
            where,
            unmatched + ambiguous,
            len(names),
        )
    return np.array([rows_of[image][0] for image in range(len(image_ids))], dtype=np.int64)
