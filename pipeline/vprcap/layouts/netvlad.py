"""The NetVLAD layout of Pittsburgh: a MATLAB ``dbStruct`` that names images and positions.

``datasets/pitts30k_test.mat`` lists database images relative to the root and query images
relative to ``queries_real/``. Only the arrays are read (SciPy); a .mat file runs no code.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from vprcap.errors import InvalidError, MissingError
from vprcap.layouts.present import only_present

# Field order of dbStruct, as the NetVLAD release documents it.
_FIELDS = ("whichSet", "dbImageFns", "utmDb", "qImageFns", "utmQ")


def read_netvlad(root: Path, mat: str, zone: str) -> dict[str, pa.Array]:
    """Read database and queries of one ``.mat`` file; ids are relative to `root`.

    Raises:
        MissingError: there is no such file, or none of its images.
        InvalidError: it is no NetVLAD ``dbStruct``, or names a path outside `root`.
    """
    fields = db_struct(root / mat)
    database, queries = names_of(fields["dbImageFns"]), names_of(fields["qImageFns"])
    utm = np.concatenate([fields["utmDb"].T, fields["utmQ"].T]).astype(np.float64)
    if len(utm) != len(database) + len(queries):
        raise InvalidError(
            f"{root / mat}: {len(utm)} positions for "
            f"{len(database) + len(queries)} images; the file is damaged"
        )
    columns = {
        "image_id": pa.array(database + [f"queries_real/{name}" for name in queries], pa.string()),
        "role": pa.array(["database"] * len(database) + ["query"] * len(queries), pa.string()),
        "easting": pa.array(utm[:, 0]),
        "northing": pa.array(utm[:, 1]),
        "zone": pa.array([zone] * len(utm), pa.string()),
    }
    return only_present(columns, root, mat)


def db_struct(path: Path) -> dict[str, Any]:
    """Read the fields of a ``dbStruct`` that are used.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is no NetVLAD ``dbStruct``.
    """
    if not path.is_file():
        raise MissingError(f"no {path}; unpack the NetVLAD dataset specifications there")
    try:
        struct = loadmat(path, squeeze_me=False)["dbStruct"][0, 0]
        return {name: struct[name] for name in _FIELDS}
    except (
        OSError,
        NotImplementedError,
        LookupError,
        ValueError,
        TypeError,
        MatReadError,
    ) as problem:
        raise InvalidError(f"{path} holds no NetVLAD dbStruct ({problem})") from None


def names_of(cells: np.ndarray) -> list[str]:
    """Give the file names of a MATLAB cell array, with forward slashes."""
    return [str(np.ravel(cell)[0]).replace("\\", "/") for cell in np.ravel(cells)]
