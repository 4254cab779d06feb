"""GSV-Cities: ``Images/<city>/<city>_<place>_<year>_<month>_<north>_<lat>_<lon>_<pano>.jpg``.

The folder is indexed and joined to ``Dataframes/<city>.csv`` by (place_id, panoid): rebuilding a
file name from the CSV would depend on how a float is printed. City folders are matched without
case and under either spelling (``PRS`` or ``Paris``). A place is (city, place_id); the loaders
of the field number places by the position of the city in a list, which changes with the list.
"""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from vprcap.errors import InvalidError, MissingError
from vprcap.manifests.layouts.folder import image_ids_below
from vprcap.manifests.layouts.projection import to_utm

_CITY_NAMES = {"osl": "oslo", "trt": "toronto", "prg": "prague", "prs": "paris"}


def read_gsv_cities(root: Path) -> dict[str, pa.Array]:
    """Read every city below `root/Images`; ids are relative to `root`.

    Raises:
        MissingError: no ``Images`` or no ``Dataframes`` folder, or a city without its CSV.
        InvalidError: a file name does not have the eight parts.
    """
    tables = _city_tables(root)
    names = [_parse(image_id) for image_id in image_ids_below(root, "Images")]
    listed = {city: _listed(path) for city, path in tables.items()}
    rows = [row for row in names if _is_listed(row, listed)]
    position = to_utm(
        pa.array([float(row["lat"]) for row in rows], pa.float64()),
        pa.array([float(row["lon"]) for row in rows], pa.float64()),
    )
    return {
        "image_id": pa.array([row["image_id"] for row in rows], pa.string()),
        "place_id": pa.array([f"{row['city']}/{int(row['place'])}" for row in rows], pa.string()),
        "heading_deg": pa.array([float(row["north"]) % 360 for row in rows], pa.float64()),
        **position,
    }


def _city_tables(root: Path) -> dict[str, Path]:
    paths = sorted((root / "Dataframes").glob("*.csv"))
    if not paths:
        raise MissingError(
            f"no Dataframes/*.csv below {root}; a GSV-Cities folder has Images/ and Dataframes/"
        )
    return {_city(path.stem): path for path in paths}


def _city(name: str) -> str:
    return _CITY_NAMES.get(name.lower(), name.lower())


def _listed(path: Path) -> set[tuple[int, str]]:
    """Return the (place_id, panoid) pairs of a city's CSV."""
    text = {name: pa.string() for name in ("place_id", "panoid")}
    try:
        table = pyarrow.csv.read_csv(
            path,
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=text, include_columns=list(text)
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as problem:
        raise InvalidError(f"{path} has no place_id and panoid columns: {problem}") from None
    pairs = zip(*(table[name].to_pylist() for name in text), strict=True)
    try:
        return {(int(float(place)), pano) for place, pano in pairs}
    except ValueError as problem:
        raise InvalidError(f"{path} has a place_id that is no number: {problem}") from None


def _parse(image_id: str) -> dict[str, str]:
    name = image_id.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    # The panorama id may hold underscores itself, so split only the seven fields before it.
    parts = name.split("_", 7)
    if len(parts) != 8 or not _are_numbers(parts[1:7]):
        raise InvalidError(
            f"{image_id!r} is not <city>_<place>_<year>_<month>_<north>_<lat>_<lon>_<pano>; "
            "move other images out of Images/"
        )
    keys = ("city", "place", "year", "month", "north", "lat", "lon", "pano")
    return {"image_id": image_id, **dict(zip(keys, parts, strict=True))}


def _are_numbers(parts: list[str]) -> bool:
    try:
        return all(math.isfinite(float(part)) for part in parts)
    except ValueError:
        return False


def _is_listed(row: dict[str, str], listed: dict[str, set[tuple[int, str]]]) -> bool:
    city = _city(row["city"])
    if city not in listed:
        raise MissingError(f"no Dataframes CSV for city {row['city']!r} of {row['image_id']!r}")
    return (int(row["place"]), row["pano"]) in listed[city]
