import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vprcap.errors import InvalidError
from vprcap.evaluation.predictions import write_evaluation
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import ManifestInfo, build_manifest, read_manifest, write_manifest
from vprcap.stages.compare import Variant, compare


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two database images 100 m apart; two queries at the first, one at the second, one nowhere."""
    columns = {
        "image_id": pa.array(["d0", "d1", "q0", "q1", "q2", "q3"]),
        "role": pa.array(["database"] * 2 + ["query"] * 4),
        "easting": pa.array([0.0, 100, 1, 2, 101, 999]),
        "northing": pa.array([0.0] * 6),
    }
    return write_manifest(build_manifest(columns, ManifestInfo("/", "toy")), tmp_path / "m.parquet")


def evaluation(manifest: Path, name: str, image: list[int], fused: list[int]) -> Path:
    """What each query found first: 0 or 1, or -1 for nothing."""
    loaded = read_manifest(manifest)
    found = {"image": np.array(image)[:, None], "fused": np.array(fused)[:, None]}
    return write_evaluation(loaded, build_task(loaded), found, manifest.parent / name).parent


def test_variants_are_compared_over_solvable_queries_seed_by_seed(
    manifest: Path, tmp_path: Path
) -> None:
    good = [
        evaluation(manifest, "good-0", [0, 1, -1, 0], [0, 0, 1, 0]),
        evaluation(manifest, "good-1", [0, 1, -1, 0], [0, 0, 0, 0]),
    ]
    bad = [
        evaluation(manifest, "bad-0", [0, 0, -1, 0], [0, 1, 1, 0]),
        evaluation(manifest, "bad-1", [0, 0, -1, 0], [1, 1, 0, 0]),
    ]
    variants = [
        Variant("good", good),
        Variant("bad", bad, num_bytes=64),
        Variant("image", bad, "image"),
    ]
    path = compare(manifest, variants, "good", "toys", tmp_path / "comparison.json")
    stored = json.loads(path.read_text())
    assert (stored["num_solvable"], stored["reference"], stored["title"]) == (3, "good", "toys")
    rows = {row["name"]: row for row in stored["rows"]}
    assert rows["good"]["by_seed"] == pytest.approx([1, 2 / 3])
    assert rows["bad"]["by_seed"] == pytest.approx([2 / 3, 0])
    assert rows["bad"]["against_reference"]["value"] == pytest.approx(-0.5)
    assert rows["bad"]["against_image"]["value"] == pytest.approx(1 / 3 - 2 / 3)
    assert rows["image"]["recall"]["value"] == pytest.approx(2 / 3)
    assert rows["image"]["against_image"] is None


def test_a_set_without_positives_has_nothing_to_compare(tmp_path: Path) -> None:
    columns = {
        "image_id": pa.array(["d", "q"]),
        "role": pa.array(["database", "query"]),
        "easting": pa.array([0.0, 99.0]),
        "northing": pa.array([0.0, 0.0]),
    }
    path = tmp_path / "m.parquet"
    write_manifest(build_manifest(columns, ManifestInfo("/", "far")), path)
    with pytest.raises(InvalidError, match="no query of far has a positive"):
        compare(path, [], "", "", tmp_path / "c.json")


def test_an_evaluation_of_other_queries_is_refused(manifest: Path, tmp_path: Path) -> None:
    found = evaluation(manifest, "e", [0, 1, 1, 0], [0, 0, 1, 0])
    for variant, message in (
        (Variant("a", [found], "text"), "has 0 queries of mode 'text', the set 4"),
        (Variant("a", [tmp_path / "gone"]), "cannot be read"),
    ):
        with pytest.raises(InvalidError, match=message):
            compare(manifest, [variant], "a", "toys", tmp_path / "c.json")
