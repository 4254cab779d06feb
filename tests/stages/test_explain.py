from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vprcap.errors import InvalidError
from vprcap.manifests.manifest import ManifestInfo, build_manifest, write_manifest
from vprcap.retrieval.descriptors import Descriptors, write_descriptors
from vprcap.retrieval.features import FeatureWriter
from vprcap.stages.explain import explain
from vprcap.words import Words, words_path, write_words

GATES = np.array([[0.5, 0.25, 0.75, 0.5], [0, 0, 0, 0], [1, 0.5, 0, 0]], dtype=np.float32)


@pytest.fixture
def material(tmp_path: Path) -> tuple[Path, Path]:
    """A database image with a caption of two words, a query without, an image of no role."""
    columns = {"image_id": pa.array(["d", "q", "x"]), "role": pa.array(["database", "query", None])}
    manifest = tmp_path / "m.parquet"
    write_manifest(build_manifest(columns, ManifestInfo("/", "toy")), manifest)
    with FeatureWriter(tmp_path / "text", (3, 6, 2)) as writer:
        mask = np.zeros((3, 6), dtype=bool)
        mask[0, :4], mask[2, :2] = True, True
        writer.append(np.ones((3, 6, 2)), mask)
        words = [Words("red <b>", ["red", "<b>"], [-1, 0, 0, 1]), Words(None, [], [])]
        write_words(words_path(tmp_path / "text"), [[*words, Words("a", ["a"], [-1, 0])]])
        return manifest, writer.finish({})


def describe(tmp_path: Path, gates: np.ndarray | None) -> Path:
    vectors, present = np.eye(3, dtype=np.float32), np.ones(3, dtype=bool)
    return write_descriptors(Descriptors(vectors, present, gates), tmp_path / "fused")


def test_each_caption_is_shown_with_its_words_their_gates_and_its_reliability(
    material: tuple[Path, Path], tmp_path: Path
) -> None:
    path = explain(*material, describe(tmp_path, GATES), tmp_path / "gates.parquet")
    first, second = pq.read_table(path).to_pylist()
    assert first == {
        "image_id": "d",
        "role": "database",
        "caption": "red <b>",
        "reliability": 0.5,
        "words": ["red", "<b>"],
        "gates": [0.5, 0.5],
    }
    assert (second["image_id"], second["caption"], second["reliability"]) == ("q", None, None)
    assert second["words"] == second["gates"] == []


@pytest.mark.parametrize("gates", [None, GATES[:, :3]])
def test_descriptors_of_other_captions_are_refused(
    material: tuple[Path, Path], tmp_path: Path, gates: np.ndarray | None
) -> None:
    with pytest.raises(InvalidError, match="has no gates of the captions in"):
        explain(*material, describe(tmp_path, gates), tmp_path / "gates.parquet")
