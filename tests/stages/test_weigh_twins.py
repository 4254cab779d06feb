"""A set whose recall is 1.0 because every query was copied into the database."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vprcap.errors import InvalidError, MissingError
from vprcap.evaluation.twin_effect import twin_effect_from_json
from vprcap.ground_truth.health import HEALTH_SCHEMA, write_health
from vprcap.manifests.manifest import ManifestInfo, build_manifest, read_manifest, write_manifest
from vprcap.manifests.rule import PositiveRule
from vprcap.retrieval.descriptors import Descriptors, write_descriptors
from vprcap.stages.evaluate import evaluate
from vprcap.stages.weigh_twins import weigh_twins

ANGLES = {"c0": 0.0, "c1": 1.0, "c2": 2.0, "d0": 0.1, "d1": 2.9, "q0": 0.0, "q1": 1.0, "q2": 2.0}
"""Queries look exactly like their copies. Without these q0 finds d0, and q1 finds d0 before d1."""
TWINS = {"c0": "q0", "c1": "q1", "c2": "q2"}


def write_set(folder: Path, *, d0: float = 2.0, d1: float = 102.0) -> Path:
    """Three places 100 m apart, each with a query and its copy; d0 and d1 lie as is said."""
    columns = {
        "image_id": pa.array(list(ANGLES)),
        "role": pa.array(["database"] * 5 + ["query"] * 3),
        "easting": pa.array([1.0, 101, 201, d0, d1, 0, 100, 200]),
        "northing": pa.array([0.0] * 8),
    }
    built = build_manifest(columns, ManifestInfo("/data", "toy"))
    return write_manifest(built, folder / "toy.parquet")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The first two places have another database image each, the last has none."""
    return write_set(tmp_path)


def write_twins(manifest: Path, twins: dict[str, str]) -> None:
    """The health of images that are all well."""
    checked = read_manifest(manifest)
    rows = checked.rows
    ids = rows["image_id"].to_pylist()
    table = pa.table({"image_id": ids, "twin_of": pa.array(map(twins.get, ids), pa.string())})
    known = {**{name: rows[name] for name in ("image_id", "role")}, "twin_of": table["twin_of"]}
    columns = [known.get(field.name, pa.nulls(len(ids), field.type)) for field in HEALTH_SCHEMA]
    write_health(pa.table(columns, schema=HEALTH_SCHEMA), checked, manifest)


def describe(manifest: Path) -> dict[str, tuple[Path, Path]]:
    angles = [ANGLES[image_id] for image_id in read_manifest(manifest).image_ids]
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    described = Descriptors(vectors, np.ones(len(angles), dtype=bool))
    path = write_descriptors(described, manifest.parent / "image")
    return {"image": (path, path)}


def weigh(manifest: Path) -> dict:
    modes, folder = describe(manifest), manifest.parent
    evaluate(manifest, modes, folder / "with")
    evaluate(manifest, modes, folder / "without", without_twins=True)
    weighed = weigh_twins(manifest, folder / "with", folder / "without", folder / "twins.json")
    effect: dict = json.loads(weighed.read_text())
    return effect


def values(estimates: dict) -> list[float]:
    return [estimates[cutoff]["value"] for cutoff in ("1", "5", "10", "20")]


def test_a_recall_that_copies_made_is_what_it_was_without_them(manifest: Path) -> None:
    write_twins(manifest, TWINS)
    effect = weigh(manifest)
    full, rest = effect["with_twins"], effect["without_twins"]
    assert (full["num_database"], full["num_solvable"]) == (5, 3)
    assert values(full["recall"]["image"]) == [1.0, 1.0, 1.0, 1.0]
    assert (rest["num_database"], rest["num_queries"], rest["num_solvable"]) == (2, 3, 2)
    assert values(rest["recall"]["image"]) == [0.5, 1.0, 1.0, 1.0]
    assert rest["name"] == "toy without 3 twins of queries" and full["name"] == "toy"


def test_the_difference_is_paired_over_queries_that_are_solvable_in_both(manifest: Path) -> None:
    """q2 could only find its copy: it is not counted as a miss, which would give -2/3."""
    write_twins(manifest, TWINS)
    effect = weigh(manifest)
    assert (effect["num_twins"], effect["num_solvable"]) == (3, 2)
    assert values(effect["difference"]["image"]) == [-0.5, 0.0, 0.0, 0.0]
    first = effect["difference"]["image"]["1"]
    assert (first["low"], first["high"]) == (-1.0, 0.0)  # one of two queries loses: 0, 1 or 2 drawn
    text = twin_effect_from_json(effect).to_text()
    assert "3 of 5 database images are a twin of a query; 1 queries have no other positive" in text
    assert "paired over 2 queries solvable in both" in text and "-50.0 [-100.0, +0.0]" in text
    assert "toy: 5 database" in text and "toy without 3 twins of queries: 2 database" in text


def test_without_any_twin_nothing_changes(manifest: Path) -> None:
    write_twins(manifest, {})
    effect = weigh(manifest)
    assert effect["num_twins"] == 0
    assert values(effect["difference"]["image"]) == [0.0] * 4
    assert effect["with_twins"]["recall"] == effect["without_twins"]["recall"]


def test_where_only_copies_solve_queries_there_is_no_difference(tmp_path: Path) -> None:
    manifest = write_set(tmp_path, d0=900, d1=950)
    write_twins(manifest, TWINS)
    effect = weigh(manifest)
    assert (effect["num_solvable"], effect["difference"]) == (0, {})
    text = twin_effect_from_json(effect).to_text()
    assert "3 queries have no other positive" in text and "paired" not in text


def test_a_database_of_nothing_but_twins_is_refused(manifest: Path) -> None:
    write_twins(manifest, {**TWINS, "d0": "q0", "d1": "q1"})
    with pytest.raises(InvalidError, match="every database image of toy is left out"):
        evaluate(manifest, describe(manifest), manifest.parent / "eval", without_twins=True)


def test_listed_positives_may_be_among_the_twins(tmp_path: Path) -> None:
    """A list names the copies; leaving them out is no broken list."""
    columns = {
        "image_id": pa.array(["c1", "d1", "q1"]),
        "role": pa.array(["database", "database", "query"]),
        "positives": pa.array([None, None, ["c1", "d1"]], pa.list_(pa.string())),
    }
    info = ManifestInfo("/data", "toy", PositiveRule(kind="listed"))
    path = write_manifest(build_manifest(columns, info), tmp_path / "toy.parquet")
    write_twins(path, TWINS)
    effect = weigh(path)
    assert (effect["num_twins"], effect["without_twins"]["num_database"]) == (1, 1)
    assert values(effect["difference"]["image"]) == [0.0] * 4


def test_twins_that_nobody_looked_for_are_not_left_out_silently(manifest: Path) -> None:
    with pytest.raises(MissingError, match=rf"`vprcap scan {manifest} --check`"):
        evaluate(manifest, describe(manifest), manifest.parent / "eval", without_twins=True)
