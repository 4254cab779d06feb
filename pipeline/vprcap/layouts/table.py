"""A folder of images with a table that says where each was taken.

Columns: `path` (relative to the image root); `role`; a position as `easting` and `northing`
(with `zone` where known) or as `lat` and `lon`, or a `place_id`; `heading` or `heading_deg`;
`sequence` and `condition` where known. Other columns are passed over. Without a `role` column the
role is that of the nearest folder named `database` or `queries`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.layouts.folder import roles_of
from vprcap.layouts.projection import to_utm

_ALIASES = {"image_id": "path", "heading": "heading_deg", "latitude": "lat", "longitude": "lon"}
_TEXT = ("path", "role", "zone", "place_id", "sequence", "condition")
_NUMBERS = ("easting", "northing", "lat", "lon", "heading_deg")


def read_table(table: Path, columns: Mapping[str, str]) -> dict[str, pa.Array]:
    """Read a CSV or Parquet table into manifest columns.

    Args:
        table: the file; `.parquet` is read as Parquet, anything else as CSV with a header.
        columns: our name -> the table's name, where they differ.

    Raises:
        MissingError: no such table, or columns are missing (all of them named).
        InvalidError: the table cannot be parsed.
    """
    raw = _renamed(_load(table), columns, table)
    _require_columns(raw, table)
    found = {
        name: _typed(raw[name], name, table)
        for name in (*_TEXT, *_NUMBERS)
        if name in raw.schema.names
    }
    found["image_id"] = found.pop("path")
    if "role" not in found:
        found["role"] = roles_of(found["image_id"])
    if "easting" not in found and {"lat", "lon"} <= found.keys():
        found |= to_utm(found["lat"], found["lon"])
    found["role"] = pc.replace_substring_regex(found["role"], "^queries$", "query")
    if "heading_deg" in found:
        turned = np.mod(found["heading_deg"].to_numpy(False), 360.0)
        found["heading_deg"] = pa.array(turned, from_pandas=True)  # no heading stays null
    return {name: array for name, array in found.items() if name not in ("lat", "lon")}


def _load(table: Path) -> pa.Table:
    if not table.is_file():
        raise MissingError(f"no table {table}; give the CSV or Parquet that lists the images")
    try:
        if table.suffix.lower() == ".parquet":
            return pq.read_table(table)
        return pyarrow.csv.read_csv(
            table,
            # Everything is text first: a place_id of 007 stays 007 and "nan" is our own decision.
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in _header(table)}
            ),
        )
    except (pa.ArrowException, OSError) as problem:
        raise InvalidError(f"cannot read table {table}: {first_line(problem)}") from None


def _header(table: Path) -> list[str]:
    with pyarrow.csv.open_csv(table) as reader:
        names: list[str] = reader.schema.names
    return names


def _renamed(raw: pa.Table, columns: Mapping[str, str], table: Path) -> pa.Table:
    unknown = sorted(columns.keys() - {*_TEXT, *_NUMBERS})
    if unknown:
        known = ", ".join((*_TEXT, *_NUMBERS))
        raise InvalidError(f"--column {unknown[0]}=... is no column of ours; we read: {known}")
    repeated = sorted({name for name in raw.schema.names if raw.schema.names.count(name) > 1})
    if repeated:
        raise InvalidError(f"table {table} has column {', '.join(repeated)} twice; rename one")
    absent = [theirs for theirs in columns.values() if theirs not in raw.schema.names]
    if absent:
        raise MissingError(f"table {table} has no column {', '.join(absent)}; it has: {_have(raw)}")
    ours = {theirs: name for name, theirs in columns.items()}
    keep = [name for name in raw.schema.names if name not in columns or name in ours]
    raw = raw.select(keep).rename_columns([ours.get(name, name) for name in keep])
    aliases = {
        name: _ALIASES[name]
        for name in raw.schema.names
        if name in _ALIASES and _ALIASES[name] not in raw.schema.names
    }
    return raw.rename_columns([aliases.get(name, name) for name in raw.schema.names])


def _require_columns(raw: pa.Table, table: Path) -> None:
    names = set(raw.schema.names)
    for pair in (("easting", "northing"), ("lat", "lon")):
        if len(names & set(pair)) == 1:
            raise MissingError(f"table {table} has only one of {' and '.join(pair)}; give both")
    missing = [] if "path" in names else ["path"]
    if not ({"easting", "northing"} <= names or {"lat", "lon"} <= names or "place_id" in names):
        missing.append("easting and northing (or lat and lon, or place_id)")
    if missing:
        raise MissingError(
            f"table {table} lacks {', '.join(missing)}; it has: {_have(raw)}; "
            "rename columns or say e.g. --column place_id=cell"
        )


def _have(raw: pa.Table) -> str:
    return ", ".join(raw.schema.names)


def _typed(column: pa.ChunkedArray, name: str, table: Path) -> pa.Array:
    try:
        text = column.cast(pa.string()) if name in _TEXT else column
        if pa.types.is_string(text.type) or pa.types.is_large_string(text.type):
            text = pc.if_else(pc.equal(text, ""), None, text)  # an empty cell says nothing
        if name in _TEXT:
            return text.combine_chunks()
        numbers = text.cast(pa.float64())
    except pa.ArrowException as problem:
        kind = "text" if name in _TEXT else "numeric"
        raise InvalidError(
            f"column {name} of {table} is not {kind}: {first_line(problem)}"
        ) from None
    if pc.any(pc.is_inf(numbers)).as_py():
        raise InvalidError(f"column {name} of {table} holds infinity; correct it")
    return pc.if_else(pc.is_nan(numbers), None, numbers).combine_chunks()
