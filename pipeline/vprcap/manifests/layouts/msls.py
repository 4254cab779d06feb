"""Mapillary Street-Level Sequences: ``<part>/<city>/{query,database}/images/<key>.jpg`` and tables.

``train_val/`` has ``raw.csv``, ``postprocessed.csv``, ``seq_info.csv`` and ``subtask_index.csv``,
whose rows run in parallel; ``test/`` as first released has only the last two. As in Mapillary's own
code, a subtask filters queries and database alike, and panoramas are left out where ``raw.csv``
tells them. A city is a search domain: the metres of two cities coincide. Everything is read as
text first, for a key may start with ``-`` or ``_`` or be all digits.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.manifests.layouts.compass import compass
from vprcap.manifests.layouts.present import only_present

logger = logging.getLogger(__name__)

_ROLES = {"database": "database", "query": "query"}
_READ = {
    "seq_info": ["key", "sequence_key"],
    "raw": ["key", "ca", "pano"],
    "postprocessed": ["key", "easting", "northing", "night"],
}
_TRUE, _FALSE = ("true", "1", "1.0"), ("false", "0", "0.0")


def read_msls(
    root: Path,
    part: str,
    cities: Sequence[str],
    *,
    subtask: str | None = None,
    tables: Sequence[str] = ("raw", "postprocessed"),
    roles: bool = True,
    ground_truth: str | None = None,
) -> dict[str, pa.Array]:
    """Read some cities; ids are relative to `root`.

    Args:
        root: the dataset's folder.
        part: ``train_val`` or ``test``.
        cities: their folders, found in whatever case; those that are absent are warned of.
        subtask: keep only images with True in this column of ``subtask_index.csv``.
        tables: ``raw`` (headings; panoramas are left out) and ``postprocessed`` (positions; night
            or day), where the release has them.
        roles: whether images are database and queries, or simply images to train on.
        ground_truth: where it exists, a text file that lists a query's key and those of its
            positives on each line, separated by spaces, as MSLS predictions are written.

    Raises:
        MissingError: none of the cities, or a table of one is not there.
        InvalidError: a table cannot be read, or those of one folder list different images.
    """
    folders = list(_folders(root, part, cities))
    rows = pa.concat_tables([_folder(root, *each, subtask, tables) for each in folders])
    columns = {name: rows[name].combine_chunks() for name in rows.schema.names if name != "key"}
    if ground_truth is not None and (root / ground_truth).is_file():
        columns["positives"] = _listed(root / ground_truth, rows)
    if not roles:
        del columns["role"]
    return only_present(columns, root, f"{part}/*/*/seq_info.csv")


def _folders(root: Path, part: str, cities: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each city with its folder relative to `root`."""
    if not (root / part).is_dir():
        raise MissingError(f"no folder {root / part}; unpack MSLS there")
    there = {name.lower(): name for name in sorted(os.listdir(root / part))}
    absent = [city for city in cities if city not in there]
    if len(absent) == len(cities):
        raise MissingError(f"none of {', '.join(cities)} is below {root / part}; unpack MSLS there")
    if absent:
        logger.warning("%s has no %s; left out", root / part, ", ".join(absent))
    return ((city, f"{part}/{there[city]}") for city in cities if city in there)


def _folder(
    root: Path, city: str, folder: str, subtask: str | None, tables: Sequence[str]
) -> pa.Table:
    own = [_images(root, f"{folder}/{name}", subtask, tables) for name in _ROLES]
    roles = pa.array(np.repeat(list(_ROLES.values()), [len(each) for each in own]), pa.string())
    rows = pa.concat_tables(own)
    return rows.append_column("role", roles).append_column("domain", pa.repeat(city, len(roles)))


