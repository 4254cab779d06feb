import numpy as np
import pyarrow as pa
import pytest

from vprcap.errors import InvalidError
from vprcap.ground_truth.positives import build_task, within_radius
from vprcap.manifests.manifest import Manifest, ManifestInfo, build_manifest
from vprcap.manifests.rule import PositiveRule


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


def test_hemispheres_of_one_zone_are_refused() -> None:
    # Liepaja and Cape Town: their metres are equal.
    with pytest.raises(InvalidError, match="UTM zones 34, 34 south;"):
        build_task(manifest_of([("d", "database", 3e5, "34V"), ("q", "query", 3e5, "34H")]))
    for north in "NPXn":
        with pytest.raises(InvalidError, match="UTM zones 34, 34 south;"):
            build_task(manifest_of([("d", "database", 0, f"34{north}"), ("q", "query", 0, "34M")]))


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


def listed_manifest(kind: str, rows: list[dict[str, object]], **rule: object) -> Manifest:
    schema = {
        "image_id": pa.string(),
        "role": pa.string(),
        "easting": pa.float64(),
        "northing": pa.float64(),
        "heading_deg": pa.float64(),
        "place_id": pa.string(),
        "domain": pa.string(),
        "frame": pa.int64(),
        "positives": pa.list_(pa.string()),
    }
    columns = {
        name: pa.array([row.get(name) for row in rows], kind_) for name, kind_ in schema.items()
    }
    info = ManifestInfo("/data", "toy", PositiveRule(kind, **rule))  # type: ignore[arg-type]
    return build_manifest(columns, info)


def image(image_id: str, **known: object) -> dict[str, object]:
    role = {"d": "database", "q": "query"}.get(image_id[0])
    return {"image_id": image_id, "role": role, **known}


def positives_of(manifest: Manifest) -> list[list[int]]:
    return [own.tolist() for own in build_task(manifest).positives]


def test_positions_whose_decimals_are_exactly_25_m_apart_are_positives() -> None:
    # 584000.1 - 583975.1 is 25.000000000023 in binary.
    manifest = listed_manifest(
        "radius",
        [
            image("d0", easting=584000.1, northing=4476000.0),
            image("d1", easting=584000.2, northing=4476000.0),
            image("q0", easting=583975.1, northing=4476000.0),
        ],
    )
    assert positives_of(manifest) == [[0]]


def test_a_heading_limit_goes_round_the_compass_and_is_inclusive() -> None:
    at = {"easting": 0.0, "northing": 0.0}
    manifest = listed_manifest(
        "radius",
        [
            image("d0", heading_deg=350.0, **at),
            image("d1", heading_deg=50.0, **at),
            image("d2", heading_deg=50.5, **at),
            image("q0", heading_deg=10.0, **at),
        ],
        heading_deg=40.0,
    )
    assert positives_of(manifest) == [[0, 1]]


def test_a_heading_limit_needs_headings() -> None:
    at = {"easting": 0.0, "northing": 0.0}
    manifest = listed_manifest(
        "radius", [image("d0", **at), image("q0", heading_deg=1.0, **at)], heading_deg=40.0
    )
    with pytest.raises(InvalidError, match="1 database or query images of toy have no heading_deg"):
        build_task(manifest)


def test_frames_within_the_tolerance_are_positives() -> None:
    rows = [image(f"d{frame}", frame=frame) for frame in (3, 0, 1, 2)]
    rows += [image("q0", frame=0), image("q2", frame=2), image("q9", frame=9)]
    assert positives_of(listed_manifest("frames", rows, frames=1)) == [[0, 1], [1, 2, 3], []]
    assert positives_of(listed_manifest("frames", rows)) == [[0], [2], []]


def test_images_of_one_place_are_positives() -> None:
    rows = [image("d0", place_id="7"), image("d1", place_id="007"), image("q0", place_id="007")]
    assert positives_of(listed_manifest("place", rows)) == [[1]]


def test_listed_positives_are_looked_up_and_a_query_without_a_list_has_none() -> None:
    rows = [image("d0"), image("d1"), image("q0", positives=["d1", "d0"]), image("q1")]
    assert positives_of(listed_manifest("listed", rows)) == [[0, 1], []]


