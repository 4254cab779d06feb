"""A folder of images with a table that says where each was taken.

Columns: `path` (relative to the image root); `role`; a position as `easting` and `northing`
(with `zone` where known) or as `lat` and `lon`, or a `place_id`, or a `frame` (whole number);
`heading` or `heading_deg`, `sequence`, `condition` and `domain` where known. Other columns are
passed over. Without a `role` column the role is that of the nearest folder named `database` or
`queries`.

A table may list more images than memory holds: it is read and converted some rows at a time.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.manifests.layouts.compass import compass
from vprcap.manifests.layouts.folder import roles_of
from vprcap.manifests.layouts.projection import to_utm

_ALIASES = {"image_id": "path", "heading": "heading_deg", "latitude": "lat", "longitude": "lon"}
_TEXT = ("path", "role", "zone", "place_id", "sequence", "condition", "domain")
_BATCH_ROWS, _BLOCK_BYTES = 1 << 17, 1 << 22
_NUMBERS = ("easting", "northing", "lat", "lon", "heading_deg", "frame")
_ENOUGH = ({"easting", "northing"}, {"lat", "lon"}, {"place_id"}, {"frame"})


def read_table(table: Path, columns: Mapping[str, str]) -> Iterator[dict[str, pa.Array]]:
    """Read a CSV or Parquet table into manifest columns, some rows at a time, in the table's order.

    Args:
        table: the file; `.parquet` is read as Parquet, anything else as CSV with a header.
        columns: our name -> the table's name, where they differ.

    Raises:
        MissingError: no such table, or columns are missing (all of them named).
        InvalidError: the table cannot be parsed.
    """
    if not table.is_file():
        raise MissingError(f"no table {table}; give the CSV or Parquet that lists the images")
    try:
        if table.suffix.lower() == ".parquet":
            with pq.ParquetFile(table) as file:
                theirs = _source_columns(file.schema_arrow.names, columns, table)
                wanted = list(theirs.values())
                for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
                    yield _manifest_columns(batch, theirs, table)
        else:
            with _open_csv(table) as reader:
                theirs = _source_columns(reader.schema.names, columns, table)
                for batch in reader:
                    yield _manifest_columns(batch, theirs, table)
    except (pa.ArrowException, OSError) as problem:
        raise InvalidError(f"cannot read table {table}: {first_line(problem)}") from None


def read_whole_table(table: Path, columns: Mapping[str, str]) -> dict[str, pa.Array]:
    """Read a table as `read_table` does, all rows at once."""
    batches = [pa.table(batch) for batch in read_table(table, columns)]
    if not batches:
        return {"image_id": pa.array([], pa.string())}
    rows = pa.concat_tables(batches)
    return {name: rows[name].combine_chunks() for name in rows.schema.names}


def _open_csv(table: Path) -> pyarrow.csv.CSVStreamingReader:
    # A quoted cell may hold a line break, wherever a block of the file ends.
    quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with pyarrow.csv.open_csv(table, parse_options=quoted) as reader:
        names = reader.schema.names
    # Everything is text first: a place_id of 007 stays 007 and "nan" is our own decision.
    as_text = pyarrow.csv.ConvertOptions(column_types={name: pa.string() for name in names})
    blocks = pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES)
    return pyarrow.csv.open_csv(
        table, read_options=blocks, parse_options=quoted, convert_options=as_text
    )


def _source_columns(names: list[str], columns: Mapping[str, str], table: Path) -> dict[str, str]:
    """Give our name -> the table's name for each column that is read."""
    unknown = sorted(columns.keys() - {*_TEXT, *_NUMBERS})
    if unknown:
        known = ", ".join((*_TEXT, *_NUMBERS))
        raise InvalidError(f"--column {unknown[0]}=... is no column of ours; we read: {known}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidError(f"table {table} has column {', '.join(repeated)} twice; rename one")
    absent = [theirs for theirs in columns.values() if theirs not in names]
    if absent:
        have = ", ".join(names)
        raise MissingError(f"table {table} has no column {', '.join(absent)}; it has: {have}")
    own = [name for name in names if name not in columns.values()]
    theirs = {name: name for name in (*_TEXT, *_NUMBERS) if name in own} | dict(columns)
    for alias, name in _ALIASES.items():
        if name not in theirs and alias in own:
            theirs[name] = alias
    _require_columns(set(theirs), names, table)
    return theirs


def _require_columns(found: set[str], names: list[str], table: Path) -> None:
    for pair in (("easting", "northing"), ("lat", "lon")):
        if len(found & set(pair)) == 1:
            raise MissingError(f"table {table} has only one of {' and '.join(pair)}; give both")
    missing = [] if "path" in found else ["path"]
    if not any(each <= found for each in _ENOUGH):
        missing.append("easting and northing (or lat and lon, or place_id, or frame)")
    if missing:
        raise MissingError(
            f"table {table} lacks {', '.join(missing)}; it has: {', '.join(names)}; "
            "rename columns or say e.g. --column place_id=cell"
        )


def _manifest_columns(
    batch: pa.RecordBatch, theirs: Mapping[str, str], table: Path
) -> dict[str, pa.Array]:
    found = {ours: _typed(batch[name], ours, table) for ours, name in theirs.items()}
    found["image_id"] = found.pop("path")
    if "role" not in found:
        found["role"] = roles_of(found["image_id"])
    if "easting" not in found and {"lat", "lon"} <= found.keys():
        found |= to_utm(found["lat"], found["lon"])
    found["role"] = pc.replace_substring_regex(found["role"], "^queries$", "query")
    if "heading_deg" in found:
        found["heading_deg"] = compass(found["heading_deg"])
    return {name: array for name, array in found.items() if name not in ("lat", "lon")}


def _typed(column: pa.Array, name: str, table: Path) -> pa.Array:
    try:
        text = column.cast(pa.string()) if name in _TEXT else column
        if pa.types.is_string(text.type) or pa.types.is_large_string(text.type):
            text = pc.if_else(pc.equal(text, ""), None, text)  # an empty cell says nothing
        if name in _TEXT:
            return text
        numbers = text.cast(pa.float64())
    except pa.ArrowException as problem:
        kind = "text" if name in _TEXT else "numeric"
        raise InvalidError(
            f"column {name} of {table} is not {kind}: {first_line(problem)}"
        ) from None
    if pc.any(pc.is_inf(numbers)).as_py():
        raise InvalidError(f"column {name} of {table} holds infinity; correct it")
    known = pc.if_else(pc.is_nan(numbers), None, numbers)
    return _whole(known, table) if name == "frame" else known


def _whole(numbers: pa.Array, table: Path) -> pa.Array:
    if pc.any(pc.greater_equal(pc.abs(numbers), 2.0**53)).as_py():
        raise InvalidError(
            f"column frame of {table} holds numbers of 2**53 or more, of which two may be read as "
            "one; subtract the first from all"
        )
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowInvalid as problem:
        raise InvalidError(
            f"column frame of {table} must count in whole numbers: {first_line(problem)}"
        ) from None
