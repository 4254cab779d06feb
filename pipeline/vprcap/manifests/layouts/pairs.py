"""Ground truth as a list of pairs: a CSV or Parquet with the columns ``query`` and ``database``.

For sets whose positives follow from no position, number or place. Images are called by their
image_id. A query with several positives has a row for each; a query with none may have one row with
an empty ``database``, or no row at all.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from vprcap.errors import InvalidError, MissingError, first_line

_COLUMNS = ("query", "database")


def read_pairs(path: Path, image_ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Read the positives of each image, in the order of `image_ids`.

    Args:
        path: `.parquet` is read as Parquet, anything else as CSV with a header.
        image_ids: every image of the set.

    Returns:
        list<string>: image_ids of positives, ascending and without repetition; null for an image
        that the file names no positives of.

    Raises:
        MissingError: there is no such file or column.
        InvalidError: it cannot be read, or names images that are not in the set.
    """
    pairs = _load(path)
    if pairs["query"].null_count:
        raise InvalidError(f"{pairs['query'].null_count} rows of {path} name no query; fill it in")
    for column in _COLUMNS:
        _check_known(pairs[column], image_ids, column, path)
    pairs = pairs.filter(pc.is_valid(pairs["database"])).group_by(list(_COLUMNS)).aggregate([])
    listed = (
        pairs.sort_by([(column, "ascending") for column in _COLUMNS])
        .group_by("query", use_threads=False)  # with threads the order within a list is lost
        .aggregate([("database", "list")])
        .combine_chunks()
    )
    places = pc.index_in(image_ids, value_set=listed["query"])
    lists = listed["database_list"].take(places)
    return lists.combine_chunks().cast(pa.list_(pa.string()))


def _load(path: Path) -> pa.Table:
    """Read both columns as text, null where a cell is empty."""
    if not path.is_file():
        raise MissingError(f"no pairs {path}; give a CSV or Parquet with columns query, database")
    try:
        table = pq.read_table(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
        absent = [column for column in _COLUMNS if column not in table.schema.names]
        if absent:
            raise MissingError(
                f"{path} has no column {', '.join(absent)}; it has: {', '.join(table.schema.names)}"
            )
        text = {column: table[column].cast(pa.string()) for column in _COLUMNS}
        return pa.table({name: pc.if_else(pc.equal(of, ""), None, of) for name, of in text.items()})
    except (pa.ArrowException, OSError) as problem:
        raise InvalidError(f"cannot read the pairs {path}: {first_line(problem)}") from None


def _read_csv(path: Path) -> pa.Table:
    # A name such as 007 or 1e5 is text, and one that is "nan" is a name.
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(_COLUMNS, pa.string()))
    return pyarrow.csv.read_csv(path, convert_options=options)


def _check_known(
    names: pa.ChunkedArray, image_ids: pa.Array | pa.ChunkedArray, column: str, path: Path
) -> None:
    known = pc.or_(pc.is_null(names), pc.is_in(names, value_set=image_ids))
    strangers = pc.unique(names.filter(pc.invert(known)))
    if len(strangers):
        raise InvalidError(
            f"{path} names {len(strangers)} images in column {column} that are not in the set, "
            f"first {strangers[0].as_py()!r}; names are paths relative to the image root"
        )