def test_a_positive_that_is_listed_twice_is_one() -> None:
    rows = [image("d0"), image("q0", positives=["d0", "d0"])]
    assert positives_of(listed_manifest("listed", rows)) == [[0]]


@pytest.mark.parametrize("metres", [np.inf, -np.inf, 1e308, 1.1e8])
def test_positions_that_are_not_on_the_earth_are_refused(metres: float) -> None:
    with pytest.raises(InvalidError, match="is not on the earth"):
        build_task(manifest_of([("d", "database", metres, None), ("q", "query", 0, None)]))


def test_a_listed_positive_that_is_no_database_image_is_refused() -> None:
    rows = [image("d0"), image("q0", positives=["d0", "q1"]), image("q1")]
    with pytest.raises(InvalidError, match=r"1 positives listed .* first 'q1'; .* swapped"):
        build_task(listed_manifest("listed", rows))


def test_a_query_has_no_positives_in_another_city_even_at_the_same_coordinates() -> None:
    at = {"easting": 5.0, "northing": 5.0}
    manifest = listed_manifest(
        "radius",
        [
            image("d0", domain="cph", **at),
            image("d1", domain="sf", **at),
            image("q0", domain="sf", **at),
            image("q1", domain="cph", **at),
            image("q2", domain="oslo", **at),
        ],
    )
    task = build_task(manifest)
    assert [own.tolist() for own in task.positives] == [[1], [0], []]
    searched = {domain.queries.tolist()[0]: domain.database.tolist() for domain in task.domains}
    assert searched == {1: [0], 2: [], 0: [1]}


def test_cities_may_lie_in_different_zones() -> None:
    rows = [("d0", "database", 0, "33U"), ("d1", "database", 0, "10S"), ("q", "query", 0, "10S")]
    manifest = manifest_of(rows)
    domains = pa.chunked_array([["cph", "sf", "sf"]])
    index = manifest.rows.schema.get_field_index("domain")
    apart = Manifest(manifest.rows.set_column(index, "domain", domains), manifest.info)
    assert [own.tolist() for own in build_task(apart).positives] == [[1]]


def test_database_images_can_be_left_out() -> None:
    rows = [image(f"d{frame}", frame=frame) for frame in range(3)] + [image("q1", frame=1)]
    task = build_task(listed_manifest("frames", rows, frames=1), without={"d1"})
    assert task.database.tolist() == [0, 2]
    assert [own.tolist() for own in task.positives] == [[0, 1]]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "near"},
        {"radius_m": 0.0},
        {"radius_m": float("nan")},
        {"heading_deg": 181.0},
        {"frames": -1},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: dict) -> None:
    with pytest.raises(InvalidError):
        PositiveRule(**rule)


def test_a_rule_says_itself_in_words() -> None:
    assert str(PositiveRule()) == "positives within 25 m"
    assert str(PositiveRule(heading_deg=40.0)) == "positives within 25 m and 40 degrees"
    assert str(PositiveRule("frames", frames=1)) == "positives within 1 frame"


def test_what_is_left_out_is_missing_from_positives_and_domains_and_from_nothing_else() -> None:
    chance = np.random.default_rng(1)
    names = [f"{row:02d}" for row in range(60)]
    roles = chance.choice(["database", "query"], 60)
    columns = {
        "image_id": pa.array(names),
        "role": pa.array(roles.tolist()),
        "easting": pa.array(chance.uniform(0, 100, 60)),
        "northing": pa.array([0.0] * 60),
        "domain": pa.array(chance.choice(["cph", "sf", "rio"], 60).tolist()),
    }
    manifest = build_manifest(columns, ManifestInfo("/data", "cities"))
    dropped = set(names[::3])
    whole, rest = build_task(manifest), build_task(manifest, without=dropped)
    ids = np.array(names)
    assert rest.queries.tolist() == whole.queries.tolist()
    assert [set(ids[rest.database[own]]) for own in rest.positives] == [
        set(ids[whole.database[own]]) - dropped for own in whole.positives
    ]
    for before, after in zip(whole.domains, rest.domains, strict=True):
        own = [name for name in ids[whole.database[before.database]] if name not in dropped]
        assert ids[rest.database[after.database]].tolist() == own
        assert after.queries.tolist() == before.queries.tolist()
