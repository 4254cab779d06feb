from pathlib import Path

import numpy as np
import pytest
import torch

from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.errors import InvalidError, MissingError
from vprcap.retrieval.descriptors import Descriptors, read_descriptors
from vprcap.retrieval.features import FeatureWriter
from vprcap.stages.describe import describe

IMAGES = 6


def write_features(path: Path, count: int, num_tokens: int, dim: int, absent: int) -> Path:
    tokens = np.random.default_rng(dim).standard_normal((count, num_tokens, dim))
    mask = np.ones((count, num_tokens), dtype=bool)
    mask[absent] = False
    writer = FeatureWriter(path, tokens.shape)
    writer.append(tokens, mask)
    return writer.finish({})


@pytest.fixture
def material(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A random combiner, image features without row 1, text features without row 2."""
    torch.manual_seed(0)
    combiner = FeatureCombiner(
        CombinerConfig(image_dim=12, text_dim=8, descriptor_dim=16, width=12, num_words=4)
    )
    torch.nn.init.normal_(combiner.compress_text.weight)  # it starts at zero: no text, no vector
    combiner.save(tmp_path / "run")
    images = write_features(tmp_path / "i", IMAGES, 5, 12, absent=1)
    texts = write_features(tmp_path / "t", IMAGES, 4, 8, absent=2)
    return tmp_path / "run", images, texts


@pytest.mark.parametrize(("mode", "absent"), [("image", [1]), ("text", [2]), ("fused", [1])])
def test_every_image_that_has_what_the_mode_needs_gets_a_unit_vector(
    material: tuple[Path, Path, Path], tmp_path: Path, mode: str, absent: list[int]
) -> None:
    described = read_descriptors(describe(*material, tmp_path / "d", mode=mode))
    assert np.flatnonzero(~described.present).tolist() == absent
    lengths = np.linalg.norm(described.vectors[described.present], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_an_image_without_caption_is_described_alike_fused_and_alone(
    material: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    alone, fused = (
        read_descriptors(describe(*material, tmp_path / mode, mode=mode)).vectors
        for mode in ("image", "fused")
    )
    np.testing.assert_allclose(fused[2], alone[2], atol=1e-6)


def test_only_fused_descriptors_carry_the_gates_of_their_captions(
    material: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    gates = {
        mode: read_descriptors(describe(*material, tmp_path / mode, mode=mode)).gates
        for mode in ("image", "text", "fused")
    }
    assert gates["image"] is None and gates["text"] is None
    fused = gates["fused"]
    assert fused is not None and fused.shape == (IMAGES, 4)
    assert not fused[2].any() and (fused[0] > 0).all()  # row 2 has no caption


def test_a_prefix_is_the_beginning_at_unit_length() -> None:
    vectors = np.array([[3, 4, 12], [0, 0, 5]], dtype=np.float32)
    cut = Descriptors(vectors, np.array([True, True])).prefix(2).vectors
    np.testing.assert_allclose(cut, [[0.6, 0.8], [0, 0]])


def test_features_of_two_manifests_are_refused(
    material: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    run, images, _ = material
    others = write_features(tmp_path / "o", IMAGES + 1, 4, 8, absent=0)
    with pytest.raises(InvalidError, match="has 6 images, o 7; extract both from one"):
        describe(run, images, others, tmp_path / "d", mode="fused")
    with pytest.raises(InvalidError, match="mode 'both' is unknown"):
        describe(*material, tmp_path / "d", mode="both")


def test_damaged_descriptors_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no descriptors at"):
        read_descriptors(tmp_path / "no")
    (tmp_path / "bad").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InvalidError, match="holds no descriptors"):
        read_descriptors(tmp_path / "bad")
