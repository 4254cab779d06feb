"""Which of the images that a dataset's own list names are on disk.

A list is complete whatever is unpacked. Rows without a file are left out, so that counts tell a
half-unpacked archive, and a list of another set is recognised. One listing call a folder: asking
for every file by itself would cost minutes on a network file system.
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.manifest import check_plain


def only_present(columns: dict[str, pa.Array], root: Path, source: str) -> dict[str, pa.Array]:
    """Leave out the rows whose image is not below `root`.

    Args:
        columns: manifest columns.
        root: what their ids are relative to.
        source: the list that they come from, as an error names it.

    Raises:
        MissingError: none of the images is there.
        InvalidError: an id leaves `root`.
    """
    ids = columns["image_id"]
    here = are_present(root, ids)
    if len(ids) and not pc.any(here).as_py():
        raise MissingError(
            f"none of the {len(ids)} images that {source} lists is below {root}, first "
            f"{ids[0].as_py()!r}; unpack the images there, or is it the list of another set?"
        )
    return {name: column.filter(here) for name, column in columns.items()}


def are_present(root: Path, image_ids: pa.Array) -> pa.Array:
    """Say for each id whether `root` has a file of this name.

    Raises:
        InvalidError: an id leaves `root`, or a folder cannot be read.
    """
    check_plain(pa.chunked_array([image_ids]))
    # As bytes: another file's name in the same folder need not be UTF-8.
    ids = image_ids.cast(pa.binary())
    parents = pc.unique(pc.replace_substring_regex(image_ids, r"(?s)(^|/)[^/]*$", ""))
    listed = [_files(root, parent) for parent in parents.to_pylist()]
    return pc.is_in(ids, pa.concat_arrays([pa.array([], pa.binary()), *listed]))


def _files(root: Path, parent: str) -> pa.Array:
    try:
        names = os.listdir(os.fsencode(root / parent))
    except PermissionError:
        raise InvalidError(f"cannot read folder {root / parent}; make it readable") from None
    except OSError:  # no such folder, or no folder's name
        names = []
    start = f"{parent}/".encode() if parent else b""
    return pa.array([start + name for name in names], pa.binary())
