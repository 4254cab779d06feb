"""Predictions as the MSLS challenge takes them: ``query key, database key, ...``, one query a line.

A key is the name of a photograph at Mapillary: the stem of its file, or a field of its ``@`` name.
(Format: mapillary_sls, its evaluation script, which wants as many keys in every line.)
"""

import logging
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.files import replacing
from vprcap.manifests.at_name import parse_at_name

logger = logging.getLogger(__name__)


def write_msls(evaluation: Path, output: Path, *, mode: str | None = None) -> Path:
    """Write the predictions of an evaluation.

    Args:
        evaluation: folder of ``per_query.parquet``, or the file itself.
        output: text file to write.
        mode: which of the evaluation's; may be left out where there is one.

    Raises:
        MissingError: there is no evaluation, or not that mode.
        InvalidError: it is damaged, or images are not named as MSLS names them.
    """
    rows = _read(evaluation / "per_query.parquet" if evaluation.is_dir() else evaluation)
    rows = _of_mode(rows, evaluation, mode).to_pylist()
    _check_keys(row["image_id"] for row in rows)
    _check_keys({image_id for row in rows for image_id in row["retrieved"]})
    lengths = {len(row["retrieved"]) for row in rows}
    if len(lengths) > 1:
        logger.warning(
            "some queries have %d predictions and others %d; the evaluation script of MSLS reads "
            "lines of one length only",
            min(lengths),
            max(lengths),
        )
    with replacing(output) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for row in rows:
            print(_key(row["image_id"]), *map(_key, row["retrieved"]), file=stream)
    return output


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise MissingError(f"no {path}; evaluate first, with `vprcap eval`")
    try:
        return pq.read_table(path, columns=["image_id", "mode", "retrieved"])
    except (pa.ArrowInvalid, OSError, KeyError) as problem:
        raise InvalidError(
            f"{path} holds no predictions ({first_line(problem)}); evaluate again"
        ) from None


def _of_mode(rows: pa.Table, evaluation: Path, mode: str | None) -> pa.Table:
    modes: list[Any] = pc.unique(rows["mode"]).to_pylist()
    if mode is None and len(modes) == 1:
        return rows
    if mode not in modes:
        raise MissingError(
            f"{evaluation} has predictions of {', '.join(map(str, modes)) or 'no mode'}; "
            "say which with --mode"
        )
    return rows.filter(pc.field("mode") == mode)


def _key(image_id: str) -> str:
    name = PurePosixPath(image_id)
    if name.name.startswith("@"):
        return parse_at_name(name.name).pano_id or name.stem
    return name.stem


def _check_keys(image_ids: Iterable[str]) -> None:
    """Refuse keys that would be read as something else, or that two images share."""
    image_of: dict[str, str] = {}
    for image_id in image_ids:
        key = _key(image_id)
        if len(key.split()) != 1 or key != key.strip() or "," in key or "#" in key:
            raise InvalidError(f"{ascii(image_id)} has no key that MSLS could read: {ascii(key)}")
        if image_of.setdefault(key, image_id) != image_id:
            raise InvalidError(
                f"{ascii(image_of[key])} and {ascii(image_id)} have the same key {ascii(key)}; "
                "these are no images of MSLS"
            )
