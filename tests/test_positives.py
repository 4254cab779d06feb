import numpy as np
import pyarrow as pa
import pytest

from vprcap.errors import InvalidError
from vprcap.manifest import Manifest, ManifestInfo, build_manifest
from vprcap.positives import build_task, within_radius


def manifest_of(rows: list[tuple[str, str | None, float | None, str | None]]) -> Manifest:
    names, roles, eastings, zones = zip(*rows, strict=True)
    columns = {
        "image_id": pa.array(names),
        "role": pa.array(roles, pa.string()),
        "easting": pa.array(eastings, pa.float64()),
        "northing": pa.array([0.0] * len(rows)),
        "zone": pa.array(zones, pa.string()),
    }
    return build_manifest(columns, ManifestInfo("/data", "toy"))


def test_positives_are_within_the_radius_and_exactly_25_m_counts() -> None:
    task = build_task(
        manifest_of(
            [
                ("d0", "database", 0, None),
                ("d1", "database", 25, None),
                ("d2", "database", 25.001, None),
                ("q0", "query", 0, None),
                ("q1", "query", 500, None),
                ("t0", None, 0, None),
            ]
        )
    )
    assert task.database.tolist() == [0, 1, 2]
    assert task.queries.tolist() == [3, 4]
    assert [own.tolist() for own in task.positives] == [[0, 1], []]


def test_the_tree_finds_what_all_distances_find() -> None:
    chance = np.random.default_rng(0)
    database, queries = chance.uniform(0, 200, (300, 2)), chance.uniform(0, 200, (40, 2))
    distances = np.linalg.norm(queries[:, None] - database[None], axis=2)
    expected = [np.flatnonzero(row <= 25).tolist() for row in distances]
    assert [own.tolist() for own in within_radius(database, queries, 25.0)] == expected


def test_different_zones_are_refused_but_bands_of_one_zone_are_not() -> None:
    with pytest.raises(InvalidError, match="UTM zones 30, 31"):
        build_task(manifest_of([("d", "database", 0, "30U"), ("q", "query", 0, "31U")]))
    build_task(manifest_of([("d", "database", 0, "30U"), ("q", "query", 0, "30V")]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("q", "query", 0, None)], "no database images"),
        ([("d", "database", 0, None)], "no query images"),
        ([("d", "database", None, None), ("q", "query", 0, None)], "1 .* have no position"),
    ],
)
def test_a_set_that_cannot_be_evaluated_says_why(rows: list, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        build_task(manifest_of(rows))
