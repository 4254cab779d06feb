import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vprcap.city import (
    EVALUATION,
    Traversal,
    caption_of,
    city_places,
    claims_in,
    read_attributes,
    seeds,
    write_city,
)

FEW = (
    Traversal("morning", ("day",), role="database"),
    Traversal("evening", ("dusk", "night"), role="query"),
)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("city")
    write_city(folder, seed=seeds.TESTS, num_places=30, traversals=FEW)
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_traversal_sees_each_place_once(city: Path) -> None:
    seen = [(row["sequence"], row["place_id"]) for row in rows(city)]
    places = [f"{row:05d}" for row in range(30)]
    assert seen == [(name, place) for name in ("morning", "evening") for place in places]


def test_the_table_names_exactly_the_images_that_lie_there(city: Path) -> None:
    images = {path.relative_to(city).as_posix() for path in city.rglob("*.jpg")}
    assert {row["path"] for row in rows(city)} == images
    with Image.open(city / "evening" / "00007.jpg") as image:
        assert image.size == (224, 224)


def test_roles_and_conditions_are_those_of_the_traversal(city: Path) -> None:
    for row in rows(city):
        expected = {"morning": ("database", {"day"}), "evening": ("query", {"dusk", "night"})}
        role, conditions = expected[row["sequence"]]
        assert row["role"] == role
        assert row["condition"] in conditions


def test_views_of_a_place_lie_within_25_m_and_other_places_beyond_50_m(city: Path) -> None:
    positions = np.array([[float(row["easting"]), float(row["northing"])] for row in rows(city)])
    places = np.array([row["place_id"] for row in rows(city)])
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    same = places[:, None] == places[None]
    assert distances[same].max() <= 25
    assert distances[~same].min() >= 50


def test_headings_are_compass_degrees(city: Path) -> None:
    headings = [float(row["heading"]) for row in rows(city)]
    assert all(0 <= heading <= 4 or 356 <= heading < 360 for heading in headings)


def test_the_attributes_are_those_of_the_place_that_was_drawn(city: Path) -> None:
    truth = read_attributes(city)
    assert len(truth) == 60
    for row, place in enumerate(city_places(seeds.TESTS, 30)):
        for sequence in ("morning", "evening"):
            assert truth[f"{sequence}/{row:05d}.jpg"] == claims_in(caption_of(place))


def test_writing_a_city_again_gives_the_same_bytes(city: Path, tmp_path: Path) -> None:
    write_city(tmp_path, seed=seeds.TESTS, num_places=30, traversals=FEW)
    for path in city.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(city)).read_bytes()


def test_an_evaluation_city_compares_day_with_all_conditions() -> None:
    database = {
        name for drive in EVALUATION if drive.role == "database" for name in drive.conditions
    }
    queries = {name for drive in EVALUATION if drive.role == "query" for name in drive.conditions}
    assert database == {"day", "dusk"}
    assert queries == {"day", "dusk", "night", "fog", "rain", "snow"}
