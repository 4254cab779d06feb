"""The ``@`` layout: ``<folder>/{database,queries}/@easting@northing@...@.jpg``.

The common form that VPR-datasets-downloader writes. The role comes from the nearest folder named
``database`` or ``query``/``queries``, or from what the recipe says of folders with other names; the
position comes from the file's own name. Names are split as one column, never one by one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vprcap.manifests.at_name import FIELDS, NUMBER, ZONE_NUMBER, parse_at_name
from vprcap.manifests.layouts.compass import compass
from vprcap.manifests.layouts.folder import Folder, concatenated, roles_of, walk
from vprcap.manifests.manifest import half_zones


def read_at(
    root: Path,
    folder: str = ".",
    *,
    database: str | None = None,
    queries: str | Mapping[str, str] | None = None,
    domain_by_zone: bool = False,
) -> dict[str, pa.Array]:
    """Read images with ``@`` names; ids are relative to `root`.

    Args:
        root: the dataset's folder.
        folder: where below `root` to look; roles are those of the nearest folders' names. Passed
            over where `database` or `queries` is given.
        database: folder below `root` whose images are all database images.
        queries: folder below `root` whose images are all queries, or such a folder for each
            condition.
        domain_by_zone: search a query among images of its UTM zone and hemisphere only.

    Raises:
        MissingError: there is no such folder.
        InvalidError: a name has not the ``@`` form or no position.
    """
    if database is None and queries is None:
        columns = columns_of(list(walk(root, folder)))
    else:
        columns = _by_folder(root, database, queries)
    if domain_by_zone:
        columns["domain"] = half_zones(columns["zone"])
    return columns


def columns_of(folders: Sequence[Folder]) -> dict[str, pa.Array]:
    """Give the manifest columns of folders of images with ``@`` names.

    Raises:
        InvalidError: a name has not the ``@`` form or no position.
    """
    roles = roles_of(pa.array([f"{folder.path}/" for folder in folders], pa.string()))
    counts = [len(folder.names) for folder in folders]
    return {
        "image_id": concatenated(folder.image_ids for folder in folders),
        "role": roles.take(pa.array(np.repeat(np.arange(len(folders)), counts))),
        **read_names(concatenated(folder.names for folder in folders)),
    }


def _by_folder(
    root: Path, database: str | None, queries: str | Mapping[str, str] | None
) -> dict[str, pa.Array]:
    parts: list[tuple[str, str, str | None]] = []
    if isinstance(queries, str):
        parts.append((queries, "query", None))
    elif queries is not None:
        parts += [(folder, "query", condition) for condition, folder in queries.items()]
    if database is not None:
        parts.append((database, "database", None))
    tables = []
    for folder, role, condition in parts:
        columns = columns_of(list(walk(root, folder)))
        num_rows = len(columns["image_id"])
        columns["role"] = pa.repeat(role, num_rows)
        columns["condition"] = pa.repeat(pa.scalar(condition, pa.string()), num_rows)
        tables.append(pa.table(columns))
    return {
        name: column.combine_chunks()
        for name, column in zip(
            tables[0].column_names, pa.concat_tables(tables).itercolumns(), strict=True
        )
    }


def read_names(names: pa.Array) -> dict[str, pa.Array]:
    """Read a column of ``@`` names as `vprcap.manifests.at_name.parse_at_name` reads one.

    Raises:
        InvalidError: a name has not the form or no position; the first such is named.
    """
    fields = _split(names)
    columns = {name: _numbers(fields[name]) for name in ("easting", "northing")}
    bad = pc.or_(*map(pc.is_null, columns.values()))
    if pc.any(bad).as_py():
        parse_at_name(names[pc.index(bad, True).as_py()].as_py())  # says what is wrong
    columns["zone"] = _zones(fields["zone_number"], fields["zone_letter"])
    return columns | {"heading_deg": compass(_numbers(fields["heading"]))}


def _split(names: pa.Array) -> dict[str, pa.Array]:
    """The used fields of each name; null where a name is too short for one or has not the form."""
    parts = pc.split_pattern(names, "@", max_splits=max(FIELDS.values()) + 1)
    flat = parts.values
    starts, ends = parts.offsets.to_numpy()[:-1], parts.offsets.to_numpy()[1:]
    leading = pc.equal(flat.take(pa.array(starts)), "").to_numpy(zero_copy_only=False)
    return {
        # The last part is the suffix, whatever its place, or what nobody asks for.
        field: flat.take(pa.array(starts + place, mask=~leading | (starts + place >= ends - 1)))
        for field, place in FIELDS.items()
    }


def _numbers(text: pa.Array) -> pa.Array:
    """Finite numbers; null where the text is none."""
    text = pc.if_else(pc.equal(text, ""), None, text)
    try:
        numbers = pc.cast(text, pa.float64())
    except pa.ArrowInvalid:  # rare, so only now are all of them looked at
        text = pc.if_else(pc.match_substring_regex(text, NUMBER), text, None)
        numbers = pc.cast(text, pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _zones(numbers: pa.Array, letters: pa.Array) -> pa.Array:
    """Number and letter in one, e.g. ``17T``; null where there is no such zone."""
    number = pc.if_else(pc.match_substring_regex(numbers, ZONE_NUMBER), numbers, None)
    return pc.binary_join_element_wise(pc.utf8_ltrim(number, "0"), pc.fill_null(letters, ""), "")
