import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.errors import InvalidError
from vprcap.evaluation.estimate import Estimate
from vprcap.evaluation.report import RecallReport, report_from_json
from vprcap.manifests.manifest import ManifestInfo, build_manifest, read_manifest, write_manifest
from vprcap.retrieval.descriptors import Descriptors, write_descriptors
from vprcap.stages.evaluate import evaluate


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four database images 100 m apart; q0 at d0, q1 at d1, q2 nowhere."""
    columns = {
        "image_id": pa.array(["d0", "d1", "d2", "d3", "q0", "q1", "q2"]),
        "role": pa.array(["database"] * 4 + ["query"] * 3),
        "easting": pa.array([0.0, 100, 200, 300, 1, 101, 999]),
        "northing": pa.array([0.0] * 7),
    }
    built = build_manifest(columns, ManifestInfo("/data", "toy"))
    return write_manifest(built, tmp_path / "toy.parquet")


def describe(path: Path, angles: list[float], absent: tuple[int, ...] = ()) -> Path:
    """Unit vectors in the plane: the smaller the angle between two, the nearer they are."""
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    present = np.ones(len(angles), dtype=bool)
    present[list(absent)] = False
    return write_descriptors(Descriptors(vectors, present), path)


def results(manifest: Path, **modes: Path) -> dict:
    pairs = {mode: (path, path) for mode, path in modes.items()}
    found: dict = json.loads(evaluate(manifest, pairs, manifest.parent / "eval").read_text())
    return found


def first_ranks(tmp_path: Path, mode: str) -> list[int | None]:
    rows = pq.read_table(tmp_path / "eval" / "per_query.parquet").to_pylist()
    return [row["first_hit_rank"] for row in rows if row["mode"] == mode]


def test_recalls_are_those_counted_by_hand(manifest: Path, tmp_path: Path) -> None:
    # q0 lies nearest to d0; q1 nearest to d2, then d1.
    found = results(manifest, image=describe(tmp_path / "i", [0, 0.5, 1, 1.5, 0.1, 0.8, 0.0]))
    assert (found["num_database"], found["num_queries"], found["num_solvable"]) == (4, 3, 2)
    assert {k: each["value"] for k, each in found["recall"]["image"].items()} == {
        "1": 0.5,
        "5": 1.0,
        "10": 1.0,
        "20": 1.0,
    }
    assert found["recall_all"]["image"]["1"] == pytest.approx(1 / 3)


def test_every_query_and_mode_has_its_row(manifest: Path, tmp_path: Path) -> None:
    results(manifest, image=describe(tmp_path / "i", [0, 0.5, 1, 1.5, 0.1, 0.8, 0.0]))
    rows = pq.read_table(tmp_path / "eval" / "per_query.parquet").to_pylist()
    assert [(row["image_id"], row["first_hit_rank"]) for row in rows] == [
        ("q0", 1),
        ("q1", 2),
        ("q2", None),
    ]
    assert rows[1]["retrieved"] == ["d2", "d1", "d3", "d0"]


def test_the_difference_is_paired_by_query(manifest: Path, tmp_path: Path) -> None:
    image = describe(tmp_path / "i", [0, 0.5, 1, 1.5, 0.9, 0.5, 0.0])  # q1 right, q0 wrong
    fused = describe(tmp_path / "f", [0, 0.5, 1, 1.5, 0.0, 0.5, 0.0])  # both right
    delta = results(manifest, image=image, fused=fused)["delta"]["1"]
    assert delta["value"] == 0.5
    assert (delta["low"], delta["high"]) == (0.0, 1.0)


def test_an_image_without_descriptor_is_not_retrieved_and_its_query_misses(
    manifest: Path, tmp_path: Path
) -> None:
    angles = [0, 0.5, 1, 1.5, 0.0, 0.5, 0.0]
    found = results(manifest, image=describe(tmp_path / "i", angles, absent=(0, 5)))
    assert {k: each["value"] for k, each in found["recall"]["image"].items()} == dict.fromkeys(
        ("1", "5", "10", "20"), 0.0
    )
    rows = pq.read_table(tmp_path / "eval" / "per_query.parquet").to_pylist()
    assert "d0" not in rows[0]["retrieved"] and rows[1]["retrieved"] == []


def test_queries_may_be_described_otherwise_than_the_database(
    manifest: Path, tmp_path: Path
) -> None:
    image = describe(tmp_path / "i", [0, 0.5, 1, 1.5, 0.9, 0.6, 0.0])
    text = describe(tmp_path / "t", [1.5, 1.0, 0.5, 0, 0.1, 1.4, 0.0], absent=(6,))
    evaluate(manifest, {"text to image": (text, image)}, tmp_path / "eval")
    # q0 asks at 0.1 and finds d0 at 0; q1 at 1.4 finds d3, d2, then d1 at 0.5.
    assert first_ranks(tmp_path, "text to image") == [1, 3, None]


def test_equal_similarities_are_ranked_by_database_order(manifest: Path, tmp_path: Path) -> None:
    # d0 and d1 are one vector: q0's positive d0 comes first, q1's positive d1 second.
    results(manifest, image=describe(tmp_path / "i", [0.3, 0.3, 1, 1.5, 0.3, 0.3, 0.0]))
    assert first_ranks(tmp_path, "image") == [1, 2, None]


def test_only_the_first_numbers_are_compared_where_a_length_is_given(
    manifest: Path, tmp_path: Path
) -> None:
    plane = np.deg2rad([0.0, 40, 80, 120, 39, 41, 0])
    vectors = np.stack([np.cos(plane), np.sin(plane), [5.0, 0, 0, 0, 5, 0, 0]], axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = tmp_path / "d"
    write_descriptors(Descriptors(vectors.astype(np.float32), np.ones(7, dtype=bool)), path)
    modes = {"image": (path, path)}
    evaluate(manifest, modes, tmp_path / "eval")
    assert first_ranks(tmp_path, "image") == [1, 1, None]  # the third number gives q0 away
    evaluate(manifest, modes, tmp_path / "eval", dim=2)
    assert first_ranks(tmp_path, "image") == [2, 1, None]  # d1 is 1 degree away, d0 39


def test_codes_of_two_halves_tell_two_sides_apart(manifest: Path, tmp_path: Path) -> None:
    path = describe(tmp_path / "i", [0.0, 3.0, 3.1, 3.2, 0.1, 3.0, 0.0])
    evaluate(manifest, {"image": (path, path)}, tmp_path / "eval", binary=True)
    assert first_ranks(tmp_path, "image") == [1, 1, None]


def test_descriptors_of_two_lengths_are_refused(manifest: Path, tmp_path: Path) -> None:
    short = describe(tmp_path / "i", [0.0] * 7)
    vectors = np.eye(7, dtype=np.float32)
    long = write_descriptors(Descriptors(vectors, np.ones(7, dtype=bool)), tmp_path / "l")
    with pytest.raises(InvalidError, match="of 2 numbers, the database of 7"):
        evaluate(manifest, {"odd": (short, long)}, tmp_path / "eval")


def test_descriptors_of_another_set_are_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="describes 2 images, toy has 7"):
        results(manifest, image=describe(tmp_path / "i", [0, 1]))


def test_queries_without_positives_are_reported_and_recall_nothing(tmp_path: Path) -> None:
    columns = {
        "image_id": pa.array(["d", "q"]),
        "role": pa.array(["database", "query"]),
        "easting": pa.array([0.0, 99.0]),
        "northing": pa.array([0.0, 0.0]),
    }
    far = write_manifest(build_manifest(columns, ManifestInfo("/", "far")), tmp_path / "far")
    path = describe(tmp_path / "i", [0.0, 0.0])
    found = results(far, image=path, fused=path)
    assert (found["num_solvable"], found["delta"]) == (0, {})
    assert found["recall"]["image"]["20"]["value"] == found["recall_all"]["image"]["20"] == 0
    text = report_from_json(found).to_text()
    assert "1 queries (0 solvable)" in text and "no query has a positive" in text
    assert "R@1" not in text


def test_the_table_says_counts_intervals_and_that_it_is_partial() -> None:
    estimates = {str(k): Estimate(0.5, 0.25, 0.75) for k in (1, 5, 10, 20)}
    report = RecallReport(
        name="toy",
        partial="4 of 10000 database images",
        num_database=4,
        num_queries=3,
        num_solvable=2,
        rule="positives within 25 m",
        resampled="queries",
        recall={"image": estimates},
        recall_all={"image": dict.fromkeys(("1", "5", "10", "20"), 1 / 3)},
    )
    text = report.to_text()
    assert "4 database, 3 queries (2 solvable), positives within 25 m" in text
    assert "50.0 [25.0, 75.0]" in text and "33.3" in text
    assert "PARTIAL, not comparable: 4 of 10000 database images" in text


def angles_of(path: Path, manifest: Path, angles: dict[str, float]) -> Path:
    ids = read_manifest(manifest).image_ids
    return describe(path, [angles[image_id] for image_id in ids])


def test_a_query_is_searched_among_images_of_its_own_city_only(tmp_path: Path) -> None:
    columns = {
        "image_id": pa.array(["cph/d", "cph/q", "sf/d", "sf/q"]),
        "role": pa.array(["database", "query"] * 2),
        "easting": pa.array([0.0, 1.0, 0.0, 1.0]),
        "northing": pa.array([0.0] * 4),
        "zone": pa.array(["33U", "33U", "10S", "10S"]),
        "domain": pa.array(["cph", "cph", "sf", "sf"]),
    }
    path = tmp_path / "m.parquet"
    write_manifest(build_manifest(columns, ManifestInfo("/data", "cities")), path)
    # Every query looks exactly like the database image of the other city.
    angles = {"cph/d": 0.0, "cph/q": 1.0, "sf/d": 1.0, "sf/q": 0.0}
    found = results(path, image=angles_of(tmp_path / "i", path, angles))
    assert found["recall"]["image"]["1"]["value"] == 1.0
    rows = pq.read_table(tmp_path / "eval" / "per_query.parquet").to_pylist()
    assert [row["retrieved"] for row in rows] == [["cph/d"], ["sf/d"]]


def test_recalls_of_each_condition_are_told_apart(tmp_path: Path) -> None:
    columns = {
        "image_id": pa.array(["d0", "d1", "q0", "q1", "q2", "q3"]),
        "role": pa.array(["database"] * 2 + ["query"] * 4),
        "easting": pa.array([0.0, 100.0, 0.0, 100.0, 0.0, 500.0]),
        "northing": pa.array([0.0] * 6),
        "condition": pa.array([None, None, "day", "night", "night", "night"]),
    }
    path = tmp_path / "m.parquet"
    write_manifest(build_manifest(columns, ManifestInfo("/data", "svox")), path)
    # d0 at angle 0, d1 at 1; q0 finds d0, q1 finds d1, q2 finds d1 (wrong), q3 is nowhere.
    angles = {"d0": 0.0, "d1": 1.0, "q0": 0.1, "q1": 0.9, "q2": 0.9, "q3": 0.0}
    found = results(path, image=angles_of(tmp_path / "i", path, angles))
    day, night = found["conditions"]["day"], found["conditions"]["night"]
    assert (day["num_queries"], day["num_solvable"]) == (1, 1)
    assert (night["num_queries"], night["num_solvable"]) == (3, 2)
    assert day["recall"]["image"]["1"]["value"] == 1.0
    assert night["recall"]["image"]["1"]["value"] == 0.5
    text = report_from_json(found).to_text()
    assert "night: 3 queries (2 solvable)" in text
