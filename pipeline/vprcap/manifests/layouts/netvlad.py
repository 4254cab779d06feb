"""The NetVLAD layout of Pittsburgh: a MATLAB ``dbStruct`` that names images and positions.

``datasets/pitts30k_test.mat`` lists database images relative to the root and query images
relative to ``queries_real/``. Only the arrays are read (SciPy); a .mat file runs no code.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.manifests.layouts.present import only_present


@dataclass(frozen=True, slots=True)
class DbStruct:
    """What is used of a ``dbStruct``."""

    database: list[str]
    """File names."""
    database_utm: Float64[np.ndarray, "database 2"]
    """Easting and northing in metres."""
    queries: list[str]
    queries_utm: Float64[np.ndarray, "queries 2"]


def read_netvlad(root: Path, mat: str, zone: str) -> dict[str, pa.Array]:
    """Read database and queries of one ``.mat`` file; ids are relative to `root`.

    Raises:
        MissingError: there is no such file, or none of its images.
        InvalidError: it is no NetVLAD ``dbStruct``, or names a path outside `root`.
    """
    listed = read_db_struct(root / mat)
    queries = [f"queries_real/{name}" for name in listed.queries]
    utm = np.concatenate([listed.database_utm, listed.queries_utm])
    roles = ["database"] * len(listed.database) + ["query"] * len(queries)
    columns = {
        "image_id": pa.array(listed.database + queries, pa.string()),
        "role": pa.array(roles, pa.string()),
        "easting": pa.array(utm[:, 0]),
        "northing": pa.array(utm[:, 1]),
        "zone": pa.array([zone] * len(utm), pa.string()),
    }
    return only_present(columns, root, mat)


def read_db_struct(path: Path) -> DbStruct:
    """Read file names and positions.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is no NetVLAD ``dbStruct``.
    """
    if not path.is_file():
        raise MissingError(f"no {path}; unpack the NetVLAD dataset specifications there")
    try:
        struct = loadmat(path, squeeze_me=False)["dbStruct"][0, 0]
        database = _placed(struct, "dbImageFns", "utmDb")
        return DbStruct(*database, *_placed(struct, "qImageFns", "utmQ"))
    except (
        OSError,
        NotImplementedError,
        LookupError,
        ValueError,
        TypeError,
        MatReadError,
        zlib.error,
    ) as problem:
        raise InvalidError(
            f"{path} holds no NetVLAD dbStruct ({first_line(problem)}); get it again"
        ) from None


def _placed(struct: Any, names: str, utm: str) -> tuple[list[str], np.ndarray]:
    """File names with forward slashes, and the position of each."""
    own = [str(np.ravel(cell)[0]).replace("\\", "/") for cell in np.ravel(struct[names])]
    metres = np.asarray(struct[utm], dtype=np.float64).T
    if metres.shape != (len(own), 2):
        raise ValueError(f"{utm} is not 2 x {len(own)} as {names} has it")
    if not np.isfinite(metres).all():
        raise ValueError(f"{utm} has positions that are not finite")
    return own, metres
