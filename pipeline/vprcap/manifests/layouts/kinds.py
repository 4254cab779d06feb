"""The layouts by name, as recipes call them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path, PurePosixPath
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa

from vprcap.errors import InvalidError
from vprcap.manifests.layouts.at import read_at
from vprcap.manifests.layouts.baidu import read_baidu
from vprcap.manifests.layouts.frames import read_at_frames, read_frames, read_named_frames
from vprcap.manifests.layouts.gsv_cities import read_gsv_cities
from vprcap.manifests.layouts.msls import read_msls
from vprcap.manifests.layouts.netvlad import read_netvlad
from vprcap.manifests.layouts.table import read_whole_table
from vprcap.manifests.layouts.tokyo247 import read_tokyo247
from vprcap.manifests.layouts.vpr_bench import read_vpr_bench

Reader = Callable[..., dict[str, pa.Array]]
"""Takes the dataset's folder and the recipe's fields."""


def read_layout(kind: str, root: Path, fields: Mapping[str, Any]) -> dict[str, pa.Array]:
    """Read a dataset where it lies into manifest columns; ids are relative to `root`.

    Args:
        kind: the layout's name in a recipe.
        root: the dataset's folder.
        fields: what the recipe says to this layout's reader.

    Raises:
        MissingError: a file of the layout is not there.
        InvalidError: a file is not what the layout says, or the kind or a field is unknown.
    """
    reader = _reader(kind)
    _check_fields(kind, reader, root, fields)
    columns: dict[str, pa.Array] = reader(root, **fields)
    return columns


def _reader(kind: str) -> Reader:
    match kind:
        case "at":
            return read_at
        case "at-frames":
            return read_at_frames
        case "baidu":
            return read_baidu
        case "frames":
            return read_frames
        case "gsv-cities":
            return read_gsv_cities
        case "msls":
            return read_msls
        case "named-frames":
            return read_named_frames
        case "netvlad":
            return read_netvlad
        case "table":
            return _read_table
        case "tokyo247":
            return read_tokyo247
        case "vpr-bench":
            return read_vpr_bench
    raise InvalidError(f"layout {kind!r} of the recipe is unknown; see `vprcap datasets --help`")


def _check_fields(kind: str, reader: Reader, root: Path, fields: Mapping[str, Any]) -> None:
    """Hold what a recipe says against the types that its reader declares.

    Raises:
        InvalidError: a field is absent, unknown or of another type, or its path leaves the root.
    """
    try:
        signature(reader).bind(root, **fields)
        hints = get_type_hints(reader)
        for name, value in fields.items():
            if not _fits(value, hints[name]):
                wanted = getattr(hints[name], "__name__", str(hints[name]))
                raise TypeError(f"{name} = {value!r:.60} is no {wanted}")
            if name != "columns" and any(map(_leaves, _texts(value))):
                raise TypeError(f"{name} = {value!r:.60} leaves the dataset's folder")
    except TypeError as problem:
        raise InvalidError(
            f"layout {kind!r} of the recipe: {problem}; correct the recipe"
        ) from None


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a value of a TOML file has a declared type."""
    of = get_args(hint)
    match get_origin(hint):
        case None:
            numbers = (int, float) if hint is float else hint
            return isinstance(value, numbers) and (hint is bool or not isinstance(value, bool))
        case origin if origin is Mapping:
            return isinstance(value, dict) and all(_fits(each, of[1]) for each in value.values())
        case origin if origin is Sequence:
            return isinstance(value, list) and all(_fits(each, of[0]) for each in value)
        case _:
            return any(_fits(value, each) for each in of)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _leaves(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts


def _read_table(
    root: Path, table: str, columns: Mapping[str, str] | None = None
) -> dict[str, pa.Array]:
    return read_whole_table(root / table, columns or {})
