"""The layouts by name, as recipes call them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from vprcap.errors import InvalidError
from vprcap.layouts.at import read_at
from vprcap.layouts.baidu import read_baidu
from vprcap.layouts.frames import read_at_frames, read_frames, read_named_frames
from vprcap.layouts.gsv_cities import read_gsv_cities
from vprcap.layouts.msls import read_msls
from vprcap.layouts.netvlad import read_netvlad
from vprcap.layouts.table import read_whole_table
from vprcap.layouts.tokyo247 import read_tokyo247
from vprcap.layouts.vpr_bench import read_vpr_bench


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
    try:
        match kind:
            case "at":
                return read_at(root, **fields)
            case "at-frames":
                return read_at_frames(root, **fields)
            case "baidu":
                return read_baidu(root, **fields)
            case "frames":
                return read_frames(root, **fields)
            case "gsv-cities":
                return read_gsv_cities(root, **fields)
            case "msls":
                return read_msls(root, **fields)
            case "named-frames":
                return read_named_frames(root, **fields)
            case "netvlad":
                return read_netvlad(root, **fields)
            case "table":
                return _read_table(root, **fields)
            case "tokyo247":
                return read_tokyo247(root, **fields)
            case "vpr-bench":
                return read_vpr_bench(root, **fields)
    except TypeError as problem:
        if "argument" not in str(problem):
            raise
        reason = str(problem).partition("() ")[2]
        raise InvalidError(f"layout {kind!r} of the recipe: {reason}; correct the recipe") from None
    raise InvalidError(f"layout {kind!r} of the recipe is unknown; see `vprcap datasets --help`")


def _read_table(
    root: Path, table: str, columns: Mapping[str, str] | None = None
) -> dict[str, pa.Array]:
    return read_whole_table(root / table, columns or {})
