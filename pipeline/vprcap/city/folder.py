"""Writes a city to a folder: images, a table that `vprcap scan` reads, and the true attributes.

A city is visited in traversals, as a survey car would: in each, every place is seen once. The
database and the queries are different traversals under different conditions, as in real datasets.
Places stand on a grid much wider than the positive radius, so which views belong together is beyond
doubt.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from vprcap.city.claims import caption_of, claims_of
from vprcap.city.place import Place, city_places, pick
from vprcap.city.scene import render
from vprcap.city.view import CONDITIONS, View, random_view
from vprcap.files import replacing

GRID_M = 80.0
PLACES_PER_STREET = 25
ORIGIN_M = (500_000.0, 5_700_000.0)
GPS_ERROR_M = 3.0
JPEG_QUALITY = 90
COLUMNS = (
    *("path", "role", "place_id", "easting", "northing"),
    *("heading", "condition", "sequence"),
)


@dataclass(frozen=True, slots=True)
class Traversal:
    """One drive through the whole city; each place meets one of the conditions by chance."""

    sequence: str
    conditions: tuple[str, ...]
    role: str = ""


TRAINING = tuple(Traversal(f"drive-{number}", CONDITIONS) for number in range(1, 5))
EVALUATION = (
    Traversal("database-1", ("day",), role="database"),
    Traversal("database-2", ("day", "day", "dusk"), role="database"),
    Traversal("query-1", CONDITIONS, role="query"),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One image to be: where it goes, what it shows, its row of the table."""

    path: str
    place: Place
    view: View
    row: dict[str, str]


def write_city(
    folder: Path, *, seed: int, num_places: int, traversals: Sequence[Traversal]
) -> Path:
    """Render a city into `folder` and return its table.

    Writes `<sequence>/<place_id>.jpg`, `attributes.jsonl` (path, claims, caption of each image) and
    `table.csv` last, so that a table stands for a whole city. Equal arguments, equal bytes.

    Args:
        folder: made if absent; files of the same names are replaced.
        seed: one of `vprcap.city.seeds`.
        num_places: each is seen once in every traversal.
        traversals: `TRAINING`, `EVALUATION` or others with different sequence names.
    """
    visits = list(_visits(seed, num_places, traversals))
    for traversal in traversals:
        (folder / traversal.sequence).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for _ in pool.map(_write_image, [folder] * len(visits), visits, chunksize=32):
            pass
    _write_attributes(folder / "attributes.jsonl", visits)
    return _write_table(folder / "table.csv", visits)


def read_attributes(folder: Path) -> dict[str, dict[str, str]]:
    """Return the true claims of each image of a city folder, by its path in the table."""
    lines = (folder / "attributes.jsonl").read_text().splitlines()
    return {each["path"]: each["claims"] for each in map(json.loads, lines)}


def _visits(seed: int, num_places: int, traversals: Sequence[Traversal]) -> Iterable[Visit]:
    places = city_places(seed, num_places)
    for number, traversal in enumerate(traversals):
        rng = np.random.default_rng((seed, number))
        for place_row, place in enumerate(places):
            view = random_view(pick(traversal.conditions, rng), rng)
            path = f"{traversal.sequence}/{place_row:05d}.jpg"
            yield Visit(path, place, view, _row(path, place_row, view, traversal, rng))


def _row(
    path: str, place_row: int, view: View, traversal: Traversal, rng: np.random.Generator
) -> dict[str, str]:
    """Streets run north and the camera looks along them, turned by the view."""
    street, house = divmod(place_row, PLACES_PER_STREET)
    east_error, north_error = rng.uniform(-GPS_ERROR_M, GPS_ERROR_M, 2)
    return {
        "path": path,
        "role": traversal.role,
        "place_id": f"{place_row:05d}",
        "easting": f"{ORIGIN_M[0] + street * GRID_M + view.shift_m + east_error:.2f}",
        "northing": f"{ORIGIN_M[1] + house * GRID_M + view.advance_m + north_error:.2f}",
        "heading": f"{round(view.turn_deg, 1) % 360:.1f}",
        "condition": view.condition,
        "sequence": traversal.sequence,
    }


def _write_image(folder: Path, visit: Visit) -> None:
    render(visit.place, visit.view).save(folder / visit.path, quality=JPEG_QUALITY)


def _write_attributes(attributes: Path, visits: Sequence[Visit]) -> None:
    with replacing(attributes) as temporary, temporary.open("w") as file:
        for visit in visits:
            claims, caption = claims_of(visit.place), caption_of(visit.place)
            line = {"path": visit.path, "claims": claims, "caption": caption}
            file.write(json.dumps(line) + "\n")


def _write_table(table: Path, visits: Sequence[Visit]) -> Path:
    with replacing(table) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(visit.row for visit in visits)
    return table
