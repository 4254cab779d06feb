"""Tokyo 24/7: a NetVLAD ``dbStruct`` for the database, a CSV beside each query.

The .mat file calls database images ``.jpg``; on disk they are ``.png``. It knows older queries than
those in use: version 2 is a folder of ``NNNNN.jpg``, each with ``NNNNN.csv`` whose line starts with
name, latitude and longitude.
"""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.layouts.folder import image_ids_below
from vprcap.manifests.layouts.netvlad import read_db_struct
from vprcap.manifests.layouts.present import are_present, only_present
from vprcap.manifests.layouts.projection import to_utm


def read_tokyo247(
    root: Path, mat: str, queries: str, zone: str, images: str = "."
) -> dict[str, pa.Array]:
    """Read database and queries; ids are relative to `root`.

    Args:
        root: the dataset's folder.
        mat: the ``dbStruct``.
        queries: folder of the queries.
        zone: UTM zone of the database's metres.
        images: folder that the names in `mat` are relative to.

    Raises:
        MissingError: the .mat, the queries or the CSV of one are not there.
        InvalidError: one of them cannot be read.
    """
    listed = read_db_struct(root / mat)
    names = [_below(images, name) for name in listed.database]
    database = only_present(
        {
            "image_id": _as_on_disk(root, names),
            "easting": pa.array(listed.database_utm[:, 0]),
            "northing": pa.array(listed.database_utm[:, 1]),
            "zone": pa.repeat(zone, len(names)),
            "role": pa.repeat("database", len(names)),
        },
        root,
        mat,
    )
    asked = _queries(root, queries)
    return {name: pa.concat_arrays([database[name], asked[name]]) for name in database}


def _below(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _as_on_disk(root: Path, names: list[str]) -> pa.Array:
    listed = pa.array(names, pa.string())
    converted = pc.replace_substring_regex(listed, r"\.jpg$", ".png")
    return pc.if_else(are_present(root, converted), converted, listed)


def _queries(root: Path, folder: str) -> dict[str, pa.Array]:
    ids = image_ids_below(root, folder)
    degrees = [_degrees(root / image_id) for image_id in ids]
    lat, lon = (pa.array([pair[axis] for pair in degrees], pa.float64()) for axis in (0, 1))
    return {
        "image_id": pa.array(ids, pa.string()),
        "role": pa.repeat("query", len(ids)),
        **to_utm(lat, lon),
    }


def _degrees(image: Path) -> tuple[float, float]:
    """Read latitude and longitude of a query."""
    table = image.with_suffix(".csv")
    try:
        _, lat, lon = table.read_text("utf-8").partition("\n")[0].split(",")[:3]
        if not (math.isfinite(float(lat)) and math.isfinite(float(lon))):
            raise ValueError("not on the earth")
        return float(lat), float(lon)
    except FileNotFoundError:
        raise MissingError(f"no {table}; unpack 247query_subset_v2.zip again") from None
    except (OSError, ValueError):  # a folder of that name, perhaps
        raise InvalidError(f"{table} is not name, latitude, longitude; unpack it again") from None
