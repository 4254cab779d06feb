"""VPR-Bench: ``ref/0000000.jpg``, ``query/0000000.jpg`` and ``ground_truth_new.npy``.

The ground truth is an object array [queries, 2]: the number of a query, and the list of the numbers
of its references. It is read without its pickle being run (`vprcap.manifests.object_array`). Some
releases list references beyond the last one, and mark a query of no known place with -1: neither
can be found, so neither may be a positive, and how many there were is said.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vprcap.errors import InvalidError
from vprcap.manifests.layouts.folder import image_ids_below
from vprcap.manifests.layouts.frames import number_of
from vprcap.manifests.object_array import read_array

logger = logging.getLogger(__name__)

GROUND_TRUTH = "ground_truth_new.npy"
MAX_REFERENCES = 10_000_000
"""In all lists together; a small file may name one long list many times."""


def read_vpr_bench(root: Path) -> dict[str, pa.Array]:
    """Read a dataset of VPR-Bench; ids are relative to `root`.

    Raises:
        MissingError: a folder or the ground truth is not there.
        InvalidError: the ground truth is not of this form, or a file's name has no number.
    """
    references, queries = _by_number(root, "ref"), _by_number(root, "query")
    lists = _lists(root / GROUND_TRUTH)
    _warn_of_dropped(root / GROUND_TRUTH, lists, references, queries)
    positives = [
        [references[of] for of in lists.get(number, ()) if of in references] for number in queries
    ]
    image_ids = [*references.values(), *queries.values()]
    roles = ["database"] * len(references) + ["query"] * len(queries)
    return {
        "image_id": pa.array(image_ids, pa.string()),
        "role": pa.array(roles, pa.string()),
        "positives": pa.array([None] * len(references) + positives, pa.list_(pa.string())),
    }


def _by_number(root: Path, folder: str) -> dict[int, str]:
    images: dict[int, str] = {}
    for image_id in image_ids_below(root, folder):
        number = number_of(image_id)
        if number in images:
            raise InvalidError(
                f"{image_id!r} and {images[number]!r} have one number; keep the dataset's own"
            )
        images[number] = image_id
    return images


def _lists(path: Path) -> dict[int, list[int]]:
    """Read which references each query has."""
    array = read_array(path)
    rows: list[tuple[int, list[int]]] = []
    num_references = 0
    try:
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"its shape is {array.shape}")
        for query, references in array:
            rows.append((_whole(query)[0], _whole(references)))
            num_references += len(rows[-1][1])
            if num_references > MAX_REFERENCES:
                raise ValueError(f"it lists more than {MAX_REFERENCES} references")
    except (TypeError, ValueError, IndexError) as problem:
        raise InvalidError(
            f"{path} is no ground truth of VPR-Bench, a row for each query with its number and a "
            f"list of references ({problem}); get it again"
        ) from None
    lists = dict(rows)
    if len(lists) < len(rows):
        raise InvalidError(f"{path} lists {len(rows) - len(lists)} queries twice; get it again")
    return lists


def _whole(cell: Any) -> list[int]:
    """Give the numbers of a cell, which may be one, a list or an array."""
    if isinstance(cell, list) and not all(isinstance(each, int | np.number) for each in cell):
        raise ValueError(f"{cell[:3]!r:.40} is no list of numbers")
    values = np.ravel(np.asarray(cell))
    if not len(values):  # an empty list has no type of its own
        return []
    in_range = values.dtype.kind in "iuf" and (np.abs(values) < 2**53).all()
    if not in_range or (np.rint(values) != values).any():
        raise ValueError(f"{values[:3].tolist()!r:.40} is no whole number")
    numbers: list[int] = values.astype(np.int64).tolist()
    return numbers


def _warn_of_dropped(
    path: Path,
    lists: dict[int, list[int]],
    references: dict[int, str],
    queries: dict[int, str],
) -> None:
    nowhere = sum(own == [-1] for own in lists.values())
    if nowhere:
        logger.warning("%s: %d queries show no place of the database (-1)", path, nowhere)
    absent = [of for own in lists.values() if own != [-1] for of in own if of not in references]
    if absent:
        logger.warning(
            "%s: dropped %d references that are not in ref/, first %d", path, len(absent), absent[0]
        )
    for numbers, text in (
        (lists.keys() - queries.keys(), "dropped %d queries that are not in query/, first %d"),
        (queries.keys() - lists.keys(), "%d images of query/ have no row, first %d"),
    ):
        if numbers:
            logger.warning(f"%s: {text}", path, len(numbers), min(numbers))