def _images(root: Path, folder: str, subtask: str | None, tables: Sequence[str]) -> pa.Table:
    """Read one city's query or database folder."""
    read = _tables(root / folder, subtask, tables)
    keys = read["seq_info"]["key"]
    columns = {
        "key": keys,
        "image_id": pc.binary_join_element_wise(f"{folder}/images/", keys, ".jpg", ""),
        "sequence": read["seq_info"]["sequence_key"],
        **_measured(read, root / folder),
    }
    kept = pa.repeat(True, len(keys))
    if subtask is not None:
        kept = pc.and_(kept, _flags(read["subtask_index"][subtask], root / folder))
    if "raw" in read:
        kept = pc.and_not(kept, _flags(read["raw"]["pano"], root / folder))
    return pa.table(columns).filter(kept)


def _tables(folder: Path, subtask: str | None, tables: Sequence[str]) -> dict[str, pa.Table]:
    """Read tables whose rows run in parallel."""
    wanted = {name: _READ[name] for name in ("seq_info", *tables)}
    if subtask is not None:
        wanted["subtask_index"] = ["key", subtask]
    read = {name: _csv(folder / f"{name}.csv", names) for name, names in wanted.items()}
    for name, table in read.items():
        if table["key"] != read["seq_info"]["key"]:
            raise InvalidError(
                f"{folder / name}.csv lists other images than seq_info.csv beside it; "
                "unpack metadata.zip again"
            )
    return read


def _measured(read: dict[str, pa.Table], folder: Path) -> dict[str, pa.ChunkedArray]:
    found = {}
    if "raw" in read:
        found["heading_deg"] = pa.chunked_array([compass(_numbers(read["raw"]["ca"], folder))])
    if "postprocessed" in read:
        table = read["postprocessed"]
        found |= {name: _numbers(table[name], folder) for name in ("easting", "northing")}
        found["condition"] = pc.if_else(_flags(table["night"], folder), "night", "day")
    return found


def _csv(path: Path, names: list[str]) -> pa.Table:
    if not path.is_file():
        raise MissingError(f"no {path}; unpack MSLS's metadata.zip there")
    try:
        return pyarrow.csv.read_csv(
            path,
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=names
            ),
        )
    except (pa.ArrowException, OSError, KeyError) as problem:
        raise InvalidError(
            f"{path} has not the columns {', '.join(names)}: {first_line(problem)}"
        ) from None


def _numbers(text: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
    try:
        return pc.cast(pc.if_else(pc.equal(text, ""), None, text), pa.float64())
    except pa.ArrowInvalid as problem:
        raise InvalidError(f"a table in {folder} is not numeric: {first_line(problem)}") from None


def _flags(text: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
    """True and False, also as 1.0 and 0.0, which is what they become in a table of floats."""
    lower = pc.utf8_lower(text)
    yes, no = (pc.is_in(lower, pa.array(words)) for words in (_TRUE, _FALSE))
    unclear = pc.filter(text, pc.invert(pc.or_(yes, no)))
    if len(unclear):
        raise InvalidError(
            f"a table in {folder} says {unclear[0].as_py()!r} where True or False must be; "
            "unpack metadata.zip again"
        )
    return yes


def _listed(path: Path, rows: pa.Table) -> pa.Array:
    """Positives of every row, as the user's file lists them; null where it does not."""
    names = rows.select(["key", "role", "image_id"]).to_pydict().values()
    image_of = {(role, key): image_id for key, role, image_id in zip(*names, strict=True)}
    own: dict[str, list[str]] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # some editors begin with a mark
        for query, *positives in filter(None, map(str.split, lines)):
            if image_of["query", query] in own:
                raise InvalidError(f"{path} lists query {query!r} twice; put both lines into one")
            named = dict.fromkeys(image_of["database", key] for key in positives)
            own[image_of["query", query]] = list(named)
    except (KeyError, UnicodeDecodeError) as problem:
        raise InvalidError(
            f"{path} names {problem}, which is no image of the set; a line is a query's key and "
            "the keys of its positives, separated by spaces"
        ) from None
    return pa.array([own.get(image_id) for image_id in rows["image_id"].to_pylist()])
