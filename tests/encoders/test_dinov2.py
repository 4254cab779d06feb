from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BertConfig, BertModel, Dinov2Config, Dinov2Model

from vprcap.encoders import load_image_encoder
from vprcap.errors import InvalidError, MissingError

SIZE = (28, 42)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of three blocks with random weights."""
    path = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(path)
    return path


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (30, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def test_tokens_are_the_class_token_and_one_per_patch(folder: Path) -> None:
    encoder = load_image_encoder(str(folder), SIZE)
    assert encoder.encode([picture(0), picture(1)]).shape == (2, 1 + 2 * 3, 16)
    assert (encoder.dim, encoder.image_size) == (16, SIZE)


def test_a_layer_gives_the_hidden_states_behind_its_block(folder: Path) -> None:
    pixels = np.asarray(picture(0).resize((42, 28), Image.Resampling.BICUBIC), dtype=np.float64)
    scaled = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    batch = torch.from_numpy(scaled.transpose(2, 0, 1)[None]).float()
    whole = Dinov2Model.from_pretrained(folder)
    with torch.no_grad():
        states = whole(batch, output_hidden_states=True)
    for layer in (1, 2):
        tokens = load_image_encoder(f"{folder}@{layer}", SIZE).encode([picture(0)])
        np.testing.assert_allclose(tokens, states.hidden_states[layer], atol=1e-5)
    tokens = load_image_encoder(str(folder), SIZE).encode([picture(0)])
    np.testing.assert_allclose(tokens, states.last_hidden_state, atol=1e-5)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_images_of_every_mode_are_encoded(folder: Path, mode: str) -> None:
    tokens = load_image_encoder(str(folder), SIZE).encode([picture(0, mode)])
    assert np.isfinite(tokens).all()


def test_tokens_of_an_image_do_not_depend_on_its_batch(folder: Path) -> None:
    encoder = load_image_encoder(str(folder), SIZE)
    alone, together = encoder.encode([picture(0)]), encoder.encode([picture(1), picture(0)])
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


def test_provenance_tells_layers_sizes_and_weights_apart(folder: Path, tmp_path: Path) -> None:
    whole = Dinov2Model.from_pretrained(folder)
    whole.embeddings.cls_token.data += 1
    whole.save_pretrained(tmp_path / folder.name)
    encoders = [
        load_image_encoder(str(folder), SIZE),
        load_image_encoder(f"{folder}@2", SIZE),
        load_image_encoder(str(folder), (28, 28)),
        load_image_encoder(str(tmp_path / folder.name), SIZE),
    ]
    digests = {each.provenance.split("@")[1] for each in encoders}
    assert len(digests) == 4
    assert load_image_encoder(str(folder), SIZE).provenance == encoders[0].provenance


@pytest.mark.parametrize("size", [(28, 40), (0, 28), (13, 14)])
def test_a_size_that_patches_do_not_fill_is_refused(folder: Path, size: tuple[int, int]) -> None:
    with pytest.raises(InvalidError, match="multiple of the patch size 14"):
        load_image_encoder(str(folder), size)


@pytest.mark.parametrize(
    ("suffix", "message"), [("@4", "no layer 4"), ("@x", "no layer 'x'"), ("@0", "no layer '0'")]
)
def test_a_layer_that_is_not_there_is_refused(folder: Path, suffix: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        load_image_encoder(f"{folder}{suffix}", SIZE)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(InvalidError, match="is no DINOv2 but a BertModel"):
        load_image_encoder(str(tmp_path), SIZE)


def test_a_directory_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingError, match="no model directory at /nowhere"):
        load_image_encoder("/nowhere", SIZE)


def test_a_directory_without_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InvalidError, match="cannot load a model from"):
        load_image_encoder(str(tmp_path), SIZE)
